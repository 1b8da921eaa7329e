"""Features of measured cutouts and spectra, against photutils and values known by hand."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from astromodal.config import load_config
from astromodal.config.evaluate import combine
from astromodal.data.cutouts import CutoutBatch
from astromodal.evaluation.context import EvaluatedField, EvaluationContext
from astromodal.evaluation.downstream.features import (
    ON_MEASUREMENTS,
    Features,
    Measurements,
    Table,
    asinh_magnitudes,
    cutout_features,
    examples_of,
    light_radii,
    measure,
    spectrum_features,
)
from astromodal.evaluation.downstream.predictions import Predictor
from astromodal.evaluation.downstream.sample import LabelledObjects
from astromodal.evaluation.downstream.tasks import Target, Task
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.images.pixels import PIXEL_SCALE
from helpers.cutouts import SKY
from helpers.model import COLUMNS, cube_table
from helpers.spectra import spectra

N = 12
SIGMA, PLACE = 2.0, (0.3, -0.4)
GIVEN = ("scalar", "image", "spectrum")


def _star(sigma=SIGMA, flux=1000.0, size=48):
    """A Gaussian star in three bands, of the given flux and of a half and a quarter of it."""
    offset = np.arange(size) - size // 2
    squared = (offset[None, :] - PLACE[0]) ** 2 + (offset[:, None] - PLACE[1]) ** 2
    light = flux * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    pixels = np.stack([light, light / 2, light / 4])[None].astype(np.float32)
    return CutoutBatch(np.array([0], np.int32), pixels, np.ones(pixels.shape, bool))


def _by_name(features):
    """Features of three bands by name."""
    names = ("small", "large", "colours", "half", "concentration", "width")
    return dict(zip(names, np.split(features[0], np.cumsum([3, 3, 2, 3, 3])), strict=True))


@pytest.mark.parametrize(("name", "diameter"), [("small", 2.0), ("large", 3.0)])
def test_magnitudes_are_those_of_photutils(name, diameter):
    """A bright star's are -2.5 log10 of photutils' exact sum in a circle around its place."""
    batch = _star()
    middle = batch.pixels.shape[-1] // 2
    circle = CircularAperture((middle + PLACE[0], middle + PLACE[1]), diameter / 2 / PIXEL_SCALE)
    sums = [aperture_photometry(band, circle)["aperture_sum"][0] for band in batch.pixels[0]]
    found = _by_name(cutout_features(batch, SKY))[name]
    np.testing.assert_allclose(found, -2.5 * np.log10(sums), atol=2e-3)


def test_colours_are_differences_of_neighbouring_bands():
    """Half the light is 0.75 mag fainter."""
    colours = _by_name(cutout_features(_star(), SKY))["colours"]
    assert colours == pytest.approx([2.5 * np.log10(0.5)] * 2, abs=2e-3)


def test_the_size_of_a_gaussian_star():
    """Half the light lies within half the full width at half maximum, which is 2.355 sigma."""
    found = _by_name(cutout_features(_star(1.5), SKY))
    fwhm = 2.3548 * 1.5 * PIXEL_SCALE
    assert found["width"] == pytest.approx([fwhm] * 3, rel=0.03)
    assert found["half"] == pytest.approx([fwhm / 2] * 3, rel=0.05)


def test_the_concentration_of_a_gaussian_star():
    """Its radii of 80 and 20 % of the light have the ratio sqrt(ln 5 / ln 1.25)."""
    found = _by_name(cutout_features(_star(1.5), SKY))["concentration"]
    expected = 5 * np.log10(np.sqrt(np.log(5) / np.log(1.25)))
    assert found == pytest.approx([expected] * 3, abs=0.1)


def test_a_missing_band_has_no_features():
    """All numbers of the band are NaN, and those of other bands as before but for colours."""
    batch = _star()
    whole = _by_name(cutout_features(batch, SKY))
    batch.valid[:, 1], batch.pixels[:, 1] = False, 0
    found = _by_name(cutout_features(batch, SKY))
    for name in ("small", "large", "half", "concentration", "width"):
        assert np.isnan(found[name]).tolist() == [False, True, False]
        assert found[name][0] == pytest.approx(whole[name][0], abs=1e-3)
    assert np.isnan(found["colours"]).all()


def test_a_negative_flux_has_a_magnitude():
    """It is fainter than that of no light, by about one noise in linear units."""
    below, nothing = asinh_magnitudes(np.array([-1.0, 0.0]), np.ones(1))
    assert np.isfinite(below)
    assert below > nothing


def test_light_without_a_positive_sum_has_no_radius():
    """Noise around zero has no size."""
    assert np.isnan(light_radii(np.full((1, 1, 8), -1.0))).all()


@pytest.fixture(scope="module")
def model(survey):
    """A toy model, whose tokenizers know DESI's arm r."""
    return survey.model


def test_spectra_keep_their_brightness_apart(model):
    """Twice the flux changes the scale by log10 2, and neither S/N nor shape."""
    flux, ivar = spectra(4)
    coder = model.tokenizers.spectrum.spectrum("desi_r")
    one, two = (
        spectrum_features(coder, SpectrumBatch(np.arange(4), f * flux, ivar / f**2))
        for f in (np.float32(1), np.float32(2))
    )
    np.testing.assert_allclose(two[0][:, 0] - one[0][:, 0], np.log10(2), rtol=1e-5)
    np.testing.assert_allclose(two[0][:, 1], one[0][:, 1], rtol=1e-4)
    np.testing.assert_allclose(two[1], one[1], atol=1e-5)


