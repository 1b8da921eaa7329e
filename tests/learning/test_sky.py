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
def test_spectra_from_photometry_beat_the_mean_spectrum(paths, model, objects, photometry, group):
    """A smaller squared error of the flux than the training field's mean spectrum has.

    Errors range over decades, so each object counts by the logarithm of its own.
    """
    predicted = model.predict(objects, group, given=photometry, n_samples=4)[group]
    flux = decoded(model, objects, group)
    mean = np.nanmean(decoded(model, model.open(paths.sequences(TRAINING)), group), axis=0)
    has = objects.has(group)
    assert has.sum() > 50
    errors = [np.nanmean((flux - guess) ** 2, axis=1) for guess in (predicted.flux[has], mean)]
    assert standard_errors(np.log(errors[1]) - np.log(errors[0])) > 2


def decoded(model, objects, group):
    """Fluxes of the objects that have a group's spectrum, as their codes keep them."""
    codes = objects.codes(group)
    return model.tokenizers.spectrum.decode(group, codes[:, 1:], codes[:, 0])[0]
