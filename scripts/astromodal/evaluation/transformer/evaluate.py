"""How well the transformer predicts the codes of objects that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.evaluate import EvaluationSettings
from astromodal.core.progress import Progress, quiet
from astromodal.data.splits import TRAIN
from astromodal.evaluation.held_out import EvaluatedField, described, eligible_objects
from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.transformer.figures import add_figures
from astromodal.evaluation.transformer.measures import (
    choose_objects,
    measure_surprise,
    modality_numbers,
    slot_numbers,
)
from astromodal.inference.bundle import Trained, load_trained
from astromodal.sequences.dataset import SequenceSet, plan_epoch
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.vocabulary import check_hashes
from astromodal.training.history import (
    SPEEDS,
    median_value,
    read_history,
    untrained_value,
    value_at,
)
from astromodal.training.initialisation import Unigram

_BUDGET = 16_384  # tokens of a batch without gradients


def evaluate_transformer(
    fields: Sequence[EvaluatedField],
    training_sequences: Sequence[str | Path],
    final_model: str | Path,
    history: str | Path,
    evaluation: EvaluationSettings,
    figures: str | Path,
    device: torch.device,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare the model's surprise at unseen codes with that of a unigram baseline.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the file ``sequences``; of fields that trained, the test split is used.
    training_sequences : sequence of path
        The sequences that the model was trained on: the baseline counts their training split.
    final_model, history : path
        The trained model, and its losses while it was trained.
    evaluation : EvaluationSettings
        Objects a modality at most; seed of their draw, of block orders and of bootstrap errors.
    figures : path
        Folder to write the figures into.
    device : torch.device
        Where the model runs.
    progress : Progress
        Shows how many batches are done.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("transformer", "Transformer", Path(figures))
    trained, seed = load_trained(final_model, device), evaluation.seed
    losses = read_history(history)
    section.numbers = _training_numbers(trained, losses)
    training = SequenceSet(training_sequences, trained.layout)
    sequences = SequenceSet([f.files["sequences"] for f in fields], trained.layout)
    for store in (*training.stores, *sequences.stores):
        check_hashes(trained.vocabulary, store.tokenizer_hashes, str(store.path))
    unigram = Unigram(training, np.flatnonzero(training.split == TRAIN))
    eligible = eligible_objects(sequences, fields)
    chosen = choose_objects(sequences, eligible, evaluation.max_objects, seed)
    every = np.unique(np.concatenate(list(chosen.values())))
    section.summary = f"{_summary(fields, len(every), trained)} {_pace(part.numbers)}"
    plan = plan_epoch(every, sequences.lengths, None, 1, _BUDGET)
    batches = (plan.step(i) for i in range(len(plan)))
    surprises, objects = measure_surprise(
        trained.model, sequences, progress(batches, len(plan), "batches"), unigram,
        (seed, 0) if trained.shuffled else None, device,
    )  # fmt: skip
    modalities = {m: modality_numbers(surprises, objects, m, chosen[m], seed) for m in MODALITIES}
    section.numbers |= {
        "modalities": modalities,
        "slots": slot_numbers(surprises, objects, chosen, seed),
    }
    _add_validation(section, losses, trained.step)
    with styled():
        add_figures(section, trained.config, trained.layout, losses)
    return section.as_dict()


def _add_validation(section: Section, losses: dict[str, list[dict[str, Any]]], step: int) -> None:
    """Set what the history says of the validation split beside the numbers, and the headlines.

    The final weights are those of the best validation, at `step`.
    """
    for modality, numbers in section.numbers["modalities"].items():
        numbers["validation_bits"], numbers["validation_unigram_bits"] = (
            value_at(losses["validation"], f"{key}_{modality}", step) / LN2
            for key in ("cross_entropy", "unigram")
        )
        untrained = untrained_value(losses["validation"], f"cross_entropy_{modality}") / LN2
        numbers["untrained_validation_bits"] = untrained
        _headline(section, modality, numbers)


def _training_numbers(trained: Trained, losses: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What was trained, how long and how fast."""
    hashes = trained.vocabulary["tokenizer_hashes"]
    return {
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "steps": trained.step,
        "epochs": trained.epoch + 1,
        **{name: median_value(losses["train"], name) for name in SPEEDS},
        "vocab_size": trained.layout.spec.vocab_size,
        **{f"{modality}_tokenizer_hash": value for modality, value in hashes.items()},
        "weights_hash": trained.hash,
    }


def _pace(numbers: dict[str, Any]) -> str:
    """How fast training went."""
    rate, seconds, used = (numbers[name] for name in SPEEDS)
    if not np.isfinite(rate):
        return "The history does not tell how fast training went."
    return (
        f"{numbers['steps']:,} steps, at a median of {rate:,.0f} tokens a second and "
        f"{seconds:.2g} s a step; the model's operations ran at {used:.0%} of the rate of a large "
        "matrix product."
    )


def _summary(fields: Sequence[EvaluatedField], n: int, trained: Trained) -> str:
    order = (
        "each object's blocks in a random order" if trained.shuffled else "blocks in their order"
    )
    return (
        f"{n} objects: {described(fields)}. Surprise is the negative log-likelihood of each code "
        f"among the codes that are legal in its slot, {order}. The unigram baseline is each code's "
        "frequency given its slot, over the training sequences, smoothed as well as counting can: "
        "it knows where a code stands and nothing of the object. A missing code is never a target."
    )


def _headline(section: Section, modality: str, numbers: dict[str, Any]) -> None:
    if not numbers["n_codes"]:
        section.notes.append(f"No evaluated object has a code of modality {modality}.")
        return
    gain = numbers["gain_bits"]
    unigram, model = (numbers[f"{way}_bits"].value for way in ("unigram", "model"))
    validation = numbers["validation_bits"], numbers["validation_unigram_bits"]
    note = f"{model:.3f} against {unigram:.3f} bits on {numbers['n_objects']} unseen objects"
    if np.isfinite(validation).all():
        note += "; {:.3f} against {:.3f} on the validation split".format(*validation)
    if np.isfinite(numbers["untrained_validation_bits"]):
        note += f", {numbers['untrained_validation_bits']:.3f} there before the first step"
    good = gain.value > gain.error and not validation[0] >= validation[1]
    section.add_headline(
        f"Transformer, {modality}: gain over the unigram", gain.value, gain.error,
        unit="bits a code", note=note, verdict="good" if good else "bad",
    )  # fmt: skip
