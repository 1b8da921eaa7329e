"""Encoding of cubes and tables into sequences, and embeddings of the objects."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from astromodal.config.evaluate import QUERY
from astromodal.config.schema import (
    ColumnSettings,
    ImageSettings,
    SelectionSettings,
    SplitSettings,
)
from astromodal.core.vocab import MISS, MISSING_CODE
from astromodal.data.check import misspelt
from astromodal.data.columns import cutout_column
from astromodal.data.cube import Cube
from astromodal.data.splits import split_field
from astromodal.errors import ConfigError, DataError, must_be, suggestion
from astromodal.inference.bundle import Bundle
from astromodal.inference.frame_values import columns_read
from astromodal.inference.frames import FrameCube, frame_cube
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SequenceLayout
from astromodal.sequences.order import plan_epoch
from astromodal.sequences.store import pack_field
from astromodal.sequences.tokenizers import check_hashes
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.scalars.tokenizer import encode_field_scalars
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from astromodal.training.views import query_states


@dataclass(frozen=True)
class Encoded:
    """Encoded objects, with the codes of all their blocks; ``objects[mask]`` selects some of them.

    Attributes
    ----------
    sequences : SequenceSet
        Sequences of one or several fields, or of the rows of a table.
    numbers : int64 (n,)
        Numbers of the objects in `sequences`.
    """

    sequences: SequenceSet
    numbers: np.ndarray

    @classmethod
    def every(cls, sequences: SequenceSet) -> Encoded:
        """Return all objects of a sequence set."""
        return cls(sequences, np.arange(len(sequences)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: np.ndarray | slice) -> Encoded:
        """Return some of the objects, by a mask (n,), positions or a slice."""
        return Encoded(self.sequences, self.numbers[which])

    @property
    def layout(self) -> SequenceLayout:
        """Layout of the sequences."""
        return self.sequences.layout

    @cached_property
    def ids(self) -> np.ndarray:
        """Ids of the objects, unicode (n,)."""
        return np.array([self.sequences.id(int(i)) for i in self.numbers], dtype=np.str_)

    @property
    def row(self) -> np.ndarray:
        """Rows in the cube of each object's field, int64 (n,)."""
        return self.sequences.places(self.numbers)[1]

    def has(self, block: str) -> np.ndarray:
        """Return which objects have a block, bool (n,).

        Raises
        ------
        DataError
            If the model has no such block.
        """
        names = [known.name for known in self.layout.blocks]
        if block not in names:
            message = must_be("block", f"one of {', '.join(names)}", block)
            raise DataError(message + suggestion(block, names))
        return ((self.sequences.pattern[self.numbers] >> self.layout[block].type) & 1).astype(bool)

    def codes(self, block: str) -> np.ndarray:
        """Return the codes of a block, uint16 (m, slots), of the m objects that have it.

        Missing values are 65535. The first slot of a spectrum group is the scale; the first ones of
        a cutout are its brightness.
        """
        objects = self.numbers[self.has(block)]
        names = [known.name for known in self.layout.blocks]
        tokens = self.sequences.block_tokens(objects, names.index(block))[:, 1:]
        codes = np.full(tokens.shape, MISSING_CODE, dtype=np.uint16)
        for ids in self.layout[block].ranges:
            slots = slice(ids.first, ids.first + ids.n_slots)
            first = ids.offset + ids.stride * np.arange(ids.n_slots)
            present = tokens[:, slots] != MISS
            codes[:, slots] = np.where(present, tokens[:, slots] - first, MISSING_CODE)
        return codes


def open_sequences(paths: Sequence[str | Path], bundle: Bundle) -> Encoded:
    """Open sequence files of the workflow.

    Raises
    ------
    FormatError
        If a file was packed for another vocabulary, or encoded with other tokenizers.
    """
    sequences = SequenceSet(paths, bundle.layout)
    first = sequences.stores[0]  # all others have the same tokenizers
    check_hashes(bundle.trained.vocabulary, first.tokenizer_hashes, str(first.path))
    return Encoded.every(sequences)


def encode_cube(source: Any, bundle: Bundle, columns: ColumnSettings | None) -> Encoded:
    """Encode every row of a cube with the code of the workflow's jobs; see `AstroModel.encode`."""
    with TemporaryDirectory(prefix="astromodal-") as folder:
        cube = _as_cube(source, Path(folder) / "rows.parquet", bundle, columns)
        path = Path(folder) / "sequences.safetensors"
        _encode(cube, bundle, Path(folder), path)
        # The memory map stays valid after the folder is deleted.
        return Encoded.every(SequenceSet([path], bundle.layout))


def _encode(cube: Cube, bundle: Bundle, folder: Path, path: Path) -> None:
    """Write the sequences of all rows of a cube to `path`, and intermediate files to `folder`."""
    tokenizers = bundle.tokenizers
    _check_bands(cube, tokenizers.image.bands)
    _check_columns(cube, columns_read(tokenizers, cube.settings))
    split = split_field(cube, SplitSettings(), SelectionSettings(column=None))
    names = ("scalars", "spectra", "images", "split")
    scalars, spectra, images, rows = (folder / f"{name}.npz" for name in names)
    encode_field_scalars(cube, split, tokenizers.scalar).save(scalars)
    encode_field_spectra(cube, tokenizers.spectrum).save(spectra)
    cutouts = ImageSettings(bands=tokenizers.image.bands, size=tokenizers.image.autoencoder.size)
    encode_field_images(cube, tokenizers.image, cutouts)[0].save(images)
    split.save(rows)
    pack_field(scalars, spectra, images, rows, bundle.layout, path)


