"""How well light-curve codes keep the light curves."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.errors import FormatError
from astromodal.evaluation.light_curves.evaluate import curve_chi2, curve_numbers, end_error
from astromodal.evaluation.light_curves.sample import CurveSample, sample_curves
from astromodal.evaluation.spectra.evaluate import evaluate_spectra
from astromodal.evaluation.spectra.sample import only_curves
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.tokenizers.light_curves import DecodedCurves
from astromodal.tokenizers.spectra.tokens import encode_field_spectra, load_spectrum_tokens
from helpers.light_curves import SETTINGS, curve_columns, tokenizer_of
from helpers.spectra import desi_columns, spectra

EVALUATION = EvaluationSettings(max_objects=30, n_examples=3)


def sample(mag, decoded, time, decoded_time, error=0.1):
    """One curve."""
    n = len(mag)
    indptr = np.array([0, n])
    observed = LightCurveBatch(
        np.zeros(1, np.int32), indptr, np.array(time), np.array(mag), np.full(n, error)
    )
    step = np.diff(decoded_time, prepend=decoded_time[0])
    codes = DecodedCurves(
        indptr, np.array(decoded_time), step, np.array(decoded), np.full(n, error)
    )
    median = np.array([np.median(mag)])
    return CurveSample(np.array(["o"]), observed, codes, median, median, np.array([n]))


@pytest.fixture
def field(make_field):
    """Simulated light curves; three rows also have a DESI spectrum."""
    columns = curve_columns()
    n = len(columns["ztf_mag_r"])
    flux, ivar = spectra(n)
    has = [k in (3, 4, 5) for k in range(n)]
    parts = [[x[k] if has[k] else None for k in range(n)] for x in (flux, ivar)]
    columns |= desi_columns(*parts)
    return make_field("F", {k: pa.array(v, pa.list_(pa.float64())) for k, v in columns.items()}, n)


@pytest.fixture
def evaluated(field, as_evaluated, tmp_path):
    """The field with its codes, and its tokenizer."""
    coder = tokenizer_of(field.cube)
    coder.save(tmp_path / "tokenizer.npz")
    encode_field_spectra(field.cube, coder, SETTINGS).save(tmp_path / "tokens.npz")
    return as_evaluated([field], (), tokens=[tmp_path / "tokens.npz"]), coder


def test_chi2_by_hand():
    """Errors of 0.1 mag: off by 0, 0.1, 0.2 is a mean of 5/3; about the median there are 2."""
    found = sample([18.0, 18.1, 18.2], [18.0, 18.2, 18.4], [0.0, 1, 2], [0.0, 1, 2])
    chi2, residual, total = curve_chi2(found)
    assert (chi2[0], residual[0], total[0]) == pytest.approx((5 / 3, 5, 2))
    assert curve_numbers(found, 0)["r2"]["value"] == pytest.approx(1 - 5 / 2)


def test_the_error_of_the_duration_by_hand():
    """10 days that decode to 12 are off by a fifth; a single epoch has no duration."""
    assert end_error(sample([18.0, 18], [18.0, 18], [5.0, 15], [0.0, 12])) == pytest.approx([0.2])
    assert np.isnan(end_error(sample([18.0], [18.0], [5.0], [0.0]))).all()


def test_steps_are_compared_by_their_logarithms():
    """Steps of 0 and 1 day that decode to 0 and 3: half of ln 2."""
    found = sample([18.0, 18], [18.0, 18], [5.0, 6], [0.0, 3])
    assert curve_numbers(found, 0)["step_error"]["value"] == pytest.approx(np.log(2) / 2)


def test_signal_to_noise_is_that_of_the_flux():
    """An error of 0.1 mag is a S/N of 10.86."""
    assert sample([18.0], [18.0], [0.0], [0.0]).snr() == pytest.approx([10.857], rel=1e-3)


def test_light_curves_have_their_own_numbers_and_figures(evaluated, tmp_path):
    """Beside the spectra's, which are found though most objects have light curves only."""
    fields, _ = evaluated
    settings = (SETTINGS, EVALUATION, ColumnSettings(), tmp_path / "figures")
    part = evaluate_spectra(fields, tmp_path / "tokenizer.npz", *settings)
    assert part["numbers"]["groups"]["desi_r"]["n_live"] == 3
    assert list(part["numbers"]["groups"]) == ["desi_r"]
    numbers = part["numbers"]["light_curves"]["ztf_r"]
    assert numbers["n_curves"] == 30
    assert numbers["chi2"]["value"] < 1
    assert numbers["r2"]["value"] > 0.5
    assert sum(b["n"] for b in numbers["snr"]) == 30
    names = {f["file"] for f in part["figures"]}
    curves = {f"{n}_light_curves.png" for n in ("examples", "quality", "codebooks")}
    assert curves < names
    assert any(h["label"].startswith("Light curves ztf_g") for h in part["headlines"])


def test_a_field_without_light_curves_is_noted(make_field, evaluated, as_evaluated, tmp_path):
    """Nothing is drawn, and the notes say so."""
    empty = make_field("E", {}, 4)
    encode_field_spectra(empty.cube, evaluated[1], SETTINGS).save(tmp_path / "empty.npz")
    fields = as_evaluated([empty], (), tokens=[tmp_path / "empty.npz"])
    settings = (SETTINGS, EVALUATION, ColumnSettings(), tmp_path / "figures")
    part = evaluate_spectra(fields, tmp_path / "tokenizer.npz", *settings)
    assert part["figures"] == []
    assert "ztf_r: no evaluated object has a light curve with codes." in part["notes"]


def test_objects_with_light_curves_only(evaluated, tmp_path):
    """They are no part of the spectra's sample."""
    tokens = load_spectrum_tokens(tmp_path / "tokens.npz", evaluated[1].hash)
    assert tokens.row[~only_curves(tokens)].tolist() == [3, 4, 5]


def test_codes_of_other_light_curves_are_refused(evaluated, field, make_field, as_evaluated):
    """A cube that was changed since it was encoded."""
    fields, coder = evaluated
    shorter = {
        name: pa.array([None if own is None else own[1:] for own in lists], pa.list_(pa.float64()))
        for name, lists in curve_columns().items()
    }
    changed = make_field("F", shorter, field.cube.n_rows)
    fields = as_evaluated([changed], (), tokens=[fields[0].files["tokens"]])
    with pytest.raises(FormatError, match="ztf_g codes of tokens.npz must be of the cube's light"):
        sample_curves(fields, coder, EVALUATION, ColumnSettings())
