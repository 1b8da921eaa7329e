import os

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from hypothesis import given, settings
from hypothesis import strategies as st

from astromodal.config.sources import SourceSettings
from astromodal.data.provenance import BandCounts
from astromodal.errors import DataError, MachineError
from astromodal.sources import images, sky_image
from astromodal.sources.files import RawFile
from astromodal.sources.images import ImageSource
from astromodal.storage.hashing import hash_file

SHAPE = (40, 50)
SETTINGS = SourceSettings(kind="images", files="{field}_{band}.fits", bands=("R", "G"))
SCALE = 0.55 / 3600


def header_of(ra=30.0, dec=-40.0, angle=0.0, projection="TAN", **cards):
    """A header whose reference position stands in the middle of an image of `SHAPE`."""
    header = fits.Header()
    cos, sin = np.cos(np.radians(angle)) * SCALE, np.sin(np.radians(angle)) * SCALE
    header.update(
        CTYPE1="RA---" + projection, CTYPE2="DEC--" + projection, CRVAL1=ra, CRVAL2=dec,
        CRPIX1=SHAPE[1] / 2 + 0.5, CRPIX2=SHAPE[0] / 2 + 0.5, CUNIT1="deg", CUNIT2="deg",
        CD1_1=-cos, CD1_2=sin, CD2_1=sin, CD2_2=cos, RADESYS="ICRS",
    )  # fmt: skip
    header.update(cards)
    return header


SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 4e-4, "A_0_2": -2e-4, "B_1_1": 5e-4, "B_0_2": 1e-4}
PV = {"PV1_1": 1.0, "PV1_4": 40.0, "PV1_5": -25.0, "PV2_1": 1.0, "PV2_4": 30.0}
HEADERS = {
    "north up": header_of(),
    "rotated": header_of(angle=37.0),
    "upside down": header_of(angle=180.0),
    "RA 0": header_of(ra=0.0, dec=-0.7),
    "pole": header_of(dec=89.9985, angle=12.0),
    "SIP": header_of(projection="TAN-SIP", **SIP),
    "TPV": header_of(projection="TPV", **PV),
    "FK5": header_of(RADESYS="FK5", EQUINOX=1985.0),
    "FK4": header_of(RADESYS="FK4", EQUINOX=1950.0),
}


def noise(shape=SHAPE, seed=0):
    """Pixels that are never 0."""
    return np.random.default_rng(seed).uniform(1, 2, shape).astype(np.float32)


def write(path, data, header, compressed=None, extension=False, **options):
    if compressed:
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(data, header, compressed, **options)]
    elif extension:
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header)]
    else:
        hdus = [fits.PrimaryHDU(data, header)]
    fits.HDUList(hdus).writeto(path)
    return RawFile(path, "F1", "R")


def sky_of(x, y, header):
    """ICRS positions (degree) of pixels."""
    sky = pixel_to_skycoord(np.asarray(x, float), np.asarray(y, float), WCS(header)).icrs
    return sky.ra.deg, sky.dec.deg


def cut(files, ra, dec, size=8, wanted=None, band=0):
    """Cutouts of a band, as a list with None where there is none."""
    ra, dec = np.atleast_1d(ra), np.atleast_1d(dec)
    with ImageSource("stamps", SETTINGS, files, size) as source:
        wanted = np.ones(len(ra), bool) if wanted is None else np.asarray(wanted)
        return as_cutouts(source.cut(ra, dec, wanted)[band], size)


def as_cutouts(column, size):
    column.validate(full=True)
    lists = [row.values.to_numpy() if row.is_valid else None for row in column]
    return [None if row is None else row.reshape(size, size) for row in lists]


def astropys(data, header, ra, dec, size):
    """What astropy cuts out for one source; None where its centre is outside the image."""
    sky, wcs = SkyCoord(ra, dec, unit="deg"), WCS(header)
    x, y = skycoord_to_pixel(sky, wcs)
    ny, nx = data.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        return None
    data = np.asarray(data, np.float32)
    return Cutout2D(data, sky, size, wcs=wcs, mode="partial", fill_value=np.nan).data


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """One image per kind of coordinates."""
    folder = tmp_path_factory.mktemp("images")
    return {n: write(folder / f"{n}.fits", noise(), h) for n, h in HEADERS.items()}


