"""The page of the atlas: cutouts and spectra of its objects, and its text."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from astromodal.atlas.page import (
    CHUNK,
    POINTS,
    ShownSpectrum,
    _quantised,
    as_json,
    packed,
    prepare_details,
    sky_levels,
    to_rgb,
    unit_of,
    write_page,
)
from astromodal.atlas.survey import prepare_survey
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
from astromodal.errors import FormatError
from astromodal.tokenizers.spectra.tokens import load_spectrum_tokens
from helpers.atlas import HOSTILE, synthetic


@pytest.fixture(scope="session")
def survey(pair, as_fields, settings):
    return prepare_survey(as_fields(*pair), settings())


@pytest.fixture(scope="session")
def details(survey, model, settings):
    return prepare_details(survey, model.tokenizers.spectrum, settings())


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The text of a page with 300 objects, 120 of them in detail."""
    path = tmp_path_factory.mktemp("page") / "atlas.html"
    write_page(*synthetic(300, 120), path)
    return path.read_text(encoding="utf-8")


def block(page, name):
    """What the page holds under a name."""
    found = re.search(
        f'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found[1])


def unpack(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_cutouts_are_those_of_the_cubes(details, survey):
    """Every second row of both fields has one, in three colours."""
    has = [i for i in range(36) if survey.row[i] % 2 == 0]
    assert sorted(details.cutouts) == has
    assert {(cut.shape[2], cut.dtype) for cut in details.cutouts.values()} == {
        (3, np.dtype(np.uint8))
    }


def test_details_are_of_the_sample_alone(pair, as_fields, settings, model):
    """Objects that are not sampled have neither cutouts nor spectra."""
    chosen = settings(max_details=5)
    few = prepare_survey(as_fields(*pair), chosen)
    found = prepare_details(few, model.tokenizers.spectrum, chosen)
    own = set(few.detailed.tolist())
    assert {*found.cutouts, *found.spectra} <= own
    assert {i for i in own if few.row[i] % 2 == 0} == set(found.cutouts)


def test_no_details_are_no_error(pair, as_fields, settings, model):
    """The page then has numbers alone."""
    none = settings(max_details=0)
    survey = prepare_survey(as_fields(*pair), none)
    found = prepare_details(survey, model.tokenizers.spectrum, none)
    assert (found.cutouts, found.spectra) == ({}, {})


def test_spectra_are_measured_and_decoded(details, survey, pair, model):
    """Both are means over the same pixels, of the cube's flux and of the codes."""
    name, files = pair[0]
    coder, tokens = model.tokenizers.spectrum, load_spectrum_tokens(files["tokens"])
    (batch,) = read_spectra(Cube(files["cube"], name), "desi_r")
    assert sorted(i for i in details.spectra if i < 12) == batch.row[batch.live()].tolist()
    shown = details.spectra[3]["desi_r"]
    place = batch.row.tolist().index(3)
    flux, ivar = coder.spectrum("desi_r").measured(batch)
    factor = -(-flux.shape[1] // POINTS)
    good = np.where(ivar[place] > 0, flux[place], np.nan)[: factor * (flux.shape[1] // factor)]
    own = np.nanmean(good[:factor])
    assert shown.measured[0] == pytest.approx(own, rel=1e-5)
    at = tokens.row.tolist().index(3)
    codes, scale = tokens.codes("desi_r", at)[None], tokens.groups["desi_r"].scale[at : at + 1]
    decoded = coder.spectrum("desi_r").at_pixels(coder.decode("desi_r", codes, scale)[0])[0]
    assert shown.decoded[0] == pytest.approx(decoded[:factor].mean(), rel=1e-5)
    assert len(shown.measured) == len(details.points["desi_r"]) <= POINTS


def test_spectra_of_another_tokenizer_are_refused(survey, settings, model):
    """Codes are decoded by the tokenizer that made them."""
    from helpers.spectra import samples_of, spectra, tokenizer_of

    config = settings()
    other = tokenizer_of({"desi_r": samples_of(*spectra(9))}, config.tokenizers.spectrum, 6)
    with pytest.raises(FormatError, match="encode_spectra"):
        prepare_details(survey, other, config)


def test_sky_has_its_noise():
    """The level of a band is the median of the cutouts' robust scatter; 1 without a pixel."""
    rng = np.random.default_rng(0)
    cutouts = [
        rng.normal(size=(3, 64, 64)) * np.array([1.0, 3.0, np.nan])[:, None, None] for _ in range(5)
    ]
    np.testing.assert_allclose(sky_levels(cutouts), [1.0, 3.0, 1.0], rtol=0.05)


def test_colours_follow_the_bands():
    """A source that shines in the first band is red, and what was not measured is sky."""
    cutout = np.zeros((3, 9, 9))
    cutout[0, 4, 4] = 500.0
    cutout[:, 0, 0] = np.nan
    shown = to_rgb(cutout, np.ones(3)).astype(int)
    red, green, blue = shown[4, 4]
    assert red > 150 > green + 50
    assert green == blue
    np.testing.assert_array_equal(shown[0, 0], shown[8, 8])


def test_levels_make_bands_comparable():
    """A band with ten times the noise is divided by it."""
    cutout = np.random.default_rng(0).normal(20, 5, (3, 9, 9))
    scaled = cutout * np.array([10.0, 1.0, 0.1])[:, None, None]
    np.testing.assert_array_equal(
        to_rgb(scaled, np.array([10.0, 1.0, 0.1])), to_rgb(cutout, np.ones(3))
    )


def test_a_spectrum_is_kept_to_its_steps():
    """Flux comes back within half a step of a 32,000th of its range; -1 is missing."""
    rng = np.random.default_rng(0)
    shown = ShownSpectrum(
        np.where(np.arange(50) == 3, np.nan, rng.normal(size=50)), 5 + rng.normal(size=50)
    )
    stored = _quantised(shown)
    for name in ("measured", "decoded"):
        steps, true = unpack(stored[name], "<i2"), getattr(shown, name)
        assert ((steps == -1) == np.isnan(true)).all()
        known = np.isfinite(true)
        found = stored["low"] + stored["step"] * steps
        assert np.abs(found - true)[known].max() <= 0.51 * stored["step"]


@pytest.mark.parametrize("value", [np.nan, 2.5])
def test_a_spectrum_without_range_is_kept(value):
    """One of a single value, or of none, divides by nothing."""
    stored = _quantised(ShownSpectrum(np.full(4, value), np.full(4, np.nan)))
    steps = unpack(stored["measured"], "<i2")
    assert steps.tolist() == ([-1] * 4 if np.isnan(value) else [0] * 4)


def test_json_cannot_end_its_element():
    """No tag can begin, and the text reads back."""
    text = as_json({"a": "</script>&<!--"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script>&<!--"}


def test_json_holds_finite_numbers():
    """NaN is no JSON."""
    with pytest.raises(ValueError, match="JSON compliant"):
        as_json([float("nan")])


def test_arrays_are_little_endian():
    """They are the same on every machine."""
    assert base64.b64decode(packed(np.array([1, 2], ">i8"), "<i4")) == b"\x01\0\0\0\x02\0\0\0"


@pytest.mark.parametrize(
    ("column", "unit"), [("gaia_pmra", "mas/yr"), ("specz_z", ""), ("my_column", "")]
)
def test_units_are_printed(column, unit):
    """An unknown unit is not shown."""
    assert unit_of(column) == unit


def test_the_page_holds_the_objects(page):
    """Ids, places, values and neighbours are those of the survey."""
    survey, _ = synthetic(300, 120)
    stored = block(page, "survey")
    assert stored["ids"] == survey.ids.tolist()
    np.testing.assert_array_equal(unpack(stored["x"], "<f4"), survey.places[:, 0].astype("f4"))
    np.testing.assert_array_equal(unpack(stored["near"], "<i4").reshape(-1, 10), survey.near)
    columns = {(c["kind"], c["name"]): c for c in stored["columns"]}
    kind = columns["category", "class"]
    assert [kind["names"][i] for i in unpack(kind["values"], "<i4")] == survey.categories[
        "class"
    ].tolist()
    predicted = columns["predicted", "specz_z"]
    for i, name in enumerate(("values", "low", "high")):
        shown = unpack(predicted[name], "<f4")
        np.testing.assert_array_equal(shown, survey.predicted["specz_z"][:, i].astype("f4"))
    assert columns["measured", "mag_pstotal_r"]["unit"] == "mag"


def test_the_page_holds_details_in_chunks(page):
    """Each chunk has its objects in order; a JPEG's first row is the cutout's last one."""
    _, details = synthetic(300, 120)
    chunks = [block(page, f"details-{i}") for i in range(3)]
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 20]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(chunks[1][7]["rgb"]))))
    assert shown.shape == (24, 24, 3)
    cutout = details.cutouts[CHUNK + 7][::-1]
    assert np.corrcoef(shown.ravel(), cutout.ravel())[0, 1] > 0.9
    assert chunks[2][19]["rgb"] == ""
    assert list(chunks[0][0]["spectra"]) == ["desi_r"]
    assert chunks[0][1]["spectra"] == {}


def test_the_policy_lets_its_own_scripts_run_alone(page):
    """Every script that runs is named by its hash, and nothing may be requested."""
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["script-src"].split() == [f"'sha256-{each}'" for each in hashes]
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in directives["script-src"]


def test_the_page_loads_no_other_file(page):
    """No element names an address."""
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="([^"]+)"', body) == ["data:,"]


def test_text_of_the_data_is_no_html(page):
    """Ids that look like HTML are in the page as JSON alone."""
    assert HOSTILE[0] not in page
    assert HOSTILE[1] not in page


def test_the_same_survey_gives_the_same_page(page, tmp_path):
    """Its bytes do not depend on the time."""
    write_page(*synthetic(300, 120), tmp_path / "atlas.html")
    assert (tmp_path / "atlas.html").read_text(encoding="utf-8") == page
