"""What an audit finds, as JSON and as text; and the checks of a run's files, one by one.

The inventory of the run says which files its jobs wrote, with a digest of each.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from astromodal.core.loops import Progress, quiet
from astromodal.errors import AstromodalError, FormatError, must_be
from astromodal.inference.origin import Origin
from astromodal.reruns.inventory import content_digest
from astromodal.reruns.recorded import Run
from astromodal.storage.arrays import map_tensors
from astromodal.storage.formats import (
    DAMAGE,
    VERSIONS,
    check_archive,
    check_content,
    put_aside,
    read_array,
    remake,
    skip_at,
)
from astromodal.storage.hashing import hash_arrays, hash_file
from astromodal.storage.json_files import read_json
from astromodal.training.history import read_history

MISSING, DAMAGED, VERSION, FOREIGN = "missing", "damaged", "version", "foreign"
CHANGED, ROWS, SKIPPED, STALE = "changed", "rows", "skipped", "stale"
KINDS: Final = {
    MISSING: "a file does not exist",
    DAMAGED: "a file is not the one that its job wrote",
    VERSION: "a file is of another version of its format",
    FOREIGN: "a file names another tokenizer, vocabulary or model",
    CHANGED: "a cube has changed since it was summarised",
    ROWS: "rows or ids are not accounted for",
    SKIPPED: "a field was skipped, and `on_bad_field` is `stop`",
    STALE: "a job would run again",
}
"""Kinds of problems, in the order in which they are listed."""
_BATCH: Final = 256  # rows of a table that are read at once


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file of a run: a key of `KINDS`, the file, a message, its rule."""

    kind: str
    file: str
    message: str
    rule: str = ""


class Findings:
    """The problems that an audit has found, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Problem] = {}

    def add(self, kind: str, file: str, message: str, rule: str = "") -> None:
        """Add a problem; of a file that is missing or damaged, only the first one."""
        once = kind in (MISSING, DAMAGED)
        self._found.setdefault((file, "" if once else kind, "" if once else message),
                               Problem(kind, file, message, rule))  # fmt: skip

    def require(self, kind: str, file: str, what: str, must: object, got: object, do: str) -> None:
        """Add a problem unless two values are equal; `do` is the rule to run again."""
        if got != must:
            message = must_be(what, str(must), str(got), f"run {do} again")
            self.add(kind, file, message, do)

    @contextmanager
    def reading(self, file: str, rule: str, kind: str = DAMAGED) -> Iterator[None]:
        """Add the error of reading a file as a problem, and go on after the block."""
        try:
            yield
        except FileNotFoundError:
            self.add(MISSING, file, must_be(file, "a file", "none", f"run {rule} again"), rule)
        except DAMAGE as error:
            own = isinstance(error, AstromodalError)
            do = f"delete it and run {rule} again"
            message = str(error) if own else must_be(file, "whole", str(error)[:200], do)
            self.add(kind if own else DAMAGED, file, message, rule)

    @property
    def problems(self) -> list[Problem]:
        """The problems, by kind and file."""
        order = list(KINDS)
        return sorted(self._found.values(), key=lambda p: (order.index(p.kind), p.file, p.message))


@dataclass
class Account:
    """What became of the rows of one field's cube.

    Attributes
    ----------
    field : str
        The field.
    skipped : str
        Why the field was skipped; empty if it was not.
    rows, selected : int
        Rows of the cube, and those that pass the selection.
    not_selected : dict
        Other rows by reason: ``missing`` magnitude, ``brighter``, ``fainter``.
    no_magnitude : dict
        Of the missing magnitudes, those that are ``sentinel`` values or ``unreliable`` by a flag.
    image : dict
        Rows by cutout: ``coded``, ``short``, ``blank``, and ``none``.
    groups : dict of dict
        By group, rows by spectrum or light curve: ``coded``, ``dead`` (no good pixel), ``none``.
    blocks : dict
        Objects that have each block of their sequences.
    objects : dict
        Objects in ``sequences``, ``embeddings``, ``predictions``, ``index`` and ``hats``.
    without_position : int
        Objects without a position, which the HATS catalogue leaves out.
    ids : str
        Hash of rows and ids of the objects, in hexadecimal digits.
    """

    field: str
    skipped: str = ""
    rows: int = 0
    selected: int = 0
    not_selected: dict[str, int] = dataclasses.field(default_factory=dict)
    no_magnitude: dict[str, int] = dataclasses.field(default_factory=dict)
    image: dict[str, int] = dataclasses.field(default_factory=dict)
    groups: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    blocks: dict[str, int] = dataclasses.field(default_factory=dict)
    objects: dict[str, int] = dataclasses.field(default_factory=dict)
    without_position: int = 0
    ids: str = ""


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes
    ----------
    results : str
        The results folder.
    n_files : int
        Number of files that jobs wrote and that were read.
    origin : Origin, optional
        Hashes of the run's tokenizers, vocabulary and model; None if they cannot be read.
    accounts : list of Account
        One per field.
    problems : list of Problem
        What is wrong, in the order of `KINDS`.
    reruns : dict of str to int
        Files that jobs would write again, by rule.
    """

    results: str
    n_files: int
    origin: Origin | None
    accounts: list[Account]
    problems: list[Problem]
    reruns: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"format": "audit", "version": 1, **asdict(self)}

    def text(self) -> str:
        """Return tables of the rows and of the problems, as Markdown."""
        return f"# Audit of {self.results}\n\n" + "\n\n".join([
            self._result(), _table(self.accounts), _measured(self.accounts), self._problems()
        ])  # fmt: skip

    def _result(self) -> str:
        n, fields = len(self.problems), len(self.accounts)
        found = "no problem" if not n else f"{n} problem{'s' if n > 1 else ''}"
        return f"{found} in {self.n_files:,} files of {fields} field{'s' if fields != 1 else ''}"

    def _problems(self) -> str:
        lines = ["| problem | file | what is wrong |", "| --- | --- | --- |"]
        lines += [f"| {p.kind} | {p.file} | {p.message} |" for p in self.problems]
        again = ", ".join(f"{rule} ({n})" for rule, n in self.reruns.items()) or "none"
        kinds = [
            f"- {kind}: {KINDS[kind]}" for kind in dict.fromkeys(p.kind for p in self.problems)
        ]
        return "\n".join([*lines, "", *kinds, f"- rules that would run again (files): {again}", ""])


