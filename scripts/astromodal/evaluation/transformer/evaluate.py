"""The section on the transformer: how well it predicts the codes of held-out objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from astromodal.data.splits import TRAIN
from astromodal.evaluation.context import (
    EvaluatedField,
    EvaluationContext,
    described,
    eligible_objects,
)
from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.transformer.figures import History, add_figures
from astromodal.evaluation.transformer.losses import measure_nll, sample_objects
from astromodal.evaluation.transformer.measures import (
    ModalityNumbers,
    TransformerNumbers,
    ValidationNumbers,
    measure_modality,
    measure_slots,
)
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.order import plan_epoch
from astromodal.sequences.tokenizers import check_hashes
from astromodal.training.checkpoint import Trained, load_trained
from astromodal.training.history import (
    SPEEDS,
    median_value,
    read_history,
    untrained_value,
    value_at,
)
from astromodal.training.initialisation import Unigram

_BUDGET = 16_384  # tokens per batch, without gradients


def evaluate_transformer(
    context: EvaluationContext,
    training_sequences: Sequence[str | Path],
    final_model: str | Path,
    history: str | Path,
) -> Section:
    """Compare the model's NLL of held-out codes with that of a unigram baseline.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the file ``sequences``; of fields that trained, the test split is used.
    training_sequences : sequence of path
        The sequences that the model was trained on: the baseline counts their training split.
    final_model, history : path
        The trained model, and its losses during the training.

    Returns
    -------
    Section
        The section, with `TransformerNumbers`.

    Raises
    ------
    FormatError
        Where sequences are of other tokenizers than the model.
    """
    section = Section("transformer", "Transformer", context.figures)
    device = context.device or torch.device("cpu")
    trained, losses = load_trained(final_model, device), read_history(history)
    section.hashes |= {"transformer": trained.hash}
    section.hashes |= {
        f"{modality} tokenizer": value
        for modality, value in trained.vocabulary["tokenizer_hashes"].items()
    }
    training = SequenceSet(training_sequences, trained.layout)
    sequences = SequenceSet([f.files["sequences"] for f in context.fields], trained.layout)
    for store in (*training.stores, *sequences.stores):
        check_hashes(trained.vocabulary, store.tokenizer_hashes, str(store.path))
    unigram = Unigram(training, np.flatnonzero(training.split == TRAIN))
    evaluation = context.settings.evaluation
    eligible = eligible_objects(sequences, context.fields)
    chosen = sample_objects(sequences, eligible, evaluation.max_objects, evaluation.seed)
    every = np.unique(np.concatenate(list(chosen.values())))
    plan = plan_epoch(every, sequences.lengths, None, 1, _BUDGET)
    batches = context.progress((plan.step(i) for i in range(len(plan))), len(plan), "batches")
    shuffle = (evaluation.seed, 0) if trained.shuffled else None
    hiding = trained.hiding(evaluation.seed)
    ranges, objects = measure_nll(
        trained.model, sequences, batches, unigram, shuffle, hiding, device
    )
    numbers = replace(
        _training_numbers(trained, losses),
        modalities={
            m: measure_modality(ranges, objects, m, chosen[m], evaluation.seed) for m in MODALITIES
        },
        validation={m: _validation(losses, m, trained.step) for m in MODALITIES},
        slots=measure_slots(ranges, objects, chosen, evaluation.seed),
    )
    section.numbers = numbers
    section.summary = f"{_summary(context.fields, len(every), trained)} {_pace(numbers)}"
    for modality in MODALITIES:
        _add_headline(section, modality, numbers)
    with styled():
        add_figures(section, numbers, trained.config, trained.layout, losses)
    return section


def _validation(losses: History, modality: str, step: int) -> ValidationNumbers:
    """Return the NLL on the validation split at a step: that of the final weights."""
    entries = losses["validation"]
    model, unigram = (
        value_at(entries, f"{key}_{modality}", step) / LN2 for key in ("cross_entropy", "unigram")
    )
    untrained = untrained_value(entries, f"cross_entropy_{modality}") / LN2
    return ValidationNumbers(model, unigram, untrained)


def _training_numbers(trained: Trained, losses: History) -> TransformerNumbers:
    """Return the size of the model, and how long and how fast it was trained."""
    tokens, seconds, used = (median_value(losses["train"], name) for name in SPEEDS)
    return TransformerNumbers(
        parameters=sum(p.numel() for p in trained.model.parameters()),
        steps=trained.step,
        epochs=trained.epoch + 1,
        vocab_size=trained.layout.spec.vocab_size,
        tokens_per_second=tokens,
        seconds_per_step=seconds,
        flops_utilisation=used,
    )


def _pace(numbers: TransformerNumbers) -> str:
    """Say how fast the training was."""
    if not np.isfinite(numbers.tokens_per_second):
        return "The history does not contain the speed of the training."
    return (
        f"Training took {numbers.steps:,} steps, at a median of {numbers.tokens_per_second:,.0f} "
        f"tokens per second and {numbers.seconds_per_step:.2g} s per step. The model's operations "
        f"ran at {numbers.flops_utilisation:.0%} of the rate of a large matrix product."
    )


def _summary(fields: Sequence[EvaluatedField], n: int, trained: Trained) -> str:
    order = "in a random order" if trained.shuffled else "in their fixed order"
    return (
        f"{n} objects: {described(fields)}. The NLL is the negative log-likelihood of a code "
        f"among the codes that are legal in its slot, with the blocks of each object {order}. The "
        "unigram baseline is the frequency of each code in its slot over the training sequences, "
        "smoothed by leave-one-out likelihood; it uses the slot and nothing else of the object. "
        "As in training, scalar columns are a random choice asked after everything else, labels "
        "more often; the others are predicted one after another. So are the codes of a cutout or a "
        f"spectrum, but with a probability of {trained.config.sequences.hide_blocks:g} all of them "
        "are hidden and predicted from the other blocks. "
        "Missing codes are never targets."
    )


def _add_headline(section: Section, modality: str, numbers: TransformerNumbers) -> None:
    """Add the gain of a modality to the headlines, or a note where it has no code."""
    mine: ModalityNumbers = numbers.modalities[modality]
    if mine.gain_bits is None or mine.model_bits is None or mine.unigram_bits is None:
        section.notes.append(f"No evaluated object has a code of modality {modality}.")
        return
    model, unigram = mine.model_bits.value, mine.unigram_bits.value
    validation = numbers.validation[modality]
    note = f"{model:.3f} against {unigram:.3f} bits on {mine.n_objects} held-out objects"
    if np.isfinite([validation.model, validation.unigram]).all():
        note += f"; {validation.model:.3f} against {validation.unigram:.3f} on the validation split"
    if np.isfinite(validation.untrained):
        note += f", {validation.untrained:.3f} there before the first step"
    good = mine.gain_bits.above(0, errors=1) and not validation.model >= validation.unigram
    section.add_headline(
        f"Transformer, {modality}: gain over the unigram baseline",
        replace(mine.gain_bits, unit="bits per code"),
        note=note,
        verdict="good" if good else "bad",
    )
