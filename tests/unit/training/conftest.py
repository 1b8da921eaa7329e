"""The fixtures of a tiny survey in tokens."""

from helpers.survey import layout, survey

__all__ = ["layout", "survey"]
