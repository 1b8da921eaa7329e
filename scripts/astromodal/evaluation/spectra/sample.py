"""Observed and decoded spectra of the evaluated objects, and the strongest lines in them.

A line is found in the measured spectrum: the continuum, a running median, is subtracted, and what
is left is summed over windows of `WINDOW` pixels. The window of the highest S/N holds the strongest
line. The decoded spectrum is summed over the same window, above a continuum of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import median_filter

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import has_group, read_spectra
from astromodal.evaluation.context import EvaluationContext, check_codes, check_ids, sample_rows
from astromodal.evaluation.metrics import (
    column_medians,
    count_codes,
    measure_fraction,
    measure_median,
    r2,
    reduced_chi2,
    robust_sigma,
)
from astromodal.evaluation.report.section import Measurement
from astromodal.surveys.registry import grid_group, light_curves, spectra
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import SpectrumTokens, load_spectrum_tokens


@dataclass(frozen=True)
class Fluxes:
    """Measured and decoded fluxes of n spectra at L points.

    Attributes
    ----------
    wave : float64 (L,)
        The points, in the unit of the group's axis.
    flux, ivar : float64 (n, L)
        Measured flux and its inverse variance, which is 0 where nothing was measured.
    decoded : float64 (n, L)
        Decoded flux; NaN where the code is missing.
    """

    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    decoded: np.ndarray

    @classmethod
    def empty(cls, wave: np.ndarray) -> Fluxes:
        """Return the fluxes of no spectrum."""
        table = np.empty((0, len(wave)))
        return cls(wave, table, table, table)

    @classmethod
    def join(cls, parts: Sequence[Fluxes]) -> Fluxes:
        """Return the fluxes of all spectra of some parts, which have the same points."""
        flux = np.concatenate([part.flux for part in parts])
        ivar = np.concatenate([part.ivar for part in parts])
        return cls(parts[0].wave, flux, ivar, np.concatenate([part.decoded for part in parts]))

    def take(self, chosen: np.ndarray | Sequence[int]) -> Fluxes:
        """Return some of the spectra, chosen by number, int (k,), or by a mask, bool (n,)."""
        return Fluxes(self.wave, self.flux[chosen], self.ivar[chosen], self.decoded[chosen])

    @property
    def good(self) -> np.ndarray:
        """Points with a measured and a decoded flux, bool (n, L)."""
        return (self.ivar > 0) & np.isfinite(self.decoded)

    def chi2(self) -> np.ndarray:
        """Return the reduced χ² of each spectrum, float64 (n,)."""
        return reduced_chi2(self.flux, self.decoded, self.ivar)

    def r2(self) -> np.ndarray:
        """Return R² of each spectrum, weighted by inverse variance, float64 (n,)."""
        return r2(self.flux, self.decoded, self.ivar)

    def snr(self) -> np.ndarray:
        """Return the median flux / error over the measured points of each spectrum, (n,)."""
        if not len(self.flux):
            return np.empty(0)
        known = self.ivar > 0
        ratio = np.where(known, self.flux * np.sqrt(np.where(known, self.ivar, 0)), np.nan)
        return column_medians(ratio.T)


@dataclass(frozen=True)
class GroupSample:
    """Live spectra of one group: n spectra.

    Attributes
    ----------
    ids : unicode (n,)
        The objects.
    pixels : Fluxes
        At the pixels that were measured; the decoded flux is interpolated.
    bins : Fluxes
        Rebinned, as codes are made from it; for a group of coefficients the same as `pixels`.
    scale, decoded_scale : float (n,)
        Flux scale of each object, as measured and as decoded.
    n_codes : int64 (n,)
        Codes of each object that are not missing.
    counts : int (K,)
        How often each code occurs among all eligible spectra.
    n_dead : int
        Sampled spectra without a good pixel.
    """

    ids: np.ndarray
    pixels: Fluxes
    bins: Fluxes
    scale: np.ndarray
    decoded_scale: np.ndarray
    n_codes: np.ndarray
    counts: np.ndarray
    n_dead: int

    @classmethod
    def empty(cls, pixels: np.ndarray, bins: np.ndarray, counts: np.ndarray) -> GroupSample:
        """Return a sample without a spectrum, of a group with such wavelengths."""
        column, fluxes = np.empty(0), (Fluxes.empty(pixels), Fluxes.empty(bins))
        return cls(np.empty(0, "U1"), *fluxes, column, column, np.empty(0, np.int64), counts, 0)

    @classmethod
    def join(cls, samples: Sequence[GroupSample]) -> GroupSample:
        """Return one sample of all spectra; counts are summed."""
        return cls(
            ids=np.concatenate([s.ids for s in samples]),
            pixels=Fluxes.join([s.pixels for s in samples]),
            bins=Fluxes.join([s.bins for s in samples]),
            scale=np.concatenate([s.scale for s in samples]),
            decoded_scale=np.concatenate([s.decoded_scale for s in samples]),
            n_codes=np.concatenate([s.n_codes for s in samples]),
            counts=np.sum([s.counts for s in samples], axis=0),
            n_dead=sum(s.n_dead for s in samples),
        )


def sample_spectra(
    context: EvaluationContext, tokenizer: SpectrumTokenizer
) -> dict[str, GroupSample]:
    """Sample spectra of all fields and decode their codes.

    Returns
    -------
    dict of str to GroupSample
        Every group of spectra in the settings, also those without a spectrum. Objects that have
        codes of light curves only are not sampled, so their dead fibres are not counted.

    Raises
    ------
    FormatError
        Where the codes are not those of the cube's spectra.
    """
    fields, evaluation = context.fields, context.settings.evaluation
    settings = context.settings.tokenizers.spectrum
    tokens = [load_spectrum_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = [
        np.flatnonzero(f.rows()[t.row] & ~only_curves(t))
        for f, t in zip(fields, tokens, strict=True)
    ]
    sampled = sample_rows(places, evaluation.max_objects, evaluation.seed)
    cubes = [f.open(context.settings.columns) for f in fields]
    for f, cube, token in zip(fields, cubes, tokens, strict=True):
        check_ids(cube.ids(), token.row, token.ids, f.files["tokens"])
    samples = {}
    groups = spectra(settings.groups)
    for group in context.progress(groups, len(groups), "spectra"):
        size = len(tokenizer.groups[group].centroids)
        pixels = grid_group(group).grid(settings).points()
        counts = np.zeros(size, dtype=np.int64)
        own = [GroupSample.empty(pixels, tokenizer.spectrum(group).wave, counts)]
        for cube, token, eligible, chosen in zip(cubes, tokens, places, sampled, strict=True):
            if not len(eligible) or not has_group(cube, group):
                continue
            codes = [token.codes(group, i) for i in eligible.tolist()]
            counts = count_codes(np.concatenate(codes), size)
            own.append(_read_group(cube, group, token, chosen, tokenizer, own[0], counts))
        samples[group] = GroupSample.join(own)
    return samples


def only_curves(tokens: SpectrumTokens) -> np.ndarray:
    """Return which objects have codes of a light curve and of no spectrum, bool (n,).

    Where there are light curves most objects have one. If they were sampled, few of the sampled
    objects would have a spectrum.
    """
    curves, others = (_coded(tokens, kind(tokens.groups)) for kind in (light_curves, spectra))
    return curves & ~others


def _coded(tokens: SpectrumTokens, groups: Sequence[str]) -> np.ndarray:
    """Return which objects have codes of any of some groups, bool (n,)."""
    coded = [np.diff(tokens.groups[name].indptr) > 0 for name in groups]
    return np.any([np.zeros(len(tokens.row), bool), *coded], axis=0)


def _read_group(
    cube: Cube,
    group: str,
    token: SpectrumTokens,
    chosen: np.ndarray,
    tokenizer: SpectrumTokenizer,
    none: GroupSample,
    counts: np.ndarray,
) -> GroupSample:
    """Read the spectra of the chosen objects of one field; `none` is a sample without any."""
    coder = tokenizer.spectrum(group)
    samples, n_dead = [none], 0
    for batch in read_spectra(cube, group):
        wanted = np.isin(batch.row, token.row[chosen])
        live = wanted & batch.live()
        n_dead += int((wanted & ~live).sum())
        place = np.searchsorted(token.row, batch.row[live])
        codes = [token.codes(group, i) for i in place.tolist()]
        coded = np.array([(c != MISSING_CODE).any() for c in codes], dtype=bool)
        place = place[coded]
        if not len(place):  # without a codebook a live spectrum has no codes
            continue
        kept = np.flatnonzero(live)[coded]
        spectra = batch.take(kept)
        stored = np.stack([c for c, known in zip(codes, coded, strict=True) if known])
        encoded, _ = tokenizer.encode(group, spectra.flux, spectra.ivar)
        check_codes(cube, f"{group} spectra", stored, encoded, "encode_spectra")
        scale_codes = token.groups[group].scale[place]
        decoded, _ = tokenizer.decode(group, stored, scale_codes)
        samples.append(GroupSample(
            ids=token.ids[place],
            pixels=Fluxes(none.pixels.wave, *coder.measured(spectra), coder.at_pixels(decoded)),
            bins=Fluxes(coder.wave, *coder.observed(spectra), decoded),
            scale=coder.scale(spectra),
            decoded_scale=tokenizer.decode_scale(group, scale_codes),
            n_codes=(stored != MISSING_CODE).sum(axis=1),
            counts=none.counts, n_dead=0,
        ))  # fmt: skip
    return replace(GroupSample.join(samples), counts=counts, n_dead=n_dead)


WINDOW = 25
"""Pixels over which a line is summed: 20 Angstrom in DESI's spectra."""
DETECTED = 10.0
"""S/N of a line's flux from which it is measured."""
WIDE = 3.0
"""Equivalent width (Angstrom) from which a line is measured, in absolute value."""
CLOSE = 0.05
"""Relative error of a flux that counts as close."""
_BLOCK, _BLOCKS = 16, 9
"""The continuum is the median of medians of so many pixels, over so many blocks."""