def places(n):
    """Pixel coordinates inside, outside and at the edges of n pixels, also exact half pixels."""
    halves = st.integers(-3, 2 * n + 2).map(lambda k: k / 2)
    return st.one_of(st.floats(-10, n + 10), halves, st.sampled_from([-0.5, 0.0, n - 1, n - 0.5]))


@pytest.mark.parametrize("kind", HEADERS)
@settings(max_examples=30)
@given(
    places=st.lists(st.tuples(places(SHAPE[1]), places(SHAPE[0])), min_size=1, max_size=20),
    size=st.sampled_from([7, 8, 33, 96]),
)
def test_cutouts_are_those_of_astropy(kinds, kind, places, size):
    """Every pixel agrees with Cutout2D of each source alone, at any position and orientation."""
    header = HEADERS[kind]
    ra, dec = sky_of(*zip(*places, strict=True), header)
    expected = [astropys(noise(), header, *at, size) for at in zip(ra, dec, strict=True)]
    assert_same(cut([kinds[kind]], ra, dec, size), expected)


@pytest.mark.parametrize("kind", ["SIP", "TPV", "FK5"])
@settings(max_examples=30)
@given(st.lists(st.tuples(places(SHAPE[1]), places(SHAPE[0])), min_size=2, max_size=20))
def test_a_cutout_does_not_depend_on_the_others_of_its_block(kinds, kind, places):
    """Sources that are cut together get what each gets alone."""
    ra, dec = sky_of(*zip(*places, strict=True), HEADERS[kind])
    alone = [cut([kinds[kind]], *at)[0] for at in zip(ra, dec, strict=True)]
    assert_same(cut([kinds[kind]], ra, dec), alone)


@pytest.mark.parametrize("kind", ["SIP", "TPV", "north up"])
def test_a_source_on_the_other_side_of_the_sky_is_outside(kinds, kind):
    """It has no position in the image, and those beside it in the block keep theirs."""
    ra, dec = [30.0, 210.0, 30.0], [-40.0, 40.0, 50.0]
    found = cut([kinds[kind]], ra, dec)
    assert [cutout is None for cutout in found] == [False, True, True]


def test_a_source_at_which_distortions_cannot_be_inverted_is_outside(tmp_path):
    """The steps of the inversion of the second end inside the image, but at no solution."""
    strong = {"A_2_0": -0.01044283, "A_0_2": -0.00317780, "A_1_1": 0.04714016}
    strong |= {"B_2_0": -0.02423011, "B_0_2": -0.01415333}
    header = header_of(projection="TAN-SIP", A_ORDER=2, B_ORDER=2, **strong)
    ra, dec = [30.0, 30.0031237296], [-40.0, -40.0023442721]
    with pytest.raises(NoConvergence) as caught:
        skycoord_to_pixel(SkyCoord(ra[1], dec[1], unit="deg"), WCS(header))
    assert 0 < caught.value.best_solution.min() < caught.value.best_solution.max() < 39
    found = cut([write(tmp_path / "i.fits", noise(), header)], ra, dec)
    assert [cutout is None for cutout in found] == [False, True]


def test_a_cutout_by_hand(tmp_path):
    """The source at pixel (x, y) = (24, 19) gets columns 20 to 27 and rows 15 to 22."""
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header)
    ra, dec = sky_of(23.9, 18.9, header)  # clear of the half pixels at which rounding changes
    np.testing.assert_array_equal(cut([file], ra, dec)[0], noise()[15:23, 20:28])


def test_a_cutout_at_the_corner_is_padded(tmp_path):
    """At pixel (0, 0) the last 4 x 4 of 8 x 8 pixels lie in the image; the others are NaN."""
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header)
    found = cut([file], *sky_of(-0.1, -0.1, header))[0]
    expected = np.full((8, 8), np.nan, np.float32)
    expected[4:, 4:] = noise()[:4, :4]
    np.testing.assert_array_equal(found, expected)


def test_an_image_smaller_than_a_cutout_is_whole_in_it(tmp_path):
    """A cutout of 96 pixels holds all 40 x 50 of the image, and NaN."""
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header)
    found = cut([file], *sky_of(24.9, 19.9, header), size=96)[0]
    assert np.isfinite(found).sum() == 40 * 50
    np.testing.assert_array_equal(found[28:68, 23:73], noise())


