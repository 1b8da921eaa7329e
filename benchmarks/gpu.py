"""Benchmark training and image encoding on a GPU: ``python -m benchmarks.gpu``.

It writes ``benchmarks/GPU.md`` in a few minutes. Without a GPU it prints a message and stops.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import nn

from astromodal.config.schema import ImageSettings, ModelSettings
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.order import plan_epoch
from astromodal.tokenizers.images.autoencoder import build_model, shape_settings
from astromodal.tokenizers.images.normaliser import ImageNormaliser
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.images.train import Epoch, train_autoencoder
from astromodal.training.history import matmul_peak
from benchmarks import bench_images as images
from benchmarks.__main__ import line, table
from benchmarks.baselines import GPT2, EncoderLM
from benchmarks.bench_transformer import our_step, their_step
from benchmarks.harness import ROOT, Row, median_seconds, paired
from benchmarks.survey import ALL, SCALARS_ONLY, WITH_DESI, WITH_IMAGE, default_layout, write_survey

RESULTS = ROOT / "benchmarks/GPU.md"
BASE = ModelSettings()
LARGE = ModelSettings(d_model=1024, n_layers=24, n_heads=16, d_ff=4096)
BUDGET = 32_768
NAMES = {EncoderLM: "nn.TransformerEncoder", GPT2: "GPT2LMHeadModel"}
N_CUTOUTS = 2048


def rows(gpu: torch.device) -> Iterator[Row]:
    """Yield all rows."""
    with tempfile.TemporaryDirectory() as name:
        yield from _transformer(Path(name), gpu)
    yield from _images(gpu)


def _transformer(folder: Path, gpu: torch.device) -> Iterator[Row]:
    layout = default_layout()
    kinds = ((SCALARS_ONLY, 260), (WITH_IMAGE, 40), (WITH_DESI, 20))
    mixed = write_survey(folder / "mixed", layout, kinds)
    dense = write_survey(folder / "dense", layout, ((WITH_IMAGE, 102),))
    longest = write_survey(folder / "longest", layout, ((ALL, 32),))
    for sequences, what, batch in (
        (mixed, "mixed objects", 8), (dense, "635 tokens", 32), (longest, "2047 tokens", 8),
    ):  # fmt: skip
        yield from _against(sequences, what, batch, gpu)
    many = tuple((kind, 4 * count) for kind, count in kinds)
    sky = write_survey(folder / "many", layout, many)
    for model, budget in ((BASE, BUDGET), (BASE, 2 * BUDGET), (LARGE, BUDGET)):
        yield from _utilisation(sky, model, budget, gpu)
    yield _laying_out(sky)


def _waiting(call: Callable[[], object], gpu: torch.device) -> Callable[[], object]:
    """Return a call that also waits until the GPU has finished."""

    def whole() -> object:
        result = call()
        torch.cuda.synchronize(gpu)
        return result

    return whole


def _against(sequences: SequenceSet, what: str, batch: int, gpu: torch.device) -> Iterator[Row]:
    tokens = int(sequences.lengths.sum())
    ours = _waiting(our_step(sequences, BASE, BUDGET, gpu, compiled=True), gpu)
    for kind, name in NAMES.items():
        theirs = _waiting(their_step(kind, sequences, BASE, batch, gpu), gpu)
        pair = paired(ours, theirs)
        yield Row(
            "transformer", f"real tokens per second, {what}, {_size(BASE)}",
            f"{name}, padded batches of {batch}, all logits", pair.ratio,
            detail=f"{tokens / pair.ours:,.0f} to {tokens / pair.theirs:,.0f}",
        )  # fmt: skip
        del theirs
        torch.cuda.empty_cache()


def _size(model: ModelSettings) -> str:
    return f"d_model {model.d_model}, {model.n_layers} layers"


def _utilisation(
    sequences: SequenceSet, model: ModelSettings, budget: int, gpu: torch.device
) -> Iterator[Row]:
    """Yield rows of FLOPs utilisation and memory on mixed objects, with and without compiling."""
    peak = matmul_peak(gpu, torch.bfloat16)
    calls = [our_step(sequences, model, budget, gpu, compiled) for compiled in (True, False)]
    compiled, eager = (_waiting(call, gpu) for call in calls)
    done = calls[0]()
    torch.cuda.synchronize(gpu)
    before = torch.cuda.memory_allocated(gpu)
    torch.cuda.reset_peak_memory_stats(gpu)
    compiled()
    memory = torch.cuda.max_memory_allocated(gpu) - before
    pair = paired(compiled, eager)
    size, tokens = f"{_size(model)}, steps of {budget:,} tokens", int(sequences.lengths.sum())
    yield Row(
        "transformer", f"model-FLOPs utilisation, mixed objects, {size}",
        "a bfloat16 product of two 8192 × 8192 matrices", done / pair.ours / peak, "",
        detail=f"{done / pair.ours / 1e12:.0f} of {peak / 1e12:.0f} TFLOP/s, "
        f"{tokens / pair.ours:,.0f} tokens/s, {memory / 1e9:.1f} GB above model and optimiser",
    )  # fmt: skip
    yield Row(
        "transformer", f"layers compiled, {size}", "the same without torch.compile", pair.ratio,
        detail=str(pair),
    )  # fmt: skip


def _laying_out(sequences: SequenceSet) -> Row:
    """Measure how many tokens per second a thread of the host lays out."""
    objects = np.arange(len(sequences))
    plan = plan_epoch(objects, sequences.lengths, (0, 0), 1, BUDGET)
    taken = median_seconds(
        lambda: [sequences.batch(plan.step(i), (0, 0)) for i in range(len(plan))]
    )
    tokens = int(sequences.lengths.sum())
    return Row(
        "transformer", "tokens laid out a second, one thread of the host", "", tokens / taken, "/s"
    )


def _images(gpu: torch.device) -> Iterator[Row]:
    pixels, valid = images.cutouts(N_CUTOUTS)
    normaliser = ImageNormaliser(ImageSettings().bands, 8 * images.SKY)
    peaks = {dtype: _convolution_peak(gpu, dtype) for dtype in (torch.float32, torch.bfloat16)}
    for name, shape in images.NETWORKS.items():
        settings = ImageSettings(**shape, epochs=6, max_cutouts=4 * N_CUTOUTS)
        yield from _encoding(name, settings, normaliser, pixels, valid, peaks[torch.float32], gpu)
        yield _training(name, settings, normaliser, peaks[torch.bfloat16], gpu)


def _encoding(
    name: str,
    settings: ImageSettings,
    normaliser: ImageNormaliser,
    pixels: np.ndarray,
    valid: np.ndarray,
    peak: float,
    gpu: torch.device,
) -> Iterator[Row]:
    on_cpu = images.image_tokenizer(settings, normaliser)
    tokenizer = ImageTokenizer(on_cpu.autoencoder, on_cpu.codebook, gpu)
    patches = tokenizer.patches(pixels, valid)
    model = build_model(shape_settings(settings), settings.seed).to(gpu)

    def naive() -> None:
        with torch.inference_mode():
            for start in range(0, len(pixels), 64):
                part = slice(start, start + 64)
                x = torch.from_numpy(images.plain_forward(normaliser, pixels[part], valid[part]))
                model(x.to(gpu), torch.from_numpy(valid[part]).to(gpu))

    pair = paired(lambda: tokenizer.encode(pixels, valid), _waiting(naive, gpu))
    yield Row(
        "encode_images", f"pixels in memory to codes, {name} network",
        "a forward pass of the whole autoencoder, written naively", pair.ratio,
        detail=f"{len(pixels) / pair.ours:,.0f} to {len(pixels) / pair.theirs:,.0f} cutouts/s",
    )  # fmt: skip
    host = median_seconds(lambda: tokenizer.patches(pixels, valid))
    network = median_seconds(lambda: tokenizer.encode_patches(patches))
    done = len(pixels) * tokenizer.autoencoder.model.encoder_flops(settings.size)
    yield Row(
        "encode_images", f"part of the TF32 convolution peak, {name} network", "the GPU's own peak",
        done / network / peak, "",
        detail=f"{done / network / 1e12:.1f} of {peak / 1e12:.0f} TFLOP/s, copies and the search "
        f"for codes included: {len(pixels) / network:,.0f} cutouts/s; the host normalises "
        f"{len(pixels) / host:,.0f} a second with {torch.get_num_threads()} threads beside it",
    )  # fmt: skip


def _training(
    name: str, settings: ImageSettings, normaliser: ImageNormaliser, peak: float, gpu: torch.device
) -> Row:
    epochs: list[Epoch] = []
    with tempfile.TemporaryDirectory() as folder:
        store = images.shard_store(Path(folder), settings, normaliser)
        train_autoencoder(store, normaliser, settings, gpu, report=epochs.append)
        del store
    reached = float(np.median([epoch.flops_per_second for epoch in epochs[1:]]))
    speed = float(np.median([epoch.windows_per_second for epoch in epochs[1:]]))
    return Row(
        "train_image_autoencoder", f"part of the bfloat16 convolution peak, {name} network",
        "the GPU's own peak", reached / peak, "",
        detail=f"{reached / 1e12:.1f} of {peak / 1e12:.0f} TFLOP/s, {speed:,.0f} windows of "
        f"32 × 32 a second, batches of {settings.batch_size}",
    )  # fmt: skip


def _convolution_peak(gpu: torch.device, dtype: torch.dtype) -> float:
    """Return the best FLOP/s of 3 × 3 convolutions of several widths."""
    best = 0.0
    with torch.inference_mode():
        for channels, batch, grid in ((128, 256, 48), (256, 256, 24), (512, 64, 24)):
            layer = nn.Conv2d(channels, channels, 3, padding=1).to(gpu, dtype)
            layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x = torch.randn(batch, channels, grid, grid, device=gpu, dtype=dtype)
            x = x.to(memory_format=torch.channels_last)
            call = _waiting(lambda layer=layer, x=x: layer(x), gpu)  # type: ignore[misc]
            taken = median_seconds(call)
            best = max(best, 2 * layer.weight.numel() * batch * grid**2 / taken)
    return best


def main() -> int:
    """Print every row and write the page of results."""
    if not torch.cuda.is_available():
        print("there is no GPU: nothing was measured")
        return 1
    gpu = torch.device("cuda", 0)
    torch.set_float32_matmul_precision("high")  # as the jobs do
    found = []
    for row in rows(gpu):
        print(line(row), flush=True)
        found.append(row)
    RESULTS.write_text(
        f"""# Benchmarks on a GPU

Written by `make bench-gpu` on {date.today()}; `benchmarks/gpu.py` defines each row. Both
sides of a ratio run in turn in one process, in bfloat16; times are medians of 5.

Machine: {torch.cuda.get_device_name(gpu)}; PyTorch {torch.__version__}.

{table(found)}
""",
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
