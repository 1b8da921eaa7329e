"""The page says what the reconstruction terms buy, and where nothing can be said."""

import numpy as np
import pytest
from astromodal.evaluation.ablations.compare import compare_ablations

from astromodal.config import load_config
from astromodal.evaluation.ablations.losses import ObjectLosses

N = 30


def _losses(squared, seed, surprise=1.0):
    rng = np.random.default_rng(seed)
    codes = np.tile([2, 1, 3], (N, 1))
    noise = 1 + 0.001 * rng.normal(size=(2, N, 3))
    scalars = np.abs(rng.normal(size=(2, N, 2)))
    ids = np.array([f"o{i}" for i in range(N)])
    columns = np.array(["mag_pstotal_r", "specz_z"])
    return ObjectLosses(
        ids, columns, codes, surprise * codes * noise, squared * codes * noise, scalars
    )


@pytest.fixture
def compare(tmp_path):
    """Compare as configured with a variant without reconstruction terms."""

    def go(squared=1.0, surprise=1.0, seeds=2, variants=None):
        off = {"no_reconstruction": {"training.meaningful_loss.enabled": False}}
        variants = off if variants is None else variants
        config = load_config({"ablations": {"variants": variants, "seeds": seeds, "epochs": 1}})
        runs, paths = [], []
        for variant in ("as_configured", *variants):
            if variant == "same":
                continue
            for seed in range(seeds):
                own = (squared, surprise) if variant != "as_configured" else (1.0, 1.0)
                runs.append((variant, seed))
                paths.append(tmp_path / f"{variant}_{seed}.npz")
                _losses(own[0], seed, own[1]).save(paths[-1])
        plain = config.model_dump(mode="json")
        return compare_ablations(paths, runs, ["H"], [], plain, tmp_path / "figures")

    return go


def test_what_the_terms_buy_is_said(compare):
    """A larger error without them is what they buy, with its size."""
    section = compare(squared=1.2)
    assert (
        "buy a smaller error of the expected image, scalar, spectrum codes" in (section["notes"][0])
    )
    assert section["headlines"][0]["value"] == pytest.approx(20.0)
    assert len(section["figures"]) == 3
    assert all(f["see"] and f["table"]["rows"] for f in section["figures"])


def test_that_they_buy_nothing_is_said_as_plainly(compare):
    """No squared error grows without them; and what they cost is told."""
    section = compare(squared=0.9, surprise=0.9)
    assert "So they buy nothing" in section["notes"][0]
    assert "they cost surprise at image, scalar, spectrum codes" in section["notes"][0]


def test_one_seed_tells_nothing_of_differences(compare):
    """Another seed might differ as much."""
    section = compare(squared=1.2, seeds=1)
    assert "one seed cannot tell" in section["notes"][0]
    assert any("Raise ablations.seeds" in note for note in section["notes"])


def test_variants_that_were_not_trained_are_named(compare):
    """What differs in nothing, and that the question of the terms cannot be answered."""
    section = compare(variants={"wide": {"model.d_ff": 64}, "same": {}})
    assert any("Not trained" in note and "same" in note for note in section["notes"])
    assert any("no variant that was trained differs in having none" in n for n in section["notes"])
    assert section["headlines"] == []