def test_columns_are_those_of_the_bands():
    """One list of float32 per band, in the order of the settings."""
    kind = pa.list_(pa.float32())
    with ImageSource("stamps", SETTINGS, [], 8) as source:
        assert source.schema() == pa.schema([("splus_cut_R", kind), ("splus_cut_G", kind)])
        arrays = source.cut(np.zeros(3), np.zeros(3), np.ones(3, bool))
    assert [array.type for array in arrays] == [kind, kind]
    assert [array.null_count for array in arrays] == [3, 3]


def test_rows_are_counted(tmp_path):
    """Two blocks of whole, partial, outside, without a position and not wanted, in one band."""
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header)
    ra, dec = sky_of([20, 1, -20, 20, 20], [20, 20, 20, 20, 20], header)
    ra[3] = np.nan
    wanted = np.array([True, True, True, True, False])
    with ImageSource("stamps", SETTINGS, [file], 8) as source:
        for _ in range(2):
            red, green = source.cut(ra, dec, wanted)
        assert red.is_null().to_pylist() == [False, False, True, True, True]
        assert green.null_count == 5
        assert source.counts == {"R": BandCounts(1, 4, 2, 4), "G": BandCounts(0, 0, 0, 8)}


@pytest.mark.parametrize("dec", [90.5, -91.0, np.nan, np.inf])
def test_a_declination_that_does_not_exist_is_outside(tmp_path, dec):
    """A source without a valid position has no cutout."""
    file = write(tmp_path / "i.fits", noise(), HEADERS["north up"])
    assert cut([file], [30.0], [dec]) == [None]


@pytest.mark.parametrize("compressed", ["RICE_1", "GZIP_1", "GZIP_2"])
@pytest.mark.parametrize("tile", [(1, 50), (7, 50), (16, 16), (40, 50)])
def test_compressed_images_are_cut_as_astropy_decompresses_them(tmp_path, compressed, tile):
    """Tiles of any height and width; quantised values come out as astropy gives them."""
    header = HEADERS["rotated"]
    options = {"tile_shape": tile, "quantize_level": 16, "quantize_method": 1, "dither_seed": 7}
    data = noise()
    data[3, 4] = np.nan
    file = write(tmp_path / "i.fits.fz", data, header, compressed, **options)
    x, y = np.linspace(0, 49, 12), np.linspace(39, 0, 12)
    ra, dec = sky_of(x, y, header)
    pixels = fits.getdata(file.path, 1)
    expected = [astropys(pixels, header, *at, 8) for at in zip(ra, dec, strict=True)]
    assert_same(cut([file], ra, dec), expected)
    assert np.isnan(pixels[3, 4])


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
@pytest.mark.parametrize("dtype", ["i2", "i4", "u2", "f8", "u1"])
def test_all_types_of_pixels_are_read(tmp_path, compressed, dtype):
    """Integers and doubles become float32 of the same value."""
    header, data = HEADERS["north up"], np.arange(2000).reshape(SHAPE) % 251 + 1
    file = write(tmp_path / "i.fits", data.astype(dtype), header, compressed)
    found = cut([file], *sky_of(23.9, 18.9, header))[0]
    np.testing.assert_array_equal(found, data[15:23, 20:28].astype(np.float32))


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
def test_scaled_integers_are_scaled_and_blank_ones_are_nan(tmp_path, compressed):
    """BSCALE 0.5 and BZERO 3 give 3 + n / 2; the integer of BLANK is undefined."""
    header, data = HEADERS["north up"], np.arange(2000, dtype=np.int32).reshape(SHAPE)
    data[15, 20] = -99
    file = write(tmp_path / "i.fits", data, header, compressed)
    with fits.open(file.path, mode="update", disable_image_compression=True) as hdus:
        blank = "ZBLANK" if compressed else "BLANK"
        hdus[-1].header.update({"BSCALE": 0.5, "BZERO": 3.0, "BLANK": -99, blank: -99})
    found = cut([file], *sky_of(23.9, 18.9, header))[0]
    expected = (3 + data[15:23, 20:28] / 2).astype(np.float32)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
def test_blank_values_of_unsigned_integers_are_nan(tmp_path, compressed):
    """BLANK names the integer in the file: -32748 is 20 where BZERO is 32768."""
    data = np.arange(2000, dtype="u2").reshape(SHAPE) % 251
    file = write(tmp_path / "i.fits", data, HEADERS["north up"], compressed)
    with fits.open(file.path, mode="update", disable_image_compression=True) as hdus:
        hdus[-1].header.update({"ZBLANK" if compressed else "BLANK": -32748, "BLANK": -32748})
    found = cut([file], *sky_of(23.9, 18.9, HEADERS["north up"]))[0]
    part = data[15:23, 20:28].astype(np.float32)
    np.testing.assert_array_equal(found, np.where(part == 20, np.nan, part))


