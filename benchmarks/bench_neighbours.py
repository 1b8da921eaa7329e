"""Similar objects: recall, time and memory of searches in an index of up to ten million.

Points are drawn in the space of an index: 200 clusters of unequal numbers of objects, each spread
along six directions of its own and, less, along all others; the variance of component c falls as
1/c, as that of principal components does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astromodal.config.evaluate import IndexSettings
from astromodal.core.paths import Layout
from astromodal.inference.index_files import (
    SimilarityIndex,
    assemble_index,
    index_field,
    write_vectors,
)
from astromodal.inference.index_space import IndexSpace, train_space
from astromodal.inference.similar import search
from astromodal.inference.tables import KEY
from astromodal.tokenizers.quantizers.kmeans import KMeans
from benchmarks.harness import Row, median_seconds, paired, peak_memory, seconds
from benchmarks.sky import N_ROWS

SIZES: Final = (100_000, 1_000_000, 10_000_000)
SETTINGS: Final = IndexSettings()
WIDTH: Final = 768
N_QUERIES: Final = 1000
K: Final = 10
PROBES: Final = (4, 8, 16, 32, 64, 128)
THREADS: Final = 2
MARK_RECALL: Final = 0.95
MARK_SECONDS: Final = 0.1
"""For one object among ten million."""
_CLUSTERS: Final = 200
_DIRECTIONS: Final = 6
STAGE: Final = "similar objects"


def rows() -> Iterator[Row]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _build(folder)
        sky = _Sky(SETTINGS.n_components)
        centroids, taken = _centroids(sky)
        yield Row(
            STAGE, f"k-means: {SETTINGS.n_lists} lists of {SETTINGS.max_objects:,} objects", "",
            taken, "s", detail=f"{THREADS} threads",
        )  # fmt: skip
        space = IndexSpace(np.zeros(len(sky.scale)), np.eye(len(sky.scale)), centroids, "", "mean")
        for n in SIZES:
            index = SimilarityIndex.open(_write(folder / str(n), sky, space, n))
            yield from _searches(index, sky)
            yield from _memory(index)
            if n == 1_000_000:
                yield from _against_faiss(index, sky)


class _Sky:
    """The clusters that points are drawn from."""

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(0)
        self.scale = (1 / np.sqrt(np.arange(1, width + 1))).astype(np.float32)
        self._centres = 1.2 * self.scale * rng.normal(size=(_CLUSTERS, width))
        self._mixing = self.scale[:, None] / 2 * rng.normal(size=(_CLUSTERS, width, _DIRECTIONS))
        self._share = rng.dirichlet(np.ones(_CLUSTERS))

    def points(self, n: int, seed: int) -> np.ndarray:
        """Draw n points, float32 (n, C)."""
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(n, self._share)
        out, start = rng.normal(size=(n, len(self.scale))).astype(np.float32), 0
        out *= 0.15 * self.scale
        for centre, mixing, count in zip(self._centres, self._mixing, counts, strict=True):
            part = slice(start, start := start + count)
            out[part] += centre + rng.normal(size=(count, _DIRECTIONS)) @ mixing.T
        return out


def _centroids(sky: _Sky) -> tuple[np.ndarray, float]:
    """Centroids of lists, float32 (L, C), and the time that they take (s)."""
    sample, fitted = sky.points(SETTINGS.max_objects, 1), list[KMeans]()
    fit = partial(KMeans.fit, sample, SETTINGS.n_lists, 10, 0, threads=THREADS)
    taken = seconds(lambda: fitted.append(fit()))
    return fitted[0].centroids, taken


def _write(folder: Path, sky: _Sky, space: IndexSpace, n: int) -> str:
    """Write an index of n objects in fields of the survey's size; return its path."""
    paths, files = Layout(str(folder)), dict[str, str]()
    space.save(paths.similarity_space)
    for number, start in enumerate(range(0, n, N_ROWS)):
        points = sky.points(min(N_ROWS, n - start), 100 + number)
        names = [b"iDR4_3_F%04d_%07d" % (number, i) for i in range(len(points))]
        files[f"F{number:04d}"] = own = paths.similarity_vectors(f"F{number:04d}")
        write_vectors(space, points, np.arange(len(points), dtype=np.int32), names, own, THREADS)
    assemble_index(paths.similarity_space, files, SETTINGS, paths.similarity_index)
    return paths.similarity_index


def _searches(index: SimilarityIndex, sky: _Sky) -> Iterator[Row]:
    """Recall by lists, and time of searches, for one object and for a thousand."""
    n, queries = f"{len(index):,} objects", sky.points(N_QUERIES, 7)
    exact, _ = search(index, queries, K, None, THREADS)
    recalls = {}
    for n_probe in PROBES:
        near, _ = search(index, queries, K, n_probe, THREADS)
        recalls[n_probe] = np.mean([np.isin(a, b).mean() for a, b in zip(exact, near, strict=True)])
    yield Row(
        STAGE, f"{n}: recall of the 10 nearest, {SETTINGS.n_probe} of {SETTINGS.n_lists} lists",
        "all compared", float(recalls[SETTINGS.n_probe]), mark=MARK_RECALL, unit="",
        detail=", ".join(f"{p} lists {r:.4f}" for p, r in recalls.items()),
    )  # fmt: skip
    for what, n_probe in ((f"{SETTINGS.n_probe} lists", SETTINGS.n_probe), ("exact", None)):
        one = median_seconds(lambda p=n_probe: search(index, queries[:1], K, p, THREADS))
        many = median_seconds(lambda p=n_probe: search(index, queries, K, p, THREADS), 3)
        marked = {"mark": 1e3 * MARK_SECONDS, "at_most": True} if n_probe else {}
        yield Row(
            STAGE, f"{n}: one object, {what}", "", 1e3 * one, "ms",
            detail=f"{N_QUERIES} objects: {many:.3g} s; {THREADS} threads", **marked,
        )  # fmt: skip


