"""Export of a trained model with its tokenizers and a card to one folder, without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from astromodal.core.paths import ExportLayout
from astromodal.data.splits import SPLIT_NAMES
from astromodal.inference.origin import Origin, require_one_run
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import MODALITIES
from astromodal.sequences.tokenizers import (
    TokenizerFiles,
    Tokenizers,
    load_tokenizers,
)
from astromodal.storage.json_files import read_json
from astromodal.storage.tempfiles import write_text
from astromodal.surveys.registry import by_family
from astromodal.training.checkpoint import Trained, load_trained, save_exported
from astromodal.training.history import read_history, value_at


@dataclass(frozen=True)
class RunSources:
    """Files of a finished run that are exported."""

    final_model: str
    vocab_spec: str
    history: str
    tokenizers: TokenizerFiles
    sequences: Sequence[str]  # of the training fields
    fields: Sequence[str]  # their names, in the same order


def export_model(sources: RunSources, folder: str | Path) -> ExportLayout:
    """Write a folder that `AstroModel.from_run` reads, with a model card.

    The same input gives the same bytes.

    Parameters
    ----------
    sources : RunSources
        Files of the run.
    folder : path
        The folder to write into.

    Returns
    -------
    ExportLayout
        Paths of the files.

    Raises
    ------
    FormatError
        If a file is damaged, or the tokenizers or sequences are not those of the model.
    """
    paths, device = ExportLayout(str(folder)), torch.device("cpu")
    trained = load_trained(sources.final_model, device)
    tokenizers = load_tokenizers(sources.tokenizers)
    vocabulary = read_json(sources.vocab_spec)
    origin, vocabularies = Origin.of(trained, tokenizers), (trained.vocabulary, vocabulary)
    require_one_run(origin, sources.sequences, vocabularies=vocabularies)
    save_exported(replace(trained, vocabulary=vocabulary), tokenizers, paths)
    counts = count_objects(sources, SequenceSet(sources.sequences, trained.layout))
    write_text(paths.card, model_card(trained, tokenizers, counts, sources.history))
    return paths


def count_objects(sources: RunSources, sequences: SequenceSet) -> Counts:
    """Count the objects of the training fields by field and split, and by block."""
    by_field = {
        field: np.bincount(store.split, minlength=len(SPLIT_NAMES)).tolist()
        for field, store in zip(sources.fields, sequences.stores, strict=True)
    }
    blocks = {
        block.name: int(((sequences.pattern >> block.type) & 1).sum())
        for block in sequences.layout.blocks
    }
    return Counts(by_field, blocks)


_SHOWN_FIELDS = 50


@dataclass(frozen=True)
class Counts:
    """Numbers of objects in a model's training fields.

    Attributes
    ----------
    fields : dict of str to list of int
        Objects in the train, validation and test split, by training field.
    blocks : dict of str to int
        Objects that have a block, by block.
    """

    fields: dict[str, list[int]]
    blocks: dict[str, int]


def model_card(
    trained: Trained, tokenizers: Tokenizers, counts: Counts, history: str | Path
) -> str:
    """Return the model card as Markdown.

    Parameters
    ----------
    trained : Trained
        The model.
    tokenizers : Tokenizers
        Its tokenizers.
    counts : Counts
        Numbers of objects in its training fields.
    history : path
        The ``history.jsonl`` of its training.
    """
    sections = [
        _head(trained),
        _data(counts),
        _metrics(read_history(history)["validation"], trained.step),
        _LIMITS,
        _files(trained, tokenizers),
        _USE,
        "## Config\n\n```yaml\n" + _config(trained) + "```\n",
    ]
    return "\n".join(sections)


def _head(trained: Trained) -> str:
    shape, n = trained.config.model, sum(p.numel() for p in trained.model.parameters())
    surveys = ", ".join(family.label for family in by_family(trained.layout.spec.spectrum_groups))
    return (
        "# astromodal model\n\n"
        "A causal transformer over tokens of S-PLUS cutouts, of the scalar columns that its config "
        f"names,\nand of spectra and light curves ({surveys}), with the tokenizers that belong to "
        "it.\n\n"
        f"- {n:,} parameters: width {shape.d_model}, {shape.n_layers} layers, "
        f"{shape.n_heads} heads, {trained.layout.spec.vocab_size:,} token ids\n"
        f"- trained for {trained.step:,} steps, {trained.epoch + 1} epochs\n"
        f"- hash of the weights: `{trained.hash}`\n"
    )


def _data(counts: Counts) -> str:
    lines = ["## Data", "", "| training field | train | validation | test |", "|---|---|---|---|"]
    shown = list(counts.fields.items())[:_SHOWN_FIELDS]
    lines += [f"| {field} | {a:,} | {b:,} | {c:,} |" for field, (a, b, c) in shown]
    total = [sum(column) for column in zip(*counts.fields.values(), strict=True)]
    lines.append(f"| all {len(counts.fields)} | " + " | ".join(f"{n:,}" for n in total) + " |")
    lines += [
        "",
        "The model learns from the train split only. Splits are by HEALPix cell.",
        "",
    ]
    lines += ["| block | objects with it |", "|---|---|"]
    lines += [f"| {name} | {n:,} |" for name, n in counts.blocks.items()]
    return "\n".join(lines) + "\n"


def _metrics(validation: list[dict[str, Any]], step: int) -> str:
    lines = [
        "## Metrics",
        "",
        "Mean negative log-likelihood (nats per code) of the validation split. The unigram",
        "baseline predicts the training frequency of each code in its slot for every object.",
        "",
        "| modality | model | unigram |",
        "|---|---|---|",
    ]
    for modality in MODALITIES:
        names = (f"{model}_{modality}" for model in ("cross_entropy", "unigram"))
        pair = (_number(value_at(validation, name, step)) for name in names)
        lines.append(f"| {modality} | " + " | ".join(pair) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "none measured"


_LIMITS = """## Limits

