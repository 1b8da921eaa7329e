"""Training cutouts, drawn from many fields and kept normalised in a file that memory maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.progress import Progress, quiet
from astromodal.data.cube import Cube
from astromodal.data.cutouts import SHAPE_COLUMNS, elliptical_mask, read_cutouts
from astromodal.tokenizers.normaliser import ImageNormaliser, sky_sigma

_SKY_CUTOUTS = 2000  # sigmas of the sky: their median over so many is good to a per cent
_SKY_OF_FIELD = 64  # one field has one depth


class TrainingField(NamedTuple):
    """A field's cube, and the rows, bool (n,), that tokenizers may be fitted on."""

    cube: Cube
    rows: np.ndarray


@dataclass(frozen=True)
class CutoutStore:
    """Normalised cutouts with their sources' shapes.

    Attributes
    ----------
    x : float16 (N, B, S, S)
        Normalised pixels, NaN where not valid; usually a memory map.
    shapes : float64 (N, 3)
        Semi-axes (pixel) and angle (degree) of the sources; NaN where unknown.
    """

    x: np.ndarray
    shapes: np.ndarray

    def __len__(self) -> int:
        return len(self.shapes)

    def window(
        self, chosen: np.ndarray, top: int = 0, left: int = 0, side: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the same square window of chosen cutouts.

        Parameters
        ----------
        chosen : int (m,)
            Cutouts.
        top, left, side : int
            First row, first column and side (pixel); the whole cutout by default.

        Returns
        -------
        x : float32 (m, B, side, side)
            Normalised pixels, 0 where not valid.
        valid : bool (m, B, side, side)
            Pixels that were measured.
        inside : bool (m, side, side)
            Pixels of the elliptical mask.
        """
        size = self.x.shape[-1]
        rows, columns = slice(top, top + (side or size)), slice(left, left + (side or size))
        x = self.x[chosen, :, rows, columns].astype(np.float32)
        valid = np.isfinite(x)
        a, b, theta = self.shapes[chosen].T
        mask = elliptical_mask(a, b, theta, size)
        return np.where(valid, x, np.float32(0)), valid, mask[:, rows, columns]


def fit_normaliser(fields: Sequence[TrainingField], settings: ImageSettings) -> ImageNormaliser:
    """Learn the arcsinh of each band from the sky in the first training cutouts of every field."""
    share = max(1, min(_SKY_OF_FIELD, _SKY_CUTOUTS // max(1, len(fields))))
    sky = [np.empty((0, len(settings.bands)))]
    for cube, rows in fields:
        left = share
        for batch in read_cutouts(cube, settings, keep=rows):
            sky.append(sky_sigma(batch.pixels[:left], batch.valid[:left]))
            left -= len(sky[-1])
            if not left:
                break
    return ImageNormaliser.fit(settings.bands, np.concatenate(sky))


def draw_cutouts(
    fields: Sequence[TrainingField],
    settings: ImageSettings,
    normaliser: ImageNormaliser,
    folder: str | Path,
    progress: Progress = quiet,
) -> CutoutStore:
    """Draw at most ``max_cutouts`` whole cutouts, evenly over the fields, in one pass over each.

    Every field may give an equal share; what a field cannot give, the fields after it may. Inside
    a field the draw is uniform (reservoir sampling), and depends on the seed alone.

    Parameters
    ----------
    fields : sequence of TrainingField
        Training fields.
    settings : ImageSettings
        Bands, size, number of cutouts, seed.
    normaliser : ImageNormaliser
        Applied to every cutout.
    folder : path
        Where the cutouts are put: 221 kB each. The caller deletes it.
    progress : callable
        Shows the fields.
    """
    capacity = min(settings.max_cutouts, sum(int(rows.sum()) for _, rows in fields))
    shape = (max(1, capacity), len(settings.bands), settings.size, settings.size)
    x = np.memmap(Path(folder) / "cutouts.float16", np.float16, mode="w+", shape=shape)
    shapes = np.full((capacity, len(SHAPE_COLUMNS)), np.nan)
    filled = 0
    for i, field in progress(enumerate(fields), len(fields), "fields that cutouts are drawn from"):
        share = -(-(capacity - filled) // (len(fields) - i))
        known = field.cube.scalars(SHAPE_COLUMNS)
        drawn = 0
        for place, row, cutouts in _reservoir(
            field, settings, normaliser, share, (settings.seed, i)
        ):
            x[filled + place] = cutouts
            shapes[filled + place] = known[row]
            drawn = max(drawn, int(place.max(initial=-1)) + 1)
        filled += drawn
    return CutoutStore(x[:filled], shapes[:filled])


def _reservoir(
    field: TrainingField,
    settings: ImageSettings,
    normaliser: ImageNormaliser,
    share: int,
    seed: tuple[int, int],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Places below `share`, rows and normalised cutouts; a later one replaces an earlier one."""
    generator = np.random.default_rng([abs(part) for part in seed])
    seen = 0
    for batch in read_cutouts(field.cube, settings, keep=field.rows):
        number = np.arange(seen, seen + len(batch.row))
        place = np.where(number < share, number, generator.integers(number + 1))
        taken = place < share
        seen += len(number)
        # Of two that fall on the same place the last one stays, as if they came one by one.
        x = normaliser.forward(batch.pixels[taken], batch.valid[taken])
        x[~batch.valid[taken]] = np.nan
        yield place[taken], batch.row[taken], x.astype(np.float16)
