"""Training runs in processes of their own, on real but untrained tokenizers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from astromodal.config.schema import (
    ImageSettings,
    ModelSettings,
    ScalarSettings,
    SequenceSettings,
    SpectrumSettings,
    TrainingSettings,
)
from astromodal.sequences.layout import sequence_layout
from astromodal.sequences.store import pack_objects, write_sequences
from astromodal.sequences.tokenizers import TokenizerFiles, load_tokenizers
from astromodal.storage.json_files import write_json
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.tokenizer import ImageCodebook
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.grids import SpectrumGroupTokenizer
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer, scale_column
from astromodal.training.history import SPEEDS
from astromodal.training.run import TrainingTask
from helpers.survey import IMAGE, SCALAR, SPECTRUM, TOKENIZERS, make_codes

ALONE = """
import logging, sys, torch
from pathlib import Path
from astromodal.training.batches import Group
from astromodal.training.run import TrainingTask
torch.set_num_threads(1)
task = TrainingTask.read(Path(sys.argv[1]))
torch.manual_seed(task.config.training.seed)
task.run(Group(), logging.getLogger())
"""
"""Trains in one process, as the entry script does."""

TOGETHER = """
import sys
from pathlib import Path
from astromodal.training.launch import launch
from astromodal.training.run import TrainingTask
launch(TrainingTask.read(Path(sys.argv[1])))
"""
"""Trains in several processes."""

SETTINGS = {
    "epochs": 12, "learning_rate": 1e-2, "warmup_steps": 5, "log_every": 1,
    "validate_every": 40, "save_every": 7,
}  # fmt: skip
"""Settings of a training of some seconds."""


def save_tokenizers(
    folder: Path, scalar: ScalarSettings, spectrum: SpectrumSettings, image: ImageSettings
) -> tuple[dict[str, str], dict[str, str]]:
    """Write tokenizers that fit a config; their files and their hashes."""
    rng = np.random.default_rng(0)
    paths = {name: str(folder / name) for name in ("scalar", "spectrum", "autoencoder")}
    paths = {name: f"{path}.npz" for name, path in paths.items()}
    paths["image_codebook"] = str(folder / "codebook.npz")

    def bins(columns: tuple[str, ...]) -> ScalarTokenizer:
        summaries = ColumnSummaries.of(rng.normal(size=(500, len(columns))), columns)
        return ScalarTokenizer.fit(summaries, columns, scalar.n_bins)

    bins(scalar.columns).save(paths["scalar"])
    groups = {
        name: SpectrumGroupTokenizer.fitted(
            name,
            NearestCentroid(rng.normal(size=(spectrum.codebook_size, 2)).astype(np.float32)),
            np.zeros(2),
            np.ones(2),
            spectrum,
            NoiseProfile.unknown(),
        )
        for name in spectrum.groups
    }
    scales = bins(tuple(scale_column(name) for name in spectrum.groups))
    SpectrumTokenizer(groups, scales, spectrum.codebook_size).save(paths["spectrum"])
    shape = shape_settings(image)
    normaliser = ImageNormaliser(image.bands, np.ones(len(image.bands)))
    autoencoder = TrainedAutoencoder(build_model(shape).eval(), normaliser, shape, 0)
    autoencoder.save(paths["autoencoder"])
    centroids = rng.normal(size=(image.codebook_size, image.latent_dim)).astype(np.float32)
    quantizer = NearestCentroid(centroids)
    brightness = bins(image.brightness_columns)
    codebook = ImageCodebook(quantizer, image.codebook_size, autoencoder.hash, brightness)
    codebook.save(paths["image_codebook"])
    return paths, load_tokenizers(TokenizerFiles(**paths)).hashes()


class Runs:
    """Training runs on the same sequences, each in a folder of its own."""

    def __init__(self, root: Path, sequences: Path, tokenizers: dict, plain: dict, vocab: dict):
        self.root, self.sequences, self.tokenizers = root, sequences, tokenizers
        self.plain, self.vocab = plain, vocab

    def task(self, name: str, dropout: float = 0.0, **training: object) -> Path:
        """Write the task of a run; its file."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        write_json(folder / "vocab_spec.json", self.vocab)
        files = ("vocab_spec.json", "config.json", "history.jsonl", "final_model.pt")
        model = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32, dropout=dropout)
        settings = {
            **self.plain,
            "model": model.model_dump(mode="json"),
            "training": TrainingSettings(**training).model_dump(mode="json"),
            "sequences": SequenceSettings(max_seq_len=56).model_dump(mode="json"),
        }
        task = TrainingTask(
            sequences=[str(self.sequences)],
            tokenizers=self.tokenizers,
            files={Path(file).stem: str(folder / file) for file in files}
            | {"config": str(folder / "config.json")},
            settings=settings,
            threads=1,
            log=str(folder / "train.log"),
        )
        path = folder / "task.json"
        task.write(path)
        return path


