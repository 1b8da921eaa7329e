"""Files that a raw file is read together with; a change of one is a change of the other."""

from __future__ import annotations

from pathlib import Path

from astromodal.config.sources import SourceSettings


def redrock_path(coadd: Path) -> Path | None:
    """Return the file with a DESI coadd's redshifts; None where its name has no ``coadd-``."""
    name = coadd.name
    if not name.startswith("coadd-"):
        return None
    return coadd.with_name("redrock-" + name.removeprefix("coadd-"))


def companions(settings: SourceSettings, path: Path) -> tuple[Path, ...]:
    """Return the files beside a raw file that its reader reads too, whether they exist or not."""
    beside = redrock_path(path) if settings.kind == "desi_coadd" else None
    return () if beside is None else (beside,)