def _memory(index: SimilarityIndex) -> Iterator[Row]:
    """Peaks of processes that open the index and search for a thousand objects."""
    size = sum(own.path.stat().st_size for own in index.fields.values())
    imports = (
        "import numpy as np\n"
        "from astromodal.inference.index_files import SimilarityIndex\n"
        "from astromodal.inference.similar import search"
    )
    for what, n_probe in ((f"{SETTINGS.n_probe} lists", SETTINGS.n_probe), ("exact", None)):
        work = (
            "index = SimilarityIndex.open(sys.argv[1])\n"
            f"shape = ({N_QUERIES}, {SETTINGS.n_components})\n"
            "points = np.random.default_rng(0).normal(size=shape)\n"
            f"search(index, points.astype(np.float32), {K}, {n_probe}, {THREADS})"
        )
        peak = peak_memory(imports, work, str(index.path))
        yield Row(
            STAGE, f"{len(index):,} objects: peak of a search for {N_QUERIES}, {what}", "", peak,
            "MB", detail=f"files of {size / 1e6:,.0f} MB, whose mapped pages count",
        )  # fmt: skip


def _against_faiss(index: SimilarityIndex, sky: _Sky) -> Iterator[Row]:
    """Compare with faiss, which holds everything in memory, with the same centroids."""
    faiss.omp_set_num_threads(THREADS)
    queries, centroids = sky.points(N_QUERIES, 7), np.array(index.space.centroids)
    points = np.concatenate([own.points for own in index.fields.values()])
    flat, width = faiss.IndexFlatL2(points.shape[1]), points.shape[1]
    flat.add(points)
    quantizer = faiss.IndexFlatL2(width)
    inverted = faiss.IndexIVFFlat(quantizer, width, len(centroids))
    quantizer.add(centroids)
    inverted.is_trained = True
    inverted.add(points)
    inverted.nprobe = SETTINGS.n_probe
    searches = (("exact", None, flat), (f"{SETTINGS.n_probe} lists", SETTINGS.n_probe, inverted))
    for what, n_probe, theirs in searches:
        near, _ = search(index, queries, K, n_probe, THREADS)
        same = (near == theirs.search(queries, K)[1]).mean()
        for n in (1, N_QUERIES):
            pair = paired(
                lambda p=n_probe, n=n: search(index, queries[:n], K, p, THREADS),
                lambda t=theirs, n=n: t.search(queries[:n], K),
                repeats=3,
            )
            yield Row(
                STAGE, f"{len(index):,} objects: {what}, {n} at once",
                f"{type(theirs).__name__} of faiss in memory", pair.ratio,
                detail=f"{pair}; {100 * same:.2f} % of the neighbours are the same",
            )  # fmt: skip


def _build(folder: Path) -> Iterator[Row]:
    """Time and memory of the files of a field, from embeddings."""
    path, result = folder / "embeddings.parquet", folder / "vectors"
    _write_embeddings(path)
    space = train_space([path], SETTINGS, threads=THREADS)
    space.save(folder / "space")
    taken = median_seconds(lambda: index_field(space, path, result, THREADS), 3)
    imports = (
        "from astromodal.inference.index_files import index_field\n"
        "from astromodal.inference.index_space import IndexSpace"
    )
    work = "index_field(IndexSpace.load(sys.argv[1]), *sys.argv[2:])"
    peak = peak_memory(imports, work, str(folder / "space"), str(path), str(result))
    what = f"index_field: {N_ROWS:,} embeddings of {WIDTH} dimensions"
    size = result.stat().st_size / 1e6
    yield Row(
        STAGE, what, "", taken, "s",
        detail=f"{len(space.centroids)} lists; peak {peak:.0f} MB; a file of {size:.0f} MB",
    )  # fmt: skip


def _write_embeddings(path: Path) -> None:
    """Write embeddings as embed_field does: the points of a sky, turned into more dimensions."""
    sky, rng = _Sky(SETTINGS.n_components), np.random.default_rng(3)
    turned = sky.points(N_ROWS, 5) @ rng.normal(size=(SETTINGS.n_components, WIDTH))
    vectors = (turned + 0.1 * rng.normal(size=turned.shape)).astype(np.float32)
    columns = {
        "id": [f"iDR4_3_F_{i:07d}" for i in range(N_ROWS)],
        "row": pa.array(np.arange(N_ROWS), pa.int32()),
        "split": ["train"] * N_ROWS,
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH),
    }
    meta = json.dumps({"model_hash": "", "pooling": "mean"}).encode()
    table = pa.table(columns).replace_schema_metadata({KEY: meta})
    pq.write_table(table, path, row_group_size=2048, write_page_checksum=True)
