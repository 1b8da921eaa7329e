"""What a report was made from."""

from pathlib import Path

from astromodal.evaluation.report.render import cube_table, hashes, provenance, versions
from astromodal.evaluation.report.section import Section
from astromodal.storage.hashing import hash_values


def section(name, **hashes):
    """A section that evaluated tokenizers and models of these hashes."""
    named = {what.replace("_", " "): value for what, value in hashes.items()}
    return Section(name, name.title(), Path(), hashes=named)


def test_a_hash_is_listed_once_with_the_sections_it_is_of():
    """The scalars' tokenizer is the transformer's scalar tokenizer."""
    found = hashes([
        section("scalars", scalar_tokenizer="aa"),
        section("transformer", scalar_tokenizer="aa", transformer="bb"),
        section("embeddings", transformer="bb"),
    ])  # fmt: skip
    assert found == [
        ["scalar tokenizer", "aa", "Scalars, Transformer"],
        ["transformer", "bb", "Transformer, Embeddings"],
    ]


def test_sections_of_different_models_are_noted():
    """Two hashes of the same thing do not go unnoticed."""
    sections = [section("transformer", transformer="aa"), section("embeddings", transformer="bb")]
    note = provenance(sections, [], {}, ())[0].note
    assert "Not all sections evaluate the same transformer: run again." in note


def test_cubes_by_hand(summary, field_summary):
    """2.5 MB, one column read and one absent, and the digest of what was read."""
    content = summary("A")["content"]
    rows = cube_table([field_summary("A")]).rows
    assert rows == [["A", 100, 2.5, 1, 1, hash_values(content["columns"])]]


def test_what_is_frozen_is_not_of_todays_code():
    """A note says so where something is frozen, and only there."""
    code = {"encode_scalars": "0123"}
    titles = {origin.title: origin for origin in provenance([], [], code, ["tokenizers"])}
    assert titles["Code"].table.rows == [["encode_scalars", "0123"]]
    assert "Frozen (tokenizers): made by the code of an earlier time." in titles["Code"].note
    unfrozen = {origin.title: origin for origin in provenance([], [], code, ())}
    assert "Frozen" not in unfrozen["Code"].note


def test_versions_name_the_package_and_python():
    """The versions of what results depend on are listed."""
    found = dict(versions())
    assert {"astromodal", "Python", "numpy", "torch"} <= set(found)
    assert "not installed" not in found["numpy"]


def test_absent_package_is_said(monkeypatch):
    """A package that is not installed does not stop the report."""
    monkeypatch.setattr("astromodal.evaluation.report.render._PACKAGES", ("no-such-package-here",))
    assert versions()[-1] == ("no-such-package-here", "not installed")
