"""The section on the transformer, on made-up sequences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astromodal.config.schema import (
    Config,
    ImageSettings,
    ModelSettings,
    ScalarSettings,
    SequenceSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import MISS, MISSING_CODE
from astromodal.data.splits import TEST, TRAIN, VALIDATION
from astromodal.errors import FormatError
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.transformer.evaluate import evaluate_transformer, load_trained
from astromodal.evaluation.transformer.figures import add_figures, ring_means, running_mean
from astromodal.evaluation.transformer.measures import (
    SlotNumbers,
    TransformerNumbers,
    measure_modality,
    measure_slots,
)
from astromodal.evaluation.transformer.sample import RangeNll, measure_nll, sample_objects
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import Range, sequence_layout
from astromodal.sequences.store import BlockCodes, pack_objects, write_sequences
from astromodal.training.checkpoint import save_model
from astromodal.training.history import history_line
from astromodal.training.initialisation import Unigram

CONFIG = Config(
    tokenizers=TokenizerSettings(
        scalar=ScalarSettings(columns=("a", "b"), n_bins=4),
        spectrum=SpectrumSettings(
            groups=("gaiaxp_bp",), codebook_size=4, xp_samples=16, max_spec_tokens_per_group=8
        ),
        image=ImageSettings(size=8, codebook_size=4),
    ),
    model=ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=16, dropout=0.0),
    sequences=SequenceSettings(max_seq_len=32),
)
PARTS = CONFIG.tokenizers
LAYOUT = sequence_layout(PARTS)
HASHES = {"image": "i", "scalar": "s", "spectrum": "x"}
SETTINGS = {"evaluation.max_objects": 30}


def _write(path, n=40, seed=0, blocks=("image", "gaiaxp_bp"), split=None):
    """Sequences of `n` objects; every second one has the blocks beside the scalars."""
    rng = np.random.default_rng(seed)

    def codes(name, rows):
        length = LAYOUT[name].length
        found = rng.integers(0, 4, (len(rows), length)).astype(np.uint16)
        ids = np.array([f"o{row}" for row in rows])
        return BlockCodes(found, rows.astype(np.int32), ids, name)

    every = np.arange(n)
    found = {"scalar": codes("scalar", every)}
    found["scalar"].codes[::3, 1] = MISSING_CODE
    found |= {name: codes(name, every[::2]) for name in blocks}
    split = np.resize([TRAIN, TRAIN, TEST, VALIDATION], n) if split is None else split
    write_sequences(path, pack_objects(LAYOUT, found, split), LAYOUT, HASHES)
    return path


def _model(seed=0):
    torch.manual_seed(seed)
    m = CONFIG.model
    return CausalTransformerLM(
        LAYOUT.spec.vocab_size, m.d_model, m.n_layers, m.n_heads, m.d_ff, 0.0, 32
    ).eval()


def _save(path, hashes=HASHES):
    config = {
        "model": CONFIG.model.model_dump(mode="json"),
        "sequences": CONFIG.sequences.model_dump(mode="json"),
        "tokenizers": CONFIG.tokenizers.model_dump(mode="json", exclude={"fields"}),
    }
    state = {
        "model_state_dict": _model().state_dict(), "step": 7, "epoch": 1, "config": config,
        "vocab_spec": {**LAYOUT.spec.as_dict(), "tokenizer_hashes": dict(hashes)},
    }  # fmt: skip
    save_model(path, state)
    return path


@pytest.fixture
def run(tmp_path, context):
    """Evaluate a model that learned nothing on a held-out and a trained field."""

    def go(blocks=("image", "gaiaxp_bp"), hashes=HASHES, n=40):
        history = tmp_path / "history.jsonl"
        entry = {"step": 1, "split": "validation", "cross_entropy_image": 1.0, "unigram_image": 2.0}
        history.write_text(history_line(entry))
        trained = _write(tmp_path / "t.safetensors", seed=1, blocks=blocks)
        held = _write(tmp_path / "h.safetensors", n=n, seed=2, blocks=blocks)
        fields = evaluated_fields(["T", "H"], ["T"], sequences=[trained, held])
        model = _save(tmp_path / "model.pt", hashes)
        return evaluate_transformer(context(fields, SETTINGS), [trained], model, history)

    return go


@pytest.mark.parametrize("shuffle", [None, (3, 0)])
def test_nll_is_that_of_all_logits_over_legal_ids(tmp_path, shuffle):
    """Each code's NLL equals that of a softmax of the whole model's logits over its legal ids."""
    sequences = SequenceSet([_write(tmp_path / "s.safetensors", n=6)], LAYOUT)
    model, unigram = _model(), Unigram(sequences, np.arange(6))
    objects = np.array([2])
    found, _ = measure_nll(model, sequences, [objects], unigram, shuffle, torch.device("cpu"))
    batch = sequences.batch(objects, shuffle)
    tokens, types = (torch.from_numpy(a)[None].long() for a in (batch.tokens, batch.types))
    logits = model(tokens, types, None)[0]
    for s in found:
        start = batch.starts[LAYOUT[s.block].type][0] + s.ids.first
        for slot in range(s.ids.n_slots):
            target = int(batch.tokens[start + slot + 1])
            low = s.ids.offset + slot * s.ids.stride
            if target == MISS:
                assert np.isnan(s.model[0, slot])
                continue
            want = -F.log_softmax(logits[start + slot, low : low + s.ids.size], 0)[target - low]
            assert s.model[0, slot] == pytest.approx(float(want.detach()), abs=1e-5)


def test_unigram_nll_agrees_with_its_own_mean(tmp_path):
    """The baseline's NLL, code by code, has the mean that the baseline itself returns."""
    sequences = SequenceSet([_write(tmp_path / "s.safetensors")], LAYOUT)
    unigram, objects = Unigram(sequences, np.arange(20)), np.arange(20, 40)
    found, _ = measure_nll(
        _model(), sequences, [objects[:7], objects[7:]], unigram, None, torch.device("cpu")
    )
    for modality, mean in unigram.cross_entropy(sequences, objects).items():
        values = np.concatenate([s.unigram.ravel() for s in found if s.ids.modality == modality])
        assert np.nanmean(values) == pytest.approx(mean, rel=1e-5)


