import numpy as np

from astromodal.surveys.registry import GROUPS
from astromodal.tokenizers.spectra.codebook import FEATURES, feature_space
from astromodal.tokenizers.spectra.tokenizer import KINDS


def test_features_of_each_kind():
    """Of two bins with their precision, of an epoch of a light curve, of an XP spectrum."""
    width = {"spectrum": 3, "light_curve": 3, "coefficients": 56}
    for group in GROUPS:
        assert feature_space(group.name).width(group.name) == width[group.kind]


def test_every_kind_of_group_has_a_tokenizer():
    """Every kind of the registry has features and a tokenizer, and they belong together."""
    assert {group.kind for group in GROUPS} == set(KINDS) == set(FEATURES)
    assert all(type(KINDS[kind].space) is type(space) for kind, space in FEATURES.items())


def test_scales_in_their_column():
    """log10 of a flux; a magnitude as it is; both come back, NaN stays NaN."""
    values = np.array([100.0, np.nan])
    np.testing.assert_array_equal(feature_space("desi_b").scale_to_column(values), [2.0, np.nan])
    np.testing.assert_array_equal(feature_space("ztf_r").scale_to_column(values), values)
    for space in FEATURES.values():
        back = space.scale_from_column(space.scale_to_column(values))
        np.testing.assert_allclose(back, values)
