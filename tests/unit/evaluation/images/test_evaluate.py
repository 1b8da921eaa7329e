"""How well image codes keep the cutouts, and verdicts that follow the marks in their notes."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.schema import ImageSettings
from astromodal.errors import FormatError
from astromodal.evaluation.images.evaluate import (
    add_headlines,
    describe_limits,
    evaluate_images,
    measure_images,
)
from astromodal.evaluation.images.measures import Losses, measure_limits
from astromodal.evaluation.images.photometry import ABOVE_BRIGHT, ColourChange, ColourNumbers
from astromodal.evaluation.images.sample import STAGES, HiddenBands
from astromodal.evaluation.report.section import Measurement, Section, to_json
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from helpers.cutouts import brightness_bins

IMAGE = ImageSettings(bands=("R", "Z"), size=24, hidden=8, blocks=1, codebook_size=16)
SETTINGS = {
    "evaluation": {"max_objects": 10, "n_examples": 2},
    "tokenizers": {"image": IMAGE.model_dump()},
}


def _tokenizer(n_codes=16):
    shape = shape_settings(IMAGE)
    normaliser = ImageNormaliser(IMAGE.bands, np.array([1.0, 1.0]))
    autoencoder = TrainedAutoencoder(build_model(shape).eval(), normaliser, shape, 0)
    centroids = np.random.default_rng(0).normal(size=(n_codes, IMAGE.latent_dim))
    quantizer = NearestCentroid(centroids.astype(np.float32))
    bins = brightness_bins(IMAGE.bands)
    codebook = ImageCodebook(quantizer, IMAGE.codebook_size, autoencoder.hash, bins)
    return ImageTokenizer(autoencoder, codebook)


def _cube(make_field, n=12, short=(2,), bands=IMAGE.bands, gaia=False, seed=1):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24] - 12
    star = np.exp(-(x**2 + y**2) / 8)
    pixels = rng.uniform(20, 200, (n, 1, 1)) * star + rng.normal(size=(n, 24, 24))
    lists = [list(p.ravel()[: 100 if i in short else None]) for i, p in enumerate(pixels)]
    columns = {f"splus_cut_{band}": pa.array(lists, pa.list_(pa.float32())) for band in bands}
    shapes = {"a_pixel_det": np.full(n, 2.0), "b_pixel_det": np.full(n, 2.0)}
    if gaia:
        shapes |= {"gaia_parallax": np.full(n, 6.0), "gaia_parallax_error": np.ones(n)}
    return make_field("F", {**columns, **shapes, "theta_det": np.zeros(n)}, n)


@pytest.fixture
def evaluate(as_evaluated, context, tmp_path):
    """Encode a field and evaluate its codes, or those of an earlier cube of it."""

    def run(field, tokenizer=None, trained=(), now=None):
        tokenizer = tokenizer or _tokenizer()
        tokens, latents = encode_field_images(field.cube, tokenizer, IMAGE)
        tokens.save(tmp_path / "tokens.npz")
        latents.save(tmp_path / "latents.npz")
        files = {"tokens": [tmp_path / "tokens.npz"], "latents": [tmp_path / "latents.npz"]}
        fields = as_evaluated([now() if now else field], trained, **files)
        return evaluate_images(context(fields, SETTINGS), tokenizer)

    return run


_MADE: dict[str, Section] = {}


@pytest.fixture
def plain(make_field, evaluate) -> Section:
    """The section on one field, which is made once: tests only look at it."""
    if "plain" not in _MADE:
        _MADE["plain"] = evaluate(_cube(make_field))
    return _MADE["plain"]


def test_codes_of_an_earlier_cube_are_refused(make_field, evaluate):
    """Decoded codes are not compared with pixels that have changed since."""
    with pytest.raises(
        FormatError, match="field F: codes of cutouts must be .*; run encode_images"
    ):
        evaluate(_cube(make_field), now=lambda: _cube(make_field, seed=2))


def test_counts_and_bands(plain):
    """Whole and short cutouts are counted, and each band has numbers of both stages."""
    numbers = plain.numbers
    assert (numbers.n_objects, numbers.n_whole, numbers.n_short) == (10, 11, 1)
    for band in IMAGE.bands:
        assert numbers.bands[band].n == 10
        assert all(np.isfinite(numbers.bands[band].at(stage).r2.value) for stage in STAGES)
        assert np.isfinite(numbers.bands[band].ceiling)
    assert numbers.codebook.tokens == 11 * 36


def test_magnitudes_and_colours_lead(headlines):
    """Headlines of what sources look like come before R² and what causes its losses."""
    labels = list(_verdicts(headlines()))
    places = [
        next(i for i, label in enumerate(labels) if what in label)
        for what in (
            "3 arcsec",
            "2 arcsec",
            "change of R-Z",
            "brightest pixel",
            "FWHM",
            "R² in the",
        )
    ]
    assert places == sorted(places)
    assert places[0] == 0


def test_bits_of_a_cutout(plain):
    """Those of 36 codes of latents, and of the eight of place and brightness: 0 to their width."""
    numbers = plain.numbers
    latents = 36 * numbers.codebook.bits
    assert latents < numbers.bits_an_object <= latents + 8 * np.log2(11)


def test_figures_have_tables(plain):
    """Each figure has a file, a table of rows and what to see in it."""
    names = [
        "aperture_changes", "aperture_bright", "aperture_colours", "brightest_pixels",
        "r2_by_band", "limits", "missing_bands", "flux_in_mask", "examples", "codebook",
    ]  # fmt: skip
    assert [f.file for f in plain.figures] == [f"{name}.png" for name in names]
    assert all(f.table.rows and f.see for f in plain.figures)


def test_perfect_latents_would_be_seen(make_field, evaluate, monkeypatch):
    """Where latents decode to the very cutout, their R² is 1 and the flux is kept."""
    field, tokenizer = _cube(make_field, n=4, short=()), _tokenizer()
    truth = np.array(
        [row.as_py() for row in field.cube.slices(["splus_cut_R"], 9).__next__().table.column(0)]
    )
    cutouts = np.repeat(truth.reshape(4, 1, 24, 24), 2, axis=1)
    monkeypatch.setattr(
        tokenizer, "decode", lambda codes, bright: np.resize(cutouts, (len(codes), 2, 24, 24))
    )
    monkeypatch.setattr(tokenizer, "decode_latents", lambda values, bright: cutouts)
    numbers = evaluate(field, tokenizer).numbers
    assert numbers.all_bands.latents.r2.value == pytest.approx(1)
    assert numbers.bands["R"].codes.dmag.value == pytest.approx(0)
    assert numbers.apertures["R"].codes.within_0p1.value == 1
    assert numbers.peaks["all"]["above_30"].codes.within_5pct.value == 1
    assert numbers.aperture_colours["R-Z"]["above_30"].codes.scatter.value == 0
    assert numbers.limits.pooled["R"].codebook.value == 0


def test_stars_have_widths(make_field, evaluate):
    """With Gaia's astrometry the widths of stars are plotted and judged."""
    section = evaluate(_cube(make_field, gaia=True))
    assert "star_widths.png" in [f.file for f in section.figures]
    assert section.numbers.stars["R"].n == 10
    assert section.numbers.stars["R"].fwhm.value == pytest.approx(2.355 * 2 * 0.55, 0.02)
    assert any("FWHM" in h.label for h in section.headlines)


