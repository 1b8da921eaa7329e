"""The layout of a sequence: which blocks it can hold, and which ids are legal in each slot.

A sequence is ``BOS, (SEP block)..., EOS``. A block has a fixed number of slots, known from the
config alone: 576 image codes; every scalar column; a spectrum's scale and then its bins; a light
curve's median magnitude and then its epochs in time order, MISS after the last. A SEP has the token
type of the block that follows, so the ids that are legal next are always known.

Nothing here imports torch: the Snakefile checks the longest sequence before any job runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from astromodal.config.schema import (
    ImageSettings,
    ScalarSettings,
    SequenceSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import (
    TYPE_IMAGE,
    TYPE_SCALAR,
    VocabSpec,
    build_vocab_spec,
)
from astromodal.errors import ConfigError, must_be
from astromodal.surveys.registry import spectrum_group

IMAGE, SCALAR, SPECTRUM = "image", "scalar", "spectrum"
MODALITIES = (IMAGE, SCALAR, SPECTRUM)
PATCH = 4
"""Pixels of a cutout's side that one image code stands for."""


@dataclass(frozen=True)
class Range:
    """Consecutive ids that are legal in consecutive slots of a block.

    Slot ``first + i`` of the ``n_slots`` slots takes one of the `size` ids from
    ``offset + i * stride`` on; a stride of 0 gives all of them the same ids.
    """

    modality: str
    first: int
    n_slots: int
    offset: int
    size: int
    stride: int


@dataclass(frozen=True)
class Block:
    """One kind of block: ``image``, ``scalar`` or a spectrum group.

    Attributes
    ----------
    name : str
        ``image``, ``scalar``, or the group's name.
    type : int
        Token type of its SEP and of all its tokens.
    length : int
        Slots, the SEP not counted.
    ranges : tuple of Range
        Legal ids, slot by slot, in order.
    """

    name: str
    type: int
    length: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True)
class SequenceLayout:
    """Every block that a sequence can hold, in their fixed order, which is that of their types."""

    spec: VocabSpec
    blocks: tuple[Block, ...]

    @property
    def longest(self) -> int:
        """Tokens of an object that has every block."""
        return 2 + sum(1 + block.length for block in self.blocks)

    def __getitem__(self, name: str) -> Block:
        return next(block for block in self.blocks if block.name == name)

    def of_type(self, type: int) -> Block:
        """The block of a token type."""
        return self.blocks[type - TYPE_IMAGE]

    def groups(self) -> Iterator[Block]:
        """The spectrum groups' blocks."""
        return (block for block in self.blocks if block.type > TYPE_SCALAR)


def vocab_spec(
    scalar: ScalarSettings, spectrum: SpectrumSettings, image: ImageSettings
) -> VocabSpec:
    """The vocabulary that a config's tokenizers share."""
    return build_vocab_spec(
        v_image=image.codebook_size,
        v_scalar=(len(scalar.columns) + len(spectrum.groups)) * scalar.n_bins,
        v_spectra=spectrum.codebook_size,
        spectrum_groups=spectrum.groups,
        n_bins=scalar.n_bins,
    )


def sequence_layout(tokenizers: TokenizerSettings) -> SequenceLayout:
    """The layout of the sequences that a config's tokenizers make."""
    scalar, spectrum, image = tokenizers.scalar, tokenizers.spectrum, tokenizers.image
    spec = vocab_spec(scalar, spectrum, image)
    n_codes = (image.size // PATCH) ** 2
    codes = Range(IMAGE, 0, n_codes, spec.image_offset, spec.v_image, 0)
    n_columns, size = len(scalar.columns), scalar.n_bins
    columns = Range(SCALAR, 0, n_columns, spec.scalar_offset, size, size)
    blocks = [
        Block(IMAGE, TYPE_IMAGE, n_codes, (codes,)),
        Block(SCALAR, TYPE_SCALAR, n_columns, (columns,)),
    ]
    for group in spec.spectrum_groups:
        length = spectrum_group(group).n_slots(spectrum)
        scale = spec.column_offset(spec.scale_column(group))
        ranges = (
            Range(SCALAR, 0, 1, scale, size, 0),
            Range(SPECTRUM, 1, length, spec.spectrum_offset(group), spec.v_spectra, 0),
        )
        blocks.append(Block(group, spec.spectrum_type(group), 1 + length, ranges))
    return SequenceLayout(spec, tuple(blocks))


def longest_sequence(tokenizers: TokenizerSettings) -> int:
    """Tokens of the longest sequence that a config can make."""
    return sequence_layout(tokenizers).longest


def check_longest(tokenizers: TokenizerSettings, sequences: SequenceSettings) -> None:
    """Raise `ConfigError` where the config's longest sequence exceeds ``max_seq_len``."""
    longest = longest_sequence(tokenizers)
    if longest > sequences.max_seq_len:
        raise ConfigError(
            must_be(
                "sequences.max_seq_len",
                f"at least {longest}, the tokens of an object that has every block",
                sequences.max_seq_len,
                "raise it, or lower tokenizers.spectrum.max_spec_tokens_per_group or max_epochs",
            )
        )