def some_runs(root: Path) -> Runs:
    """Runs in a folder, on 120 objects whose codes follow one hidden number."""
    layout = sequence_layout(TOKENIZERS)
    codes = make_codes(layout, 120, seed=1)
    tokenizers, hashes = save_tokenizers(root, SCALAR, SPECTRUM, IMAGE)
    split = np.array([i % 5 == 0 for i in range(120)], dtype=np.uint8)
    path = root / "datacube_F1_sequences.safetensors"
    write_sequences(path, pack_objects(layout, codes, split), layout, hashes)
    plain = {"tokenizers": TOKENIZERS.model_dump(mode="json")}
    vocabulary = {**layout.spec.as_dict(), "tokenizer_hashes": hashes}
    return Runs(root, path, tokenizers, plain, vocabulary)


def trained_pair(runs: Runs, watch: Callable[[subprocess.Popen], None] | None = None) -> dict:
    """The final model of two processes, with dropout, that nothing interrupted.

    `watch` is called once they are started.
    """
    task = runs.task("pair", dropout=0.1, gpus=2, token_budget=100, **SETTINGS)
    process = start(TOGETHER, task)
    if watch is not None:
        watch(process)
    return finish(process, task)


def start(code: str, task: Path, environment: Mapping[str, str] = {}) -> subprocess.Popen:
    """Start a process that trains."""
    scripts = str(Path(__file__).parents[2] / "scripts")
    known = {**os.environ, "PYTHONPATH": scripts, "OMP_NUM_THREADS": "1", **environment}
    with (task.parent / "stderr").open("a") as stream:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(task)], env=known, stderr=stream, stdout=stream
        )


def finish(process: subprocess.Popen, task: Path) -> dict:
    """Wait for a process that is to succeed; the final model."""
    status = process.wait(timeout=120)
    assert status == 0, (task.parent / "stderr").read_text()[-4000:]
    return torch.load(task.parent / "final_model.pt")


def signal_at(process: subprocess.Popen, task: Path, step: int, number: signal.Signals) -> int:
    """Send a signal once a step is in the history, and wait for the end; the exit status."""
    path = task.parent / "history.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        lines = path.read_text().splitlines() if path.exists() else []
        whole = lines[-1] if lines and lines[-1].endswith("}") else "{}"
        if json.loads(whole).get("step", 0) >= step:
            process.send_signal(number)
            break
        time.sleep(0.002)
    return process.wait(timeout=120)


def differing(a: dict, b: dict) -> list[str]:
    """What is not the same, bit by bit, in two final models."""
    found = [
        name
        for name, value in a["model_state_dict"].items()
        if not torch.equal(value, b["model_state_dict"][name])
    ]
    states = (model["optimizer_state_dict"]["state"] for model in (a, b))
    for number, (x, y) in enumerate(zip(*(s.values() for s in states), strict=True)):
        found += [f"{number} {name}" for name in x if not torch.equal(x[name], y[name])]
    histories = (
        [{k: v for k, v in entry.items() if k not in SPEEDS} for entry in model["loss_history"]]
        for model in (a, b)
    )
    if next(histories) != next(histories):
        found.append("loss_history")
    return found + [name for name in ("step", "epoch", "best") if a[name] != b[name]]
