"""The few numbers of the cutouts at the report's top, each with the rule that judges it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astromodal.evaluation.image_hidden import LITTLE
from astromodal.evaluation.image_photometry import (
    BRIGHT,
    CLOSE,
    COLOUR_OFFSET,
    COLOUR_SCATTER,
    FEWEST,
    SHARE,
)
from astromodal.evaluation.image_stars import SAME, SHARP, enough
from astromodal.evaluation.numbers import show_number
from astromodal.evaluation.parts import Part, Verdict

MOST = 0.5
"""Explained variance above which a code explains most of what is in the mask."""


def add_headlines(part: Part, known: Sequence[str]) -> None:
    """Add every headline that the part's numbers allow; `known` are the bands that were seen."""
    _explained(part, known)
    _limit(part)
    _apertures(part, known)
    _colours(part)
    _stars(part, known)
    _missing(part)


def _verdict(good: bool) -> Verdict:
    return "good" if good else "bad"


def _explained(part: Part, known: Sequence[str]) -> None:
    whole, bands = part.numbers["all_bands"], part.numbers["bands"]
    worst = min(known, key=lambda name: bands[name]["codes"]["r2"]["value"])
    lowest = bands[worst]["codes"]["r2"]["value"]
    part.headline(
        "Images: R² in the mask, from codes", **whole["codes"]["r2"],
        note=f"from latents {show_number(whole['latents']['r2']['value'])}; lowest band {worst}: "
        f"{show_number(lowest)}; more than {MOST:g} is asked for in every band",
        verdict=_verdict(lowest > MOST),
    )  # fmt: skip


def _limit(part: Part) -> None:
    pooled, typical = (part.numbers["limits"][kind]["all"] for kind in ("pooled", "typical"))
    differences = [n["difference"]["value"] for n in (pooled, typical)]
    part.headline(
        "Images: R² lost by the autoencoder", **pooled["autoencoder"],
        note=f"by the codebook {show_number(pooled['codebook']['value'])}; in the mean detected "
        f"cutout {show_number(typical['autoencoder']['value'])} and "
        f"{show_number(typical['codebook']['value'])}; the codebook is asked to be the limit in "
        "both",
        verdict=_verdict(max(differences) <= 0) if np.isfinite(differences).all() else "none",
    )  # fmt: skip


def _apertures(part: Part, known: Sequence[str]) -> None:
    numbers = part.numbers["apertures"]
    shares = {
        name: numbers[name]["codes"]["within_0p1"]["value"]
        for name in known
        if numbers[name]["n"] >= FEWEST
    }
    label = f"Images: 3 arcsec magnitudes within {CLOSE:g} mag, S/N > {BRIGHT:g}"
    if not shares:
        part.notes.append(f"No band has {FEWEST} sources of S/N > {BRIGHT:g} in 3 arcsec.")
        return
    worst = min(shares, key=lambda name: shares[name])
    part.headline(
        label, **numbers["all"]["codes"]["within_0p1"],
        note=f"share of the measurements in all bands, from codes; from latents "
        f"{show_number(numbers['all']['latents']['within_0p1']['value'])}; lowest band {worst}: "
        f"{show_number(shares[worst])}; at least {SHARE:g} is asked for in every band",
        verdict=_verdict(shares[worst] >= SHARE),
    )  # fmt: skip


def _colours(part: Part) -> None:
    for colour, bins in part.numbers["aperture_colours"].items():
        found = bins[f"above_{BRIGHT:g}"]
        if found["n"] < FEWEST:
            continue
        median, scatter = (found["codes"][key] for key in ("median", "scatter"))
        good = abs(median["value"]) < COLOUR_OFFSET and scatter["value"] < COLOUR_SCATTER
        part.headline(
            f"Images: change of {colour}, S/N > {BRIGHT:g}", **median, unit="mag",
            note=f"median; 68 % half-range {show_number(scatter['value'])} mag; below "
            f"{COLOUR_OFFSET:g} and {COLOUR_SCATTER:g} mag are asked for",
            verdict=_verdict(good),
        )  # fmt: skip


def _stars(part: Part, known: Sequence[str]) -> None:
    numbers = part.numbers["stars"]
    judged = enough(numbers, known)
    if not judged:
        part.notes.append(f"No band has {FEWEST} stars of S/N > {SHARP:g}: no widths to compare.")
        return
    ratio = {name: numbers[name]["codes"]["ratio"]["value"] for name in judged}
    # A band whose stars all vanished has no ratio: nothing is farther from 1.
    worst = max(judged, key=lambda name: np.nan_to_num(abs(ratio[name] - 1), nan=np.inf))
    part.headline(
        "Images: FWHM of stars, decoded over measured", **numbers["all"]["codes"]["ratio"],
        note=f"median, from codes; farthest from 1 in {worst}: {show_number(ratio[worst])}; "
        f"within {SAME:g} of 1 is asked for in every band",
        verdict=_verdict(abs(ratio[worst] - 1) <= SAME),
    )  # fmt: skip


def _missing(part: Part) -> None:
    one = part.numbers["missing_bands"]["by_number"].get("1")
    if not one or not one["n"]:
        return
    part.headline(
        "Images: R² lost in the other bands when one is missing", **one["loss"],
        note=f"median cutout {show_number(one['loss_object']['value'])}; at most {LITTLE:g} is "
        "asked for",
        verdict=_verdict(one["loss"]["value"] <= LITTLE),
    )  # fmt: skip
