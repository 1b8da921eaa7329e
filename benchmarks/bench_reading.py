"""Reading lists: speed beside that of the disk, and bounded memory."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from astromodal.config.schema import ImageSettings
from astromodal.data.columns import cutout_column, group_columns
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.data.parquet import flatten
from astromodal.data.spectra import read_spectra
from astromodal.surveys.desi import GRIDS
from benchmarks.harness import REPEATS, Row, peak_memory, seconds
from benchmarks.sky import write_cutouts, write_spectra

N_ROWS = 70_000
N_CUTOUTS = 3000
"""1.3 GB of pixels: twice as much as may be in memory."""
N_SPEED = 1000
N_SPECTRA = 3000
MARK_MEMORY = 600
IMAGES = ImageSettings()
_BLOCK = 1 << 22


def rows() -> Iterator[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datacube_F.parquet"
        write_cutouts(path, 2 * N_SPEED, N_SPEED)
        columns = [cutout_column(band) for band in IMAGES.bands]
        yield from _speed("cutouts", path, lambda: _flat(path, columns, 64), mark=0.7)
        whole = "cutouts, masked and band beside band"
        yield from _speed(whole, path, lambda: _every(read_cutouts(Cube(path, "F"), IMAGES)))
        write_spectra(path, N_SPECTRA)
        lists = [group_columns(group) for group in GRIDS]
        yield from _speed(
            "DESI lists", path, lambda: [_flat(path, names, 1024) for names in lists], mark=0.7
        )
        yield from _speed("DESI spectra, checked", path, lambda: _spectra(path))
        yield _memory("DESI lists, single row group", path, _SPECTRA_IMPORTS, _SPECTRA_WORK)
        for row_group, name in ((N_ROWS, "a single row group"), (512, "row groups of 512")):
            write_cutouts(path, N_ROWS, N_CUTOUTS, row_group)
            size = path.stat().st_size / 1e9
            what = f"cutouts, {N_ROWS} rows, {N_CUTOUTS} with pixels ({size:.1f} GB), {name}"
            yield _memory(what, path, _CUTOUT_IMPORTS, _CUTOUT_WORK)
            yield _encoded(f"the same to codes and latents, {name}", path)


def _every(stream: Iterator[object]) -> None:
    for _ in stream:
        pass


def _flat(path: Path, columns: list[str], rows: int) -> None:
    """Stream columns and flatten their lists."""
    for part in Cube(path, "F").slices(columns, rows):
        for name in columns:
            flatten(part.table.column(name))


def _spectra(path: Path) -> None:
    for group in GRIDS:
        _every(read_spectra(Cube(path, "F"), group))


def _speed(
    what: str, path: Path, read: Callable[[], object], mark: float | None = None
) -> Iterator[Row]:
    """Ratio to reading the bytes, from the disk (pages dropped before each call) and from memory.

    A field is far larger than what the system keeps in memory, so that the disk is what counts.
    """
    size = path.stat().st_size / 1e6
    for cold in (True, False):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(REPEATS + 1):
            for call, taken in zip((read, lambda: _bytes(path)), times, strict=True):
                if cold:
                    _drop(path)
                taken.append(seconds(call))
        ours, theirs = (statistics.median(taken[1:]) for taken in times)
        yield Row(
            "reading", f"{what}, file {'on disk' if cold else 'in memory already'}",
            "reading the file's bytes", theirs / ours, mark=mark if cold else None,
            detail=f"{size / ours:.0f} to {size / theirs:.0f} MB/s",
        )  # fmt: skip


def _bytes(path: Path) -> None:
    buffer = bytearray(_BLOCK)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def _drop(path: Path) -> None:
    """Drop the file's pages from the page cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


_CUTOUT_IMPORTS = """
from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
"""
_CUTOUT_WORK = """
for batch in read_cutouts(Cube(sys.argv[1], "F"), ImageSettings()):
    batch.pixels.sum()
"""
_SPECTRA_IMPORTS = """
from astromodal.config.schema import SpectrumSettings
from astromodal.surveys.desi import GRIDS
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
"""
_SPECTRA_WORK = """
for group in GRIDS:
    for batch in read_spectra(Cube(sys.argv[1], "F"), group):
        batch.flux.sum()
"""


_ENCODE_IMPORTS = """
from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.tokenizers.images.tokens import encode_field_images
from benchmarks.bench_images import SKY, image_tokenizer
from astromodal.tokenizers.images.normaliser import ImageNormaliser
"""
_ENCODE_WORK = """
settings = ImageSettings()
tokenizer = image_tokenizer(settings, ImageNormaliser(settings.bands, 8 * SKY))
encode_field_images(Cube(sys.argv[1], "F"), tokenizer, settings)
"""


def _encoded(what: str, path: Path) -> Row:
    """Peak of encode_images, which holds the field's codes and latents: no bound, hence no mark."""
    peak = peak_memory(_ENCODE_IMPORTS, _ENCODE_WORK, str(path))
    return Row(
        "memory", what, "the interpreter with the package imported", peak, "MB",
        detail=f"{N_CUTOUTS} cutouts; each one more holds 6 kB, 48,000 of a full field 0.3 GB",
    )  # fmt: skip


def _memory(what: str, path: Path, imports: str, work: str) -> Row:
    peak = peak_memory(imports, work, str(path))
    return Row(
        "memory", what, "the interpreter with the package imported", peak, "MB",
        mark=MARK_MEMORY, at_most=True,
    )  # fmt: skip
