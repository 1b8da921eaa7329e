"""A small simulated sky, written once as raw survey files and once as cubes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from astromodal.config.load import load_config
from astromodal.config.schema import Config
from astromodal.core.paths import Layout
from astromodal.simulate.field import simulate_field
from astromodal.simulate.raw import raw_sources, write_raw_survey
from helpers.workflow import locked_folder

SKY = {
    "n_sources": 240,
    "xp_fraction": 0.2,
    "desi_fraction": 0.3,
    "specz_fraction": 0.3,
    "fields": {"R-1": {}, "R-2": {"absent": ["vista"], "absent_bands": ["U"]}},
}
SIZE = 2000
"""Side of an image (pixel); it covers a twentieth of a field."""


@dataclass(frozen=True)
class RawSky:
    """The raw files of a sky, and the cubes of the same sky."""

    raw: Path
    cubes: Path
    sources: dict

    def config(self, results: Path, **changes: object) -> Config:
        """A config whose sources are the raw files."""
        return load_config({"paths": {"results": str(results)}, "sources": self.sources, **changes})


@pytest.fixture(scope="session")
def raw_sky(tmp_path_factory) -> RawSky:
    """The sky, made once for all of the test processes."""
    sky = load_config({"simulate": SKY}).simulate

    def make(folder: Path) -> None:
        write_raw_survey(sky, folder / "raw", SIZE)
        for name in sky.fields:
            simulate_field(sky, name, folder / f"datacube_{name}.parquet")

    folder = locked_folder(tmp_path_factory, "raw_sky", make)
    return RawSky(folder / "raw", folder, raw_sources(folder / "raw"))


@pytest.fixture
def paths(tmp_path) -> Layout:
    """The paths of a results folder of the test's own."""
    return Layout(str(tmp_path / "results"))
