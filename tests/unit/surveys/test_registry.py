"""The registry of spectrum groups, and a group that a user adds to it."""

import json

import numpy as np
import pytest

from astromodal.config import load_config
from astromodal.config.document import json_schema
from astromodal.config.schema import SpectrumSettings
from astromodal.data.check import cube_errors
from astromodal.data.columns import cube_columns
from astromodal.data.cube import Cube
from astromodal.data.schema import page
from astromodal.data.spectra import count_spectra, read_spectra
from astromodal.errors import ConfigError, DataError
from astromodal.evaluation.spectra.figures import colour
from astromodal.sequences.layout import sequence_layout
from astromodal.surveys.group import Family, GroupColumn, Quantity
from astromodal.surveys.light_curves import LightCurveGroup
from astromodal.surveys.registry import (
    GROUPS,
    by_family,
    grid_group,
    light_curve_group,
    light_curves,
    spectra,
    spectrum_group,
)
from astromodal.surveys.spectra import Grid, ListGroup
from astromodal.tokenizers.spectra.codebook import feature_space, sample_features, train_codebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra

PIXELS = Grid(380.0, 0.07, 3800)
FLUX = Quantity("flux", "nJy", "nJy")
WAVELENGTH = Quantity("wavelength", "nm", "nm")
PFS = ListGroup(
    name="pfs_b",
    family=Family("pfs", "PFS", span=(380.0, 1260.0)),
    columns=(
        GroupColumn("pfs_flux_b", "flux", "nJy", length=3800),
        GroupColumn("pfs_ivar_b", "inverse variance of the flux", "1 / nJy2", length=3800),
        GroupColumn("pfs_wave_b", "vacuum wavelength", "nm", length=3800),
    ),
    values=FLUX,
    axis=WAVELENGTH,
    colour="#56b4e9",
    pixels=PIXELS,
)
LSST = LightCurveGroup(
    name="lsst_y",
    family=Family("lsst", "LSST"),
    columns=(
        GroupColumn("lsst_mag_y", "magnitude of each epoch", "mag"),
        GroupColumn("lsst_err_y", "its error", "mag"),
        GroupColumn("lsst_mjd_y", "its time (MJD)", "d"),
    ),
    values=Quantity("magnitude", "mag", "mag"),
    axis=Quantity("time", "d", "day"),
    colour="#e69f00",
)
SETTINGS = SpectrumSettings(groups=("pfs_b", "lsst_y"), codebook_size=64, iterations=2)
N = 6


@pytest.fixture
def outside(monkeypatch):
    """Two groups that the package does not have, registered for one test."""
    monkeypatch.setattr(GROUPS, "_items", dict(GROUPS._items))
    for group in (PFS, LSST):
        GROUPS.register(group)


@pytest.fixture
def cube(write_cube):
    """A cube of the two groups."""
    rng = np.random.default_rng(0)
    columns = {
        "id": [f"o{i}" for i in range(N)],
        "pfs_flux_b": list(rng.normal(10, 1, (N, 3800)).astype(np.float32)),
        "pfs_ivar_b": list(np.ones((N, 3800), np.float32)),
        "pfs_wave_b": [PIXELS.points()] * N,
        "lsst_mag_y": list(rng.normal(18, 0.1, (N, 9))),
        "lsst_err_y": list(np.full((N, 9), 0.1)),
        "lsst_mjd_y": list(rng.uniform(58_000, 59_000, (N, 9))),
    }
    return Cube(write_cube(columns), "F1")


def test_the_package_s_own_groups():
    """In the order that decides on the seeds of their samples."""
    assert GROUPS.names == (
        "desi_b", "desi_r", "desi_z", "gaiaxp_bp", "gaiaxp_rp", "ztf_g", "ztf_r", "ztf_i", "sdss"
    )  # fmt: skip


def test_kinds_of_groups():
    """Spectra and light curves are distinguished, in the order given."""
    names = ["ztf_r", "gaiaxp_bp", "ztf_g", "desi_b"]
    assert spectra(names) == ["gaiaxp_bp", "desi_b"]
    assert light_curves(names) == ["ztf_r", "ztf_g"]


def test_families_stand_in_the_order_of_the_registry():
    """And their groups in the order given."""
    found = by_family(["ztf_r", "gaiaxp_bp", "desi_z", "desi_b"])
    assert [family.label for family in found] == ["DESI", "Gaia XP", "ZTF"]
    assert list(found.values()) == [["desi_z", "desi_b"], ["gaiaxp_bp"], ["ztf_r"]]


