"""Spectra and cutouts of evaluated objects: measured, decoded, and predicted from other blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import SHAPE_COLUMNS
from astromodal.data.cutouts import elliptical_mask, read_cutouts
from astromodal.data.spectra import read_spectra
from astromodal.evaluation.context import PACKED, check_codes, check_cutouts
from astromodal.evaluation.images.apertures import DecodedSums, MaskSums, decoded_sums, mask_sums
from astromodal.evaluation.images.photometry import DETECTED, instrumental
from astromodal.evaluation.metrics import r2, r2_of
from astromodal.evaluation.reconstruction.sample import (
    MODEL,
    TOKENIZER,
    ReconstructionInputs,
)
from astromodal.inference.encode import Encoded
from astromodal.inference.predict_blocks import predict_images, predict_spectra
from astromodal.sequences.layout import IMAGE

MEAN = "mean"
"""The mean of training spectra or cutouts."""

MODEL_SCALED, MEAN_SCALED = "model, scaled", "mean, scaled"
"""The prediction, and the mean, times the factor that fits the measurement best."""

METHODS = (TOKENIZER, MODEL, MEAN, MODEL_SCALED, MEAN_SCALED)
"""Methods that are compared for spectra and cutouts."""


@dataclass(frozen=True)
class PredictedSpectra:
    """Live spectra of one group.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    wave : float64 (L,)
        Wavelengths of the bins.
    flux, ivar : float64 (n, L)
        Observed and rebinned; NaN and 0 in a bin without a good pixel.
    estimates : dict of str to float64 (n, L)
        Flux by method.
    factor : dict of str to float64 (n,)
        Factors that scale ``model`` and ``mean``.
    std : float64 (n, L)
        Predicted standard deviation of the flux that would be measured.
    """

    ids: np.ndarray
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    estimates: dict[str, np.ndarray]
    factor: dict[str, np.ndarray]
    std: np.ndarray

    def r2(self) -> dict[str, np.ndarray]:
        """Return R² of each spectrum by method, float64 (n, 1)."""
        return {
            method: r2(self.flux, estimate, self.ivar)[:, None]
            for method, estimate in self.estimates.items()
        }


def sample_spectra(inputs: ReconstructionInputs, objects: Encoded, group: str) -> PredictedSpectra:
    """Predict spectra of one group, and read the observed ones."""
    model, coder = inputs.model, inputs.model.tokenizers.spectrum
    request = model.request(group)
    predicted, std = predict_spectra(model.bundle, objects, request, group, model.settings)
    flux, ivar = _observed(inputs, objects, group, predicted.shape[1])
    codes, trained = objects.codes(group), inputs.trained_on(group).codes(group)
    decoded = coder.decode(group, codes[:, 1:], codes[:, 0])[0]
    scale = coder.decode_scale(group, trained[:, 0])
    spectra = coder.decode(group, trained[:, 1:], trained[:, 0])[0]
    mean = np.broadcast_to(_mean(spectra), flux.shape)
    scaled, factor = fit_scale(predicted, flux, ivar)
    estimates = {
        TOKENIZER: decoded,
        MODEL: predicted,
        MEAN: mean,
        MODEL_SCALED: scaled,
        MEAN_SCALED: fit_scale(_mean(spectra / scale[:, None]), flux, ivar)[0],
    }
    factors = {MODEL: factor, MEAN: fit_scale(mean, flux, ivar)[1]}
    wave = coder.spectrum(group).wave
    return PredictedSpectra(objects.ids, wave, flux, ivar, estimates, factors, std)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the finite values of each column of (m, L), (L,); NaN without any."""
    good = np.isfinite(values)
    count = good.sum(0)
    total = np.where(good, values, 0.0).sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _observed(
    inputs: ReconstructionInputs, objects: Encoded, group: str, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read observed flux and inverse variance in the bins, float64 (n, L) each.

    Raises
    ------
    FormatError
        Where the codes in the sequences are not those of the observed spectra.
    """
    coder, stored = inputs.model.tokenizers.spectrum, objects.codes(group)[:, 1:]
    again = np.full_like(stored, MISSING_CODE)
    flux, ivar = np.full((len(objects), length), np.nan), np.zeros((len(objects), length))
    for places, cube, rows in inputs.by_field(objects):
        for batch in read_spectra(cube, group):
            chosen = batch.take(np.isin(batch.row, rows))
            place = places[np.searchsorted(rows, chosen.row)]
            again[place], _ = coder.encode(group, chosen.flux, chosen.ivar)
            flux[place], ivar[place] = coder.spectrum(group).observed(chosen)
        rule = PACKED.format("encode_spectra")
        check_codes(cube, f"{group} spectra", stored[places], again[places], rule)
    return flux, ivar


@dataclass(frozen=True)
class PredictedImages:
    """Cutouts in counts/s.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    bands : tuple of str
        The bands, B.
    pixels : float32 (n, B, S, S)
        Measured pixels; NaN where not valid.
    mask : bool (n, S, S)
        Elliptical masks of the objects.
    estimates : dict of str to float32 (n, B, S, S)
        Cutouts by method; each band has a scale of its own.
    measured : MaskSums
        Sums over the measured cutouts.
    sums : dict of str to DecodedSums
        Sums over the estimates by method.
    """

    ids: np.ndarray
    bands: tuple[str, ...]
    pixels: np.ndarray
    mask: np.ndarray
    estimates: dict[str, np.ndarray]
    measured: MaskSums
    sums: dict[str, DecodedSums]

    def r2(self) -> dict[str, np.ndarray]:
        """Return R² inside the mask of each cutout and band by method, float64 (n, B)."""
        return {m: r2_of(sums.residual, self.measured.total) for m, sums in self.sums.items()}

    def magnitude_changes(self) -> dict[str, np.ndarray]:
        """Return estimated minus measured magnitude in the mask by method, float64 (n, B).

        NaN where the source is not detected or the estimated flux is not positive.
        """
        measured = self.measured
        bright = measured.flux > DETECTED * measured.noise * np.sqrt(measured.n_pixels)
        flux = np.where(bright, measured.flux, np.nan)
        return {m: instrumental(self.sums[m].flux / flux) for m in (TOKENIZER, MODEL, MEAN)}


def sample_images(inputs: ReconstructionInputs, objects: Encoded) -> PredictedImages:
    """Predict cutouts, and read the measured ones."""
    tokenizer = inputs.model.tokenizers.image
    stored, head = objects.codes(IMAGE), objects.layout.spec.n_brightness
    again = np.full_like(stored, MISSING_CODE)
    estimates = _estimates(inputs, objects)
    pixels = np.full_like(estimates[MODEL], np.nan)
    masks = np.zeros((len(pixels), *pixels.shape[2:]), dtype=bool)
    measured = MaskSums(*np.zeros((4, *pixels.shape[:2])))
    sums = {method: DecodedSums(*np.zeros((2, *pixels.shape[:2]))) for method in METHODS}
    settings = ImageSettings(bands=tokenizer.bands, size=tokenizer.autoencoder.size)
    for places, cube, rows in inputs.by_field(objects):
        keep = np.zeros(cube.n_rows, dtype=bool)
        keep[rows] = True
        shapes = cube.scalars(SHAPE_COLUMNS)
        for batch in read_cutouts(cube, settings, keep=keep):
            place = places[np.searchsorted(rows, batch.row)]
            again[place, head:], _ = tokenizer.encode(batch.pixels, batch.valid)
            again[place, :head] = tokenizer.brightness(batch.pixels, batch.valid)
            a, b, theta = shapes[batch.row].T
            mask = elliptical_mask(a, b, theta, settings.size)
            masks[place] = mask
            pixels[place] = np.where(batch.valid, batch.pixels, np.nan)
            inside = batch.valid & mask[:, None]
            for scaled, method in ((MODEL_SCALED, MODEL), (MEAN_SCALED, MEAN)):
                estimates[scaled][place] = _scaled(estimates[method][place], batch.pixels, inside)
            _store(measured, place, mask_sums(batch.pixels, batch.valid, mask))
            for method, images in estimates.items():
                _store(
                    sums[method], place,
                    decoded_sums(batch.pixels, images[place], batch.valid, mask),
                )  # fmt: skip
        check_cutouts(cube, stored[places], again[places], PACKED.format("encode_images"))
    return PredictedImages(
        objects.ids, tuple(tokenizer.bands), pixels, masks, estimates, measured, sums
    )


def _estimates(inputs: ReconstructionInputs, objects: Encoded) -> dict[str, np.ndarray]:
    """Return cutouts by method, float32 (n, B, S, S); the scaled ones are not yet filled."""
    model, tokenizer = inputs.model, inputs.model.tokenizers.image
    predicted, _ = predict_images(
        model.bundle, objects, model.request(IMAGE), inputs.sampling, model.settings
    )  # fmt: skip
    head = objects.layout.spec.n_brightness
    stored, codes = objects.codes(IMAGE), inputs.trained_on(IMAGE).codes(IMAGE)
    latents = tokenizer.centroids[codes[:, head:]].mean(axis=0)  # (slots, L)
    grid = latents.reshape(1, tokenizer.grid, tokenizer.grid, -1).transpose(0, 3, 1, 2)
    mean = tokenizer.decode_latents(grid)[0]
    return {
        TOKENIZER: tokenizer.decode(stored[:, head:], stored[:, :head]),
        MODEL: predicted,
        MEAN: np.broadcast_to(mean, predicted.shape),
        MODEL_SCALED: np.empty_like(predicted),
        MEAN_SCALED: np.empty_like(predicted),
    }


def _store(sums: MaskSums | DecodedSums, place: np.ndarray, batch: MaskSums | DecodedSums) -> None:
    """Copy the sums of a batch to its places."""
    for name, values in vars(batch).items():
        getattr(sums, name)[place] = values


def _scaled(images: np.ndarray, pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return images with each band at the scale that fits its `pixels` (m, B, S, S) best."""
    shape = (-1, pixels[0, 0].size)
    flat = (a.reshape(shape) for a in (images, pixels, inside))
    return fit_scale(*flat)[0].reshape(pixels.shape)


def fit_scale(
    shape: np.ndarray, values: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale each row of a shape to fit values by weighted least squares.

    Parameters
    ----------
    shape : (L,) or (n, L) float
        The shape.
    values, weight : (n, L) float
        Values and their weights. Only those count where all are finite and the weight is positive.

    Returns
    -------
    fitted : float64 (n, L)
        The shape times its factor.
    factor : float64 (n,)
        0 where there is nothing to fit.
    """
    shape = np.broadcast_to(shape, values.shape)
    good = np.isfinite(values) & np.isfinite(shape) & (weight > 0)
    w, v, s = (np.where(good, a, 0.0).astype(np.float64) for a in (weight, values, shape))
    square = (w * s * s).sum(1)
    factor = np.divide((w * s * v).sum(1), square, out=np.zeros(len(v)), where=square > 0)
    return factor[:, None] * shape, factor