def test_first_blocks_are_known(tmp_path):
    """In the layout's order an object with an image has its image first and nothing else."""
    sequences = SequenceSet([_write(tmp_path / "s.safetensors", n=4)], LAYOUT)
    unigram = Unigram(sequences, np.arange(4))
    batches = [np.arange(4)]
    found, rows = measure_nll(_model(), sequences, batches, unigram, None, torch.device("cpu"))
    first = {
        s.block: dict(zip(rows[s.block].tolist(), s.first.tolist(), strict=True)) for s in found
    }
    assert first["image"] == {0: True, 2: True}
    assert first["scalar"] == {0: False, 1: True, 2: False, 3: True}


def test_objects_are_drawn_by_modality(tmp_path):
    """At most so many objects a modality, all of which have it."""
    sequences = SequenceSet([_write(tmp_path / "s.safetensors")], LAYOUT)
    chosen = sample_objects(sequences, np.arange(40), 5, seed=0)
    assert {name: len(rows) for name, rows in chosen.items()} == {
        "image": 5, "scalar": 5, "spectrum": 5,
    }  # fmt: skip
    assert np.all(chosen["image"] % 2 == 0)


def _range(block, modality, model, unigram, first):
    ids = Range(modality, 0, model.shape[1], 5, 4, 0)
    return RangeNll(block, ids, np.asarray(model), np.asarray(unigram), np.asarray(first))


