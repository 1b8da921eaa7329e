import numpy as np
import pytest

from astromodal.data.cube import Cube
from astromodal.data.cutouts import elliptical_mask
from astromodal.tokenizers.normaliser import SOFTENING, ImageNormaliser
from astromodal.training.cutout_store import (
    CutoutStore,
    TrainingField,
    draw_cutouts,
    fit_normaliser,
)
from helpers.cutouts import BANDS, SETTINGS, SKY, cutout_columns, cutouts

NORMALISER = ImageNormaliser(BANDS, 8 * SKY)


def limited(n):
    return SETTINGS.model_copy(update={"max_cutouts": n})


@pytest.fixture
def field_of(write_cube):
    def make(n, seed=0, name="F1", columns=None, rows=None) -> TrainingField:
        columns = columns or cutout_columns(cutouts(n, seed))
        cube = Cube(write_cube(columns, field=name), name)
        return TrainingField(cube, np.ones(n, bool) if rows is None else rows)

    return make


@pytest.fixture
def drawn(tmp_path):
    def draw(fields, settings=SETTINGS):
        return draw_cutouts(fields, settings, NORMALISER, tmp_path)

    return draw


def sources(store, *pixels):
    """Which source each drawn cutout is: its place among the `pixels` of all fields."""
    x = NORMALISER.forward(np.concatenate(pixels), np.ones((1,), bool)).astype(np.float16)
    return [int(np.flatnonzero((x == one).all((1, 2, 3)))[0]) for one in store.x]


def test_every_fit_row_is_drawn(field_of, drawn):
    """Below the limit, all whole cutouts of the rows to fit on are taken, and no others."""
    rows = np.array([1, 0, 1, 1, 0], bool)
    store = drawn([field_of(5, rows=rows)])
    assert sources(store, cutouts(5)) == [0, 2, 3]


def test_fields_share_evenly(field_of, drawn):
    """Each field gives its share; what a small field cannot give, a later one does."""
    fields = [field_of(n, seed, f"F{seed}") for seed, n in enumerate((2, 20, 20))]
    chosen = np.array(
        sources(drawn(fields, limited(20)), *(cutouts(n, s) for s, n in enumerate((2, 20, 20))))
    )
    assert np.histogram(chosen, [0, 2, 22, 42])[0].tolist() == [2, 9, 9]
    assert len(np.unique(chosen)) == 20


def test_draw_is_uniform_inside_a_field(field_of, tmp_path):
    """Over many seeds, early and late rows are drawn equally often."""
    field = field_of(30)
    counts = np.zeros(30)
    for seed in range(60):
        settings = limited(6).model_copy(update={"seed": seed})
        counts[sources(draw_cutouts([field], settings, NORMALISER, tmp_path), cutouts(30))] += 1
    assert counts.sum() == 360
    assert np.abs(counts.reshape(3, 10).sum(1) - 120).max() < 40  # 4 sigma


def test_same_seed_same_draw(field_of, drawn):
    """The draw follows from the seed."""
    field = field_of(30)
    one, two = (np.array(drawn([field], limited(6)).x) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_shapes_stand_beside_their_cutouts(field_of, drawn):
    """The shape of each source is that of its own row."""
    columns = cutout_columns(cutouts(8))
    columns["a_pixel_det"] = [float(i) for i in range(8)]
    store = drawn([field_of(8, columns=columns)], limited(5))
    assert store.shapes[:, 0].tolist() == sources(store, cutouts(8))


def test_no_cutouts(field_of, drawn):
    """Fields without images give an empty store."""
    store = drawn([field_of(2, columns={"id": ["a", "b"]})])
    assert len(store) == 0


def test_window_cuts_pixels_validity_and_mask_alike(tmp_path):
    """Pixels, their validity and the mask are of the same window; what is invalid is 0."""
    x = np.arange(2 * 3 * 32 * 32, dtype=np.float16).reshape(2, 3, 32, 32)
    x[1, 2, 9, 10] = np.nan
    shapes = np.array([[1.0, 1.0, 0.0], [4.0, 2.0, 30.0]])
    pixels, valid, inside = CutoutStore(x, shapes).window(np.array([1]), 8, 4, 12)
    mask = elliptical_mask(*shapes[1:].T, size=32)
    np.testing.assert_array_equal(inside, mask[:, 8:20, 4:16])
    assert (pixels[0, 2, 1, 6], valid[0, 2, 1, 6]) == (0, False)
    assert pixels[0, 0, 0, 0] == x[1, 0, 8, 4]
    assert valid.sum() == valid.size - 1


def test_normaliser_is_learned_from_the_rows_to_fit_on(field_of):
    """The softening follows the sky of the fit rows; rows held out do not move it."""
    pixels = cutouts(12)
    pixels[6:] *= 100
    rows = np.arange(12) < 6
    fitted = fit_normaliser([field_of(12, columns=cutout_columns(pixels), rows=rows)], SETTINGS)
    np.testing.assert_allclose(fitted.softening, SOFTENING * SKY, rtol=0.15)
    assert fitted.bands == BANDS
