"""Observed and decoded light curves of the evaluated objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.data.spectra import read_light_curves
from astromodal.errors import FormatError, must_be
from astromodal.evaluation.held_out import EvaluatedField, check_ids, draw
from astromodal.evaluation.metrics import column_medians, count_codes
from astromodal.surveys.light_curves import LightCurveBatch, gather
from astromodal.surveys.registry import light_curves
from astromodal.tokenizers.light_curves import DecodedCurves, median_magnitude
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import SpectrumTokens, load_spectrum_tokens


@dataclass(frozen=True)
class CurveSample:
    """Live light curves of one group: m curves of n epochs in all.

    Attributes
    ----------
    ids : unicode (m,)
        The objects.
    observed : LightCurveBatch
        What the cubes hold; rows are those of each curve's own field.
    decoded : DecodedCurves
        What the codes say, epoch by epoch the same.
    median, decoded_median : float64 (m,)
        Median magnitude, and as its code gives it.
    counts : int64 (K,)
        How often each code occurs among all eligible light curves.
    """

    ids: np.ndarray
    observed: LightCurveBatch
    decoded: DecodedCurves
    median: np.ndarray
    decoded_median: np.ndarray
    counts: np.ndarray

    def snr(self) -> np.ndarray:
        """Median S/N of each curve's epochs, float64 (m,): 1.086 mag over the error."""
        ratio = 2.5 / np.log(10) / self.observed.error
        pieces = np.split(ratio, self.observed.indptr[1:-1])
        return np.array([column_medians(piece[:, None])[0] for piece in pieces if len(piece)])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over each curve's epochs of `values` (n,), float64 (m,)."""
        return np.bincount(self.observed.owner(), values, minlength=len(self.ids))


def sample_curves(
    fields: Sequence[EvaluatedField],
    coder: SpectrumTokenizer,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
) -> dict[str, CurveSample]:
    """Read the evaluated light curves of all fields and decode their codes.

    Returns
    -------
    dict of str to CurveSample
        Every light-curve group of the tokenizer, also those without a curve.

    Raises
    ------
    FormatError
        Where the codes are not of the cube's light curves.
    """
    groups = light_curves(coder.groups)
    if not groups:
        return {}
    tokens = [load_spectrum_tokens(f.files["tokens"], coder.hash) for f in fields]
    places = []
    for f, token in zip(fields, tokens, strict=True):
        has = np.any([np.diff(token.groups[g].indptr) > 0 for g in groups], axis=0)
        places.append(np.flatnonzero(has & f.rows()[token.row]))
    drawn = draw(places, evaluation.max_objects, evaluation.seed)
    samples = {}
    for group in groups:
        size = len(coder[group].centroids)
        counts = np.zeros(size, dtype=np.int64)
        ids, batches, codes, scales = [], [], [], []
        for f, token, eligible, chosen in zip(fields, tokens, places, drawn, strict=True):
            own = token.groups[group]
            counts += count_codes(own.codes[gather(own.indptr, eligible)[0]], size)
            curves = _observed(f, group, token, chosen, columns)
            place = np.searchsorted(token.row, curves.row)
            ids.append(token.ids[place])
            batches.append(curves)
            codes.append(own.codes[gather(own.indptr, place)[0]])
            scales.append(own.scale[place])
        observed = LightCurveBatch.join(batches)
        scale = np.concatenate([np.empty(0, np.uint16), *scales])
        flat = np.concatenate([np.empty(0, np.uint16), *codes])
        samples[group] = CurveSample(
            np.concatenate([np.empty(0, "U1"), *ids]),
            observed,
            coder.decode_curves(group, flat, observed.indptr, scale),
            median_magnitude(observed),
            coder.decode_scale(group, scale),
            counts,
        )
    return samples


def _observed(
    field: EvaluatedField,
    group: str,
    token: SpectrumTokens,
    chosen: np.ndarray,
    columns: ColumnSettings,
) -> LightCurveBatch:
    """The chosen objects' light curves that have codes."""
    cube = field.open(columns)
    check_ids(cube.ids(), token.row, token.ids, field.files["tokens"])
    lengths = np.diff(token.groups[group].indptr)
    wanted = chosen[lengths[chosen] > 0]
    parts = [b.take(np.isin(b.row, token.row[wanted])) for b in read_light_curves(cube, group)]
    found = LightCurveBatch.join(parts)
    if not np.array_equal(found.row, token.row[wanted]) or not np.array_equal(
        found.lengths(), lengths[wanted]
    ):
        what = f"{group} codes of {field.files['tokens'].name}"
        raise FormatError(must_be(what, "of the cube's light curves", "others", "encode again"))
    return found
