"""The evaluated cutouts of one field as they stream by, decoded, and again with bands hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from astromodal.config.schema import ColumnSettings, ImageSettings
from astromodal.data.columns import SHAPE_COLUMNS
from astromodal.data.cutouts import CutoutBatch, elliptical_mask, read_cutouts
from astromodal.evaluation.held_out import EvaluatedField, check_cutouts, check_ids
from astromodal.evaluation.images.apertures import (
    STAR_COLUMNS,
    aperture_fluxes,
    are_stars,
    overlaps,
    reduce_cutouts,
    star_widths,
)
from astromodal.evaluation.images.missing import decode_without, draw_hidden
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.images.tokens import ImageTokens, load_image_latents


@dataclass(frozen=True)
class Example:
    """One cutout to draw, (B, S, S) each; `mask` (S, S)."""

    id: str
    pixels: np.ndarray
    valid: np.ndarray
    decoded: np.ndarray
    mask: np.ndarray
    noise: np.ndarray  # (B,)


class FieldImages:
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
        self.star = are_stars(self.cube.scalars(STAR_COLUMNS))
        self.overlap = overlaps(image.size)
        self.keep = np.zeros(self.cube.n_rows, dtype=bool)
        self.keep[tokens.row[chosen]] = True

    def batches(self) -> Iterator[CutoutBatch]:
        """Slices of the chosen cutouts, as the cube is streamed."""
        return read_cutouts(self.cube, self.image, keep=self.keep)

    def reduce(
        self, batch: CutoutBatch, show: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Example]]:
        """Sums, widths and class of each cutout of a batch, and the examples among them."""
        place = np.searchsorted(self.tokens.row, batch.row)
        stored = self.tokens.codes[place]
        again, _ = self.tokenizer.encode(batch.pixels, batch.valid)
        check_cutouts(self.cube, stored, again, "encode_images")
        codes = self.tokenizer.decode(stored)
        latent = self.latents.latents[np.searchsorted(self.latents.row, batch.row)]
        ways = {"codes": codes, "latents": self.tokenizer.decode_latents(latent)}
        mask, star = self._mask(batch.row), self.star[batch.row]
        sums = {
            **reduce_cutouts(batch.pixels, batch.valid, mask, ways),
            **aperture_fluxes(batch.pixels, batch.valid, self.overlap, ways),
            **star_widths(batch.pixels, batch.valid, star, ways),
            "ids": self.tokens.ids[place],
            "star": star,
        }
        examples = [
            Example(
                str(sums["ids"][i]), batch.pixels[i], batch.valid[i], codes[i], mask[i],
                sums["noise"][i],
            )
            for i in np.flatnonzero(np.isin(batch.row, show))
        ]  # fmt: skip
        return sums, examples

    def hide(
        self,
        batch: CutoutBatch,
        sums: dict[str, np.ndarray],
        rows: np.ndarray,
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """The arrays of `HiddenBands` for those cutouts of a batch that are in `rows`."""
        some = np.isin(batch.row, rows)
        pixels, valid = batch.pixels[some], batch.valid[some]
        present = np.asarray(valid.any((2, 3)))
        hidden = draw_hidden(present, rng)
        mask = self._mask(batch.row[some])
        return {
            "hidden": hidden,
            "residual": decode_without(self.tokenizer, pixels, valid, mask, hidden),
            "complete": sums["residual_codes"][some],
            "total": sums["total"][some],
            "noise": sums["noise"][some],
        }

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        shape = self.shapes[rows]
        return elliptical_mask(shape[:, 0], shape[:, 1], shape[:, 2], self.image.size)
