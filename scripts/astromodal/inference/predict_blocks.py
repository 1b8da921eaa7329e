"""Spectra, images and whole objects, predicted block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from astromodal.config.evaluate import PredictSettings
from astromodal.inference.bundle import Bundle
from astromodal.inference.prompt import Prompt, draws, parts, prompts, sample_block, show
from astromodal.inference.request import Question
from astromodal.models.decoding import Cache
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR, Block
from astromodal.tokenizers.spectra.features import N_FEATURES, expand


@dataclass(frozen=True)
class SpectrumPrediction:
    """What is predicted of one group of spectra.

    Attributes
    ----------
    group : str
        The group.
    wave : float64 (L,)
        Mean wavelength of each bin.
    wave_unit, flux_unit : str
        Units as astropy reads them; the pseudo-wavelength of Gaia XP has none.
    ids : unicode (n,)
        Ids of the objects.
    flux : float64 (n, L)
        Mean of the flux that would be measured.
    std : float64 (n, L)
        Its standard deviation: of what is not known of the object, and of the noise that spectra
        of the group have.
    n_given : int32 (n,)
        Codes that each was predicted from; 0: from nothing.
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
    """What is predicted of cutouts.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    unit : str
        Unit of the pixels as astropy reads it.
    ids : unicode (n,)
        Ids of the objects.
    pixels : float32 (n, bands, side, side)
        Mean over the continuations of what their expected latents decode to. The decoder is close
        to linear in the sky's noise; of bright pixels this is nearer to a median than to a mean.
    std : float32 (n, bands, side, side)
        Root mean square of the decoded continuations about `pixels`.
    n_given : int32 (n,)
        Codes that each was predicted from; 0: from nothing.
    """

    bands: tuple[str, ...]
    unit: str
    ids: np.ndarray
    pixels: np.ndarray
    std: np.ndarray
    n_given: np.ndarray


def continuations(
    bundle: Bundle,
    sequences: SequenceSet,
    question: Question,
    objects: np.ndarray,
    blocks: list[Block],
    n_samples: int,
    token_budget: int,
) -> Iterator[tuple[Prompt, Cache]]:
    """Objects in parts, with everything that is given run, `n_samples` times in a row each."""
    room = sum(1 + block.length for block in blocks)
    for gathered in prompts(sequences, question, objects):
        n_scalars = 1 + bundle.layout[SCALAR].length if gathered.tells else 0
        each = n_samples * (gathered.length(bundle.layout) + n_scalars + room)
        for prompt in parts(gathered, each, token_budget):
            yield prompt, show(bundle, sequences, prompt, True, room).repeat(n_samples)


