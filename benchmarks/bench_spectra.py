"""Spectra: the codebook, nearest centroids, and a whole field from the file to its codes."""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from gaiaxpy import convert
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from astromodal.config.inputs import SimulatedField, SimulateSettings
from astromodal.data.cube import Cube
from astromodal.evaluation.metrics import perplexity
from astromodal.simulate.field import simulate_field
from astromodal.surveys.desi import GRIDS
from astromodal.surveys.gaiaxp import N_COEFFICIENTS, N_CORRELATIONS
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.quantizers.kmeans import KMeans
from astromodal.tokenizers.quantizers.nearest import NearestCentroid
from astromodal.tokenizers.spectra.bins import NoiseProfile
from astromodal.tokenizers.spectra.codebook import (
    GroupSamples,
    feature_space,
    sample_features,
    train_codebook,
)
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra
from benchmarks.harness import Row, median_seconds, paired, seconds
from benchmarks.sky import SPECTRA, desi_spectra, n_pixels, write_spectra

N_FEATURES = 2_000_000
K = 2048
N_SPECTRA = 1900
"""Fibres of a field that has DESI, 2.8 % of its rows."""
N_XP = 400
FIELD = "F"
SKY = SimulateSettings(
    n_sources=16_000, cutout_fraction=0, xp_fraction=0, desi_fraction=0.35,
    fields={FIELD: SimulatedField()},
)  # fmt: skip
"""A field with DESI spectra enough for two million bins of each arm."""
SAMPLED = SPECTRA.model_copy(update={"groups": tuple(GRIDS), "samples_per_field": N_FEATURES})
XP = SPECTRA.model_copy(update={"groups": ("gaiaxp_bp", "gaiaxp_rp")})
THREADS = 2