def test_each_number_has_its_headline(plain):
    """Every number with a mark is a headline with a verdict."""
    labels = " | ".join(h.label for h in plain.headlines)
    for what in ("R² in the mask", "autoencoder", "3 arcsec", "R-Z", "one is missing"):
        assert what in labels
    assert {h.verdict for h in plain.headlines} <= {"good", "bad"}
    assert any("limit is" in note for note in plain.notes)


def test_absent_band_is_said(make_field, evaluate):
    """A band that no cutout has is named, and the others are evaluated."""
    section = evaluate(_cube(make_field, bands=("R",)))
    assert "Band Z: no evaluated cutout has it." in section.notes
    assert section.numbers.bands["R"].n == 10


def test_blank_cutouts_are_said(make_field, evaluate):
    """Cutouts that have the same value everywhere have no variance to explain."""
    flat = pa.array([[1.0] * 576] * 3, pa.list_(pa.float32()))
    field = make_field("F", {"splus_cut_R": flat}, 3)
    section = evaluate(field)
    assert any("none has light that varies" in note for note in section.notes)


def test_empty_codebook_is_said(make_field, evaluate):
    """Without centroids nothing is decoded, nothing crashes, and the report says why."""
    section = evaluate(_cube(make_field), _tokenizer(0))
    assert section.figures == []
    assert any("No object of the training split has a cutout" in note for note in section.notes)
    (headline,) = section.headlines
    assert (headline.measurement.value, headline.verdict) == (0, "bad")
    assert "every image code is missing" in headline.note


def test_cutouts_without_codes_are_counted_where_they_are(make_field, evaluate):
    """Cutouts of evaluated objects and of others, here the training split, are counted apart."""
    field = _cube(make_field, n=12, short=())
    section = evaluate(field, _tokenizer(0), trained=("F",))
    (note,) = [note for note in section.notes if "No evaluated object" in note]
    assert "Evaluated objects have 6 whole cutouts without codes" in note
    assert "other objects of these fields 6 whole cutouts" in note


def test_field_without_images_is_said(make_field, evaluate):
    """A cube without any cutout column gives a report that says so."""
    field = make_field("F", {"mag": np.ones(3)}, 3)
    section = evaluate(field)
    assert section.numbers.n_whole == 0
    assert any("No evaluated object has a cutout with codes" in note for note in section.notes)


def test_trained_field_gives_only_its_test_split(make_field, evaluate):
    """Of a field that trained, only the cutouts of test objects are evaluated."""
    field = _cube(make_field, short=())
    section = evaluate(field, trained=("F",))
    assert section.numbers.n_objects == 6


