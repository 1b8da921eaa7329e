"""Verdicts on the cutouts follow the rules that their notes state."""

import numpy as np
import pytest

from astromodal.evaluation.images.evaluate import add_headlines
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.values import Measurement

BANDS = ("R", "Z")


def _part(tmp_path, share=0.97, ratio=1.0, lost=0.0, difference=-0.1, offset=0.01, n=50):
    """Numbers of which band Z has the named value, and R a good one."""
    number = {"value": 0.9, "error": 0.01}
    split = {"autoencoder": number, "codebook": number, "difference": Measurement(difference, 0.01)}
    shares = {"R": 0.99, "Z": share, "all": 0.98}
    ratios = {"R": 1.0, "Z": ratio, "all": 1.0}
    change = {"median": Measurement(offset, 0.01), "scatter": Measurement(0.05, 0.01)}
    section = Section("images", "Image cutouts", tmp_path)
    section.numbers = {
        "bands": {name: {"codes": {"r2": number}} for name in BANDS},
        "all_bands": {way: {"r2": number} for way in ("codes", "latents")},
        "limits": {kind: {"all": split} for kind in ("pooled", "typical")},
        "apertures": {
            name: {
                "n": n,
                **{w: {"within_0p1": Measurement(s, 0.01)} for w in ("codes", "latents")},
            }
            for name, s in shares.items()
        },
        "aperture_colours": {"R-Z": {"above_30": {"n": n, "codes": change}}},
        "stars": {
            name: {"n": n, "codes": {"ratio": Measurement(r, 0.01)}} for name, r in ratios.items()
        },
        "missing_bands": {
            "by_number": {"1": {"n": n, "loss": Measurement(lost, 0.001), "loss_object": number}}
        },
    }
    add_headlines(section, BANDS)
    return section


def _verdicts(section):
    return {h["label"]: h["verdict"] for h in section.headlines}


def test_all_good(tmp_path):
    """Where every rule is kept every verdict is good."""
    assert set(_verdicts(_part(tmp_path)).values()) == {"good"}


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"share": 0.94}, "3 arcsec magnitudes"),
        ({"ratio": 0.94}, "FWHM"),
        ({"ratio": np.nan}, "FWHM"),
        ({"lost": 0.011}, "one is missing"),
        ({"difference": 0.001}, "lost by the autoencoder"),
        ({"offset": -0.06}, "change of R-Z"),
    ],
)
def test_one_bad_band_is_bad(tmp_path, change, label):
    """One band, or one rule, that fails is said, though the number over all bands is good."""
    verdicts = _verdicts(_part(tmp_path, **change))
    assert [name for name, verdict in verdicts.items() if verdict == "bad"] == [
        next(name for name in verdicts if label in name)
    ]


def test_too_few_sources_are_said(tmp_path):
    """Nine sources judge nothing: a note says so in place of a headline."""
    section = _part(tmp_path, n=9)
    assert not any("3 arcsec" in h["label"] or "FWHM" in h["label"] for h in section.headlines)
    assert sum("No band has 10" in note for note in section.notes) == 2


def test_limit_without_detected_cutouts_is_not_judged(tmp_path):
    """Where no cutout is detected there is no mean cutout whose limit could be told."""
    verdicts = _verdicts(_part(tmp_path, difference=np.nan))
    assert verdicts["Images: R² lost by the autoencoder"] == "none"
