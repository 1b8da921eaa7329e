"""The context that evaluations have in common."""

import pytest

from astromodal.config import load_config
from astromodal.evaluation.context import ModelContext
from astromodal.inference.model import AstroModel


def test_the_model_is_loaded_once_and_only_when_used(tmp_path, monkeypatch):
    """From the folder of the run, on the CPU unless the context has a device."""
    loaded = []
    monkeypatch.setattr(AstroModel, "from_run", lambda *given: loaded.append(given) or "model")
    config = load_config()
    context = ModelContext([], config, tmp_path, run=tmp_path / "run")
    assert loaded == []
    assert (context.model, context.model) == ("model", "model")
    assert loaded == [(tmp_path / "run", "cpu", config.predict)]


def test_the_context_of_a_model_needs_its_run(tmp_path):
    """A model has a folder."""
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'run'"):
        ModelContext([], load_config(), tmp_path)
