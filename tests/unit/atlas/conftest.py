"""Two small fields, and settings of the atlas."""

import pytest

from astromodal.config import load_config
from helpers.fields import as_fields, made, model, pair
from helpers.model import CONFIG

__all__ = ["as_fields", "made", "model", "pair"]


@pytest.fixture(scope="session")
def settings():
    """Make the settings of a job, with some of the atlas."""

    def make(**atlas):
        tokenizers = CONFIG.tokenizers.model_dump(mode="json")
        bands = list(CONFIG.tokenizers.image.bands)
        shown = {"bands": [bands[0], bands[1 % len(bands)], bands[-1]]}
        return load_config({"tokenizers": tokenizers, "atlas": shown | atlas})

    return make