def test_numbers_keep_their_keys_in_the_file(plain):
    """The keys that benchmarks read."""
    numbers = to_json(plain.numbers)
    for keys in (
        ("all_bands", "codes", "r2", "value"),
        ("limits", "typical", "all", "codebook", "value"),
        ("apertures", "all", "latents", "within_0p1", "value"),
        ("apertures_6arcsec", "R", "codes", "dmag_scatter", "error"),
        ("aperture_colours", "R-Z", "above_30", "codes", "median", "value"),
        ("peaks", "all", "above_30", "codes", "within_5pct", "value"),
        ("peaks", "R", "above_100", "ceiling"),
        ("stars", "all", "codes", "ratio"),
        ("missing_bands", "by_number", "1", "loss_object", "value"),
        ("codebook", "perplexity"),
        ("bits_an_object",),
    ):
        values = numbers
        for key in keys:
            values = values[key]


@pytest.fixture
def headlines(image_sample, tmp_path):
    """Judge numbers of which band Z has the named value, and R a good one."""
    single, ones = np.broadcast_to(np.eye(2, dtype=bool), (2, 2, 2)), np.ones((2, 2))
    hidden = HiddenBands(single, np.ones((2, 2, 2)), ones, 10 * ones, ones)

    def judge(
        share=0.97, core=0.97, peak=0.97, ratio=1.0, lost=0.0, difference=-0.1, offset=0.01, n=50
    ):
        numbers = measure_images(image_sample(hidden=hidden), 0)
        good = Measurement(0.9, 0.01)
        losses = Losses(n, good, good, good, Measurement(difference, 0.01), "codebook")
        change = ColourChange(Measurement(offset, 0.01), Measurement(0.05, 0.01))
        numbers = replace(
            numbers,
            limits=replace(numbers.limits, pooled={"all": losses}, typical={"all": losses}),
            apertures=_shares(numbers.apertures, n, share),
            apertures_2arcsec=_shares(numbers.apertures_2arcsec, n, core),
            peaks={
                name: {
                    snr: _with_codes(each, n, within_5pct=Measurement(value, 0.01))
                    for snr, each in numbers.peaks[name].items()
                }
                for name, value in {"R": 0.99, "Z": peak, "all": 0.98}.items()
            },
            aperture_colours={"R-Z": {ABOVE_BRIGHT: ColourNumbers(change, change, n)}},
            stars={
                name: _with_codes(numbers.stars[name], n, ratio=Measurement(value, 0.01))
                for name, value in {"R": 1.0, "Z": ratio, "all": 1.0}.items()
            },
            missing_bands=replace(
                numbers.missing_bands,
                by_number={
                    1: replace(
                        numbers.missing_bands.by_number[1], n=n, loss=Measurement(lost, 0.001)
                    )
                },
            ),
        )
        section = Section("images", "Image cutouts", tmp_path)
        add_headlines(section, numbers)
        return section

    return judge


def _shares(apertures, n, share):
    return {
        name: _with_codes(apertures[name], n, within_0p1=Measurement(value, 0.01))
        for name, value in {"R": 0.99, "Z": share, "all": 0.98}.items()
    }


def _with_codes(numbers, n, **changes):
    return replace(numbers, n=n, codes=replace(numbers.codes, **changes))


def _verdicts(section):
    return {h.label: h.verdict for h in section.headlines}


def test_all_good(headlines):
    """Where every mark is reached every verdict is good."""
    assert set(_verdicts(headlines()).values()) == {"good"}


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"share": 0.94}, "3 arcsec magnitudes"),
        ({"core": 0.94}, "2 arcsec magnitudes"),
        ({"peak": 0.94}, "brightest pixel"),
        ({"ratio": 0.94}, "FWHM"),
        ({"ratio": np.nan}, "FWHM"),
        ({"lost": 0.011}, "one is missing"),
        ({"difference": 0.001}, "lost by the autoencoder"),
        ({"offset": -0.06}, "change of R-Z"),
    ],
)
def test_one_bad_band_is_bad(headlines, change, label):
    """One band or one number that misses its mark is bad, though all bands together are good."""
    verdicts = _verdicts(headlines(**change))
    assert [name for name, verdict in verdicts.items() if verdict == "bad"] == [
        next(name for name in verdicts if label in name)
    ]


def test_too_few_sources_are_said(headlines):
    """Nine sources give no verdict: a note says so in place of a headline."""
    section = headlines(n=9)
    labels = " | ".join(h.label for h in section.headlines)
    assert not any(what in labels for what in ("3 arcsec", "FWHM", "brightest"))
    assert sum("No band has 10" in note for note in section.notes) == 4


def test_limit_without_detected_cutouts_is_not_judged(headlines):
    """Where no cutout is detected the limit in the mean cutout is not known."""
    verdicts = _verdicts(headlines(difference=np.nan))
    assert verdicts["Images: R² lost by the autoencoder"] == "none"


def test_sentence_names_the_limit(image_sample):
    """The limit is named in words, overall and by band."""
    codes, latents = {"residual": np.full((20, 2), 50.0)}, {"residual": np.full((20, 2), 40.0)}
    text = describe_limits(measure_limits(image_sample(codes, latents), 0), ["R", "Z"])
    assert text.count("the limit is the autoencoder (by band: autoencoder in R Z)") == 2
