"""Which rows are worth fitting on, encoding as scalars and learning from."""

from __future__ import annotations

import numpy as np

from astromodal.config.schema import SelectionSettings
from astromodal.data.columns import NAME_CUT
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
    cube.require(settings.column, NAME_CUT)
    magnitude = cube.scalar(settings.column)
    return (magnitude >= settings.minimum) & (magnitude <= settings.maximum)


def count_cut(cube: Cube, settings: SelectionSettings) -> dict[str, int]:
    """Why rows are not selected.

    Returns
    -------
    dict
        Rows that have no magnitude (``missing``), and rows outside the cut at its bright and its
        faint end (``brighter``, ``fainter``); all 0 where the cut's column is null.

    Raises
    ------
    DataError
        Where the cube has no such column.
    """
    if settings.column is None:
        return {"missing": 0, "brighter": 0, "fainter": 0}
    cube.require(settings.column, NAME_CUT)
    magnitude = cube.scalar(settings.column)
    return {
        "missing": int(np.isnan(magnitude).sum()),
        "brighter": int((magnitude < settings.minimum).sum()),
        "fainter": int((magnitude > settings.maximum).sum()),
    }
