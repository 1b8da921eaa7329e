"""Two small fields, and a catalogue of them."""

import pytest

from astromodal.config import load_config
from astromodal.hats.catalogue import write_catalogue
from astromodal.hats.rows import CatalogueRows
from helpers.fields import as_fields, made, model, pair

__all__ = ["as_fields", "made", "model", "pair"]


@pytest.fixture(scope="session")
def settings():
    """Make the settings of a job, with some of the catalogue's."""
    return lambda **hats: load_config({"hats": hats})


@pytest.fixture(scope="session")
def write(model, settings):
    """Write the catalogue of some fields; its places."""

    def make(folder, fields, **hats):
        chosen = settings(**hats)
        return write_catalogue(folder, CatalogueRows(fields, model, chosen.hats), chosen)

    return make


@pytest.fixture(scope="session")
def catalogue(write, as_fields, pair, tmp_path_factory):
    """The folder of a catalogue of both fields, in partitions of few rows."""
    folder = tmp_path_factory.mktemp("hats") / "hats"
    write(folder, as_fields(*pair), max_rows=18, margin=60)
    return folder
