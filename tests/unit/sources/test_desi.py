"""DESI coadds and their redshifts; files of the tests' own making have the published format."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from astromodal.config.sources import SourceSettings
from astromodal.errors import DataError
from astromodal.sources.base import RESERVED
from astromodal.sources.desi import DesiReader
from astromodal.sources.files import RawFile
from astromodal.surveys.desi import GRIDS

REAL = Path(__file__).parents[4] / "shared/data/raw/desi/coadd-4-80613-thru20210324.fits"
SETTINGS = SourceSettings(kind="desi_coadd", files="coadd-*.fits")
BIG = 39633345008634465  # more digits than float64 has
GRID = {name[-1]: grid.points() for name, grid in GRIDS.items()}
N = 5


def reader():
    """Return a reader of a source called spectra."""
    return DesiReader("spectra", SETTINGS)


def fibermap(**changes):
    """Return the columns of a fibermap of five good fibres."""
    columns = {
        "TARGETID": BIG + np.arange(N),
        "TARGET_RA": 10.0 + np.arange(N),
        "TARGET_DEC": -5.0 + np.arange(N),
        "PMRA": np.zeros(N, np.float32),
        "PMDEC": np.zeros(N, np.float32),
        "REF_EPOCH": np.full(N, 2015.5, np.float32),
        "OBJTYPE": np.array(["TGT"] * N),
        "COADD_FIBERSTATUS": np.zeros(N, np.int32),
        "COADD_EXPTIME": 1000.0 + np.arange(N, dtype=np.float32),
    }
    return {**columns, **changes}


def table(name, columns):
    """Return a table HDU; columns of None are left out."""
    kinds = {"i": "K", "f": "D", "U": "20A"}
    parts = [
        fits.Column(k, kinds[np.asarray(v).dtype.kind], array=np.asarray(v))
        for k, v in columns.items()
        if v is not None
    ]
    return fits.BinTableHDU.from_columns(parts, name=name)


def images(arm, **changes):
    """Return the images of an arm: the flux of fibre i is i, its inverse variance 4."""
    p, size = arm.upper(), len(GRID[arm])
    flux = np.repeat(np.arange(N, dtype=np.float32)[:, None], size, axis=1)
    parts = {
        "WAVELENGTH": GRID[arm],
        "FLUX": flux,
        "IVAR": np.full((N, size), 4, np.float32),
        "MASK": np.zeros((N, size), np.int32),
        **changes,
    }
    return [fits.ImageHDU(v, name=f"{p}_{k}") for k, v in parts.items() if v is not None]


def write(folder, fibres=None, arms=None, scores=None, redshifts=None, name="coadd-1.fits"):
    """Write a coadd, and its redshifts if there are any; return it as a raw file."""
    arms = {arm: {} for arm in "brz"} if arms is None else arms
    hdus = [fits.PrimaryHDU(), table("FIBERMAP", fibres or fibermap())]
    hdus += [hdu for arm, changes in arms.items() for hdu in images(arm, **changes)]
    hdus += [table("SCORES", scores)] if scores else []
    fits.HDUList(hdus).writeto(folder / name)
    if redshifts is not None:
        beside = name.replace("coadd", "redrock")
        fits.HDUList([fits.PrimaryHDU(), table("REDSHIFTS", redshifts)]).writeto(folder / beside)
    return RawFile(folder / name)


def indexed(file):
    """Return the index of a file as one table."""
    return pa.concat_tables(reader().index(file))


def read(file, rows=range(N)):
    """Return some rows of a file."""
    return reader().read(file, np.array(rows, np.int64))


def test_an_index_has_the_ids_and_positions_of_the_fibermap(tmp_path):
    """One row per fibre, in order; ids keep all their digits."""
    found = indexed(write(tmp_path))
    assert found.drop_columns("_key").schema == RESERVED
    assert found["_key"].to_pylist() == [BIG + i for i in range(N)]
    assert found["_ra"].to_pylist() == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert found["_dec"].to_pylist() == [-5.0, -4.0, -3.0, -2.0, -1.0]
    assert found["_row"].to_pylist() == list(range(N))
    assert found["_reason"].null_count == N


def test_motions_of_zero_are_unknown(tmp_path):
    """So are those without an epoch, or that are not finite."""
    fibres = fibermap(
        PMRA=np.array([0.0, 3.0, 3.0, np.nan, 0.0]),
        PMDEC=np.array([0.0, -4.0, 1.0, 1.0, 2.0]),
        REF_EPOCH=np.array([2015.5, 2015.5, 0.0, 2015.5, 2016.0]),
    )
    found = indexed(write(tmp_path, fibres))
    assert found["_pmra"].to_pylist() == [None, 3.0, None, None, 0.0]
    assert found["_pmdec"].to_pylist() == [None, -4.0, None, None, 2.0]
    assert found["_epoch"].to_pylist() == [None, 2015.5, None, None, 2016.0]


def test_a_fibermap_without_motions_has_none(tmp_path):
    """The columns are optional."""
    found = indexed(write(tmp_path, fibermap(PMRA=None, PMDEC=None, REF_EPOCH=None)))
    assert found["_pmra"].null_count == found["_epoch"].null_count == N


def test_fibres_that_are_not_used_say_why(tmp_path):
    """Sky, a negative id, a bad fibre, no position, and inverse variances of 0 in all arms."""
    fibres = fibermap(
        OBJTYPE=np.array(["SKY", "TGT", "TGT", "TGT", "TGT"]),
        TARGETID=np.array([1, -2, 3, 4, 5]),
        COADD_FIBERSTATUS=np.array([0, 0, 8, 0, 0]),
        TARGET_RA=np.array([0.0, 1.0, 2.0, np.nan, 4.0]),
    )
    dead = {arm: {"IVAR": np.zeros((N, len(grid)), np.float32)} for arm, grid in GRID.items()}
    reasons = ["sky fibre", "sky fibre", "bad fibre", "no position", "no flux"]
    assert indexed(write(tmp_path, fibres, dead))["_reason"].to_pylist() == reasons


def test_one_good_pixel_in_one_arm_is_a_spectrum(tmp_path):
    """The other pixels are bad by inverse variance, mask, or a flux that is not finite."""
    arms = {arm: {"IVAR": np.zeros((N, len(GRID[arm])), np.float32)} for arm in "br"}
    mask = np.ones((N, len(GRID["z"])), np.int32)
    flux = np.zeros(mask.shape, np.float32)
    mask[:2, 7] = 0
    flux[1, 7] = np.inf
    arms["z"] = {"MASK": mask, "FLUX": flux}
    found = indexed(write(tmp_path, arms=arms))["_reason"].to_pylist()
    assert found == [None, "no flux", "no flux", "no flux", "no flux"]


def test_the_rank_is_the_signal_to_noise_of_the_target(tmp_path):
    """Matched by id: the scores stand in another order. Without scores it is the exposure time."""
    scores = {"TARGETID": BIG + np.arange(N)[::-1], "TSNR2_LRG": 10.0 * np.arange(N)}
    with_scores = indexed(write(tmp_path, scores=scores))
    assert with_scores["_rank"].to_pylist() == [40.0, 30.0, 20.0, 10.0, 0.0]
    without = indexed(write(tmp_path, name="coadd-2.fits"))
    assert without["_rank"].to_pylist() == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]


def test_row_i_of_the_fibermap_is_row_i_of_the_flux(tmp_path):
    """Some rows, with gaps between them, come back as the columns of the schema."""
    found = read(write(tmp_path), [1, 3, 4])
    assert found.schema == reader().schema()
    assert found["desi_TARGETID"].to_pylist() == [BIG + 1, BIG + 3, BIG + 4]
    for arm, grid in GRID.items():
        flux = np.array(found[f"desi_flux_{arm}"].to_pylist())
        np.testing.assert_array_equal(flux, np.outer([1, 3, 4], np.ones(len(grid))))
        wave = np.array(found[f"desi_wave_{arm}"].to_pylist(), np.float32)
        np.testing.assert_array_equal(wave, np.tile(grid.astype(np.float32), (3, 1)))
        assert set(np.unique(found[f"desi_ivar_{arm}"].to_pylist())) == {4.0}


def test_masked_pixels_have_no_weight(tmp_path):
    """A mask that is not 0, or a flux that is not finite, makes the inverse variance 0."""
    shape = (N, len(GRID["b"]))
    mask, flux = np.zeros(shape, np.int32), np.ones(shape, np.float32)
    mask[2, 5], flux[2, 9] = 4, np.nan
    file = write(tmp_path, arms={"b": {"MASK": mask, "FLUX": flux}})
    ivar = np.array(read(file, [2])["desi_ivar_b"][0].as_py())
    np.testing.assert_array_equal(np.flatnonzero(ivar == 0), [5, 9])
    assert set(np.delete(ivar, [5, 9])) == {4.0}


def test_an_unsigned_mask_of_tiles_is_read(tmp_path):
    """Masks may be unsigned, and compressed in tiles, as early coadds have them."""
    mask = np.zeros((N, len(GRID["b"])), np.uint32)
    mask[1, 3] = 2**31
    parts = images("b", MASK=None)
    parts.append(fits.CompImageHDU(mask, name="B_MASK"))
    file = RawFile(tmp_path / "coadd-1.fits")
    fits.HDUList([fits.PrimaryHDU(), table("FIBERMAP", fibermap()), *parts]).writeto(file.path)
    ivar = np.array(read(file)["desi_ivar_b"].to_pylist())
    assert list(zip(*np.nonzero(ivar == 0), strict=True)) == [(1, 3)]


def test_redshifts_are_matched_by_target(tmp_path):
    """Not by row; one that is not sure, or of no fibre, is not used."""
    redshifts = {
        "TARGETID": np.array([BIG + 4, BIG + 99, BIG, BIG + 1]),
        "Z": np.array([0.4, 9.0, 0.1, 0.2]),
        "ZERR": np.array([0.04, 9.0, 0.01, 0.02]),
        "ZWARN": np.array([0, 0, 0, 4]),
        "SPECTYPE": np.array(["QSO", "STAR", "GALAXY", "STAR"]),
    }
    found = read(write(tmp_path, redshifts=redshifts))
    assert found["desi_z"].to_pylist() == [0.1, None, None, None, 0.4]
    assert found["desi_zerr"].to_pylist() == [0.01, None, None, None, 0.04]
    assert found["desi_zwarn"].to_pylist() == [0, 4, None, None, 0]
    assert found["desi_spectype"].to_pylist() == ["GALAXY", "STAR", None, None, "QSO"]


def test_a_coadd_without_redshifts_has_none(tmp_path):
    """The file beside it may be absent, or hold no row."""
    nothing = {k: np.zeros(0) for k in ("Z", "ZERR")} | {
        k: np.zeros(0, np.int64) for k in ("TARGETID", "ZWARN")
    }
    empty = write(tmp_path, redshifts={**nothing, "SPECTYPE": np.zeros(0, "U6")})
    for file in (write(tmp_path, name="coadd-2.fits"), empty):
        found = read(file)
        assert found["desi_z"].null_count == found["desi_spectype"].null_count == N


def test_repeated_redshifts_are_an_error(tmp_path):
    """Which one is right is not known; ids of fibres without a target may be equal."""
    columns = {"Z": np.ones(3), "ZERR": np.ones(3), "ZWARN": np.zeros(3, int)}
    columns["SPECTYPE"] = np.array(["STAR"] * 3)
    fine = write(tmp_path, redshifts={"TARGETID": np.array([-1, -1, BIG]), **columns})
    assert read(fine, [0])["desi_z"].to_pylist() == [1.0]
    name = "coadd-2.fits"
    wrong = write(tmp_path, redshifts={"TARGETID": np.array([1, BIG, BIG]), **columns}, name=name)
    message = rf"spectra: .*redrock-2.fits must be a table with one .*, got TARGETID {BIG} twice"
    with pytest.raises(DataError, match=message):
        read(wrong, [0])


def test_redshifts_of_rounded_targets_are_an_error(tmp_path):
    """They could be those of a neighbour."""
    columns = {"TARGETID": np.array([float(BIG)]), "Z": np.ones(1), "ZERR": np.ones(1)}
    columns |= {"ZWARN": np.zeros(1, int), "SPECTYPE": np.array(["STAR"])}
    with pytest.raises(DataError, match="redrock-1.fits must be .* in TARGETID, got float64"):
        read(write(tmp_path, redshifts=columns), [0])


def test_arms_that_a_file_lacks_are_null(tmp_path):
    """Only the arm b is there."""
    found = read(write(tmp_path, arms={"b": {}}))
    assert found["desi_flux_r"].null_count == found["desi_wave_z"].null_count == N
    assert found["desi_flux_b"].null_count == 0


def test_a_mask_may_be_absent(tmp_path):
    """All pixels with an inverse variance are good then."""
    found = read(write(tmp_path, arms={"r": {"MASK": None}}), [0])
    assert set(found["desi_ivar_r"][0].as_py()) == {4.0}


def test_a_digest_is_that_of_what_is_read(tmp_path):
    """A flux, a mask and a redshift change it, for their row only; a position does not."""
    redshifts = {"TARGETID": np.array([BIG + 3]), "Z": np.ones(1), "ZERR": np.ones(1)}
    redshifts |= {"ZWARN": np.zeros(1, int), "SPECTYPE": np.array(["STAR"])}
    shape = (N, len(GRID["z"]))
    flux, mask = np.repeat(np.arange(N, dtype=np.float32)[:, None], shape[1], 1), np.zeros(shape)
    flux[1, 0] += 1
    mask[2, -1] = 1
    arms = {"b": {}, "r": {}, "z": {"FLUX": flux, "MASK": mask.astype(np.int32)}}
    moved = fibermap(TARGET_RA=np.zeros(N))
    before = indexed(write(tmp_path))["_digest"].to_numpy()
    after = write(tmp_path, moved, arms, redshifts=redshifts, name="coadd-2.fits")
    np.testing.assert_array_equal(indexed(after)["_digest"].to_numpy() != before, [0, 1, 1, 1, 0])


def test_many_fibres_are_read_in_blocks(tmp_path):
    """600 fibres: the index comes in tables of at most 256 rows, with the digests of each row."""
    n, size = 600, len(GRID["b"])
    fibres = {k: np.resize(v, n) for k, v in fibermap().items()}
    fibres["TARGETID"] = BIG + np.arange(n)
    flux = np.random.default_rng(0).normal(size=(n, size)).astype(np.float32)
    arm = {"FLUX": flux, "IVAR": np.ones((n, size), np.float32), "MASK": None}
    file = write(tmp_path, fibres, {"b": arm})
    tables = list(reader().index(file))
    assert [len(each) for each in tables] == [256, 256, 88]
    every = pa.concat_tables(tables)
    assert every["_row"].to_pylist() == list(range(n))
    assert len(set(every["_digest"].to_pylist())) == n


def test_no_rows_are_no_spectra(tmp_path):
    """The columns are those of the schema."""
    assert read(write(tmp_path), []).equals(reader().schema().empty_table())


def test_a_row_that_is_not_there_is_an_error(tmp_path):
    """As when the file was changed after its index."""
    with pytest.raises(DataError, match="must be a coadd with a row 5, got 5 rows"):
        read(write(tmp_path), [0, 5])


@pytest.mark.parametrize(
    ("fibres", "arms", "message"),
    [
        (fibermap(TARGETID=None), {"b": {}}, "a column TARGETID in HDU FIBERMAP, got 8 others"),
        (
            fibermap(TARGET_RA=None) | {"TARGET_RAD": np.zeros(N)},
            {"b": {}},
            "a column TARGET_RA in HDU FIBERMAP, got 9 others; nearest: 'TARGET_RAD'",
        ),
        (
            fibermap(TARGETID=np.full(N, float(BIG))),
            {"b": {}},
            "integers of 64 bits in TARGETID, got float64",
        ),
        (fibermap(), {}, "an HDU B_FLUX or R_FLUX or Z_FLUX, got PRIMARY, FIBERMAP"),
        (fibermap(), {"b": {"IVAR": None}}, "an HDU B_IVAR, got .*; nearest: 'B_"),
        (fibermap(), {"b": {"WAVELENGTH": None}}, "an HDU B_WAVELENGTH, got "),
        (
            fibermap(),
            {"b": {"WAVELENGTH": GRID["b"] + 0.4}},
            "2751 wavelengths from 3600 to 5800 Angstrom in B_WAVELENGTH, got 2751 from 3600.4",
        ),
        (fibermap(), {"b": {"WAVELENGTH": GRID["r"]}}, "got 2326 from 5760 to 7620"),
        (
            fibermap(),
            {"b": {"FLUX": np.zeros((N - 1, 2751), np.float32)}},
            r"5 fibres of 2751 pixels in B_FLUX, got an image of \(4, 2751\)",
        ),
    ],
)
def test_a_file_that_lacks_something_is_an_error(tmp_path, fibres, arms, message):
    """It names source, file, what is missing, and the nearest name."""
    file = write(tmp_path, fibres, arms)
    with pytest.raises(DataError, match=rf"source spectra: {file.path} must be .*{message}"):
        indexed(file)
    with pytest.raises(DataError, match=message):
        read(file, [0])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("which", ["coadd-1.fits", "redrock-1.fits"])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, share, which):
    """Wherever it ends: one error that names it."""
    redshifts = {"TARGETID": BIG + np.arange(N), "Z": np.ones(N), "ZERR": np.ones(N)}
    redshifts |= {"ZWARN": np.zeros(N, int), "SPECTYPE": np.array(["STAR"] * N)}
    file = write(tmp_path, redshifts=redshifts)
    path = tmp_path / which
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=f"source spectra: .*{which} must be a whole FITS file"):
        indexed(file)


def test_a_compressed_file_is_read_and_one_cut_off_is_an_error(tmp_path):
    """By gzip, as some releases have them."""
    plain, packed = write(tmp_path), write(tmp_path, name="coadd-2.fits.gz")
    np.testing.assert_array_equal(indexed(packed)["_digest"], indexed(plain)["_digest"])
    packed.path.write_bytes(packed.path.read_bytes()[:-2000])
    with pytest.raises(DataError, match="coadd-2.fits.gz must be a whole FITS file"):
        indexed(packed)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """And one that is a table of text."""
    with pytest.raises(DataError, match="must be a file that exists, got none"):
        read(RawFile(tmp_path / "coadd-9.fits"))
    (tmp_path / "coadd-8.fits").write_text("id,ra,dec\n1,2,3\n")
    with pytest.raises(DataError, match="coadd-8.fits must be a whole FITS file"):
        read(RawFile(tmp_path / "coadd-8.fits"))


@pytest.mark.skipif(not REAL.exists(), reason="needs the real raw files beside the project")
def test_a_real_coadd_is_read():
    """One fibre of tile 80613, a galaxy at z = 0.36874 (redrock), with TSNR2_LRG = 241.94."""
    file = RawFile(REAL)
    (row,) = indexed(file).to_pylist()
    assert (row["_key"], row["_reason"], row["_pmra"]) == (39633345008634465, None, None)
    assert (row["_ra"], row["_dec"]) == pytest.approx((105.48977452, 56.66930006))
    assert row["_rank"] == pytest.approx(241.94, abs=0.01)
    (found,) = read(file, [0]).to_pylist()
    assert (found["desi_TARGETID"], found["desi_spectype"]) == (39633345008634465, "GALAXY")
    assert found["desi_z"] == pytest.approx(0.36874355)
    with fits.open(REAL) as hdus:
        for arm in "brz":
            np.testing.assert_array_equal(found[f"desi_flux_{arm}"], hdus[f"{arm}_FLUX"].data[0])
            np.testing.assert_array_equal(found[f"desi_ivar_{arm}"], hdus[f"{arm}_IVAR"].data[0])