def test_a_dead_spectrum_has_no_features(model):
    """Without a good pixel all is NaN; a bad bin is NaN alone."""
    flux, ivar = spectra(2)
    coder = model.tokenizers.spectrum.spectrum("desi_r")
    ivar[0], ivar[1, : coder.factor] = 0, 0
    levels, fluxes = spectrum_features(coder, SpectrumBatch(np.arange(2), flux, ivar))
    assert np.isnan(levels[0]).all()
    assert np.isnan(fluxes[0]).all()
    assert np.flatnonzero(np.isnan(fluxes[1])).tolist() == [0]


@pytest.fixture(scope="module")
def measured(model, tmp_path_factory):
    """Measure twelve objects for a task; ``blocks`` are those that sequences have."""
    path = tmp_path_factory.mktemp("measured") / "datacube_F1.parquet"
    pq.write_table(cube_table(N), path)
    encoded = model.encode(path)
    every = np.arange(N)
    has = np.ones((N, 3), bool)
    none = np.full(N, np.nan)
    text = np.full(N, "")
    objects = LabelledObjects(every, none, has, {}, text, none, every, text, frozenset())
    field = EvaluatedField("F1", False, {"cube": path})
    context = EvaluationContext([field], load_config({}), path.parent)

    def run(given=GIVEN, blocks=("image", "desi_r", "gaiaxp_bp")):
        sequences = encoded.sequences.only(blocks, range(len(COLUMNS)))
        task = Task(Target("x", "stellar"), combine(given), none, every[:6], every[6:8], every[8:])
        return measure(context, model, sequences, objects, [task], COLUMNS[:2])

    return run


def test_what_an_object_lacks_is_missing(measured):
    """Every second object has a cutout, and every third a spectrum; others are NaN."""
    found, every = measured(), np.arange(N)
    assert np.array_equal(np.isfinite(found.cutouts.of(every)).any(axis=1), every % 2 == 0)
    assert np.array_equal(np.isfinite(found.levels["desi_r"].of(every)[:, 0]), every % 3 == 0)
    fluxes = found.fluxes(GIVEN, every)["desi_r"]
    assert np.array_equal(np.isfinite(fluxes).any(axis=1), every % 3 == 0)


def test_scalars_are_those_that_may_be_given(measured):
    """Two columns of six were given, with the values of the cube."""
    found = measured(("scalar",)).features(("scalar",), np.arange(N))
    table = cube_table(N)
    expected = np.stack([table[name].to_numpy() for name in COLUMNS[:2]], axis=1)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("given", [("scalar",), ("image",), ("spectrum",), ("scalar", "image")])
def test_hidden_modalities_are_not_seen(measured, given):
    """Features and spectra are of the given modalities alone, though others were measured."""
    every, found = np.arange(N), measured()
    widths = {"scalar": 2, "image": 6 * 3 - 1, "spectrum": 2 * len(found.levels)}
    assert found.features(given, every).shape == (N, sum(widths[name] for name in given))
    assert bool(found.fluxes(given, every)) == ("spectrum" in given)


@pytest.mark.parametrize(("block", "other"), [("image", "desi_r"), ("desi_r", "image")])
def test_a_block_that_the_model_does_not_see_is_not_measured(measured, block, other):
    """Where sequences lack a block, its features are missing, though the cube has it."""
    found, every = measured(blocks=(other,)), np.arange(N)
    table = found.cutouts if block == "image" else found.levels["desi_r"]
    assert np.isnan(table.of(every)).all()


def test_arms_say_what_each_method_sees():
    """Trees, TabM and neighbours see what is given; the network codes; the constant nothing."""
    table = Table(np.arange(2), np.zeros((2, 7)))
    found = Measurements(table, table, {"desi_r": table}, {"desi_r": table})
    predictor = Predictor(None, None, None, COLUMNS, found, None)
    inputs = predictor._inputs(["scalar", "spectrum"])
    assert {inputs[name] for name in ON_MEASUREMENTS} == {"7 scalars; spectra of desi_r"}
    assert inputs["network"] == "codes of 6 scalars"
    assert inputs["constant"] == "nothing"
    image = predictor._inputs(["image"])
    assert {image[name] for name in ON_MEASUREMENTS} == {"7 features of the cutout"}


def _task():
    """A task of ten objects, with even numbers."""
    every = np.arange(0, 20, 2)
    labels = np.arange(20.0)
    return Task(Target("x", "stellar"), "spectrum", labels, every[:4], every[4:6], every[6:]), every


def test_examples_have_the_spectra_of_their_objects():
    """Methods on measurements get them, in the order of the objects; others get none."""
    task, every = _task()
    own = Features(np.ones((10, 1)), {"desi_r": every[:, None].astype(float)})
    found = examples_of(task, every, {"trees": own, "constant": Features(np.empty((10, 0)))})
    trees = found["trees"]
    assert np.array_equal(trees.spectra["desi_r"][trees.fit, 0], task.fit)
    assert np.array_equal(trees.y[trees.score], task.labels[task.score])
    assert not found["constant"].spectra


def test_without_measurements_there_is_no_method_on_them():
    """Where nothing was measured of the objects to fit to, trees are left out, probes are not."""
    task, every = _task()
    values = np.full((10, 2), np.nan)
    values[9] = 1.0
    features = {name: Features(values) for name in (*ON_MEASUREMENTS, "probe")}
    assert set(examples_of(task, every, features)) == {"probe"}
