"""Image cutouts: normalising, encoding and training, each beside a naive implementation.

The convolution peak is what this machine reaches in 3 × 3 convolutions at best. Floating-point
operations are two for each weight of a convolution at each place that it is applied to: what else
a stage does, it does within the time that is counted, and for nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from astromodal.config.schema import ImageSettings
from astromodal.models.autoencoder import ImageAutoencoder
from astromodal.storage.hashing import hash_values
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from astromodal.tokenizers.images.brightness import brightness_values, fit_brightness
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.pixels import source_places
from astromodal.tokenizers.images.shards import CutoutShard, CutoutStore
from astromodal.tokenizers.images.tokenizer import ImageCodebook, ImageTokenizer
from astromodal.tokenizers.images.train import Epoch, train_autoencoder
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from benchmarks.harness import REPEATS, Row, median_seconds, paired, seconds

CPU = torch.device("cpu")
N_CUTOUTS = 64
NETWORKS = {"default": {}, "demo": {"hidden": 64, "blocks": 2}}
"""The survey's network, which the marks apply to, and the demo's smaller one."""
SKY = np.array([0.013, 0.011, 0.017, 0.032, 0.034, 0.151, 0.052, 0.161, 0.018, 0.203, 0.091, 0.231])


def rows() -> Iterator[Row]:
    """All rows of this module."""
    pixels, valid = cutouts(N_CUTOUTS)
    normaliser = ImageNormaliser(ImageSettings().bands, 8 * SKY)
    yield _normalisation(normaliser, pixels, valid)
    for name, shape in NETWORKS.items():
        settings = ImageSettings(**shape, epochs=1 + REPEATS, max_cutouts=1024)
        yield from _encoding(name, settings, normaliser, pixels, valid)
        yield _training(name, settings, normaliser)


def _normalisation(normaliser: ImageNormaliser, pixels: np.ndarray, valid: np.ndarray) -> Row:
    pair = paired(
        lambda: normaliser.forward(pixels, valid, torch.get_num_threads()),
        lambda: plain_forward(normaliser, pixels, valid),
    )
    return Row(
        "images", "normalisation of cutouts of 96 × 96 × 12", "NumPy's arcsinh in float64",
        len(pixels) / pair.ours, "/s", 400,
        detail=f"{pair.ratio:.1f}× as fast; {pair} for {len(pixels)} cutouts",
    )  # fmt: skip


def _encoding(
    name: str,
    settings: ImageSettings,
    normaliser: ImageNormaliser,
    pixels: np.ndarray,
    valid: np.ndarray,
) -> Iterator[Row]:
    """Pixels to codes: normalising, the encoder, the nearest centroids."""
    tokenizer = image_tokenizer(settings, normaliser)
    model = build_model(shape_settings(settings), settings.seed)  # in PyTorch's default format

    def naive() -> None:
        for start in range(0, len(pixels), 16):
            part = slice(start, start + 16)
            x = torch.from_numpy(plain_forward(normaliser, pixels[part], valid[part]))
            model(x, torch.from_numpy(valid[part]))

    def ours() -> None:
        tokenizer.brightness(pixels, valid)
        tokenizer.encode(pixels, valid)

    pair = paired(ours, naive)
    against = "a forward pass of the whole autoencoder, as one would write it"
    per_second = len(pixels) / pair.ours
    yield Row(
        "encode_images", f"pixels in memory to codes, {name} network", against, pair.ratio, "×",
        _mark(name, 2),
        detail=f"{pair} for {len(pixels)} cutouts, {per_second:.0f}/s; ours normalises, encodes "
        "and looks codes up, theirs normalises, encodes and decodes",
    )  # fmt: skip
    done = len(pixels) * tokenizer.autoencoder.model.encoder_flops(settings.size)
    peak, taken = _beside_the_peak(ours)
    yield Row(
        "encode_images", f"part of the convolution peak, {name} network", "the machine's own peak",
        done / taken / peak, "", _mark(name, 0.6),
        detail=f"{done / taken / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s; the encoder's convolutions "
        "count, the time is that of normalising, encoding and looking up",
    )  # fmt: skip


def _mark(name: str, value: float) -> float | None:
    return value if name == "default" else None


def _training(name: str, settings: ImageSettings, normaliser: ImageNormaliser) -> Row:
    """Epochs over shards in files, as the job runs them."""
    epochs: list[Epoch] = []
    peaks: list[float] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        peaks.append(_peak())

    with tempfile.TemporaryDirectory() as folder:
        store = shard_store(Path(folder), settings, normaliser)
        train_autoencoder(store, normaliser, settings, CPU, report=report)
        del store
    reached = float(np.median([epoch.flops_per_second for epoch in epochs[1:]]))
    peak = float(np.median(peaks[1:]))
    speed = float(np.median([epoch.windows_per_second for epoch in epochs[1:]]))
    return Row(
        "train_image_autoencoder", f"part of the convolution peak, {name} network",
        "the machine's own peak", reached / peak, "", _mark(name, 0.55),
        detail=f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, {speed:.0f} windows of 32 × 32 "
        "a second; three times the convolutions of a forward pass count, the time is that of "
        "whole epochs: reading shards, drawing and turning windows, loss, optimiser",
    )  # fmt: skip


def _beside_the_peak(call: Callable[[], object]) -> tuple[float, float]:
    """Return the peak (FLOP/s) and the time of `call` (s): medians of measurements in turn."""
    call()
    measured = [(_peak(), seconds(call)) for _ in range(REPEATS)]
    peak, taken = np.median(np.array(measured), axis=0).tolist()
    return peak, taken


def _peak() -> float:
    """The best FLOP/s of 3 × 3 convolutions of several widths, batches and memory formats."""
    best = 0.0
    with torch.inference_mode():
        for channels, batch, grid in ((64, 16, 24), (64, 64, 24), (128, 16, 48), (256, 16, 24)):
            for order in (torch.contiguous_format, torch.channels_last):
                layer = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=order)
                x = torch.randn(batch, channels, grid, grid).to(memory_format=order)
                taken = median_seconds(lambda layer=layer, x=x: layer(x), 3)  # type: ignore[misc]
                best = max(best, 2 * layer.weight.numel() * batch * grid**2 / taken)
    return best


def plain_forward(normaliser: ImageNormaliser, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return NumPy's arcsinh of pixels, float32 (m, B, S, S)."""
    known = np.where(valid, pixels, 0) / normaliser.softening[:, None, None]
    return np.arcsinh(known).astype(np.float32)


