"""The layout of a sequence: its blocks, and the ids that are legal in each slot.

A sequence is ``BOS, (SEP block)..., EOS``. The number of a block's slots depends on the config
alone: the 38 brightness codes of a cutout and then its 576 image codes; all scalar columns; the
scale of a spectrum and then its bins; the median magnitude of a light curve and then its epochs in
time order, MISS after the last one. A SEP has the token type of the block after it, so that the
legal ids of the next token are always known. Only scalars have no token where they are missing.
Scalars that are predicted are asked in a block of their own, at the end: one token each, which says
which column is asked and holds no value. Of a block that is predicted whole every token after the
SEP is MISS, and it stands after all that is shown.

This module does not import torch: the Snakefile checks the longest sequence before any job runs.
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
from astromodal.surveys.registry import light_curves, spectrum_group

IMAGE, SCALAR, SPECTRUM = "image", "scalar", "spectrum"
MODALITIES = (IMAGE, SCALAR, SPECTRUM)
PATCH = 4
"""Side (pixel) of the patch of a cutout that one image code stands for."""


@dataclass(frozen=True)
class Range:
    """Consecutive ids that are legal in consecutive slots of a block.

    Slot ``first + i``, for i below `n_slots`, takes one of `size` ids, the first of which is
    ``offset + i * stride``. All slots share their ids where the stride is 0.
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
        Number of slots, without the SEP.
    ranges : tuple of Range
        Legal ids, slot by slot, in order.
    """

    name: str
    type: int
    length: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True)
class SequenceLayout:
    """All blocks that a sequence can hold, in the order of their types."""

    spec: VocabSpec
    blocks: tuple[Block, ...]

    @property
    def longest(self) -> int:
        """Number of tokens of an object that has every block, some columns asked, and a query."""
        return 4 + sum(1 + block.length for block in self.blocks)

    def __getitem__(self, name: str) -> Block:
        return next(block for block in self.blocks if block.name == name)

    def of_type(self, type: int) -> Block:
        """Return the block of a token type."""
        return self.blocks[type - TYPE_IMAGE]

    def number(self, name: str) -> int:
        """Return the number of a block among `blocks`."""
        return next(i for i, block in enumerate(self.blocks) if block.name == name)

    @property
    def hideable(self) -> tuple[int, ...]:
        """Numbers of the blocks that are predicted whole: cutouts and spectra.

        Of scalars, columns are asked. The length of light curves is not modelled.
        """
        curves = light_curves(block.name for block in self.groups())
        names = (SCALAR, *curves)
        return tuple(i for i, block in enumerate(self.blocks) if block.name not in names)

    def groups(self) -> Iterator[Block]:
        """Return the blocks of the spectrum groups."""
        return (block for block in self.blocks if block.type > TYPE_SCALAR)


def vocab_spec(
    scalar: ScalarSettings, spectrum: SpectrumSettings, image: ImageSettings
) -> VocabSpec:
    """Return the vocabulary of a config's tokenizers."""
    n_brightness = len(image.brightness_columns)
    return build_vocab_spec(
        v_image=image.codebook_size,
        v_scalar=(len(scalar.columns) + n_brightness + len(spectrum.groups)) * scalar.n_bins,
        v_spectra=spectrum.codebook_size,
        spectrum_groups=spectrum.groups,
        n_bins=scalar.n_bins,
        n_brightness=n_brightness,
    )


def sequence_layout(tokenizers: TokenizerSettings) -> SequenceLayout:
    """Return the layout of the sequences of a config's tokenizers."""
    scalar, spectrum, image = tokenizers.scalar, tokenizers.spectrum, tokenizers.image
    spec = vocab_spec(scalar, spectrum, image)
    n_columns, size = len(scalar.columns), scalar.n_bins
    head, n_codes = spec.n_brightness, (image.size // PATCH) ** 2
    first = spec.column_offset(spec.brightness_column)
    brightness = Range(SCALAR, 0, head, first, size, size)
    codes = Range(IMAGE, head, n_codes, spec.image_offset, spec.v_image, 0)
    columns = Range(SCALAR, 0, n_columns, spec.scalar_offset, size, size)
    blocks = [
        Block(IMAGE, TYPE_IMAGE, head + n_codes, (brightness, codes)),
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
    """Return the number of tokens of the longest sequence of a config."""
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
