"""Fields of cubes that a toy model knows, with their sequences."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.config.evaluate import EvaluationSettings, ReconstructionSettings
from astromodal.config.schema import ColumnSettings, SelectionSettings, SplitSettings
from astromodal.data.cube import Cube
from astromodal.data.splits import TEST, TRAIN, split_field
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.reconstruction.evaluate import evaluate_reconstruction
from astromodal.inference.model import AstroModel
from astromodal.sequences.packing import pack_field
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.scalars.tokenizer import encode_field_scalars
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from helpers.cutouts import SETTINGS as IMAGE
from helpers.model import COLUMNS, cube_table, toy_bundle

SETTINGS = EvaluationSettings(
    max_objects=30,
    n_examples=2,
    reconstruction=ReconstructionSettings(
        max_objects=4, n_samples=2, columns=COLUMNS[:1] + COLUMNS[2:3]
    ),
)


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
        tokenizers, settings = bundle.tokenizers, bundle.trained.config.tokenizers
        paths = dict.fromkeys(("s", "x", "i", "split"), tmp_path / f"{name}_{part}.npz")
        encode_field_scalars(cube, split, tokenizers.scalar).save(paths["s"])
        encode_field_spectra(cube, tokenizers.spectrum, settings.spectrum).save(paths["x"])
        encode_field_images(cube, tokenizers.image, IMAGE)[0].save(paths["i"])
        split.save(paths["split"])
        sequences = tmp_path / f"{name}.safetensors"
        pack_field(*paths.values(), bundle.layout, sequences)
        return cube_path, sequences

    return write


@pytest.fixture
def evaluate(tmp_path, write_field, bundle):
    """Evaluate a toy model on the fields H, never trained on, and T, which trained it."""

    def go(bundle=bundle, drop=(), settings=SETTINGS, training_drop=(), only_held=False, newer=()):
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
        return evaluate_reconstruction(
            fields, [sequences[0]], AstroModel(bundle), settings, ColumnSettings(),
            tmp_path / "figures",
        )  # fmt: skip

    return go
