"""The card of a model that is passed on: what it was made of, how good it is, how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from astromodal.inference.trained import Trained
from astromodal.training.history import read_history, value_at
from astromodal.training.layout import MODALITIES
from astromodal.training.targets import Tokenizers

_SHOWN_FIELDS = 50


@dataclass(frozen=True)
class Counts:
    """Objects that a model was made of.

    Attributes
    ----------
    fields : dict of str to list of int
        Objects of each training field in the train, validation and test split.
    blocks : dict of str to int
        Objects of all of them that have each block.
    """

    fields: dict[str, list[int]]
    blocks: dict[str, int]


def model_card(
    trained: Trained, tokenizers: Tokenizers, counts: Counts, history: str | Path
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    trained : Trained
        The model.
    tokenizers : Tokenizers
        Its tokenizers.
    counts : Counts
        The objects of its training fields.
    history : path
        The ``history.jsonl`` of its training.
    """
    parts = [
        _head(trained),
        _data(counts),
        _metrics(read_history(history)["validation"], trained.step),
        _LIMITS,
        _files(trained, tokenizers),
        _USE,
        "## Config\n\n```yaml\n" + _config(trained) + "```\n",
    ]
    return "\n".join(parts)


def _head(trained: Trained) -> str:
    shape, n = trained.config.model, sum(p.numel() for p in trained.model.parameters())
    return (
        "# astromodal model\n\n"
        "A causal transformer over tokens of S-PLUS photometry and cutouts, Gaia, DESI, VISTA and "
        "spectroscopic\nredshifts, with the tokenizers that belong to it.\n\n"
        f"- {n:,} parameters: width {shape.d_model}, {shape.n_layers} layers, "
        f"{shape.n_heads} heads, {trained.layout.spec.vocab_size:,} token ids\n"
        f"- trained for {trained.step:,} steps, {trained.epoch + 1} epochs\n"
        f"- weights of hash `{trained.hash}`\n"
    )


def _data(counts: Counts) -> str:
    lines = ["## Data", "", "| training field | train | validation | test |", "|---|---|---|---|"]
    shown = list(counts.fields.items())[:_SHOWN_FIELDS]
    lines += [f"| {field} | {a:,} | {b:,} | {c:,} |" for field, (a, b, c) in shown]
    total = [sum(column) for column in zip(*counts.fields.values(), strict=True)]
    lines.append(f"| all {len(counts.fields)} | " + " | ".join(f"{n:,}" for n in total) + " |")
    lines += ["", "Only the train split is learned from. Splits are by HEALPix cell.", ""]
    lines += ["| block | objects that have it |", "|---|---|"]
    lines += [f"| {name} | {n:,} |" for name, n in counts.blocks.items()]
    return "\n".join(lines) + "\n"


def _metrics(validation: list[dict[str, Any]], step: int) -> str:
    lines = [
        "## Metrics",
        "",
        "Mean surprise (nats a code) of these weights on the validation split. The unigram",
        "baseline knows a code's frequency in its slot and nothing of the object.",
        "",
        "| modality | model | unigram |",
        "|---|---|---|",
    ]
    for modality in MODALITIES:
        names = (f"{way}_{modality}" for way in ("cross_entropy", "unigram"))
        pair = (_number(value_at(validation, name, step)) for name in names)
        lines.append(f"| {modality} | " + " | ".join(pair) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "none measured"


_LIMITS = """## Limits

- It has seen objects that pass the magnitude cut of its run, from the fields above; others are an
  extrapolation, and so is another survey's data in the same columns.
- A prediction is the model's: its widths are as honest as its training was long. Compare them
  with objects of the test split before you rely on them.
- Predicted spectra and cutouts are those that would be measured, noise included.
- The length of a light curve is not modelled; light curves can be given, not predicted.
"""


def _files(trained: Trained, tokenizers: Tokenizers) -> str:
    hashes = tokenizers.hashes()
    return (
        "## Files\n\n| file | holds |\n|---|---|\n"
        f"| `model.safetensors` | the transformer's weights, `{trained.hash}` |\n"
        "| `config.json`, `vocab_spec.json` | settings of its training, and what each id means |\n"
        f"| `scalar_tokenizer.npz` | bins of the scalars, `{hashes['scalar']}` |\n"
        f"| `spectrum_tokenizer.npz` | codebooks of the spectra, `{hashes['spectrum']}` |\n"
        "| `image_autoencoder.safetensors`, `image_codebook.npz` | the image tokenizer, "
        f"`{hashes['image']}` |\n\nNothing here is a pickle: no file can run code.\n"
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
