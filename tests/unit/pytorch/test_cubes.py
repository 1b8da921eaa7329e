"""Rows of cubes as items and batches of PyTorch, in physical units."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from astromodal.config.schema import Config, SplitSettings, TokenizerSettings
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.data.spectra import read_light_curves, read_spectra
from astromodal.data.splits import split_field
from astromodal.errors import ConfigError
from astromodal.pytorch import CubeDataset, CubeStream, collate_cubes
from helpers.cutouts import BANDS
from helpers.light_curves import SETTINGS, curve_columns
from helpers.model import COLUMNS


@pytest.fixture
def dataset(cubes):
    return CubeDataset(cubes.folder, cubes.config)


@pytest.fixture
def cube(cubes):
    return Cube(cubes.folder / "datacube_A.parquet", "A")


def test_an_item_is_a_row_of_its_cube(dataset, cube, cubes):
    """Scalars, cutouts and spectra are what the readers of cubes give."""
    scalars = cube.scalars(COLUMNS)
    images = read_cutouts(cube, cubes.config.tokenizers.image)
    cutouts = {r: (b.pixels[i], b.valid[i]) for b in images
               for i, r in enumerate(b.row.tolist())}  # fmt: skip
    spectra = {r: (b.flux[i], b.ivar[i]) for b in read_spectra(cube, "desi_r")
               for i, r in enumerate(b.row.tolist())}  # fmt: skip
    assert len(dataset) == 290
    for row in (0, 1, 6, 32, 199):
        item = dataset[row]
        assert (item["id"], item["field"], item["row"]) == (f"o{row}", "A", row)
        np.testing.assert_array_equal(item["scalars"], scalars[row])
        assert (row in cutouts, row in spectra) == (row % 2 == 0, row % 3 == 0)
        pixels, valid = cutouts.get(row, (0, False))
        assert (item["pixels"].numpy() == pixels).all()
        assert (item["valid"].numpy() == valid).all()
        flux, ivar = spectra.get(row, (0, 0))
        good = np.broadcast_to(ivar, item["desi_r_flux"].shape) > 0
        np.testing.assert_array_equal(item["desi_r_flux"], np.where(good, flux, 0))
        np.testing.assert_array_equal(item["desi_r_ivar"], np.where(good, ivar, 0))
        assert not item["gaiaxp_bp_flux"].any()
    assert (dataset[200]["field"], dataset[200]["row"]) == ("B", 0)
    assert dataset[-1]["row"] == 89
    with pytest.raises(IndexError):
        dataset[290]


def test_it_says_names_units_and_wavelengths(dataset):
    """Columns and bands have the order of the arrays, units those of the columns."""
    assert dataset.read.columns == COLUMNS
    assert dataset.read.image.bands == BANDS
    units = dataset.units
    assert (units["mag_pstotal_r"], units["specz_z"], units["pixels"]) == ("mag", "", "ct / s")
    assert units["gaiaxp_bp_flux"] == "electron / s"
    assert len(dataset.axes["desi_r"]) == len(dataset[0]["desi_r_flux"]) == 2326
    assert dataset.axes["desi_r"][[0, -1]].tolist() == [5760, 7620]
    assert dataset.axes["gaiaxp_bp"].tolist() == [*range(1, 56)]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("scalar", {"scalars"}),
        (["ra", "mag_pstotal_r"], {"scalars"}),
        ("image", {"pixels", "valid"}),
        (["desi_r"], {"desi_r_flux", "desi_r_ivar"}),
        (["spectrum"], {f"{g}_{p}" for g in ("desi_r", "gaiaxp_bp") for p in ("flux", "ivar")}),
    ],
)
def test_only_what_is_chosen_is_read(cubes, columns, names):
    """Blocks, groups and columns by name, other columns of the cubes too."""
    found = CubeDataset(cubes.folder, cubes.config, columns=columns)
    assert found[3].keys() == {"id", "field", "row"} | names
    if columns[0] == "ra":
        assert found.read.columns == ("ra", "mag_pstotal_r")
        assert found[3]["scalars"][0] == 10.03


def test_split_and_selection_choose_rows(cubes, cube):
    """They are those of `split_field`, with the settings of the config."""
    config = cubes.config.model_copy(update={"split": SplitSettings(nside=4096, validation=0.4)})
    rows = split_field(cube, config.split, config.selection)
    path = cubes.folder / "datacube_A.parquet"
    found = CubeDataset(path, config, "validation", "scalar", selected=True)
    wanted = np.flatnonzero((rows.split == 1) & rows.selected)
    assert 0 < len(wanted) < (rows.split == 1).sum()
    assert [found[i]["row"] for i in range(len(found))] == wanted.tolist()
    assert len(CubeDataset(path, config, "validation", "scalar")) == (rows.split == 1).sum()


def test_a_misspelt_column_is_an_error(cubes):
    """A column of no cube is an error which names the nearest one."""
    with pytest.raises(ConfigError, match=r"columns must be image, .* got rra; nearest: 'ra'"):
        CubeDataset(cubes.folder, cubes.config, columns=["rra"])
    with pytest.raises(ConfigError, match="mix must be at least 1, got 0"):
        CubeStream(cubes.folder, cubes.config, mix=0)


def test_batches_stack_rows(dataset):
    """Two workers read what one process reads, and rows without a measurement hold zeros."""
    options = {"batch_size": 32, "collate_fn": collate_cubes}
    loader = DataLoader(dataset, num_workers=2, multiprocessing_context="spawn", **options)
    for found, wanted in zip(loader, DataLoader(dataset, **options), strict=True):
        assert found["pixels"].shape[1:] == (3, 32, 32)
        assert found["id"] == wanted["id"]
        for name in ("scalars", "pixels", "valid", "desi_r_flux", "row"):
            assert torch.equal(found[name].nan_to_num(), wanted[name].nan_to_num())


def test_open_cubes_stay_behind(dataset):
    """A worker gets no open file."""
    assert dataset[0]["row"] == 0
    assert pickle.loads(pickle.dumps(dataset))._opened == {}


@pytest.mark.parametrize("mix", [1, 4, 100])
def test_rows_of_a_stream_are_those_of_the_dataset(cubes, dataset, mix):
    """However many row groups are read at a time, each row comes once, with its arrays."""
    wanted = {(item["field"], item["row"]): item for item in (dataset[i] for i in range(290))}
    found = list(CubeStream(cubes.folder, cubes.config, mix=mix))
    assert len(found) == 290
    for item in found:
        other = wanted.pop((item["field"], item["row"]))
        assert item["id"] == other["id"]
        for name in ("scalars", "pixels", "desi_r_flux"):
            assert torch.equal(item[name].nan_to_num(), other[name].nan_to_num())
    assert wanted == {}


def test_a_stream_mixes_row_groups(cubes):
    """The first rows come from as many row groups as are read at a time."""
    items = list(CubeStream(cubes.folder, cubes.config, columns="scalar", mix=3))[:60]
    assert len({(i["field"], i["row"] // {"A": 32, "B": 50}[i["field"]]) for i in items}) >= 3


def test_light_curves_are_padded_with_nan(tmp_path):
    """Curves keep their epochs in time order, and a row without one has none."""
    path, columns = tmp_path / "datacube_C.parquet", curve_columns(10)
    pq.write_table(pa.table({"id": [str(i) for i in range(10)], **columns}), path)
    config = Config(tokenizers=TokenizerSettings(spectrum=SETTINGS))
    dataset = CubeDataset(path, config, columns=["ztf_g"])
    batch = collate_cubes([dataset[i] for i in range(10)])
    (wanted,) = read_light_curves(Cube(path, "C"), "ztf_g")
    for row in range(10):
        place = np.flatnonzero(wanted.row == row)
        inside = slice(*wanted.indptr[place[0] : place[0] + 2]) if len(place) else slice(0)
        n = inside.stop - (inside.start or 0)
        for part in ("time", "mag", "error"):
            found = batch[f"ztf_g_{part}"][row]
            np.testing.assert_array_equal(found[:n], getattr(wanted, part)[inside])
            assert found[n:].isnan().all()
    assert (batch["ztf_g_time"].isnan().all(1).numpy() == (np.arange(10) % 5 == 4)).all()
    assert dataset.units["ztf_g_mag"] == "mag"
    assert dataset.axes == {}
