"""Objects that the model makes up, from what is given of others or from nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from astromodal.inference.asking import Question
from astromodal.inference.blocks import continuations
from astromodal.inference.bundle import Bundle
from astromodal.inference.sampling import draws, sample_block
from astromodal.training.batches import SequenceSet
from astromodal.training.layout import IMAGE, SCALAR


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
