"""How well spectrum codes keep the spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ColumnSettings, EvaluationSettings, SpectrumSettings
from astromodal.core.grids import bin_centres
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.codebooks import (
    codebook_numbers,
    codebook_table,
    draw_codebooks,
)
from astromodal.evaluation.metrics import (
    bootstrap_error,
    median_error,
    pooled_r2_error,
    quantile_error,
    r2_of,
    reduced_chi2,
    robust_sigma,
    squares,
)
from astromodal.evaluation.objects import EvaluatedField, described
from astromodal.evaluation.parts import Part, measured, table
from astromodal.evaluation.spectrum_figures import colour, draw_along, draw_examples, draw_quality
from astromodal.evaluation.spectrum_sample import GroupSample, sample_spectra
from astromodal.evaluation.style import styled
from astromodal.tokenizers.spectrum import SpectrumTokenizer

SNR_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, np.inf)
"""Edges of the S/N bins (median S/N of a spectrum's rebinned pixels); below 0 joins the first."""
N_SEGMENTS = 16
"""Stretches that a spectrum's whole range is cut into, to look along the wavelength."""
FAMILIES = {"desi": "DESI", "gaiaxp": "Gaia XP"}
FOLLOWS = 0.1
"""Error of the continuum, in the worst stretch of the range, that still counts as following it."""


@dataclass(frozen=True)
class Along:
    """What becomes of the flux in each stretch of the wavelength range (S,).

    The continuum of a stretch is its mean flux; its error is decoded minus observed, over the
    larger of the object's scale and the continuum itself (added in quadrature).
    """

    start: np.ndarray
    stop: np.ndarray
    live: np.ndarray  # objects with a good bin
    offset: np.ndarray  # median error of the continuum
    offset_error: np.ndarray
    scatter: np.ndarray  # half the 16 to 84 % range of it
    p68: np.ndarray  # what 68 % of the objects' errors stay within
    p90: np.ndarray  # what 90 % of them stay within
    r2: np.ndarray  # explained variance of arcsinh(flux / noise), all objects and bins
    r2_error: np.ndarray

    def worst(self) -> float:
        """The error of the continuum that 68 % of objects stay within, in the worst stretch."""
        return float(np.nanmax(self.p68)) if np.isfinite(self.p68).any() else np.nan


def evaluate_spectra(
    fields: Sequence[EvaluatedField],
    tokenizer: str | Path,
    spectrum: SpectrumSettings,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare decoded spectra to the observed, rebinned ones.

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
        f"code, its "
        "flux scale one more. R² and χ² compare the decoded with the observed rebinned flux, "
        "weighted by "
        "inverse variance. The code is made from the observed flux, noise included: χ² = 0 would "
        "be "
        "perfect, and below 1 coding changes a bin by less than its noise does."
    )
    live = {name: s for name, s in samples.items() if len(s.flux)}
    for name, sample in samples.items():
        part.numbers["groups"][name] = group_numbers(sample, evaluation.seed)
        _note_empty(part, name, sample)
    if not live:
        part.notes.append("No spectrum could be evaluated.")
        return part.as_dict()
    along = {
        name: look_along(s, bin_centres(name, spectrum), evaluation.seed)
        for name, s in live.items()
    }
    for name, a in along.items():
        part.numbers["groups"][name]["along"] = vars(a)
        part.numbers["groups"][name]["worst_continuum_error"] = a.worst()
        _headline(part, name)
    with styled():
        _figures(part, live, along, spectrum, evaluation)
    return part.as_dict()


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
    return {
        "n_live": len(sample.flux),
        "n_dead": sample.n_dead,
        "r2": measured(*median_error(r2, seed)),
        "r2_pooled": measured(*pooled_r2_error(residual, total, seed)),
        "chi2": measured(*median_error(chi2, seed)),
        "scale_error": measured(*median_error(scale, seed)),
        "scale_error_p90": measured(*quantile_error(scale, 0.9, seed)),
        "snr": bins,
        "codebook": codebook_numbers(sample.counts),
    }


def look_along(sample: GroupSample, wave: np.ndarray, seed: int) -> Along:
    """Cut the range into stretches and compare decoded with observed flux in each."""
    edges = np.linspace(0, len(wave), min(N_SEGMENTS, len(wave)) + 1).astype(int)
    n = len(edges) - 1
    out = {name: np.full(n, np.nan) for name in Along.__annotations__}
    good = (sample.ivar > 0) & np.isfinite(sample.decoded)
    noise = np.median(1 / np.sqrt(sample.ivar[good])) if good.any() else 1.0
    for k, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        here = good[:, a:b]
        live = here.any(axis=1)
        out["start"][k], out["stop"][k], out["live"][k] = wave[a], wave[b - 1], live.sum()
        if not live.any():
            continue
        observed, decoded = sample.flux[live, a:b], sample.decoded[live, a:b]
        error = continuum_error(observed, decoded, here[live], sample.scale[live])
        out["offset"][k], out["offset_error"][k] = median_error(error, seed)
        out["scatter"][k] = robust_sigma(error)
        out["p68"][k], out["p90"][k] = np.quantile(np.abs(error), [0.68, 0.9])
        pair = np.arcsinh(observed / noise), np.arcsinh(decoded / noise)
        out["r2"][k], out["r2_error"][k] = _common_r2(*pair, here[live], seed)
    return Along(**out)


def continuum_error(
    observed: np.ndarray, decoded: np.ndarray, good: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Error of each object's mean flux, relative to its scale or to the flux where it is larger.

    Parameters
    ----------
    observed, decoded : (n, L) float
        Fluxes.
    good : (n, L) bool
        Bins that count; at least one an object.
    scale : (n,) float
        The objects' flux scales.

    Returns
    -------
    (n,) float
    """
    count = good.sum(axis=1)
    means = [np.where(good, flux, 0).sum(axis=1) / count for flux in (observed, decoded)]
    return (means[1] - means[0]) / np.hypot(scale, means[0])


def _common_r2(
    truth: np.ndarray, estimate: np.ndarray, good: np.ndarray, seed: int
) -> tuple[float, float]:
    """Explained variance of all values together about their common mean, with bootstrap error."""
    n = good.sum(axis=1)
    t, e = np.where(good, truth, 0), np.where(good, estimate, 0)
    sums = np.stack([n, t.sum(1), (t**2).sum(1), ((t - e) ** 2).sum(1)])  # (4, objects)

    def explained(index: np.ndarray) -> float:
        count, first, second, residual = sums[:, index].sum(axis=1)
        return float(r2_of(residual, second - first**2 / count))

    everyone = np.arange(len(n))
    return explained(everyone), float(bootstrap_error(explained, len(n), seed))


def _note_empty(part: Part, name: str, sample: GroupSample) -> None:
    if not sample.counts.size:
        part.notes.append(
            f"{name}: the codebook is empty, because no training field has such spectra."
        )
    elif not len(sample.flux):
        part.notes.append(f"{name}: no evaluated object has a live spectrum.")
    if sample.n_dead:
        part.notes.append(
            f"{name}: {sample.n_dead} spectra without a good pixel are missing, as they should be."
        )


def _headline(part: Part, name: str) -> None:
    numbers = part.numbers["groups"][name]
    worst = numbers["worst_continuum_error"]
    part.headline(
        f"Spectra {name}: R²", numbers["r2"]["value"], numbers["r2"]["error"],
        note=f"median of {numbers['n_live']} spectra; 68 % keep their continuum to "
        f"{100 * worst:.1f} % in the worst of {N_SEGMENTS} stretches of the range",
        verdict="good" if worst <= FOLLOWS else "bad" if np.isfinite(worst) else "none",
    )  # fmt: skip


def _figures(
    part: Part,
    live: dict[str, GroupSample],
    along: dict[str, Along],
    spectrum: SpectrumSettings,
    evaluation: EvaluationSettings,
) -> None:
    seed = evaluation.seed
    for family, title in FAMILIES.items():
        groups = {name: s for name, s in live.items() if name.startswith(family)}
        if not groups:
            continue
        waves = {name: bin_centres(name, spectrum) for name in groups}
        drawn, rows = draw_examples(groups, waves, family, evaluation.n_examples)
        part.figure(
            drawn, f"examples_{family}",
            f"{title}: observed, rebinned spectra (thin dark line; grey: ±1σ) and what their codes "
            f"decode to (coloured), "
            "over the whole range, at evenly spaced ranks of signal-to-noise; none was picked by "
            "eye.",
            "The thin dark line should run along the coloured one, at continuum and lines, from "
            "end to end.",
            table(["object", "group", "S/N", "R²", "reduced χ²", "scale error (%)"], rows),
        )  # fmt: skip
        part.figure(
            draw_along({name: along[name] for name in groups}, family, FOLLOWS), f"along_{family}",
            f"{title}: along the wavelength, median and 68 % range of the error of the continuum, "
            "relative to the flux or to the object's scale where that is larger (top); variance of "
            "arcsinh(flux / noise) over all objects that is explained, with bootstrap error "
            "(bottom).",
            "Errors should be centred on zero, and R² high, over the whole range and not just in "
            "its "
            f"middle; the band of ±{100 * FOLLOWS:g} % is what counts as following the continuum.",
            _along_table({name: along[name] for name in groups}, family),
        )  # fmt: skip
    part.figure(
        draw_quality(live, part.numbers["groups"]), "quality",
        "Unexplained variance 1 - R² and reduced χ² of each spectrum against its S/N; large "
        "symbols: medians of S/N bins with "
        "bootstrap errors.",
        "Left: lower is better. Right: below the dashed line coding adds less than the noise. At "
        "high S/N the codebook's resolution is "
        "the limit, so χ² rises there however little is unexplained.",
        _quality_table(part.numbers["groups"], seed),
    )  # fmt: skip
    part.figure(
        draw_codebooks({g: s.counts for g, s in live.items()}, {g: colour(g) for g in live}),
        "codebooks",
        "Use of the spectrum codebooks by the evaluated fields: share of tokens in the most used "
        "codes.",
        "A curve that climbs late uses its codebook evenly; dead codes are wasted ids.",
        codebook_table({name: n["codebook"] for name, n in part.numbers["groups"].items()}),
    )  # fmt: skip


def _along_table(along: dict[str, Along], family: str) -> dict[str, Any]:
    label = "Å" if family == "desi" else "pseudo-wavelength"
    heading = [
        "group", f"from ({label})", f"to ({label})", "spectra", "median continuum error (%)",
        "68 % half-range (%)", "90 % stay within (%)", "R²",
    ]  # fmt: skip
    return table(heading, [
        [name, a.start[k], a.stop[k], int(a.live[k]),
         measured(100 * a.offset[k], 100 * a.offset_error[k]), 100 * a.scatter[k], 100 * a.p90[k],
         measured(a.r2[k], a.r2_error[k])]
        for name, a in along.items() for k in range(len(a.start))
    ])  # fmt: skip


def _quality_table(groups: dict[str, Any], seed: int) -> dict[str, Any]:
    heading = [
        "group", "S/N", "spectra", "median R²", "median reduced χ²", "R² of all together",
        "median scale error (%)", "dead fibres",
    ]  # fmt: skip
    rows = []
    for name, n in groups.items():
        scale = measured(100 * n["scale_error"]["value"], 100 * n["scale_error"]["error"])
        rows.append(
            [name, "all", n["n_live"], n["r2"], n["chi2"], n["r2_pooled"], scale, n["n_dead"]]
        )
        for b in n["snr"]:
            if b["n"]:
                text = (
                    f"{b['low']:g} to {b['high']:g}"
                    if np.isfinite(b["high"])
                    else f"over {b['low']:g}"
                )
                rows.append([name, text, b["n"], b["r2"], b["chi2"], None, None, None])
    return table(heading, rows)
