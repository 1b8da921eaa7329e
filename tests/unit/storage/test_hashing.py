import numpy as np

from astromodal.storage.hashing import hash_arrays, hash_file, hash_values


def test_the_order_of_names_does_not_matter():
    """The same arrays hash the same in any order."""
    a, b = np.arange(3), np.array(["x", "yy"])
    assert hash_arrays({"a": a, "b": b}) == hash_arrays({"b": b, "a": a})


def test_values_dtypes_shapes_and_names_matter():
    """Any difference in content gives another hash."""
    base = np.zeros(4)
    others = [{"b": base}, {"a": base + 1}, {"a": base.astype("f4")}, {"a": base.reshape(2, 2)}]
    assert len({hash_arrays(other) for other in [{"a": base}, *others]}) == 5


def test_memory_layout_does_not_matter():
    """A transposed view hashes like its copy."""
    x = np.arange(6).reshape(2, 3)
    assert hash_arrays({"a": x.T}) == hash_arrays({"a": x.T.copy()})


def test_an_empty_array_has_a_hash():
    """An empty array has a hash."""
    assert len(hash_arrays({"a": np.empty((0, 3))})) == 16


def test_hash_values_ignores_the_order_of_keys():
    """Settings hash by content."""
    assert hash_values({"a": 1, "b": [2]}) == hash_values({"b": [2], "a": 1})
    assert hash_values({"a": 1}) != hash_values({"a": 2})


def test_files_hash_by_their_bytes(tmp_path):
    """Only the bytes of a file determine its hash."""
    for name, content in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (hash_file(tmp_path / name) for name in "abc")
    assert a == b != c
