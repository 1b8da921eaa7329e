from __future__ import annotations

import errno
import json
import os
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file

from astromodal.errors import FormatError, MachineError
from astromodal.storage.arrays import load_arrays, map_file, map_tensors, save_arrays, save_tensors
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import atomic_path, check_writable, write_text

KIND = {"format": "test", "version": 1}


def test_a_failed_write_leaves_nothing(tmp_path):
    """An error inside the block leaves neither the file nor a temporary one."""

    def fail():
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_older_file(tmp_path):
    """A failed write does not change the older file."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert path.read_text() == "old"


def test_a_full_disk_names_the_file(tmp_path):
    """The error names the file, not the temporary one; other errors do not change."""

    def fail():
        with atomic_path(tmp_path / "a.npz"):
            raise OSError(errno.ENOSPC, "text")

    message = r"/a\.npz must be on a disk with room for it, got No space left on device; make room"
    with pytest.raises(MachineError, match=message):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written(tmp_path):
    """A folder that cannot be made is an error that names the file."""
    with pytest.raises(MachineError, match=r"/sys/none/a must be .*, got .*; .* run the same"):
        write_text("/sys/none/a", "x")


def test_the_file_appears_only_at_the_end(tmp_path):
    """Until the block ends, a reader sees nothing under the final name."""
    path = tmp_path / "deep" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    """The mode follows the umask, not the private mode of temporary files."""
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_arrays_come_back_with_their_attributes(tmp_path):
    """What was saved is loaded: values, dtypes, text, attributes."""
    arrays = {"x": np.arange(3, dtype=np.uint16), "ids": np.array(["é", "b"])}
    save_arrays(tmp_path / "a.npz", arrays, **KIND, tokenizer_hash="abc")
    loaded = load_arrays(tmp_path / "a.npz", **KIND)
    assert loaded["x"].dtype == np.uint16
    assert loaded["ids"].tolist() == ["é", "b"]
    assert loaded.attributes == {"tokenizer_hash": "abc"}
    assert "x" in loaded


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    """Files hold no time stamps: a rerun reproduces them."""
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, {"x": np.ones(4)}, **KIND)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_objects_are_not_saved(tmp_path):
    """An array of objects would need pickle."""
    with pytest.raises(FormatError, match="plain numbers or text"):
        save_arrays(tmp_path / "a.npz", {"x": np.array([{}])}, **KIND)


def test_pickles_are_not_loaded(tmp_path):
    """A pickle inside a .npz is refused, not run."""
    with (tmp_path / "a.npz").open("wb") as stream:
        np.savez(stream, x=np.array([{}]), meta=np.array(json.dumps(KIND)))
    with pytest.raises(FormatError, match="array file of astromodal"):
        load_arrays(tmp_path / "a.npz", **KIND)


@pytest.mark.parametrize(
    "wrong", [{"format": "other", "version": 1}, {"format": "test", "version": 2}]
)
def test_another_format_or_version_is_refused(tmp_path, wrong):
    """A file of another kind is never taken for this one."""
    save_arrays(tmp_path / "a.npz", {"x": np.ones(1)}, **KIND)
    with pytest.raises(
        FormatError, match=f"{wrong['format']} version {wrong['version']}, got test"
    ):
        load_arrays(tmp_path / "a.npz", **wrong)


def test_a_truncated_file_is_refused(tmp_path):
    """A file cut short is named, with a remedy."""
    save_arrays(tmp_path / "a.npz", {"x": np.ones(100)}, **KIND)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:300])
    with pytest.raises(FormatError, match=r"a\.npz must be an array file.*run again"):
        load_arrays(tmp_path / "a.npz", **KIND)


def test_a_flipped_byte_is_noticed(tmp_path):
    """Damaged data are refused."""
    save_arrays(tmp_path / "a.npz", {"x": np.arange(1000)}, **KIND)
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[2000] ^= 1
    (tmp_path / "a.npz").write_bytes(damaged)
    with pytest.raises(FormatError, match="array file"):
        load_arrays(tmp_path / "a.npz", **KIND)


def test_a_zip_without_meta_is_refused(tmp_path):
    """A .npz of another program is refused."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(FormatError, match="array file of astromodal"):
        load_arrays(tmp_path / "a.npz", **KIND)


