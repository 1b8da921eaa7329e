"""What a small model knows of sources that it never saw: one modality from another.

The held-out field's objects are compared one by one, and a claim must stand two standard errors
off. No threshold is tuned to the outcome; the sky is sized for the time that training takes.
"""

import numpy as np
import pytest

from astromodal.core.paths import Layout
from astromodal.core.vocab import MISSING_CODE
from helpers.workflow import run_once

pytestmark = pytest.mark.workflow

TRAINING, HELD_OUT = "S-1", "S-2"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A run on a sky of its own, up to the trained model."""
    sequences = Layout("results").sequences(HELD_OUT)
    workflow = run_once(tmp_path_factory, "sky", "train", sequences)
    return Layout(str(workflow.results))


@pytest.fixture(scope="module")
def model(paths):
    from astromodal.inference import AstroModel

    return AstroModel.from_run(paths.run)


@pytest.fixture(scope="module")
def objects(paths, model):
    """The objects of the field that nothing was trained on."""
    return model.open(paths.sequences(HELD_OUT))


@pytest.fixture(scope="module")
def photometry(model):
    return [name for name in model.columns if name.startswith(("mag_", "err_mag_"))]


@pytest.fixture(scope="module")
def image_tokenizer(paths):
    """The sky's autoencoder and number of codes, with bins as many as by default."""
    from astromodal.config import load_config
    from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder
    from astromodal.tokenizers.images.tokenizer import ImageTokenizer
    from astromodal.tokenizers.images.train import TrainingLatents, train_image_codebook

    settings = load_config({}).tokenizers
    image = settings.image.model_copy(update={"codebook_size": 256, "iterations": 5})
    latents = TrainingLatents.load(paths.latents)
    codebook = train_image_codebook(latents, image, settings.scalar.n_bins)
    return ImageTokenizer(TrainedAutoencoder.load(paths.autoencoder), codebook)


def nll(model, objects, prediction, among=None):
    """Return the NLL of the measured bins, (m,), under a prediction and under the training bins."""
    column = model.columns.index(prediction.column)
    codes = objects.codes("scalar")[:, column]
    known = (codes != MISSING_CODE) & (True if among is None else among)
    predicted = -np.log(prediction.probabilities[known, codes[known]])
    share = model.tokenizers.scalar.weights[column]
    return predicted, -np.log(share[codes[known]])


def standard_errors(gain):
    """By how many standard errors the mean of paired differences is above 0."""
    return gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain)))


def test_redshifts_from_photometry_beat_redshifts_from_nothing(model, objects, photometry):
    """A smaller NLL of the measured redshift than from nothing, and than its distribution has."""
    predicted = model.predict(objects, "specz_z", given=photometry)["specz_z"]
    blind = model.predict(objects, "specz_z", given=[])["specz_z"]
    known, marginal = nll(model, objects, predicted)
    unknown, _ = nll(model, objects, blind)
    assert len(known) > 50
    assert standard_errors(unknown - known) > 2
    assert standard_errors(marginal - known) > 2


@pytest.mark.parametrize("column", ["mag_pstotal_r", "mag_pstotal_g"])
def test_scalars_from_images_beat_the_marginal(model, objects, column):
    """A magnitude is predicted from the cutout alone better than by its distribution."""
    predicted = model.predict(objects, column, given="image")[column]
    known, marginal = nll(model, objects, predicted, objects.has("image"))
    assert len(known) > 50
    assert standard_errors(marginal - known) > 2


@pytest.mark.parametrize("group", ["desi_b", "desi_r", "desi_z"])
def test_predicted_spectra_beat_the_mean_spectrum(paths, model, objects, photometry, group):
    """The flux from photometry has a smaller squared error than the mean training spectrum."""
    flux, _ = of_spectra(paths, model, objects, group, photometry)
    assert len(flux) > 50
    assert standard_errors(flux) > 2


NOT_LEARNED = pytest.mark.xfail(
    strict=False,
    reason="since a code stands for two bins, the shape of arm b is not predicted better than the "
    "mean spectrum by so short a training: docs/decisions.md",
)


@pytest.mark.parametrize("group", [pytest.param("desi_b", marks=NOT_LEARNED), "desi_r", "desi_z"])
def test_predicted_shapes_beat_the_mean_spectrum(paths, model, objects, group):
    """Scaled to fit, the prediction from everything else has a smaller squared error than it."""
    _, shape = of_spectra(paths, model, objects, group, None)
    assert standard_errors(shape) > 2


