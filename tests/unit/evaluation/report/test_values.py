"""Numbers as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.evaluation.report.values import show, show_number


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"value": 0.93214, "error": 0.0042}, "0.9321 ± 0.0042"),
        ({"value": -12.345, "error": 1.5}, "−12.3 ± 1.5"),
        ({"value": 12345.0, "error": 230.0}, "12345 ± 230"),
        ({"value": 1.5e-7, "error": 2e-8}, "(1.50 ± 0.20) × 10⁻⁷"),
        ({"value": 0.5, "error": None}, "0.5000"),
        ({"value": 0.5, "error": 0.0}, "0.5000"),
        ({"value": None, "error": None}, "–"),
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
    assert "e" not in show_measured(value, error)
