"""Tables of FITS files of spectra, compared with what astropy reads."""

import tempfile

import numpy as np
import pytest
from astropy.io import fits

from astromodal.errors import DataError
from astromodal.sources.fits_files import open_fits

COLUMNS = {
    "id": ("K", np.array([2**62 + 1, -5])),
    "flag": ("L", np.array([True, False])),
    "bits": ("11X", np.zeros((2, 11), bool)),
    "short": ("I", np.array([-3, 7])),
    "int": ("J", np.array([2**30, -1])),
    "byte": ("B", np.array([0, 255])),
    "float": ("E", np.array([1.5, np.nan])),
    "double": ("D", np.array([0.1, 1e300])),
    "many": ("3D", np.arange(6.0).reshape(2, 3)),
    "lists": ("PD()", np.array([np.ones(2), np.ones(3)], object)),
    "complex": ("C", np.array([1j, 2])),
    "text": ("9A", np.array([" QSO ", "GALAXY"])),
}


def write(path, **changes):
    """Write a table of all kinds of columns."""
    columns = [fits.Column(k, f, array=v) for k, (f, v) in (COLUMNS | changes).items()]
    fits.BinTableHDU.from_columns(columns, name="DATA").writeto(path)
    return path


def columns_of(path, *names):
    """Return columns of the table in a file."""
    with open_fits("spectra", path) as file:
        return file.columns(file.hdu("DATA"), [name.upper() for name in names])


@pytest.mark.parametrize("name", ["id", "short", "int", "byte", "float", "double"])
def test_numbers_are_those_that_astropy_reads(tmp_path, name):
    """In the machine's byte order and of the same type, wherever they stand in a row."""
    path = write(tmp_path / "t.fits")
    (found,) = columns_of(path, name).values()
    expected = fits.getdata(path)[name]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("name", ["flag", "bits", "many", "lists"])
def test_other_columns_are_read_by_astropy(tmp_path, name):
    """Flags, bits, and arrays of one or of differing lengths."""
    path = write(tmp_path / "t.fits")
    (found,) = columns_of(path, name).values()
    for mine, expected in zip(found, fits.getdata(path)[name], strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_nothing_of_a_compressed_file_is_left_by_a_kill(tmp_path, monkeypatch):
    """While it is read, what it was unpacked to has no name any more."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with open_fits("spectra", write(tmp_path / "t.fits.gz")) as file:
        assert list((tmp_path / "scratch").iterdir()) == []
        found = file.columns(file.hdu("DATA"), ["ID"])
    assert found["ID"].tolist() == [2**62 + 1, -5]


def test_scaled_numbers_are_scaled(tmp_path):
    """Unsigned integers, and values with a zero point, are what they stand for."""
    large = fits.Column("large", "J", bzero=2**31, array=np.array([2**31 + 5, 1], np.uint32))
    scaled = fits.Column("scaled", "I", array=np.array([2, 5]))
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns([large, scaled], name="DATA").writeto(path)
    for key, value in (("TSCAL2", 0.5), ("TZERO2", 10.0)):
        fits.setval(path, key, value=value, ext=1)
    found = columns_of(path, "large", "scaled")
    assert found["LARGE"].tolist() == [2**31 + 5, 1]
    assert found["SCALED"].tolist() == [11.0, 12.5]


def test_text_has_no_blanks_at_its_ends(tmp_path):
    """Classes are compared with text; bytes that are no ASCII do not end the reading."""
    path = write(tmp_path / "t.fits")
    assert columns_of(path, "text")["TEXT"].tolist() == ["QSO", "GALAXY"]
    path.write_bytes(path.read_bytes().replace(b"GALAXY", b"GALAX\xe9"))
    assert columns_of(path, "text")["TEXT"].tolist() == ["QSO", "GALAX\ufffd"]


def test_a_table_of_text_is_read(tmp_path):
    """The ASCII tables of FITS, too."""
    column = fits.Column("z", "F8.3", array=np.array([0.125, 2.5]), ascii=True)
    fits.TableHDU.from_columns([column], name="DATA").writeto(tmp_path / "t.fits")
    assert columns_of(tmp_path / "t.fits", "z")["Z"].tolist() == [0.125, 2.5]


def test_an_image_is_no_table(tmp_path):
    """The error names the HDU."""
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="DATA")]
    fits.HDUList(hdus).writeto(tmp_path / "t.fits")
    with pytest.raises(DataError, match="must be a FITS file with a table in HDU DATA, got Image"):
        columns_of(tmp_path / "t.fits", "z")
