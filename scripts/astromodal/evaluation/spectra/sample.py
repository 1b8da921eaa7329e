"""Observed and decoded spectra of the evaluated objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cube import Cube
from astromodal.data.spectra import has_group, read_spectra
from astromodal.evaluation.codebooks import count_codes
from astromodal.evaluation.context import EvaluationContext, check_codes, check_ids, sample_rows
from astromodal.evaluation.metrics import column_medians, r2, reduced_chi2
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