- The model was trained on objects of the fields above that pass the magnitude cut of its run.
  Predictions for other objects, or from data of another survey, are extrapolations.
- Predicted uncertainties may be too small or too large. Compare them with objects of the test
  split before you rely on them.
- Predicted spectra and cutouts are predicted measurements: they include noise.
- The length of a light curve is not modelled: light curves can be given, but not predicted.
"""


def _files(trained: Trained, tokenizers: Tokenizers) -> str:
    hashes = tokenizers.hashes()
    return (
        "## Files\n\n| file | content |\n|---|---|\n"
        f"| `model.safetensors` | the transformer's weights, `{trained.hash}` |\n"
        "| `config.json`, `vocab_spec.json` | settings of the training; the meaning of each id |\n"
        f"| `scalar_tokenizer.npz` | bins of the scalars, `{hashes['scalar']}` |\n"
        f"| `spectrum_tokenizer.npz` | codebooks of the spectra, `{hashes['spectrum']}` |\n"
        "| `image_autoencoder.safetensors`, `image_codebook.npz` | the image tokenizer, "
        f"`{hashes['image']}` |\n\nNo file is a pickle, so none can run code.\n"
    )


_USE = """## Use

```python
from astromodal.inference import AstroModel

model = AstroModel.from_run("this/folder")
objects = model.encode("datacube_FIELD.parquet")
embeddings = model.embed(objects)
redshift = model.predict(objects, "specz_z", given=["image", "mag_pstotal_r"])["specz_z"]
print(redshift.mean, redshift.std, redshift.quantile(0.16))
```
"""


def _config(trained: Trained) -> str:
    plain = trained.config.model_dump(mode="json")
    kept = {name: plain[name] for name in ("model", "sequences")}
    return str(yaml.safe_dump({**kept, "training": trained.training}, sort_keys=False))
