import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astromodal.tokenizers.scalars.quantiles import Bins

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODEST = st.floats(-50, 50) | st.integers(-3, 3).map(float)


def placed(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.empty(len(values), np.uint16)
    Bins(edges).place(values, out, 65535)
    return out


def check(edges: np.ndarray, values: np.ndarray) -> None:
    """The places are NumPy's, at the edges and just beside them too."""
    with np.errstate(over="ignore"):
        beside = [np.nextafter(edges, way) for way in (-np.inf, np.inf)]
    values = np.concatenate([values, edges, *beside, -edges, [0.0, -0.0]])
    values = values[np.isfinite(values)]
    np.testing.assert_array_equal(placed(edges, values), np.searchsorted(edges, values))


@given(
    arrays(np.float64, st.integers(0, 60), elements=FINITE), arrays(np.float64, 20, elements=FINITE)
)
@example(np.array([-1e308, 0.0, 1e-308, 1e308]), np.array([5e-324, -5e-324]))
@example(np.array([-1e300, 0.0, 1e-200, 2e-200, 1e300]), np.array([1.5e-200]))
def test_any_edges_and_values(edges, values):
    """As np.searchsorted, whatever the scale."""
    check(np.unique(edges), values)


@given(
    arrays(np.float64, st.integers(1, 99), elements=MODEST), arrays(np.float64, 99, elements=MODEST)
)
def test_edges_of_both_signs(edges, values):
    """As np.searchsorted, on both sides of zero and at zero."""
    check(np.unique(edges), values)


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, n: g.uniform(14, 22, n),
        lambda g, n: 10 ** g.uniform(-3, 6, n),
        lambda g, n: g.standard_cauchy(n),
        lambda g, n: 180 * g.uniform(-1, 1, n),
        lambda g, n: g.integers(0, 300, n) / 7.0,
    ],
    ids=["magnitudes", "errors to 1e6", "parallaxes", "angles", "ties"],
)
def test_a_thousand_bins(draw):
    """Columns like the survey's, more values than go through a step at once."""
    generator = np.random.default_rng(0)
    edges = np.unique(np.quantile(draw(generator, 20_000), np.linspace(0, 1, 1024)))
    check(edges, draw(generator, 5000))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_missing(value):
    """Among other values, and where there are no edges."""
    assert placed(np.arange(5.0), np.array([2.5, value, -1.0])).tolist() == [3, 65535, 0]
    assert placed(np.empty(0), np.array([value, 1.0])).tolist() == [65535, 0]
