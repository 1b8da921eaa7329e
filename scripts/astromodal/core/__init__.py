"""Paths, fields, the joint vocabulary, progress and threads, which other packages build on."""

from astromodal.core.vocab import VocabSpec, build_vocab_spec

__all__ = ["VocabSpec", "build_vocab_spec"]