def test_tiles_are_decompressed_as_a_whole(tmp_path, monkeypatch):
    """What is read begins and ends where tiles of 7 rows do, or at the end of the image."""
    reads = []
    read = sky_image.SkyImage._read
    monkeypatch.setattr(
        sky_image.SkyImage, "_read", lambda s, a, b: reads.extend((a, b)) or read(s, a, b)
    )
    data = np.arange(2000, dtype=np.int16).reshape(SHAPE)
    file = write(tmp_path / "i.fits", data, HEADERS["SIP"], "RICE_1", tile_shape=(7, 50))
    with ImageSource("stamps", SETTINGS, [file], 8) as source:
        for y in range(0, 40, 3):
            source.cut(*sky_of([25.2], [y], HEADERS["SIP"]), np.ones(1, bool))
    assert set(reads) == {0, 7, 14, 21, 28, 35, 40}


def test_a_value_beyond_float32_is_infinite(tmp_path):
    """A cube takes it for invalid."""
    data = noise().astype(float)
    data[15, 20] = 1e300
    file = write(tmp_path / "i.fits", data, HEADERS["north up"])
    found = cut([file], *sky_of(23.9, 18.9, HEADERS["north up"]))[0]
    assert np.isposinf(found[0, 0])
    assert np.isfinite(found).sum() == 63


def test_an_image_in_the_first_extension_is_found(tmp_path):
    """The primary HDU may be empty."""
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header, extension=True)
    assert_same(cut([file], *sky_of(23.9, 18.9, header)), [noise()[15:23, 20:28]])


def test_a_cube_in_the_primary_hdu_is_left_for_an_image_in_an_extension(tmp_path):
    """The first image of two axes with coordinates counts."""
    header = HEADERS["north up"]
    cube = fits.PrimaryHDU(np.zeros((3, 4, 5)))
    hdus = [cube, fits.ImageHDU(noise()), fits.ImageHDU(noise(seed=1), header)]
    fits.HDUList(hdus).writeto(tmp_path / "i.fits")
    found = cut([RawFile(tmp_path / "i.fits", band="R")], *sky_of(23.9, 18.9, header))
    assert_same(found, [noise(seed=1)[15:23, 20:28]])


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
def test_a_third_axis_of_one_plane_is_no_matter(tmp_path, compressed):
    """Images of shape (1, 40, 50) are images, whatever the coordinate of the third axis is."""
    header = header_of(CTYPE3="FREQ", CRVAL3=5e14, CRPIX3=1.0, CDELT3=1.0, CUNIT3="Hz")
    data = np.arange(1, 2001, dtype=np.int16).reshape(1, *SHAPE)
    file = write(tmp_path / "i.fits", data, header, compressed)
    found = cut([file], *sky_of(23.9, 18.9, HEADERS["north up"]))
    assert_same(found, [data[0, 15:23, 20:28].astype(np.float32)])


def test_an_image_with_declination_first_is_cut_where_the_source_is(tmp_path):
    """Its x is declination, its y right ascension; also a source at the far end of x is in it."""
    header = header_of()
    for key in ("CTYPE", "CRVAL"):
        header[f"{key}1"], header[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]
    header.update(CD1_1=SCALE, CD2_2=SCALE, CRVAL1=0.0, CRPIX1=25.0, CRPIX2=20.0)
    file = write(tmp_path / "i.fits", noise(), header)
    x, y = np.array([26.9, 48.9]), np.array([20.9, 0.4])  # pixel (24, 19) is (30, 0) degree
    found = cut([file], 30.0 + (y - 19) * SCALE, (x - 24) * SCALE)
    np.testing.assert_array_equal(found[0], noise()[17:25, 23:31])
    np.testing.assert_array_equal(found[1][3:, :5], noise()[:5, 45:])


