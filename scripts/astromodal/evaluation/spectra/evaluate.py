"""The section on spectra and light curves: how well their codes keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astromodal.evaluation.codebooks import codebook_table, plot_codebooks
from astromodal.evaluation.context import EvaluationContext
from astromodal.evaluation.held_out import described
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.evaluation.report.values import show
from astromodal.evaluation.spectra.figures import (
    along_table,
    colour,
    plot_along,
    plot_examples,
    plot_quality,
    quality_table,
)
from astromodal.evaluation.spectra.light_curves import (
    CurveNumbers,
    CurveSample,
    curve_table,
    measure_curves,
    plot_curve_quality,
    plot_curves,
    sample_curves,
)
from astromodal.evaluation.spectra.measures import (
    CLEAR,
    FOLLOWS,
    N_SEGMENTS,
    NEARLY_ALL,
    GroupNumbers,
    measure_group,
)
from astromodal.evaluation.spectra.sample import GroupSample, sample_spectra
from astromodal.surveys.group import Family
from astromodal.surveys.registry import by_family
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer


@dataclass(frozen=True)
class SpectraNumbers:
    """All numbers of the section.

    Attributes
    ----------
    groups : dict of str to GroupNumbers
        By group of spectra.
    light_curves : dict of str to CurveNumbers
        By group of light curves.
    """

    groups: Mapping[str, GroupNumbers]
    light_curves: Mapping[str, CurveNumbers]


def evaluate_spectra(context: EvaluationContext, tokenizer: str | Path) -> Section:
    """Compare decoded spectra with the observed, rebinned ones, and light curves likewise.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the files ``cube``, ``split`` and ``tokens`` (spectrum codes).
    tokenizer : path
        The spectrum tokenizer.

    Returns
    -------
    Section
        The section, with `SpectraNumbers`.
    """
    section = Section("spectra", "Spectra", context.figures)
    coder = SpectrumTokenizer.load(tokenizer)
    section.hashes["spectrum tokenizer"] = coder.hash
    settings, seed = context.settings.tokenizers.spectrum, context.settings.evaluation.seed
    section.summary = (
        f"Spectra of {described(context.fields)}. A spectrum is rebinned over its whole range to "
        f"at most {settings.max_spec_tokens_per_group} bins. Flux and precision of each bin become "
        "one code, and the flux scale of the spectrum one more. Of a Gaia XP spectrum each "
        "coefficient becomes a code, and flux is compared along the pseudo-wavelength. Codes are "
        "relative to the decoded scale, which compensates for its error. R² and χ² compare the "
        "decoded with the observed rebinned flux, weighted by inverse variance. The code is made "
        "from the same noisy flux: χ² = 0 is lossless, and below 1 coding changes a bin by less "
        "than its noise does."
    )
    samples = sample_spectra(context, coder)
    waves = {name: coder.spectrum(name).wave for name in samples}
    groups = {name: measure_group(s, waves[name], seed) for name, s in samples.items()}
    for name, sample in samples.items():
        section.notes += _notes(name, sample)
    live = {name: s for name, s in samples.items() if len(s.flux)}
    if live:
        for name in live:
            _add_headline(section, name, groups[name])
        with styled():
            _add_figures(section, live, waves, groups, context.settings.evaluation.n_examples)
    else:
        section.notes.append("No spectrum could be evaluated.")
    curves = sample_curves(context, coder)
    light_curves = {name: measure_curves(s, seed) for name, s in curves.items()}
    if curves:
        _add_light_curves(section, curves, light_curves, context.settings.evaluation.n_examples)
    section.numbers = SpectraNumbers(groups, light_curves)
    return section


def _notes(name: str, sample: GroupSample) -> list[str]:
    notes = []
    if not sample.counts.size:
        notes.append(
            f"{name}: the codebook is empty, because no training object has such a spectrum."
        )
    elif not len(sample.flux):
        notes.append(f"{name}: no evaluated object has a live spectrum.")
    if sample.n_dead:
        notes.append(f"{name}: {sample.n_dead} spectra have no good pixel and count as missing.")
    return notes


def _add_headline(section: Section, name: str, numbers: GroupNumbers) -> None:
    worst, clear = numbers.worst_continuum_error, numbers.clear
    above = (
        f"{show(clear.r2)} for the {clear.n} with S/N > {CLEAR:g}, of which "
        f"{100 * clear.share.value:.0f} % reach {NEARLY_ALL:g}"
        if clear.n
        else f"none has S/N > {CLEAR:g}"
    )
    reached = worst <= FOLLOWS and (not clear.n or clear.r2.value >= NEARLY_ALL)
    section.add_headline(
        f"Spectra {name}: R²", numbers.r2,
        note=f"median of {numbers.n_live} spectra; {above}; the continuum of 68 % is right to "
        f"{100 * worst:.1f} % in the worst of {N_SEGMENTS} segments of the range; the mark is "
        f"{NEARLY_ALL:g} for S/N > {CLEAR:g}, and {100 * FOLLOWS:g} %",
        verdict=("good" if reached else "bad") if np.isfinite(worst) else "none",
    )  # fmt: skip


def _add_figures(
    section: Section,
    live: Mapping[str, GroupSample],
    waves: Mapping[str, np.ndarray],
    groups: Mapping[str, GroupNumbers],
    n_examples: int,
) -> None:
    """Add the figures of the groups that have spectra."""
    for family, names in by_family(live).items():
        own = {name: live[name] for name in names}
        _add_family(section, family, own, waves, groups, n_examples)
    section.add_figure(
        plot_quality(live, groups), "quality",
        "Unexplained variance 1 - R² and reduced χ² of each spectrum against its S/N; large "
        "symbols: medians in bins of S/N, with bootstrap errors.",
        "Left: lower is better. Right: below the dashed line coding adds less than the noise. At "
        "high S/N the resolution of the codebook is the limit, so χ² rises there although little "
        "variance is unexplained.",
        quality_table(groups),
    )  # fmt: skip
    section.add_figure(
        plot_codebooks({g: s.counts for g, s in live.items()}, {g: colour(g) for g in live}),
        "codebooks",
        "Use of the spectrum codebooks in the evaluated fields: share of all tokens that the most "
        "frequent codes take.",
        "A curve that rises late uses its codebook evenly; a dead code is a wasted id.",
        codebook_table({name: n.codebook for name, n in groups.items()}),
    )  # fmt: skip


def _add_family(
    section: Section,
    family: Family,
    own: Mapping[str, GroupSample],
    waves: Mapping[str, np.ndarray],
    groups: Mapping[str, GroupNumbers],
    n_examples: int,
) -> None:
    """Add the figures of the groups of one family."""
    title = family.label
    figure, table = plot_examples(own, waves, family, n_examples)
    section.add_figure(
        figure, f"examples_{family.name}",
        f"{title}: observed, rebinned spectra (thin line; grey: ±1σ) and decoded spectra "
        "(coloured) over the whole range. The objects are at evenly spaced ranks of S/N; none was "
        "picked by eye.",
        "The thin line should follow the coloured one, in the continuum and in lines, from end to "
        "end.",
        table,
    )  # fmt: skip
    along = {name: a for name in own if (a := groups[name].along) is not None}
    section.add_figure(
        plot_along(along, family, FOLLOWS), f"along_{family.name}",
        f"{title}: errors along the wavelength. Top: median and 68 % range of the error of the "
        "continuum, relative to the flux, or to the object's scale where that is larger. Bottom: "
        "R² of arcsinh(flux / noise) over all objects, with bootstrap errors.",
        "Errors should be centred on zero, and R² high, over the whole range and not only in its "
        f"middle. The shaded band of ±{100 * FOLLOWS:g} % is the mark.",
        along_table(along),
    )  # fmt: skip


def _add_light_curves(
    section: Section,
    samples: Mapping[str, CurveSample],
    numbers: Mapping[str, CurveNumbers],
    n_examples: int,
) -> None:
    """Add the summary, notes, headlines and figures of light curves."""
    section.summary += (
        " A light curve keeps its own epochs: magnitude, precision and time step of each epoch "
        "become one code, and the median magnitude one more. R² and χ² compare decoded with "
        "observed magnitudes, weighted by inverse variance, R² about the object's median. A source "
        "that does not vary has only noise to explain."
    )
    live = {name: s for name, s in samples.items() if len(s.ids)}
    for name in (name for name in samples if name not in live):
        section.notes.append(f"{name}: no evaluated object has a light curve with codes.")
    for name in live:
        n = numbers[name]
        section.add_headline(
            f"Light curves {name}: χ²", n.chi2,
            note=f"reduced χ² of decoded magnitudes, median of {n.n_curves} light curves; the mark "
            "is 1, where coding changes a magnitude by as much as its noise does",
            verdict="good" if n.chi2.value < 1 else "bad",
        )  # fmt: skip
    if live:
        with styled():
            _add_curve_figures(section, live, numbers, n_examples)


def _add_curve_figures(
    section: Section,
    live: Mapping[str, CurveSample],
    numbers: Mapping[str, CurveNumbers],
    n_examples: int,
) -> None:
    name = max(live, key=lambda group: len(live[group].observed.time))
    figure, table = plot_curves(live[name], name, n_examples)
    section.add_figure(
        figure, "examples_light_curves",
        f"{name}: observed magnitudes (dark, with their errors) and decoded magnitudes at decoded "
        "times (coloured). The objects are at evenly spaced ranks of variability (reduced χ² about "
        "the median); none was picked by eye.",
        "Coloured points should lie on dark ones. Times are sums of decoded steps, so their errors "
        "grow along a curve.",
        table,
    )  # fmt: skip
    section.add_figure(
        plot_curve_quality(live, numbers), "quality_light_curves",
        "Unexplained variance about the object's median and reduced χ² of light curves, by the "
        "median S/N of their epochs, with bootstrap errors.",
        "Left: lower is better. Right: below the dashed line coding adds less than the noise.",
        curve_table(numbers),
    )  # fmt: skip
    section.add_figure(
        plot_codebooks({g: s.counts for g, s in live.items()}, {g: colour(g) for g in live}),
        "codebooks_light_curves",
        "Use of the light-curve codebooks in the evaluated fields: share of all tokens that the "
        "most frequent codes take.",
        "A curve that rises late uses its codebook evenly; a dead code is a wasted id.",
        codebook_table({group: n.codebook for group, n in numbers.items()}),
    )  # fmt: skip
