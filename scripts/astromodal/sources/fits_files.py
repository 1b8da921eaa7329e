"""FITS files of spectra: opened so that a damaged one ends in one error that names it."""

from __future__ import annotations

import gzip
import re
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from astromodal.errors import AstromodalError, DataError, machine_error, suggestion
from astromodal.sources.base import WARNINGS, damaged
from astromodal.storage.tempfiles import storing

_DAMAGE: Final = (
    OSError, EOFError, ValueError, TypeError, IndexError, KeyError, zlib.error, fits.VerifyError,
)  # fmt: skip
"""What astropy raises where a FITS file is cut off or holds something else."""
_CUT: Final = ("truncated", "Error validating header")
"""Parts of astropy's warnings of a file that ends early."""
_FORMAT: Final = re.compile(r"\s*(\d*)([A-Z])")
_KINDS: Final = {"A": "S", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_BYTES: Final = {"A": 1, "B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "L": 1, "X": 0, "C": 8,
                 "M": 16, "P": 8, "Q": 16}  # fmt: skip
"""Types and widths (byte) of the columns of a binary table (FITS standard 4.0, table 18)."""
_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20


@contextmanager
def _recorded() -> Iterator[list[warnings.WarningMessage]]:
    with WARNINGS, warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", AstropyWarning)
        yield found


@dataclass(frozen=True)
class FitsFile:
    """An open FITS file.

    Attributes
    ----------
    source : str
        Name of the source, for errors.
    path : Path
        The file.
    hdus : HDUList
        Its HDUs.
    """

    source: str
    path: Path
    hdus: fits.HDUList

    @property
    def names(self) -> list[str]:
        """Names of the HDUs, without those that have none."""
        return [hdu.name for hdu in self.hdus if hdu.name]

    def error(self, must: str, got: object) -> DataError:
        """Return the error that says what the file must hold and what it holds instead."""
        return damaged(self.source, self.path, must, got)

    def hdu(self, *names: str) -> Any:
        """Return the first HDU that has one of these names.

        Raises
        ------
        DataError
            Where there is none; it names the nearest one.
        """
        for name in names:
            if name in self.names:
                return self.hdus[name]
        held = ", ".join(self.names) + suggestion(names[0], self.names)
        raise self.error(f"a FITS file with an HDU {' or '.join(names)}", held)

    def columns(
        self, hdu: Any, needed: Iterable[str], optional: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Return columns of a table, by their names in capitals; text without blanks at its ends.

        Raises
        ------
        DataError
            Where the HDU is no table, or lacks a needed column.
        """
        if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
            raise self.error(f"a FITS file with a table in HDU {hdu.name}", type(hdu).__name__)
        held = _names(hdu)
        for name in needed:
            if name not in held:
                near = suggestion(name, held)
                must = f"a FITS file with a column {name} in HDU {hdu.name}"
                raise self.error(must, f"{len(held)} others{near}")
        wanted = [name for name in (*needed, *optional) if name in held]
        with _recorded():
            rows = _rows(hdu, [held[name] for name in wanted])
            if rows is None:
                return {name: _plain(hdu.data[hdu.header[f"TTYPE{held[name]}"]]) for name in wanted}
            return {name: _plain(rows[str(held[name])]) for name in wanted}


def _names(hdu: Any) -> dict[str, int]:
    """Return the numbers of a table's columns, from 1, by their names in capitals."""
    header = hdu.header
    numbers = range(1, header["TFIELDS"] + 1)
    return {str(header.get(f"TTYPE{number}", "")).strip().upper(): number for number in numbers}


def _rows(hdu: Any, wanted: list[int]) -> np.ndarray | None:
    """Return the rows of a binary table as they are in the file; None where astropy must read it.

    astropy makes an object of each column, which takes ten times as long as to read one spectrum.
    """
    header, kinds = hdu.header, []
    if not isinstance(hdu, fits.BinTableHDU) or hdu.header.get("ZTABLE"):
        return None
    for number in range(1, header["TFIELDS"] + 1):
        match = _FORMAT.match(header[f"TFORM{number}"])
        count, letter = int(match[1] or 1) if match else 0, match[2] if match else ""
        scaled = f"TSCAL{number}" in header or f"TZERO{number}" in header
        plain = letter in _KINDS and not scaled and (count == 1 or letter == "A")
        if letter not in _BYTES or (number in wanted and not plain):
            return None
        width = -(-count // 8) if letter == "X" else count * _BYTES[letter]
        kind = (f"S{count}" if letter == "A" else _KINDS[letter]) if plain else f"V{width}"
        kinds.append((str(number), kind))
    stored = np.dtype(kinds)
    if stored.itemsize != header["NAXIS1"]:
        return None
    place = hdu.fileinfo()
    place["file"].seek(place["datLoc"])
    return np.frombuffer(place["file"].read(header["NAXIS1"] * header["NAXIS2"]), stored)


def _plain(values: np.ndarray) -> np.ndarray:
    """Return values in the machine's byte order, and text without blanks at its ends."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "ascii", "replace")
    if values.dtype.kind == "U":
        return np.char.strip(np.asarray(values))
    return np.asarray(values).astype(values.dtype.newbyteorder("="))


@contextmanager
def open_fits(source: str, path: Path) -> Iterator[FitsFile]:
    """Open a FITS file, also one compressed by gzip; images and tables are read when asked for.

    Parameters
    ----------
    source : str
        Name of the source, for errors.
    path : Path
        The file.

    Raises
    ------
    DataError
        Where the file does not exist, is no FITS file, or is cut off; also later, where astropy
        cannot read what it holds.
    MachineError
        Where the disk or the memory fails.
    """
    try:
        with _opened(path) as hdus:
            yield FitsFile(source, path, hdus)
    except AstromodalError:
        raise
    except FileNotFoundError:
        raise damaged(source, path, "a file that exists", "none") from None
    except _DAMAGE as error:
        if (explained := machine_error(error)) is not None:
            raise explained from error
        got = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise damaged(source, path, "a whole FITS file", got) from error


@contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a file, and read the headers of all HDUs.

    Raises
    ------
    OSError
        Where the file is cut off.
    """
    with path.open("rb") as stream, _unpacked(stream) as whole:
        with _recorded() as warned:
            # Without a memory map: a file that is cut off while it is read must not end the
            # process.
            hdus = fits.open(whole, memmap=False, lazy_load_hdus=False)
        cut = [str(w.message) for w in warned if any(t in str(w.message) for t in _CUT)]
        with hdus:
            if cut:
                raise OSError(cut[0])
            yield hdus


@contextmanager
def _unpacked(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a stream, or a temporary file with what it holds compressed by gzip.

    astropy takes the end of a compressed file that is cut off for the end of the last HDU.
    """
    start = stream.read(len(_GZIP))
    stream.seek(0)
    if start != _GZIP:
        yield stream
        return
    folder = tempfile.gettempdir()
    with (
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as whole,
        Path(whole.name).open("rb") as unpacked,  # astropy refuses one that it may write to
    ):
        Path(whole.name).unlink()  # now: a process that is killed leaves nothing
        with gzip.open(stream) as packed:
            while chunk := packed.read(_CHUNK):
                with storing(folder):
                    whole.write(chunk)
        whole.flush()
        yield unpacked
