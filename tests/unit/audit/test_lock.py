"""Lock files, and what differs between two of them."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.audit.lock import RunLock, compare, read_lock, write_lock
from astromodal.config import load_config
from astromodal.errors import FormatError
from astromodal.storage.json_files import write_json

CUBE = {"size": 10, "rows": 3, "columns": {"id": "a", "mag_pstotal_r": "b"}, "sources": {}}
LOCK = {
    "format": "run_lock",
    "version": 1,
    "cubes": {"A": CUBE, "B": CUBE},
    "fields": {"every": ["A", "B"], "tokenizers": ["A"]},
    "settings": load_config().model_dump(mode="json"),
    "seeds": {"split.seed": 0},
    "code": {"sample_scalars": "1", "train_transformer": "2"},
    "environment": {
        "python": "3.11.9", "packages": {"numpy": "2.0"}, "machine": "x86_64", "cpu": "one",
        "threads": None,
    },
    "tokenizers": {"image": "i", "scalar": "s", "spectrum": "p"},
    "model": {"vocabulary": "v", "weights": "w"},
}  # fmt: skip


def changed(**values: object) -> RunLock:
    """A lock with other values by dotted name, in which `__` stands for a dot."""
    plain = copy.deepcopy(LOCK)
    for name, value in values.items():
        *above, last = name.split("__")
        inner = plain
        for key in above:
            inner = inner[key]
        inner[last] = value
    return RunLock.model_validate(plain)


def locks() -> st.SearchStrategy[RunLock]:
    """Locks that differ in some of their values."""
    names = ["model__weights", "tokenizers__scalar", "code__sample_scalars"]
    names += ["cubes__A__columns__id", "environment__python", "settings__columns__id"]
    return st.dictionaries(st.sampled_from(names), st.sampled_from("xyz")).map(
        lambda values: changed(**values)
    )


@given(locks())
def test_a_lock_is_equal_to_itself(lock):
    """The comparison is reflexive."""
    found = compare(lock, lock)
    assert found.equal
    assert found.explanation() == "cubes, tokenizers and model are equal"


@given(locks(), locks())
def test_a_comparison_is_symmetric(a, b):
    """The other way round, each pair of values is the other way round."""
    there, back = compare(a, b).groups, compare(b, a).groups
    assert there.keys() == back.keys()
    for group, values in there.items():
        assert values == {name: (x, y) for name, (y, x) in back[group].items()}


@given(locks(), locks())
def test_unequal_locks_differ(a, b):
    """Nothing differs only between equal locks."""
    assert compare(a, b).equal == (a == b)


def test_a_lock_is_read_as_it_was_written(tmp_path):
    """By its path or that of its folder; the same lock gives the same bytes."""
    path, again = tmp_path / "run.lock.json", tmp_path / "again.json"
    write_lock(path, changed())
    write_lock(again, read_lock(path))
    assert read_lock(tmp_path) == changed()
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"version": 2}, "run_lock version 1, got version: Input should be 1"),
        ({"format": "sequences"}, "run_lock version 1, got format: Input should be 'run_lock'"),
        ({"extra": 1}, "got extra: Extra inputs are not permitted; use the astromodal that"),
        ({"seeds": {"a": "x"}}, "got seeds.a: Input should be a valid integer"),
    ],
)
def test_another_lock_is_refused(tmp_path, values, match):
    """What is wrong first is named."""
    write_json(tmp_path / "run.lock.json", LOCK | values)
    with pytest.raises(FormatError, match=f"run.lock.json must be .*{match}"):
        read_lock(tmp_path)


def test_a_missing_lock_is_named(tmp_path):
    """With the command that writes it."""
    with pytest.raises(FormatError, match="a lock file, got none; run snakemake audit, which"):
        read_lock(tmp_path)


@pytest.mark.parametrize(
    ("values", "explanation"),
    [
        (
            {"settings__tokenizers__scalar__n_bins": 8, "tokenizers__scalar": "t",
             "model__weights": "x"},
            ("cubes are equal; settings tokenizers.scalar.n_bins differ -> tokenizers.scalar, "
            "model.weights differ"),
        ),
        (
            {"cubes__A__columns__mag_pstotal_r": "x", "settings__simulate__n_sources": 7,
             "tokenizers__image": "j"},
            "settings simulate.n_sources differ -> cubes, tokenizers.image differ",
        ),
        (
            {"cubes__A__rows": 4},
            "nothing recorded explains it -> cubes differ",
        ),
        (
            {"code__train_transformer": "3", "settings__atlas__neighbours": 3,
             "model__weights": "x"},
            "cubes are equal; code of train_transformer differ -> model.weights differ",
        ),
        (
            {"environment__python": "3.12.0", "tokenizers__image": "j"},
            "cubes are equal; environment.python differ -> tokenizers.image differ",
        ),
        ({"settings__atlas__neighbours": 3}, "cubes, tokenizers and model are equal"),
    ],
)  # fmt: skip
def test_the_first_difference_is_explained(values, explanation):
    """By what it is made from: settings of others do not explain it."""
    assert compare(changed(), changed(**values)).explanation() == explanation


def test_where_results_are_does_not_matter():
    """Paths of results and cubes are in the lock, and are not compared."""
    assert compare(changed(), changed(settings__paths={"results": "elsewhere"})).equal


def test_differences_are_a_table():
    """Group, name and both values; equal groups have one line."""
    text = compare(changed(), changed(model__weights="x")).text()
    assert "cubes: equal\nsettings: equal\n" in text
    assert "model  weights  w      x\n" in text


def test_differences_are_plain_values():
    """As JSON, by group and name."""
    found = compare(changed(), changed(model__weights="x")).as_dict()
    assert found["differences"]["model"] == {"weights": {"first": "w", "second": "x"}}
    assert found["equal"] is False
