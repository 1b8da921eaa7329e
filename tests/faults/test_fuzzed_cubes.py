"""Cubes damaged at random end as they must: right codes, or an error that names the field."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import DataError
from faults.fuzz import cuts, examples, flips, holes, strangers
from faults.jobs import COLUMNS, FIELD, N, Outcome, good_table, run_jobs
from faults.test_cubes import GRAMMAR
from faults.zoo import COEFFICIENTS, CORRELATIONS, CUTS, ERRORS, MAG, as_bytes, cell, edited

STRANGE = st.sampled_from(
    [np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, -5e-324, 3e38, 1e-44, 99.0, -99.0, -1.0, 0.0]
)
LISTS = {
    **dict.fromkeys(CUTS, "image"),
    **dict.fromkeys((f"desi_{part}_r" for part in ("flux", "ivar", "wave")), "desi_r"),
    **dict.fromkeys((f"ztf_{part}_r" for part in ("mag", "magerr", "hmjd")), "ztf_r"),
    **dict.fromkeys((COEFFICIENTS, ERRORS, CORRELATIONS), "gaiaxp_bp"),
}
"""What is encoded of each column of lists, or of their texts."""


@pytest.fixture(scope="module")
def attempt(good, tmp_path_factory):
    """Run the jobs on the bytes of a cube; their outcome, or None where they were refused."""
    folder = tmp_path_factory.mktemp("attempts")
    path = folder / f"datacube_{FIELD}.parquet"

    def run(content: bytes) -> Outcome | None:
        path.write_bytes(content)
        try:
            return run_jobs(path, good.fitted, folder)
        except DataError as error:
            message = str(error)
        assert re.match(GRAMMAR, message, re.DOTALL), message
        return None

    return run


@pytest.fixture(scope="module")
def ending(good, attempt, tally):
    """How the jobs end on the bytes of a cube: the good cube's codes, a named error, or neither."""

    def run(content: bytes, kind: str) -> str:
        outcome = attempt(content)
        right = outcome is not None and outcome.codes == good.outcome.codes
        end = "right" if right else "refused" if outcome is None else "lost"
        tally(kind, end)
        return end

    return run


@examples(20)
@given(flips())
def test_flipped_bits(good, ending, damage):
    """Anywhere in the file, where its pages have checksums."""
    assert ending(damage(good.path.read_bytes()), "bits of a cube") != "lost"


@examples(20)
@given(flips(0.97))
def test_flipped_bits_of_the_footer(good, ending, damage):
    """The footer has no checksum: what it says is compared with itself and with the pages."""
    assert ending(damage(good.path.read_bytes()), "bits of a cube's footer") != "lost"


@examples(10)
@given(cuts() | holes() | strangers())
def test_lost_pieces(good, ending, damage):
    """Cut short, zeroed or overwritten in parts."""
    assert ending(damage(good.path.read_bytes()), "pieces of a cube") != "lost"


@examples(10)
@given(flips(0, 0.96))
def test_flipped_bits_without_checksums(unchecked, ending, damage):
    """A cube whose writer made no checksums may lose a value without a trace; nothing crashes."""
    ending(damage(unchecked.read_bytes()), "bits of a cube without checksums")


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory):
    path = tmp_path_factory.mktemp("unchecked") / "cube.parquet"
    path.write_bytes(as_bytes(good_table(), write_page_checksum=False))
    return path


@examples(10)
@given(st.sampled_from([n for n in COLUMNS if n != MAG]), st.integers(0, N - 1), STRANGE)
def test_strange_scalars(good, attempt, tally, name, row, value):
    """A number has the code of its bin; a sentinel has none, nor has anything else."""
    codes = attempt(as_bytes(cell(pq.read_table(good.path), name, row, value))).codes
    expected = good.outcome.codes.copy()
    if expected[name, row] is not None:  # the row is selected
        values = np.full((1, len(COLUMNS)), np.nan)
        sentinel = name.startswith("mag_") and abs(value) == 99
        values[0, COLUMNS.index(name)] = np.nan if sentinel else value
        encoded = good.fitted.scalar.encode(values)[0]
        expected[name, row] = int(encoded[COLUMNS.index(name)])
        assert np.isfinite(value) or expected[name, row] == MISSING_CODE
    assert codes == expected
    tally("strange scalars", "right")


@examples(10)
@given(st.sampled_from(sorted(LISTS)), st.integers(0, 2), st.integers(0, 10_000), STRANGE)
def test_strange_numbers_in_lists(good, attempt, tally, name, number, place, value):
    """A pixel, coefficient or epoch changes at most the codes of its own list, to known ones."""
    table = pq.read_table(good.path)
    row = [row for row, held in enumerate(table.column(name).to_pylist()) if held][number]

    def change(held):
        numbers = json.loads(held) if isinstance(held, str) else list(held)
        numbers[place % len(numbers)] = value
        return json.dumps(numbers) if isinstance(held, str) else numbers

    outcome = attempt(as_bytes(edited(table, name, row, change)))
    if outcome is None:
        assert name == "desi_wave_r"
        tally("strange numbers in lists", "refused")
        return
    differing = {key for key, code in good.outcome.codes.items() if outcome.codes[key] != code}
    assert differing <= {(LISTS[name], row)}
    most = 32 if LISTS[name] == "image" else 16
    found = outcome.codes[LISTS[name], row] or ()
    assert all(code < most or code == MISSING_CODE for code in found)
    tally("strange numbers in lists", "right")


def test_a_cube_that_changes_while_it_is_read(good, tmp_path):
    """A job makes sure at its end that the cube is still the one that it began with."""
    path = tmp_path / good.path.name
    path.write_bytes(good.path.read_bytes())

    def copy_again() -> None:
        path.write_bytes(good.path.read_bytes() + b" ")

    with pytest.raises(DataError, match="must be the file that was opened .* run again once"):
        run_jobs(path, good.fitted, tmp_path, copy_again)
    assert list(tmp_path.iterdir()) == [path]
