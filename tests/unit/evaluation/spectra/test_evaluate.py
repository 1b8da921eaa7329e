"""How well spectrum codes keep the spectra."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, SpectrumSettings
from astromodal.errors import FormatError
from astromodal.evaluation.spectra import evaluate as spectra
from astromodal.evaluation.spectra.evaluate import evaluate_spectra
from astromodal.evaluation.spectra.figures import choose_examples
from astromodal.evaluation.spectra.measures import continuum_error, look_along
from astromodal.evaluation.spectra.sample import GroupSample
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.groups import SpectrumGroupTokenizer
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer, scale_column
from astromodal.tokenizers.spectra.tokens import encode_field_spectra

SPECTRUM = SpectrumSettings(groups=("desi_b",), codebook_size=1024, max_spec_tokens_per_group=32)
SETTINGS = EvaluationSettings(max_objects=20, n_examples=2)
GRID = grid_group("desi_b").grid(SPECTRUM).points()


def _tokenizer(n_codes=1024):
    side = int(np.sqrt(n_codes))
    pairs = np.stack(np.meshgrid(np.linspace(-1, 2, side), np.linspace(0, 6, side)), axis=-1)
    centroids = pairs.reshape(-1, 2).astype(np.float32)[:n_codes]
    group = SpectrumGroupTokenizer.fitted("desi_b", centroids, np.zeros(2), np.ones(2), SPECTRUM)
    names = (scale_column("desi_b"),)
    scales = np.linspace(-1, 3, 500)[:, None]
    bins = ScalarTokenizer.fit(ColumnSummaries.of(scales, names), names, 200)
    return SpectrumTokenizer({"desi_b": group}, bins, 1024)


def _cube(make_field, n=16, dead=(3,), noise=0.05):
    rng = np.random.default_rng(5)
    level = 10 ** rng.uniform(0, 2, n)[:, None]
    shape = 1 + 0.5 * np.sin(GRID / 300 + rng.uniform(0, 6, (n, 1)))
    flux = (level * (shape + noise * rng.normal(size=(n, len(GRID))))).astype(np.float32)
    ivar = np.broadcast_to(1 / (noise * level) ** 2, flux.shape).astype(np.float32).copy()
    ivar[list(dead)] = 0
    columns = {
        f"desi_{name}_b": pa.array(list(values), pa.list_(pa.float32()))
        for name, values in (("flux", flux), ("ivar", ivar), ("wave", np.tile(GRID, (n, 1))))
    }
    return make_field("F", columns, n)


def _run(field, tokenizer, as_evaluated, tmp_path, trained=()):
    encode_field_spectra(field.cube, tokenizer, SPECTRUM).save(tmp_path / "tokens.npz")
    tokenizer.save(tmp_path / "tokenizer.npz")
    fields = as_evaluated([field], trained, tokens=[tmp_path / "tokens.npz"])
    settings = (SPECTRUM, SETTINGS, ColumnSettings(), tmp_path / "figures")
    return evaluate_spectra(fields, tmp_path / "tokenizer.npz", *settings)


def _sample(flux, decoded, ivar=None):
    n = len(flux)
    ivar = np.ones(flux.shape) if ivar is None else ivar
    ids = np.array([f"o{i}" for i in range(n)])
    return GroupSample(ids, flux, ivar, decoded, np.ones(n), np.ones(n), np.ones(4, int), 0)


def test_continuum_error_by_hand():
    """A mean of 12 for 9 is off by 3; relative to a scale of 12 and a flux of 9 that is 3 / 15."""
    observed, decoded = np.array([[8.0, 10, 99]]), np.array([[11.0, 13, 0]])
    good = np.array([[True, True, False]])
    assert continuum_error(observed, decoded, good, np.array([12.0])) == pytest.approx([0.2])


def test_a_shifted_arm_is_seen_where_it_is():
    """Decoded flux that is wrong in one stretch only shows there and nowhere else."""
    flux = np.random.default_rng(0).uniform(1, 2, (8, 64))
    decoded = flux.copy()
    decoded[:, 60:] *= 1.5
    along = look_along(_sample(flux, decoded), np.arange(64.0), seed=0)
    assert np.abs(along.offset[:-1]).max() < 1e-12
    assert along.offset[-1] > 0.2
    assert along.worst() > 0.2
    assert (along.start[0], along.stop[-1]) == (0.0, 63.0)


def test_a_stretch_without_good_bins_has_no_numbers():
    """Where no object has a good bin nothing is claimed."""
    flux = np.random.default_rng(0).uniform(1, 2, (4, 32))
    ivar = np.ones(flux.shape)
    ivar[:, :2] = 0
    along = look_along(_sample(flux, flux, ivar), np.arange(32.0), seed=0)
    assert along.live[0] == 0
    assert np.isnan(along.offset[0])
    assert along.worst() == 0


def test_examples_span_the_signal_to_noise():
    """Examples are evenly spaced in rank: the best and the worst object are among them."""
    flux = np.arange(1.0, 11)[:, None] * np.ones((10, 8))
    chosen = choose_examples({"desi_b": _sample(flux, flux)}, 3)
    assert [name for name, _ in chosen] == ["o9", "o5", "o0"]


def test_good_codes_are_found_good(make_field, as_evaluated, tmp_path):
    """With a fine codebook R² is near 1, the continuum is followed, and the counts are right."""
    part = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    numbers = part["numbers"]["groups"]["desi_b"]
    assert (numbers["n_live"], numbers["n_dead"]) == (15, 1)
    assert numbers["r2"]["value"] > 0.9
    assert numbers["worst_continuum_error"] < 0.1
    assert part["headlines"][0]["verdict"] == "good"
    assert numbers["codebook"]["tokens"] == 15 * grid_group("desi_b").n_bins(SPECTRUM)
    assert sum(b["n"] for b in numbers["snr"]) == 15


def test_coarse_codes_are_found_bad(make_field, as_evaluated, tmp_path):
    """With a codebook of four codes the continuum is lost, and the report says so."""
    part = _run(_cube(make_field), _tokenizer(4), as_evaluated, tmp_path)
    assert part["headlines"][0]["verdict"] == "bad"


def test_a_followed_continuum_is_not_enough(make_field, as_evaluated, tmp_path, monkeypatch):
    """Codes that keep it, but less of the variance than is asked for, fall short."""
    monkeypatch.setattr(spectra, "NEARLY_ALL", 1.1)
    part = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    assert part["numbers"]["groups"]["desi_b"]["worst_continuum_error"] < 0.1
    assert part["headlines"][0]["verdict"] == "bad"


def test_figures_have_tables(make_field, as_evaluated, tmp_path, real_figures):
    """Examples, wavelength, quality and codebook each have a figure file and a table of rows."""
    part = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    names = ["examples_desi", "along_desi", "quality", "codebooks"]
    assert [f["file"] for f in part["figures"]] == [f"{name}.png" for name in names]
    assert all(f["table"]["rows"] and f["see"] for f in part["figures"])
    assert all((tmp_path / "figures" / f["file"]).is_file() for f in part["figures"])


def test_empty_codebook_is_said(make_field, as_evaluated, tmp_path):
    """A group that no training field has is named, and nothing crashes."""
    part = _run(_cube(make_field), _tokenizer(0), as_evaluated, tmp_path)
    assert part["figures"] == []
    assert any("desi_b: the codebook is empty" in note for note in part["notes"])
    assert "No spectrum could be evaluated." in part["notes"]


def test_field_without_spectra_is_said(make_field, as_evaluated, tmp_path):
    """A cube without any DESI column gives a report that says what is not there."""
    field = make_field("F", {"mag": np.ones(3)}, 3)
    part = _run(field, _tokenizer(), as_evaluated, tmp_path)
    assert "desi_b: no evaluated object has a live spectrum." in part["notes"]


def test_trained_field_gives_only_its_test_split(make_field, as_evaluated, tmp_path):
    """Of a field that trained, only the spectra of test objects are looked at."""
    part = _run(_cube(make_field, dead=()), _tokenizer(), as_evaluated, tmp_path, trained=("F",))
    assert part["numbers"]["groups"]["desi_b"]["n_live"] == 8


def test_codes_of_another_tokenizer_are_refused(make_field, as_evaluated, tmp_path):
    """Codes are not decoded with a tokenizer that did not make them."""
    field = _cube(make_field, n=2, dead=())
    encode_field_spectra(field.cube, _tokenizer(4), SPECTRUM).save(tmp_path / "tokens.npz")
    _tokenizer().save(tmp_path / "tokenizer.npz")
    fields = as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"])
    settings = (SPECTRUM, SETTINGS, ColumnSettings(), tmp_path / "figures")
    with pytest.raises(FormatError, match="made by the tokenizer of hash"):
        evaluate_spectra(fields, tmp_path / "tokenizer.npz", *settings)
