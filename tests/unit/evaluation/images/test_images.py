"""How well image codes keep the cutouts."""

import numpy as np
import pyarrow as pa
import pytest

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.errors import FormatError
from astromodal.evaluation.images.evaluate import evaluate_images
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.images.tokens import encode_field_images
from astromodal.tokenizers.quantizers.nearest import NearestCentroid

IMAGE = ImageSettings(bands=("R", "Z"), size=24, hidden=8, blocks=1, codebook_size=16)
SETTINGS = EvaluationSettings(max_objects=10, n_examples=2)


def _tokenizer(n_codes=16):
    shape = shape_settings(IMAGE)
    normaliser = ImageNormaliser(IMAGE.bands, np.array([1.0, 1.0]))
    autoencoder = TrainedAutoencoder(build_model(shape).eval(), normaliser, shape, 0)
    centroids = np.random.default_rng(0).normal(size=(n_codes, IMAGE.latent_dim))
    codebook = ImageCodebook(
        NearestCentroid(centroids.astype(np.float32)), IMAGE.codebook_size, autoencoder.hash
    )
    return ImageTokenizer(autoencoder, codebook)


def _cube(make_field, n=12, short=(2,), bands=IMAGE.bands, gaia=False, seed=1):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24] - 11.5
    star = np.exp(-(x**2 + y**2) / 8)
    pixels = rng.uniform(20, 200, (n, 1, 1)) * star + rng.normal(size=(n, 24, 24))
    lists = [list(p.ravel()[: 100 if i in short else None]) for i, p in enumerate(pixels)]
    columns = {f"splus_cut_{band}": pa.array(lists, pa.list_(pa.float32())) for band in bands}
    shapes = {"a_pixel_det": np.full(n, 2.0), "b_pixel_det": np.full(n, 2.0)}
    if gaia:
        shapes |= {"gaia_parallax": np.full(n, 6.0), "gaia_parallax_error": np.ones(n)}
    return make_field("F", {**columns, **shapes, "theta_det": np.zeros(n)}, n)


def _run(field, tokenizer, as_evaluated, tmp_path, trained=()):
    tokens, latents = encode_field_images(field.cube, tokenizer, IMAGE)
    tokens.save(tmp_path / "tokens.npz")
    latents.save(tmp_path / "latents.npz")
    files = {"tokens": [tmp_path / "tokens.npz"], "latents": [tmp_path / "latents.npz"]}
    fields = as_evaluated([field], trained, **files)
    settings = (IMAGE, SETTINGS, ColumnSettings(), tmp_path / "figures")
    return evaluate_images(fields, tokenizer, *settings)


def test_codes_of_an_earlier_cube_are_refused(make_field, as_evaluated, tmp_path):
    """Where pixels changed since, what codes decode to is not compared with them."""
    tokenizer, field = _tokenizer(), _cube(make_field)
    tokens, latents = encode_field_images(field.cube, tokenizer, IMAGE)
    tokens.save(tmp_path / "tokens.npz")
    latents.save(tmp_path / "latents.npz")
    files = {"tokens": [tmp_path / "tokens.npz"], "latents": [tmp_path / "latents.npz"]}
    fields = as_evaluated([_cube(make_field, seed=2)], [], **files)
    with pytest.raises(
        FormatError, match="field F: codes of cutouts must be .*; run encode_images"
    ):
        evaluate_images(fields, tokenizer, IMAGE, SETTINGS, ColumnSettings(), tmp_path / "figures")


def test_counts_and_bands(make_field, as_evaluated, tmp_path):
    """Whole and short cutouts are counted, and each band has numbers both ways."""
    section = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    numbers = section["numbers"]
    assert (numbers["n_objects"], numbers["n_whole"], numbers["n_short"]) == (10, 11, 1)
    for band in IMAGE.bands:
        assert numbers["bands"][band]["n"] == 10
        assert {"codes", "latents", "ceiling"} <= set(numbers["bands"][band])
    assert numbers["codebook"]["tokens"] == 11 * 36


def test_figures_have_tables(make_field, as_evaluated, tmp_path):
    """Each figure has a file, a table of rows and what to see in it."""
    section = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    names = [
        "r2_by_band", "limits", "aperture_changes", "aperture_bright", "aperture_colours",
        "missing_bands", "flux_in_mask", "examples", "codebook",
    ]  # fmt: skip
    assert [f["file"] for f in section["figures"]] == [f"{name}.png" for name in names]
    assert all(f["table"]["rows"] and f["see"] for f in section["figures"])


