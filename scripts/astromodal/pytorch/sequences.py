"""Sequences of tokens as datasets of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from astromodal.config.schema import Config
from astromodal.core.vocab import PAD
from astromodal.inference.request import parse_given
from astromodal.pytorch.streams import (
    Item,
    Paths,
    Remainder,
    Stream,
    list_files,
    permuted,
    split_number,
)
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import SequenceLayout, sequence_layout

_TOGETHER = 256
"""Objects of a stream that are read at once."""
_TENSORS = ("token_ids", "token_types", "slots")


class SequenceDataset(Dataset[Item]):
    """The sequences of one or several fields, by number.

    Files are mapped into memory, and read where an object is used. A worker opens them itself.

    Parameters
    ----------
    files : path or sequence of path
        Sequence files that ``pack_sequences`` wrote, and folders of them.
    config : Config
        Settings of the tokenizers: those of the run, or `AstroModel.config`.
    split : str, optional
        ``train``, ``validation`` or ``test``; objects of every split if None.
    given : str or sequence of str, optional
        Columns and blocks that sequences hold, named as in `AstroModel.predict`; everything if
        None. Others look as if they had never been measured.
    verify : bool
        Whether the files are read once and compared with their hashes.

    Raises
    ------
    ConfigError
        If there is no file, or a name is unknown.
    FormatError
        If a file is damaged, was packed for another vocabulary, or is of other tokenizers.
    """

    def __init__(
        self,
        files: Paths,
        config: Config,
        split: str | None = None,
        given: str | Sequence[str] | None = None,
        verify: bool = True,
    ) -> None:
        self.files = list_files(files, "datacube_*_sequences.safetensors")
        self.layout: SequenceLayout = sequence_layout(config.tokenizers)
        self._split = split_number(split)
        columns = config.tokenizers.scalar.columns
        self._given = None if given is None else parse_given(self.layout, columns, given)
        self.sequences = self._opened(slice(None if verify else 0))

    @cached_property
    def sequences(self) -> SequenceSet:
        """The sequences of all files, of every split."""
        return self._opened(slice(0))

    def _opened(self, verified: slice) -> SequenceSet:
        opened = SequenceSet(self.files, self.layout, verified)
        return opened if self._given is None else opened.only(*self._given)

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numbers of the objects in `sequences`, int64 (n,)."""
        split = self.sequences.split
        every = split == split if self._split is None else split == self._split
        return np.flatnonzero(every)

    @cached_property
    def fields(self) -> list[str]:
        """Names of the fields, by file."""
        return [p.stem.removeprefix("datacube_").removesuffix("_sequences") for p in self.files]

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without what was read of the files."""
        kept = ("files", "layout", "_split", "_given")
        return {name: value for name, value in vars(self).items() if name in kept}

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Item:
        """Return an object.

        Returns
        -------
        dict
            ``token_ids``, ``token_types`` and ``slots``, int64 (T,), from BOS to EOS; ``split``
            (0 train, 1 validation, 2 test), ``id``, ``field``, and ``row`` in the field's cube.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return several objects, which are read together."""
        return self.read(self.numbers[np.asarray(indices, dtype=np.int64)])

    def read(self, numbers: np.ndarray, order: tuple[int, int] | None = None) -> list[Item]:
        """Return objects by their numbers in `sequences`.

        Parameters
        ----------
        numbers : int64 (m,)
            Numbers of the objects.
        order : (int, int), optional
            Seed and epoch of the random order of each object's blocks; the vocabulary's if None.
        """
        if not len(numbers):
            return []
        batch, sequences = self.sequences.batch(numbers, order), self.sequences
        lengths = np.repeat(*np.array(batch.shapes).T[::-1])
        fields, rows = (each.tolist() for each in sequences.places(batch.objects))
        parts = [
            np.split(a, np.cumsum(lengths)[:-1]) for a in (batch.tokens, batch.types, batch.slots)
        ]
        out: list[Item] = [{}] * len(numbers)
        for i, own in enumerate(zip(*parts, strict=True)):
            number = int(batch.objects[i])
            tensors = (torch.from_numpy(array.astype(np.int64)) for array in own)
            out[batch.order[i]] = {
                **dict(zip(_TENSORS, tensors, strict=True)),
                "split": int(sequences.split[number]), "id": sequences.id(number),
                "field": self.fields[fields[i]], "row": rows[i],
            }  # fmt: skip
        return out


class SequenceStream(Stream[np.ndarray]):
    """The sequences of one or several fields, in random order and divided among processes.

    Parameters
    ----------
    files, config, split, given, verify
        As for `SequenceDataset`.
    seed, shuffle, remainder, rank, world_size
        As for `Stream`. Shares differ by at most one object.
    shuffle_blocks : bool
        Whether the blocks of each object are in a random order, another one each epoch.
    """

    def __init__(
        self,
        files: Paths,
        config: Config,
        split: str | None = None,
        given: str | Sequence[str] | None = None,
        verify: bool = True,
        *,
        seed: int = 0,
        shuffle: bool = True,
        shuffle_blocks: bool = False,
        remainder: Remainder = "keep",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, shuffle, remainder, rank, world_size)
        self.dataset = SequenceDataset(files, config, split, given, verify)
        self.shuffle_blocks = shuffle_blocks

    @property
    def n_objects(self) -> int:
        """Number of objects per epoch, over all ranks."""
        return len(self.dataset)

    def _divide(self, epoch: int, shares: int) -> list[np.ndarray]:
        order = permuted(len(self.dataset), self.shuffle, (self.seed, epoch))
        objects = self.dataset.numbers[order]
        return [objects[number::shares] for number in range(shares)]

    def _read(self, share: np.ndarray, epoch: int, start: int) -> Iterator[Item]:
        blocks = (self.seed, epoch) if self.shuffle_blocks else None
        for begin in range(start, len(share), _TOGETHER):
            yield from self.dataset.read(share[begin : begin + _TOGETHER], blocks)


def collate_sequences(items: Sequence[Item]) -> Item:
    """Return a batch of sequences, padded to the longest.

    Parameters
    ----------
    items : sequence of dict
        Objects of `SequenceDataset` or `SequenceStream`.

    Returns
    -------
    dict
        ``token_ids``, ``token_types`` and ``slots``, int64 (B, T), with the id of padding and 0
        after the end; ``key_padding_mask``, bool (B, T), which is True there; ``split`` and
        ``row``, int64 (B,); lists ``id`` and ``field``.
    """
    fills = zip(_TENSORS, (PAD, 0, 0), strict=True)
    padded = {
        name: pad_sequence([item[name] for item in items], batch_first=True, padding_value=fill)
        for name, fill in fills
    }
    lengths = torch.tensor([len(item["token_ids"]) for item in items])
    place = torch.arange(int(lengths.max()))
    return {
        **padded,
        "key_padding_mask": place >= lengths[:, None],
        **{name: torch.tensor([item[name] for item in items]) for name in ("split", "row")},
        **{name: [item[name] for item in items] for name in ("id", "field")},
    }
