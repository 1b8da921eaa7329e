"""How well scalar codes keep the scalars."""

import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.errors import FormatError
from astromodal.evaluation.scalars.evaluate import evaluate_scalars
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, encode_field_scalars

COLUMNS = ("mag_r", "err_mag_r", "empty")
SETTINGS = {"evaluation.max_objects": 150, "evaluation.n_examples": 2}


def _tokenizer(n_bins=8):
    rng = np.random.default_rng(0)
    values = np.column_stack(
        [rng.uniform(14, 22, 4000), rng.uniform(0.01, 0.1, 4000), np.full(4000, np.nan)]
    )
    return ScalarTokenizer.fit(ColumnSummaries.of(values, COLUMNS), COLUMNS, n_bins)


def _field(make_field, tokenizer, tmp_path, n=400, seed=1, **changes):
    rng = np.random.default_rng(seed)
    columns = {"mag_r": rng.uniform(14, 22, n), "err_mag_r": rng.uniform(0.01, 0.1, n)}
    columns["mag_r"][:10] = np.nan
    field = make_field("F", {**columns, **changes}, n)
    tokens = encode_field_scalars(field.cube, field.split, tokenizer)
    tokens.save(tmp_path / "tokens.npz")
    tokenizer.save(tmp_path / "tokenizer.npz")
    return field, tokens


@pytest.fixture
def run(context, tmp_path):
    """Evaluate fields with the tokenizer of `_field`."""
    return lambda fields: evaluate_scalars(context(fields, SETTINGS), tmp_path / "tokenizer.npz")


def test_uniform_values_err_by_a_quarter_of_a_bin(run, make_field, as_evaluated, tmp_path):
    """Values spread evenly inside their bins have the best possible error, in bins and in units."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    mag = section.numbers.columns["mag_r"]
    assert mag.median_bins.value == pytest.approx(0.25, abs=0.06)
    assert mag.median.value == pytest.approx(0.25, abs=0.06)  # eight bins of 1 mag
    assert mag.best_possible == pytest.approx(0.25, abs=0.02)
    assert mag.median_rank.value == pytest.approx(0.25 / 8, rel=0.25)
    assert section.headlines[0].verdict == "good"


def test_error_is_compared_with_the_catalogues(run, make_field, as_evaluated, tmp_path):
    """A magnitude's decoding error is given in units of the catalogue's own error."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    columns = section.numbers.columns
    assert columns["mag_r"].of_measurement_error == pytest.approx(0.25 / 0.055, rel=0.5)
    assert np.isnan(columns["err_mag_r"].of_measurement_error)


def test_counts(run, make_field, as_evaluated, tmp_path):
    """Objects, missing values and used bins are counted; max_objects bounds the sample."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    assert (section.numbers.n_objects, section.numbers.n_eligible) == (150, 400)
    mag = section.numbers.columns["mag_r"]
    assert mag.n + round(mag.missing * 150) == 150
    assert (mag.used, mag.n_codes) == (1.0, 8)


def test_trained_field_gives_only_its_test_split(run, make_field, as_evaluated, tmp_path):
    """Of a field that trained half of the rows, those in the test split, are evaluated."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    section = run(as_evaluated([field], ["F"], tokens=[tmp_path / "tokens.npz"]))
    assert section.numbers.n_eligible == 200


def test_column_without_bins_is_said(run, make_field, as_evaluated, tmp_path):
    """A column that no training field has is named as not evaluated, with its unit in the table."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    assert "No bins, because no training object has a value: empty." in section.notes
    assert [row[0] for row in section.figures[0].table.rows] == list(COLUMNS)


def test_single_training_value_is_said(run, make_field, as_evaluated, tmp_path):
    """A column that holds one value in training has bins of no width, and the notes say so."""
    values = np.column_stack([np.linspace(14, 22, 50), np.full(50, 0.05), np.full(50, np.nan)])
    tokenizer = ScalarTokenizer.fit(ColumnSummaries.of(values, COLUMNS), COLUMNS, 8)
    field, _ = _field(make_field, tokenizer, tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    assert "A single value in training, so no bin has a width: err_mag_r." in section.notes


def test_a_value_without_its_code_is_refused(run, make_field, as_evaluated, tmp_path):
    """As it is where a cube has gained values since it was encoded."""
    field, tokens = _field(make_field, _tokenizer(), tmp_path)
    tokens.codes[:, 1] = MISSING_CODE
    tokens.save(tmp_path / "tokens.npz")
    with pytest.raises(FormatError, match="field F: codes of scalars must be those"):
        run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))


def test_no_object_to_evaluate(run, make_field, as_evaluated, tmp_path):
    """A field where nothing is selected gives a report that says so, and no figure."""
    tokenizer = _tokenizer()
    field = make_field("F", {"mag_r": np.ones(4)}, 4, selected=np.zeros(4, bool))
    encode_field_scalars(field.cube, field.split, tokenizer).save(tmp_path / "tokens.npz")
    tokenizer.save(tmp_path / "tokenizer.npz")
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    assert section.figures == section.headlines == []
    assert "There is no object to evaluate scalars on." in section.notes


def test_no_field_at_all(run, tmp_path):
    """Without a field there is nothing to evaluate, and that is said."""
    _tokenizer().save(tmp_path / "tokenizer.npz")
    section = run([])
    assert section.numbers.n_objects == 0
    assert section.notes


def test_codes_of_another_tokenizer_are_refused(run, make_field, as_evaluated, tmp_path):
    """Codes are not decoded with a tokenizer that did not make them."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    _tokenizer(16).save(tmp_path / "tokenizer.npz")
    with pytest.raises(FormatError, match="made by the tokenizer of hash"):
        run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))


def test_codes_of_an_earlier_cube_are_refused(run, make_field, as_evaluated, tmp_path):
    """Where values changed since, codes do not stand beside them; the error names both hashes."""
    field, _ = _field(make_field, _tokenizer(), tmp_path)
    make_field("F", {"mag_r": np.full(400, 18.0), "err_mag_r": np.full(400, 0.05)}, 400)
    hashes = r"as it is now, of hash [0-9a-f]{16}, got [0-9a-f]{16}; run encode_scalars again"
    with pytest.raises(FormatError, match=f"field F: codes of scalars must be those .* {hashes}"):
        run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))


def test_values_at_the_edge_of_their_bins_fall_short(run, make_field, as_evaluated, tmp_path):
    """Centers at the upper edge of their bins err by far more than half a bin, and that is said."""
    tokenizer = _tokenizer()
    shifted = ScalarTokenizer(
        COLUMNS, tokenizer.edges, tokenizer.edges[:, 1:] + 0.5, tokenizer.weights
    )
    field, _ = _field(make_field, shifted, tmp_path)
    section = run(as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"]))
    assert section.headlines[0].verdict == "bad"
    assert section.numbers.columns_over_half_a_bin == ("mag_r", "err_mag_r")
