"""Numbers of the transformer: mean NLL of held-out codes, by modality and by slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astromodal.evaluation.metrics import LN2, bootstrap_error, measure_mean
from astromodal.evaluation.report.section import Measurement
from astromodal.evaluation.transformer.losses import RangeNll
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM

BRIGHTNESS = "image_brightness"
"""Name of the slots of a cutout's brightness."""


@dataclass(frozen=True)
class ModalityNumbers:
    """Mean NLL of the codes of one modality.

    Attributes
    ----------
    n_objects, n_codes : int
        Objects and codes that were evaluated.
    model, unigram, gain : Measurement, optional
        NLL per code under the model and the baseline, and the difference of the two (nats); None
        without a code, as for all that follow.
    model_bits, unigram_bits, gain_bits : Measurement, optional
        The same in bits.
    better : float, optional
        Fraction of the objects whose codes have a smaller NLL under the model.
    first, after_others : Measurement, optional
        NLL under the model where no block of another modality comes before, and where one does
        (bits per code).
    """

    n_objects: int
    n_codes: int
    model: Measurement | None = None
    unigram: Measurement | None = None
    gain: Measurement | None = None
    model_bits: Measurement | None = None
    unigram_bits: Measurement | None = None
    gain_bits: Measurement | None = None
    better: float | None = None
    first: Measurement | None = None
    after_others: Measurement | None = None


@dataclass(frozen=True)
class ValidationNumbers:
    """Mean NLL on the validation split, from the history of the training (bits per code).

    Attributes
    ----------
    model, unigram : float
        At the step of the final weights; NaN where the history has none.
    untrained : float
        Under the model before its first step.
    """

    model: float
    unigram: float
    untrained: float


@dataclass(frozen=True)
class SlotNumbers:
    """Mean gain over the baseline in every slot of a block (bits per code).

    Attributes
    ----------
    n : int64 (slots,)
        Codes in each slot.
    gain : float64 (slots,)
        Mean gain; NaN in a slot without a code.
    error, model, unigram : float64 (slots,), optional
        Its bootstrap error, and the mean NLL of both, of scalar slots alone.
    """

    n: np.ndarray
    gain: np.ndarray
    error: np.ndarray | None = None
    model: np.ndarray | None = None
    unigram: np.ndarray | None = None


@dataclass(frozen=True)
class TransformerNumbers:
    """Numbers of the section.

    Attributes
    ----------
    parameters, steps, epochs, vocab_size : int
        Size of the model and of its vocabulary, and how long it was trained.
    tokens_per_second, seconds_per_step, flops_utilisation : float
        Median speeds of the training; NaN where the history has none.
    modalities : dict of str to ModalityNumbers
        By modality.
    validation : dict of str to ValidationNumbers
        By modality.
    slots : dict of str to SlotNumbers
        By block; ``{group}_scale`` is the slot of a group's scale, ``image_brightness`` are those
        of a cutout's brightness.
    """

    parameters: int
    steps: int
    epochs: int
    vocab_size: int
    tokens_per_second: float
    seconds_per_step: float
    flops_utilisation: float
    modalities: dict[str, ModalityNumbers] = field(default_factory=dict)
    validation: dict[str, ValidationNumbers] = field(default_factory=dict)
    slots: dict[str, SlotNumbers] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectSums:
    """Sums over the codes of one modality, by object, (n,) each.

    Attributes
    ----------
    model, unigram, gain : float64
        NLL under the model and the baseline, and the difference of the two (nats).
    count : float64
        Number of codes.
    first : bool
        Whether no block of the modality comes after a block of another one.
    """

    model: np.ndarray
    unigram: np.ndarray
    gain: np.ndarray
    count: np.ndarray
    first: np.ndarray


