"""Measured and decoded cutouts of the evaluated objects, reduced to sums as they stream by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from astromodal.config.schema import ColumnSettings, EvaluationSettings, ImageSettings
from astromodal.core.progress import Progress
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.cutouts import SHAPE_COLUMNS, CutoutBatch, elliptical_mask, read_cutouts
from astromodal.evaluation.codebooks import count_codes
from astromodal.evaluation.metrics import robust_sigma
from astromodal.evaluation.objects import EvaluatedField, check_ids, draw
from astromodal.tokenizers.image import ImageTokenizer
from astromodal.tokenizers.image_tokens import ImageTokens, load_image_latents, load_image_tokens

DETECTED = 5.0
"""Signal-to-noise of the flux in the mask above which a magnitude is compared."""


@dataclass(frozen=True)
class Example:
    """One cutout to draw, (B, S, S) each; `mask` (S, S)."""

    id: str
    pixels: np.ndarray
    valid: np.ndarray
    decoded: np.ndarray
    mask: np.ndarray
    noise: np.ndarray  # (B,)


@dataclass
class ImageSample:
    """Sums over the valid pixels inside the mask, (n, B) each; counts/s.

    `residual_*` and `total` are sums of squares about the decoded value and about the cutout's own
    mean; `flux*` sums of pixels; `noise` the sky's sigma outside the mask, per pixel.
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
    counts: np.ndarray  # (K,) how often each code occurs among all eligible cutouts
    n_whole: int
    n_short: int
    examples: list[Example] = field(default_factory=list)


_SUMS = (
    "residual_codes", "residual_latents", "total", "n_pixels", "flux", "flux_codes",
    "flux_latents", "noise",
)  # fmt: skip


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
    drawn = draw(places, evaluation.max_objects, evaluation.seed)
    wanted = draw(drawn, evaluation.n_examples, evaluation.seed)
    size = len(tokenizer.centroids)
    counts = np.zeros(size, dtype=np.int64)
    parts: list[dict[str, np.ndarray]] = []
    examples: list[Example] = []
    for f, token, eligible, chosen, show in zip(fields, tokens, places, drawn, wanted, strict=True):
        counts += count_codes(token.codes[eligible], size)
        if not len(chosen):
            continue
        work = _FieldImages(f, token, tokenizer, image, columns, chosen)
        for batch in progress(work.batches(), None, f"cutouts of {f.name}"):
            sums, more = work.reduce(batch, token.row[show])
            parts.append(sums)
            examples += more
    n_bands = len(image.bands)
    joined = {
        name: np.concatenate([np.empty((0, n_bands)), *(p[name] for p in parts)]) for name in _SUMS
    }
    ids = np.concatenate([np.empty(0, "U1"), *(p["ids"] for p in parts)])
    examples.sort(key=lambda e: -float(np.where(e.mask & e.valid, e.pixels, 0).sum()))
    whole, short = (sum(getattr(t, name) for t in tokens) for name in ("n_whole", "n_short"))
    return ImageSample(
        ids=ids, counts=counts, n_whole=whole, n_short=short, examples=examples, **joined
    )


class _FieldImages:
    """The chosen cutouts of one field, and what their codes and latents decode to."""

    def __init__(
        self,
        evaluated: EvaluatedField,
        tokens: ImageTokens,
        tokenizer: ImageTokenizer,
        image: ImageSettings,
        columns: ColumnSettings,
        chosen: np.ndarray,
    ) -> None:
        self.tokens, self.tokenizer, self.image = tokens, tokenizer, image
        self.cube = evaluated.open(columns)
        check_ids(
            self.cube.ids(), tokens.row[chosen], tokens.ids[chosen], evaluated.files["tokens"]
        )
        self.latents = load_image_latents(evaluated.files["latents"], tokenizer.hash)
        check_ids(self.cube.ids(), self.latents.row, self.latents.ids, evaluated.files["latents"])
        self.shapes = self.cube.scalars(SHAPE_COLUMNS)
        self.keep = np.zeros(self.cube.n_rows, dtype=bool)
        self.keep[tokens.row[chosen]] = True

    def batches(self) -> Iterator[CutoutBatch]:
        """Slices of the chosen cutouts, as the cube is streamed."""
        return read_cutouts(self.cube, self.image, keep=self.keep)

    def reduce(
        self, batch: CutoutBatch, show: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Example]]:
        """Sums over the mask for each cutout of a batch, and the examples among them."""
        place = np.searchsorted(self.tokens.row, batch.row)
        codes = self.tokenizer.decode(self.tokens.codes[place])
        latent = self.latents.latents[np.searchsorted(self.latents.row, batch.row)]
        ways = {"codes": codes, "latents": self.tokenizer.decode_latents(latent)}
        shape = self.shapes[batch.row]
        mask = elliptical_mask(shape[:, 0], shape[:, 1], shape[:, 2], self.image.size)
        sums = reduce_cutouts(batch.pixels, batch.valid, mask, ways)
        sums["ids"] = self.tokens.ids[place]
        examples = [
            Example(
                str(sums["ids"][i]),
                batch.pixels[i],
                batch.valid[i],
                codes[i],
                mask[i],
                sums["noise"][i],
            )
            for i in np.flatnonzero(np.isin(batch.row, show))
        ]
        return sums, examples


def reduce_cutouts(
    pixels: np.ndarray, valid: np.ndarray, mask: np.ndarray, ways: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sums over the valid pixels inside the mask.

    Parameters
    ----------
    pixels : (m, B, S, S) float
        Measured cutouts (counts/s).
    valid : (m, B, S, S) bool
        Pixels that were measured.
    mask : (m, S, S) bool
        The objects' elliptical masks.
    ways : dict of str to (m, B, S, S) float
        ``codes`` and ``latents``: what came back (counts/s).

    Returns
    -------
    dict of str to (m, B) float64
        The sums of `ImageSample`.
    """
    inside = valid & mask[:, None]
    truth = np.where(inside, pixels, 0.0).astype(np.float64)
    count = inside.sum((2, 3))
    flux = truth.sum((2, 3))
    mean = flux / np.maximum(count, 1)
    total = (np.where(inside, truth - mean[..., None, None], 0.0) ** 2).sum((2, 3))
    sums = {"n_pixels": count.astype(np.float64), "flux": flux, "total": total}
    for way, decoded in ways.items():
        back = np.where(inside, decoded, 0.0).astype(np.float64)
        sums[f"flux_{way}"] = back.sum((2, 3))
        sums[f"residual_{way}"] = ((truth - back) ** 2).sum((2, 3))
    sums["noise"] = sky_noise(pixels, valid & ~mask[:, None])
    return sums


def sky_noise(pixels: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Robust sigma of the sky pixels of each cutout and band, (m, B); 0 where there are none."""
    m, n_bands = pixels.shape[:2]
    out = np.zeros((m, n_bands))
    for i, j in np.ndindex(m, n_bands):
        sigma = robust_sigma(pixels[i, j][sky[i, j]])
        out[i, j] = sigma if np.isfinite(sigma) else 0.0
    return out


def magnitude_change(sample: ImageSample, way: str, i: int) -> np.ndarray:
    """-2.5 log10 (decoded / measured flux in the mask) of band `i`, (n,) mag.

    NaN where a flux is not positive.
    """
    decoded, measured_flux = getattr(sample, f"flux_{way}")[:, i], sample.flux[:, i]
    good = (decoded > 0) & (measured_flux > 0)
    ratio = np.divide(decoded, measured_flux, out=np.full(len(good), np.nan), where=good)
    return -2.5 * np.log10(ratio)
