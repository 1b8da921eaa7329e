"""The account of a field: what became of every row of its cube, and whose hashes its files name.

The summary of a field holds counts and digests of the cube's columns. While the digests are those
of the cube, so are the counts: the cube is read once, and every later file is compared with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from astromodal.audit.check import (
    CHANGED,
    FOREIGN,
    MISSING,
    ROWS,
    SKIPPED,
    STALE,
    Account,
    Audit,
    Findings,
    check_files,
)
from astromodal.audit.lock import lock_run, write_lock
from astromodal.core.fields import is_simulated
from astromodal.core.loops import Progress, quiet
from astromodal.core.paths import ExportLayout
from astromodal.core.vocab import MISSING_CODE
from astromodal.data.columns import modality_columns, planned_columns
from astromodal.data.cube import Cube
from astromodal.data.splits import NO_CELL, Split, load_split
from astromodal.data.summary import column_digests
from astromodal.errors import must_be
from astromodal.inference.bundle import load_bundle
from astromodal.inference.index_files import SimilarityIndex, check_model
from astromodal.inference.origin import Origin
from astromodal.reruns.recorded import Run, stale_jobs
from astromodal.sequences.layout import IMAGE, SCALAR, sequence_layout
from astromodal.sequences.store import SequenceStore
from astromodal.storage.arrays import ArrayFile, load_arrays
from astromodal.storage.formats import VERSIONS, skip_at
from astromodal.storage.json_files import read_json, write_json
from astromodal.storage.tempfiles import write_text

_ROWS: Final = 65_536  # rows of a table that are read at once
_WHOLE: Final = 1 << 64


def audit_run(run: Run, progress: Progress = quiet) -> Audit:
    """Check all files of a finished run, and account for every row of its cubes.

    Nothing is written. Memory holds the tokens of one field at a time.
    """
    found = Findings()
    n_files = check_files(run, found, progress)
    origin = _origin(run, found)
    catalogue, changed = _catalogue(run, found, origin), list[str]()
    index = _index(run, found, origin)
    # Fields that are trained on but not encoded need no summary.
    names = [
        n for n in run.fields.used if n in run.fields.every or Path(run.paths.summary(n)).exists()
    ]
    accounts = []
    for name in progress(names, len(names), "fields"):
        audit = _Field(run, name, found, origin)
        accounts.append(audit.account(catalogue, index))
        changed += audit.changed
    stale, reruns = stale_jobs(run, changed)
    for jobs in stale:
        found.add(STALE, jobs.file, jobs.message, jobs.rule)
    return Audit(run.paths.results, n_files, origin, accounts, found.problems, reruns)


def write_audit(run: Run, audit: Audit) -> None:
    """Write an audit into its results folder; and the lock file, if there is no problem."""
    write_json(run.paths.audit, audit.as_dict())
    write_text(run.paths.audit_text, audit.text())
    if lock := lock_run(run, audit):
        write_lock(run.paths.run_lock, lock)


def _origin(run: Run, found: Findings) -> Origin | None:
    """Return the origin of a run; None where tokenizers or model cannot be read."""
    for files, rule in ((run.paths.tokenizers, "tokenizers"), (run.paths.transformer, "train")):
        for path in files.values():
            if not Path(path).is_file():
                found.add(MISSING, path, must_be(path, "a file", "none", f"run {rule} again"))
    with found.reading(run.paths.final_model, "train_transformer", FOREIGN):
        bundle = load_bundle(run.paths.run)
        origin = Origin.of(bundle.trained, bundle.tokenizers)
        vocabulary = read_json(run.paths.vocab_spec)["tokenizer_hashes"]
        what, do = f"{run.paths.vocab_spec}: tokenizers", "build_vocabulary"
        found.require(FOREIGN, run.paths.vocab_spec, what, origin.tokenizers, vocabulary, do)
        exported = ExportLayout(run.paths.export)
        if Path(exported.weights).exists():
            with found.reading(exported.weights, "export_model", FOREIGN):
                own = load_bundle(run.paths.export)
                copy = Origin.of(own.trained, own.tokenizers)
                what = f"{run.paths.export}: model"
                found.require(FOREIGN, exported.weights, what, origin.model, copy.model,
                              "export_model")  # fmt: skip
        return origin
    return None


def _catalogue(run: Run, found: Findings, origin: Origin | None) -> dict[str, tuple[int, int]]:
    """Return objects and sum of hashes by field of the HATS catalogue; nothing without one."""
    folder = Path(run.paths.hats) / run.config.hats.name
    sums: dict[str, tuple[int, int]] = {}
    if not Path(run.paths.hats).exists():
        return sums
    sums = dict.fromkeys(run.fields.every, (0, 0))
    properties = folder / "hats.properties"
    with found.reading(str(properties), "build_hats"):
        lines = (line.partition("=") for line in properties.read_text().splitlines())
        model = {key.strip(): value.strip() for key, _, value in lines}.get("astromodal_model")
        if origin is not None:
            what = f"{properties}: model"
            found.require(FOREIGN, str(properties), what, origin.model, model, "build_hats")
    for path in sorted((folder / "dataset").rglob("Npix=*.parquet")):
        with found.reading(str(path), "build_hats"):
            for fields, rows, ids in _read(path, ("field", "row", "id")):
                for name in set(fields):
                    own = [i for i, each in enumerate(fields) if each == name]
                    n, total = sums.get(name, (0, 0))
                    more = row_hash((rows[i] for i in own), (ids[i] for i in own))
                    sums[name] = n + len(own), (total + more) % _WHOLE
    return sums


def _index(run: Run, found: Findings, origin: Origin | None) -> SimilarityIndex | None:
    """Return the index of similar objects; None where there is none."""
    path = run.paths.similarity_index
    if not Path(path).exists():
        return None
    with found.reading(path, "assemble_index", FOREIGN):
        index = SimilarityIndex.open(path)
        if origin is not None:
            check_model(index, origin.model)
        return index
    return None


def row_hash(rows: Iterable[int], ids: Iterable[str]) -> int:
    """Return the sum of hashes of rows with their ids, modulo 2^64, whatever their order."""
    total = 0
    for row, name in zip(rows, ids, strict=True):
        digest = hashlib.blake2b(f"{row} {name}".encode(), digest_size=8).digest()
        total += int.from_bytes(digest, "big")
    return total % _WHOLE


def _read(path: str | Path, columns: Iterable[str]) -> Iterable[list[list[Any]]]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(_ROWS, columns=list(columns)):
            yield [batch.column(name).to_pylist() for name in columns]


class _Field:
    """The audit of one field."""

    def __init__(self, run: Run, name: str, found: Findings, origin: Origin | None) -> None:
        self.run, self.name, self.found, self.origin = run, name, found, origin
        self.result, self.changed = Account(name), list[str]()

    def account(
        self, catalogue: Mapping[str, tuple[int, int]], index: SimilarityIndex | None
    ) -> Account:
        """Return the account, and add problems on the way."""
        paths, name = self.run.paths, self.name
        files = (paths.split, paths.summary, paths.scalar_tokens, paths.sequences)
        skips = (skip_at(path(name)) for path in files)
        if skip := next(filter(None, skips), None):
            self.result.skipped = str(skip)
            if self.run.config.on_bad_field != "skip":
                self.found.add(SKIPPED, paths.sequences(name), str(skip), skip.rule)
            return self.result
        split = self._cube()
        if split is None:
            return self.result
        if name not in self.run.fields.every:
            return self.result
        self._tokens(split)
        chosen = np.flatnonzero(split.selected)
        whole = row_hash(chosen.tolist(), split.ids[chosen].tolist())
        self.result.ids = f"{whole:016x}"
        self._sequences(len(chosen), whole)
        self._tables(len(chosen), whole)
        if index is not None:
            self._indexed(index, len(chosen), whole)
        if catalogue:
            placed = np.flatnonzero(split.selected & (split.healpix != NO_CELL))
            self.result.without_position = len(chosen) - len(placed)
            there = row_hash(placed.tolist(), split.ids[placed].tolist())
            self._same("hats", paths.hats, (len(placed), there), catalogue[name], "build_hats")
        return self.result

    def _cube(self) -> Split | None:
        """Compare the cube with its summary and its split; count its rows."""
        run, name, found = self.run, self.name, self.found
        path, own, at = run.cube(name), run.paths.summary(name), run.paths.split(name)
        with found.reading(own, "summarize_field"):
            summary = read_json(own)
            with found.reading(path, "simulate_field" if is_simulated(run.config) else "cubes"):
                cube = Cube(path, name, run.config.columns)
                self._compare(cube, summary["content"]["columns"])
                ids = cube.ids()
            self._count(summary)
            with found.reading(at, "split_field"):
                split = load_split(at)
                want = summary["n_rows"], summary["n_selected"]
                self._equal(at, "rows and selected rows", want,
                            (len(split.ids), int(split.selected.sum())), "split_field")  # fmt: skip
                if not np.array_equal(ids, split.ids):
                    message = must_be(f"{at}: ids", "those of the cube", "others",
                                      "run split_field again")  # fmt: skip
                    found.add(ROWS, at, message, "split_field")
                return split
        return None

    def _compare(self, cube: Cube, before: Mapping[str, str]) -> None:
        """Compare the digests of the cube's columns with those of its summary."""
        columns = modality_columns(planned_columns(self.run.config))
        now = column_digests(cube, before)
        for modality, names in columns.items():
            different = [n for n in names if n in before and now[n] != before[n]]
            if different:
                self.changed.append(f"stamps/datacube_{self.name}_{modality}.txt")
                path, shown = str(cube.path), ", ".join(different[:4])
                must = "as it was when it was summarised"
                got = f"other values of {modality} ({shown})"
                message = must_be(f"field {self.name}: {path}", must, got, "run snakemake")
                self.found.add(CHANGED, path, message, "summarize_field")
        if self.changed and is_simulated(self.run.config):
            self.changed = [f"cubes/{cube.path.name}"]

    def _count(self, summary: Mapping[str, Any]) -> None:
        """Take the counts of rows from the summary."""
        result, column = self.result, self.run.config.selection.column
        result.rows, result.selected = summary["n_rows"], summary["n_selected"]
        result.not_selected = dict(summary["cut"])
        missing = summary["missing"].items()
        result.no_magnitude = {why: found.get(column, 0) for why, found in missing}
        total = result.selected + sum(result.not_selected.values())
        path = self.run.paths.summary(self.name)
        self._equal(path, "rows, selected or not", result.rows, total, "summarize_field")
        images = summary["images"]
        kinds = {kind: images[f"n_{kind}"] for kind in ("whole", "short", "blank")}
        result.image = {"coded": kinds.pop("whole"), **kinds}
        result.image["none"] = result.rows - sum(result.image.values())
        for group, n in summary["spectra"].items():
            dead = n["n_spectra"] - n["n_live"]
            result.groups[group] = {"coded": n["n_live"], "dead": dead}
            result.groups[group]["none"] = result.rows - n["n_spectra"]

    def _tokens(self, split: Split) -> None:
        """Check the tokens of each modality, and count those that become blocks."""
        paths, name = self.run.paths, self.name
        chosen = np.flatnonzero(split.selected)
        expected = {SCALAR: len(chosen)}
        if scalars := self._coded(paths.scalar_tokens(name), "scalar", "encode_scalars", split):
            self._rows(scalars, chosen, "encode_scalars")
        if images := self._coded(paths.image_tokens(name), "image", "encode_images", split):
            coded, result = len(images["row"]), self.result.image
            self._equal(images.path, "cutouts", result["coded"], coded, "encode_images")
            known = (images["codes"] != MISSING_CODE).any(axis=1)
            expected[IMAGE] = int(split.selected[images["row"][known]].sum())
            at = paths.image_latents(name)
            if latents := self._coded(at, "image", "encode_images", split, "image_latents"):
                self._rows(latents, images["row"], "encode_images")
                was, now = (each.attributes["input_hash"] for each in (images, latents))
                what, do = f"{at}: hash of its cutouts", "encode_images"
                self.found.require(ROWS, at, what, was, now, do)
        if spectra := self._coded(paths.spectrum_tokens(name), "spectrum", "encode_spectra", split):
            for group, counted in self.result.groups.items():
                ends = spectra[f"{group}_indptr"]
                coded = int((np.diff(ends) > 0).sum())
                self._equal(spectra.path, f"{group} spectra", counted["coded"], coded,
                            "encode_spectra")  # fmt: skip
                before = np.concatenate([[0], np.cumsum(spectra[f"{group}_codes"] != MISSING_CODE)])
                known = before[ends[1:]] > before[ends[:-1]]
                expected[group] = int(split.selected[spectra["row"][known]].sum())
        self.result.blocks = expected

    def _coded(
        self, path: str, modality: str, rule: str, split: Split, name: str = ""
    ) -> ArrayFile | None:
        """Read codes or latents; check their tokenizer and their ids; None if that fails."""
        name = name or f"{modality}_tokens"
        with self.found.reading(path, rule):
            file = load_arrays(path, format=name, version=VERSIONS[name])
            if self.origin is not None:
                want, got = self.origin.tokenizers[modality], file.attributes["tokenizer_hash"]
                self.found.require(FOREIGN, path, f"{path}: tokenizer", want, got, rule)
            row = file["row"]
            inside = not len(row) or row.max() < len(split.ids)
            if not inside or not np.array_equal(split.ids[row], file["ids"]):
                message = must_be(
                    f"{path}: ids", "those of the cube", "others", f"run {rule} again"
                )
                self.found.add(ROWS, path, message, rule)
                return None
            return file
        return None

    def _rows(self, file: ArrayFile, want: np.ndarray, rule: str) -> None:
        """Add a problem if a file does not hold these rows of the cube."""
        got = file["row"]
        self._equal(file.path, "rows", len(want), len(got), rule)
        if len(got) == len(want) and not np.array_equal(got, want):
            message = must_be(
                f"{file.path}: rows", "the selected ones", "others", f"run {rule} again"
            )
            self.found.add(ROWS, file.path, message, rule)

    def _sequences(self, n: int, whole: int) -> None:
        """Check the sequences: their hashes, their objects and their blocks."""
        path, rule = self.run.paths.sequences(self.name), "pack_sequences"
        with self.found.reading(path, rule):
            store = SequenceStore.open(path)
            with self.found.reading(path, rule, FOREIGN):
                if self.origin is not None:
                    self.origin.check_sequences(path)
            got = len(store), row_hash(store.row.tolist(), store.ids().tolist())
            self._same("sequences", path, (n, whole), got, rule)
            for block in sequence_layout(self.run.config.tokenizers).blocks:
                found = int((store.block_type == block.type).sum())
                want = self.result.blocks.get(block.name, found)
                self._equal(path, f"{block.name} blocks", want, found, rule)

    def _tables(self, n: int, whole: int) -> None:
        """Check the embeddings and predictions, where any field has some."""
        paths = self.run.paths
        for kind, at, rule in (
            ("embeddings", paths.embeddings, "embed_field"),
            ("predictions", paths.predictions, "predict_field"),
        ):
            if not any(Path(at(each)).exists() for each in self.run.fields.every):
                continue
            path = at(self.name)
            with self.found.reading(path, rule):
                with self.found.reading(path, rule, FOREIGN):
                    if self.origin is not None:
                        self.origin.check_table(path)
                count, total = 0, 0
                for rows, ids in _read(path, ("row", "id")):
                    count, total = count + len(ids), (total + row_hash(rows, ids)) % _WHOLE
                self._same(kind, path, (n, whole), (count, total), rule)

    def _indexed(self, index: SimilarityIndex, n: int, whole: int) -> None:
        """Check the field's objects in the index of similar objects."""
        path, rule = self.run.paths.similarity_vectors(self.name), "index_field"
        with self.found.reading(path, rule):
            vectors = index.fields[self.name]
            ids = [vectors.id(i) for i in range(len(vectors))]
            got = len(vectors), row_hash(vectors.row.tolist(), ids)
            self._same("index", path, (n, whole), got, rule)

    def _same(
        self, kind: str, path: str, want: tuple[int, int], got: tuple[int, int], rule: str
    ) -> None:
        """Note the number of objects of a kind; add a problem unless number and hash agree."""
        self.result.objects[kind] = got[0]
        what = f"field {self.name}: number of objects in {path}"
        self.found.require(ROWS, path, what, want[0], got[0], rule)
        if got[0] == want[0]:
            what = f"field {self.name}: hash of rows and ids in {path}"
            self.found.require(ROWS, path, what, f"{want[1]:016x}", f"{got[1]:016x}", rule)

    def _equal(self, path: str, what: str, want: object, got: object, rule: str) -> None:
        what = f"field {self.name}: number of {what} in {path}"
        self.found.require(ROWS, path, what, want, got, rule)
