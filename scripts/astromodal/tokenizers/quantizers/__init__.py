"""Quantizers: vectors to codes of a codebook, and back."""