def test_modality_numbers_by_hand():
    """NLL 1 and 3 against 4 and 4, a code missing: means 2 and 4, every object gains."""
    model, unigram = np.array([[1.0], [3.0], [np.nan]]), np.array([[4.0], [4.0], [np.nan]])
    s = _range("image", "image", model, unigram, [True, False, True])
    objects = {"image": np.array([7, 3, 9])}
    found = measure_modality([s], objects, "image", np.array([3, 7, 9, 11]), seed=0)
    assert (found.n_objects, found.n_codes, found.better) == (2, 2, 1.0)
    assert [found.model.value, found.unigram.value, found.gain.value] == [2, 4, 2]
    assert found.gain_bits.value == pytest.approx(2 / np.log(2))
    assert found.first.value == pytest.approx(1 / np.log(2))
    assert found.after_others.value == pytest.approx(3 / np.log(2))


def test_objects_that_were_not_drawn_do_not_count():
    """An object that is there for another modality's sake is left out."""
    s = _range("image", "image", np.array([[1.0], [9.0]]), np.array([[2.0], [2.0]]), [True, True])
    objects, chosen = {"image": np.array([0, 1])}, {"image": np.array([0])}
    assert measure_modality([s], objects, "image", chosen["image"], 0).model.value == 1
    slots = measure_slots([s], objects, {"image": chosen["image"], "spectrum": chosen["image"]}, 0)
    assert slots["image"].gain == pytest.approx([1 / np.log(2)])


def test_every_number_is_there(run):
    """All modalities and slots have numbers; steps, epochs and hashes are there."""
    section = run()
    numbers = section.numbers
    assert (numbers.steps, numbers.epochs) == (7, 2)
    assert section.hashes["image tokenizer"] == "i"
    assert set(numbers.slots) == {"image", "scalar", "gaiaxp_bp", "gaiaxp_bp_scale"}
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


def test_slots_without_a_code_are_not_plotted(tmp_path):
    """There is neither an empty map with a colour bar nor an empty curve."""
    section = Section("transformer", "Transformer", tmp_path)
    empty = SlotNumbers(np.zeros(4, int), np.full(4, np.nan))
    slots = dict.fromkeys(("image", "gaiaxp_bp"), empty)
    numbers = TransformerNumbers(1, 1, 1, 1, np.nan, np.nan, np.nan, slots=slots)
    add_figures(section, numbers, CONFIG, LAYOUT, {"train": [], "validation": []})
    assert [f.file for f in section.figures] == ["history.png"]


def test_no_object_to_evaluate(tmp_path, context):
    """Without a field to evaluate there is only the history, and each modality is named."""
    (tmp_path / "history.jsonl").write_text("")
    trained, model = _write(tmp_path / "t.safetensors"), _save(tmp_path / "model.pt")
    files = [trained], model, tmp_path / "history.jsonl"
    section = evaluate_transformer(context([], SETTINGS), *files)
    assert len(section.notes) == 3
    assert [f.file for f in section.figures] == ["history.png"]


def test_other_tokenizers_are_refused(run):
    """A model is not evaluated on sequences of tokenizers that it was not trained with."""
    with pytest.raises(FormatError, match="scalar tokenizer must be of hash other"):
        run(hashes={**HASHES, "scalar": "other"})


def test_model_is_loaded_as_it_was_saved(tmp_path):
    """Weights and config survive the file."""
    trained = load_trained(_save(tmp_path / "m.pt"), torch.device("cpu"))
    for name, tensor in _model().state_dict().items():
        assert torch.equal(trained.model.state_dict()[name], tensor)
    assert trained.layout == LAYOUT
    assert trained.shuffled


def test_running_mean_by_hand():
    """Four values in stretches of two; what is not finite does not count."""
    x, y = running_mean(np.arange(4.0), np.array([1.0, 3.0, np.nan, 5.0]), width=2)
    assert (x.tolist(), y.tolist()) == ([0.5, 2.5], [2.0, 5.0])


def test_ring_means_by_hand():
    """On a 2 × 2 grid all slots lie within two patches of the middle."""
    assert ring_means(np.array([1.0, 2, 3, 6])) == [["0 to 2", 4, 3.0]]
