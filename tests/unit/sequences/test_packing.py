"""From token files to a sequence file."""

from __future__ import annotations

import numpy as np
import pytest

from astromodal.config.schema import (
    ImageSettings,
    ScalarSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import MISS, MISSING_CODE
from astromodal.data.splits import Split
from astromodal.errors import FormatError
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import SequenceStore, pack_field
from astromodal.storage.arrays import save_arrays

IDS = np.array([f"i06S-{n}" for n in range(8)])
SCALAR = ScalarSettings(columns=("a", "b", "c"), n_bins=16)
IMAGE = ImageSettings(bands=("R",), size=8, codebook_size=16)

VERSIONS = {"scalar_tokens": 1, "spectrum_tokens": 1, "image_tokens": 3}


@pytest.fixture
def files(tmp_path, layout):
    """Token files of 8 rows, of which 1 to 6 are selected; a function that packs them."""
    rng = np.random.default_rng(0)
    selected = np.arange(1, 7, dtype=np.int32)
    paths = {n: tmp_path / f"{n}.npz" for n in ("scalar_tokens", "spectrum_tokens", "image_tokens")}
    paths["split"] = tmp_path / "split.npz"
    arrays = {
        "scalar_tokens": {
            "ids": IDS[selected], "row": selected, "n_bins": np.array(16),
            "codes": rng.integers(0, 16, (6, 3)).astype(np.uint16),
        },
        "image_tokens": {
            "ids": IDS[[0, 2, 5]], "row": np.array([0, 2, 5], dtype=np.int32),
            "codes": rng.integers(0, 16, (3, 4)).astype(np.uint16),
            "brightness": np.array(
                [[7, 7, 1, 2, 0], [4, 9, 3, MISSING_CODE, MISSING_CODE], [8, 0, 5, 6, 1]], np.uint16
            ),
        },
        "spectrum_tokens": {
            "ids": IDS[[1, 3, 4]], "row": np.array([1, 3, 4], dtype=np.int32),
            # rows 1 and 4 have a live b arm; 3 has none of it, 4 a scale that is missing
            "desi_b_codes": np.arange(32, dtype=np.uint16) % 16,
            "desi_b_indptr": np.array([0, 16, 16, 32]),
            "desi_b_scale": np.array([3, MISSING_CODE, MISSING_CODE], dtype=np.uint16),
            # row 3 has an r arm; nothing is known of row 1's
            "desi_r_codes": np.array([MISSING_CODE] * 16 + [1, MISSING_CODE] * 8, np.uint16),
            "desi_r_indptr": np.array([0, 16, 32, 32]),
            "desi_r_scale": np.array([1, 2, MISSING_CODE], dtype=np.uint16),
        },
    }  # fmt: skip
    split = np.arange(8, dtype=np.uint8) % 3
    Split(IDS, np.arange(8), split, np.isin(np.arange(8), selected)).save(paths["split"])

    def pack(changed: dict | None = None):
        for name, own in arrays.items():
            content = {**own, **(changed or {}).get(name, {})}
            hashes = {"tokenizer_hash": name, "input_hash": "x"}
            save_arrays(paths[name], content, format=name, version=VERSIONS[name], **hashes)
        target = tmp_path / "sequences.safetensors"
        counts = pack_field(**paths, layout=layout, path=target)
        return counts, SequenceStore.open(target)

    return pack


def test_files_are_joined_by_row(files):
    """Objects are the selected rows, each with the blocks that it has and its own split."""
    counts, store = files()
    assert store.row.tolist() == [1, 2, 3, 4, 5, 6]
    assert store.split.tolist() == [1, 2, 0, 1, 2, 0]
    assert store.ids().tolist() == IDS[1:7].tolist()
    has = [{t for t in range(8) if pattern >> t & 1} for pattern in store.pattern]
    assert has == [{2, 3}, {1, 2}, {2, 4}, {2, 3}, {1, 2}, {2}]
    assert counts == {
        "objects": 6, "tokens": len(store.tokens), "image": 2, "scalar": 6,
        "desi_b": 2, "desi_r": 1,
    }  # fmt: skip


def test_a_spectrums_block_is_its_scale_and_its_bins(files, layout):
    """The scale is an id of the group's own column, or MISS; bins are of the group's codebook."""
    _, store = files()
    tokens = store.blocks(np.array([0, 3]), layout["desi_b"])
    spec = layout.spec
    scale = spec.column_offset(spec.scale_column("desi_b"))
    assert tokens[:, 1].tolist() == [scale + 3, MISS]
    wanted = np.arange(32).reshape(2, 16) % 16 + spec.spectrum_offset("desi_b")
    np.testing.assert_array_equal(tokens[:, 2:], wanted)


def test_a_cutouts_block_is_its_brightness_and_its_codes(files, layout):
    """Brightness codes are ids of columns of their own, or MISS; image codes follow."""
    _, store = files()
    tokens = store.blocks(np.array([1, 4]), layout["image"])
    spec = layout.spec
    x, y, flux, core, peak = (spec.column_offset(spec.brightness_column + i) for i in range(5))
    wanted = [[x + 4, y + 9, flux + 3, MISS, MISS], [x + 8, y, flux + 5, core + 6, peak + 1]]
    assert tokens[:, 1:6].tolist() == wanted
    assert ((tokens[:, 6:] >= spec.image_offset) & (tokens[:, 6:] < spec.scalar_offset)).all()


def test_the_file_carries_the_tokenizers_hashes(files):
    """Each modality's tokenizer is known by its hash."""
    hashes = files()[1].tokenizer_hashes
    assert hashes == {
        "scalar": "scalar_tokens", "spectrum": "spectrum_tokens", "image": "image_tokens"
    }  # fmt: skip


def test_packing_again_gives_the_same_bytes(files):
    """A file is a function of its inputs."""
    first = files()[1].path.read_bytes()
    assert files()[1].path.read_bytes() == first


def test_ids_that_differ_between_files_are_refused(files):
    """The error names both files."""
    ids = IDS[[0, 3, 5]]
    with pytest.raises(FormatError, match=r"row 2 in .*image_tokens.npz must .*scalar_tokens.npz"):
        files({"image_tokens": {"ids": ids}})


def test_a_split_of_another_cube_is_refused(files):
    """The split file must be of the rows that the tokens are of."""
    with pytest.raises(FormatError, match=r"row 1 in .*split.npz must be 'other'.*got 'i06S-1'"):
        files({
            "scalar_tokens": {"ids": np.array(["other", *IDS[2:7]])},
            "spectrum_tokens": {"ids": np.array(["other", *IDS[3:5]])},
        })  # fmt: skip


def test_a_row_beyond_the_split_is_refused(files):
    """A row that the split file does not have is no object of that cube."""
    row = np.array([1, 2, 3, 4, 5, 9], dtype=np.int32)
    with pytest.raises(FormatError, match=r"id of row 9 in .*split.npz must be .*got 8 rows"):
        files({"scalar_tokens": {"row": row}})


def test_spectra_of_another_length_are_refused(files):
    """Bins of another config do not fit the block."""
    indptr = np.array([0, 15, 15, 31])
    with pytest.raises(FormatError, match="desi_b spectra must be of 16 bins, got 15"):
        files({"spectrum_tokens": {"desi_b_indptr": indptr}})


def test_a_light_curves_block_is_its_median_and_its_first_epochs(tmp_path):
    """MISS after the last epoch; a curve that is cut, and is an object's, is counted."""
    spectrum = SpectrumSettings(groups=("ztf_r",), codebook_size=16, max_epochs=3)
    layout = sequence_layout(TokenizerSettings(scalar=SCALAR, spectrum=spectrum, image=IMAGE))
    assert layout["ztf_r"].length == 4
    row = np.arange(4, dtype=np.int32)
    common = {"ids": IDS[:4], "row": row}
    arrays = {
        "scalar_tokens": {
            "ids": IDS[:3], "row": row[:3], "codes": np.zeros((3, 3), np.uint16),
        },
        "image_tokens": {
            "ids": IDS[:0], "row": row[:0], "codes": np.zeros((0, 4), np.uint16),
            "brightness": np.zeros((0, 5), np.uint16),
        },
        "spectrum_tokens": {
            # curves of 2, 0, 5 and 4 epochs; row 3 is no object
            **common, "ztf_r_codes": np.arange(11, dtype=np.uint16),
            "ztf_r_indptr": np.array([0, 2, 2, 7, 11]),
            "ztf_r_scale": np.array([5, MISSING_CODE, 6, 7], dtype=np.uint16),
        },
    }  # fmt: skip
    for name, own in arrays.items():
        hashes = {"tokenizer_hash": name, "input_hash": "x"}
        save_arrays(tmp_path / f"{name}.npz", own, format=name, version=VERSIONS[name], **hashes)
    Split(IDS[:4], row.astype(np.int64), np.zeros(4, np.uint8), np.ones(4, bool)).save(
        tmp_path / "split.npz"
    )
    paths = {name: tmp_path / f"{name}.npz" for name in (*arrays, "split")}
    counts = pack_field(**paths, layout=layout, path=tmp_path / "s.safetensors")
    assert (counts["ztf_r"], counts["ztf_r cut"]) == (2, 1)
    tokens = SequenceStore.open(tmp_path / "s.safetensors").blocks(
        np.array([0, 2]), layout["ztf_r"]
    )
    spec = layout.spec
    scale, first = spec.column_offset(spec.scale_column("ztf_r")), spec.spectrum_offset("ztf_r")
    assert tokens[0, 1:].tolist() == [scale + 5, first, first + 1, MISS]
    assert tokens[1, 1:].tolist() == [scale + 6, first + 2, first + 3, first + 4]


def test_a_cutout_without_any_code_is_no_block(files):
    """Where the image tokenizer was trained on nothing, no object has an image."""
    missing = np.full((3, 4), MISSING_CODE, dtype=np.uint16)
    some = missing.copy()
    some[1, 0] = 7
    counts = [files({"image_tokens": {"codes": codes}})[0]["image"] for codes in (missing, some)]
    assert counts == [0, 1]
