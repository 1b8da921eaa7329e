"""Fields of cubes with sequences that a toy model reads."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.config import load_config
from astromodal.config.schema import SelectionSettings, SplitSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, split_field
from astromodal.evaluation.context import ModelContext, evaluated_fields
from astromodal.evaluation.reconstruction.evaluate import evaluate_reconstruction
from astromodal.evaluation.reconstruction.sample import ReconstructionInputs
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.store import pack_field
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.scalars.tokenizer import encode_field_scalars
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from helpers.cutouts import SETTINGS as IMAGE
from helpers.model import COLUMNS, cube_table, toy_bundle

SETTINGS = {
    "evaluation": {
        "max_objects": 30,
        "n_examples": 2,
        "reconstruction": {
            "max_objects": 4, "n_samples": 2, "columns": [*COLUMNS[:1], *COLUMNS[2:3]]
        },
    }
}  # fmt: skip


@pytest.fixture(scope="session")
def bundle():
    return toy_bundle()


@pytest.fixture
def write_field(tmp_path, bundle):
    """Write a field's cube and sequences; every second object is in the test split."""

    def write(name, n=12, seed=0, drop=(), bundle=bundle):
        cube_path = tmp_path / f"datacube_{name}.parquet"
        table = cube_table(n, seed)
        pq.write_table(table.drop_columns([c for c in table.column_names if c in drop]), cube_path)
        cube = Cube(cube_path, name)
        split = split_field(cube, SplitSettings(), SelectionSettings(column=None))
        split.split[:] = np.where(np.arange(n) % 2, TEST, TRAIN)
        tokenizers = bundle.tokenizers
        paths = {what: tmp_path / f"{name}_{what}.npz" for what in ("s", "x", "i", "split")}
        encode_field_scalars(cube, split, tokenizers.scalar).save(paths["s"])
        encode_field_spectra(cube, tokenizers.spectrum).save(paths["x"])
        encode_field_images(cube, tokenizers.image, IMAGE)[0].save(paths["i"])
        split.save(paths["split"])
        sequences = tmp_path / f"{name}.safetensors"
        pack_field(*paths.values(), bundle.layout, sequences)
        return cube_path, sequences

    return write


@pytest.fixture
def model_context(tmp_path):
    """Make the context of a model that is in memory."""

    def make(fields, bundle):
        context = ModelContext(
            fields, load_config(SETTINGS), tmp_path / "figures", run=tmp_path / "run"
        )
        vars(context)["model"] = AstroModel(bundle)  # in place of the model of the run
        return context

    return make


@pytest.fixture
def inputs(write_field, model_context, bundle):
    """Two fields that nothing was trained on."""
    written = [write_field("H", seed=2), write_field("I", seed=3)]
    cubes, paths = zip(*written, strict=True)
    fields = evaluated_fields(["H", "I"], [], cube=cubes, sequences=paths)
    sequences = SequenceSet(paths, bundle.layout)
    every = np.arange(len(sequences))
    return ReconstructionInputs(model_context(fields, bundle), sequences, sequences, every)


@pytest.fixture
def evaluate(write_field, model_context, bundle):
    """Evaluate a toy model on the fields H, never trained on, and T, which trained it."""

    def run(bundle=bundle, drop=(), training_drop=(), only_held=False, newer=()):
        held = ("H", "I")
        written = [write_field("T", seed=1, drop=training_drop)]
        written += [write_field(name, seed=2 + i, drop=drop) for i, name in enumerate(held)]
        cubes, sequences = zip(*written, strict=True)
        for name in newer:  # columns that the last cube got after it was encoded
            table = pq.read_table(cubes[-1])
            column = cube_table(len(table), seed=9).column(name)
            place = table.column_names.index(name)
            pq.write_table(table.set_column(place, name, column), cubes[-1])
        fields = evaluated_fields(["T", *held], ["T"], cube=cubes, sequences=sequences)
        fields = fields[1:] if only_held else fields
        return evaluate_reconstruction(model_context(fields, bundle), [sequences[0]])

    return run
