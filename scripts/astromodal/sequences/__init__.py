"""Sequences of tokens: layout, vocabulary, files and batches."""
