"""The lock file of a run: what it was made from and with; and the comparison of two of them.

A lock file holds no times and no paths of this machine but those of the settings, so that the same
run gives the same bytes.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from astromodal.audit.check import Audit
from astromodal.core.paths import Layout
from astromodal.data.provenance import read_provenance
from astromodal.errors import FormatError, must_be
from astromodal.reruns.changes import differences
from astromodal.reruns.recorded import Run
from astromodal.storage.formats import put_aside, skip_at
from astromodal.storage.json_files import read_json, write_json

NAME: Final = Path(Layout("").run_lock).name
"""Name of a lock file, in its results folder."""
_CPU: Final = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


_FORMAT: Final = {"format": "run_lock", "version": 1}


class _Locked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CubeLock(_Locked):
    """A cube: its size (byte), its rows, digests of its columns, and its raw files with hashes."""

    size: int
    rows: int
    columns: dict[str, str]
    sources: dict[str, dict[str, str]]


class Environment(_Locked):
    """The Python, packages and CPU of the audit; threads are null where they are not fixed."""

    python: str
    packages: dict[str, str]
    machine: str
    cpu: str
    threads: int | None


class RunLock(_Locked):
    """All that a run was made from and with, and hashes of what it learned.

    Attributes
    ----------
    cubes : dict of str to CubeLock
        The cubes by field; skipped fields have none.
    fields : dict of str to list of str
        Fields by their use.
    settings : dict
        All settings, nested.
    seeds : dict of str to int
        Those of the settings that are seeds, by dotted name.
    code : dict of str to str
        Digest of the code of each rule.
    environment : Environment
        Versions and machine.
    tokenizers : dict of str to str
        Hashes of the tokenizers by modality.
    model : dict of str to str
        Hashes of the ``vocabulary`` and of the ``weights``.
    """

    format: Literal["run_lock"]
    version: Literal[1]
    cubes: dict[str, CubeLock]
    fields: dict[str, list[str]]
    settings: dict[str, Any]
    seeds: dict[str, int]
    code: dict[str, str]
    environment: Environment
    tokenizers: dict[str, str]
    model: dict[str, str]


def lock_run(run: Run, audit: Audit) -> RunLock | None:
    """Return the lock of a run; None if its audit found a problem.

    Summaries of fields and footers of cubes are read.
    """
    origin = audit.origin
    if origin is None or audit.problems:
        return None
    settings = run.config.model_dump(mode="json")
    fields = {use: list(names) for use, names in asdict(run.fields).items()}
    values = {
        "cubes": dict(_cubes(run)),
        "fields": fields,
        "settings": settings,
        "seeds": dict(_seeds(settings)),
        "code": dict(sorted(run.code.items())),
        "environment": _environment(run.config.cpu_threads),
        "tokenizers": origin.tokenizers,
        "model": {"vocabulary": origin.vocabulary, "weights": origin.model},
    }
    return RunLock.model_validate({**_FORMAT, **values})


def _cubes(run: Run) -> Iterator[tuple[str, CubeLock]]:
    for name in run.fields.used:
        path = run.paths.summary(name)
        if not Path(path).exists() or skip_at(path):
            continue
        summary = read_json(path)
        sources = read_provenance(run.cube(name)) if run.config.sources else {}
        yield (
            name,
            CubeLock(
                size=summary["content"]["size"],
                rows=summary["n_rows"],
                columns=summary["content"]["columns"],
                sources={
                    source: dict(sorted(each.files.items())) for source, each in sources.items()
                },
            ),
        )


def _seeds(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, int]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{above}{name}.")
        elif name == "seed" and isinstance(value, int):
            yield f"{above}{name}", value


def _environment(threads: int | None) -> Environment:
    try:
        cpu = _CPU.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        cpu = None
    return Environment(
        python=platform.python_version(),
        packages=_packages(),
        machine=platform.machine(),
        cpu=cpu[1] if cpu else platform.processor(),
        threads=threads,
    )


def _packages() -> dict[str, str]:
    """Return the versions of the packages that astromodal needs; of all if it is not installed."""
    installed = {each.name.lower(): each.version for each in metadata.distributions()}
    try:
        required = metadata.requires("astromodal") or []
    except metadata.PackageNotFoundError:
        return dict(sorted(installed.items()))
    needed = [line for line in required if "extra ==" not in line]
    names = (match[0].lower() for line in needed if (match := re.match(r"[\w.-]+", line)))
    return {name: installed[name] for name in sorted(names) if name in installed}


def write_lock(path: str | Path, lock: RunLock) -> None:
    """Write a lock file, atomically."""
    write_json(path, lock.model_dump(mode="json"))


def read_lock(path: str | Path) -> RunLock:
    """Read a lock file, by its path or that of its results folder.

    Raises
    ------
    FormatError
        If there is none, or it is damaged or of another version.
    """
    path = Path(path) / NAME if Path(path).is_dir() else Path(path)
    must = "run_lock version 1"
    try:
        return RunLock.model_validate(read_json(path))
    except FileNotFoundError as error:
        do = "run snakemake audit, which writes it"
        raise FormatError(must_be(str(path), "a lock file", "none", do)) from error
    except ValidationError as error:
        first = error.errors()[0]
        got = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise FormatError(must_be(str(path), must, got, put_aside("run_lock"))) from error


class _Step(NamedTuple):
    """What a result is made from: settings by the start of their names, and rules."""

    result: str
    settings: tuple[str, ...]
    rules: tuple[str, ...]


_ROWS: Final = ("columns", "selection", "split", "tokenizers.fields")
_STEPS: Final = (
    _Step("cubes", ("simulate", "sources"), ("simulate_field", "build_cube", "index_source")),
    _Step(
        "tokenizers.scalar",
        (*_ROWS, "tokenizers.scalar"),
        ("split_field", "sample_scalars", "train_scalar_tokenizer"),
    ),
    _Step(
        "tokenizers.spectrum",
        (*_ROWS, "tokenizers.spectrum"),
        ("split_field", "sample_spectra", "train_spectrum_codebook", "assemble_spectrum_tokenizer"),
    ),
    _Step(
        "tokenizers.image",
        (*_ROWS, "tokenizers.image", "cpu_threads"),
        ("split_field", "sample_images", "prepare_cutouts", "train_image_normaliser",
         "train_image_autoencoder", "train_image_codebook"),
    ),
    _Step("model.vocabulary", ("tokenizers",), ("build_vocabulary",)),
    _Step(
        "model.weights",
        (*_ROWS, "tokenizers", "sequences", "model", "training", "cpu_threads"),
        ("split_field", "encode_scalars", "encode_spectra", "encode_images", "pack_sequences",
         "build_vocabulary", "train_transformer"),
    ),
)  # fmt: skip
"""The results of a run that a lock file names, in the order in which they are made."""


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs.

    Attributes
    ----------
    groups : dict of dict
        By group and dotted name, the values of the first and the second run; None where absent.
    """

    groups: dict[str, dict[str, tuple[Any, Any]]]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not any(self.groups.values())

    def explanation(self) -> str:
        """Return which differences explain the first result that differs, in words."""
        results = [step.result for step in _STEPS if self._differs(step.result)]
        if not results:
            return "cubes, tokenizers and model are equal"
        first = next(step for step in _STEPS if step.result == results[0])
        causes = [
            *(["cubes"] if self.groups["cubes"] and first.result != "cubes" else []),
            *self._settings(first),
            *(f"code of {rule}" for rule in first.rules if rule in self.groups["code"]),
        ]
        causes = causes or [f"environment.{name}" for name in self.groups["environment"]]
        before = "" if "cubes" in results else "cubes are equal; "
        why = f"{', '.join(causes)} differ" if causes else "nothing recorded explains it"
        return f"{before}{why} -> {', '.join(results)} differ"

    def _differs(self, result: str) -> bool:
        group, _, name = result.partition(".")
        return bool(self.groups[group]) if not name else name in self.groups[group]

    def _settings(self, step: _Step) -> Iterator[str]:
        for name in self.groups["settings"]:
            if any(name == start or name.startswith(f"{start}.") for start in step.settings):
                yield f"settings {name}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        groups = {
            group: {name: {"first": a, "second": b} for name, (a, b) in values.items()}
            for group, values in self.groups.items()
        }
        return {"equal": self.equal, "explanation": self.explanation(), "differences": groups}

    def text(self) -> str:
        """Return a table of the differences, and the explanation."""
        lines = [f"{group}: equal" for group, values in self.groups.items() if not values]
        rows = [("", "name", "first", "second")]
        for group, values in self.groups.items():
            rows += [(group, name, _shown(a), _shown(b)) for name, (a, b) in values.items()]
        if len(rows) > 1:
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["", *(_padded(row, widths) for row in rows)]
        return "\n".join([*lines, "", self.explanation()])


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def compare(first: RunLock, second: RunLock) -> Comparison:
    """Compare two runs by their lock files; where their results and cubes lie does not matter."""
    a, b = (lock.model_dump(mode="json") for lock in (first, second))
    for values in (a, b):
        values["settings"] = {k: v for k, v in values["settings"].items() if k != "paths"}
        values["settings"]["fields of the run"] = values["fields"]
    groups = ("cubes", "settings", "code", "environment", "tokenizers", "model")
    return Comparison({group: differences(a[group], b[group]) for group in groups})
