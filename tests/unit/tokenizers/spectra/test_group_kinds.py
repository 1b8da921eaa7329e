import numpy as np

from astromodal.config.schema import GROUPS
from astromodal.tokenizers.spectra.groups import n_features, scale_from_column, scale_to_column


def test_features_of_each_kind():
    """Two of a spectrum's bin, three of a light curve's epoch."""
    assert {group: n_features(group) for group in GROUPS} == {
        group: 3 if group.startswith("ztf") else 2 for group in GROUPS
    }


def test_scales_in_their_column():
    """log10 of a flux; a magnitude as it is; both come back, NaN stays NaN."""
    values = np.array([100.0, np.nan])
    np.testing.assert_array_equal(scale_to_column("desi_b", values), [2.0, np.nan])
    np.testing.assert_array_equal(scale_to_column("ztf_r", values), values)
    for group in ("desi_b", "ztf_r"):
        back = scale_from_column(group, scale_to_column(group, values))
        np.testing.assert_allclose(back, values)