def test_a_missing_file_is_a_missing_file(tmp_path):
    """Absence is not damage."""
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_arrays(tmp_path / "none.npz", **KIND)


def test_json_round_trip(tmp_path):
    """JSON values come back."""
    write_json(tmp_path / "a.json", {"a": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None]}


def test_json_refuses_nan(tmp_path):
    """NaN is refused, and no file is left."""
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_broken_json_is_refused(tmp_path):
    """A damaged JSON file is named."""
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FormatError, match=r"a\.json must be a JSON file"):
        read_json(tmp_path / "a.json")


def test_a_changed_json_file_is_noticed(tmp_path):
    """A file whose content has another hash than the stored one is refused."""
    write_json(tmp_path / "a.json", {"a": 1, "b": {"é": [None, 2.5]}})
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace("2.5", "2.6"))
    with pytest.raises(FormatError, match=r"a\.json must be of hash \w{16}, got \w{16}; delete it"):
        read_json(tmp_path / "a.json")


def test_a_json_file_of_another_layout_is_the_same(tmp_path):
    """The hash does not depend on the order of keys and on spaces."""
    write_json(tmp_path / "a.json", {"a": 1, "b": 2})
    values = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(dict(reversed(values.items()))))
    assert read_json(tmp_path / "a.json") == {"a": 1, "b": 2}


def test_a_json_file_without_a_hash_is_taken(tmp_path):
    """A JSON file of another program, without a hash, is read."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_an_array_that_is_not_there(tmp_path):
    """The error names the file and its arrays."""
    save_arrays(tmp_path / "a.npz", {"x": np.ones(1)}, **KIND)
    with pytest.raises(FormatError, match=r"a\.npz must be a file with an array 'y', got x;"):
        load_arrays(tmp_path / "a.npz", **KIND)["y"]


def test_the_rule_that_makes_a_file_is_named(tmp_path):
    """The error names the rule that makes the file, if it is known."""
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(FormatError, match="delete it and run encode_scalars again"):
        load_arrays(tmp_path / "a.npz", format="scalar_tokens", version=1)


def test_a_folder_is_made_to_be_written_to(tmp_path):
    """The folder is made, and no file is left in it."""
    check_writable(tmp_path / "a/b")
    assert list((tmp_path / "a/b").iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    """The error names the folder and what to do."""

    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    must = "must be on a disk that may be written, got Read-only file system; have it mounted so"
    with pytest.raises(MachineError, match=f"^{tmp_path} {must}"):
        check_writable(tmp_path)


def test_a_link_to_a_disk_that_is_not_there(tmp_path):
    """The error names the link, and no folder replaces it."""
    link = tmp_path / "a"
    link.symlink_to(tmp_path / "disk/results/a")
    with pytest.raises(
        MachineError, match=r"a must be a link into a folder that is there, got one"
    ):
        check_writable(link)
    assert list(tmp_path.iterdir()) == [link]


def test_a_folder_that_is_a_link(tmp_path):
    """A link to a folder can be written to, also if its target does not exist yet."""
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    for _ in range(2):
        check_writable(tmp_path / "results")
    assert (tmp_path / "disk").is_dir()


def test_the_owner_may_read_what_he_wrote(tmp_path):
    """The owner may always read the file; rights of others follow the umask."""
    before = os.umask(0o727)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("format", "version", "got"), [("x", 1, "x version 1"), ("split", 9, "split version 9")]
)
def test_whole_files_of_another_kind_are_not_to_be_deleted(tmp_path, format, version, got):
    """An intact file of another kind is not to be deleted."""
    save_arrays(tmp_path / "a.npz", {"x": np.ones(1)}, format=format, version=version)
    do = f"got {got}; use the astromodal that wrote it, or move it away and run split_field again"
    with pytest.raises(FormatError, match=do):
        load_arrays(tmp_path / "a.npz", format="split", version=1)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_somebody_else_are_not_to_be_deleted(tmp_path, save):
    """Archives of other programs, whose checksums match, are not to be deleted."""
    save(tmp_path / "a.npz", x=np.arange(1000))
    with pytest.raises(FormatError, match="must be an array file .*; use .* or move it away"):
        load_arrays(tmp_path / "a.npz", **KIND)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EACCES, r"a\.npz must be yours to read and write"),
        (errno.EIO, r"a\.npz must be on a disk that works"),
        (errno.EMFILE, "open files must be fewer than the system allows"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_damaged(tmp_path, monkeypatch, code, message):
    """A file that the system cannot read is not reported as damaged."""
    save_arrays(tmp_path / "a.npz", {"x": np.ones(1)}, **KIND)

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code), str(tmp_path / "a.npz"))

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(MachineError, match=message):
        load_arrays(tmp_path / "a.npz", **KIND)


def test_a_folder_is_no_file(tmp_path):
    """A folder in place of a file is not to be deleted."""
    with pytest.raises(IsADirectoryError):
        load_arrays(tmp_path, **KIND)


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, 2], dtype=np.int64),
    "c": np.array([3], dtype=np.uint8),
    "d": np.empty((0, 4), dtype=np.float64),
}


def test_a_file_gives_back_what_was_written(tmp_path):
    """Arrays and metadata are read by this reader and by the library."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, ARRAYS, {"format": "f"})
    found, meta = map_tensors(path)
    assert meta == {"format": "f"}
    for each in (found, load_file(path)):
        assert each.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(each[name], array)
            assert each[name].dtype == array.dtype


