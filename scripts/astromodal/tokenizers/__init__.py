"""Tokenizers: each learns (`fit`), encodes values to codes and decodes codes to values."""
