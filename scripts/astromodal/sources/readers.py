"""The reader of each kind of raw files."""

from __future__ import annotations

from typing import Final

from astromodal.config.sources import SourceSettings
from astromodal.sources.base import Reader
from astromodal.sources.catalogues import CatalogueReader
from astromodal.sources.desi import DesiReader
from astromodal.sources.gaia_xp import GaiaXPReader
from astromodal.sources.light_curves import LightCurveReader
from astromodal.sources.sdss import SdssReader

READERS: Final[dict[str, type[Reader]]] = {
    "catalogue": CatalogueReader,
    "gaia_xp": GaiaXPReader,
    "desi_coadd": DesiReader,
    "sdss_spec": SdssReader,
    "light_curves": LightCurveReader,
}
"""Readers by kind; images have positions of their own and are read by `ImageSource`."""


def reader_of(name: str, settings: SourceSettings) -> Reader:
    """Return the reader of a source that is not of images."""
    return READERS[settings.kind](name, settings)