@dataclass(frozen=True)
class Lines:
    """The strongest line of each of n spectra, float64 (n,) each.

    Attributes
    ----------
    spectrum : int64 (n,)
        Number of the spectrum.
    wave : float64 (n,)
        Middle of the window.
    flux, error, decoded : float64 (n,)
        Measured flux of the line, its error, and its flux in the decoded spectrum; negative for
        an absorption line.
    width, decoded_width : float64 (n,)
        Equivalent width in the measured and in the decoded spectrum, of the sign of the flux.
    """

    spectrum: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    decoded: np.ndarray
    width: np.ndarray
    decoded_width: np.ndarray


@dataclass(frozen=True)
class LineNumbers:
    """What codes keep of the lines of one kind.

    Attributes
    ----------
    flux, width : Measurement
        Median ratio of decoded to measured flux, and equivalent width.
    flux_scatter, width_scatter : float
        Half the 16 to 84 % range of these ratios; NaN without a line.
    noise : Measurement
        Median relative error of the measured fluxes.
    close : Measurement
        Fraction of the lines whose decoded flux is within `CLOSE` of the measured one.
    """

    flux: Measurement
    flux_scatter: float
    width: Measurement
    width_scatter: float
    noise: Measurement
    close: Measurement

    @classmethod
    def of(cls, lines: Lines, seed: int) -> LineNumbers:
        """Measure lines; `seed` is that of the bootstrap errors."""
        flux, width = lines.decoded / lines.flux, lines.decoded_width / lines.width
        return cls(
            flux=measure_median(flux, seed),
            flux_scatter=robust_sigma(flux) if len(flux) else np.nan,
            width=measure_median(width, seed),
            width_scatter=robust_sigma(width) if len(width) else np.nan,
            noise=measure_median(np.abs(lines.error / lines.flux), seed),
            close=measure_fraction(np.abs(flux - 1) <= CLOSE),
        )


