"""Networks of a model as ONNX files, compared with PyTorch.

Legend: B batch, T tokens, D model, C bands, S side of a cutout (pixel), L latent channels.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from astromodal import __version__
from astromodal.config.evaluate import QUERY
from astromodal.core.vocab import BOS, EOS, MISS, PAD, SEP, TYPE_ASKED, TYPE_SPECIAL
from astromodal.data.columns import PIXELS
from astromodal.errors import ConfigError, FormatError, must_be, suggestion
from astromodal.inference.encode import OF_TOKENS, POOLINGS
from astromodal.inference.loaded import LoadedModel
from astromodal.models.autoencoder import ImageAutoencoder
from astromodal.models.decoding import Decoder
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.layout import SCALAR, SequenceLayout
from astromodal.sequences.store import vocab_hash
from astromodal.storage.tempfiles import make_folder, scratch_folder
from astromodal.tokenizers.images.tokenizer import ImageTokenizer

TOLERANCE = 1e-4
"""Largest difference from PyTorch, relative to the largest value: sums in another order differ by
1e-6, a wrong position or mask by 0.01 or more."""
EMBEDDINGS, ENCODER = "embeddings.onnx", "image_encoder.onnx"


class Embedder(nn.Module):
    """Embeddings of padded sequences.

    The inputs of ids, which the network computes by looking up and multiplying features, are tables
    here.

    Parameters
    ----------
    network : CausalTransformerLM
        The transformer, in evaluation mode.
    pooling : str
        Name in `POOLINGS`.
    slot : int
        Slot of a query: it follows those of the scalar columns.
    """

    table: torch.Tensor
    sums: torch.Tensor

    def __init__(self, network: CausalTransformerLM, pooling: str, slot: int) -> None:
        super().__init__()
        self.network, self.pooling, self.slot = network, pooling, slot
        self._decoder = Decoder(network)
        with torch.no_grad():
            table, sums = network.embed(torch.arange(len(network.bias)))
        self.register_buffer("table", table)
        self.register_buffer("sums", torch.zeros_like(table) if sums is None else sums)

    def forward(
        self, token_ids: torch.Tensor, token_types: torch.Tensor, key_padding_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return embeddings, float32 (B, D).

        Parameters
        ----------
        token_ids, token_types : int64 (B, T)
            Ids and types of tokens.
        key_padding_mask : bool (B, T)
            True at padding, which follows a sequence.
        """
        if self.pooling == QUERY:
            return self._by_query(token_ids, token_types, ~key_padding_mask)
        network = self.network
        slots, kept = network.slots_of(token_ids, token_types), ~key_padding_mask[..., None]
        states = self._states(token_ids, token_types, slots, key_padding_mask)
        if self.pooling == "mean":
            return (states * kept).sum(1) / kept.sum(1)
        last = states.gather(1, (kept.sum(1, keepdim=True) - 1).expand(-1, -1, states.shape[2]))
        scores = states @ last.transpose(1, 2) / math.sqrt(states.shape[2])  # (B, T, 1)
        weights = scores.masked_fill(~kept, -torch.inf).softmax(dim=1)
        return (weights * states).sum(1)

    def _by_query(
        self, token_ids: torch.Tensor, token_types: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """Return the mapped states of queries that stand in place of EOS."""
        network, n = self.network, kept.sum(1, keepdim=True)  # EOS is at n - 1
        ids = F.pad(token_ids, (0, 1), value=PAD).scatter(1, n - 1, SEP).scatter(1, n, MISS)
        types = F.pad(token_types, (0, 1), value=TYPE_SPECIAL)
        types = types.scatter(1, n - 1, TYPE_ASKED).scatter(1, n, TYPE_ASKED)
        slots = network.slots_of(ids, types).scatter(1, n, self.slot)
        states = self._states(ids, types, slots, torch.arange(ids.shape[1]) > n)
        query = states.gather(1, n[..., None].expand(-1, -1, states.shape[2]))[:, 0]
        return (query - network.view_mean) @ network.view_map

    def _states(
        self,
        token_ids: torch.Tensor,
        token_types: torch.Tensor,
        slots: torch.Tensor,
        key_padding_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Return the states of all tokens, float32 (B, T, D)."""
        network, place = self.network, torch.arange(token_ids.shape[1])
        sums = self.sums[token_ids].cumsum(1) * network.takes_sums(token_ids, token_types, slots)
        seen = (place[:, None] >= place) & ~key_padding_mask[:, None]  # (B, T, T)
        mask = (seen | (place[:, None] == place))[:, None]

        def attend(
            _: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
        ) -> torch.Tensor:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

        x = self.table[token_ids] + sums
        states = self._decoder.run(x, token_types, slots, place, attend)
        return states[..., : x.shape[2]]


class Encoder(nn.Module):
    """Latents of cutouts in counts/s."""

    factor: torch.Tensor

    def __init__(self, autoencoder: ImageAutoencoder, softening: np.ndarray) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        factor = (1 / softening).astype(np.float32)
        self.register_buffer("factor", torch.from_numpy(factor)[:, None, None])

    def forward(self, pixels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Return standardised latents, float32 (B, L, S / 4, S / 4).

        Parameters
        ----------
        pixels : float32 (B, C, S, S)
            counts/s; anything where `valid` is False.
        valid : bool (B, C, S, S)
            Pixels that were measured.
        """
        known = torch.where(valid, pixels, 0.0)
        return self.autoencoder.encode(torch.asinh(known * self.factor), valid)


def write_onnx(model: LoadedModel, folder: str | Path, pooling: str = QUERY) -> dict[str, float]:
    """Write the transformer's embeddings and the encoder of cutouts as ONNX files.

    Parameters
    ----------
    model : AstroModel
        The model.
    folder : path
        Folder of ``embeddings.onnx`` and ``image_encoder.onnx``; it is made if it does not exist.
    pooling : str
        As for `AstroModel.embed`.

    Returns
    -------
    dict of str to float
        By file, the largest difference from PyTorch, relative to the largest value: of padded
        sequences of random codes, and of cutouts with missing pixels and bands.

    Raises
    ------
    ConfigError
        If there is no such pooling, or a package that writes and runs ONNX is missing.
    FormatError
        If what a file computes differs from PyTorch by more than 1e-4.
    """
    if pooling not in POOLINGS:
        message = must_be("pooling", f"one of {', '.join(POOLINGS)}", pooling)
        raise ConfigError(message + suggestion(pooling, POOLINGS))
    _require_packages()
    bundle, image, folder = model.bundle, model.tokenizers.image, Path(folder)
    network = copy.deepcopy(bundle.trained.model).cpu().float()
    hashes = json.dumps(model.tokenizers.hashes(), sort_keys=True)
    of_model = {"version": __version__, "model_hash": model.hash, "tokenizer_hashes": hashes}
    vocabulary = {"vocabulary_hash": vocab_hash(bundle.layout), "pooling": pooling}
    slot = 1 + bundle.layout[SCALAR].length
    # A query takes a token more.
    sequences = random_sequences(bundle.layout, network.max_seq_len - 1)
    with torch.no_grad():
        wanted = torch.cat(
            [embedding_of(network, each, pooling, slot) for each in sequences]
        ).numpy()
    module, axes = Embedder(network, pooling, slot).eval(), {0: "batch", 1: "tokens"}
    # The longest by itself, as the memory of attention grows with the square of the length.
    batches = [padded(sequences[:1]), padded(sequences[1:])]
    embedder = _Network(module, batches, "embeddings", axes)
    cutouts = random_cutouts(image)
    arrays = (tensor.numpy() for tensor in cutouts.values())
    encoder = Encoder(copy.deepcopy(image.autoencoder.model), image.normaliser.softening)
    latents = _Network(encoder.eval(), [cutouts], "latents", {0: "batch"})
    bands = {"bands": json.dumps(list(image.bands)), "unit": PIXELS}
    longest = {"max_tokens": str(network.max_seq_len)}
    return {
        EMBEDDINGS: embedder.write(folder / EMBEDDINGS, wanted, of_model | vocabulary | longest),
        ENCODER: latents.write(folder / ENCODER, image.encode(*arrays)[1], of_model | bands),
    }


def embedding_of(
    network: CausalTransformerLM, sequence: tuple[torch.Tensor, ...], pooling: str, slot: int
) -> torch.Tensor:
    """Return the embedding of a sequence, (1, D), by the network itself.

    A sequence has ids and types, int64 (T,) each; other parameters are those of `Embedder`.
    """
    (ids, types), width = sequence, network.embedding.embedding_dim
    if pooling != QUERY:
        return OF_TOKENS[pooling](network.hidden(ids[None], types[None])[..., :width])
    slots = network.slots_of(ids[None, :-1], types[None, :-1])[0]
    asked = [torch.tensor(each) for each in ([SEP, MISS], [TYPE_ASKED] * 2)]
    ids, types = (torch.cat([a[:-1], b]) for a, b in zip((ids, types), asked, strict=True))
    slots = torch.cat([slots, torch.tensor([0, slot])])
    states = network.flat_hidden(ids, types, slots, [(1, len(ids))])
    return (states[-1:, :width] - network.view_mean) @ network.view_map


def random_sequences(layout: SequenceLayout, longest: int) -> list[tuple[torch.Tensor, ...]]:
    """Return ids and types, int64 (T,) each, of sequences of random codes.

    One has all blocks that fit into `longest` tokens, one every second scalar column alone, one
    each other block alone, and one none.
    """
    numbers, blocks = np.random.default_rng(0), list(layout.blocks)
    ends = 2 + np.cumsum([1 + block.length for block in blocks])
    fitting = [block for block, end in zip(blocks, ends.tolist(), strict=True) if end <= longest]
    chosen = [fitting, [layout[SCALAR]], *([b] for b in blocks if b.name != SCALAR), []]
    out = []
    for shown in chosen:
        ids, types = [np.array([BOS])], [TYPE_SPECIAL]
        for block in shown:
            parts = [
                part.offset + part.stride * np.arange(part.n_slots)
                + numbers.integers(part.size, size=part.n_slots)
                for part in block.ranges
            ]  # fmt: skip
            codes = np.concatenate(parts)[:: 2 if shown == [layout[SCALAR]] else 1]
            ids += [np.array([SEP]), codes]
            types += [block.type] * (1 + len(codes))
        whole = np.concatenate([*ids, [EOS]]), np.array([*types, TYPE_SPECIAL])
        out.append(tuple(torch.from_numpy(array) for array in whole))
    return out


def padded(sequences: Sequence[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    """Return the inputs of `Embedder.forward`, by name, of ids and types."""
    ids, types = (pad_sequence(list(each), True, PAD) for each in zip(*sequences, strict=True))
    return {"token_ids": ids, "token_types": types, "key_padding_mask": ids == PAD}


def random_cutouts(image: ImageTokenizer) -> dict[str, torch.Tensor]:
    """Return the inputs of `Encoder.forward`, by name: sources of 0.1 to 1e5 sigmas of the sky.

    One cutout lacks a band, and others have pixels that are NaN and not valid.
    """
    numbers, size = np.random.default_rng(0), image.autoencoder.size
    shape, sky = (4, len(image.bands), size, size), image.normaliser.sky[:, None, None]
    counts = numbers.normal(size=shape) * 10 ** numbers.uniform(-1, 5, (4, 1, 1, 1))
    valid = numbers.random(shape) < 0.95
    valid[0, 0] = False
    pixels = np.where(valid, sky * counts, np.nan).astype(np.float32)
    return {"pixels": torch.from_numpy(pixels), "valid": torch.from_numpy(valid)}


@dataclass(frozen=True)
class _Network:
    """A network, batches of inputs by name, the name of its output, and axes of any length."""

    module: nn.Module
    batches: list[dict[str, torch.Tensor]]
    output: str
    axes: dict[int, str]

    def write(self, path: Path, wanted: np.ndarray, meta: Mapping[str, str]) -> float:
        """Write the network, and return its largest difference from what is wanted."""
        import onnxruntime

        make_folder(path.parent)
        last = self.batches[-1]
        with scratch_folder(path) as scratch:
            with _quiet():
                program: Any = torch.onnx.export(
                    self.module,
                    tuple(each[:2] for each in last.values()),
                    dynamo=True,
                    dynamic_shapes=(self.axes,) * len(last),
                    input_names=list(last),
                    output_names=[self.output],
                    verbose=False,
                )
            program.model.metadata_props.update(meta)
            program.save(scratch / path.name)  # beside it the weights, from 1.5 GB on
            del program
            session = onnxruntime.InferenceSession(
                scratch / path.name, providers=["CPUExecutionProvider"]
            )
            given = [{n: each.numpy() for n, each in batch.items()} for batch in self.batches]
            found = np.concatenate([session.run(None, batch)[0] for batch in given])
            off = float(np.abs(found - wanted).max() / np.abs(wanted).max())
            if not off <= TOLERANCE:
                must, got = f"within {TOLERANCE:g} of what PyTorch computes", f"{off:.2g}"
                raise FormatError(must_be(str(path), must, got, "report it with the versions"))
            for file in sorted(scratch.iterdir(), reverse=True):  # the weights first
                file.replace(path.with_name(file.name))
        return off


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        do = "pip install -c envs/constraints.txt -e '.[onnx]'"
        raise ConfigError(must_be(f"the package {error.name}", "installed", "none", do)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says of its own code, and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
