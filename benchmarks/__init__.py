"""Benchmarks: our way and another one, side by side in one run. ``python -m benchmarks``."""
