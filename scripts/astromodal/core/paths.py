"""Paths of all files in the results folder, which no other module spells out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

FIELD = "{field}"
GROUP = "{group}"
SECTION = "{section}"
VARIANT, SEED = "{variant}", "{seed}"
LABEL = "{label}"
SUFFIX = "{suffix}"
WHOLE = "cube"
"""Name of the stamp of all that a cube is built from, beside those of `MODALITIES`."""
SOURCE = "{source}"
MODALITIES = ("sources", "scalars", "spectra", "images", "labels", "finetuned")
"""Groups of a cube's columns: identifiers and positions, three kinds of measurements, labels of the
report, and labels that models are fine-tuned to."""


class Layout:
    """Paths under one results folder, as text.

    Without a field or group, a method returns a pattern with Snakemake's wildcard.

    Parameters
    ----------
    results : str
        The results folder.
    codebook_size : int
        Centroids of the image codebook; its file name contains them.
    """

    def __init__(self, results: str, codebook_size: int = 2048) -> None:
        self.results = str(results).rstrip("/")
        self._codebook = f"{self.results}/codecs/codebook_kmeans_{codebook_size}"
        self.scalar_tokenizer = f"{self.results}/scalar_tokenizers/scalar_tokenizer_config.npz"
        self.spectrum_tokenizer = (
            f"{self.results}/spectrum_tokenizers/spectrum_tokenizer_config.npz"
        )
        self.autoencoder = f"{self.results}/codecs/autoencoder_splus_cuts.pt"
        self.image_normaliser = f"{self.results}/codecs/image_normaliser.npz"
        self.latents = f"{self.results}/codecs/training_latents.npz"
        self.image_codebook = f"{self._codebook}.npz"
        self.image_codebook_joblib = f"{self._codebook}.joblib"
        self.run = f"{self.results}/runs_tokens_transformer"
        self.vocab_spec = f"{self.run}/vocab_spec.json"
        self.run_config = f"{self.run}/config.json"
        self.final_model = f"{self.run}/final_model.pt"
        self.history = f"{self.run}/history.jsonl"
        self.report = f"{self.results}/report/report.html"
        self.export = f"{self.results}/model"
        self.atlas = f"{self.results}/atlas/atlas.html"
        self.hats = f"{self.results}/hats"
        self.similar = f"{self.results}/similar"
        self.similarity_space = f"{self.similar}/space.safetensors"
        self.similarity_index = f"{self.similar}/index.json"
        self.stamps = f"{self.results}/stamps/index.json"
        self.cube_columns = f"{self.results}/stamps/columns.json"
        self.skipped = f"{self.results}/skipped"
        self.ablations = f"{self.results}/ablations"
        self.last_run = f"{self.results}/last_run.json"
        self.inventory = f"{self.results}/inventory.json"
        self.audit = f"{self.results}/audit/audit.json"
        self.audit_text = f"{self.results}/audit/audit.md"
        self.run_lock = f"{self.results}/run.lock.json"
        self.index = f"{self.results}/index"
        self.source_plan = f"{self.index}/plan.json"

    @property
    def tokenizers(self) -> dict[str, str]:
        """Files of the fitted tokenizers, by their name as input or output of jobs."""
        return {
            "scalar_tokenizer": self.scalar_tokenizer,
            "spectrum_tokenizer": self.spectrum_tokenizer,
            "autoencoder": self.autoencoder,
            "image_codebook": self.image_codebook,
        }

    @property
    def transformer(self) -> dict[str, str]:
        """Files of the trained transformer, by their name as input or output of jobs."""
        return {
            "final_model": self.final_model,
            "vocab_spec": self.vocab_spec,
            "history": self.history,
        }

    def cube(self, field: str = FIELD) -> str:
        """Return the path of a cube that is simulated or built."""
        return f"{self.results}/cubes/datacube_{field}.parquet"

    def source_index(self, source: str = SOURCE) -> str:
        """Return the folder of the index of a source's raw files."""
        return f"{self.index}/{source}"

    def source_files(self, source: str = SOURCE) -> str:
        """Return the path of the list of a source's raw files that a job has indexed."""
        return f"{self.index}/{source}.json"

    def field_files(self, field: str = FIELD) -> str:
        """Return the path of the list of raw files that a field's cube is built from."""
        return f"{self.index}/fields/{field}.json"

    def stamp(self, modality: str, field: str = FIELD) -> str:
        """Return the stamp of a cube, which changes if the columns of a modality change."""
        return f"{self.results}/stamps/datacube_{field}_{modality}.txt"

    def summary(self, field: str = FIELD) -> str:
        """Return the path of checks, counts and coverage of a field."""
        return f"{self.results}/summaries/datacube_{field}_summary.json"

    def split(self, field: str = FIELD) -> str:
        """Return the path of HEALPix cell and split of every row of a field."""
        return f"{self.results}/splits/datacube_{field}_split.npz"

    def quantiles(self, field: str = FIELD) -> str:
        """Return the path of quantile summaries of a training field's scalar columns."""
        return f"{self.results}/summaries/datacube_{field}_quantiles.npz"

    def spectrum_samples(self, field: str = FIELD) -> str:
        """Return the path of feature samples of a training field's spectra."""
        return f"{self.results}/summaries/datacube_{field}_spectrum_samples.npz"

    def sky(self, field: str = FIELD) -> str:
        """Return the path of samples of sky noise from a training field's cutouts."""
        return f"{self.results}/summaries/datacube_{field}_sky.npz"

    def cutout_pixels(self, field: str = FIELD) -> str:
        """Return the path of normalised pixels of a field's training cutouts, memory-mapped."""
        return f"{self.results}/cutouts/datacube_{field}_pixels.npy"

    def cutout_sources(self, field: str = FIELD) -> str:
        """Return the path of ids, shapes and masks of a field's training cutouts."""
        return f"{self.results}/cutouts/datacube_{field}_sources.npz"

    def spectrum_codebook(self, group: str = GROUP) -> str:
        """Return the path of a group's codebook that the workflow reads."""
        return f"{self.results}/spectrum_tokenizers/spectrum_kmeans_{group}.npz"

    def spectrum_joblib(self, group: str = GROUP) -> str:
        """Path of a group's codebook for scikit-learn users; the workflow never reads it."""
        return f"{self.results}/spectrum_tokenizers/spectrum_kmeans_{group}.joblib"

    def scalar_tokens(self, field: str = FIELD) -> str:
        """Return the path of scalar codes of a field."""
        return f"{self.results}/outputs/scalar_tokens/datacube_{field}_scalar_tokens.npz"

    def spectrum_tokens(self, field: str = FIELD) -> str:
        """Return the path of spectrum codes of a field."""
        return f"{self.results}/outputs/spectrum_tokens/datacube_{field}_spectrum_tokens.npz"

    def image_tokens(self, field: str = FIELD) -> str:
        """Return the path of image codes of a field."""
        return f"{self.results}/outputs/image_tokens/datacube_{field}_tokens.npz"

    def image_latents(self, field: str = FIELD) -> str:
        """Return the path of image latents of a field."""
        return f"{self.results}/outputs/image_latents/datacube_{field}_latents.npz"

    def sequences(self, field: str = FIELD) -> str:
        """Return the path of memory-mapped sequences of a field."""
        return f"{self.results}/outputs/sequences/datacube_{field}_sequences.safetensors"

    def embeddings(self, field: str = FIELD) -> str:
        """Return the path of the model's embeddings of a field's objects."""
        return f"{self.results}/outputs/embeddings/datacube_{field}_embeddings.parquet"

    def predictions(self, field: str = FIELD) -> str:
        """Return the path of the model's predictions for a field's objects."""
        return f"{self.results}/outputs/predictions/datacube_{field}_predictions.parquet"

    def similarity_vectors(self, field: str = FIELD) -> str:
        """Return the path of a field's objects in the index of similar objects, memory-mapped."""
        return f"{self.similar}/datacube_{field}_vectors.safetensors"

    def photoz(self, field: str = FIELD) -> str:
        """Return the path of the redshift distributions of a field's objects."""
        return f"{self.results}/outputs/photoz/datacube_{field}_photoz.hdf5"

    def catalogue(self, field: str = FIELD, suffix: str = SUFFIX) -> str:
        """Return the path of the catalogue of a field's predictions in the format of a suffix."""
        return f"{self.results}/outputs/photoz/datacube_{field}_catalogue.{suffix}"

    def checkpoint(self, step: int) -> str:
        """Return the path of a checkpoint; it is no declared output, so a failed job keeps it."""
        return f"{self.run}/checkpoint_step_{step}.pt"

    def evaluation(self, section: str = SECTION) -> str:
        """Return the path of the numbers of one section of the report."""
        return f"{self.results}/evaluation/{section}.json"

    def figures(self, section: str = SECTION) -> str:
        """Return the folder of the figures of one section of the report."""
        return f"{self.results}/evaluation/figures/{section}"

    def ablation(self, variant: str = VARIANT, seed: int | str = SEED) -> dict[str, str]:
        """Return the files of one training of a variant, by their name as output of jobs."""
        folder = f"{self.ablations}/{variant}/seed_{seed}"
        return {
            "config": f"{folder}/config.json",
            "history": f"{folder}/history.jsonl",
            "final_model": f"{folder}/final_model.pt",
        }

    def ablation_losses(self, variant: str = VARIANT, seed: int | str = SEED) -> str:
        """Return the path of the losses of evaluated objects for one training of a variant."""
        return f"{self.ablations}/{variant}/seed_{seed}/losses.npz"

    def finetuned(self, label: str = LABEL) -> str:
        """Return the folder of a model that was fine-tuned to a label."""
        return f"{self.results}/finetuned/{label}/model"

    def finetuning(self, label: str = LABEL) -> str:
        """Return the checkpoint of a fine-tuning; no declared output, so a failed job keeps it."""
        return f"{self.results}/finetuned/{label}/checkpoint.pt"

    def finetuned_predictions(self, label: str = LABEL, field: str = FIELD) -> str:
        """Return the path of a fine-tuned model's predictions of its label for a field."""
        return f"{self.results}/finetuned/{label}/predictions/datacube_{field}_{label}.parquet"

    def log(self, rule: str, *wildcards: str) -> str:
        """Return the path of a job's log file."""
        return f"{self.results}/logs/{rule}/{'_'.join(wildcards) or rule}.log"

    def benchmark(self, rule: str, *wildcards: str) -> str:
        """Return the path of Snakemake's record of a job's time and memory."""
        return f"{self.results}/benchmarks/{rule}/{'_'.join(wildcards) or rule}.tsv"


