"""What a toy model reconstructs, from cubes and sequences to the report's section."""

import pytest

from astromodal.config.schema import SequenceSettings
from astromodal.data.columns import cutout_column
from astromodal.errors import FormatError
from astromodal.evaluation.reconstruction.sample import BASELINE, MODEL
from astromodal.evaluation.report.section import to_json
from helpers.cutouts import BANDS
from helpers.model import COLUMNS, CONFIG, EMPTY, toy_bundle

CUTOUTS = tuple(map(cutout_column, BANDS))
SPECTRA = ("desi_flux_r", "desi_ivar_r", "desi_wave_r")


def test_every_block_is_predicted(evaluate):
    """Scalars, the group that has a codebook, and cutouts: numbers, a headline and figures each."""
    section = evaluate()
    numbers = section.numbers
    assert set(numbers.scalar.columns) == {*COLUMNS} - {EMPTY}
    assert set(numbers.spectrum.groups) == {"desi_r"}
    assert numbers.image.bands
    assert len(section.headlines) == 3
    names = ["scalars", "images", "image_examples", "spectra", "spectrum_examples"]
    assert [f.file.removesuffix(".png") for f in section.figures] == names
    assert all(f.caption and f.see and f.table.rows for f in section.figures)
    assert any("gaiaxp_bp: no object that trained the model has it" in n for n in section.notes)


def test_a_column_may_be_predicted_from_everything_else(evaluate):
    """Compared with the prediction from other blocks, on the same objects."""
    columns = evaluate().numbers.scalar.columns
    first = columns[COLUMNS[0]]
    assert first.from_all.medians[BASELINE] == first.medians[MODEL]
    assert columns[COLUMNS[1]].from_all is None
    assert columns["specz_z"].from_all is None  # in the settings, but a label: its error is given


def test_numbers_and_hashes_are_saved(evaluate):
    """The file has every block's numbers by name, and the hash of the model."""
    section = evaluate()
    numbers = to_json(section.numbers)
    assert set(numbers["image"]["all"]) == {"n", "medians", "gain", "brightness"}
    assert numbers["spectrum"]["groups"]["desi_r"]["chi2"]["medians"]["model"].keys() >= {"value"}
    assert set(section.hashes) == {"transformer"}


def test_a_block_that_no_evaluated_object_has_is_a_note(evaluate):
    """A survey that matched nothing here is not an error, and has no number."""
    section = evaluate(drop=SPECTRA, only_held=True)
    assert section.numbers.spectrum is None
    assert any("desi_r: no evaluated object has it" in n for n in section.notes)


def test_a_block_that_trained_nothing_is_a_note(evaluate):
    """Tokenizers may know a group whose spectra the model was not trained on."""
    section = evaluate(training_drop=SPECTRA)
    assert section.numbers.spectrum is None
    assert any("desi_r: no object that trained the model has it" in n for n in section.notes)


def test_a_fixed_order_of_blocks_restricts_what_is_given(evaluate):
    """With a fixed order the cutout comes first, and cannot be predicted from anything.

    Scalars are asked after all blocks.
    """
    fixed = CONFIG.model_copy(
        update={"sequences": SequenceSettings(max_seq_len=128, block_order="fixed")}
    )
    section = evaluate(bundle=toy_bundle(config=fixed))
    assert section.numbers.image is None
    assert any("image: the model was trained on one order" in n for n in section.notes)
    assert any("desi_r: " in n and "from scalar, image alone" in n for n in section.notes)
    assert not any("scalar: the model" in n for n in section.notes)


@pytest.mark.usefixtures("real_figures")
def test_figures_are_written(evaluate, tmp_path):
    """Each as PNG, PDF and SVG."""
    section = evaluate()
    for figure in section.figures:
        stem = tmp_path / "figures" / figure.file
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
    """Where a modality has changed since, the error names the rules to run again."""
    with pytest.raises(FormatError, match=f"field I: {error}"):
        evaluate(newer=columns)