def measure_modality(
    ranges: Sequence[RangeNll],
    objects: Mapping[str, np.ndarray],
    modality: str,
    chosen: np.ndarray,
    seed: int,
) -> ModalityNumbers:
    """Measure the mean NLL of a modality's codes, with bootstrap errors over objects.

    Parameters
    ----------
    ranges : sequence of RangeNll
        Every range of ids.
    objects : mapping of str to int64 (m,)
        The objects of the rows, by block.
    modality : str
        ``image``, ``scalar`` or ``spectrum``.
    chosen : int64 (n,)
        Objects that were sampled for this modality.
    seed : int
        Seed of the bootstrap.
    """
    sums = object_sums(ranges, objects, modality, chosen)
    count, has = sums.count, sums.count > 0
    if not has.any():
        return ModalityNumbers(0, 0)
    model, unigram, gain = (
        measure_mean(values, count, seed) for values in (sums.model, sums.unigram, sums.gain)
    )
    first, after_others = (
        measure_mean(sums.model[where] / LN2, count[where], seed) if count[where].any() else None
        for where in (sums.first, ~sums.first)
    )
    return ModalityNumbers(
        n_objects=int(has.sum()),
        n_codes=int(count.sum()),
        model=model,
        unigram=unigram,
        gain=gain,
        model_bits=_in_bits(model),
        unigram_bits=_in_bits(unigram),
        gain_bits=_in_bits(gain),
        better=float((sums.gain[has] > 0).mean()),
        first=first,
        after_others=after_others,
    )


def _in_bits(nats: Measurement) -> Measurement:
    return Measurement(nats.value / LN2, nats.error / LN2, nats.n)


def object_sums(
    ranges: Sequence[RangeNll], objects: Mapping[str, np.ndarray], modality: str, chosen: np.ndarray
) -> ObjectSums:
    """Sum the NLL over each chosen object's codes of one modality."""
    order, n = np.argsort(chosen), len(chosen)
    model, unigram, count = np.zeros(n), np.zeros(n), np.zeros(n)
    first = np.ones(n, dtype=bool)
    for each in ranges:
        if each.ids.modality != modality or not len(each.model) or not n:
            continue
        rows = objects[each.block]
        place = np.searchsorted(chosen[order], rows)
        inside = (place < n) & (chosen[order][np.minimum(place, n - 1)] == rows)
        at = order[place[inside]]
        np.add.at(model, at, np.nansum(each.model[inside], axis=1))
        np.add.at(unigram, at, np.nansum(each.unigram[inside], axis=1))
        np.add.at(count, at, np.isfinite(each.model[inside]).sum(axis=1))
        first[at] &= each.first[inside]
    return ObjectSums(model, unigram, unigram - model, count, first)


def measure_slots(
    ranges: Sequence[RangeNll],
    objects: Mapping[str, np.ndarray],
    chosen: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, SlotNumbers]:
    """Measure the mean gain over the baseline in every slot.

    Parameters
    ----------
    ranges, objects
        As for `measure_modality`.
    chosen : mapping of str to int64 (n,)
        Objects that were sampled for each modality. A block counts only in objects that were
        sampled for its own modality.
    seed : int
        Seed of the bootstrap over objects, for scalar slots.

    Returns
    -------
    dict of str to SlotNumbers
        By block; ``{group}_scale`` is the slot of a group's scale, ``image_brightness`` are those
        of a cutout's brightness.
    """
    out: dict[str, SlotNumbers] = {}
    for each in ranges:
        home = each.block if each.block in chosen else SPECTRUM
        rows = np.isin(objects[each.block], chosen[home])
        if not rows.any():
            continue
        model, gain = each.model[rows] / LN2, (each.unigram[rows] - each.model[rows]) / LN2
        n, mean = np.isfinite(gain).sum(axis=0), _column_means(gain)
        if each.ids.modality != SCALAR:
            out[each.block] = SlotNumbers(n, mean)
            continue

        def means(index: np.ndarray, values: np.ndarray = gain) -> np.ndarray:
            return _column_means(values[index])

        error = bootstrap_error(means, len(gain), seed, 100)
        heads = {SCALAR: SCALAR, IMAGE: BRIGHTNESS}
        name = heads.get(home, f"{each.block}_scale")
        out[name] = SlotNumbers(n, mean, error, _column_means(model), _column_means(model + gain))
    return out


def _column_means(values: np.ndarray) -> np.ndarray:
    """Return the means of the finite values of each column; NaN without any."""
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)
