"""A field's share of the training cutouts, normalised, in memory-mapped files.

A shard is two files: the pixels as a plain ``.npy`` (float16, NaN where not valid), and an array
file with the id, row, shape and mask of each cutout's source, and the hashes of normaliser, input
and pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.loops import Progress, ahead, quiet
from astromodal.data.columns import SHAPE_COLUMNS
from astromodal.data.cube import Cube
from astromodal.data.cutouts import elliptical_mask, read_cutouts
from astromodal.errors import FormatError, must_be
from astromodal.storage.arrays import load_arrays, map_file, save_arrays
from astromodal.storage.formats import check_content, npy_header, remake
from astromodal.storage.hashing import HASH_LENGTH, hash_file
from astromodal.storage.tempfiles import atomic_path
from astromodal.tokenizers.images.normaliser import ImageNormaliser

_FORMAT: dict[str, Any] = {"format": "training_cutouts", "version": 2}
_REMAKE = remake(_FORMAT["format"])
"""Advice about pixels that do not have the hash in the file of sources."""
_PIXEL = np.dtype("<f2")
_MASKS = 64  # computed at a time: each takes some 300 kB


@dataclass(frozen=True)
class CutoutShard:
    """Normalised cutouts of one field.

    Attributes
    ----------
    x : float16 (n, B, S, S)
        Normalised pixels, NaN where not valid; a memory map.
    inside : uint8 (n, ceil(S² / 8))
        Pixels of each source's elliptical mask, row by row, as `numpy.packbits` packs them.
    shapes : float64 (n, 3)
        Semi-axes (pixel) and angle (degree) of the sources; NaN where unknown.
    ids : unicode (n,)
        Identifiers.
    row : int32 (n,)
        Rows in the cube.
    normaliser_hash, input_hash : str
        Hashes of the normaliser, and of the cutouts that were sampled from.
    """

    x: np.ndarray
    inside: np.ndarray
    shapes: np.ndarray
    ids: np.ndarray
    row: np.ndarray
    normaliser_hash: str
    input_hash: str

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def open(cls, pixels: str | Path, sources: str | Path) -> CutoutShard:
        """Map the files of `write_shard`, after comparing the pixels with their hash.

        Raises
        ------
        FormatError
            Where a file is damaged, or they do not belong together.
        """
        stored = load_arrays(sources, **_FORMAT)
        x = _map(pixels)
        if len(x) != len(stored["row"]):
            must = f"of {len(stored['row'])} cutouts, as {sources}"
            raise FormatError(must_be(str(pixels), must, len(x), _REMAKE))
        content: dict[str, Any] = {**stored.arrays, **stored.attributes}
        check_content(pixels, content.pop("pixels_hash"), hash_file(pixels), _REMAKE)
        return cls(x, **content)


def write_shard(
    pixels: str | Path,
    sources: str | Path,
    cube: Cube,
    rows: np.ndarray,
    share: int,
    normaliser: ImageNormaliser,
    settings: ImageSettings,
    progress: Progress = quiet,
) -> int:
    """Sample at most `share` whole cutouts of a cube, and write them normalised.

    The sample is uniform (reservoir sampling) and depends on the seed and the field's name alone.
    The cube is read once, a slice of rows at a time, and only one slice of pixels is in memory.

    Parameters
    ----------
    pixels, sources : path
        The shard's two files, ``.npy`` and ``.npz``, each written atomically.
    cube : Cube
        The field's datacube.
    rows : bool (n,)
        Rows that tokenizers may be fitted on.
    share : int
        Largest number of cutouts, of 221 kB each.
    normaliser : ImageNormaliser
        Applied to every cutout.
    settings : ImageSettings
        Bands, size, seed.
    progress : callable
        Shows the slices.

    Returns
    -------
    int
        Number of sampled cutouts.
    """
    shape = (len(settings.bands), settings.size, settings.size)
    taken = np.full(min(share, int(rows.sum())), -1, np.int32)
    digest = hashlib.sha256()
    with atomic_path(pixels) as temporary, temporary.open("wb") as stream:
        first = _header(stream, 0, shape)
        sampled = ahead(_reservoir(cube, rows, len(taken), normaliser, settings, digest))
        for place, row, x in progress(sampled, None, f"slices of cutouts of field {cube.field}"):
            for at, one in zip(place.tolist(), x, strict=True):
                stream.seek(first + at * one.nbytes)
                stream.write(one.data)
            taken[place] = row
        row = taken[taken >= 0]
        _header(stream, len(row), shape)
    known = cube.scalars(SHAPE_COLUMNS)[row]
    arrays = {"inside": _packed_masks(known, settings.size), "shapes": known}
    arrays |= {"ids": cube.ids()[row].astype(np.str_), "row": row}
    input_hash = digest.hexdigest()[:HASH_LENGTH]
    made_of = {**_FORMAT, "normaliser_hash": normaliser.hash, "input_hash": input_hash}
    save_arrays(sources, arrays, **made_of, pixels_hash=hash_file(pixels))
    return len(row)


def _reservoir(
    cube: Cube,
    rows: np.ndarray,
    share: int,
    normaliser: ImageNormaliser,
    settings: ImageSettings,
    digest: hashlib._Hash,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield places below `share`, rows and normalised cutouts; later ones replace earlier ones."""
    name = int.from_bytes(hashlib.sha256(cube.field.encode()).digest()[:8], "little")
    generator = np.random.default_rng([abs(settings.seed), name])
    seen = 0
    for batch in read_cutouts(cube, settings, keep=rows):
        digest.update(batch.row.tobytes())
        digest.update(np.ascontiguousarray(batch.pixels).data)
        number = np.arange(seen, seen + len(batch.row))
        place = np.where(number < share, number, generator.integers(number + 1))
        seen += len(number)
        kept = place < share
        # Of two cutouts at the same place the last one stays, as if they came one by one.
        valid = batch.valid[kept]
        x = normaliser.forward(batch.pixels[kept], valid)
        x[~valid] = np.nan
        yield place[kept], batch.row[kept], x.astype(_PIXEL)


