"""Plans of cubes from raw files: fields, stamps, and which of them change with what."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from astromodal.core.paths import MODALITIES, WHOLE, Layout
from astromodal.errors import ConfigError, DataError
from astromodal.sources.build import build_cube
from astromodal.sources.plan import (
    builds_again,
    indexed_sources,
    known_fields,
    left_out,
    only_indexes,
    plan_cubes,
    raw_versions,
)

CODE = {"index_source": "code", "build_cube": "code"}


class Sky:
    """A copy of the raw files that a test may change, and plans of it."""

    def __init__(self, raw_sky, folder: Path) -> None:
        self.raw = folder / "raw"
        shutil.copytree(raw_sky.raw, self.raw, copy_function=os.link)
        text = {n: {**s, "files": s["files"].replace(str(raw_sky.raw), str(self.raw))}
                for n, s in raw_sky.sources.items()}  # fmt: skip
        self.sources, self.paths = text, Layout(str(folder / "results"))
        self._make, self.changes, self.code = raw_sky.config, {}, dict(CODE)
        self.said: list[str] = []

    def config(self):
        return self._make(self.paths.results, **{"sources": self.sources, **self.changes})

    def plan(self) -> tuple[str, ...]:
        self.said = []
        return plan_cubes(self.config(), self.paths, self.code, self.said.append)

    def stamps(self) -> dict[str, str]:
        folder = Path(self.paths.stamps).parent
        return {path.name.removesuffix(".txt"): path.read_text() for path in folder.iterdir()}

    def changed(self) -> set[str]:
        """Plan again, and return the stamps that another text has, without ``datacube_``."""
        before = self.stamps()
        self.plan()
        after = self.stamps()
        return {n.removeprefix("datacube_") for n in after if before.get(n) != after[n]}

    def write(self, name: str, table: pa.Table) -> None:
        """Replace a catalogue; the links to the shared files stay as they are."""
        path = self.raw / name
        path.unlink()
        writer = pyarrow.csv.write_csv if path.suffix == ".csv" else pq.write_table
        writer(table, path)


@pytest.fixture
def sky(raw_sky, tmp_path) -> Sky:
    planned = Sky(raw_sky, tmp_path)
    planned.plan()
    return planned


def of(field: str, *modalities: str) -> set[str]:
    return {f"{field}_{modality}" for modality in (WHOLE, *modalities)}


def test_fields_are_those_of_the_catalogue(sky):
    """A plan finds the fields in the base catalogue, in the order of their names."""
    assert sky.plan() == ("R-1", "R-2")
    assert known_fields(sky.paths) == ("R-1", "R-2")


def test_there_are_no_known_fields_before_the_first_plan(tmp_path):
    """Jobs of a run without a plan know no field."""
    assert known_fields(Layout(str(tmp_path))) == ()


def test_every_field_has_a_stamp_per_modality(sky):
    """There is one stamp of the whole cube and one per modality, for each field."""
    assert set(sky.stamps()) == {
        f"datacube_{field}_{modality}"
        for field in ("R-1", "R-2")
        for modality in (WHOLE, *MODALITIES)
    }


def test_nothing_is_read_while_nothing_changes(sky):
    """A second plan says nothing and leaves all stamps."""
    assert sky.changed() == set()
    assert sky.said == []


def test_touched_files_change_nothing(sky):
    """Files with another time and the same content are read, and no stamp changes."""
    for path in sky.raw.rglob("*"):
        if path.is_file() and path.parent.name != "images":
            path.write_bytes(path.read_bytes())
            os.utime(path, ns=(1, 1))
    assert sky.changed() == set()
    assert any("source desi: indexing" in line for line in sky.said)


def test_a_magnitude_changes_one_field(sky):
    """A changed row of the base catalogue makes all of its field stale, and no other field."""
    table = pyarrow.csv.read_csv(sky.raw / "splus/R-1.csv")
    place = table.column_names.index("r_PStotal_dual")
    values = table.column(place).to_pylist()
    sky.write(
        "splus/R-1.csv", table.set_column(place, "r_PStotal_dual", [[values[0] + 1, *values[1:]]])
    )
    assert sky.changed() == of("R-1", *MODALITIES)


def test_a_redshift_changes_scalars_and_labels_of_its_field(sky):
    """A changed redshift makes scalars and labels stale where it belongs, and no spectra."""
    table = pq.read_table(sky.raw / "specz.parquet")
    place = table.column_names.index("z")
    values = table.column(place).to_pylist()
    sky.write("specz.parquet", table.set_column(place, "z", [[values[0] + 1, *values[1:]]]))
    assert sky.changed() == of("R-1", "scalars", "labels")


def test_a_spectrum_changes_spectra_of_its_field(sky):
    """A changed flux of DESI makes spectra stale in its field alone."""
    path = next((sky.raw / "desi").glob("coadd-r-2-0*"))
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole)
    with fits.open(path, mode="update") as hdus:
        hdus["R_FLUX"].data[0, 7] += 1
    assert sky.changed() == of("R-2", "spectra")


def test_a_match_changes_what_is_joined_through_it(sky):
    """Gaia gives scalars and labels, XP spectra are joined through it, and cutouts need a match."""
    leaf = next((sky.raw / "gaia").rglob("Npix*.parquet"))
    sky.write(str(leaf.relative_to(sky.raw)), pq.read_table(leaf).slice(1))
    changed = sky.changed()
    assert len({name.rsplit("_", 1)[0] for name in changed}) == 1
    assert {name.rsplit("_", 1)[1] for name in changed} == {
        WHOLE, "scalars", "labels", "spectra", "images",
    }  # fmt: skip


def test_a_new_radius_makes_its_source_stale(sky):
    """A setting of a source makes all fields stale in the modalities that it gives."""
    sky.sources["specz"] = {**sky.sources["specz"], "match": {"radius": "2 arcsec"}}
    assert sky.changed() == of("R-1", "scalars", "labels") | of("R-2", "scalars", "labels")


def test_new_code_makes_all_stale(sky):
    """Where the code that builds cubes changes, every stamp does."""
    sky.code["build_cube"] = "new"
    assert len(sky.changed()) == 2 * (1 + len(MODALITIES))


def test_new_code_of_the_index_reads_again(sky):
    """Where the code that indexes changes, all files are read again."""
    sky.code["index_source"] = "new"
    sky.plan()
    assert len(sky.said) == len(indexed_sources(sky.config()))


def test_a_new_file_adds_a_field(sky):
    """A new catalogue file makes a new field, and no other is stale."""
    text = (sky.raw / "splus/R-1.csv").read_text().replace("R-1", "R-9")
    (sky.raw / "splus/R-9.csv").write_text(text)
    changed = sky.changed()
    assert known_fields(sky.paths) == ("R-1", "R-2", "R-9")
    assert {name.rsplit("_", 1)[0] for name in changed} == {"R-9"}


def replace_image(sky: Sky, change: bool) -> None:
    path = sky.raw / "images/R-1_R.fits"
    whole = bytearray(path.read_bytes())
    whole[-3000] ^= change
    path.unlink()
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [True, False], ids=["changed", "touched"])
def test_images_are_compared_with_those_of_the_cube(sky, change):
    """An image of another content makes its field's images stale, a touched one does not."""
    build_cube(sky.config(), "R-1", sky.paths, sky.paths.cube("R-1"))
    replace_image(sky, change)
    assert sky.changed() == (of("R-1", "images") if change else set())
    assert any("R-1_R.fits is newer" in line for line in sky.said)


