"""The jobs that read a cube, one after another as a run would do them, at the smallest sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.schema import (
    Config,
    ScalarSettings,
    SpectrumSettings,
    TokenizerSettings,
)
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import cube_columns, modality_columns
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.data.summary import summarise_field
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import SequenceStore, pack_field
from astromodal.sequences.tokenizers import Tokenizers
from astromodal.surveys.registry import spectrum_group
from astromodal.tokenizers.images.normaliser import sample_sky
from astromodal.tokenizers.images.shards import CutoutShard, write_shard
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, encode_field_scalars
from astromodal.tokenizers.spectra.codebook import sample_features, train_codebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from helpers.cutouts import NORMALISER, image_tokenizer
from helpers.cutouts import SETTINGS as IMAGE
from helpers.light_curves import curve_columns
from helpers.model import COLUMNS, N_BINS, cube_table, scalars
from helpers.spectra import xp_columns_of, xp_spectrum

FIELD = "ZOO-1"
N = 12
"""Rows of the good cube."""
GROUPS = ("desi_r", "gaiaxp_bp", "ztf_r")
CONFIG = Config(
    tokenizers=TokenizerSettings(
        scalar=ScalarSettings(columns=COLUMNS, n_bins=N_BINS),
        spectrum=SpectrumSettings(
            groups=GROUPS,
            codebook_size=16,
            max_spec_tokens_per_group=16,
            xp_samples=20,
            max_epochs=8,
            iterations=2,
        ),
        image=IMAGE,
    )
)
LAYOUT = sequence_layout(CONFIG.tokenizers)

Codes = dict[tuple[str, int], Any]
"""By column, group or ``image``, and row: a code, codes, or None where the row has none."""


@dataclass(frozen=True)
class Outcome:
    """What the jobs made of a cube: its summary, its codes, and the rows that became objects."""

    summary: dict[str, Any]
    codes: Codes
    selected: np.ndarray


def good_table() -> pa.Table:
    """A cube in which nothing is wrong: every kind of measurement on some of its rows."""
    table = cube_table(N)
    xp = [xp_spectrum(row) if row % 4 == 0 else None for row in range(N)]
    curves = curve_columns(N, most=60)
    for name, values in {**xp_columns_of(xp), **curves}.items():
        if not name.endswith(("_g", "_i")):
            table = table.append_column(name, pa.array(values))
    return table


@cache
def tokenizers(path: Path) -> Tokenizers:
    """Tokenizers fitted once, on the good cube at `path` and on scalars of more rows like it."""
    values = scalars(200)
    table = np.stack([values[name] for name in COLUMNS], axis=1)
    scalar = ScalarTokenizer.fit(ColumnSummaries.of(table, COLUMNS), COLUMNS, N_BINS)
    settings = CONFIG.tokenizers.spectrum
    samples = sample_features(Cube(path, FIELD), settings, np.ones(N, bool), seed=0)
    codebooks = [train_codebook(samples[group], group, settings) for group in GROUPS]
    spectrum = SpectrumTokenizer.assemble(codebooks, settings, N_BINS)
    return Tokenizers(scalar, spectrum, image_tokenizer())


def run_jobs(
    path: Path, fitted: Tokenizers, folder: Path, meanwhile: Callable[[], None] = lambda: None
) -> Outcome:
    """Split, summarise, sample, encode and pack the cube at `path`.

    Every job opens the cube anew, as in a run, and makes sure at its end that it is unchanged;
    `meanwhile` is called before that.
    """
    parts = CONFIG.tokenizers
    image = parts.image

    def job(work: Callable[[Cube], Any]) -> Any:
        cube = Cube(path, FIELD, CONFIG.columns)
        made = work(cube)
        meanwhile()
        cube.require_unchanged()
        return made

    split = job(lambda cube: split_field(cube, CONFIG.split, CONFIG.selection))
    read, cut = modality_columns(cube_columns(CONFIG)), CONFIG.selection
    summary = job(
        lambda cube: summarise_field(cube, split, COLUMNS, parts.spectrum, image, cut, read)
    )
    rows = split.fit_rows()
    job(lambda cube: ColumnSummaries.of(cube.scalars(COLUMNS)[rows], COLUMNS))
    samples = job(lambda cube: sample_features(cube, parts.spectrum, split.selected, seed=0))
    sky = job(lambda cube: sample_sky(cube, split.selected, image))
    files = folder / "pixels.npy", folder / "pixels.npz"
    job(lambda cube: write_shard(*files, cube, split.selected, N, NORMALISER, image))
    _check_samples(samples, sky, CutoutShard.open(*files))
    scalar = job(lambda cube: encode_field_scalars(cube, split, fitted.scalar))
    spectra = job(lambda cube: encode_field_spectra(cube, fitted.spectrum))
    images, _ = job(lambda cube: encode_field_images(cube, fitted.image, image))
    made = {"scalar_tokens": scalar, "spectrum_tokens": spectra, "image_tokens": images}
    paths = {name: folder / f"{name}.npz" for name in (*made, "split")}
    for name, result in {**made, "split": split}.items():
        result.save(paths[name])
    packed = folder / "sequences.safetensors"
    counts = pack_field(**paths, layout=LAYOUT, path=packed)
    codes = _codes(len(split.ids), scalar, spectra, images)
    _check_packed(SequenceStore.open(packed), counts, codes, split)
    return Outcome(summary, codes, split.selected)


def write(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a table as cubes are written, with checksums of its pages."""
    pq.write_table(table, path, **{"write_page_checksum": True, **options})


