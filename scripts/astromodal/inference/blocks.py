"""Predicting spectra and images: what the model's continuations say on average.

A block is drawn several times. At every slot the model tells all codes' probabilities given the
codes drawn before, and the mean over them is taken instead of the code drawn: the average of those
conditional means is less noisy than that of the draws, and has the same expectation.

Legend: B objects of a batch, R = B × samples, L bins of a spectrum, S codes in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from astromodal.config.predict import PredictSettings
from astromodal.inference.asking import Question
from astromodal.inference.bundle import Bundle
from astromodal.inference.prompts import Prompt, parts, prompts, show
from astromodal.inference.sampling import draws, sample_block
from astromodal.models.decoding import Cache
from astromodal.tokenizers.spectrum_features import N_FEATURES, expand
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import IMAGE, SCALAR, Block


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
