"""Cutouts that the model tells from an object's other blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import SHAPE_COLUMNS
from astromodal.data.cutouts import elliptical_mask, read_cutouts
from astromodal.evaluation.held_out import PACKED, check_cutouts
from astromodal.evaluation.images.apertures import reduce_cutouts
from astromodal.evaluation.images.sample import DETECTED
from astromodal.evaluation.metrics import median_error, r2_of, scatter_error
from astromodal.evaluation.reconstruction.scores import (
    BASELINE,
    MEAN,
    MEAN_SHAPE,
    MODEL,
    SHAPE,
    TOKENIZER,
    WAYS,
    Bench,
    compared,
    scaled,
)
from astromodal.evaluation.report.section import measured
from astromodal.inference.encode import Encoded
from astromodal.inference.predict_blocks import predict_images
from astromodal.sequences.layout import IMAGE


@dataclass(frozen=True)
class ImageSample:
    """Cutouts of the objects asked about, and what came back; counts/s.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    bands : tuple of str
        The bands, B.
    pixels : float32 (n, B, S, S)
        Measured pixels; NaN where not valid.
    mask : bool (n, S, S)
        The objects' elliptical masks.
    ways : dict of str to float32 (n, B, S, S)
        By way: decoded codes, what the model expects, the decoded mean of training latents, and
        those two with each band at the brightness that fits it best.
    sums : dict of str to float64 (n, B)
        Of `image_sums.reduce_cutouts`, inside the mask.
    """

    ids: np.ndarray
    bands: tuple[str, ...]
    pixels: np.ndarray
    mask: np.ndarray
    ways: dict[str, np.ndarray]
    sums: dict[str, np.ndarray]


def sample_images(bench: Bench, objects: Encoded) -> ImageSample:
    """Predict cutouts, and read what was measured."""
    model, tokenizer = bench.model, bench.model.tokenizers.image
    predicted, _ = predict_images(
        model.bundle, objects, model.request(IMAGE), bench.sampling,
        model.settings,
    )  # fmt: skip
    stored = objects.codes(IMAGE)
    again = np.full_like(stored, MISSING_CODE)
    latents = tokenizer.centroids[bench.trained_on(IMAGE).codes(IMAGE)].mean(axis=0)  # (slots, L)
    grid = latents.reshape(1, tokenizer.grid, tokenizer.grid, -1).transpose(0, 3, 1, 2)
    mean = tokenizer.decode_latents(grid)[0]
    ways = {
        TOKENIZER: tokenizer.decode(stored),
        MODEL: predicted,
        MEAN: np.broadcast_to(mean, predicted.shape),
        SHAPE: np.empty_like(predicted),
        MEAN_SHAPE: np.empty_like(predicted),
    }
    pixels = np.full_like(predicted, np.nan)
    masks = np.zeros((len(pixels), *pixels.shape[2:]), dtype=bool)
    sums: dict[str, np.ndarray] = {}
    settings = ImageSettings(bands=tokenizer.bands, size=tokenizer.autoencoder.size)
    for mine, cube, rows in bench.by_field(objects):
        keep = np.zeros(cube.n_rows, dtype=bool)
        keep[rows] = True
        shapes = cube.scalars(SHAPE_COLUMNS)
        for batch in read_cutouts(cube, settings, keep=keep):
            place = mine[np.searchsorted(rows, batch.row)]
            again[place], _ = tokenizer.encode(batch.pixels, batch.valid)
            a, b, theta = shapes[batch.row].T
            masks[place] = elliptical_mask(a, b, theta, settings.size)
            pixels[place] = np.where(batch.valid, batch.pixels, np.nan)
            inside = batch.valid & masks[place, None]
            for told, way in ((SHAPE, MODEL), (MEAN_SHAPE, MEAN)):
                ways[told][place] = _scaled(ways[way][place], batch.pixels, inside)
            own = {way: images[place] for way, images in ways.items()}
            found = reduce_cutouts(batch.pixels, batch.valid, masks[place], own)
            for name, values in found.items():
                sums.setdefault(name, np.zeros(pixels.shape[:2]))[place] = values
        check_cutouts(cube, stored[mine], again[mine], PACKED.format("encode_images"))
    return ImageSample(objects.ids, tuple(tokenizer.bands), pixels, masks, ways, sums)


def _scaled(images: np.ndarray, pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Images, each band at the scale that fits its `pixels` (m, B, S, S) best."""
    shape = (-1, pixels[0, 0].size)
    flat = (a.reshape(shape) for a in (images, pixels, inside))
    return scaled(*flat)[0].reshape(pixels.shape)


def r2_by_way(sample: ImageSample) -> dict[str, np.ndarray]:
    """Explained variance inside the mask of each cutout and band by way, float64 (n, B)."""
    return {way: r2_of(sample.sums[f"residual_{way}"], sample.sums["total"]) for way in WAYS}


def image_numbers(sample: ImageSample, seed: int) -> dict[str, Any]:
    """R² and brightness by band and of all bands."""
    r2, shapes = r2_by_way(sample), (SHAPE, MEAN_SHAPE)
    change = magnitude_changes(sample)
    bands = {}
    for i, band in enumerate(sample.bands):
        numbers = compared({way: values[:, [i]] for way, values in r2.items()}, seed, shapes)
        if not numbers["n"]:
            continue
        numbers["brightness"] = _brightness(change, slice(i, i + 1), seed)
        for way in (TOKENIZER, MODEL):
            numbers[f"dmag_{way}"] = measured(*median_error(change[way][:, i], seed))
            numbers[f"dmag_scatter_{way}"] = measured(*scatter_error(change[way][:, i], seed))
        bands[band] = numbers
    every = compared(r2, seed, shapes)
    return {"bands": bands, "all": {**every, "brightness": _brightness(change, slice(None), seed)}}


def magnitude_changes(sample: ImageSample) -> dict[str, np.ndarray]:
    """Magnitude inside the mask less the measured one by way, (n, B); NaN where not detected."""
    sums = sample.sums
    bright = sums["flux"] > DETECTED * sums["noise"] * np.sqrt(sums["n_pixels"])
    out = {}
    for way in (TOKENIZER, MODEL, MEAN):
        back = sums[f"flux_{way}"]
        good = bright & (back > 0)
        ratio = np.divide(back, sums["flux"], out=np.full(back.shape, np.nan), where=good)
        out[way] = -2.5 * np.log10(ratio)
    return out


def _brightness(change: dict[str, np.ndarray], bands: slice, seed: int) -> dict[str, Any]:
    """|Δmag| of some bands: the model, and the mean cutout as its baseline."""
    ways = {MODEL: np.abs(change[MODEL][:, bands]), BASELINE: np.abs(change[MEAN][:, bands])}
    return compared(ways, seed, lower_is_better=True)