def _codes(n_rows: int, scalar: Any, spectra: Any, images: Any) -> Codes:
    """Everything that was encoded, row by row."""
    codes: Codes = {
        (name, row): None for name in (*COLUMNS, *GROUPS, "image") for row in range(n_rows)
    }
    for row, of_row in zip(scalar.row.tolist(), scalar.codes.tolist(), strict=True):
        codes |= {(name, row): code for name, code in zip(COLUMNS, of_row, strict=True)}
    for group, tokens in spectra.groups.items():
        for i, row in enumerate(spectra.row.tolist()):
            found = spectra.codes(group, i).tolist()
            if found:
                codes[group, row] = (int(tokens.scale[i]), *found)
    every = np.concatenate([images.brightness, images.codes], axis=1)
    for row, of_row in zip(images.row.tolist(), every.tolist(), strict=True):
        codes["image", row] = tuple(of_row)
    return codes


def _check_samples(samples: Any, sky: Any, shard: CutoutShard) -> None:
    """What tokenizers learn from is made of numbers."""
    for group in GROUPS:
        features = samples[group].features
        if spectrum_group(group).kind == "spectrum":
            assert not np.isinf(features).any(), group
            features = features[:, :-1]  # levels of noise have no precision
        assert np.isfinite(features).all(), group
        assert np.isfinite(samples[group].scale).all(), group
    assert not np.isinf(sky.sigma).any()
    assert not np.isinf(shard.x).any()


def _check_packed(store: SequenceStore, counts: dict[str, int], codes: Codes, split: Any) -> None:
    """The sequences hold the selected rows, and of each the blocks that it has codes of."""
    store.verify()
    assert store.row.tolist() == np.flatnonzero(split.selected).tolist()
    assert store.ids().tolist() == split.ids[split.selected].tolist()
    for name in (*GROUPS, "image"):
        has = [codes[name, row] is not None for row in store.row.tolist()]
        assert counts[name] == sum(has), name


def check_summary(outcome: Outcome, fitted: Tokenizers, n_short: int) -> None:
    """What is missing is counted: the summary's numbers are those of the codes."""
    summary, codes = outcome.summary, outcome.codes
    rows = range(summary["n_rows"])
    assert summary["n_selected"] == outcome.selected.sum()
    for name, used in zip(COLUMNS, fitted.scalar.n_codes.tolist(), strict=True):
        known = sum(codes[name, row] not in (None, MISSING_CODE) for row in rows)
        assert not used or summary["scalars"][name] == known, name
    for group in GROUPS:
        known = sum(codes[group, row] is not None for row in rows)
        assert summary["spectra"][group]["n_live"] == known, group
    assert summary["images"]["n_whole"] == sum(codes["image", row] is not None for row in rows)
    assert summary["images"]["n_short"] == n_short