def cutouts(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a star in the middle, and a few pixels that are not valid."""
    rng = np.random.default_rng(0)
    offset = np.arange(96) - 48
    star = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    flux = SKY * 10 ** rng.uniform(0.5, 3.5, (n, 1))
    pixels = rng.normal(size=(n, 12, 96, 96)) * SKY[:, None, None] + flux[..., None, None] * star
    return pixels.astype(np.float32), rng.random(pixels.shape) > 0.001


def image_tokenizer(settings: ImageSettings, normaliser: ImageNormaliser) -> ImageTokenizer:
    """A tokenizer of an untrained network and random centroids."""
    model: ImageAutoencoder = build_model(shape_settings(settings), settings.seed).eval()
    trained = TrainedAutoencoder(model, normaliser, shape_settings(settings), 1)
    centroids = np.random.default_rng(1).normal(size=(2048, 2)).astype(np.float32)
    columns = settings.brightness_columns
    pixels, valid = cutouts(N_CUTOUTS)
    places = source_places(pixels, valid, normaliser.sky)
    values = brightness_values(pixels, valid, places, normaliser.sky)
    bins = fit_brightness(values, columns, 1024)
    return ImageTokenizer(
        trained, ImageCodebook(NearestCentroid(centroids), 2048, trained.hash, bins)
    )


def shard_store(folder: Path, settings: ImageSettings, normaliser: ImageNormaliser) -> CutoutStore:
    """A shard of the most cutouts, in a file."""
    pixels, valid = cutouts(N_CUTOUTS)
    x = normaliser.forward(pixels, valid)
    x[~valid] = np.nan
    n = settings.max_cutouts
    np.save(folder / "pixels.npy", np.tile(x.astype(np.float16), (n // N_CUTOUTS, 1, 1, 1)))
    disc = np.hypot(*np.meshgrid(np.arange(96) - 48, np.arange(96) - 48)) < 8
    shard = CutoutShard(
        np.load(folder / "pixels.npy", mmap_mode="r"), np.tile(np.packbits(disc), (n, 1)),
        np.full((n, 3), np.nan), np.full(n, "a"), np.arange(n, dtype=np.int32), normaliser.hash,
        hash_values("benchmark"),
    )  # fmt: skip
    return CutoutStore([shard], normaliser, settings.size)
