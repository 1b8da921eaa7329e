"""The section on spectra and light curves: how well their codes keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astromodal.evaluation.context import EvaluationContext, described
from astromodal.evaluation.metrics import codebook_table
from astromodal.evaluation.report.section import Section, show
from astromodal.evaluation.report.style import plot_codebooks, styled
from astromodal.evaluation.spectra.figures import (
    along_table,
    colour,
    lines_table,
    plot_along,
    plot_examples,
    plot_lines,
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
    WITHIN_NOISE,
    GroupNumbers,
    measure_group,
)
from astromodal.evaluation.spectra.redshifts import (
    DELTA_CHI2,
    SAME,
    Compared,
    RedshiftNumbers,
    compare_redshifts,
    measure_redshifts,
)
from astromodal.evaluation.spectra.sample import (
    CLOSE,
    DETECTED,
    GroupSample,
    LineNumbers,
    sample_spectra,
)
from astromodal.surveys.group import Family
from astromodal.surveys.registry import by_family, spectrum_group
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer


@dataclass(frozen=True)
class SpectraNumbers:
    """All numbers of the section.

    Attributes
    ----------
    groups : dict of str to GroupNumbers
        By group of spectra.
    redshifts : dict of str to RedshiftNumbers
        By name of the survey, where its spectra have wavelengths.
    light_curves : dict of str to CurveNumbers
        By group of light curves.
    """

    groups: Mapping[str, GroupNumbers]
    redshifts: Mapping[str, RedshiftNumbers]
    light_curves: Mapping[str, CurveNumbers]


def evaluate_spectra(context: EvaluationContext, tokenizer: str | Path) -> Section:
    """Compare decoded spectra with the measured ones, pixel by pixel, and light curves likewise.

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
        f"Spectra of {described(context.fields)}. A spectrum is rebinned over its whole range, and "
        "two bins become one code, its noise four, its local scales eight, and its flux scale one "
        "more: at most "
        f"{settings.max_spec_tokens_per_group} codes, and the scale. Of a Gaia XP spectrum each "
        "coefficient becomes a code, and flux is compared along the pseudo-wavelength. Codes are "
        "relative to the decoded scale, which compensates for its error. The decoded flux is "
        "interpolated to the pixels that were measured, such that the means of the bins stay, and "
        "compared with the measured flux there. Bins keep little of the noise of single pixels: "
        "χ² of pixels is near 1 where only noise is lost, and above where structure is. χ² of bins "
        "compares with the rebinned flux instead: 0 is lossless, and below 1 coding changes a bin "
        "by less than its noise does. Sums weigh by inverse variance."
    )
    samples = sample_spectra(context, coder)
    groups = {name: measure_group(s, _has_lines(name), seed) for name, s in samples.items()}
    for name, sample in samples.items():
        section.notes += _notes(name, sample)
    live = {name: s for name, s in samples.items() if len(s.ids)}
    compared = {
        family: compare_redshifts([live[name] for name in names])
        for family, names in by_family(filter(_has_lines, live)).items()
    }
    redshifts = {f.name: measure_redshifts(c, seed) for f, c in compared.items()}
    if live:
        for name in live:
            _add_headline(section, name, groups[name])
        for family in compared:
            _add_redshift_headline(section, family, redshifts[family.name])
        with styled():
            _add_figures(section, live, groups, context.settings.evaluation.n_examples)
            for family, each in compared.items():
                own = {name: live[name] for name in by_family(live)[family]}
                numbers = {name: groups[name] for name in own}
                _add_lines(section, family, own, numbers, each, redshifts[family.name])
    else:
        section.notes.append("No spectrum could be evaluated.")
    curves = sample_curves(context, coder)
    light_curves = {name: measure_curves(s, seed) for name, s in curves.items()}
    if curves:
        _add_light_curves(section, curves, light_curves, context.settings.evaluation.n_examples)
    section.numbers = SpectraNumbers(groups, redshifts, light_curves)
    return section


def _notes(name: str, sample: GroupSample) -> list[str]:
    notes = []
    if not sample.counts.size:
        notes.append(
            f"{name}: the codebook is empty, because no training object has such a spectrum."
        )
    elif not len(sample.ids):
        notes.append(f"{name}: no evaluated object has a live spectrum.")
    if sample.n_dead:
        notes.append(f"{name}: {sample.n_dead} spectra have no good pixel and count as missing.")
    return notes


def _has_lines(group: str) -> bool:
    """Return whether the pixels of a group have wavelengths, so that lines can be measured."""
    return spectrum_group(group).axis.unit == "Angstrom"


