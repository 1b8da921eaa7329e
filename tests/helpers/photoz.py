"""qp, for tests of redshift distributions."""

from __future__ import annotations

import qp
import qp.metrics.pit

__all__ = ["qp"]
