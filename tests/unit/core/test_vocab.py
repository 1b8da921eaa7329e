import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config import load_config
from astromodal.core import VocabSpec, build_vocab_spec
from astromodal.errors import ConfigError

GROUPS = ["desi_b", "gaiaxp_bp"]


def spec():
    return build_vocab_spec(
        v_image=10, v_scalar=4 * 8, v_spectra=6, spectrum_groups=GROUPS, n_bins=8, n_brightness=1
    )


def test_ranges_follow_one_another():
    """Special ids, images, columns, brightness, scales, groups: hand-computed offsets."""
    s = spec()
    assert (s.image_offset, s.scalar_offset, s.column_offset(1)) == (5, 15, 23)
    assert s.brightness_column == 1
    assert (s.scale_column("desi_b"), s.scale_column("gaiaxp_bp")) == (2, 3)
    assert (s.spectrum_offset("desi_b"), s.spectrum_offset("gaiaxp_bp")) == (47, 53)
    assert s.vocab_size == 59


def test_types_are_one_a_group():
    """Each group has a token type of its own, after special, image and scalar."""
    assert (spec().spectrum_type("desi_b"), spec().spectrum_type("gaiaxp_bp")) == (3, 4)


def test_more_groups_than_types_are_refused():
    """The last type is that of asked columns, so that twelve groups have one."""
    names = [f"group_{i}" for i in range(13)]
    assert build_vocab_spec(1, 13, 1, names[:12], 1).spectrum_type("group_11") == 14
    with pytest.raises(ConfigError, match="at most 12 groups, got 13"):
        build_vocab_spec(1, 13, 1, names, 1)


def test_the_defaults_are_the_design_s():
    """55 columns, 38 of cutouts, 5 scales of 1024 bins; 2048 image codes, 5 groups."""
    config = load_config()
    s = build_vocab_spec(
        v_image=config.vocab.image,
        v_scalar=config.vocab.scalar,
        v_spectra=config.vocab.spectrum,
        spectrum_groups=config.tokenizers.spectrum.groups,
    )
    assert s.vocab_size == 5 + 2048 + (55 + 38 + 5) * 1024 + 5 * 2048
    assert (s.image_offset, s.scalar_offset) == (5, 2053)


def test_it_survives_json():
    """The written vocabulary reads back as itself."""
    assert VocabSpec.from_dict(json.loads(json.dumps(spec().as_dict()))) == spec()


def test_an_unknown_group_is_refused():
    """A group is found by its name only."""
    with pytest.raises(ConfigError, match="spectrum group must be one of"):
        spec().spectrum_offset("desi_z")


@pytest.mark.parametrize("v_scalar", [7, 8])
def test_scalars_must_fill_whole_columns(v_scalar):
    """A range that is no whole number of columns, or holds no scales, is refused."""
    with pytest.raises(ConfigError, match="v_scalar must be a multiple of n_bins"):
        build_vocab_spec(10, v_scalar, 6, GROUPS, n_bins=8)


def test_without_bins_the_columns_are_unknown():
    """Without n_bins the sizes are known, but not the ids of single columns."""
    s = build_vocab_spec(10, 32, 6, GROUPS)
    assert (s.vocab_size, s.spectrum_offset("gaiaxp_bp")) == (59, 53)
    with pytest.raises(ConfigError, match="n_bins must be known to place a scalar column"):
        s.column_offset(1)


def test_groups_must_be_unique():
    """Repeated groups are refused."""
    with pytest.raises(ConfigError, match="spectrum_groups must be unique"):
        build_vocab_spec(10, 64, 6, ["desi_b", "desi_b"], n_bins=8)


@given(st.integers(2, 99), st.integers(0, 9), st.integers(2, 99), st.permutations(GROUPS))
def test_every_id_has_one_meaning(v_image, columns, v_spectra, groups):
    """The ranges tile the vocabulary without gaps or overlaps, whatever the sizes."""
    s = build_vocab_spec(v_image, (columns + 2) * 8, v_spectra, groups, n_bins=8)
    ranges = [(0, 5), (5, v_image)]
    ranges += [(s.column_offset(c), 8) for c in range(s.n_columns)]
    ranges += [(s.spectrum_offset(g), v_spectra) for g in groups]
    ends = [start + size for start, size in ranges]
    assert [start for start, _ in ranges] == [0, *ends[:-1]]
    assert ends[-1] == s.vocab_size
