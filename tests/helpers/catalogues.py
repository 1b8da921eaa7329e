"""LSDB, for tests of HATS catalogues."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # LSDB sets an option that pandas 3 deprecates.
    warnings.filterwarnings("ignore", "The 'mode.chained_assignment' option")
    import lsdb

__all__ = ["lsdb"]
