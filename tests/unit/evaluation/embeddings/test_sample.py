"""The embedded objects and their labels."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.evaluate import LabelSettings
from astromodal.errors import FormatError
from astromodal.evaluation.embeddings.sample import names_to_give, sample_embeddings


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