def predict_spectra(
    bundle: Bundle,
    sequences: SequenceSet,
    question: Question,
    objects: np.ndarray,
    group: str,
    sampling: tuple[int, int],
    settings: PredictSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the flux, float64 (n, L) each.

    Parameters
    ----------
    bundle, sequences, question, objects, settings
        As for `scalars.predict_columns`.
    group : str
        The group of spectra.
    sampling : (int, int)
        Continuations of an object, and the seed that they are drawn from.
    """
    block, (n_samples, seed) = bundle.layout[group], sampling
    unit_flux = _unit_flux(bundle, group)  # (S,)
    mean = np.empty((len(objects), block.length - 1))
    square = np.empty_like(mean)
    todo = continuations(
        bundle, sequences, question, objects, [block], n_samples, settings.token_budget
    )
    for prompt, cache in todo:
        n = len(prompt.objects) * n_samples
        first, second = np.zeros((n, block.length)), np.zeros((n, block.length))

        def watch(
            slot: int, chances: np.ndarray, first: np.ndarray = first, second: np.ndarray = second
        ) -> None:
            if slot:
                first[:, slot], second[:, slot] = chances @ unit_flux, chances @ unit_flux**2

        uniform = draws(seed, prompt.objects, n_samples, block)
        codes = sample_block(bundle, cache, block, uniform, watch=watch)
        scale = bundle.tokenizers.spectrum.decode_scale(group, codes[:, 0])[:, None]
        shape = (len(prompt.objects), n_samples, -1)
        mean[prompt.place] = (first * scale)[:, 1:].reshape(shape).mean(axis=1)
        square[prompt.place] = (second * scale**2)[:, 1:].reshape(shape).mean(axis=1)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def predict_images(
    bundle: Bundle,
    sequences: SequenceSet,
    question: Question,
    objects: np.ndarray,
    sampling: tuple[int, int],
    settings: PredictSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the pixels, float32 (n, bands, side, side) counts/s each.

    Parameters as for `predict_spectra`.
    """
    tokenizer, block = bundle.tokenizers.image, bundle.layout[IMAGE]
    n_samples, seed = sampling
    side, n_dim = tokenizer.autoencoder.size, tokenizer.centroids.shape[1]
    pixels = np.empty((len(objects), len(tokenizer.bands), side, side), np.float32)
    std = np.empty_like(pixels)
    todo = continuations(
        bundle, sequences, question, objects, [block], n_samples, settings.token_budget
    )
    for prompt, cache in todo:
        n = len(prompt.objects) * n_samples
        expected = np.empty((n, block.length, n_dim), np.float32)

        def watch(slot: int, chances: np.ndarray, expected: np.ndarray = expected) -> None:
            expected[:, slot] = chances @ tokenizer.centroids

        uniform = draws(seed, prompt.objects, n_samples, block)
        codes = sample_block(bundle, cache, block, uniform, watch=watch)
        for i, place in enumerate(prompt.place.tolist()):  # one at a time: a cutout is 442 kB
            own = slice(i * n_samples, (i + 1) * n_samples)
            grid = expected[own].reshape(n_samples, tokenizer.grid, tokenizer.grid, n_dim)
            means = tokenizer.decode_latents(grid.transpose(0, 3, 1, 2))
            pixels[place] = means.mean(axis=0)
            away = tokenizer.decode(codes[own]) - pixels[place]
            std[place] = np.sqrt(np.square(away, dtype=np.float64).mean(axis=0))
    return pixels, std


def _unit_flux(bundle: Bundle, group: str) -> np.ndarray:
    """Flux of each of a group's codes in units of the scale, float64 (S,)."""
    tokenizer = bundle.tokenizers.spectrum.spectrum(group)
    features = tokenizer.centroids * tokenizer.std + tokenizer.mean
    return expand(features.reshape(1, -1, N_FEATURES), np.ones(1))[0][0]


@dataclass(frozen=True)
class Generated:
    """Samples of the blocks asked for, n objects with `n_samples` each, in physical units.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects that were given.
    codes : dict of str to uint16 (n, samples, slots)
        Codes by block.
    scalars : dict of str to float64 (n, samples)
        Values by column, where the scalar block was asked for; NaN in a column without bins.
    flux, ivar : dict of str to float64 (n, samples, L)
        Spectra by group, and their inverse variances.
    pixels : float32 (n, samples, bands, side, side) or None
        Cutouts in counts/s, where images were asked for.
    """

    ids: np.ndarray
    codes: dict[str, np.ndarray]
    scalars: dict[str, np.ndarray] = field(default_factory=dict)
    flux: dict[str, np.ndarray] = field(default_factory=dict)
    ivar: dict[str, np.ndarray] = field(default_factory=dict)
    pixels: np.ndarray | None = None


def generate_codes(
    bundle: Bundle,
    sequences: SequenceSet,
    question: Question,
    objects: np.ndarray,
    names: list[str],
    sampling: tuple[int, int, float],
    token_budget: int,
) -> dict[str, np.ndarray]:
    """Codes of blocks, drawn one after another, uint16 (n, samples, slots) by name.

    Parameters
    ----------
    bundle, sequences, question, objects
        As for `scalars.predict_columns`.
    names : list of str
        Blocks in the order in which they are drawn.
    sampling : (int, int, float)
        Samples of an object, the seed, and the temperature.
    token_budget : int
        Tokens that are kept at once.
    """
    n_samples, seed, temperature = sampling
    blocks = [bundle.layout[name] for name in names]
    out = {b.name: np.empty((len(objects), n_samples, b.length), np.uint16) for b in blocks}
    todo = continuations(bundle, sequences, question, objects, blocks, n_samples, token_budget)
    for prompt, cache in todo:
        for block in blocks:
            uniform = draws(seed, prompt.objects, n_samples, block)
            codes = sample_block(bundle, cache, block, uniform, temperature)
            out[block.name][prompt.place] = codes.reshape(-1, n_samples, block.length)
    return out


def decode_codes(bundle: Bundle, ids: np.ndarray, codes: dict[str, np.ndarray]) -> Generated:
    """Physical values of codes by block."""
    made = Generated(ids, codes)
    pixels = None
    for name, drawn in codes.items():
        flat = drawn.reshape(-1, drawn.shape[2])
        shape = drawn.shape[:2]
        if name == SCALAR:
            values = bundle.tokenizers.scalar.decode(flat).reshape(*shape, -1)
            made.scalars.update(zip(bundle.columns, np.moveaxis(values, 2, 0), strict=True))
        elif name == IMAGE:
            cutouts = bundle.tokenizers.image.decode(flat)
            pixels = cutouts.reshape(*shape, *cutouts.shape[1:])
        else:
            found = bundle.tokenizers.spectrum.decode(name, flat[:, 1:], flat[:, 0])
            made.flux[name], made.ivar[name] = (part.reshape(*shape, -1) for part in found)
    return Generated(ids, codes, made.scalars, made.flux, made.ivar, pixels)