def test_groups_of_a_family_have_the_same_axes():
    """The report gives the axes of one group to all of them."""
    for family, names in by_family(GROUPS.names).items():
        assert len({(spectrum_group(n).axis, spectrum_group(n).values) for n in names}) == 1, family


@pytest.mark.parametrize("find", [spectrum_group, grid_group, light_curve_group])
def test_an_unknown_group_is_an_error(find):
    """It names the setting and the nearest group."""
    message = (
        r"tokenizers.spectrum.groups must be a registered spectrum group \(desi_b, .*\), got "
        r"'desi_y'; nearest: 'desi_"
    )
    with pytest.raises(ConfigError, match=message):
        find("desi_y")


def test_a_group_of_the_other_kind_is_an_error():
    """A light curve has no grid, a spectrum no epochs."""
    with pytest.raises(ConfigError, match="group ztf_g must be a group of spectra, got one of li"):
        grid_group("ztf_g")
    with pytest.raises(ConfigError, match="group desi_b must be a group of light curves, got one"):
        light_curve_group("desi_b")


def test_a_config_names_registered_groups_only():
    """Before any job runs; groups may not be scalar columns at once."""
    with pytest.raises(ConfigError, match="must be a registered spectrum group .* got 'pfs_b'"):
        load_config({"tokenizers.spectrum.groups": ["pfs_b"]})
    with pytest.raises(ConfigError, match="tokenizers.scalar.columns must be columns, got 'ztf_i'"):
        load_config({"tokenizers.scalar.columns": ["ztf_i"]})


def test_light_curves_and_sdss_are_off_by_default():
    """Registered, and named by no default."""
    assert [*SpectrumSettings().groups, "sdss"] == spectra(GROUPS.names)


def test_sdss_is_a_setting():
    """Named in the settings, it has columns, a block of codes and a kind of features."""
    config = load_config({"tokenizers.spectrum.groups": ["desi_b", "sdss"]})
    columns = cube_columns(config)["spectra"][3:]
    assert [(c.name, c.length) for c in columns] == [
        ("sdss_flux", 3401), ("sdss_ivar", 3401), ("sdss_wave", 3401)
    ]  # fmt: skip
    # By hand: 3401 pixels need ceil(3401 / (2 x 500)) = 4 per bin: 851, in 426 pairs, and levels.
    assert sequence_layout(config.tokenizers)["sdss"].length == 1 + 426 + 12
    assert len(feature_space("sdss").weights) == 2


def test_sdss_is_read_and_encoded(write_cube):
    """From the cube to codes and back to fluxes, as the groups of any other survey."""
    settings = SpectrumSettings(groups=("sdss",), codebook_size=64, iterations=2)
    wave = grid_group("sdss").grid(settings).points()
    flux = np.random.default_rng(0).normal(10, 1, (N, len(wave))).astype(np.float32)
    ivar = np.ones((N, len(wave)), np.float32)
    ivar[:, :100] = 0  # the first spectrograph began at 3800 Angstrom
    columns = {"sdss_flux": list(flux), "sdss_ivar": list(ivar), "sdss_wave": [wave] * N}
    cube = Cube(write_cube({"id": [f"o{i}" for i in range(N)], **columns}), "F1")
    samples = sample_features(cube, settings, np.ones(N, bool), 0)
    tokenizer = SpectrumTokenizer.assemble(
        [train_codebook(samples["sdss"], "sdss", settings)], settings, 64
    )
    tokens = encode_field_spectra(cube, tokenizer)
    scale = tokens.groups["sdss"].scale[:1]
    decoded, _ = tokenizer.decode("sdss", tokens.codes("sdss", 0)[None], scale)
    assert np.nanmedian(decoded) == pytest.approx(10, rel=0.05)
    assert np.isnan(decoded[0, :24]).all()  # 12 pairs of bins of 4 pixels