def continuum(flux: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return a running median of spectra, float64 (n, L), over some 140 pixels.

    Parameters
    ----------
    flux : float64 (n, L)
        Spectra.
    good : bool (n, L)
        Pixels that count; a spectrum without any has a continuum of 0.
    """
    n, length = flux.shape
    starts = np.arange(0, length - _BLOCK + 1, _BLOCK)
    pieces = np.where(good, flux, np.nan)[:, : len(starts) * _BLOCK].reshape(-1, _BLOCK)
    medians = column_medians(pieces.T).reshape(n, len(starts))
    out, pixels = np.zeros((n, length)), np.arange(length)
    for i, row in enumerate(medians):
        known = np.isfinite(row)
        if known.any():
            smooth = median_filter(row[known], _BLOCKS, mode="nearest")
            out[i] = np.interp(pixels, starts[known] + (_BLOCK - 1) / 2, smooth)
    return out


def strongest_lines(fluxes: Fluxes, sign: int) -> Lines:
    """Return the strongest line of each spectrum that has one.

    Parameters
    ----------
    fluxes : Fluxes
        Measured and decoded spectra at the pixels that were measured.
    sign : int
        1 for emission lines, -1 for absorption lines.

    Returns
    -------
    Lines
        Those of a S/N of at least `DETECTED` and an equivalent width of at least `WIDE`, in a
        window without a bad pixel, above a continuum that is positive in both spectra.
    """
    good, step = fluxes.good, np.gradient(fluxes.wave)
    floors = [continuum(flux, good) for flux in (fluxes.flux, fluxes.decoded)]
    pairs = zip((fluxes.flux, fluxes.decoded), floors, strict=True)
    measured, decoded = (_windows(np.where(good, f - c, 0) * step) for f, c in pairs)
    variance = _windows(np.divide(step**2, fluxes.ivar, out=np.zeros(good.shape), where=good))
    whole = _windows(good) == WINDOW
    error = np.sqrt(variance, out=np.full(variance.shape, np.inf), where=whole)
    strength = np.where(whole, sign * measured / error, -np.inf)
    if not strength.size:
        return Lines(np.empty(0, np.int64), *np.empty((6, 0)))
    every = np.arange(len(strength))
    place = strength.argmax(axis=1)
    middle = place + WINDOW // 2
    levels = [floor[every, middle] for floor in floors]
    positive = (levels[0] > 0) & (levels[1] > 0)
    widths = [
        np.divide(line[every, place], level, out=np.zeros(len(every)), where=positive)
        for line, level in zip((measured, decoded), levels, strict=True)
    ]
    clear = (strength[every, place] >= DETECTED) & (sign * widths[0] >= WIDE)
    i, j = every[clear], place[clear]
    return Lines(
        i, fluxes.wave[middle[clear]], measured[i, j], error[i, j], decoded[i, j],
        widths[0][clear], widths[1][clear],
    )  # fmt: skip


def _windows(values: np.ndarray) -> np.ndarray:
    """Return sums over windows of `WINDOW` points, float64 (n, L + 1 - WINDOW)."""
    total = np.cumsum(values, axis=1, dtype=np.float64)
    before = np.concatenate([np.zeros((len(values), 1)), total[:, :-WINDOW]], axis=1)
    return total[:, WINDOW - 1 :] - before