def test_a_changed_header_is_noticed(tmp_path):
    """A header that was changed is refused."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, ARRAYS, {"format": "f", "step": "7"})
    path.write_bytes(path.read_bytes().replace(b'"step": "7"', b'"step": "8"'))
    with pytest.raises(FormatError, match="must be a safetensors file, got a header whose hash"):
        map_tensors(path)


def test_the_order_of_arrays_does_not_matter(tmp_path):
    """The same arrays give the same bytes in any order."""
    paths = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    save_tensors(paths[0], ARRAYS, {})
    save_tensors(paths[1], dict(reversed(ARRAYS.items())), {})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_mapped_array_cannot_be_changed(tmp_path):
    """A mapped array is read-only."""
    save_tensors(tmp_path / "x.safetensors", ARRAYS, {})
    with pytest.raises(ValueError, match="read-only"):
        map_tensors(tmp_path / "x.safetensors")[0]["a"][0, 0] = 1


@pytest.mark.parametrize("content", [b"", b"not one", b"\2\0\0\0\0\0\0\0[]"])
def test_other_files_are_no_tensors(tmp_path, content):
    """Empty files, other files and those whose header is no mapping are refused."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FormatError, match="x must be a safetensors file"):
        map_tensors(tmp_path / "x")


def test_what_is_mapped_is_the_file(tmp_path):
    """The map holds the bytes of the file, read-only, also after it is deleted."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    found = map_file(path)
    path.unlink()
    assert found.tobytes() == b"abc"
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_an_empty_file(tmp_path):
    """An empty file has no bytes."""
    (tmp_path / "a").touch()
    assert len(map_file(tmp_path / "a")) == 0


def test_what_is_no_file(tmp_path):
    """The error names the path."""
    with pytest.raises(FileNotFoundError, match=r"none"):
        map_file(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        map_file(tmp_path)


def test_no_file_stays_open(tmp_path):
    """Mapping many files leaves none of them open."""
    (tmp_path / "a").write_bytes(bytes(100))
    before = len(os.listdir("/proc/self/fd"))
    kept = [map_file(tmp_path / "a") for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert np.sum(kept) == 0
