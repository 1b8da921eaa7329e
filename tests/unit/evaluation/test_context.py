"""The context that evaluations have in common."""

import pytest

from astromodal.errors import ConfigError


def test_a_model_needs_a_run(context):
    """Without the folder of a run there is no model to load."""
    with pytest.raises(ConfigError, match="must be the folder of a trained model, got None"):
        _ = context([]).model
