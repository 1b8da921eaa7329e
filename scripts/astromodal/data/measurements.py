"""All measurements of single rows of a cube: scalars, cutouts, spectra and light curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import Config, ImageSettings, SpectrumSettings
from astromodal.data.columns import PIXELS, scalar_unit
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.data.spectra import read_group
from astromodal.surveys.gaiaxp import CoefficientGroup
from astromodal.surveys.group import Batch
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.surveys.registry import grid_group, spectra, spectrum_group
from astromodal.surveys.spectra import SpectrumBatch, good_pixels

MODALITIES = ("image", "scalar", "spectrum")
"""Names that stand for cutouts, for all scalar columns of the settings, and for all groups."""
CURVE = ("time", "mag", "error")
"""Arrays of a light curve."""
ROWS = 64
"""Rows of a cube that are read at a time."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Measurements:
    """What is read of each row of a cube.

    Attributes
    ----------
    columns : tuple of str
        Scalar columns.
    groups : tuple of str
        Groups of spectra and of light curves.
    image : ImageSettings, optional
        Bands and size of cutouts; None without cutouts.
    spectrum : SpectrumSettings
        Settings that decide on the wavelengths of spectra.
    """

    columns: tuple[str, ...]
    groups: tuple[str, ...]
    image: ImageSettings | None
    spectrum: SpectrumSettings

    @classmethod
    def named(cls, names: str | Sequence[str] | None, config: Config) -> Measurements:
        """Return the measurements of some names.

        Parameters
        ----------
        names : str or sequence of str, optional
            Names in `MODALITIES`, groups, and scalar columns; all of `MODALITIES` if None.
        config : Config
            Settings that name columns, bands and groups.
        """
        parts, listed = config.tokenizers, [names] if isinstance(names, str) else names
        wanted = list(MODALITIES if listed is None else listed)
        every = parts.scalar.columns if "scalar" in wanted else ()
        known = (*MODALITIES, *parts.spectrum.groups)
        groups = (n for n in parts.spectrum.groups if n in wanted or "spectrum" in wanted)
        return cls(
            tuple(dict.fromkeys([*every, *(n for n in wanted if n not in known)])),
            tuple(groups),
            parts.image if "image" in wanted else None,
            parts.spectrum,
        )

    def units(self) -> dict[str, str | None]:
        """Return units, as `astropy.units.Unit` reads them, of scalar columns and of arrays.

        They are empty without a unit, and None where it is not known. Inverse variances have that
        of the flux to the power of -2.
        """
        units = {name: scalar_unit(name) for name in self.columns}
        units |= {"pixels": PIXELS} if self.image else {}
        for name in self.groups:
            group = spectrum_group(name)
            for part in CURVE if group.ragged else ("flux",):
                units[f"{name}_{part}"] = (group.axis if part == "time" else group.values).unit
        return units

    def axis(self, group: str) -> np.ndarray:
        """Return the wavelengths of a group's spectra, float64 (L,), in the unit of its axis.

        Spectra of Gaia XP are coefficients; theirs are the numbers of the coefficients, from 1.
        """
        kind = grid_group(group)
        if isinstance(kind, CoefficientGroup):
            return np.arange(1.0, 1 + kind.n_coefficients)
        return kind.grid(self.spectrum).points()

    def axes(self) -> Arrays:
        """Return the result of `axis` of every group of spectra, by its name."""
        return {name: self.axis(name) for name in spectra(self.groups)}

    def read(self, cube: Cube, rows: np.ndarray) -> Iterator[Arrays]:
        """Yield the cutouts, spectra and light curves of some rows.

        Parameters
        ----------
        cube : Cube
            The cube. What it lacks is missing.
        rows : int64 (m,)
            Rows, ascending. Only row groups that hold any of them are read, from their start.

        Yields
        ------
        dict of str to array
            For each row:

            - ``pixels``, float32 (B, S, S) in counts/s, and ``valid``, bool: the pixels that were
              measured. Others are 0, and so are all of a row without a whole cutout.
            - ``{group}_flux`` and ``{group}_ivar``, float32 (L,): both are 0 at a pixel that was
              not measured.
            - ``{group}_time`` (day), ``{group}_mag`` and ``{group}_error`` (mag), float64 (epochs,)
              of the good epochs in time order; without a light curve there are none.

        Raises
        ------
        DataError
            If a column does not hold what it must.
        """
        keep = np.zeros(cube.n_rows, dtype=bool)
        keep[rows] = True
        readers = [_Reader(*pair) for pair in self._readers(cube, keep)]
        for row in rows.tolist():
            yield {name: array for reader in readers for name, array in reader.at(row).items()}

    def _readers(
        self, cube: Cube, keep: np.ndarray
    ) -> Iterator[tuple[Iterator[tuple[int, Arrays]], Arrays]]:
        """Yield a reader of rows for each kind of measurement, and the arrays of a row without."""
        if self.image is not None:
            shape = (len(self.image.bands), self.image.size, self.image.size)
            nothing = {"pixels": np.zeros(shape, np.float32), "valid": np.zeros(shape, bool)}
            yield _cutouts(cube, self.image, keep), nothing
        for name in self.groups:
            batches = read_group(cube, name, ROWS, keep)
            if spectrum_group(name).ragged:
                yield _curves(name, batches), {f"{name}_{part}": np.empty(0) for part in CURVE}
            else:
                dark = np.zeros(len(self.axis(name)), np.float32)
                yield _spectra(name, batches), {f"{name}_flux": dark, f"{name}_ivar": dark}


class _Reader:
    """Arrays of one kind of measurement, taken row by row."""

    def __init__(self, read: Iterator[tuple[int, Arrays]], nothing: Arrays) -> None:
        self._read, self._nothing = read, nothing
        self._next = next(read, None)

    def at(self, row: int) -> Arrays:
        """Return the arrays of a row, in memory of their own; rows are taken in order."""
        while self._next is not None and self._next[0] < row:
            self._next = next(self._read, None)
        found = self._next is not None and self._next[0] == row
        arrays = self._next[1] if self._next is not None and found else self._nothing
        return {name: array.copy() for name, array in arrays.items()}


def _cutouts(cube: Cube, settings: ImageSettings, keep: np.ndarray) -> Iterator[tuple[int, Arrays]]:
    for batch in read_cutouts(cube, settings, ROWS, keep):
        for i, row in enumerate(batch.row.tolist()):
            yield row, {"pixels": batch.pixels[i], "valid": batch.valid[i]}


def _spectra(name: str, batches: Iterator[Batch]) -> Iterator[tuple[int, Arrays]]:
    for batch in batches:
        if isinstance(batch, SpectrumBatch):
            good = good_pixels(batch.flux, batch.ivar)
            flux, ivar = (np.where(good, a, 0).astype(np.float32) for a in (batch.flux, batch.ivar))
            for i, row in enumerate(batch.row.tolist()):
                yield row, {f"{name}_flux": flux[i], f"{name}_ivar": ivar[i]}


def _curves(name: str, batches: Iterator[Batch]) -> Iterator[tuple[int, Arrays]]:
    for batch in batches:
        if isinstance(batch, LightCurveBatch):
            for i, row in enumerate(batch.row.tolist()):
                inside = slice(*batch.indptr[i : i + 2])
                yield row, {f"{name}_{part}": getattr(batch, part)[inside] for part in CURVE}
