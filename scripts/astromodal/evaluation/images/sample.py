"""Cutouts of the evaluated objects, measured and decoded, reduced to sums as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

import numpy as np

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import SHAPE_COLUMNS
from astromodal.data.cutouts import CutoutBatch, elliptical_mask, read_cutouts
from astromodal.evaluation.context import (
    EvaluatedField,
    EvaluationContext,
    check_cutouts,
    check_ids,
    sample_rows,
)
from astromodal.evaluation.images.apertures import (
    STAR_COLUMNS,
    DecodedPhotometry,
    Photometry,
    are_stars,
    decoded_sums,
    mask_sums,
    source_light,
)
from astromodal.evaluation.metrics import count_codes
from astromodal.tokenizers.images.pixels import source_places
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.images.tokens import ImageTokens, load_image_latents, load_image_tokens

T = TypeVar("T")
Stage = Literal["codes", "latents"]
STAGES: Final[tuple[Stage, ...]] = ("codes", "latents")
"""What a cutout is decoded from: codes, or latents, which the codebook has not replaced."""

N_HIDDEN_CUTOUTS = 64
"""Cutouts that are encoded again for each set of hidden bands: 16 times with twelve bands."""

SEVERAL = (2, 3, 4, 6)
"""Numbers of bands that are hidden together; a single band is hidden band by band."""

_TOGETHER = 64


@dataclass(frozen=True)
class Stages(Generic[T]):
    """A pair of values: of cutouts decoded from codes, and of cutouts decoded from latents."""

    codes: T
    latents: T

    def at(self, stage: Stage) -> T:
        """Return the value of one stage."""
        return self.codes if stage == "codes" else self.latents


@dataclass(frozen=True)
class CutoutSums(Stages[DecodedPhotometry]):
    """Sums over measured cutouts and over those decoded from codes and from latents.

    Attributes
    ----------
    ids : unicode (n,)
        Ids of the objects.
    star : bool (n,)
        Which objects are stars.
    n_pixels, total, noise : float64 (n, B)
        As in `MaskSums`.
    measured : Photometry
        Light of the measured cutouts.
    """

    ids: np.ndarray
    star: np.ndarray
    n_pixels: np.ndarray
    total: np.ndarray
    noise: np.ndarray
    measured: Photometry


@dataclass(frozen=True)
class HiddenBands:
    """Sums inside the mask of cutouts that were encoded without some of their bands, P times.

    Attributes
    ----------
    hidden : bool (n, P, B)
        Hidden bands; none where the cutout has too few bands. Such a pass does not count.
    residual : float64 (n, P, B)
        Sums of squares of measured minus decoded from codes, of hidden bands too.
    complete, total, noise : float64 (n, B)
        The same sum with no band hidden, the sum of squares about the mean, and the sky noise.
    """

    hidden: np.ndarray
    residual: np.ndarray
    complete: np.ndarray
    total: np.ndarray
    noise: np.ndarray

    @property
    def n_hidden(self) -> np.ndarray:
        """Number of bands that each pass hides, int (P,)."""
        return passes(self.hidden.shape[2])


@dataclass(frozen=True)
class Example:
    """A cutout to plot: pixels (B, S, S), mask (S, S) and noise (B,), in counts/s."""

    id: str
    pixels: np.ndarray
    valid: np.ndarray
    decoded: np.ndarray
    mask: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class ImageSample(CutoutSums):
    """The evaluated cutouts.

    Attributes
    ----------
    bands : tuple of str
        Bands in channel order.
    size : int
        Side of a cutout (pixel).
    hidden : HiddenBands
        Sums over some of the cutouts, encoded without some of their bands.
    counts, head_counts : int64 (K,), int64 (H, n_bins)
        How often each code of latents, and of each column of place and brightness, occurs among all
        eligible cutouts.
    n_whole, n_short : int
        Whole and short cutouts of all objects of these fields.
    n_uncoded, n_outside : int
        Whole cutouts of evaluated objects without codes, and of objects that are not evaluated.
    examples : list of Example
        Cutouts to plot, brightest first.
    """

    bands: tuple[str, ...]
    size: int
    hidden: HiddenBands
    counts: np.ndarray
    head_counts: np.ndarray
    n_whole: int
    n_short: int
    n_uncoded: int
    n_outside: int
    examples: list[Example] = field(default_factory=list)


def sample_images(context: EvaluationContext, tokenizer: ImageTokenizer) -> ImageSample:
    """Sample cutouts of all fields and reduce them to sums; only a few examples are kept.

    Raises
    ------
    FormatError
        Where the codes are not those of the cubes' cutouts.
    """
    fields, evaluation = context.fields, context.settings.evaluation
    image = context.settings.tokenizers.image
    tokens = [load_image_tokens(f.files["tokens"], tokenizer.hash) for f in fields]
    places = [
        np.flatnonzero(f.rows()[t.row] & (t.codes != MISSING_CODE).all(axis=1))
        for f, t in zip(fields, tokens, strict=True)
    ]
    sampled = sample_rows(places, evaluation.max_objects, evaluation.seed)
    shown = sample_rows(sampled, evaluation.n_examples, evaluation.seed)
    repeated = sample_rows(sampled, N_HIDDEN_CUTOUTS, evaluation.seed)
    rng = np.random.default_rng(evaluation.seed)
    counts = np.zeros(len(tokenizer.centroids), dtype=np.int64)
    head_counts = np.zeros(tokenizer.codebook.bins.centers.shape, dtype=np.int64)
    sums, hidden = [_no_sums(len(image.bands), image.size)], [_no_hidden(len(image.bands))]
    examples: list[Example] = []
    for i, (f, token) in enumerate(zip(fields, tokens, strict=True)):
        counts += count_codes(token.codes[places[i]], len(counts))
        for column, codes in zip(head_counts, token.brightness[places[i]].T, strict=True):
            column += count_codes(codes, len(column))
        if not len(sampled[i]):
            continue
        cutouts = _FieldCutouts(context, f, token, tokenizer, sampled[i])
        for batch in context.progress(cutouts.batches(), None, f"cutouts of {f.name}"):
            batch_sums, batch_examples = cutouts.reduce(batch, token.row[shown[i]])
            sums.append(batch_sums)
            examples += batch_examples
            hidden.append(cutouts.hide(batch, batch_sums, token.row[repeated[i]], rng))
    examples.sort(key=lambda e: -float(np.where(e.mask & e.valid, e.pixels, 0).sum()))
    n_whole, n_short = (sum(getattr(t, name) for t in tokens) for name in ("n_whole", "n_short"))
    inside = sum(int(f.rows()[t.row].sum()) for f, t in zip(fields, tokens, strict=True))
    return ImageSample(
        **vars(_joined(sums)), bands=tuple(image.bands), size=image.size, hidden=_joined(hidden),
        counts=counts, head_counts=head_counts, n_whole=n_whole, n_short=n_short, examples=examples,
        n_uncoded=inside - sum(map(len, places)), n_outside=n_whole - inside,
    )  # fmt: skip


class _FieldCutouts:
    """The sampled cutouts of one field, measured and decoded."""

    def __init__(
        self,
        context: EvaluationContext,
        evaluated: EvaluatedField,
        tokens: ImageTokens,
        tokenizer: ImageTokenizer,
        sampled: np.ndarray,
    ) -> None:
        self.tokens, self.tokenizer = tokens, tokenizer
        self.image = context.settings.tokenizers.image
        self.cube = evaluated.open(context.settings.columns)
        rows, ids, files = tokens.row[sampled], tokens.ids[sampled], evaluated.files
        check_ids(self.cube.ids(), rows, ids, files["tokens"])
        self.latents = load_image_latents(files["latents"], tokenizer.hash)
        check_ids(self.cube.ids(), self.latents.row, self.latents.ids, files["latents"])
        self.shapes = self.cube.scalars(SHAPE_COLUMNS)
        self.star = are_stars(self.cube.scalars(STAR_COLUMNS))
        self.keep = np.zeros(self.cube.n_rows, dtype=bool)
        self.keep[rows] = True

    def batches(self) -> Iterator[CutoutBatch]:
        """Read the sampled cutouts in batches."""
        return read_cutouts(self.cube, self.image, keep=self.keep)

    def reduce(self, batch: CutoutBatch, shown: np.ndarray) -> tuple[CutoutSums, list[Example]]:
        """Return the sums of a batch, and those of its cutouts whose rows are in `shown`."""
        place = np.searchsorted(self.tokens.row, batch.row)
        stored = self.tokens.codes[place]
        bright = self.tokens.brightness[place]
        again, _ = self.tokenizer.encode(batch.pixels, batch.valid)
        check_cutouts(self.cube, stored, again, "encode_images")
        now = self.tokenizer.brightness(batch.pixels, batch.valid)
        check_cutouts(self.cube, bright, now, "encode_images")
        latent = self.latents.latents[np.searchsorted(self.latents.row, batch.row)]
        decoded = Stages(
            self.tokenizer.decode(stored, bright), self.tokenizer.decode_latents(latent, bright)
        )
        mask, ids = self._mask(batch.row), self.tokens.ids[place]
        places = source_places(batch.pixels, batch.valid, self.tokenizer.normaliser.sky)
        sums = reduce_cutouts(ids, batch, mask, self.star[batch.row], places, decoded)
        chosen = np.flatnonzero(np.isin(batch.row, shown))
        parts = batch.pixels, batch.valid, decoded.codes, mask, sums.noise
        examples = [Example(str(ids[i]), *(part[i] for part in parts)) for i in chosen]
        return sums, examples

    def hide(
        self, batch: CutoutBatch, sums: CutoutSums, rows: np.ndarray, rng: np.random.Generator
    ) -> HiddenBands:
        """Encode those cutouts of a batch that are in `rows` again, without some bands."""
        some = np.isin(batch.row, rows)
        pixels, valid, mask = batch.pixels[some], batch.valid[some], self._mask(batch.row[some])
        hidden = choose_hidden(np.asarray(valid.any((2, 3))), rng)
        residual = decode_without(self.tokenizer, pixels, valid, mask, hidden)
        complete = sums.codes.residual[some]
        return HiddenBands(hidden, residual, complete, sums.total[some], sums.noise[some])

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        a, b, theta = self.shapes[rows].T
        return elliptical_mask(a, b, theta, self.image.size)


def reduce_cutouts(
    ids: np.ndarray,
    batch: CutoutBatch,
    mask: np.ndarray,
    star: np.ndarray,
    places: np.ndarray,
    decoded: Stages[np.ndarray],
) -> CutoutSums:
    """Reduce a batch of m cutouts to sums.

    Parameters
    ----------
    ids : unicode (m,)
        Ids of the objects.
    batch : CutoutBatch
        The measured cutouts.
    mask : bool (m, S, S)
        Elliptical masks of the objects.
    star : bool (m,)
        Which objects are stars.
    places : float64 (m, 2)
        Where they stand in the measured cutouts, as `source_places` returns it.
    decoded : Stages of float (m, B, S, S)
        The decoded cutouts (counts/s).
    """
    pixels, valid = batch.pixels, batch.valid
    sums = mask_sums(pixels, valid, mask)

    def of_decoded(images: np.ndarray) -> DecodedPhotometry:
        compared = decoded_sums(pixels, images, valid, mask)
        light = source_light(images, batch, places, star)
        return DecodedPhotometry(compared.flux, **light, residual=compared.residual)

    return CutoutSums(
        codes=of_decoded(decoded.codes),
        latents=of_decoded(decoded.latents),
        ids=ids,
        star=star,
        n_pixels=sums.n_pixels,
        total=sums.total,
        noise=sums.noise,
        measured=Photometry(sums.flux, **source_light(pixels, batch, places, star)),
    )


def _no_sums(n_bands: int, size: int) -> CutoutSums:
    pixels = np.empty((0, n_bands, size, size), dtype=np.float32)
    batch = CutoutBatch(np.empty(0, np.int32), pixels, pixels > 0)
    none, places, decoded = np.empty(0, bool), np.empty((0, 2)), Stages(pixels, pixels)
    return reduce_cutouts(np.empty(0, "U1"), batch, pixels[:, 0] > 0, none, places, decoded)


def _no_hidden(n_bands: int) -> HiddenBands:
    each, by_pass = np.empty((0, n_bands)), np.empty((0, len(passes(n_bands)), n_bands))
    return HiddenBands(by_pass > 0, by_pass, each, each, each)


def _joined(batches: Sequence[T]) -> T:
    """Concatenate the arrays of dataclasses of one type, and of the dataclasses in them."""
    values = {}
    for name in vars(batches[0]):
        each = [getattr(batch, name) for batch in batches]
        values[name] = np.concatenate(each) if isinstance(each[0], np.ndarray) else _joined(each)
    return type(batches[0])(**values)


def passes(n_bands: int) -> np.ndarray:
    """Return how many bands each pass hides, int (P,): every band alone, then several."""
    return np.array([1] * n_bands + [k for k in SEVERAL if k < n_bands])


def choose_hidden(present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose the bands to hide from each cutout in each pass.

    First every band alone, then `SEVERAL` at random. Smaller sets are part of larger ones, so that
    the loss grows because bands are added, not because others are chosen.

    Parameters
    ----------
    present : (m, B) bool
        Bands that a cutout has. At least one is never hidden.
    rng : Generator
        Source of the order of the bands.

    Returns
    -------
    bool (m, P, B)
    """
    m, n_bands = present.shape
    order = np.where(present, rng.random((m, n_bands)), np.inf).argsort(1).argsort(1)
    single = np.eye(n_bands, dtype=bool)[None] & present[:, None]
    several = np.array([k for k in SEVERAL if k < n_bands])
    together = (order[:, None] < several[:, None]) & present[:, None]  # (m, passes, B)
    hidden = np.concatenate([single, together], axis=1)
    enough = present.sum(1)[:, None] > passes(n_bands)
    return hidden & enough[..., None]


