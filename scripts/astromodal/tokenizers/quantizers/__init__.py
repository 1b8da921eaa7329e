"""Quantizers: points to codes of a codebook, and back."""