@pytest.mark.usefixtures("outside")
def test_an_outside_group_is_a_setting():
    """Settings, their schema, the columns of a cube and their page follow."""
    config = load_config({"tokenizers.spectrum.groups": ["pfs_b", "desi_b"]})
    columns = cube_columns(config)["spectra"]
    assert [(c.name, c.unit, c.length) for c in columns[:3]] == [
        ("pfs_flux_b", "nJy", 3800), ("pfs_ivar_b", "1 / nJy2", 3800), ("pfs_wave_b", "nm", 3800)
    ]  # fmt: skip
    groups = json.loads(json_schema())["$defs"]["SpectrumSettings"]["properties"]["groups"]
    assert groups["items"]["enum"][-2:] == ["pfs_b", "lsst_y"]
    assert "| `pfs_wave_b` | `list<float32>` | 3800 | nm |" in page()
    assert "| `lsst_mag_y` |" in page()
    kinds = [("id", "text"), ("mag_pstotal_r", "numbers"), ("pfs_flux_b", "lists")]
    (error,) = cube_errors("F1", "cube.parquet", kinds, config)
    assert "column 'pfs_ivar_b' is missing" in error


@pytest.mark.usefixtures("outside")
def test_an_outside_group_has_its_slots():
    """3800 pixels need 4 per bin: 950 bins, 475 pairs, and levels; a light curve has its epochs."""
    config = load_config({"tokenizers.spectrum": {"groups": ["pfs_b", "lsst_y"], "max_epochs": 30}})
    layout = sequence_layout(config.tokenizers)
    assert (layout["pfs_b"].length, layout["lsst_y"].length) == (1 + 475 + 12, 1 + 30)


@pytest.mark.usefixtures("outside")
def test_an_outside_group_has_features_units_and_a_colour():
    """By its kind, and as it says itself."""
    assert len(feature_space("pfs_b").weights) == 2
    assert len(feature_space("lsst_y").weights) == 3
    group = grid_group("pfs_b")
    assert (group.axis.label, group.values.label) == ("wavelength (nm)", "flux (nJy)")
    assert colour("pfs_b") == "#56b4e9"


@pytest.mark.usefixtures("outside")
def test_an_outside_group_is_read_and_encoded(cube):
    """From the cube to codes and back to fluxes."""
    assert count_spectra(cube, SETTINGS.groups) == {
        group: {"n_spectra": N, "n_live": N} for group in SETTINGS.groups
    }
    samples = sample_features(cube, SETTINGS, np.ones(N, bool), 0)
    codebooks = [train_codebook(samples[group], group, SETTINGS) for group in SETTINGS.groups]
    tokenizer = SpectrumTokenizer.assemble(codebooks, SETTINGS, 64)
    tokens = encode_field_spectra(cube, tokenizer)
    assert [len(tokens.codes(group, 0)) for group in SETTINGS.groups] == [487, 9]
    flux, _ = tokenizer.decode(
        "pfs_b", tokens.codes("pfs_b", 0)[None], tokens.groups["pfs_b"].scale[:1]
    )
    assert np.median(flux) == pytest.approx(10, rel=0.05)
    np.testing.assert_allclose(tokenizer.spectrum("pfs_b").wave[0], 380 + 1.5 * 0.07)


@pytest.mark.usefixtures("outside")
def test_an_outside_group_s_grid_is_checked(write_cube):
    """In its own unit."""
    columns = {name: [np.ones(3800)] for name in PFS.column_names}
    with pytest.raises(DataError, match=r"must be 380 to 645.93 nm in steps of 0.07, got 1 to 1"):
        list(read_spectra(Cube(write_cube({"id": ["a"], **columns}), "F1"), "pfs_b"))


def test_a_name_is_given_once(monkeypatch):
    """A second group of the same name is refused."""
    monkeypatch.setattr(GROUPS, "_items", dict(GROUPS._items))
    GROUPS.register(PFS)
    other = ListGroup(**{**vars(PFS), "colour": "#000000"})
    with pytest.raises(ConfigError, match="name of a spectrum group must be a name that is not"):
        GROUPS.register(other)


@pytest.mark.parametrize("name", ["pfs-b", "pfs b", "", "image"])
def test_names_that_files_or_blocks_cannot_have(name):
    """A group's name becomes part of names of files, and names a block."""
    with pytest.raises(ConfigError, match="name of a spectrum group must be of letters, digits"):
        ListGroup(**{**vars(PFS), "name": name})


@pytest.mark.parametrize("group", [PFS, LSST], ids=["spectra", "light curves"])
def test_lists_come_in_three_columns(group):
    """Flux, inverse variance and wavelength, or magnitude, error and time."""
    with pytest.raises(ConfigError, match=f"columns of the spectrum group {group.name} must be 3"):
        type(group)(**{**vars(group), "columns": group.columns[:2]})
