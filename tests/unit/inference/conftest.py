"""A toy model and objects that it encoded."""

from __future__ import annotations

import pytest

from astromodal.inference.model import AstroModel
from helpers.model import cube_table, toy_bundle


@pytest.fixture(scope="session")
def bundle():
    return toy_bundle()


@pytest.fixture(scope="session")
def model(bundle):
    return AstroModel(bundle)


@pytest.fixture(scope="session")
def encoded(model):
    """Twelve objects: every second with an image, every third with a DESI spectrum."""
    return model.encode(cube_table())
