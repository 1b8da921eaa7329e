"""Numbers as text and as JSON values."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.report.values import (
    Measurement,
    Table,
    measurement_from_json,
    show,
    show_number,
    table_from_json,
    to_json,
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Measurement(0.93214, 0.0042), "0.9321 ± 0.0042"),
        (Measurement(-12.345, 1.5), "−12.3 ± 1.5"),
        (Measurement(12345.0, 230.0), "12345 ± 230"),
        (Measurement(1.5e-7, 2e-8), "(1.50 ± 0.20) × 10⁻⁷"),
        (Measurement(0.5, float("nan")), "0.5000"),
        (Measurement(0.5, 0.0), "0.5000"),
        (Measurement(float("nan"), float("nan")), "–"),
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (1234567, "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"),
        (1234, "1234"),
        (0.00012, "0.0001200"),
        (2.5e-9, "2.500 × 10⁻⁹"),
        ("text", "text"),
    ],
)
def test_show_by_hand(cell, text):
    """Values are rounded to their error, and none is in computer notation."""
    assert show(cell) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300))
def test_show_never_uses_computer_notation(value, error):
    """Whatever the number, there is no "e" of an exponent in it."""
    assert "e" not in show_number(value)
    assert "e" not in show(Measurement(value, error))


def test_plain_values_are_json():
    """Numpy's numbers and arrays become Python's, and what is not finite becomes null."""
    value = {
        "a": np.float32(0.5),
        "b": np.array([1.0, np.nan]),
        3: (np.int64(2), np.inf),
        "t": np.bool_(True),
    }
    assert (
        json.dumps(to_json(value), allow_nan=False)
        == '{"a": 0.5, "b": [1.0, null], "3": [2, null], "t": true}'
    )


def test_numpy_numbers_are_shown_as_pythons():
    """An integer stays one, and NaN is a dash."""
    assert (show(np.int64(12345)), show(np.float32("nan"))) == (show(12345), "–")


def test_tables_come_back_from_json():
    """Measurements keep their value, error, number and unit, and NaN comes back as NaN."""
    table = Table(["a", "b"], [["x", Measurement(1.0, 0.5, 3, "mag")], [None, True]])
    assert table_from_json(json.loads(json.dumps(to_json(table)))) == table
    unknown = measurement_from_json(to_json(Measurement(np.nan)))
    assert np.isnan([unknown.value, unknown.error]).all()


def test_above_needs_more_than_its_errors():
    """1.0 ± 0.2 is above 0.5 by two errors and not above 0.7; without an error it is neither."""
    value = Measurement(1.0, 0.2)
    assert (value.above(0.5), value.above(0.7)) == (True, False)
    assert not Measurement(1.0).above(0.0)


def test_scaling_keeps_the_error_positive():
    """Value and error in another unit; a negative factor changes the sign of the value only."""
    assert Measurement(2.0, 0.5, 4).scaled(-10, "%") == Measurement(-20.0, 5.0, 4, "%")
