"""Measured and decoded cutouts of the evaluated objects, reduced to sums as they stream by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.held_out import EvaluatedField, sample_rows
from astromodal.evaluation.images.apertures import APERTURES
from astromodal.evaluation.images.field import Example, FieldImages
from astromodal.evaluation.images.missing import N_CUTOUTS, HiddenBands, passes
from astromodal.evaluation.metrics import column_medians, count_codes
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.images.tokens import load_image_tokens

DETECTED = 5.0
"""Signal-to-noise of the flux in the mask above which a magnitude is compared."""


@dataclass
class ImageSample:
    """Sums over the valid pixels inside the mask, (n, B) each; counts/s.

    `residual_*` and `total` are sums of squares about the decoded value and about the cutout's own
    mean; `flux*` sums of pixels; `noise` the sky's sigma outside the mask, per pixel. `circle*` are
    sums inside the circles of `APERTURES`, and `fwhm*` the widths of stars (arcsec).
    """

    ids: np.ndarray
    residual_codes: np.ndarray
    residual_latents: np.ndarray
    total: np.ndarray
    n_pixels: np.ndarray
    flux: np.ndarray
    flux_codes: np.ndarray
    flux_latents: np.ndarray
    noise: np.ndarray
    circle: np.ndarray  # (n, B, A); NaN with an unmeasured pixel
    circle_codes: np.ndarray
    circle_latents: np.ndarray
    fwhm: np.ndarray  # (n, B); NaN but for stars
    fwhm_codes: np.ndarray
    fwhm_latents: np.ndarray
    star: np.ndarray  # (n,) bool
    hidden: HiddenBands
    counts: np.ndarray  # (K,) how often each code occurs among all eligible cutouts
    n_whole: int  # whole cutouts of all objects of these fields
    n_uncoded: int  # those of evaluated objects that have no codes
    n_outside: int  # those of objects that are not evaluated
    n_short: int
    examples: list[Example] = field(default_factory=list)


_SUMS = (
    "residual_codes", "residual_latents", "total", "n_pixels", "flux", "flux_codes",
    "flux_latents", "noise", "fwhm", "fwhm_codes", "fwhm_latents",
)  # fmt: skip
_CIRCLES = ("circle", "circle_codes", "circle_latents")
_HIDDEN = ("hidden", "residual", "complete", "total", "noise")


def sample_images(
    fields: Sequence[EvaluatedField],
    tokenizer: ImageTokenizer,
    image: ImageSettings,
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    progress: Progress,
) -> ImageSample:
    """Stream the evaluated cutouts of all fields; only sums and a few examples are kept."""
    tokens = [load_image_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = [
        np.flatnonzero(f.rows()[t.row] & (t.codes != MISSING_CODE).all(axis=1))
        for f, t in zip(fields, tokens, strict=True)
    ]
    drawn = sample_rows(places, evaluation.max_objects, evaluation.seed)
    wanted = sample_rows(drawn, evaluation.n_examples, evaluation.seed)
    again = sample_rows(drawn, N_CUTOUTS, evaluation.seed)
    rng = np.random.default_rng(evaluation.seed)
    size = len(tokenizer.centroids)
    counts = np.zeros(size, dtype=np.int64)
    sections: list[dict[str, np.ndarray]] = []
    hidden: list[dict[str, np.ndarray]] = []
    examples: list[Example] = []
    for i, (f, token) in enumerate(zip(fields, tokens, strict=True)):
        counts += count_codes(token.codes[places[i]], size)
        if not len(drawn[i]):
            continue
        work = FieldImages(f, token, tokenizer, image, columns, drawn[i])
        for batch in progress(work.batches(), None, f"cutouts of {f.name}"):
            sums, more = work.reduce(batch, token.row[wanted[i]])
            sections.append(sums)
            examples += more
            hidden.append(work.hide(batch, sums, token.row[again[i]], rng))
    examples.sort(key=lambda e: -float(np.where(e.mask & e.valid, e.pixels, 0).sum()))
    whole, short = (sum(getattr(t, name) for t in tokens) for name in ("n_whole", "n_short"))
    inside = sum(int(f.rows()[t.row].sum()) for f, t in zip(fields, tokens, strict=True))
    return ImageSample(
        counts=counts, n_whole=whole, n_short=short, examples=examples,
        n_uncoded=inside - sum(map(len, places)), n_outside=whole - inside,
        hidden=_join_hidden(hidden, len(image.bands)), **_join(sections, len(image.bands)),
    )  # fmt: skip


def _join(sections: list[dict[str, np.ndarray]], n_bands: int) -> dict[str, np.ndarray]:
    empty = {
        "ids": np.empty(0, "U1"),
        "star": np.empty(0, bool),
        **{name: np.empty((0, n_bands)) for name in _SUMS},
        **{name: np.empty((0, n_bands, len(APERTURES))) for name in _CIRCLES},
    }
    return {name: np.concatenate([e, *(p[name] for p in sections)]) for name, e in empty.items()}


def _join_hidden(sections: list[dict[str, np.ndarray]], n_bands: int) -> HiddenBands:
    per_pass = passes(n_bands)
    empty = {name: np.empty((0, n_bands)) for name in _HIDDEN}
    empty["residual"] = np.empty((0, len(per_pass), n_bands))
    empty["hidden"] = empty["residual"].astype(bool)
    joined = {name: np.concatenate([e, *(p[name] for p in sections)]) for name, e in empty.items()}
    return HiddenBands(per_pass, **joined)


def magnitude_change(sample: ImageSample, way: str, i: int) -> np.ndarray:
    """-2.5 log10 (decoded / measured flux in the mask) of band `i`, (n,) mag.

    NaN where a flux is not positive.
    """
    decoded, measured_flux = getattr(sample, f"flux_{way}")[:, i], sample.flux[:, i]
    good = (decoded > 0) & (measured_flux > 0)
    ratio = np.divide(decoded, measured_flux, out=np.full(len(good), np.nan), where=good)
    return -2.5 * np.log10(ratio)


def detected(sample: ImageSample, i: int) -> np.ndarray:
    """Cutouts whose flux in the mask of band `i` is above `DETECTED` sigmas, bool (n,)."""
    sigma = sample.noise[:, i] * np.sqrt(sample.n_pixels[:, i])
    return (sample.total[:, i] > 0) & (sample.flux[:, i] > DETECTED * sigma)


def noise_weights(sample: ImageSample) -> np.ndarray:
    """Inverse square of each band's median noise, (B,); 0 for a band without any."""
    noise = column_medians(np.where(sample.noise > 0, sample.noise, np.nan))
    return np.where(noise > 0, 1 / np.where(noise > 0, noise, 1) ** 2, 0.0)