def check_files(run: Run, found: Findings, progress: Progress = quiet) -> int:
    """Read every file that the jobs of a run wrote, a piece at a time; return their number.

    Parameters
    ----------
    run : Run
        The run.
    found : Findings
        Receives the problems.
    progress : Progress
        Wraps the loop over files.
    """
    if not run.jobs:
        do = "run snakemake to the end, and audit then"
        must, got = "the inventory of a finished run", "none with jobs"
        found.add(MISSING, run.paths.inventory, must_be(run.paths.inventory, must, got, do))
    names = [n for n in run.inventory.files if not n.endswith("/") and run.rule(n)]
    for name in progress(names, len(names), "files"):
        path, rule = f"{run.paths.results}/{name}", run.rule(name)
        with found.reading(path, rule):
            if skip_at(path):
                continue  # of a field that is listed as skipped
            entry = run.inventory.files[name]
            if os.stat(path).st_size != entry.version.size:
                got = f"{os.stat(path).st_size} byte"
                must = f"of {entry.version.size} byte, as its job wrote it"
                found.add(DAMAGED, path, must_be(path, must, got, f"run {rule} again"), rule)
                continue
            cube = name.startswith("cubes/")  # whose columns are read with the field
            stated = ("", "") if cube else read_whole(path)
            check_version(found, path, *stated, rule)
            now = content_digest(path, whole=cube)
            found.require(DAMAGED, path, f"{path}: digest", entry.digest, now, rule)
    return len(names)


def check_version(found: Findings, path: str, name: str, version: str, rule: str) -> None:
    """Add a problem if a file states another version of its format than the present one."""
    if name in VERSIONS and version != str(VERSIONS[name]):
        must = f"{name} version {VERSIONS[name]}"
        message = must_be(path, must, f"version {version}", put_aside(name))
        found.add(VERSION, path, message, rule)