def rows() -> Iterator[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"datacube_{FIELD}.parquet"
        simulate_field(SKY, FIELD, path)
        features = {group: _features(Cube(path, FIELD), group) for group in GRIDS}
    for group, x in features.items():
        yield from _codebook(group, x)
    yield from _nearest(features["desi_r"])
    yield _field()
    yield _xp()


def _features(cube: Cube, group: str) -> np.ndarray:
    """Standardised features of a group's spectra, float64 (n, 2), as they are clustered."""
    everything = np.ones(cube.n_rows, bool)
    features = sample_features(cube, SAMPLED, everything, 0)[group].features[:N_FEATURES]
    space = feature_space(group)
    return space.standardise(features, *space.standardisation(features))


def _codebook(group: str, x: np.ndarray) -> Iterator[Row]:
    single = x.astype(np.float32)
    ours: list[KMeans] = []
    theirs: list[MiniBatchKMeans] = []

    def mini_batches() -> None:
        model = MiniBatchKMeans(K, batch_size=4096, max_iter=50, n_init=1, random_state=len(theirs))
        theirs.append(model.fit(single))

    iterations = SPECTRA.iterations
    pair = paired(
        lambda: ours.append(KMeans.fit(x, K, iterations, len(ours), threads=THREADS)),
        mini_batches,
    )
    errors = [
        np.mean(NearestCentroid(model.cluster_centers_).search(x, THREADS)[1]) for model in theirs
    ]
    inertia = statistics.median(c.inertia for c in ours) / statistics.median(errors)
    what = f"{group}, {len(x) / 1e6:.3g} million simulated features, K = {K}"
    against = "MiniBatchKMeans(2048, batch_size=4096, max_iter=50, n_init=1)"
    yield Row(
        "spectrum codebook", f"inertia: {what}", against, inertia, "of its",
        mark=0.25, at_most=True, detail=f"medians of {len(ours)} seeds; {iterations} Lloyd steps",
    )  # fmt: skip
    for name, value, mark in (
        ("perplexity", min(perplexity(c.counts) for c in ours), 1400),
        ("codes in use", min(len(c.centroids) for c in ours), K),
    ):
        yield Row(
            "spectrum codebook", f"{name}: {what}", "", value, "codes", mark=mark,
            detail=f"the least of {len(ours)} seeds",
        )  # fmt: skip
    yield Row(
        "spectrum codebook", f"time: {what}", against, 1 / pair.ratio, "of its",
        mark=1.2, at_most=True, detail=str(pair),
    )  # fmt: skip


def _nearest(x: np.ndarray) -> Iterator[Row]:
    centroids = KMeans.fit(x, K, 1, 0, threads=THREADS).centroids
    ours = NearestCentroid(centroids)
    _check_exact(ours, centroids.astype(np.float64), x)
    single = x.astype(np.float32)
    index = faiss.IndexFlatL2(2)
    index.add(np.ascontiguousarray(centroids))
    faiss.omp_set_num_threads(THREADS)
    pair = paired(lambda: ours.search(x, THREADS), lambda: index.search(single, 1))
    yield Row(
        "nearest centroid", f"{len(x) / 1e6:g} million points, K = 2048, as exact as brute force",
        "faiss.IndexFlatL2, as many threads", pair.ratio, mark=2, detail=str(pair),
    )  # fmt: skip
    spectra = x[: 40 * 465].reshape(40, 465, 2)

    def broadcast() -> None:
        for spectrum in spectra:
            ((spectrum[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)

    pair = paired(lambda: ours.search(spectra.reshape(-1, 2), 1), broadcast)
    yield Row(
        "nearest centroid", "40 spectra of 465 bins", "a broadcast L × K for each", pair.ratio,
        mark=100, detail=f"{pair}, one thread each",
    )  # fmt: skip


def _check_exact(ours: NearestCentroid, centroids: np.ndarray, x: np.ndarray) -> None:
    """Stop where a code differs from brute force in float64, inside the centroids or far out."""
    rng = np.random.default_rng(0)
    some = np.concatenate([x[rng.integers(len(x), size=20_000)], 20 * rng.normal(size=(2000, 2))])
    for part in np.array_split(some, 22):
        brute = ((part[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        if not np.array_equal(ours.search(part, 1)[0], brute):
            raise SystemExit("nearest centroid: codes differ from those of brute force")


def _field() -> Row:
    tokenizer = _tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datacube_F.parquet"
        write_spectra(path, N_SPECTRA)
        taken = median_seconds(lambda: encode_field_spectra(Cube(path, "F"), tokenizer))
    pixels = n_pixels(tuple(GRIDS), N_SPECTRA)
    return Row(
        "encode_spectra", f"a field's {N_SPECTRA} DESI spectra, from the file to the codes", "",
        pixels / taken / 1e6, "million native pixels/s", mark=3,
        detail=f"{taken:.2f} s, one thread",
    )  # fmt: skip


def _tokenizer() -> SpectrumTokenizer:
    """A tokenizer with whole codebooks of the DESI arms, and none for Gaia XP, which are absent."""
    codebooks = []
    for group in SPECTRA.groups:
        samples = GroupSamples.merge([])
        if group in GRIDS:
            flux, ivar = desi_spectra(400, group, 4)
            noise = NoiseProfile.measure(flux, ivar)
            batch = SpectrumBatch(np.arange(len(flux), dtype=np.int32), flux, ivar)
            space = feature_space(group)
            scale, features = space.sample(group, batch, batch.live(), SPECTRA, noise)
            samples = GroupSamples(
                features.astype(np.float32), scale, len(scale), len(scale), noise
            )
        codebooks.append(train_codebook(samples, group, SPECTRA))
    return SpectrumTokenizer.assemble(codebooks, SPECTRA, 1024)


def _xp() -> Row:
    bands = {band: _xp_numbers(seed) for seed, band in enumerate(("bp", "rp"))}
    columns = {"id": [f"s{i}" for i in range(N_XP)]}
    for band, parts in bands.items():
        for part, values in parts.items():
            columns[f"gaiaxp_{band}_{part}"] = [json.dumps(row) for row in values.tolist()]
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        path = Path(folder) / "datacube_F.parquet"
        pq.write_table(pa.table(columns), path)
        samples = sample_features(Cube(path, "F"), XP, np.ones(N_XP, bool), 0)
        codebooks = [train_codebook(samples[group], group, XP) for group in XP.groups]
        tokenizer = SpectrumTokenizer.assemble(codebooks, XP, 1024)
        taken = median_seconds(lambda: encode_field_spectra(Cube(path, "F"), tokenizer))
        alone = seconds(lambda: _converted(bands))
    return Row(
        "encode_spectra", f"{N_XP} Gaia XP sources, BP and RP, from the file", "", N_XP / taken,
        "sources/s", mark=600,
        detail=f"one thread; GaiaXPy's convert alone, from arrays: {N_XP / alone:.0f} a second",
    )  # fmt: skip


def _xp_numbers(seed: int) -> dict[str, np.ndarray]:
    """Coefficients, errors and weak correlations of XP spectra."""
    rng = np.random.default_rng(seed)
    falling = 1e3 * np.exp(-np.arange(N_COEFFICIENTS) / 5)
    return {
        "coefficients": rng.normal(1, 0.3, (N_XP, N_COEFFICIENTS)) * falling,
        "coefficient_errors": rng.uniform(0.5, 2, (N_XP, N_COEFFICIENTS)),
        "coefficient_correlations": rng.uniform(-0.01, 0.01, (N_XP, N_CORRELATIONS)),
    }


def _converted(bands: dict[str, dict[str, np.ndarray]]) -> None:
    table: dict[str, object] = {"source_id": np.arange(N_XP)}
    for band, parts in bands.items():
        table[f"{band}_n_parameters"] = N_COEFFICIENTS
        table[f"{band}_standard_deviation"] = 1.0
        table |= {f"{band}_{part}": list(values) for part, values in parts.items()}
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        sampling = np.linspace(0, 60, SPECTRA.xp_samples)
        convert(pd.DataFrame(table), sampling=sampling, save_file=False)
