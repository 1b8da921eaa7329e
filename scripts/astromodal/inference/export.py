"""A model in a folder of its own, to be passed on: no pickle, and no other file needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from astromodal.core.files import read_json, write_json, write_text
from astromodal.core.paths import ExportLayout
from astromodal.core.tensors import save_tensors
from astromodal.data.splits import SPLIT_NAMES
from astromodal.inference.bundle import FORMAT
from astromodal.inference.card import Counts, model_card
from astromodal.inference.trained import DECIDING, load_trained
from astromodal.training.batches import SequenceSet
from astromodal.training.targets import load_tokenizers
from astromodal.training.vocabulary import check_hashes


@dataclass(frozen=True)
class RunSources:
    """Files of a finished run that an export is made of."""

    final_model: str
    vocab_spec: str
    history: str
    tokenizers: tuple[str, str, str, str]  # scalar, spectrum, autoencoder, image codebook
    sequences: Sequence[str]  # of the training fields
    fields: Sequence[str]  # their names, in the same order


def export_model(sources: RunSources, folder: str | Path) -> ExportLayout:
    """Write a folder that `AstroModel.from_run` reads, with a model card; same input, same bytes.

    Parameters
    ----------
    sources : RunSources
        The run.
    folder : path
        The folder to write into.

    Returns
    -------
    ExportLayout
        Paths of the files.

    Raises
    ------
    FormatError
        Where a file is damaged, or the tokenizers are not those that the model was trained with.
    """
    paths, device = ExportLayout(str(folder)), torch.device("cpu")
    trained = load_trained(sources.final_model, device)
    tokenizers = load_tokenizers(*sources.tokenizers)
    check_hashes(trained.vocabulary, tokenizers.hashes(), "tokenizers")
    vocabulary = read_json(sources.vocab_spec)
    check_hashes(vocabulary, tokenizers.hashes(), "tokenizers")
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizers.scalar.save(paths.scalar_tokenizer)
    tokenizers.spectrum.save(paths.spectrum_tokenizer)
    tokenizers.image.autoencoder.save_tensors(paths.autoencoder)
    tokenizers.image.codebook.save(paths.image_codebook)
    write_json(paths.vocab_spec, vocabulary)
    config = trained.config.model_dump(mode="json")
    kept = {name: config[name] for name in DECIDING}
    write_json(paths.config, {**kept, "training": trained.training})
    meta = {
        **FORMAT,
        "hash": trained.hash,
        "step": json.dumps(trained.step),
        "epoch": json.dumps(trained.epoch),
        "tokenizer_hashes": json.dumps(tokenizers.hashes(), sort_keys=True),
    }
    state = trained.model.state_dict()
    save_tensors(paths.weights, {name: t.numpy() for name, t in state.items()}, meta)
    counts = count_objects(sources, SequenceSet(sources.sequences, trained.layout))
    write_text(paths.card, model_card(trained, tokenizers, counts, sources.history))
    return paths


def count_objects(sources: RunSources, sequences: SequenceSet) -> Counts:
    """Objects of the training fields, by field and split, and those that have each block."""
    by_field = {
        field: np.bincount(store.split, minlength=len(SPLIT_NAMES)).tolist()
        for field, store in zip(sources.fields, sequences.stores, strict=True)
    }
    blocks = {
        block.name: int(((sequences.pattern >> block.type) & 1).sum())
        for block in sequences.layout.blocks
    }
    return Counts(by_field, blocks)