def _as_cube(source: Any, path: Path, bundle: Bundle, columns: ColumnSettings | None) -> Cube:
    """Return a cube, open the file of one, or write a table to `path` and open it as a cube."""
    if isinstance(source, Cube):
        return source
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            got = "a folder" if Path(source).is_dir() else "no file"
            raise DataError(must_be(str(source), "a cube, a parquet file", got))
        name = Path(source).stem.removeprefix("datacube_")
        return Cube(source, name, columns)
    return frame_cube(source, path, partial(columns_read, bundle.tokenizers), columns)


def _check_columns(cube: Cube, read: Collection[str]) -> None:
    """Raise `DataError` if the model reads none of the columns; warn of names that look misspelt.

    A column that is absent is a missing value, but a misspelt one is a mistake.
    """
    placed = {cube.settings.id, cube.settings.ra, cube.settings.dec, *cube.settings.flags}
    measured = [name for name in read if name not in placed]
    if cube.n_rows and cube.columns.isdisjoint(measured):
        must = f"some of those that the model reads, such as {', '.join(measured[:4])}"
        got = f"none of them, but {', '.join(sorted(cube.columns)[:6])}"
        do = "see model.columns, and docs/columns.md"
        raise DataError(must_be(_named("columns of", cube), must, got, do))
    pairs = misspelt([(name, "") for name in sorted(cube.columns)], measured)
    if pairs:
        more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        lacks = f"lack some that the model reads: {', '.join(pairs[:5])}{more}"
        warnings.warn(f"{_named('columns of', cube)} {lacks}", UserWarning, stacklevel=6)


def _named(what: str, cube: Cube) -> str:
    """Return `what` of a file or table, as errors name it."""
    if isinstance(cube, FrameCube):
        return f"{what} {cube.field}"
    return f"field {cube.field}: {what} {cube.path.name}"


def _check_bands(cube: Cube, bands: Sequence[str]) -> None:
    """Raise `DataError` if a cube has cutouts in bands that the model does not have."""
    prefix = cutout_column("")
    present = sorted(n.removeprefix(prefix) for n in cube.columns if n.startswith(prefix))
    others = [band for band in present if band not in bands]
    if others:
        what = _named("bands of cutouts in", cube)
        must = f"among the model's, {' '.join(bands)}"
        do = "rename or leave out the columns"
        raise DataError(must_be(what, must, " ".join(others), do))


def _mean(states: torch.Tensor) -> torch.Tensor:
    return states.mean(dim=1)


def _attention(states: torch.Tensor) -> torch.Tensor:
    """Average states by attention from the last token, EOS, which attends to all others."""
    scores = states @ states[:, -1, :, None] / math.sqrt(states.shape[2])  # (B, T, 1)
    return (scores.softmax(dim=1) * states).sum(dim=1)


OF_TOKENS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": _mean,
    "attention": _attention,
}
"""Functions from states (B, T, D) to embeddings (B, D), by name."""
POOLINGS = (QUERY, *OF_TOKENS)
"""Every pooling."""


@torch.no_grad()
def embed_objects(bundle: Bundle, objects: Encoded, pooling: str, token_budget: int) -> np.ndarray:
    """Return one embedding vector per object.

    Parameters
    ----------
    bundle : Bundle
        The model.
    objects : Encoded
        The n objects.
    pooling : str
        ``query``: the state of a query at the end, with the model's map of views
        (`astromodal.training.views`); ``mean`` of the states; or ``attention``: their mean weighted
        by softmax(h_EOS · h / sqrt(D)).
    token_budget : int
        Tokens that are run at once, without padding.

    Returns
    -------
    float32 (n, D)
        Embeddings.

    Raises
    ------
    ConfigError
        If there is no such pooling.
    """
    if pooling not in POOLINGS:
        message = must_be("pooling", f"one of {', '.join(POOLINGS)}", pooling)
        raise ConfigError(message + suggestion(pooling, POOLINGS))
    model, sequences, numbers = bundle.trained.model, objects.sequences, objects.numbers
    width = model.embedding.embedding_dim
    if pooling == QUERY:
        queries = query_states(
            lambda batch: bundle.states(batch)[:, :width], sequences, numbers, width, token_budget
        )
        mean, views = (tensor.cpu().numpy() for tensor in (model.view_mean, model.view_map))
        return (queries - mean) @ views
    out = np.empty((len(objects), width), dtype=np.float32)
    # Sequences sorted by length make few and large calls of attention.
    order = np.argsort(sequences.lengths[numbers], kind="stable")
    plan = plan_epoch(numbers[order], sequences.lengths, None, 1, token_budget)
    for step in range(len(plan)):
        place = order[plan.edges[step] : plan.edges[step + 1]]
        batch = sequences.batch(plan.step(step))
        states = bundle.states(batch)[:, :width].float()
        runs = states.split([count * length for count, length in batch.shapes])
        shaped = (run.unflatten(0, shape) for run, shape in zip(runs, batch.shapes, strict=True))
        pooled = torch.cat([OF_TOKENS[pooling](run) for run in shaped])
        out[place[batch.order]] = pooled.cpu().numpy()
    return out