def test_an_image_of_an_unbuilt_field_is_stale(sky):
    """Without a cube to compare with, a touched image counts as changed."""
    replace_image(sky, False)
    assert sky.changed() == of("R-1", "images")


def test_a_new_image_makes_images_stale(sky):
    """A band that arrives later makes the images of its field stale."""
    shutil.copy(sky.raw / "images/R-1_U.fits", sky.raw / "images/R-2_U.fits")
    assert sky.changed() == of("R-2", "images")


def damage(sky: Sky) -> Path:
    path = next((sky.raw / "desi").glob("coadd-r-1-0*"))
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def test_a_damaged_file_stops_the_plan(sky):
    """A file that is cut off is an error that names source and file."""
    path = damage(sky)
    with pytest.raises(DataError, match=f"source desi: {path} must be"):
        sky.plan()


def test_a_damaged_file_is_left_out_on_request(sky):
    """With `on_bad_field: skip` the plan goes on, and says what was left out."""
    path = damage(sky)
    sky.changes = {"on_bad_field": "skip"}
    assert sky.plan() == ("R-1", "R-2")
    (line,) = left_out(sky.paths)
    assert line.startswith(f"left out: source desi: {path} must be")


def test_cubes_are_built_without_the_files_that_are_left_out(sky):
    """The provenance of a cube names the damaged file that it was built without."""
    path = damage(sky)
    sky.changes = {"on_bad_field": "skip"}
    sky.plan()
    built = build_cube(sky.config(), "R-1", sky.paths, sky.paths.cube("R-1"))
    assert built["desi"].left_out == [str(path)]


def test_a_base_without_a_usable_file_stops_in_any_case(sky):
    """Where no file of the base catalogue can be read, there is nothing to go on with."""
    for path in (sky.raw / "splus").iterdir():
        path.unlink()
        path.write_text("no,positions\n1,2\n")
    sky.changes = {"on_bad_field": "skip"}
    with pytest.raises(DataError, match=r"source splus: .*R-1\.csv: columns must"):
        sky.plan()


def test_a_source_without_files_is_an_error(sky):
    """A pattern that matches nothing names the setting."""
    sky.sources["specz"] = {**sky.sources["specz"], "files": f"{sky.raw}/none/*.csv"}
    with pytest.raises(ConfigError, match=r"sources\.specz\.files must be"):
        sky.plan()


def test_a_command_can_make_the_index_alone(sky):
    """A command that names the target of the index plans no cubes."""
    assert only_indexes(["snakemake", "--profile", "slurm", "index_sources"])
    assert only_indexes(["snakemake", "north_index_sources"])  # of a module
    assert not only_indexes(["snakemake", "cubes"])


def test_versions_of_raw_files_are_listed(sky):
    """Each raw file of a source has its path, size and time."""
    ((path, size, time),) = raw_versions(sky.config(), "specz")
    stat = os.stat(sky.raw / "specz.parquet")
    assert (path, size, time) == (str(sky.raw / "specz.parquet"), stat.st_size, stat.st_mtime_ns)


def test_a_cube_is_built_again_for_newer_stamps(tmp_path):
    """A cube is stale in the modalities whose stamps are newer, and in all where it is missing."""
    paths = Layout(str(tmp_path))
    for path, time in ((paths.cube("F"), 5), (paths.stamp("images", "F"), 6),
                       (paths.stamp("scalars", "F"), 5)):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("")
        os.utime(path, ns=(time, time))
    assert builds_again(paths, "F", ("scalars", "images"))
    assert not builds_again(paths, "F", ("scalars",))
    assert builds_again(paths, "G", ("scalars",))
