import numpy as np

from astromodal.surveys.registry import GROUPS, light_curves
from astromodal.tokenizers.spectra.codebook import KINDS, kind_of


def test_features_of_each_kind():
    """Two of a spectrum's bin, three of a light curve's epoch."""
    assert {group.name: len(kind_of(group.name).weights) for group in GROUPS} == {
        name: 3 if name in light_curves(GROUPS.names) else 2 for name in GROUPS.names
    }


def test_every_kind_of_group_has_a_tokenizer():
    """No group can be registered whose kind has none."""
    assert {group.kind for group in GROUPS} == set(KINDS)


def test_scales_in_their_column():
    """log10 of a flux; a magnitude as it is; both come back, NaN stays NaN."""
    values = np.array([100.0, np.nan])
    np.testing.assert_array_equal(kind_of("desi_b").scale_to_column(values), [2.0, np.nan])
    np.testing.assert_array_equal(kind_of("ztf_r").scale_to_column(values), values)
    for kind in KINDS.values():
        back = kind.scale_from_column(kind.scale_to_column(values))
        np.testing.assert_allclose(back, values)
