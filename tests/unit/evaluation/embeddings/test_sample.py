"""The embedded objects and their labels, and the fields that are predicted from embeddings.

The field is predicted where fields differ, and only there.
"""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.evaluate import LabelSettings
from astromodal.errors import FormatError
from astromodal.evaluation.embeddings.sample import (
    field_offsets,
    names_to_give,
    sample_embeddings,
    select_commonest_blocks,
)


def test_labels_are_not_given(model):
    """Redshift, stellar parameters and columns derived from them are hidden, no others."""
    names = names_to_give(model, LabelSettings().hidden)
    expected = ["image", "desi_r", "gaiaxp_bp", "mag_pstotal_r", "mag_pstotal_i", "vista_japermag6"]
    assert names == expected


def test_an_embedding_does_not_change_with_the_label(as_fields, made, context):
    """Objects that differ only in redshift have the same embedding."""
    fields = as_fields(made("L1"), made("L2", specz_z=pa.array(np.linspace(0.1, 0.9, 40))))
    sample = sample_embeddings(context(fields))
    first, second = sample.vectors[sample.field == 0], sample.vectors[sample.field == 1]
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_stars_have_no_redshift(as_fields, two, context):
    """The velocity of a star is not used as a redshift; modalities are in words."""
    sample = sample_embeddings(context(as_fields(*two)))
    assert np.isnan(sample.redshift[sample.kind == "STAR"]).all()
    assert np.isfinite(sample.redshift[sample.kind == "GALAXY"]).any()
    assert sample.modalities[0] == "scalar + image + spectrum"
    assert sample.modalities[1] == "scalar"


def test_codes_of_an_earlier_cube_are_refused(as_fields, made, context):
    """Where scalars of the cube changed after they were encoded, an error is raised."""
    name, _, sequences = made("old")
    _, newer, _ = made("new", seed=1, id=[f"old-{i}" for i in range(40)])
    fields = as_fields((name, newer, sequences))
    with pytest.raises(FormatError, match="field old: codes of scalars must be those of .* as it"):
        sample_embeddings(context(fields))


def test_a_sample_without_objects(as_fields, two, context):
    """It has the width of an embedding, and no object."""
    sample = sample_embeddings(context(as_fields(*two, trained=("A", "B"))))
    assert len(sample) == 0
    assert sample.vectors.ndim == 2
    assert not sample.has("image").any()


NAMES = list("ABCDEFGH")


def points(n, shift, seed=0, dimensions=4):
    """Two fields of n objects each, the second moved along the first axis."""
    rng = np.random.default_rng(seed)
    field = np.repeat([3, 7], n)
    return rng.normal(size=(2 * n, dimensions)) + np.outer(field == 7, [shift, 0, 0, 0]), field


def test_fields_that_are_alike_are_not_predicted():
    """Accuracy is that of shuffled labels within its error, and no mean is off."""
    offsets = field_offsets(*points(200, 0.0), NAMES, seed=1)
    assert abs(offsets.excess.value) < 3 * offsets.excess.error
    assert list(offsets.fields) == ["D", "H"]
    for each in offsets.fields.values():
        assert abs(each.squared_offset.value) < 3 * each.squared_offset.error


def test_a_shifted_field_is_predicted():
    """A shift of s in four dimensions of unit scatter is a squared offset of s² / 4."""
    offsets = field_offsets(*points(2000, 2.0), NAMES, seed=1)
    for each in offsets.fields.values():
        assert each.squared_offset.value == pytest.approx(1.0, abs=0.1)
    # Of two Gaussians two sigmas apart, Phi(1) lie on their own side of the middle.
    assert offsets.balanced_accuracy.value == pytest.approx(0.841, abs=0.02)
    assert offsets.shuffled.value == pytest.approx(0.5, abs=0.05)
    assert offsets.random == 0.5


def test_balance_keeps_a_large_field_from_deciding():
    """Of 200 and 20 objects that are alike, half are predicted rightly, not nine tenths."""
    rng = np.random.default_rng(0)
    field = np.repeat([0, 1], [200, 20])
    accuracy = field_offsets(rng.normal(size=(220, 3)), field, NAMES, 1).balanced_accuracy
    assert accuracy.value == pytest.approx(0.5, abs=3 * accuracy.error + 0.01)


@pytest.mark.parametrize("counts", [[30], [30, 9], [5, 5]])
def test_too_few_fields_or_objects(counts):
    """One field with enough objects has nothing to be compared with."""
    field = np.repeat(np.arange(len(counts)), counts)
    space = np.random.default_rng(0).normal(size=(len(field), 3))
    assert field_offsets(space, field, NAMES, 1) is None


def test_the_set_of_modalities_that_most_objects_share():
    """By hand: set 1 has 12 and 11 objects of two fields, set 2 has 40 of one, set 3 too few."""
    blocks = np.repeat([1, 1, 2, 3, 3], [12, 11, 40, 10, 9])
    field = np.repeat([0, 1, 0, 0, 1], [12, 11, 40, 10, 9])
    assert select_commonest_blocks(blocks, field).tolist() == (blocks == 1).tolist()


def test_no_set_of_modalities_in_two_fields():
    """Where no set of modalities occurs in two fields, no object is chosen."""
    assert not select_commonest_blocks(np.repeat([1, 2], 20), np.repeat([0, 1], 20)).any()
