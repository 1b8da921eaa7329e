"""Which rows are worth fitting on, encoding as scalars and learning from."""

from __future__ import annotations

import numpy as np

from astromodal.config.schema import SelectionSettings
from astromodal.data.cube import Cube


def select(cube: Cube, settings: SelectionSettings) -> np.ndarray:
    """Apply the magnitude cut.

    Returns
    -------
    bool (n,)
        True where the magnitude lies in [minimum, maximum]; a missing magnitude does not.
        Everything is selected where the cut's column is null in the config.

    Raises
    ------
    DataError
        Where the cube has no such column.
    """
    if settings.column is None:
        return np.ones(cube.n_rows, dtype=bool)
    cube.require(settings.column)
    magnitude = cube.scalar(settings.column)
    return (magnitude >= settings.minimum) & (magnitude <= settings.maximum)