class ExportLayout:
    """Paths of an exported model, as text: one folder that is complete.

    Parameters
    ----------
    folder : str
        The folder.
    """

    def __init__(self, folder: str) -> None:
        folder = str(folder).rstrip("/")
        self.weights = f"{folder}/model.safetensors"
        self.config = f"{folder}/config.json"
        self.vocab_spec = f"{folder}/vocab_spec.json"
        self.scalar_tokenizer = f"{folder}/scalar_tokenizer.npz"
        self.spectrum_tokenizer = f"{folder}/spectrum_tokenizer.npz"
        self.autoencoder = f"{folder}/image_autoencoder.safetensors"
        self.image_codebook = f"{folder}/image_codebook.npz"
        self.card = f"{folder}/README.md"

    @property
    def label(self) -> str:
        """Path of the label that a model was fine-tuned to; an exported model has none."""
        return f"{Path(self.card).parent}/label.safetensors"


def every_name(folder: str | Path) -> Iterator[Path]:
    """Yield the absolute paths of an existing folder: the one given, and the target of each link.

    Files beside the folder are looked up beside each of these paths: a link may lead to the folder
    from elsewhere, or the folder may be elsewhere and a link replace it.

    Parameters
    ----------
    folder : path
        Absolute path, or relative to the working folder as the shell names it, links included.
    """
    folder = Path(folder)
    # The shell's name of the working folder may contain links, the system's does not.
    for start in filter(None, (os.environ.get("PWD"), os.getcwd())):
        name = Path(os.path.normpath(Path(start, folder)))
        if name.exists() and name.samefile(folder):
            yield from _along(name)
    yield folder.resolve()


def _along(name: Path) -> Iterator[Path]:
    """Yield a path and, link by link, the paths that it resolves to."""
    yield name
    while name.is_symlink():
        name = Path(os.path.realpath(name.parent)) / name.readlink()
        name = Path(os.path.realpath(name.parent)) / name.name
        yield name
