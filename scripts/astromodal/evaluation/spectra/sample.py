"""Observed and decoded spectra of the evaluated objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, SpectrumSettings
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import has_group, read_spectra, rebinned
from astromodal.evaluation.held_out import EvaluatedField, check_codes, check_ids, draw
from astromodal.evaluation.metrics import column_medians, count_codes
from astromodal.surveys.registry import grid_group, spectra, spectrum_group
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.spectra.features import object_scale
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import SpectrumTokens, load_spectrum_tokens


@dataclass(frozen=True)
class GroupSample:
    """Live spectra of one group."""

    ids: np.ndarray  # (n,) unicode
    flux: np.ndarray  # (n, L) float, observed and rebinned; NaN without a good pixel
    ivar: np.ndarray  # (n, L) its inverse variance; 0 without a good pixel
    decoded: np.ndarray  # (n, L) decoded flux; NaN where the code is missing
    scale: np.ndarray  # (n,) the object's own flux scale
    decoded_scale: np.ndarray  # (n,) the scale as its code gives it
    counts: np.ndarray  # (K,) how often each code occurs among all eligible spectra
    n_dead: int  # eligible spectra without a good pixel

    def snr(self) -> np.ndarray:
        """Median flux / error over each spectrum's good bins, (n,)."""
        if not len(self.flux):
            return np.empty(0)
        good = self.ivar > 0
        ratio = np.where(good, self.flux * np.sqrt(np.where(good, self.ivar, 0)), np.nan)
        return column_medians(ratio.T)


def sample_spectra(
    fields: Sequence[EvaluatedField],
    coder: SpectrumTokenizer,
    spectrum: SpectrumSettings,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    progress: Progress,
) -> dict[str, GroupSample]:
    """Read the evaluated spectra of all fields and decode their codes.

    Returns
    -------
    dict of str to GroupSample
        Every group of spectra in the settings, also those without a spectrum. A dead fibre of an
        object that has no other spectrum, but a light curve, is not among them.
    """
    tokens = [load_spectrum_tokens(f.files["tokens"], coder.hash) for f in fields]
    places = [
        np.flatnonzero(f.rows()[t.row] & ~only_curves(t))
        for f, t in zip(fields, tokens, strict=True)
    ]
    drawn = draw(places, evaluation.max_objects, evaluation.seed)
    cubes = [f.open(columns) for f in fields]
    for f, cube, token in zip(fields, cubes, tokens, strict=True):
        check_ids(cube.ids(), token.row, token.ids, f.files["tokens"])
    samples = {}
    groups = spectra(spectrum.groups)
    for group in progress(groups, len(groups), "spectra"):
        size = len(coder.groups[group].centroids)
        counts = np.zeros(size, dtype=np.int64)
        parts = [_empty(grid_group(group).n_bins(spectrum))]
        n_dead = 0
        for cube, token, eligible, chosen in zip(cubes, tokens, places, drawn, strict=True):
            if not len(eligible) or not has_group(cube, group):
                continue
            for i in eligible.tolist():
                counts += count_codes(token.codes(group, i), size)
            part, dead = _read_group(cube, group, token, chosen, coder, spectrum)
            parts.append(part)
            n_dead += dead
        joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        samples[group] = GroupSample(**joined, counts=counts, n_dead=n_dead)
    return samples


def only_curves(tokens: SpectrumTokens) -> np.ndarray:
    """Which objects have codes of a light curve and of no spectrum, bool (n,).

    They are no part of the spectra's sample: where there are light curves, most objects have one,
    and the few spectra would hardly be drawn.
    """
    coded = {True: np.zeros(len(tokens.row), bool), False: np.zeros(len(tokens.row), bool)}
    for name, group in tokens.groups.items():
        coded[spectrum_group(name).ragged] |= np.diff(group.indptr) > 0
    return coded[True] & ~coded[False]


def _read_group(
    cube: Cube,
    group: str,
    token: SpectrumTokens,
    chosen: np.ndarray,
    coder: SpectrumTokenizer,
    spectrum: SpectrumSettings,
) -> tuple[dict[str, np.ndarray], int]:
    """Arrays of `GroupSample` for the chosen objects of one field, and how many are dead."""
    length = grid_group(group).n_bins(spectrum)
    parts, n_dead = [_empty(length)], 0
    for batch in read_spectra(cube, group, spectrum):
        wanted = np.isin(batch.row, token.row[chosen])
        live = wanted & batch.live()
        n_dead += int((wanted & ~live).sum())
        place = np.searchsorted(token.row, batch.row[live])
        codes = [token.codes(group, i) for i in place.tolist()]
        coded = np.array([(c != MISSING_CODE).any() for c in codes], dtype=bool)
        place = place[coded]
        if not len(place):  # without a codebook a live spectrum has no codes
            continue
        scale_codes = token.groups[group].scale[place]
        kept = np.flatnonzero(live)[coded]
        flux, ivar = rebinned(
            SpectrumBatch(batch.row[kept], batch.flux[kept], batch.ivar[kept]), group, spectrum
        )
        found = np.stack([c for c, known in zip(codes, coded, strict=True) if known])
        again, _ = coder.encode(group, batch.flux[kept], batch.ivar[kept])
        check_codes(cube, f"{group} spectra", found, again, "encode_spectra")
        parts.append(
            {
                "ids": token.ids[place],
                "flux": flux,
                "ivar": ivar,
                "decoded": coder.decode(group, found, scale_codes)[0],
                "scale": object_scale(flux, ivar),
                "decoded_scale": coder.decode_scale(group, scale_codes),
            }
        )
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, n_dead


def _empty(length: int) -> dict[str, np.ndarray]:
    table, column = np.empty((0, length)), np.empty(0)
    return {
        "ids": np.empty(0, "U1"),
        "flux": table,
        "ivar": table,
        "decoded": table,
        "scale": column,
        "decoded_scale": column,
    }
