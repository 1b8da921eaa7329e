"""Objects that are recognised by their scalars alone."""

import numpy as np
import pytest

from astromodal.evaluation.embeddings.recognition import recognise

VECTORS = np.random.default_rng(0).normal(size=(1000, 8))


def test_an_object_near_itself_is_recognised():
    """Embeddings that scalars leave as they are find all objects; two are looked among."""
    found = recognise(VECTORS, VECTORS + 1e-6)
    assert (found.nearest, found.of, found.share.value) == (2, 1000, 1.0)


def test_an_offset_of_modalities_hides_objects():
    """Where what is missing moves an embedding far away, few are nearest to their own."""
    found = recognise(VECTORS, VECTORS + 50.0)
    assert found.share.value < 0.1


def test_only_objects_with_more_than_scalars_are_looked_for():
    """The others have no second embedding."""
    alone = np.where(np.arange(1000)[:, None] < 10, VECTORS, np.nan)
    found = recognise(VECTORS, alone)
    assert (found.share.n, found.share.value) == (10, 1.0)


@pytest.mark.parametrize("n", [0, 5])
def test_without_such_objects_there_is_no_number(n):
    """Nothing is looked for."""
    assert recognise(VECTORS[:n], np.full((n, 8), np.nan)) is None