def test_perfect_latents_would_be_seen(make_field, as_evaluated, tmp_path, monkeypatch):
    """Where latents decode to the very cutout, their R² is 1 and the flux is kept."""
    field, tokenizer = _cube(make_field, n=4, short=()), _tokenizer()
    truth = np.array(
        [row.as_py() for row in field.cube.slices(["splus_cut_R"], 9).__next__().table.column(0)]
    )
    cutouts = np.repeat(truth.reshape(4, 1, 24, 24), 2, axis=1)
    tokens, latents = encode_field_images(field.cube, tokenizer, IMAGE)
    tokens.save(tmp_path / "tokens.npz")
    latents.save(tmp_path / "latents.npz")
    monkeypatch.setattr(
        tokenizer, "decode", lambda codes: np.resize(cutouts, (len(codes), 2, 24, 24))
    )
    monkeypatch.setattr(tokenizer, "decode_latents", lambda values: cutouts)
    files = {"tokens": [tmp_path / "tokens.npz"], "latents": [tmp_path / "latents.npz"]}
    fields = as_evaluated([field], [], **files)
    settings = (IMAGE, SETTINGS, ColumnSettings(), tmp_path / "figures")
    numbers = evaluate_images(fields, tokenizer, *settings)["numbers"]
    assert numbers["all_bands"]["latents"]["r2"]["value"] == pytest.approx(1)
    assert numbers["bands"]["R"]["codes"]["dmag"]["value"] == pytest.approx(0)
    assert numbers["apertures"]["R"]["codes"]["within_0p1"]["value"] == 1
    assert numbers["aperture_colours"]["R-Z"]["above_30"]["codes"]["scatter"]["value"] == 0
    assert numbers["limits"]["pooled"]["R"]["codebook"]["value"] == 0


def test_stars_have_widths(make_field, as_evaluated, tmp_path):
    """With Gaia's astrometry the stars' widths are drawn and judged."""
    section = _run(_cube(make_field, gaia=True), _tokenizer(), as_evaluated, tmp_path)
    assert "star_widths.png" in [f["file"] for f in section["figures"]]
    assert section["numbers"]["stars"]["R"]["n"] == 10
    assert section["numbers"]["stars"]["R"]["fwhm"]["value"] == pytest.approx(
        2.355 * 2 * 0.55, 0.02
    )
    assert any("FWHM" in h["label"] for h in section["headlines"])


def test_each_number_has_its_headline(make_field, as_evaluated, tmp_path):
    """What the report asks of the cutouts stands at its top with a verdict."""
    section = _run(_cube(make_field), _tokenizer(), as_evaluated, tmp_path)
    labels = " | ".join(h["label"] for h in section["headlines"])
    for what in ("R² in the mask", "autoencoder", "3 arcsec", "R-Z", "one is missing"):
        assert what in labels
    assert {h["verdict"] for h in section["headlines"]} <= {"good", "bad"}
    assert any("limit is" in note for note in section["notes"])


def test_absent_band_is_said(make_field, as_evaluated, tmp_path):
    """A band that no cutout has is named, and the others are evaluated."""
    section = _run(_cube(make_field, bands=("R",)), _tokenizer(), as_evaluated, tmp_path)
    assert "Band Z: no evaluated cutout has it." in section["notes"]
    assert section["numbers"]["bands"]["R"]["n"] == 10


def test_blank_cutouts_are_said(make_field, as_evaluated, tmp_path):
    """Cutouts of one and the same value everywhere have no variance to explain."""
    flat = pa.array([[1.0] * 576] * 3, pa.list_(pa.float32()))
    field = make_field("F", {"splus_cut_R": flat}, 3)
    section = _run(field, _tokenizer(), as_evaluated, tmp_path)
    assert any("none has light that varies" in note for note in section["notes"])


def test_empty_codebook_is_said(make_field, as_evaluated, tmp_path):
    """Without centroids nothing is decoded, nothing crashes, and the report says why."""
    section = _run(_cube(make_field), _tokenizer(0), as_evaluated, tmp_path)
    assert section["figures"] == []
    assert any("No object of the training split has a cutout" in note for note in section["notes"])
    (headline,) = section["headlines"]
    assert (headline["value"], headline["verdict"]) == (0, "bad")
    assert "every image code is missing" in headline["note"]


def test_cutouts_without_codes_are_counted_where_they_are(make_field, as_evaluated, tmp_path):
    """Those of evaluated objects apart from those of others: the training split's, here."""
    field = _cube(make_field, n=12, short=())
    section = _run(field, _tokenizer(0), as_evaluated, tmp_path, trained=("F",))
    (note,) = [note for note in section["notes"] if "No evaluated object" in note]
    assert "Evaluated objects have 6 whole cutouts without codes" in note
    assert "other objects of these fields 6 whole cutouts" in note


def test_field_without_images_is_said(make_field, as_evaluated, tmp_path):
    """A cube without any cutout column gives a report that says so."""
    field = make_field("F", {"mag": np.ones(3)}, 3)
    section = _run(field, _tokenizer(), as_evaluated, tmp_path)
    assert section["numbers"]["n_whole"] == 0
    assert any("No evaluated object has a cutout with codes" in note for note in section["notes"])


def test_trained_field_gives_only_its_test_split(make_field, as_evaluated, tmp_path):
    """Of a field that trained, only the cutouts of test objects are looked at."""
    field = _cube(make_field, short=())
    section = _run(field, _tokenizer(), as_evaluated, tmp_path, trained=("F",))
    assert section["numbers"]["n_objects"] == 6