def decode_without(
    tokenizer: ImageTokenizer,
    pixels: np.ndarray,
    valid: np.ndarray,
    mask: np.ndarray,
    hidden: np.ndarray,
) -> np.ndarray:
    """Encode cutouts without the hidden bands, decode the codes, and compare inside the mask.

    Parameters
    ----------
    tokenizer : ImageTokenizer
        With at least one centroid.
    pixels, valid, mask
        As for `mask_sums`.
    hidden : (m, P, B) bool
        As `choose_hidden` returns it.

    Returns
    -------
    float64 (m, P, B)
        Sums of squares of measured minus decoded; NaN where no band is hidden.
    """
    residual = np.full(hidden.shape, np.nan)
    places = np.argwhere(hidden.any(2))
    # Cutouts of all passes are batched together, so that the network gets full batches.
    for start in range(0, len(places), _TOGETHER):
        i, p = places[start : start + _TOGETHER].T
        shown = valid[i] & ~hidden[i, p][..., None, None]
        codes, _ = tokenizer.encode(pixels[i], shown)
        decoded = tokenizer.decode(codes, tokenizer.brightness(pixels[i], shown))
        inside = valid[i] & mask[i, None]
        difference = np.where(inside, decoded - pixels[i], 0.0)
        residual[i, p] = (difference.astype(np.float64) ** 2).sum((2, 3))
    return residual
