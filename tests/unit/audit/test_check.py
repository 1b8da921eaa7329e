"""Findings of an audit, the reading of whole files, and the text of the result."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.audit.check import (
    Account,
    Audit,
    Findings,
    Problem,
    check_version,
    read_whole,
    require_whole,
)
from astromodal.errors import FormatError
from astromodal.storage.arrays import save_arrays, save_tensors
from astromodal.storage.formats import DAMAGE
from astromodal.storage.hashing import hash_arrays, hash_file
from astromodal.storage.json_files import write_json


@pytest.fixture
def found() -> Findings:
    return Findings()


def kinds(found: Findings) -> list[tuple[str, str]]:
    return [(each.kind, each.file) for each in found.problems]


def test_equal_values_are_no_problem(found):
    """Unequal ones are, in the grammar of errors, with the rule to run."""
    found.require("rows", "a", "rows of a", 3, 3, "encode")
    found.require("rows", "b", "rows of b", 3, 2, "encode")
    assert found.problems == [
        Problem("rows", "b", "rows of b must be 3, got 2; run encode again", "encode")
    ]


def test_a_file_is_missing_or_damaged_once(found):
    """Only the first of these problems counts; those of other kinds are added."""
    for kind in ("damaged", "missing", "rows", "rows"):
        found.add(kind, "a", f"{kind} text")
    assert kinds(found) == [("damaged", "a"), ("rows", "a")]


def test_problems_are_in_the_order_of_kinds(found):
    """Then by file."""
    for kind, file in (("stale", "a"), ("rows", "b"), ("missing", "c"), ("missing", "b")):
        found.add(kind, file, "text")
    assert kinds(found) == [("missing", "b"), ("missing", "c"), ("rows", "b"), ("stale", "a")]


def test_an_error_of_reading_becomes_a_problem(found):
    """What the block after it does is done."""
    with found.reading("a", "encode"):
        raise FileNotFoundError
    with found.reading("b", "encode", "foreign"):
        raise FormatError("b must be of hash 1, got 2")
    with found.reading("c", "encode", "foreign"):
        raise EOFError("cut short")
    assert found.problems == [
        Problem("missing", "a", "a must be a file, got none; run encode again", "encode"),
        Problem("damaged", "c", "c must be whole, got cut short; delete it and run encode again",
                "encode"),
        Problem("foreign", "b", "b must be of hash 1, got 2", "encode"),
    ]  # fmt: skip


def test_an_error_of_the_program_is_not_hidden(found):
    """Only what damaged files raise becomes a problem."""
    with pytest.raises(AttributeError), found.reading("a", "encode"):
        raise AttributeError


def written(folder, suffix):
    """A file of each kind."""
    path = str(folder / f"file{suffix}")
    numbers = {"numbers": np.arange(5000, dtype=np.int64)}
    if suffix == ".npz":
        save_arrays(path, numbers, format="split", version=1)
    elif suffix == ".safetensors":
        meta = {"format": "sequences", "version": "1", "content_hash": hash_arrays(numbers)}
        save_tensors(path, numbers, meta)
    elif suffix == ".json":
        write_json(path, {"format": "similarity_index", "version": 1, "numbers": [1, 2] * 99})
    elif suffix == ".parquet":
        pq.write_table(pa.table(numbers), path, write_page_checksum=True, compression="none")
    return path


@pytest.mark.parametrize(
    ("suffix", "stated"),
    [
        (".npz", ("split", "1")),
        (".safetensors", ("sequences", "1")),
        (".json", ("similarity_index", "1")),
        (".parquet", ("", "")),
    ],
)
def test_a_whole_file_states_its_format(tmp_path, suffix, stated):
    """And a flipped bit in its middle is an error."""
    path = written(tmp_path, suffix)
    assert read_whole(path) == stated
    content = bytearray((tmp_path / f"file{suffix}").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / f"file{suffix}").write_bytes(content)
    with pytest.raises(DAMAGE):
        read_whole(path)


def test_pixels_are_read_with_their_sources(tmp_path):
    """The hash of the pixels is in the file beside them."""
    pixels, sources = str(tmp_path / "A_pixels.npy"), str(tmp_path / "A_sources.npz")
    np.save(pixels, np.zeros(4))
    attributes = {"format": "training_cutouts", "version": 2, "pixels_hash": hash_file(pixels)}
    save_arrays(sources, {"ids": np.array(["a"])}, **attributes)
    assert read_whole(pixels) == ("training_cutouts", "2")
    assert read_whole(sources) == ("training_cutouts", "2")
    np.save(pixels, np.ones(4))
    with pytest.raises(
        FormatError, match="A_pixels.npy must be of hash .*; delete it and run prep"
    ):
        read_whole(pixels)


def test_another_version_is_a_problem(found):
    """Of a format that is known; the present version is none."""
    for version in ("1", "2"):
        check_version(found, "a", "split", version, "split_field")
    check_version(found, "b", "of another program", "9", "")
    (problem,) = found.problems
    assert problem.message.startswith("a must be split version 1, got version 2; use the astro")


ACCOUNT = Account(
    "A", rows=1200, selected=9, not_selected={"missing": 1, "brighter": 2, "fainter": 3},
    image={"coded": 4, "short": 2, "blank": 0, "none": 6},
    groups={"desi_b": {"coded": 1, "dead": 0, "none": 11}}, objects={"sequences": 9},
)  # fmt: skip


def test_an_audit_is_text():
    """Rows, measurements and problems, each as a table; a skipped field has its reason."""
    problem = Problem("missing", "f", "f must be a file, got none", "encode")
    skipped = Account("B", skipped="field B was skipped by encode: bad")
    audit = Audit("results", 5, None, [ACCOUNT, skipped], [problem], {"encode": 2})
    text = audit.text()
    assert "\n1 problem in 5 files of 2 fields\n" in text
    assert "| A | 1,200 | 1 | 2 | 3 | 9 | 9 | 0 |" in text
    assert "| B | field B was skipped by encode: bad |" in text
    assert "| A | image | 4 | 2 short | 6 |\n| A | desi_b | 1 | 0 | 11 |" in text
    assert "| missing | f | f must be a file, got none |" in text
    assert "- rules that would run again (files): encode (2)" in text


def test_an_audit_is_plain_values():
    """They are JSON, with format and version."""
    plain = Audit("results", 5, None, [ACCOUNT], [], {}).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["format"], plain["version"]) == ("audit", 1)
    assert plain["accounts"][0]["image"] == ACCOUNT.image


def test_problems_are_an_error_in_one_line():
    """With their number, and the first of them; without any there is no error."""
    require_whole([], "audit.md")
    problems = [Problem("missing", "f", "f must be a file, got none"), Problem("rows", "g", "text")]
    with pytest.raises(FormatError, match="^2 problems, listed in audit.md: f must be a file, got"):
        require_whole(problems, "audit.md")
