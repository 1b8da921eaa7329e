"""How well spectrum codes keep the spectra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, SpectrumSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.held_out import EvaluatedField, described
from astromodal.evaluation.light_curves.evaluate import add_light_curves
from astromodal.evaluation.light_curves.sample import sample_curves
from astromodal.evaluation.metrics import (
    codebook_numbers,
    fraction_error,
    median_error,
    pooled_r2_error,
    quantile_error,
    r2_of,
    reduced_chi2,
    squares,
)
from astromodal.evaluation.report.section import Part, measured, show
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.spectra.figures import add_figures
from astromodal.evaluation.spectra.measures import FOLLOWS, N_SEGMENTS, look_along
from astromodal.evaluation.spectra.sample import GroupSample, sample_spectra
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

CLEAR = 3.0
"""Median S/N above which a code should keep nearly all of a spectrum's variance."""
NEARLY_ALL = 0.98
"""R² that counts as nearly all."""
SNR_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, np.inf)
"""Edges of the S/N bins (median S/N of a spectrum's rebinned pixels); below 0 joins the first."""


def evaluate_spectra(
    fields: Sequence[EvaluatedField],
    tokenizer: str | Path,
    spectrum: SpectrumSettings,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare decoded spectra to the observed, rebinned ones, and light curves to the observed.

    Parameters
    ----------
    fields : sequence of EvaluatedField
        With the files ``cube``, ``split`` and ``tokens`` (spectrum codes).
    tokenizer : path
        The spectrum tokenizer.
    spectrum, evaluation, columns : settings
        How spectra are read, how many objects are evaluated, how a cube is read.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows which field is being read.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    part = Part("spectra", "Spectra", Path(figures))
    coder = SpectrumTokenizer.load(tokenizer)
    samples = sample_spectra(fields, coder, spectrum, evaluation, columns, progress)
    part.numbers = {"tokenizer_hash": coder.hash, "groups": {}}
    part.summary = (
        f"Spectra of {described(fields)}. A spectrum is rebinned over its whole range to at most "
        f"{spectrum.max_spec_tokens_per_group} bins; each bin's flux and precision become one "
        "code, its flux scale one more: bins are coded relative to the decoded scale, which makes "
        "up for its error. R² and χ² compare the decoded with the observed rebinned flux, "
        "weighted by inverse variance. The code is made from the observed flux, noise included: "
        "χ² = 0 would be perfect, and below 1 coding changes a bin by less than its noise does."
    )
    live = {name: s for name, s in samples.items() if len(s.flux)}
    for name, sample in samples.items():
        part.numbers["groups"][name] = group_numbers(sample, evaluation.seed)
        _note_empty(part, name, sample)
    if live:
        _add_spectra(part, live, spectrum, evaluation)
    else:
        part.notes.append("No spectrum could be evaluated.")
    curves = sample_curves(fields, coder, evaluation, columns)
    add_light_curves(part, curves, evaluation.n_examples, evaluation.seed)
    return part.as_dict()


def _add_spectra(
    part: Part,
    live: dict[str, GroupSample],
    spectrum: SpectrumSettings,
    evaluation: EvaluationSettings,
) -> None:
    """Add what is seen along the wavelength, the headlines and the figures."""
    along = {
        name: look_along(s, grid_group(name).bin_centres(spectrum), evaluation.seed)
        for name, s in live.items()
    }
    for name, a in along.items():
        part.numbers["groups"][name]["along"] = vars(a)
        part.numbers["groups"][name]["worst_continuum_error"] = a.worst()
        _headline(part, name)
    with styled():
        add_figures(part, live, along, spectrum, evaluation.n_examples)


def group_numbers(sample: GroupSample, seed: int) -> dict[str, Any]:
    """All numbers of one group, overall and by S/N."""
    residual, total, _ = squares(sample.flux, sample.decoded, sample.ivar)
    chi2 = reduced_chi2(sample.flux, sample.decoded, sample.ivar)
    r2 = r2_of(residual, total)
    snr = np.maximum(sample.snr(), SNR_EDGES[0])
    scale = np.abs(sample.decoded_scale / sample.scale - 1)
    bins = []
    for low, high in zip(SNR_EDGES[:-1], SNR_EDGES[1:], strict=True):
        chosen = (snr >= low) & (snr < high)
        bins.append({
            "low": low, "high": high, "n": int(chosen.sum()),
            "r2": measured(*median_error(r2[chosen], seed)),
            "chi2": measured(*median_error(chi2[chosen], seed)),
        })  # fmt: skip
    codebook = codebook_numbers(sample.counts)
    known = (sample.ivar > 0) & np.isfinite(sample.decoded)
    return {
        "n_live": len(sample.flux),
        "n_dead": sample.n_dead,
        "clear": _clear(r2[snr > CLEAR], seed),
        "bits_an_object": codebook["bits"] * float(known.sum(axis=1).mean()) if known.size else 0.0,
        "r2": measured(*median_error(r2, seed)),
        "r2_pooled": measured(*pooled_r2_error(residual, total, seed)),
        "chi2": measured(*median_error(chi2, seed)),
        "scale_error": measured(*median_error(scale, seed)),
        "scale_error_p90": measured(*quantile_error(scale, 0.9, seed)),
        "snr": bins,
        "codebook": codebook,
    }


def _clear(r2: np.ndarray, seed: int) -> dict[str, Any]:
    """Numbers of the spectra of a S/N above `CLEAR`, from each one's R² (n,)."""
    return {
        "n": len(r2),
        "r2": measured(*median_error(r2, seed)),
        "share": measured(*fraction_error(r2 >= NEARLY_ALL)),
    }


def _note_empty(part: Part, name: str, sample: GroupSample) -> None:
    if not sample.counts.size:
        part.notes.append(
            f"{name}: the codebook is empty, for no object that trains has such a spectrum."
        )
    elif not len(sample.flux):
        part.notes.append(f"{name}: no evaluated object has a live spectrum.")
    if sample.n_dead:
        part.notes.append(f"{name}: without a good pixel, and so missing: {sample.n_dead} spectra.")


def _headline(part: Part, name: str) -> None:
    numbers = part.numbers["groups"][name]
    worst, clear = numbers["worst_continuum_error"], numbers["clear"]
    above = (
        f"{show(clear['r2'])} of the {clear['n']} of S/N > {CLEAR:g}, of which "
        f"{100 * clear['share']['value']:.0f} % reach {NEARLY_ALL:g}"
        if clear["n"]
        else f"none of S/N > {CLEAR:g}"
    )
    reached = worst <= FOLLOWS and (not clear["n"] or clear["r2"]["value"] >= NEARLY_ALL)
    part.headline(
        f"Spectra {name}: R²", numbers["r2"]["value"], numbers["r2"]["error"],
        note=f"median of {numbers['n_live']} spectra; {above}; 68 % keep their continuum to "
        f"{100 * worst:.1f} % in the worst of {N_SEGMENTS} stretches of the range; asked for: "
        f"{NEARLY_ALL:g} of S/N > {CLEAR:g}, and {100 * FOLLOWS:g} %",
        verdict=("good" if reached else "bad") if np.isfinite(worst) else "none",
    )  # fmt: skip
