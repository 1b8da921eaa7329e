"""The configuration: models of all settings, reading of files, and generated documentation."""

from astromodal.config.load import load_config
from astromodal.config.schema import Config

__all__ = ["Config", "load_config"]