def test_bands_have_shapes_and_coordinates_of_their_own(tmp_path):
    """Each band is cut with its own header."""
    files = []
    expected = []
    shapes = {"R": SHAPE, "G": (60, 45)}
    ra, dec = sky_of([20, 24, 31], [10, 22, 35], HEADERS["north up"])
    for band, header in zip(shapes, (HEADERS["north up"], HEADERS["SIP"]), strict=True):
        data = noise(shapes[band])
        file = write(tmp_path / f"{band}.fits", data, header)
        files.append(RawFile(file.path, band=band))
        expected.append([astropys(data, header, *at, 8) for at in zip(ra, dec, strict=True)])
    for band in (0, 1):
        assert_same(cut(files, ra, dec, band=band), expected[band])


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
def test_no_row_of_pixels_is_read_twice_by_consecutive_blocks(tmp_path, monkeypatch, compressed):
    """Blocks that go up the image read each of its rows once, whatever their overlap."""
    reads = []
    read = sky_image.SkyImage._read
    monkeypatch.setattr(
        sky_image.SkyImage, "_read", lambda s, a, b: reads.extend(range(a, b)) or read(s, a, b)
    )
    header, data = HEADERS["north up"], np.arange(2000, dtype=np.int16).reshape(SHAPE)
    file = write(tmp_path / "i.fits", data, header, compressed)
    y = np.arange(40)
    ra, dec = sky_of(np.full(40, 25.2), y - 0.2, header)
    with ImageSource("stamps", SETTINGS, [file], 8) as source:
        found = []
        for start in range(0, 40, 5):
            block = slice(start, start + 5)
            column = source.cut(ra[block], dec[block], np.ones(5, bool))[0]
            found += as_cutouts(column, 8)
    assert reads == list(range(40))
    assert_same(found, [astropys(data, header, *at, 8) for at in zip(ra, dec, strict=True)])


@pytest.mark.parametrize("order", ["up", "down", "mixed"])
@pytest.mark.parametrize("limit", [1, 450, 10**6])
def test_images_are_read_in_pieces(tmp_path, monkeypatch, limit, order):
    """No more pixels are read at a time than the limit or a cutout needs; cutouts stay the same."""
    most = []
    read = sky_image.SkyImage._read
    monkeypatch.setattr(sky_image, "_PIECE", limit)
    monkeypatch.setattr(sky_image, "_KEPT", min(limit, 300))
    monkeypatch.setattr(
        sky_image.SkyImage, "_read", lambda s, a, b: most.append(b - a) or read(s, a, b)
    )
    header = HEADERS["north up"]
    file = write(tmp_path / "i.fits", noise(), header)
    y = {"up": np.arange(40), "down": np.arange(40)[::-1], "mixed": np.arange(0, 400, 10) % 39}
    ra, dec = sky_of(np.arange(40), y[order] + 0.3, header)
    expected = [astropys(noise(), header, *at, 8) for at in zip(ra, dec, strict=True)]
    assert_same(cut([file], ra, dec), expected)
    assert max(most) <= max(limit // 50, 8)


def stamps(folder, corners, side=20):
    """Small images out of a large one, each with its own reference pixel; named by their order."""
    data, files = noise((80, 80)), []
    for number, (x, y) in enumerate(corners):
        header = HEADERS["north up"].copy()
        header["CRPIX1"] -= x
        header["CRPIX2"] -= y
        part = data[y : y + side, x : x + side]
        files.append(write(folder / f"{number:03d}.fits", part, header))
    return data, files


def test_of_several_images_the_one_with_the_farthest_edges_is_cut(tmp_path):
    """The source at x = 18 is 1.5 from the edge of the first, 8.5 from that of the second."""
    data, files = stamps(tmp_path, [(0, 0), (9, 0), (60, 60)])
    found = cut(files[::-1], *sky_of([17.9, 5.9], [9.9, 9.9], HEADERS["north up"]))
    assert_same(found, [data[6:14, 14:22], data[6:14, 2:10]])


def test_of_equal_images_the_first_by_name_is_cut(tmp_path):
    """The order in which files are listed does not matter."""
    header = HEADERS["north up"]
    files = [write(tmp_path / f"{n}.fits", np.full(SHAPE, n), header) for n in (3, 1, 2)]
    assert cut(files, *sky_of(20, 20, header))[0][0, 0] == 1


def test_an_image_that_the_source_is_not_in_is_not_taken(tmp_path):
    """A source whose cutout would overlap an image, but whose centre is outside, has none."""
    _, files = stamps(tmp_path, [(0, 0)])
    header = HEADERS["north up"]
    found = cut(files, *sky_of([19.4, 19.6], [9.9, 9.9], header))
    assert [cutout is None for cutout in found] == [False, True]


def test_more_images_than_may_be_open(tmp_path, monkeypatch):
    """Images are closed and opened again; no more than the limit are open."""
    monkeypatch.setattr(images, "_OPEN", 3)
    corners = [(x, y) for y in range(0, 60, 20) for x in range(0, 60, 20)]
    data, files = stamps(tmp_path, corners)
    x, y = np.array(corners).T + 9.9
    ra, dec = sky_of(x, y, HEADERS["north up"])
    before = set(os.listdir("/proc/self/fd"))
    with ImageSource("stamps", SETTINGS, files, 8) as source:
        for _ in range(2):
            found = as_cutouts(source.cut(ra, dec, np.ones(9, bool))[0], 8)
            assert len(set(os.listdir("/proc/self/fd")) - before) <= 3
            assert_same(found, [data[b + 6 : b + 14, a + 6 : a + 14] for a, b in corners])
    assert set(os.listdir("/proc/self/fd")) <= before


def test_hashes_are_those_of_the_files(tmp_path):
    """By path; files of bands that are not in the settings are left out."""
    file = write(tmp_path / "i.fits", noise(), HEADERS["north up"])
    other = RawFile(tmp_path / "does not exist", band="Z")
    with ImageSource("stamps", SETTINGS, [file, other], 8) as source:
        assert source.digests() == {str(file.path): hash_file(file.path)}
        file.path.unlink()
        assert list(source.digests()) == [str(file.path)]  # it is not read again


@pytest.mark.parametrize("compressed", [None, "RICE_1"])
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.6, 0.99])
def test_a_truncated_file_is_an_error(tmp_path, compressed, kept):
    """A file that lacks its end is refused when it is opened, wherever it ends."""
    file = write(tmp_path / "i.fits", noise((200, 50)), HEADERS["north up"], compressed)
    data = file.path.read_bytes()
    file.path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError, match=r"^source stamps: .*i\.fits must be a FITS"):
        ImageSource("stamps", SETTINGS, [file], 8)


