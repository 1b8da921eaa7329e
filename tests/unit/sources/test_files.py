"""The raw files of a source."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest

from astromodal.config.sources import SourceSettings
from astromodal.errors import ConfigError
from astromodal.sources.files import RawFile, hats_root, list_files, one_per_catalogue


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def files(folder: Path, pattern: str, **settings) -> list[tuple[str, str | None, str | None]]:
    """Names, fields and bands of the files of a pattern below a folder."""
    kind = settings.pop("kind", "gaia_xp")
    source = SourceSettings(kind=kind, files=f"{folder}/{pattern}", **settings)
    return [
        (str(file.path.relative_to(folder)), file.field, file.band)
        for file in list_files("s", source)
    ]


def test_a_star_and_a_question_mark_are_those_of_a_shell(tmp_path):
    """Files come in the order of their paths; neither sign stands for a slash."""
    touch(tmp_path, "b1.csv", "a2.csv", "a10.csv", "c.txt", "d/a3.csv")
    assert [name for name, *_ in files(tmp_path, "*.csv")] == ["a10.csv", "a2.csv", "b1.csv"]
    assert [name for name, *_ in files(tmp_path, "?2.csv")] == ["a2.csv"]


def test_brackets_are_no_pattern(tmp_path):
    """A folder with brackets in its name is found."""
    touch(tmp_path, "raw [1]/a.csv", "raw 1/a.csv")
    assert files(tmp_path, "raw [1]/*.csv") == [("raw [1]/a.csv", None, None)]


def test_hidden_files_do_not_count(tmp_path):
    """A file that is being written has a hidden name."""
    touch(tmp_path, "a.csv", ".b.csv.part.csv")
    assert files(tmp_path, "*.csv") == [("a.csv", None, None)]


def test_the_field_is_taken_from_the_path(tmp_path):
    """A name with characters that fields cannot have is not of a field."""
    touch(tmp_path, "SPLUS-n01s10/cat.csv", "with space/cat.csv", "STRIPE82-0001/cat.csv")
    assert files(tmp_path, "{field}/cat.csv") == [
        ("SPLUS-n01s10/cat.csv", "SPLUS-n01s10", None),
        ("STRIPE82-0001/cat.csv", "STRIPE82-0001", None),
    ]


def test_field_and_band_are_told_apart(tmp_path):
    """A field's name may hold the sign before the band; other bands are left out."""
    touch(tmp_path, "A_1_R.fits", "A_1_F378.fits", "B_Z.fits", "B_W1.fits")
    found = files(tmp_path, "{field}_{band}.fits", kind="images", bands=("R", "F378", "Z"))
    assert found == [
        ("A_1_F378.fits", "A_1", "F378"),
        ("A_1_R.fits", "A_1", "R"),
        ("B_Z.fits", "B", "Z"),
    ]


def test_the_field_is_the_shortest_name_that_fits(tmp_path):
    """The star takes what stands between the field and the band."""
    touch(tmp_path, "A_swp_v2_R.fits")
    found = files(tmp_path, "{field}_*_{band}.fits", kind="images")
    assert found == [("A_swp_v2_R.fits", "A", "R")]


def test_a_band_may_have_several_images(tmp_path):
    """Overlapping images, or many small ones, belong to the same field and band."""
    touch(tmp_path, "A_v1_R.fits", "A_v2_R.fits")
    found = files(tmp_path, "{field}_*_{band}.fits", kind="images")
    assert found == [("A_v1_R.fits", "A", "R"), ("A_v2_R.fits", "A", "R")]


def coadds(folder: Path) -> list[RawFile]:
    return list_files("d", SourceSettings(kind="desi_coadd", files=f"{folder}/*-*.fits.gz"))


def test_the_redshifts_stand_beside_a_coadd(tmp_path):
    """The name of a coadd says that of its redshifts, which need not exist; others have none."""
    touch(tmp_path, "coadd-sv3-bright-10016.fits.gz", "spectra-1.fits.gz")
    redrock = tmp_path / "redrock-sv3-bright-10016.fits.gz"
    assert [file.beside for file in coadds(tmp_path)] == [redrock, None]


