from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.config.inputs import SimulatedField
from astromodal.simulate.field import simulate_field
from astromodal.simulate.light_curves import (
    BANDS,
    FLOOR,
    START,
    YEARS,
    Exposures,
    choose,
    expose,
    measure,
    periodic,
    random_walk,
    variation,
)
from astromodal.simulate.sources import GALAXY, QUASAR

RNG = np.random.default_rng


@pytest.fixture
def exposures() -> Exposures:
    return expose(150.0, RNG(0))


def test_a_field_is_seen_for_eight_months_a_year(exposures):
    """Hundreds of exposures in order over five years, with a gap in every year, fewest in i."""
    assert (np.diff(exposures.time) > 0).all()
    assert START < exposures.time[0] < exposures.time[-1] < START + 366 * YEARS
    assert (np.diff(exposures.time) > 100).sum() in (4, 5)
    g, r, i = np.bincount(exposures.band)
    assert min(g, r) > 300 > i > 100


def test_choice_is_a_fraction():
    """Chosen rows are distinct and ascending."""
    rows = choose(50, 0.3, RNG(1))
    assert len(rows) == 15
    assert (np.diff(rows) > 0).all()


def test_errors_are_those_of_the_survey(exposures):
    """Errors are 0.01 mag for bright sources to 0.2 at the limit, and match the scatter."""
    mean = np.repeat([[15.0], [19.0], [20.4]], 3, axis=1)
    curve = measure(mean, np.zeros((3, len(exposures.time))), exposures, RNG(2))["r"]
    bright, middle, faint = np.split(curve["magerr"], np.cumsum(curve["length"])[:-1])
    assert np.median(bright) == pytest.approx(FLOOR, abs=0.002)
    assert 0.03 < np.median(middle) < 0.1
    assert faint.max() <= 0.22
    pulls = (np.split(curve["mag"], np.cumsum(curve["length"])[:-1])[1] - 19.0) / middle
    assert 0.8 < pulls.std() < 1.2


def test_curves_are_ragged(exposures):
    """Fainter sources are detected less often; saturated ones and those without magnitude never."""
    mean = np.repeat([[18.0], [20.6], [24.0], [10.0], [np.nan]], 3, axis=1)
    curve = measure(mean, np.zeros((5, len(exposures.time))), exposures, RNG(3))["g"]
    first, second, *rest = curve["length"].tolist()
    assert first == (exposures.band == 0).sum()
    assert first > second > 0
    assert rest == [0, 0, 0]
    assert len(curve["hmjd"]) == first + second


def test_quasars_walk_at_random(exposures):
    """The structure function grows with the time between epochs, and is larger in g than in i."""
    walk = random_walk(np.full(400, 18.5), np.full(400, 1.5), exposures, RNG(4))
    g = np.flatnonzero(exposures.band == 0)
    near = np.std(walk[:, g[1:]] - walk[:, g[:-1]])
    far = np.std(walk[:, g[200:]] - walk[:, g[:-200]])
    assert 0.005 < near < 0.5 * far < 0.3
    assert walk[:, g].std() > walk[:, exposures.band == 2].std()


def test_periodic_stars_repeat():
    """A second set of exposures a period later finds the same magnitudes."""
    time = START + np.linspace(0.0, 1.0, 40)
    once = Exposures(time, np.zeros(40, int), np.full(40, 20.0))
    found = periodic(30, once, RNG(5))
    rng = RNG(5)
    sawtooth = rng.uniform(size=30) < 0.5
    period = np.where(sawtooth, rng.uniform(0.45, 0.8, 30), 10 ** rng.uniform(-0.7, 2.0, 30))
    for k in (0, 1, 2):
        later = Exposures(time + period[k], once.band, once.limit)
        np.testing.assert_allclose(periodic(30, later, RNG(5))[k], found[k], atol=1e-5)
    assert found.max() <= 0.55
    assert found[sawtooth].max() > 0.3


def test_only_quasars_and_some_stars_vary(sources, exposures):
    """All quasars vary, no galaxy does."""
    rows = np.arange(300)
    varied = variation(sources, rows, exposures, RNG(6)).std(axis=1) > 0
    kind = sources.kind[rows]
    assert varied[kind == QUASAR].all()
    assert not varied[kind == GALAXY].any()
    assert 0 < varied[kind == 0].mean() < 0.3


def test_light_curves_are_off_by_default(cube):
    """The default sky has no light curves."""
    assert not [name for name in cube.column_names if name.startswith("ztf_")]


def test_light_curves_change_nothing_else(sky, cube, tmp_path):
    """Light curves change no other column; a field without ZTF has none."""
    bare = SimulatedField(absent=("ztf",), n_sources=20)
    changed = sky.model_copy(
        update={"light_curve_fraction": 0.6, "fields": {**sky.fields, "BARE": bare}}
    )
    simulate_field(changed, "WHOLE", tmp_path / "with.parquet")
    found = pq.read_table(tmp_path / "with.parquet")
    names = [f"ztf_{part}_{band}" for band in BANDS for part in ("mag", "magerr", "hmjd")]
    assert set(found.column_names) - set(cube.column_names) == set(names)
    cheap = [name for name in cube.column_names if not name.startswith("splus_cut")]
    for name in cheap:  # as text, for NaN is not equal to itself
        assert repr(found[name].to_pylist()) == repr(cube[name].to_pylist())
    length = [[len(x or ()) for x in found[name].to_pylist()] for name in names[3:6]]
    assert length[0] == length[1] == length[2]
    assert 0.3 < np.mean(np.array(length[0]) > 0) <= 0.6
    assert len(set(length[0])) > 2
    simulate_field(changed, "BARE", tmp_path / "bare.parquet")
    assert not [n for n in pq.read_schema(tmp_path / "bare.parquet").names if n.startswith("ztf_")]
