"""Ablations: variants of the training, compared object by object."""