def _packed_masks(shapes: np.ndarray, size: int) -> np.ndarray:
    """Return elliptical masks of `shapes` (n, 3), packed, uint8 (n, ceil(S² / 8))."""
    packed = [np.empty((0, -(-(size**2) // 8)), np.uint8)]
    for start in range(0, len(shapes), _MASKS):
        a, b, theta = shapes[start : start + _MASKS].T
        mask = elliptical_mask(a, b, theta, size)
        packed.append(np.packbits(mask.reshape(len(mask), size**2), axis=1))
    return np.concatenate(packed)


def _header(stream: BinaryIO, n: int, shape: tuple[int, ...]) -> int:
    """Write the header of a ``.npy`` of n cutouts, with room for a larger n; return its length."""
    stream.seek(0)
    described = {"descr": _PIXEL.str, "fortran_order": False, "shape": (n, *shape)}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.tell()


def _map(path: str | Path) -> np.ndarray:
    """Return a memory map of a ``.npy`` of float16."""
    try:
        with Path(path).open("rb") as stream:
            shape, fortran, dtype = npy_header(stream, Path(path).stat().st_size)
            first = stream.tell()
        if dtype != _PIXEL or fortran:
            raise ValueError(f"an array of {dtype}")
    except ValueError as error:
        raise FormatError(
            must_be(str(path), "a whole .npy of float16", str(error), _REMAKE)
        ) from error
    return map_file(path)[first:].view(_PIXEL).reshape(shape)


class CutoutStore:
    """The normalised cutouts of all shards, with the masks of their sources.

    Parameters
    ----------
    shards : sequence of CutoutShard
        One per field, in order.
    normaliser : ImageNormaliser
        The normaliser of the shards.
    size : int
        Side of a cutout (pixel).

    Raises
    ------
    FormatError
        Where a shard was made with another normaliser.
    """

    def __init__(
        self, shards: Sequence[CutoutShard], normaliser: ImageNormaliser, size: int
    ) -> None:
        for number, shard in enumerate(shards):
            if shard.normaliser_hash != normaliser.hash:
                what, must = f"training cutouts {number}", f"of normaliser {normaliser.hash}"
                do = "run prepare_cutouts again"
                raise FormatError(must_be(what, must, shard.normaliser_hash, do))
        self.size, self.n_bands = size, len(normaliser.bands)
        self._shards = tuple(shards)
        self._starts = np.cumsum([0, *(len(shard) for shard in shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def cutout(
        self, number: int, top: int = 0, left: int = 0, side: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a square window of one cutout.

        Parameters
        ----------
        number : int
            The cutout, from 0.
        top, left, side : int
            First row, first column and side (pixel); the whole cutout by default.

        Returns
        -------
        x : float16 (B, side, side)
            Normalised pixels, NaN where not valid: a view of the mapped file.
        inside : bool (side, side)
            Pixels of the elliptical mask.
        """
        place = int(np.searchsorted(self._starts, number, side="right")) - 1
        shard, at = self._shards[place], number - int(self._starts[place])
        rows, columns = (slice(start, start + (side or self.size)) for start in (top, left))
        mask = np.unpackbits(shard.inside[at], count=self.size**2).view(bool)
        return shard.x[at, :, rows, columns], mask.reshape(self.size, self.size)[rows, columns]
