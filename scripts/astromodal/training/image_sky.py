"""The sky's noise in a field's first training cutouts, which the normaliser is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.core.files import load_arrays, save_arrays
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.errors import FormatError, must_be
from astromodal.tokenizers.normaliser import ImageNormaliser, sky_sigma

_FORMAT: dict[str, Any] = {"format": "sky_sample", "version": 1}
_CUTOUTS = 2000  # sigmas of the sky: their median over so many is good to a per cent
_OF_FIELD = 64  # one field has one depth


@dataclass(frozen=True)
class SkySample:
    """Sigmas of the sky.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    sigma : float64 (n, B)
        counts/s in each band of each cutout, in row order; NaN where a cutout lacks the band.
    """

    bands: tuple[str, ...]
    sigma: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write an array file."""
        arrays = {"bands": np.array(self.bands, np.str_), "sigma": self.sigma}
        save_arrays(path, arrays, **_FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> SkySample:
        """Read what `save` wrote."""
        stored = load_arrays(path, **_FORMAT)
        return cls(tuple(stored["bands"].tolist()), stored["sigma"])


def sample_sky(cube: Cube, rows: np.ndarray, settings: ImageSettings) -> SkySample:
    """Measure the sky in the first 64 whole cutouts of the `rows`, bool (n,), to be fitted on."""
    sky = [np.empty((0, len(settings.bands)))]
    left = _OF_FIELD
    for batch in read_cutouts(cube, settings, keep=rows):
        sky.append(sky_sigma(batch.pixels[:left], batch.valid[:left]))
        left -= len(sky[-1])
        if not left:
            break
    return SkySample(settings.bands, np.concatenate(sky))


def fit_normaliser(samples: Sequence[SkySample], bands: tuple[str, ...]) -> ImageNormaliser:
    """Learn the arcsinh of each band from all fields' samples.

    Of many fields each gives its first few cutouts only, 2000 in all.

    Raises
    ------
    FormatError
        Where a sample is of other bands.
    """
    share = max(1, min(_OF_FIELD, _CUTOUTS // max(1, len(samples))))
    sky = [np.empty((0, len(bands)))]
    for sample in samples:
        if sample.bands != bands:
            must = f"of bands {' '.join(bands)}"
            do = "run sample_images again"
            raise FormatError(must_be("sky sample", must, " ".join(sample.bands), do))
        sky.append(sample.sigma[:share])
    return ImageNormaliser.fit(bands, np.concatenate(sky))
