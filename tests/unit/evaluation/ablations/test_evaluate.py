"""The page says what the reconstruction terms improve, and where that is not known."""

import numpy as np
import pytest

from astromodal.evaluation.ablations.evaluate import compare_ablations
from astromodal.evaluation.context import evaluated_fields
from astromodal.evaluation.transformer.losses import ObjectLosses

N = 30


def _losses(squared, seed, nll=1.0):
    rng = np.random.default_rng(seed)
    codes = np.tile([2, 1, 3], (N, 1))
    noise = 1 + 0.001 * rng.normal(size=(2, N, 3))
    scalars = np.abs(rng.normal(size=(2, N, 2)))
    ids = np.array([f"o{i}" for i in range(N)])
    columns = np.array(["mag_pstotal_r", "specz_z"])
    return ObjectLosses(ids, columns, codes, nll * codes * noise, squared * codes * noise, scalars)


@pytest.fixture
def compare(tmp_path, context):
    """Compare as configured with a variant without reconstruction terms."""

    def go(squared=1.0, nll=1.0, seeds=2, variants=None):
        off = {"no_reconstruction": {"training.meaningful_loss.enabled": False}}
        variants = off if variants is None else variants
        settings = {"ablations": {"variants": variants, "seeds": seeds, "epochs": 1}}
        runs, paths = [], []
        for variant in ("as_configured", *variants):
            if variant == "same":
                continue
            for seed in range(seeds):
                own = (squared, nll) if variant != "as_configured" else (1.0, 1.0)
                runs.append((variant, seed))
                paths.append(tmp_path / f"{variant}_{seed}.npz")
                _losses(own[0], seed, own[1]).save(paths[-1])
        return compare_ablations(context(evaluated_fields(["H"], []), settings), paths, runs)

    return go


def test_what_the_terms_improve_is_said(compare):
    """A larger error without them is what they improve, with its size."""
    section = compare(squared=1.2)
    better = "So the terms reduce the error of the expected image, scalar, spectrum codes"
    assert better in section.notes[0]
    headline = section.headlines[0].measurement
    assert (headline.value, headline.unit) == (pytest.approx(20.0), "%")
    assert len(section.figures) == 3
    assert all(f.see and f.table.rows for f in section.figures)


def test_that_they_improve_nothing_is_said_as_plainly(compare):
    """No squared error grows without them; and the note says what they cost."""
    section = compare(squared=0.9, nll=0.9)
    assert "So the terms improve nothing" in section.notes[0]
    assert "they raise the nll of image, scalar, spectrum codes" in section.notes[0]


def test_one_seed_shows_no_difference(compare):
    """Another seed might differ as much."""
    section = compare(squared=1.2, seeds=1)
    assert "One seed cannot show" in section.notes[0]
    assert any("Raise ablations.seeds" in note for note in section.notes)


def test_variants_that_were_not_trained_are_named(compare):
    """Those of the same settings, and that the effect of the terms is not known."""
    section = compare(variants={"wide": {"model.d_ff": 64}, "same": {}})
    assert any("Not trained" in note and "same" in note for note in section.notes)
    unknown = "no variant that was trained differs only in having none"
    assert any(unknown in note for note in section.notes)
    assert section.headlines == []


def test_numbers_are_kept_by_order_of_blocks(compare):
    """Both orders, and the columns without the terms."""
    numbers = compare(squared=1.2).numbers
    assert set(numbers.orders) == {"fixed", "shuffled"}
    assert numbers.orders["fixed"]["no_reconstruction"]["image"].n == N
    assert set(numbers.columns) == {"mag_pstotal_r", "specz_z"}