def test_the_version_is_that_of_both_files(tmp_path):
    """Redshifts that arrive or change later give a coadd another version."""
    touch(tmp_path, "coadd-1.fits.gz")
    (file,) = coadds(tmp_path)
    versions = [file.version()]
    for text in ("one", "another"):
        (tmp_path / "redrock-1.fits.gz").write_text(text)
        versions.append(file.version())
    assert [len(version) for version in versions] == [2, 4, 4]
    assert versions[1] != versions[2]


def hats(folder: Path) -> None:
    touch(
        folder,
        "hats.properties",
        "partition_info.csv",
        "dataset/_metadata",
        "dataset/Norder=1/Dir=0/Npix=4.parquet",
        "dataset/Norder=0/Dir=0/Npix=3.parquet",
        "dataset/Norder=1/Dir=0/Npix=5/part0.snappy.parquet",
    )


def test_a_hats_catalogue_stands_for_its_leaves(tmp_path):
    """Leaves may be files or folders; files of metadata are no leaves."""
    hats(tmp_path / "gaia")
    assert [name for name, *_ in files(tmp_path, "gaia")] == [
        "gaia/dataset/Norder=0/Dir=0/Npix=3.parquet",
        "gaia/dataset/Norder=1/Dir=0/Npix=4.parquet",
        "gaia/dataset/Norder=1/Dir=0/Npix=5/part0.snappy.parquet",
    ]


def test_a_collection_stands_for_its_primary_table(tmp_path):
    """A margin cache beside it is not read."""
    hats(tmp_path / "c/gaia")
    hats(tmp_path / "c/gaia_margin")
    (tmp_path / "c/collection.properties").write_text(
        "#HATS Collection\nobs_collection=x\nhats_primary_table_url=gaia\nall_margins=gaia_margin\n"
    )
    assert len(files(tmp_path, "c")) == 3
    assert hats_root(tmp_path / "c") == tmp_path / "c/gaia"


def test_a_collection_elsewhere_is_none(tmp_path):
    """A path out of the folder, or an address, is not followed."""
    for url in ("../gaia", "https://example.org/gaia", "/gaia", ""):
        (tmp_path / "collection.properties").write_text(f"hats_primary_table_url={url}\n")
        assert hats_root(tmp_path) is None


def test_a_catalogue_without_leaves_is_an_error(tmp_path):
    """A copy that was cut off is not an empty catalogue."""
    touch(tmp_path, "gaia/properties", "gaia/dataset/_metadata")
    with pytest.raises(ConfigError, match=r"must be a HATS catalogue with leaves, got .*gaia with"):
        files(tmp_path, "gaia")


def test_a_plain_folder_is_an_error(tmp_path):
    """The message says how its files are named."""
    touch(tmp_path, "raw/a.csv")
    with pytest.raises(ConfigError, match=r"got the folder .*raw; write .*raw/\*\.csv for"):
        files(tmp_path, "raw")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("cat.csv", r"sources\.s\.files must be the path of a file or more, got '.*cat\.csv'; c"),
        ("cat.csv", r"nearest: '.*/cat\.csv\.gz'"),
        ("other.csv", r"nearest: '.*/cat\.csv\.gz'"),
        ("missing/cat.csv", r"there is no folder .*/missing"),
        ("empty/cat.csv", r"put the files into .*/empty"),
    ],
)
def test_no_file_is_an_error(tmp_path, pattern, message):
    """The message names a file beside it, or says that the folder is missing or empty."""
    touch(tmp_path, "cat.csv.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=message):
        files(tmp_path, pattern)


def test_one_leaf_stands_for_a_catalogue(tmp_path):
    """All files that are no leaves are kept."""
    hats(tmp_path / "a")
    hats(tmp_path / "b")
    touch(tmp_path, "x.csv", "y.csv")
    every = list_files("s", SourceSettings(kind="gaia_xp", files=f"{tmp_path}/*"))
    assert len(every) == 8
    names = [str(file.path.relative_to(tmp_path)) for file in one_per_catalogue(every)]
    leaf = "dataset/Norder=0/Dir=0/Npix=3.parquet"
    assert names == [f"a/{leaf}", f"b/{leaf}", "x.csv", "y.csv"]


def test_plans_load_no_library_of_tables():
    """What the Snakefile imports needs neither pyarrow nor astropy."""
    code = (
        "import sys; import astromodal.sources.files, astromodal.sources.presets; "
        "print(sorted({'pyarrow', 'astropy', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
