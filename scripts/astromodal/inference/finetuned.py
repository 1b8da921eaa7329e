"""Models that were fine-tuned to a label: from labels of objects to predictions and a folder.

Legend: n objects, K classes or bins, D model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from astromodal.config.inputs import ColumnSettings
from astromodal.config.training import FinetuneSettings, LabelSource, TrainingSettings
from astromodal.core.paths import ExportLayout
from astromodal.data.cube import Cube
from astromodal.data.labels import LabelReader, LabelValues
from astromodal.data.splits import TEST, VALIDATION
from astromodal.errors import ConfigError, must_be
from astromodal.inference.bundle import Bundle
from astromodal.inference.encode import Encoded, open_sequences
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.inference.prompt import count_given
from astromodal.inference.request import Request, check_label, parse_given
from astromodal.sequences.order import plan_epoch
from astromodal.storage.tempfiles import write_text
from astromodal.training.checkpoint import save_exported
from astromodal.training.finetune import Finetuning, LabelledObjects, divide
from astromodal.training.targets import Label


@dataclass(frozen=True)
class ClassPrediction:
    """The predicted probabilities of the classes of n objects.

    Attributes
    ----------
    label : str
        Name of the label.
    classes : tuple of str
        The classes, ascending.
    ids : unicode (n,)
        Ids of the objects.
    probabilities : float64 (n, classes)
        Probability of each class; rows sum to 1.
    n_given : int32 (n,)
        Number of codes that each object was predicted from.
    """

    label: str
    classes: tuple[str, ...]
    ids: np.ndarray
    probabilities: np.ndarray
    n_given: np.ndarray

    @property
    def likeliest(self) -> np.ndarray:
        """The most probable class of each object, unicode (n,)."""
        return np.asarray(self.classes)[self.probabilities.argmax(axis=1)]

    def __getitem__(self, which: np.ndarray | slice) -> ClassPrediction:
        """Return the prediction for some objects, by a mask (n,), positions or a slice."""
        ids, probabilities, n_given = self.ids, self.probabilities, self.n_given
        return replace(
            self, ids=ids[which], probabilities=probabilities[which], n_given=n_given[which]
        )


LabelPrediction = ClassPrediction | ScalarPrediction


def finetune_bundle(
    bundle: Bundle,
    objects: Encoded,
    label: LabelValues,
    settings: FinetuneSettings,
    logger: logging.Logger,
    checkpoint: Path | None = None,
) -> Bundle:
    """Fine-tune a model to a label of objects.

    Parameters
    ----------
    bundle : Bundle
        The trained model, which is not changed.
    objects : Encoded
        The objects.
    label : LabelValues
        Their labels. Objects of the validation split decide when to stop, or a random fifth where
        there are few.
    settings : FinetuneSettings
        Passes, learning rates, early stopping.
    logger : logging.Logger
        Logs each pass.
    checkpoint : path, optional
        File from which an interrupted fine-tuning goes on.

    Returns
    -------
    Bundle
        The fine-tuned model, with its label.
    """
    trained, columns = bundle.trained, bundle.columns
    check_label(label.name, bundle.layout, columns)
    unknown = [name for name in label.hidden if name not in columns]
    kept = replace(label, hidden=tuple(name for name in label.hidden if name not in unknown))
    places = np.flatnonzero(label.known)
    known, numbers, sequences = kept[places], objects.numbers[places], objects.sequences
    fit, tune = divide(sequences.split[numbers] == VALIDATION, settings.seed)
    described = _describe(known, fit, settings.n_bins)
    likelihood = described.likelihood(known.values, known.errors)
    labelled = LabelledObjects(sequences, numbers, likelihood, fit, tune)
    logger.info(
        "fine-tunes to %s: %d labels to fit to, %d to tune by, %s",
        label.name,
        len(labelled.fit),
        len(labelled.tune),
        ", ".join(described.classes) or f"{described.size} bins",
    )
    rate = trained.training.get("learning_rate", TrainingSettings().learning_rate)
    finetuning = Finetuning(
        trained.model, described, labelled, settings, trained.config.sequences, columns,
        trained.shuffled, rate, bundle.device,
    )  # fmt: skip
    fitted = finetuning.run(logger, checkpoint)
    return replace(bundle, trained=replace(trained, model=finetuning.model), label=fitted)


@dataclass(frozen=True)
class LabelledField:
    """A field whose objects may have a label.

    Attributes
    ----------
    name : str
        The field.
    cube, sequences : path
        Its cube and its sequence file.
    """

    name: str
    cube: str | Path
    sequences: str | Path


def read_labels(
    bundle: Bundle,
    fields: Sequence[LabelledField],
    name: str,
    source: LabelSource,
    columns: ColumnSettings,
) -> tuple[Encoded, LabelValues]:
    """Read the objects of fields and their values of a label.

    Parameters
    ----------
    bundle : Bundle
        The model.
    fields : sequence of LabelledField
        The fields.
    name : str
        Name of the label.
    source : LabelSource
        Where its values are found.
    columns : ColumnSettings
        Names of the columns that identify a source, sentinels and flags.

    Returns
    -------
    objects : Encoded
        The objects of all fields.
    labels : LabelValues
        Their labels.
    """
    reader = LabelReader(name, source)
    objects = open_sequences([field.sequences for field in fields], bundle)
    label = LabelValues.joined(
        [
            reader.read(Cube(field.cube, field.name, columns), store.row)
            for field, store in zip(fields, objects.sequences.stores, strict=True)
        ]
    )
    hidden = bundle.trained.config.sequences.labels if source.hidden is None else source.hidden
    revealing = dict.fromkeys([*hidden, *([source.column] if source.column else [])])
    return objects, replace(label, hidden=tuple(revealing))


def finetune_fields(
    bundle: Bundle,
    objects: Encoded,
    label: LabelValues,
    settings: FinetuneSettings,
    logger: logging.Logger,
    folder: str | Path,
    checkpoint: str | Path,
) -> Bundle:
    """Fine-tune a model to a label of the training and validation split, and write its folder.

    Parameters
    ----------
    bundle, objects, label, settings, logger
        As for `finetune_bundle`.
    folder, checkpoint : path
        The folder to write, and the file from which an interrupted fine-tuning goes on, which is
        deleted at the end.
    """
    split = objects.sequences.split[objects.numbers]
    kept = np.flatnonzero(split != TEST)
    checkpoint = Path(checkpoint)
    tuned = finetune_bundle(bundle, objects[kept], label[kept], settings, logger, checkpoint)
    save_bundle(tuned, folder)
    checkpoint.unlink(missing_ok=True)
    return tuned


def _describe(label: LabelValues, fit: np.ndarray, n_bins: int) -> Label:
    """Return the classes of a label, or bins of its values to fit to, int64 (m,)."""
    if label.are_classes:
        return Label.of_classes(label.name, label.values.tolist(), label.hidden)
    values = label.values[fit]
    return Label.of_numbers(label.name, label.unit, values, n_bins, label.hidden)


def predict_label(
    bundle: Bundle, objects: Encoded, given: str | Sequence[str] | None, token_budget: int
) -> LabelPrediction:
    """Predict the label that a model was fine-tuned to.

    Parameters
    ----------
    bundle : Bundle
        A model with a label.
    objects : Encoded
        The n objects.
    given : str or sequence of str, optional
        Columns and blocks to predict from; everything but the columns that reveal the label where
        None.
    token_budget : int
        Tokens that are run at once.

    Raises
    ------
    ConfigError
        If a name is unknown, or a column that reveals the label is given.
    """
    fitted, names = bundle.fitted_label, bundle.columns
    label = fitted.label
    blocks, columns = parse_given(bundle.layout, names, given)
    listed = [given] if isinstance(given, str) else list(given or ())
    if revealing := [name for name in listed if name in label.hidden]:
        must = f"without columns that reveal {label.name}"
        raise ConfigError(must_be("given", must, repr(revealing[0])))
    columns = tuple(i for i in columns if names[i] not in label.hidden)
    n_given = count_given(objects, Request((), (), columns, blocks, given is not None))
    sequences = objects.sequences.only(blocks, columns).asking(1)
    order = np.argsort(sequences.lengths[objects.numbers], kind="stable")
    plan = plan_epoch(objects.numbers[order], sequences.lengths, None, 1, token_budget)
    probabilities = np.zeros((len(objects), label.size))
    for step in range(len(plan)):
        place = order[plan.edges[step] : plan.edges[step + 1]]
        batch = sequences.batch(plan.step(step))
        states = bundle.states(batch)[:, : fitted.head.outer.in_features]
        at = torch.from_numpy(batch.columns.place[:, -1]).to(bundle.device)
        probabilities[place[batch.order]] = fitted.probabilities(states[at])
    if label.classes:
        return ClassPrediction(label.name, label.classes, objects.ids, probabilities, n_given)
    bins = probabilities, label.centers, label.edges
    return ScalarPrediction(label.name, label.unit, objects.ids, *bins, n_given, fitted.temperature)


def save_bundle(bundle: Bundle, folder: str | Path) -> None:
    """Write a model, its tokenizers and its label into a folder that `load_bundle` reads."""
    paths = ExportLayout(str(folder))
    save_exported(bundle.trained, bundle.tokenizers, paths)
    write_text(paths.card, _card(bundle))
    if bundle.label is not None:
        bundle.label.save(paths.label, bundle.trained.hash)


def _card(bundle: Bundle) -> str:
    """Return a short model card as Markdown."""
    trained, lines = bundle.trained, ["# astromodal model", ""]
    if bundle.label is not None:
        label = bundle.label.label
        kind = f"the classes {', '.join(label.classes)}" if label.classes else "a number"
        unit = f" ({label.unit})" if label.unit else ""
        hidden = ", ".join(label.hidden) or "none"
        lines += [
            f"Fine-tuned to the label `{label.name}`{unit}: {kind}. Columns that it is never",
            f"predicted from: {hidden}. Other columns and blocks are predicted with the changed",
            "weights, worse than by the model that it was fine-tuned from.",
            "",
        ]
    name = "specz_z" if bundle.label is None else bundle.label.label.name
    lines += [
        f"- trained for {trained.step:,} steps before; hash of the weights: `{trained.hash}`",
        "",
        "```python",
        "from astromodal.inference import AstroModel",
        "",
        'model = AstroModel.from_run("this/folder")',
        f'prediction = model.predict(model.encode("datacube_FIELD.parquet"), "{name}")["{name}"]',
        "```",
        "",
    ]
    return "\n".join(lines)
