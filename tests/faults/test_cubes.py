"""Every bad cube ends in right codes, or in one error that says what to repair."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import DataError
from faults.jobs import COLUMNS, FIELD, Codes, Outcome, check_summary, run_jobs, write
from faults.zoo import KINDS, Kind, Refused, Survives

GRAMMAR = rf"^field {FIELD}: .*(must be .*, got .*; .+|is missing from .*; .+)$"


@pytest.fixture
def make(tmp_path):
    """Write what a kind makes of the good cube."""

    def written(made: pa.Table | bytes) -> Path:
        path = tmp_path / f"datacube_{FIELD}.parquet"
        if isinstance(made, bytes):
            path.write_bytes(made)
        else:
            write(made, path)
        return path

    return written


def expected_codes(kind: Survives, good, n_codes: dict[str, int]) -> Codes:
    """What the codes of a kind must be: the good cube's, but for what the kind says."""
    codes = {
        (name, row): good.outcome.codes[name, was]
        for row, was in enumerate(kind.rows)
        for name in {name for name, _ in good.outcome.codes}
    }
    for name, rows in kind.missing.items():
        for row in rows:
            unknown = MISSING_CODE if name in COLUMNS and codes[name, row] is not None else None
            codes[name, row] = unknown
    for name, (rows, end) in kind.ends.items():
        for row in rows:
            if codes[name, row] is not None:
                codes[name, row] = end % n_codes[name]
    for row in kind.unselected:
        codes |= {(name, row): None for name in COLUMNS}
    return codes


def check_survival(kind: Survives, outcome: Outcome, good) -> None:
    n_codes = dict(zip(COLUMNS, good.fitted.scalar.n_codes.tolist(), strict=True))
    expected = expected_codes(kind, good, n_codes)
    free = {(name, row) for name, rows in kind.free.items() for row in rows}
    assert outcome.codes.keys() == expected.keys()
    differing = [key for key in expected if outcome.codes[key] != expected[key]]
    assert set(differing) <= free
    check_summary(outcome, good.fitted, kind.short)
    assert kind.warns in " ".join(outcome.summary["warnings"])


def check_refusal(kind: Refused, message: str) -> None:
    assert re.match(GRAMMAR, message, re.DOTALL), message
    assert not kind.column or f"column {kind.column!r}" in message
    assert kind.row < 0 or re.search(rf"row {kind.row}\b", message), message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_bad_cube(kind: Kind, good, make, tmp_path, tally):
    """Codes and counts are what the kind says they must be, or the error is."""
    path = make(kind.make(pa.parquet.read_table(good.path)))
    if isinstance(kind.outcome, Survives):
        check_survival(kind.outcome, run_jobs(path, good.fitted, tmp_path), good)
        tally("bad cubes, by kind", "right")
    else:
        with pytest.raises(DataError) as caught:
            run_jobs(path, good.fitted, tmp_path)
        check_refusal(kind.outcome, str(caught.value))
        tally("bad cubes, by kind", "refused")


def test_there_are_sixty_kinds():
    """No kind was lost, and none has another's name."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60
