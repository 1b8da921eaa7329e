"""What a toy model reconstructs, from cubes and sequences to the report's section."""

import numpy as np
import pytest

from astromodal.config.schema import ColumnSettings, SequenceSettings
from astromodal.data.columns import cutout_column
from astromodal.errors import FormatError
from astromodal.evaluation.held_out import evaluated_fields
from astromodal.evaluation.reconstruction.scalars import ALONE, sample_scalars
from astromodal.evaluation.reconstruction.scores import MODEL, SHAPE, TOKENIZER, Bench
from astromodal.evaluation.reconstruction.spectra import sample_spectra
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from helpers.cutouts import BANDS
from helpers.model import COLUMNS, CONFIG, EMPTY, cube_table, toy_bundle

from .conftest import SETTINGS

CUTOUTS = tuple(map(cutout_column, BANDS))
SPECTRA = ("desi_flux_r", "desi_ivar_r", "desi_wave_r")


@pytest.fixture
def bench(write_field, bundle):
    """Two fields that nothing was trained on."""
    written = [write_field("H", seed=2), write_field("I", seed=3)]
    cubes, paths = zip(*written, strict=True)
    fields = evaluated_fields(["H", "I"], [], cube=cubes, sequences=paths)
    sequences = SequenceSet(paths, bundle.layout)
    every = np.arange(len(sequences))
    return Bench(
        AstroModel(bundle), fields, ColumnSettings(), SETTINGS, sequences, sequences, every
    )


def test_every_block_is_asked_for(evaluate):
    """Scalars, the group that has a codebook, and cutouts: numbers, a headline and figures each."""
    section = evaluate()
    numbers = section["numbers"]
    assert set(numbers["scalar"]["columns"]) == {*COLUMNS} - {EMPTY}
    assert set(numbers["spectrum"]["groups"]) == {"desi_r"}
    assert numbers["image"]["bands"]
    assert len(section["headlines"]) == 3
    names = ["scalars", "images", "image_examples", "spectra", "spectrum_examples"]
    assert [f["file"].removesuffix(".png") for f in section["figures"]] == names
    assert all(f["caption"] and f["see"] and f["table"]["rows"] for f in section["figures"])
    assert any("gaiaxp_bp: no object that trained the model has it" in n for n in section["notes"])


def test_a_column_may_be_told_from_everything_else(evaluate):
    """Beside the blocks' answer, on the same objects."""
    columns = evaluate()["numbers"]["scalar"]["columns"]
    assert ALONE in columns[COLUMNS[0]]
    assert ALONE not in columns[COLUMNS[1]]
    assert ALONE not in columns["specz_z"]  # asked for, but a label: its error would be given
    assert columns[COLUMNS[0]][ALONE]["baseline"] == columns[COLUMNS[0]]["model"]


def test_objects_have_what_is_asked_and_another_block(bench):
    """Scalars are asked of those with a cutout or spectrum; never more than the cap."""
    objects = bench.having("scalar")
    assert len(objects) == 4
    assert (objects.has("image") | objects.has("desi_r")).all()


def test_truth_is_the_cube_s_own(bench):
    """Errors are estimates less the measured values of the very rows, in every field."""
    objects = bench.having("scalar")
    sample = sample_scalars(bench, objects)
    decoded = bench.model.tokenizers.scalar.decode(objects.codes("scalar"))[:, 0]
    truth = decoded - sample.errors[TOKENIZER][:, 0]
    fields, rows = bench.sequences.places(objects.numbers)
    table = [cube_table(seed=2 + i)[COLUMNS[0]].to_numpy() for i in range(2)]
    np.testing.assert_allclose(truth, [table[f][r] for f, r in zip(fields, rows, strict=True)])


def test_the_tokenizer_keeps_the_observed_spectrum(bench):
    """Rows of observed and decoded flux are of the same object: their S/N is high."""
    sample = sample_spectra(bench, bench.having("desi_r"), "desi_r")
    good = sample.ivar > 0
    away = np.abs(sample.ways[TOKENIZER] - sample.flux)[good]
    assert np.median(away) < 0.5 * np.median(np.abs(sample.flux[good]))


def test_brightness_told_leaves_the_shape(bench):
    """What the model expects is brought to the measured brightness, and its shape kept."""
    sample = sample_spectra(bench, bench.having("desi_r"), "desi_r")
    np.testing.assert_allclose(
        sample.ways[SHAPE], sample.factor[MODEL][:, None] * sample.ways[MODEL]
    )


def test_a_block_that_no_evaluated_object_has_is_a_note(evaluate):
    """A survey that matched nothing here is no error, and no number."""
    section = evaluate(drop=SPECTRA, only_held=True)
    assert "spectrum" not in section["numbers"]
    assert any("desi_r: no evaluated object has it" in n for n in section["notes"])


def test_a_block_that_trained_nothing_is_a_note(evaluate):
    """Tokenizers may know a group whose spectra the model never saw."""
    section = evaluate(training_drop=SPECTRA)
    assert "spectrum" not in section["numbers"]
    assert any("desi_r: no object that trained the model has it" in n for n in section["notes"])


def test_an_order_that_was_trained_alone_restricts_what_is_told(evaluate):
    """With a fixed order the cutout, first of all, has nothing to be told from."""
    fixed = CONFIG.model_copy(
        update={"sequences": SequenceSettings(max_seq_len=128, block_order="fixed")}
    )
    section = evaluate(bundle=toy_bundle(config=fixed))
    assert "image" not in section["numbers"]
    assert any("image: the model was trained on one order" in n for n in section["notes"])
    assert any("scalar: " in n and "told from image alone" in n for n in section["notes"])


@pytest.mark.usefixtures("real_figures")
def test_figures_are_written(evaluate, tmp_path):
    """Each as PNG, PDF and SVG."""
    section = evaluate()
    for figure in section["figures"]:
        stem = tmp_path / "figures" / figure["file"]
        assert all(stem.with_suffix(end).is_file() for end in (".png", ".pdf", ".svg"))


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        (COLUMNS[:1], "codes of scalars .*; run encode_scalars and pack_sequences again"),
        (SPECTRA[:1], "codes of desi_r spectra .*; run encode_spectra and pack_sequences again"),
        (CUTOUTS, "codes of cutouts .*; run encode_images and pack_sequences again"),
    ],
    ids=["scalars", "spectra", "cutouts"],
)
def test_codes_of_an_earlier_cube_are_refused(evaluate, columns, error):
    """Where a modality changed since, nothing is compared with what it was; the rules are told."""
    with pytest.raises(FormatError, match=f"field I: {error}"):
        evaluate(newer=columns)