def _add_headline(section: Section, name: str, numbers: GroupNumbers) -> None:
    worst, clear, highest = numbers.worst_continuum_error, numbers.clear, numbers.snr[-1]
    parts = [f"median of {numbers.n_live} spectra"]
    if highest.n:
        parts.append(f"{show(highest.chi2)} for the {highest.n} with S/N {highest}")
    parts += [_kept(kind, lines) for kind, lines in numbers.lines().items() if lines.flux.n]
    if clear.n:
        parts.append(f"R² of bins {show(clear.r2)} for the {clear.n} with S/N > {CLEAR:g}")
    parts.append(
        f"the continuum of 68 % is right to {100 * worst:.1f} % in the worst of {N_SEGMENTS} "
        f"segments of the range; marks are {WITHIN_NOISE:g} at every S/N, R² of bins {NEARLY_ALL:g}"
        f" and {100 * FOLLOWS:g} %"
    )
    reached = (
        worst <= FOLLOWS
        and numbers.within_noise()
        and (not clear.n or clear.r2.value >= NEARLY_ALL)
    )
    section.add_headline(
        f"Spectra {name}: χ² of pixels", numbers.chi2, note="; ".join(parts),
        verdict=("good" if reached else "bad") if np.isfinite(worst) else "none",
    )  # fmt: skip


def _kept(kind: str, lines: LineNumbers) -> str:
    return f"{show(lines.flux)} of the flux of the {lines.flux.n} strongest {kind} lines"


def _add_redshift_headline(section: Section, family: Family, numbers: RedshiftNumbers) -> None:
    clear = numbers.all
    if not clear.n:
        section.notes.append(f"{family.label}: no spectrum determines a redshift.")
        return
    section.add_headline(
        f"Spectra {family.name}: |Δv| of redshifts (km/s)", clear.offset,
        note=f"median of the {clear.n} of {numbers.n_objects} objects whose measured spectrum "
        f"determines a redshift, by Δχ² of {DELTA_CHI2[0]:g}; {show(clear.other.scaled(100))} % of "
        f"the decoded spectra give another one, by more than {SAME:g} km/s",
    )  # fmt: skip


def _add_lines(
    section: Section,
    family: Family,
    own: Mapping[str, GroupSample],
    groups: Mapping[str, GroupNumbers],
    compared: Compared,
    redshifts: RedshiftNumbers,
) -> None:
    """Add the figure of lines and redshifts of one survey."""
    section.add_figure(
        plot_lines(own, compared, CLOSE), f"lines_{family.name}",
        f"{family.label}: what codes keep of lines and redshifts. Left: flux of the strongest "
        "emission line (filled) and absorption line (open) of each spectrum, of "
        f"S/N > {DETECTED:g}, decoded over measured; the band is ±{100 * CLOSE:g} %. Right: "
        "difference of the redshifts that templates give from the decoded and from the measured "
        "spectrum, 1 km/s and below at 1.",
        "Left: ratios should be near 1 at any width; a line on a line of the night sky, whose "
        "pixels weigh little, is the exception. Right: above the dashed line the decoded spectrum "
        "has another redshift. Both spectra have the same noise: the figure says what coding "
        "changes, not how right either is.",
        lines_table(groups, redshifts),
    )  # fmt: skip


def _add_figures(
    section: Section,
    live: Mapping[str, GroupSample],
    groups: Mapping[str, GroupNumbers],
    n_examples: int,
) -> None:
    """Add the figures of the groups that have spectra."""
    for family, names in by_family(live).items():
        own = {name: live[name] for name in names}
        _add_family(section, family, own, groups, n_examples)
    section.add_figure(
        plot_quality(live, groups), "quality",
        "Reduced χ² of each spectrum against its S/N, of the pixels that were measured (left) and "
        "of the bins that were coded (right); large symbols: medians in bins of S/N, with "
        "bootstrap errors.",
        "Left: near the dashed line only noise is lost; above it, the width of the bins and the "
        "number of codes lose structure. Right: the part of the codes alone; below the dashed line "
        "coding adds less than the noise.",
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
    groups: Mapping[str, GroupNumbers],
    n_examples: int,
) -> None:
    """Add the figures of the groups of one family."""
    title = family.label
    figure, table = plot_examples(own, family, n_examples)
    section.add_figure(
        figure, f"examples_{family.name}",
        f"{title}: measured spectra (thin line; grey: ±1σ) and decoded spectra (coloured) over the "
        "whole range. The objects are at evenly spaced ranks of S/N; none was picked by eye.",
        "The coloured line should run through the middle of the thin one, in the continuum and in "
        "lines, from end to end.",
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
