"""The section on the transformer, on made-up sequences."""

import pytest
import torch

from astromodal.errors import FormatError
from astromodal.evaluation.context import evaluated_fields
from astromodal.evaluation.transformer.evaluate import evaluate_transformer
from astromodal.training.checkpoint import load_trained
from astromodal.training.history import history_line

SETTINGS = {"evaluation.max_objects": 30}


@pytest.fixture
def run(tmp_path, context, toy):
    """Evaluate a model that learned nothing on a held-out and a trained field."""

    def go(blocks=("image", "desi_r"), hashes=toy.hashes, n=40):
        history = tmp_path / "history.jsonl"
        entry = {"step": 1, "split": "validation", "cross_entropy_image": 1.0, "unigram_image": 2.0}
        history.write_text(history_line(entry))
        trained = toy.write(tmp_path / "t.safetensors", seed=1, blocks=blocks)
        held = toy.write(tmp_path / "h.safetensors", n=n, seed=2, blocks=blocks)
        fields = evaluated_fields(["T", "H"], ["T"], sequences=[trained, held])
        model = toy.save(tmp_path / "model.pt", hashes)
        return evaluate_transformer(context(fields, SETTINGS), [trained], model, history)

    return go


def test_every_number_is_there(run):
    """All modalities and slots have numbers; steps, epochs and hashes are there."""
    section = run()
    numbers = section.numbers
    assert (numbers.steps, numbers.epochs) == (7, 2)
    assert section.hashes["image tokenizer"] == "i"
    assert set(numbers.slots) == {
        "image", "image_brightness", "scalar", "desi_r", "desi_r_scale",
    }  # fmt: skip
    for modality in ("image", "scalar", "spectrum"):
        assert numbers.modalities[modality].n_codes > 0
    # of the trained field only the ten test objects count, of the other all forty
    assert numbers.modalities["scalar"].n_objects == 30
    names = ["nll", "history", "slots_scalar", "slots_image", "slots_spectrum"]
    assert [f.file for f in section.figures] == [f"{name}.png" for name in names]


def test_untrained_model_falls_short(run):
    """A model that learned nothing does not reach the mark."""
    verdicts = {h.label: h.verdict for h in run().headlines}
    assert verdicts["Transformer, scalar: gain over the unigram baseline"] == "bad"


def test_modalities_without_objects_are_named(run):
    """Without images and spectra anywhere, scalars are evaluated and the rest is named."""
    section = run(blocks=())
    assert "No evaluated object has a code of modality image." in section.notes
    assert [f.file for f in section.figures] == [
        "nll.png",
        "history.png",
        "slots_scalar.png",
    ]


def test_no_object_to_evaluate(tmp_path, context, toy):
    """Without a field to evaluate there is only the history, and each modality is named."""
    (tmp_path / "history.jsonl").write_text("")
    trained, model = toy.write(tmp_path / "t.safetensors"), toy.save(tmp_path / "model.pt")
    files = [trained], model, tmp_path / "history.jsonl"
    section = evaluate_transformer(context([], SETTINGS), *files)
    assert len(section.notes) == 3
    assert [f.file for f in section.figures] == ["history.png"]


def test_other_tokenizers_are_refused(run, toy):
    """A model is not evaluated on sequences of tokenizers that it was not trained with."""
    with pytest.raises(FormatError, match="scalar tokenizer must be of hash other"):
        run(hashes={**toy.hashes, "scalar": "other"})


def test_model_is_loaded_as_it_was_saved(tmp_path, toy):
    """Weights and config survive the file."""
    trained = load_trained(toy.save(tmp_path / "m.pt"), torch.device("cpu"))
    for name, tensor in toy.model().state_dict().items():
        assert torch.equal(trained.model.state_dict()[name], tensor)
    assert trained.layout == toy.layout
    assert trained.shuffled