def test_a_file_truncated_while_it_is_open_is_an_error(tmp_path):
    """What is missing is not filled up."""
    file = write(tmp_path / "i.fits", noise((400, 50)), HEADERS["north up"])
    at = sky_of([20.0], [390.0], HEADERS["north up"])
    with ImageSource("stamps", SETTINGS, [file], 8) as source:
        os.truncate(file.path, 60000)
        with pytest.raises(DataError, match=r"i\.fits must be readable in rows 386 to 393, got"):
            source.cut(*at, np.ones(1, bool))


@pytest.mark.parametrize("lost", [1, 2880, 3 * 2880 + 100])
def test_an_image_without_the_end_of_the_next_is_an_error(tmp_path, lost):
    """A file whose image is whole, but which ends inside its next HDU, is truncated."""
    hdus = [fits.PrimaryHDU(noise(), HEADERS["north up"]), fits.ImageHDU(noise())]
    fits.HDUList(hdus).writeto(tmp_path / "i.fits")
    os.truncate(tmp_path / "i.fits", (tmp_path / "i.fits").stat().st_size - lost)
    with pytest.raises(DataError, match=r"i\.fits must be a FITS image, got"):
        ImageSource("stamps", SETTINGS, [RawFile(tmp_path / "i.fits", band="R")], 8)


def test_a_damaged_tile_is_an_error(tmp_path):
    """The compressed pixels of a row are cut short in the table of tiles."""
    data = np.arange(2000, dtype=np.int32).reshape(SHAPE) ** 2
    file = write(tmp_path / "i.fits", data, HEADERS["north up"], "GZIP_1", tile_shape=(1, 50))
    with fits.open(file.path) as hdus:
        start = hdus[1].fileinfo()["datLoc"]
    content = bytearray(file.path.read_bytes())
    content[start + 20 * 8 : start + 20 * 8 + 4] = (5).to_bytes(4, "big")
    file.path.write_bytes(content)
    with pytest.raises(DataError, match=r"i\.fits must be readable in rows 15 to 22, got"):
        cut([file], *sky_of(23.9, 18.9, HEADERS["north up"]))


