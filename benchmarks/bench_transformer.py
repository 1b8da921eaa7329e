"""Training steps of the transformer, against PyTorch's and Hugging Face's; memory; data loading."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from astromodal.config.schema import ModelSettings, SequenceSettings, TrainingSettings
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SCALAR
from astromodal.sequences.order import plan_epoch
from astromodal.training.batches import ColumnRoles, Group, Steps
from astromodal.training.budget import Budget
from astromodal.training.initialisation import new_model
from astromodal.training.losses import TypedLoss
from astromodal.training.step import Optimisation, make_optimizer
from benchmarks.baselines import BATCH_SIZE, GPT2, EncoderLM, padded
from benchmarks.harness import REPEATS, Row, median_seconds, paired, peak_memory, seconds
from benchmarks.survey import (
    ALL,
    SCALARS_ONLY,
    WITH_DESI,
    WITH_IMAGE,
    default_layout,
    made_up_tables,
    write_survey,
)

CPU = torch.device("cpu")
SMALL = ModelSettings(d_model=256, n_layers=4, n_heads=4, d_ff=1024)
BASE = ModelSettings()
BUDGET = 4096
LONGEST = 2560
RATE, DECAY = 1e-4, 0.05
ENCODER = "nn.TransformerEncoder, post-norm, boolean masks, all logits"
NAMES = {EncoderLM: ENCODER, GPT2: "Hugging Face GPT2LMHeadModel, fed the same way"}


def rows() -> Iterator[Row]:
    """Yield rows of steps on mixed and dense objects, FLOPs utilisation, memory and loading."""
    with tempfile.TemporaryDirectory() as name:
        folder, layout = Path(name), default_layout()
        kinds = ((SCALARS_ONLY, 13), (WITH_IMAGE, 2), (WITH_DESI, 1))
        mixed = write_survey(folder / "mixed", layout, kinds)
        dense = write_survey(folder / "dense", layout, ((WITH_IMAGE, 4),))
        longest = write_survey(folder / "longest", layout, ((ALL, 1),))
        pair = write_survey(folder / "pair", layout, ((WITH_IMAGE, 2),))
        yield from _against(
            mixed,
            "16 objects (13 scalars only, 2 with cutouts, 1 with DESI)",
            SMALL,
            {EncoderLM: 10, GPT2: 7},
        )
        yield from _against(dense, "4 objects of 635 tokens", SMALL, {EncoderLM: 3, GPT2: 2})
        yield from _against(longest, "an object of 2047 tokens", SMALL, {EncoderLM: 3, GPT2: 2})
        yield from _against(pair, "2 objects of 635 tokens", BASE, {EncoderLM: 1.5})
        yield _utilisation(pair, BASE)
        yield _memory()
        many = tuple((kind, 600 * count) for kind, count in kinds)
        yield from _loading(write_survey(folder / "many", layout, many), mixed)


def our_step(
    sequences: SequenceSet,
    model: ModelSettings,
    token_budget: int = BUDGET,
    device: torch.device = CPU,
    compiled: bool = False,
) -> Callable[[], float]:
    """Return a function that trains an epoch as the job does: reading, losses, optimiser.

    The function returns the floating-point operations of the model in its steps.
    """
    layout, group = sequences.layout, Group(device=device)
    torch.manual_seed(0)
    built = new_model(model, layout, LONGEST)
    if compiled:
        built.compile_layers()
    training = TrainingSettings(
        token_budget=token_budget, epochs=1, learning_rate=RATE, weight_decay=DECAY
    )
    loss = TypedLoss(layout, made_up_tables(layout), training.meaningful_loss, device)
    budget = Budget.of(built, model)
    roles = ColumnRoles.alike(layout[SCALAR].length)
    steps = Steps(sequences, loss, training, SequenceSettings(), roles, group, budget)
    optimisation = Optimisation(built.to(device), loss, training, group)

    def epoch() -> float:
        done = 0.0
        for step in steps.after(0):
            done += optimisation.take(step, RATE, False).flops
        return done

    return epoch


def their_step(
    kind: type[EncoderLM] | type[GPT2],
    sequences: SequenceSet,
    model: ModelSettings,
    batch_size: int = BATCH_SIZE,
    device: torch.device = CPU,
) -> Callable[[], None]:
    """Return the same for a baseline, with batches made beforehand; in bfloat16 on a GPU."""
    torch.manual_seed(0)
    built = kind(sequences.layout.spec.vocab_size, model, LONGEST).to(device)
    optimizer = make_optimizer(built, RATE, DECAY)
    objects, half = np.arange(len(sequences)), device.type == "cuda"
    starts = range(0, len(objects), batch_size)
    batches = [padded(sequences, objects[i : i + batch_size], device) for i in starts]

    def step() -> None:
        for ids, types in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = built(ids, types)
            _update(built, optimizer, loss)

    return step


def _update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def _against(
    sequences: SequenceSet,
    what: str,
    model: ModelSettings,
    marks: Mapping[type[EncoderLM] | type[GPT2], float],
) -> Iterator[Row]:
    """Compare real tokens per second with the baselines."""
    tokens = int(sequences.lengths.sum())
    for kind, mark in marks.items():
        pair = paired(our_step(sequences, model), their_step(kind, sequences, model), warm=False)
        yield Row(
            "transformer", f"real tokens per second, {what}, {_size(model)}", NAMES[kind],
            pair.ratio, "×", mark,
            detail=f"{tokens / pair.ours:,.0f} to {tokens / pair.theirs:,.0f} of {tokens:,} tokens",
        )  # fmt: skip


def _size(model: ModelSettings) -> str:
    return f"d_model {model.d_model}, {model.n_layers} layers"


def _utilisation(sequences: SequenceSet, model: ModelSettings) -> Row:
    """Divide the model's FLOP/s by those of a large matrix product, measured in turn."""
    epoch = our_step(sequences, model)
    done = epoch()
    timed = [(_matmul_peak(), seconds(epoch)) for _ in range(REPEATS)]
    peak, taken = np.median(np.array(timed), axis=0).tolist()
    return Row(
        "transformer", f"model-FLOPs utilisation, {_size(model)}, 635 tokens",
        "a product of two 2048 × 2048 matrices", done / taken / peak, "", 0.40,
        detail=f"{done / taken / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s; matrix products of the "
        "layers, attention to earlier tokens and logits of legal ids, three times a forward pass",
    )  # fmt: skip


