"""Changes of variants over the same objects and seeds, by hand."""

import numpy as np
import pytest

from astromodal.errors import FormatError
from astromodal.evaluation.ablations.measures import (
    Trainings,
    measure_change,
    measure_columns,
    measure_modalities,
    without_reconstruction,
)
from astromodal.evaluation.metrics import LN2
from astromodal.evaluation.transformer.losses import ObjectLosses

TERMS = "training.meaningful_loss."
OFF = {f"{TERMS}enabled": False}


def losses(nll=1.0, squared=1.0, scalars=1.0, n=6):
    """Losses of objects that have codes of images (two each) and scalars (one), and no spectra."""
    codes = np.tile([2, 1, 0], (n, 1))
    each = np.arange(1.0, n + 1)[None, :, None] * codes  # (1, n, M)
    ids = np.array([f"o{i}" for i in range(n)])
    table = np.full((2, n, 1), scalars)
    both = np.repeat(each, 2, axis=0)
    return ObjectLosses(ids, np.array(["mag"]), codes, nll * both, squared * both, table)


def test_a_change_is_the_mean_over_seeds_with_both_errors():
    """Seeds with 1 and 3: the mean is 2 ± 1, times the factor of Student's t of one degree."""
    found = measure_change(lambda index: np.array([1.0, 3.0]), 5, 0)
    assert found.value == 2.0
    assert found.over_objects == 0.0
    assert found.over_seeds == pytest.approx(1.8373, rel=1e-3)
    assert found.error == pytest.approx(found.over_seeds)


def test_one_seed_has_no_error_over_seeds():
    """And the error is that over objects."""
    found = measure_change(lambda index: np.array([float(index.mean())]), 50, 0)
    assert np.isnan(found.over_seeds)
    assert found.error == found.over_objects > 0


def test_changes_by_hand():
    """Bits per code over all codes; squared errors in per cent; no modality without codes."""
    runs = [("as_configured", losses()), ("x", losses(nll=2.0, squared=1.5))]
    found = measure_modalities(Trainings.join(runs), 0, 0)
    assert set(found["x"]) == {"image", "scalar"}
    image = found["x"]["image"]
    assert image.bits == pytest.approx(2 * 3.5 / LN2)
    assert image.bits_change.value == pytest.approx(3.5 / LN2)
    assert image.squared_change.value == pytest.approx(50.0)
    assert image.squared_change.over_objects == pytest.approx(0.0, abs=1e-9)
    assert found["as_configured"]["image"].bits_change is None


def test_columns_change_in_their_units():
    """Medians over objects, as configured and varied."""
    runs = [("as_configured", losses(scalars=0.2)), ("x", losses(scalars=0.1))]
    found = measure_columns(Trainings.join(runs), "x", 1, 0)["mag"]
    assert (found.configured, found.variant) == (0.2, 0.1)
    assert found.change.value == pytest.approx(-50.0)


def test_a_column_without_errors_or_values_is_left_out():
    """No change in per cent can be computed."""
    for value in (0.0, np.nan):
        runs = [("as_configured", losses(scalars=value)), ("x", losses(scalars=value))]
        assert measure_columns(Trainings.join(runs), "x", 0, 0) == {}


def test_trainings_are_of_the_same_objects():
    """Losses of other objects cannot be compared."""
    with pytest.raises(FormatError, match="ids of x's losses must be those of as_configured"):
        Trainings.join([("as_configured", losses()), ("x", losses(n=5))])


@pytest.mark.parametrize(
    ("changes", "off"),
    [
        (OFF, True),
        (
            {f"training.meaningful_loss.lambda_{m}": 0 for m in ("image", "scalar", "spectrum")},
            True,
        ),
        ({"training.meaningful_loss.lambda_image": 0}, False),
        ({**OFF, "training.epochs": 3}, False),
        ({f"{TERMS}enabled": True}, False),
        ({}, False),
    ],
)
def test_the_variant_without_reconstruction_is_known_by_what_it_changes(changes, off):
    """Whatever its name; one that changes anything else is none."""
    assert without_reconstruction({"mine": changes}) == ("mine" if off else None)
