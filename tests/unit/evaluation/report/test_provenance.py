"""What a report was made from."""

from astromodal.evaluation.report.render import cubes, hashes, provenance, versions
from astromodal.storage.hashing import hash_values


def section(name, **numbers):
    return {"name": name, "title": name.title(), "numbers": numbers}


def test_a_hash_is_listed_once_with_the_sections_it_is_of():
    """The scalars' tokenizer is the transformer's scalar tokenizer."""
    found = hashes([
        section("scalars", tokenizer_hash="aa", n=3),
        section("transformer", scalar_tokenizer_hash="aa", weights_hash="bb"),
        section("embeddings", weights_hash="bb"),
    ])  # fmt: skip
    assert found == [
        ["scalar tokenizer", "aa", "Scalars, Transformer"],
        ["transformer", "bb", "Transformer, Embeddings"],
    ]


def test_sections_of_different_models_are_told():
    """Two hashes of the same thing do not go unnoticed."""
    sections = [section("transformer", weights_hash="aa"), section("embeddings", weights_hash="bb")]
    assert (
        "Not all sections are of the same transformer"
        in provenance(sections, [], {}, ())[0]["note"]
    )


def test_cubes_by_hand(summary):
    """2.5 MB, one column read and one absent, and the digest of what was read."""
    content = summary("A")["content"]
    rows = cubes([summary("A")])["rows"]
    assert rows == [["A", 100, 2.5, 1, 1, hash_values(content["columns"])]]


def test_frozen_parts_are_not_of_todays_code():
    """That is said where something is frozen, and only there."""
    code = {"encode_scalars": "0123"}
    titles = {item["title"]: item for item in provenance([], [], code, ["tokenizers"])}
    assert titles["Code"]["table"]["rows"] == [["encode_scalars", "0123"]]
    assert "frozen (tokenizers) was made by the code of its time" in titles["Code"]["note"]
    unfrozen = {item["title"]: item for item in provenance([], [], code, ())}
    assert "frozen" not in unfrozen["Code"]["note"]


def test_versions_name_the_package_and_python():
    """What results depend on is listed, and what is absent is said."""
    found = dict(versions())
    assert {"astromodal", "Python", "numpy", "torch"} <= set(found)
    assert "not installed" not in found["numpy"]


def test_absent_package_is_said(monkeypatch):
    """A package that is not installed does not stop the report."""
    monkeypatch.setattr("astromodal.evaluation.report.render._PACKAGES", ("no-such-package-here",))
    assert versions()[-1] == ("no-such-package-here", "not installed")