@pytest.mark.parametrize("content", [b"", b"ra,dec\n1,2\n", b"\0" * 5760, b"SIMPLE  = " * 600])
def test_a_file_that_is_no_fits_is_an_error(tmp_path, content):
    """It is named, with its source."""
    (tmp_path / "i.fits").write_bytes(content)
    must = r"^source stamps: .*i\.fits must be a FITS.*, got .*; replace the file, or leave it out"
    with pytest.raises(DataError, match=must):
        ImageSource("stamps", SETTINGS, [RawFile(tmp_path / "i.fits", band="R")], 8)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """It is named, with its source."""
    with pytest.raises(
        DataError, match=r"^source stamps: .*i\.fits must be a FITS image, got .*No"
    ):
        ImageSource("stamps", SETTINGS, [RawFile(tmp_path / "i.fits", band="R")], 8)


def test_a_file_that_may_not_be_opened_is_an_error_of_the_machine(tmp_path, monkeypatch):
    """Neither the image nor the user's files are to blame."""

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    file = write(tmp_path / "i.fits", noise(), HEADERS["north up"])
    monkeypatch.setattr(sky_image.fits, "open", refuse)
    with pytest.raises(MachineError, match=r"i\.fits must be yours to read"):
        ImageSource("stamps", SETTINGS, [file], 8)


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        (fits.Header(), SHAPE),
        (header_of(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN"), SHAPE),
        (header_of(), (3, *SHAPE)),
        (header_of(), (50,)),
    ],
    ids=["no coordinates", "galactic", "three planes", "one axis"],
)
def test_a_file_without_an_image_of_the_sky_is_an_error(tmp_path, header, shape):
    """The error says which images the file holds."""
    file = write(tmp_path / "i.fits", np.ones(shape, np.float32), header)
    got = f"got HDU 0 of shape {shape};".replace("(", r"\(").replace(")", r"\)")
    must = "an image of two axes and a WCS of right ascension and declination"
    with pytest.raises(DataError, match=f"i.fits must be a FITS file with {must}, {got}"):
        ImageSource("stamps", SETTINGS, [file], 8)


def test_a_fits_table_is_no_image(tmp_path):
    """The error says that there is no image."""
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])])
    table.writeto(tmp_path / "i.fits")
    with pytest.raises(DataError, match="right ascension and declination, got no image;"):
        ImageSource("stamps", SETTINGS, [RawFile(tmp_path / "i.fits", band="R")], 8)


def test_coordinates_that_make_no_sense_are_an_error(tmp_path):
    """A matrix without an inverse ends in an error that names the file, not in one of wcslib."""
    file = write(tmp_path / "i.fits", noise(), header_of(CD1_1=0.0, CD1_2=0.0))
    with pytest.raises(DataError, match=r"i\.fits must be a FITS image, got"):
        ImageSource("stamps", SETTINGS, [file], 8)


def test_no_file_stays_open_after_an_error(tmp_path):
    """The images before the damaged one are closed too."""
    good = write(tmp_path / "a.fits", noise(), HEADERS["north up"])
    (tmp_path / "b.fits").write_bytes(good.path.read_bytes()[:5760])
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(DataError, match=r"b\.fits must be a"):
        ImageSource("stamps", SETTINGS, [good, RawFile(tmp_path / "b.fits", band="R")], 8)
    assert set(os.listdir("/proc/self/fd")) <= before


def test_real_stamps_are_cut_as_astropy_cuts_them(real_raw):
    """The 12 bands of one position of S-PLUS, and its neighbourhood up to the images' edges."""
    name = "iDR3.STRIPE82-0001.007767_{band}.fits"
    settings = SourceSettings(kind="images", files=name)
    path = real_raw / "splus_images"
    files = [RawFile(path / name.format(band=b), "STRIPE82-0001", b) for b in settings.bands]
    assert len(files) == 12
    data, header = fits.getdata(files[7].path, header=True)
    x, y = np.array([127.3, 10.2, 250.6, 80.0]), np.array([127.8, 20.1, 254.9, 300.0])
    ra, dec = sky_of(x, y, header)
    with ImageSource("stamps", settings, files, 96) as source:
        columns = source.cut(ra, dec, np.ones(4, bool))
        counts = source.counts
    expected = [astropys(data, header, *at, 96) for at in zip(ra, dec, strict=True)]
    assert_same(as_cutouts(columns[7], 96), expected)
    assert set(counts) == set(settings.bands)
    assert all(count == BandCounts(1, 3, 2, 1) for count in counts.values())
