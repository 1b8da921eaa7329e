"""The figures of aperture magnitudes and colours, each with the table of its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from astromodal.config.schema import ImageSettings
from astromodal.evaluation.image_photometry import (
    BRIGHT,
    CLOSE,
    SHARE,
    known_colours,
    names_of_apertures,
)
from astromodal.evaluation.image_photometry_figures import (
    bright_table,
    colour_table,
    draw_bright,
    draw_changes,
    draw_colours,
)
from astromodal.evaluation.image_sample import ImageSample
from astromodal.evaluation.image_sums import APERTURES
from astromodal.evaluation.parts import Part


def add_photometry(
    part: Part, sample: ImageSample, known: Sequence[str], image: ImageSettings
) -> None:
    """Add the figures that the bands allow; arguments as for `add_figures`."""
    by_diameter = {
        f"{APERTURES[place]:g}": part.numbers[name] for name, place in names_of_apertures().items()
    }
    tabulated = bright_table(by_diameter, known)
    part.figure(
        draw_changes(sample, known, image.bands, image.size), "aperture_changes",
        "Magnitude in a circle of 3 arcsec diameter, decoded from codes minus measured, against "
        "the S/N of the measured flux (sky noise), above 5. Triangles: beyond ±0.5 mag. "
        "Diamonds: medians and 16 to 84 % ranges of S/N 5 to 10, 10 to 30, 30 to 100 and above.",
        f"Right of the dashed line points should lie in the grey band of ±{CLOSE:g} mag. Towards "
        "low S/N the measured magnitude's own noise widens the cloud.",
        tabulated,
    )  # fmt: skip
    if part.numbers["apertures"]["all"]["n"]:
        part.figure(
            draw_bright(part.numbers["apertures"], known), "aperture_bright",
            f"Sources of S/N > {BRIGHT:g} in 3 arcsec, by band: share whose magnitude changes by "
            f"less than {CLOSE:g} mag, with Wilson's 68 % interval (top); median change with its "
            "bootstrap error (thick) and 68 % half-range (thin; bottom). In brackets: number of "
            "sources.",
            f"Shares should lie above the dashed line at {SHARE:g}, medians at zero. A median off "
            "zero is a flux scale that is lost, a wide range one that varies from source to "
            "source.",
            tabulated,
        )  # fmt: skip
    if known_colours(known):
        part.figure(
            draw_colours(sample, image.bands, image.size), "aperture_colours",
            "Colours in a circle of 3 arcsec, from codes: decoded against measured (left), and "
            "their change against the lower S/N of the two bands (right). Instrumental: counts/s "
            "without a zero point, which moves both axes alike; one colour in a hundred lies "
            "beyond the axes. Triangles and diamonds as in the "
            "figure of magnitudes.",
            "Points should follow the dashed line at left and zero at right; a cloud that is "
            "flatter than the line has lost colours to the mean one.",
            colour_table(part.numbers["aperture_colours"]),
        )  # fmt: skip