def _matmul_peak() -> float:
    x = torch.randn(2048, 2048)
    return 2 * 2048**3 / median_seconds(lambda: x @ x)


def _memory() -> Row:
    """Compare the peak memory of one step on 8 objects of 635 tokens."""
    imports = "from benchmarks.bench_transformer import remembered; step = remembered(sys.argv[1])"
    ours, theirs = (peak_memory(imports, "step()", side) for side in ("ours", "theirs"))
    return Row(
        "transformer", f"peak memory of a step above model and optimiser, {_size(SMALL)}",
        ENCODER, ours / theirs, "of its", 0.5, at_most=True,
        detail=f"{ours:,.0f} to {theirs:,.0f} MB for 8 objects of 635 tokens",
    )  # fmt: skip


def remembered(side: str) -> Callable[[], object]:
    """Return a step whose model and optimiser are in memory already: it ran once."""
    with tempfile.TemporaryDirectory() as folder:
        kinds = ((WITH_IMAGE, BATCH_SIZE),)
        sequences = write_survey(Path(folder) / "dense", default_layout(), kinds)
        step: Callable[[], object]
        if side == "ours":
            step = our_step(sequences, SMALL, 2 * BUDGET)
        else:
            step = their_step(EncoderLM, sequences, SMALL)
    step()
    return step


def _loading(sequences: SequenceSet, few: SequenceSet) -> Iterator[Row]:
    """Measure how fast a memory-mapped file gives batches, and their share of a step."""
    objects = np.arange(len(sequences))
    plan = plan_epoch(objects, sequences.lengths, (0, 0), 1, BUDGET)
    every = range(len(plan))
    taken = median_seconds(lambda: [sequences.batch(plan.step(i), (0, 0)) for i in every])
    yield Row(
        "transformer", "objects laid out a second, from memory-mapped sequences", "",
        len(sequences) / taken, "/s", 50_000,
        detail=f"steps of {BUDGET} tokens, blocks shuffled",
    )  # fmt: skip
    step = median_seconds(our_step(few, SMALL))
    share = taken / len(sequences) / (step / len(few))
    yield Row(
        "transformer", f"share of a step that loading takes, {_size(SMALL)}", "the whole step",
        share, "", 0.01, at_most=True,
    )  # fmt: skip
