"""What every other part stands on: files, hashes, paths and the vocabulary."""

from astromodal.core.vocab import VocabSpec, build_vocab_spec

__all__ = ["VocabSpec", "build_vocab_spec"]
