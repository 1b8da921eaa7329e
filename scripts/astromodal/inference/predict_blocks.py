"""Spectra and images of objects, predicted and decoded, and sampling of whole blocks.

Legend: m objects of a batch, S codes in use, D model, F features of an id, L wavelengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from astromodal.config.evaluate import PredictSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import PIXELS, scalar_unit
from astromodal.inference.bundle import Bundle
from astromodal.inference.encode import Encoded
from astromodal.inference.prompt import (
    Prompt,
    Sampling,
    hidden_blocks,
    pick_each,
    prompts,
    run_prompt,
    sample_block,
)
from astromodal.inference.request import Request
from astromodal.models.decoding import Cache
from astromodal.sequences.layout import IMAGE, SCALAR, Block
from astromodal.surveys.registry import light_curves, spectrum_group
from astromodal.tokenizers.images.brightness import flux_slots
from astromodal.tokenizers.light_curves import DecodedCurves

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class SpectrumPrediction:
    """Predicted or decoded spectra of one group for n objects.

    Attributes
    ----------
    group : str
        Name of the group.
    wave : float64 (L,)
        Mean wavelength of each bin.
    wave_unit, flux_unit : str
        Units in the notation of astropy; the pseudo-wavelength of Gaia XP has none.
    ids : unicode (n,)
        Ids of the objects.
    flux : float64 (n, L)
        Mean of the predicted flux, or the decoded flux; NaN where a code is missing.
    std : float64 (n, L)
        Standard deviation of the predicted flux. It includes the noise of measured spectra of the
        group, as the model predicts measurements, not noiseless spectra; the uncertainties of
        different codes are taken to be independent. Of decoded spectra: the
        decoded error of the measurement.
    n_given : int32 (n,)
        Number of codes that each object was predicted or decoded from.
    """

    group: str
    wave: np.ndarray
    wave_unit: str
    flux_unit: str
    ids: np.ndarray
    flux: np.ndarray
    std: np.ndarray
    n_given: np.ndarray


@dataclass(frozen=True)
class ImagePrediction:
    """Predicted or decoded cutouts of n objects.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    unit : str
        Unit of the pixels in the notation of astropy.
    ids : unicode (n,)
        Ids of the objects.
    pixels : float32 (n, bands, side, side)
        Mean over samples of the decoded expected latents, brought to the brightness of each sample.
        Where the decoder is linear, as it nearly is for sky noise, this is the mean; for bright
        pixels it is closer to a median.
    std : float32 (n, bands, side, side)
        Root mean square deviation from `pixels` of the decoded samples.
    n_given : int32 (n,)
        Number of codes that each object was predicted or decoded from.
    measured : bool (n, bands)
        Of decoded cutouts, the bands whose brightness has a code. In the others the field has no
        image, or a pixel within 3 arcsec was not measured: their pixels are those that the codes of
        all bands together imply, which have not been compared with any measurement. True throughout
        in predictions.
    """

    bands: tuple[str, ...]
    unit: str
    ids: np.ndarray
    pixels: np.ndarray
    std: np.ndarray
    n_given: np.ndarray
    measured: np.ndarray


@dataclass(frozen=True)
class LightCurves:
    """Decoded light curves of one group for n objects.

    Attributes
    ----------
    group : str
        Name of the group.
    time_unit, mag_unit : str
        Units in the notation of astropy.
    ids : unicode (n,)
        Ids of the objects.
    curves : DecodedCurves
        Their epochs. A sequence holds the first `max_epochs` of a longer curve.
    """

    group: str
    time_unit: str
    mag_unit: str
    ids: np.ndarray
    curves: DecodedCurves


Decoded: TypeAlias = "DataFrame | SpectrumPrediction | ImagePrediction | LightCurves"
"""A decoded block; scalars are a table."""


def continuations(
    bundle: Bundle,
    objects: Encoded,
    request: Request,
    blocks: list[Block],
    n_samples: int,
    token_budget: int,
) -> Iterator[tuple[Prompt, Cache]]:
    """Yield batches of objects after their prompt, each object `n_samples` times in a row."""
    room = sum(1 + block.length for block in blocks)
    for gathered in prompts(objects, request):
        each = n_samples * (gathered.length(bundle.layout) + room)
        for prompt in gathered.batches(each, token_budget):
            cache = run_prompt(bundle, objects.sequences, prompt, room)
            yield prompt, cache.repeat(n_samples)


def predict_spectra(
    bundle: Bundle, objects: Encoded, request: Request, group: str, settings: PredictSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the mean and standard deviation of the flux, float64 (n, L) each.

    They are those of the distributions of all codes, each given what is shown, in one run of the
    model: codes are taken to be independent of each other.

    Parameters
    ----------
    bundle : Bundle
        The model.
    objects : Encoded
        The n objects.
    request : Request
        Columns and blocks to predict from.
    group : str
        The spectrum group.
    settings : PredictSettings
        Token budget.
    """
    block, coder = bundle.layout[group], bundle.tokenizers.spectrum
    tokenizer = coder.spectrum(group)
    values = np.stack([tokenizer.unit_values(slot) for slot in range(block.length - 1)])
    mean = np.empty((len(objects), len(tokenizer.wave)))
    square = np.empty_like(mean)
    for hidden in hidden_blocks(bundle, objects, request, block, settings.token_budget):
        first, second = np.zeros((2, len(hidden.place), *values.shape[::2]))  # moments
        scale, scale_squared = np.ones((2, len(hidden.place), 1))
        for slots, p in hidden.probabilities():
            if slots.start == 0:
                own = coder.decode_scale(group, np.arange(p.shape[2]))
                scale, scale_squared = p[:, 0] @ own[:, None], p[:, 0] @ own[:, None] ** 2
                continue
            at = slice(slots.start - 1, slots.stop - 1)
            first[:, at] = np.einsum("mks,ksv->mkv", p, values[at])
            second[:, at] = np.einsum("mks,ksv->mkv", p, values[at] ** 2)
        flux, squared = tokenizer.moments(first, second)
        mean[hidden.place], square[hidden.place] = flux * scale, squared * scale_squared
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def predict_images(
    bundle: Bundle,
    objects: Encoded,
    request: Request,
    sampling: Sampling,
    settings: PredictSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict mean and spread of the pixels, float32 (n, bands, side, side) in counts/s each.

    The expected latents of a cutout and the distributions of its brightness come from one run of
    the model. Each sample has the flux of one quantile in all bands, which rise and fall together,
    and the medians of its place and of the concentrations and peaks of its bands.

    Parameters
    ----------
    bundle, objects, request, settings
        As for `predict_spectra`.
    sampling : Sampling
        Number and seed of the samples; its temperature is not used.
    """
    tokenizer, block = bundle.tokenizers.image, bundle.layout[IMAGE]
    n_samples, head = sampling.n_samples, bundle.layout.spec.n_brightness
    side, n_dim = tokenizer.autoencoder.size, tokenizer.centroids.shape[1]
    pixels = np.empty((len(objects), len(tokenizer.bands), side, side), np.float32)
    std = np.empty_like(pixels)
    quantiles = (np.arange(n_samples) + 0.5) / n_samples
    fluxes = flux_slots(len(tokenizer.bands))
    for hidden in hidden_blocks(bundle, objects, request, block, settings.token_budget):
        n = len(hidden.place)
        expected = np.empty((n, block.length - head, n_dim), np.float32)
        codes = np.full((n, n_samples, block.length), MISSING_CODE, dtype=np.uint16)
        uniform = sampling.uniforms(hidden.objects, block).reshape(codes.shape)
        uniform[:, :, :head], uniform[:, :, fluxes] = 0.5, quantiles[:, None]
        for slots, p in hidden.probabilities():
            codes[:, :, slots] = pick_each(p, uniform[:, :, slots])
            if slots.start >= head:
                expected[:, slots.start - head : slots.stop - head] = p @ tokenizer.centroids
        for place, own, latents in zip(hidden.place.tolist(), codes, expected, strict=True):
            # One object at a time: a cutout is 442 kB.
            grid = latents.reshape(tokenizer.grid, tokenizer.grid, n_dim).transpose(2, 0, 1)
            means = tokenizer.decode_latents(np.stack([grid] * n_samples), own[:, :head])
            pixels[place] = means.mean(axis=0)
            residual = tokenizer.decode(own[:, head:], own[:, :head]) - pixels[place]
            std[place] = np.sqrt(np.square(residual, dtype=np.float64).mean(axis=0))
    return pixels, std


@dataclass(frozen=True)
class Generated:
    """Sampled blocks of n objects, with `n_samples` samples each, in physical units.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    codes : dict of str to uint16 (n, samples, slots)
        Codes by block.
    scalars : dict of str to float64 (n, samples)
        Values by column, if the scalar block was requested; NaN in a column without bins.
    flux, ivar : dict of str to float64 (n, samples, L)
        Spectra by group, and their inverse variances.
    pixels : float32 (n, samples, bands, side, side) or None
        Cutouts in counts/s, if images were requested.
    """

    ids: np.ndarray
    codes: dict[str, np.ndarray]
    scalars: dict[str, np.ndarray] = field(default_factory=dict)
    flux: dict[str, np.ndarray] = field(default_factory=dict)
    ivar: dict[str, np.ndarray] = field(default_factory=dict)
    pixels: np.ndarray | None = None


def generate_codes(
    bundle: Bundle,
    objects: Encoded,
    request: Request,
    names: list[str],
    sampling: Sampling,
    token_budget: int,
) -> dict[str, np.ndarray]:
    """Sample the codes of blocks, one block after another, uint16 (n, samples, slots) by name.

    Parameters
    ----------
    bundle, objects, request
        As for `predict_spectra`.
    names : list of str
        Blocks in the order in which they are sampled.
    sampling : Sampling
        Samples per object, seed and temperature.
    token_budget : int
        Tokens that are run at once.
    """
    blocks, n_samples = [bundle.layout[name] for name in names], sampling.n_samples
    out = {b.name: np.empty((len(objects), n_samples, b.length), np.uint16) for b in blocks}
    batches = continuations(bundle, objects, request, blocks, n_samples, token_budget)
    for prompt, cache in batches:
        for block in blocks:
            uniform = sampling.uniforms(prompt.objects, block)
            codes = sample_block(bundle, cache, block, uniform, sampling.temperature)
            out[block.name][prompt.place] = codes.reshape(-1, n_samples, block.length)
    return out


def decode_codes(bundle: Bundle, ids: np.ndarray, codes: dict[str, np.ndarray]) -> Generated:
    """Decode codes by block to physical values."""
    out = Generated(ids, codes)
    pixels = None
    for name, sampled in codes.items():
        flat = sampled.reshape(-1, sampled.shape[2])
        shape = sampled.shape[:2]
        if name == SCALAR:
            values = bundle.tokenizers.scalar.decode(flat).reshape(sampled.shape)
            out.scalars.update(zip(bundle.columns, np.moveaxis(values, 2, 0), strict=True))
        elif name == IMAGE:
            head = bundle.layout.spec.n_brightness
            cutouts = bundle.tokenizers.image.decode(flat[:, head:], flat[:, :head])
            pixels = cutouts.reshape(*shape, *cutouts.shape[1:])
        else:
            flux, ivar = bundle.tokenizers.spectrum.decode(name, flat[:, 1:], flat[:, 0])
            whole = *shape, flux.shape[1]  # -1 would not do for no objects
            out.flux[name], out.ivar[name] = flux.reshape(whole), ivar.reshape(whole)
    return Generated(ids, codes, out.scalars, out.flux, out.ivar, pixels)


def spectrum_of(
    bundle: Bundle,
    group: str,
    ids: np.ndarray,
    flux: tuple[np.ndarray, np.ndarray],
    n_given: np.ndarray,
) -> SpectrumPrediction:
    """Return spectra, of flux and its standard deviation, with their wavelengths and units."""
    wave, kind = bundle.tokenizers.spectrum.spectrum(group).wave, spectrum_group(group)
    units = kind.axis.unit, kind.values.unit
    return SpectrumPrediction(group, wave, *units, ids, *flux, n_given)


def image_of(
    bundle: Bundle, ids: np.ndarray, pixels: tuple[np.ndarray, np.ndarray], n_given: np.ndarray
) -> ImagePrediction:
    """Return predicted cutouts, of pixels and their standard deviation, with bands and unit."""
    bands = bundle.tokenizers.image.bands
    measured = np.ones((len(ids), len(bands)), dtype=bool)
    return ImagePrediction(bands, PIXELS, ids, *pixels, n_given, measured)


def decode_objects(bundle: Bundle, objects: Encoded, names: Sequence[str]) -> dict[str, Decoded]:
    """Decode blocks of objects; see `AstroModel.decode`."""
    curves = light_curves(block.name for block in bundle.layout.groups())
    out: dict[str, Decoded] = {}
    for name in names:
        ids, codes = objects.ids[objects.has(name)], objects.codes(name)
        n_codes = (codes != MISSING_CODE).sum(axis=1, dtype=np.int32)
        if name in curves:
            out[name] = _decode_curves(bundle, name, ids, codes)
            continue
        decoded = decode_codes(bundle, ids, {name: codes[:, None]})
        if name == SCALAR:
            out[name] = _scalar_frame(bundle, ids, decoded)
        elif decoded.pixels is not None:
            pixels = decoded.pixels[:, 0]
            image = image_of(bundle, ids, (pixels, np.full_like(pixels, np.nan)), n_codes)
            head = codes[:, : bundle.layout.spec.n_brightness]
            out[name] = replace(image, measured=bundle.tokenizers.image.has_brightness(head))
        else:
            flux, ivar = decoded.flux[name][:, 0], decoded.ivar[name][:, 0]
            known = np.where(ivar > 0, ivar, np.nan)
            out[name] = spectrum_of(bundle, name, ids, (flux, known**-0.5), n_codes)
    return out


def _scalar_frame(bundle: Bundle, ids: np.ndarray, decoded: Generated) -> DataFrame:
    """Return decoded scalars as a table whose `attrs` hold the units by column."""
    from pandas import DataFrame, Index

    values = {column: values[:, 0] for column, values in decoded.scalars.items()}
    frame = DataFrame(values, index=Index(ids, name="id"))
    frame.attrs["units"] = {column: scalar_unit(column) or "" for column in bundle.columns}
    return frame


def _decode_curves(bundle: Bundle, group: str, ids: np.ndarray, codes: np.ndarray) -> LightCurves:
    """Decode light curves of codes (m, 1 + epochs), the first of which is the median."""
    epochs = codes[:, 1:]
    known = epochs != MISSING_CODE
    indptr = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    tokenizer, kind = bundle.tokenizers.spectrum, spectrum_group(group)
    decoded = tokenizer.decode_curves(group, epochs[known], indptr, codes[:, 0])
    return LightCurves(group, kind.axis.unit, kind.values.unit, ids, decoded)
