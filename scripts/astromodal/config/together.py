"""Settings of different groups that must suit each other, in a whole configuration.

A job is given a part of it, in which others have their defaults: these are checked in the plan.
"""

from __future__ import annotations

from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be


def check_together(config: Config) -> None:
    """Raise `ConfigError` where settings contradict each other."""
    columns = config.columns
    _distinct({"columns.id": columns.id, "columns.ra": columns.ra, "columns.dec": columns.dec})
    labels = config.evaluation.labels
    stellar = {f"evaluation.labels.stellar ({name})": name for name in labels.stellar}
    _distinct({"evaluation.labels.redshift": labels.redshift, **stellar})


def _distinct(columns: dict[str, str | None]) -> None:
    """Raise `ConfigError` where two settings name the same column."""
    first: dict[str, str] = {}
    for setting, column in columns.items():
        if column is not None and first.setdefault(column, setting) != setting:
            must = f"another column than {first[column]}"
            raise ConfigError(must_be(setting, must, f"{column!r} in both"))
