"""Fluxes and errors of spectra that are sums of basis functions."""

import numpy as np
import pytest

from astromodal.errors import ConfigError
from astromodal.surveys.gaiaxp import evaluate_functions
from astromodal.surveys.registry import coefficient_group

FUNCTIONS = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])


def test_fluxes_by_hand():
    """C B, and the errors of independent coefficients added in quadrature."""
    flux, ivar = evaluate_functions(np.array([[3.0, 4.0]]), np.array([[1.0, 0.25]]), FUNCTIONS)
    np.testing.assert_allclose(flux, [[3, 4, 10]])
    np.testing.assert_allclose(1 / ivar, [[1, 4, 8]])


def test_correlated_errors_by_hand():
    """Errors of 1 and 2, correlated by a half: at the third point 4 + 4 + 2 × 0.5 × 2 × 2."""
    values, ivar = np.array([[3.0, 4.0]]), np.array([[1.0, 0.25]])
    _, found = evaluate_functions(values, ivar, FUNCTIONS, np.array([[0.5]]))
    np.testing.assert_allclose(1 / found, [[1, 4, 12]])


@pytest.mark.parametrize(
    "correlation", [None, np.array([[0.5]])], ids=["independent", "correlated"]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_bad_inverse_variances_make_bad_pixels(correlation, bad):
    """All points that the coefficient has a part in have an inverse variance of 0."""
    ivar = np.array([[bad, 1.0]])
    _, found = evaluate_functions(np.ones((1, 2)), ivar, FUNCTIONS, correlation)
    if np.isinf(bad):  # no error at all
        assert (found > 0).tolist() == [[False, True, True]]
    else:
        assert not found[0, [0, 2]].any()


def test_groups_of_another_kind_are_refused():
    """A group of pixels has no basis functions."""
    assert coefficient_group("gaiaxp_rp").n_coefficients == 55
    with pytest.raises(ConfigError, match="group desi_b must be a group of coefficients"):
        coefficient_group("desi_b")