def of_spectra(paths, model, objects, group, given):
    """Gains of predicted spectra over the training field's mean spectrum, as `gains` returns."""
    flux, has = decoded(model, objects, group)[:, None], objects.has(group)
    mean = np.nanmean(decoded(model, model.open(paths.sequences(TRAINING)), group), axis=0)
    predicted = model.predict(objects, group, given=given)[group].flux[has]
    return gains(flux, predicted[:, None], mean[None, None])


def test_cutouts_from_photometry_beat_the_mean_cutout(paths, model, objects, photometry):
    """A smaller squared error of pixels and of shape than the training field's mean cutout has."""
    training = model.open(paths.sequences(TRAINING))
    some, many = (each[np.flatnonzero(each.has("image"))[:100]] for each in (objects, training))
    pixels, mean = (model.decode(each, "image")["image"].pixels for each in (some, many))
    predicted = model.predict(some, "image", given=photometry, n_samples=3)["image"].pixels
    shape = (*pixels.shape[:2], -1)
    same = mean.mean(axis=0, keepdims=True).reshape(1, *shape[1:])
    for gain in gains(pixels.reshape(shape), predicted.reshape(shape), same):
        assert standard_errors(gain) > 2


def gains(measured, predicted, mean):
    """By how much predictions are nearer than a mean, (n,) each: as they are, and scaled to fit.

    Arrays are (n, bands, values). Errors range over decades, so each object counts by the logarithm
    of its own mean square.
    """
    errors = []
    for guess in (predicted, mean):
        guess = np.where(np.isfinite(measured), guess, np.nan)
        scale = np.nansum(measured * guess, axis=2) / np.nansum(guess**2, axis=2)
        for each in (guess, scale[:, :, None] * guess):
            errors.append(np.log(np.nanmean((measured - each) ** 2, axis=(1, 2))))
    return errors[2] - errors[0], errors[3] - errors[1]


def decoded(model, objects, group):
    """Fluxes of the objects that have a group's spectrum, as their codes keep them."""
    codes = objects.codes(group)
    return model.tokenizers.spectrum.decode(group, codes[:, 1:], codes[:, 0])[0]


def cores(tokenizer, path):
    """Return brightest pixels and fluxes in 3 and 2 arcsec of whole cutouts, and S/N of the former.

    Pixels and fluxes are decoded from codes over measured, (m, 12) and (m, 12, 2).
    """
    from astromodal.config.schema import ImageSettings
    from astromodal.data.cube import Cube
    from astromodal.data.cutouts import read_cutouts
    from astromodal.evaluation.images.apertures import aperture_fluxes, peaks
    from astromodal.tokenizers.images.pixels import source_places

    sky, found = tokenizer.normaliser.sky, []
    for batch in read_cutouts(Cube(path, "F"), ImageSettings()):
        pixels, valid = batch.pixels, batch.valid
        codes, _ = tokenizer.encode(pixels, valid)
        decoded = tokenizer.decode(codes, tokenizer.brightness(pixels, valid))
        places = source_places(pixels, valid, sky)
        peak, again = (peaks(images, pixels, valid, places) for images in (pixels, decoded))
        flux, kept = (aperture_fluxes(each, valid, places)[..., :2] for each in (pixels, decoded))
        found.append((again / peak, kept / flux, peak / sky))
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def test_bright_cores_are_decoded(paths, image_tokenizer):
    """Of unseen sources, nine in ten of the brightest pixels are within 5 % where S/N > 100."""
    peak, flux, snr = cores(image_tokenizer, paths.cube(HELD_OUT))
    bright = snr > 100
    assert bright.sum() > 300
    assert np.mean(np.abs(peak[bright] - 1) < 0.05) >= 0.9
    assert np.mean(np.abs(2.5 * np.log10(flux[bright])) < 0.1) >= 0.95


def test_bright_cores_of_real_sources_are_decoded(image_tokenizer, real_cubes):
    """The brightest pixel of real sources, trained on a simulated sky: within 5 % in broad bands.

    So is the median of all twelve bands, and all magnitudes in 2 and 3 arcsec are within 0.1 mag.
    Single narrow bands may be worse: they are registered to a tenth of a pixel only.
    """
    from astromodal.config.schema import BANDS

    path = real_cubes / "datacube_STRIPE82-REAL.parquet"
    peak, flux, snr = cores(image_tokenizer, path)
    bright, broad = snr > 100, [BANDS.index(band) for band in "UGRIZ"]
    assert bright[:, broad].sum() >= 5
    assert np.abs(peak[:, broad][bright[:, broad]] - 1).max() < 0.05
    assert abs(np.median(peak[bright]) - 1) < 0.05
    assert np.abs(2.5 * np.log10(flux[snr > 30])).max() < 0.1
