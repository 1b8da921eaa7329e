"""How well light-curve codes keep the light curves."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.errors import FormatError
from astromodal.evaluation.spectra.evaluate import evaluate_spectra
from astromodal.evaluation.spectra.light_curves import (
    CurveSample,
    curve_chi2,
    end_error,
    measure_curves,
    sample_curves,
)
from astromodal.evaluation.spectra.sample import only_curves
from astromodal.surveys.light_curves import LightCurveBatch
from astromodal.tokenizers.light_curves import DecodedCurves
from astromodal.tokenizers.spectra.tokens import encode_field_spectra, load_spectrum_tokens
from helpers.light_curves import SETTINGS, curve_columns, tokenizer_of
from helpers.spectra import desi_columns, spectra

EVALUATION = {
    "tokenizers.spectrum": SETTINGS.model_dump(),
    "evaluation.max_objects": 30,
    "evaluation.n_examples": 3,
}


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
    lists = [[x[k] if has[k] else None for k in range(n)] for x in (flux, ivar)]
    columns |= desi_columns(*lists)
    return make_field("F", {k: pa.array(v, pa.list_(pa.float64())) for k, v in columns.items()}, n)


@pytest.fixture
def evaluated(field, as_evaluated, tmp_path):
    """The field with its codes, and its tokenizer."""
    coder = tokenizer_of(field.cube)
    coder.save(tmp_path / "tokenizer.npz")
    encode_field_spectra(field.cube, coder).save(tmp_path / "tokens.npz")
    return as_evaluated([field], (), tokens=[tmp_path / "tokens.npz"]), coder


def test_chi2_by_hand():
    """Errors of 0.1 mag: off by 0, 0.1, 0.2 is a mean of 5/3; about the median there are 2."""
    found = sample([18.0, 18.1, 18.2], [18.0, 18.2, 18.4], [0.0, 1, 2], [0.0, 1, 2])
    chi2, residual, total = curve_chi2(found)
    assert (chi2[0], residual[0], total[0]) == pytest.approx((5 / 3, 5, 2))
    assert measure_curves(found, 0).r2.value == pytest.approx(1 - 5 / 2)


def test_the_error_of_the_duration_by_hand():
    """10 days that decode to 12 are off by a fifth; a single epoch has no duration."""
    assert end_error(sample([18.0, 18], [18.0, 18], [5.0, 15], [0.0, 12])) == pytest.approx([0.2])
    assert np.isnan(end_error(sample([18.0], [18.0], [5.0], [0.0]))).all()


def test_steps_are_compared_by_their_logarithms():
    """Steps of 0 and 1 day that decode to 0 and 3: half of ln 2."""
    found = sample([18.0, 18], [18.0, 18], [5.0, 6], [0.0, 3])
    assert measure_curves(found, 0).step_error.value == pytest.approx(np.log(2) / 2)


def test_signal_to_noise_is_that_of_the_flux():
    """An error of 0.1 mag is a S/N of 10.86."""
    assert sample([18.0], [18.0], [0.0], [0.0]).snr() == pytest.approx([10.857], rel=1e-3)


def test_light_curves_have_their_own_numbers_and_figures(context, evaluated, tmp_path):
    """And the spectra have theirs, although most objects have light curves only."""
    fields, _ = evaluated
    section = evaluate_spectra(context(fields, EVALUATION), tmp_path / "tokenizer.npz")
    assert section.numbers.groups["desi_r"].n_live == 3
    assert list(section.numbers.groups) == ["desi_r"]
    numbers = section.numbers.light_curves["ztf_r"]
    assert numbers.n_curves == 30
    assert numbers.chi2.value < 1
    assert numbers.r2.value > 0.5
    assert sum(b.n for b in numbers.snr) == 30
    names = {f.file for f in section.figures}
    curves = {f"{n}_light_curves.png" for n in ("examples", "quality", "codebooks")}
    assert curves < names
    assert any(h.label.startswith("Light curves ztf_g") for h in section.headlines)


def test_a_field_without_light_curves_is_noted(
    context, make_field, evaluated, as_evaluated, tmp_path
):
    """There is no figure, and the notes say so."""
    empty = make_field("E", {}, 4)
    encode_field_spectra(empty.cube, evaluated[1]).save(tmp_path / "empty.npz")
    fields = as_evaluated([empty], (), tokens=[tmp_path / "empty.npz"])
    section = evaluate_spectra(context(fields, EVALUATION), tmp_path / "tokenizer.npz")
    assert section.figures == []
    assert "ztf_r: no evaluated object has a light curve with codes." in section.notes


def test_objects_with_light_curves_only(evaluated, tmp_path):
    """They are not in the sample of spectra."""
    tokens = load_spectrum_tokens(tmp_path / "tokens.npz", evaluated[1].hash)
    assert tokens.row[~only_curves(tokens)].tolist() == [3, 4, 5]


def test_codes_of_other_light_curves_are_refused(
    context, evaluated, field, make_field, as_evaluated
):
    """As they are where a cube was changed after it was encoded."""
    fields, coder = evaluated
    shorter = {
        name: pa.array([None if own is None else own[1:] for own in lists], pa.list_(pa.float64()))
        for name, lists in curve_columns().items()
    }
    changed = make_field("F", shorter, field.cube.n_rows)
    fields = as_evaluated([changed], (), tokens=[fields[0].files["tokens"]])
    with pytest.raises(FormatError, match="ztf_g codes of tokens.npz must be of the cube's light"):
        sample_curves(context(fields, EVALUATION), coder)
