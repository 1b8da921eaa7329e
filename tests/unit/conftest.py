"""A toy model and objects that it encoded; folders with another model have their own."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def bundle():
    from helpers.model import toy_bundle  # most unit tests need no model

    return toy_bundle()


@pytest.fixture(scope="session")
def model(bundle):
    from astromodal.inference.model import AstroModel

    return AstroModel(bundle)


@pytest.fixture(scope="session")
def encoded(model):
    """Twelve objects: every second with an image, every third with a DESI spectrum."""
    from helpers.model import cube_table

    return model.encode(cube_table())
