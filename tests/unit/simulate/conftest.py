from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal.config.inputs import SimulatedField, SimulateSettings
from astromodal.simulate.field import simulate_field
from astromodal.simulate.light import Light, integrate_light
from astromodal.simulate.sources import Sources, sample_sources

SKY = SimulateSettings(
    seed=7,
    n_sources=90,
    cutout_fraction=0.5,
    xp_fraction=0.12,
    desi_fraction=0.15,
    specz_fraction=0.2,
    fields={
        "WHOLE": SimulatedField(),
        "WRAPPED": SimulatedField(ra=0.0, dec=-1.0, absent=("desi", "vista", "images")),
        "BARE": SimulatedField(absent=("gaia", "desi", "specz")),
        "NO-BLUE": SimulatedField(absent_bands=("F395",), n_sources=40),
        "MANY": SimulatedField(n_sources=2000),
    },
)


@pytest.fixture(scope="session")
def sky() -> SimulateSettings:
    return SKY


@pytest.fixture(scope="session")
def cube_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sky") / "datacube_WHOLE.parquet"
    simulate_field(SKY, "WHOLE", path)
    return path


@pytest.fixture(scope="session")
def cube(cube_path: Path) -> pa.Table:
    return pq.read_table(cube_path)


@pytest.fixture(scope="session")
def sources() -> Sources:
    return sample_sources(SKY, "MANY")


@pytest.fixture(scope="session")
def light(sources: Sources) -> Light:
    return integrate_light(sources)
