"""Datacubes: reading, checking, selecting, splitting and summarising them."""
