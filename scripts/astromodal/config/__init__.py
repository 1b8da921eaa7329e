"""The configuration: what may be set, how it is read, and its documentation."""

from astromodal.config.load import load_config
from astromodal.config.schema import Config

__all__ = ["Config", "load_config"]
