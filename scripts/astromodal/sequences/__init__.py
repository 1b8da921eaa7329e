"""Sequences of tokens: their layout, vocabulary, files and batches."""