def read_whole(path: str) -> tuple[str, str]:
    """Read all of a file and check its hashes; return the format and version that it states.

    Raises
    ------
    FormatError
        If a hash in the file is not that of its content; one of `DAMAGE` if it cannot be read.
    """
    reader = _READERS.get(Path(path).suffix)
    return reader(path) if reader else ("", "")


def _read_npz(path: str) -> tuple[str, str]:
    check_archive(path)
    meta = json.loads(str(read_array(path, "meta")))
    return str(meta["format"]), str(meta["version"])


def _read_pixels(path: str) -> tuple[str, str]:
    """Compare pixels with the hash that the file beside them holds."""
    meta = json.loads(str(read_array(path.replace("_pixels.npy", "_sources.npz"), "meta")))
    check_content(path, meta["pixels_hash"], hash_file(path), remake("training_cutouts"))
    return str(meta["format"]), str(meta["version"])


def _read_pt(path: str) -> tuple[str, str]:
    check_archive(path)
    return "", ""  # its version is checked where it is loaded


def _read_tensors(path: str) -> tuple[str, str]:
    arrays, meta = map_tensors(path)
    name = meta.get("format", "")
    stored = meta.get("hash" if name == "exported_transformer" else "content_hash")
    if stored is not None:
        check_content(path, stored, hash_arrays(arrays), remake(name))
    return name, meta.get("version", "")


def _read_json(path: str) -> tuple[str, str]:
    values = read_json(path)
    stated = values if isinstance(values, dict) else {}
    return str(stated.get("format", "")), str(stated.get("version", ""))


def _read_lines(path: str) -> tuple[str, str]:
    read_history(path)
    return "", ""


def _read_table(path: str) -> tuple[str, str]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches(_BATCH):
            pass
    return "", ""


_READERS: Final = {
    ".npz": _read_npz,
    ".npy": _read_pixels,
    ".pt": _read_pt,
    ".safetensors": _read_tensors,
    ".json": _read_json,
    ".jsonl": _read_lines,
    ".parquet": _read_table,
}
"""Readers by suffix; the bytes of any other file are compared with the inventory's digest."""


def require_whole(problems: Collection[Problem], where: str) -> None:
    """Raise `FormatError` with the first problem and their number, if there are any."""
    for problem in problems:
        n = len(problems)
        raise FormatError(
            f"{n} problem{'s' if n > 1 else ''}, listed in {where}: {problem.message}"
        )


def _table(accounts: Collection[Account]) -> str:
    """Return the rows of each field as a table: from the cube to the last file."""
    kinds = list(dict.fromkeys(kind for each in accounts for kind in each.objects))
    names = ["field", "rows", "no magnitude", "brighter", "fainter", "selected", *kinds]
    lines = [_line([*names, "without position"]), _line(["---"] * (len(names) + 1))]
    for each in accounts:
        if each.skipped:
            lines.append(_line([each.field, each.skipped, *[""] * (len(names) - 1)]))
            continue
        cut = [each.not_selected.get(why, 0) for why in ("missing", "brighter", "fainter")]
        objects = [each.objects.get(kind, "") for kind in kinds]
        lines.append(
            _line([each.field, each.rows, *cut, each.selected, *objects, each.without_position])
        )
    return "\n".join(lines)


def _measured(accounts: Collection[Account]) -> str:
    """Return the cutouts and spectra of each field as a table, with those that have no codes."""
    lines = [_line(["field", "measurement", "coded", "not coded", "none"]), _line(["---"] * 5)]
    for each in accounts:
        for name, counts in {"image": each.image, **each.groups}.items():
            lost = {why: n for why, n in counts.items() if why not in ("coded", "none")}
            shown = ", ".join(f"{n} {why}" for why, n in lost.items() if n) or 0
            if counts:
                lines.append(_line([each.field, name, counts["coded"], shown, counts["none"]]))
    return "\n".join(lines)


def _line(cells: Iterable[object]) -> str:
    shown = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return f"| {' | '.join(shown)} |"
