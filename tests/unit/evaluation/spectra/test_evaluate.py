"""How well spectrum codes keep the spectra."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.schema import SpectrumSettings
from astromodal.errors import FormatError
from astromodal.evaluation.spectra import evaluate as spectra
from astromodal.evaluation.spectra.evaluate import evaluate_spectra
from astromodal.surveys.registry import grid_group
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.grids import SpectrumGroupTokenizer
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer, scale_column
from astromodal.tokenizers.spectra.tokens import encode_field_spectra

SPECTRUM = SpectrumSettings(groups=("desi_b",), codebook_size=1024, max_spec_tokens_per_group=40)
SETTINGS = {
    "tokenizers.spectrum": SPECTRUM.model_dump(),
    "evaluation.max_objects": 20,
    "evaluation.n_examples": 2,
}
GRID = grid_group("desi_b").grid(SPECTRUM).points()


def _tokenizer(n_codes=1024):
    side = int(np.sqrt(n_codes))
    pairs = np.stack(np.meshgrid(np.linspace(-1, 2, side), np.linspace(-0.4, 0.4, side)), axis=-1)
    centroids = pairs.reshape(-1, 2).astype(np.float32)[:n_codes]
    group = SpectrumGroupTokenizer.fitted(
        "desi_b", NearestCentroid(centroids), np.zeros(3), np.ones(3), SPECTRUM,
        NoiseProfile.unknown(),
    )  # fmt: skip
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


@pytest.fixture
def run(context, as_evaluated, tmp_path):
    """Encode a field and evaluate its codes."""

    def go(field, tokenizer, trained=()):
        encode_field_spectra(field.cube, tokenizer).save(tmp_path / "tokens.npz")
        tokenizer.save(tmp_path / "tokenizer.npz")
        fields = as_evaluated([field], trained, tokens=[tmp_path / "tokens.npz"])
        return evaluate_spectra(context(fields, SETTINGS), tmp_path / "tokenizer.npz")

    return go


def test_good_codes_are_found_good(run, make_field):
    """With a fine codebook little but noise is lost, and the counts are right."""
    section = run(_cube(make_field, noise=0.1), _tokenizer())
    numbers = section.numbers.groups["desi_b"]
    assert (numbers.n_live, numbers.n_dead) == (15, 1)
    assert numbers.bins_r2.value > 0.9
    assert 0.8 < numbers.chi2.value < 1.5
    assert numbers.worst_continuum_error < 0.1
    assert section.headlines[0].verdict == "good"
    assert numbers.codebook.tokens == 15 * grid_group("desi_b").n_slots(SPECTRUM)
    assert sum(b.n for b in numbers.snr) == 15


def test_coarse_codes_are_found_bad(run, make_field):
    """With a codebook of four codes the continuum is lost, and the report says so."""
    section = run(_cube(make_field), _tokenizer(4))
    assert section.headlines[0].verdict == "bad"


def test_a_followed_continuum_is_not_enough(run, make_field, monkeypatch):
    """Codes that keep it, but less of the variance than the mark, fall short."""
    monkeypatch.setattr(spectra, "NEARLY_ALL", 1.1)
    section = run(_cube(make_field), _tokenizer())
    assert section.numbers.groups["desi_b"].worst_continuum_error < 0.1
    assert section.headlines[0].verdict == "bad"


def test_figures_have_tables(run, make_field, tmp_path, real_figures):
    """Examples, wavelength, quality and codebook each have a figure file and a table of rows."""
    section = run(_cube(make_field), _tokenizer())
    names = ["examples_desi", "along_desi", "quality", "codebooks", "lines_desi"]
    assert [f.file for f in section.figures] == [f"{name}.png" for name in names]
    assert all(f.table.rows and f.see for f in section.figures)
    assert all((tmp_path / "figures" / f.file).is_file() for f in section.figures)


def test_spectra_without_lines_give_no_redshift(run, make_field):
    """A smooth continuum determines none: the section says so, and no headline claims one."""
    section = run(_cube(make_field), _tokenizer())
    assert "DESI: no spectrum determines a redshift." in section.notes
    assert section.numbers.redshifts["desi"].n_objects == 15
    assert [h.label for h in section.headlines] == ["Spectra desi_b: χ² of pixels"]


def test_empty_codebook_is_said(run, make_field):
    """A group that no training field has is named, and nothing crashes."""
    section = run(_cube(make_field), _tokenizer(0))
    assert section.figures == []
    assert any("desi_b: the codebook is empty" in note for note in section.notes)
    assert "No spectrum could be evaluated." in section.notes


def test_field_without_spectra_is_said(run, make_field):
    """A cube without any DESI column gives a report that says what is not there."""
    field = make_field("F", {"mag": np.ones(3)}, 3)
    section = run(field, _tokenizer())
    assert "desi_b: no evaluated object has a live spectrum." in section.notes


def test_trained_field_gives_only_its_test_split(run, make_field):
    """Of a field that trained, only the spectra of test objects are evaluated."""
    section = run(_cube(make_field, dead=()), _tokenizer(), trained=("F",))
    assert section.numbers.groups["desi_b"].n_live == 8


def test_codes_of_another_tokenizer_are_refused(context, make_field, as_evaluated, tmp_path):
    """Codes are not decoded with a tokenizer that did not make them."""
    field = _cube(make_field, n=2, dead=())
    encode_field_spectra(field.cube, _tokenizer(4)).save(tmp_path / "tokens.npz")
    _tokenizer().save(tmp_path / "tokenizer.npz")
    fields = as_evaluated([field], [], tokens=[tmp_path / "tokens.npz"])
    with pytest.raises(FormatError, match="made by the tokenizer of hash"):
        evaluate_spectra(context(fields, SETTINGS), tmp_path / "tokenizer.npz")
