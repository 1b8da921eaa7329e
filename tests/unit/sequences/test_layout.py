"""The layout of sequences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import astromodal
from astromodal.config.schema import (
    Config,
    ImageSettings,
    SequenceSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.errors import ConfigError
from astromodal.sequences.layout import check_longest, longest_sequence, sequence_layout


def test_blocks_of_the_default_config():
    """38 brightness and 576 image codes; 55 scalars; scale and codes of each group, by type."""
    tokenizers = Config().tokenizers
    layout = sequence_layout(tokenizers)
    assert [(b.name, b.type, b.length) for b in layout.blocks] == [
        ("image", 1, 614),
        ("scalar", 2, 55),
        ("desi_b", 3, 472),
        ("desi_r", 4, 401),
        ("desi_z", 5, 494),
        ("gaiaxp_bp", 6, 57),
        ("gaiaxp_rp", 7, 57),
    ]


def test_longest_sequence_by_hand():
    """BOS, EOS, a SEP for each block besides its slots, one for asked columns, a query."""
    assert longest_sequence(Config().tokenizers) == 2 + 615 + 56 + 2 + 473 + 402 + 495 + 58 + 58


def test_ranges_cover_every_slot_once(layout):
    """The ranges of a block divide its slots among them."""
    for block in layout.blocks:
        slots = [r.first + i for r in block.ranges for i in range(r.n_slots)]
        assert slots == list(range(block.length))


def test_ranges_are_the_vocabularys(layout):
    """Each range starts where the vocabulary puts it: columns, brightness, then scales."""
    spec = layout.spec
    brightness, codes = layout["image"].ranges
    assert (brightness.offset, brightness.n_slots) == (spec.column_offset(3), 5)
    assert (codes.offset, codes.first) == (spec.image_offset, 5)
    assert layout["scalar"].ranges[0].offset == spec.column_offset(0)
    scale, bins = layout["desi_r"].ranges
    assert scale.offset == spec.column_offset(spec.scale_column("desi_r"))
    assert bins.offset == spec.spectrum_offset("desi_r")


def test_ids_do_not_depend_on_which_groups_have_data():
    """A group left out of the data keeps its ids: only the config decides."""
    assert sequence_layout(TokenizerSettings()) == sequence_layout(TokenizerSettings())
    fewer = sequence_layout(TokenizerSettings(spectrum=SpectrumSettings(groups=("desi_b",))))
    assert fewer["image"].ranges == sequence_layout(TokenizerSettings())["image"].ranges


def test_a_max_seq_len_that_is_exceeded_is_refused():
    """The error names the setting and the least value that would do."""
    with pytest.raises(ConfigError, match=r"sequences.max_seq_len must be at least 2161.*got 2160"):
        check_longest(TokenizerSettings(), SequenceSettings(max_seq_len=2160))


def test_a_max_seq_len_that_just_fits_is_taken():
    """The longest sequence itself fits."""
    check_longest(TokenizerSettings(), SequenceSettings(max_seq_len=2161))


def test_the_layout_needs_no_torch():
    """The Snakefile checks lengths without loading PyTorch, scikit-learn or pyarrow."""
    heavy = "{'torch', 'sklearn', 'pyarrow'} & set(sys.modules)"
    code = f"import sys, astromodal.sequences.layout; sys.exit(bool({heavy}))"
    folder = Path(astromodal.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0


def test_brightness_columns_are_the_place_and_three_a_band():
    """The place first; of the three columns a band, all fluxes first."""
    assert ImageSettings(bands=("U", "R")).brightness_columns == (
        "image_x", "image_y", "image_flux_U", "image_flux_R", "image_concentration_U",
        "image_concentration_R", "image_peak_U", "image_peak_R",
    )  # fmt: skip
