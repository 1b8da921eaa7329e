"""A finished run as its records describe it, and the jobs that would run again.

Snakemake's metadata of a file, which the inventory keeps, hold the rule, the inputs, the settings
and the digest of the code that the file was made with. They are compared with the present ones.
"""

from __future__ import annotations

import ast
import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import astromodal
from astromodal.config.load import plain_settings
from astromodal.config.schema import Config
from astromodal.core.fields import RunFields, cube_template, layout, run_fields
from astromodal.core.paths import Layout
from astromodal.errors import ConfigError
from astromodal.reruns.changes import differences, read_record
from astromodal.reruns.digests import job_digests
from astromodal.reruns.inventory import Inventory, read_inventory
from astromodal.sources.plan import known_fields

_VARIED: Final = ("train_ablation", "evaluate_ablation", "finetune_label")
"""Rules whose jobs have settings of their own."""
_FITS: Final = {
    "tokenizers": (
        "sample_scalars", "sample_spectra", "sample_images", "prepare_cutouts",
        "train_scalar_tokenizer", "train_spectrum_codebook", "assemble_spectrum_tokenizer",
        "train_image_normaliser", "train_image_autoencoder", "train_image_codebook",
    ),
    "transformer": ("train_transformer",),
}  # fmt: skip
"""Rules that do not run where ``freeze`` names a part."""


@dataclass(frozen=True)
class Run:
    """A finished run: its settings, its fields, and the present digest of each rule's code."""

    config: Config
    fields: RunFields
    code: Mapping[str, str]

    @classmethod
    def of(cls, results: str | Path, config: Config | None = None) -> Run:
        """Return the run of a results folder.

        Parameters
        ----------
        results : path
            The results folder.
        config : Config, optional
            Its settings; those of the record of its last run where None.

        Raises
        ------
        FormatError
            If settings are neither given nor recorded.
        """
        if config is None:
            config, fields = read_record(Layout(str(results)).last_run)
        else:
            fields = run_fields(config, known_fields(Layout(str(results))))
        config = config.model_copy(
            update={"paths": config.paths.model_copy(update={"results": str(results)})}
        )
        scripts = Path(astromodal.__file__).parents[1]
        return cls(config, fields, job_digests(scripts, config.extensions, {}))

    @cached_property
    def paths(self) -> Layout:
        """Paths of the files."""
        return layout(self.config)

    @cached_property
    def inventory(self) -> Inventory:
        """The inventory that the run wrote; empty where there is none."""
        try:
            return read_inventory(self.paths.inventory)
        except FileNotFoundError:
            return Inventory()

    @cached_property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Snakemake's metadata of each file or folder that a job wrote."""
        return {name: json.loads(text) for name, text in self.inventory.jobs.items()}

    @cached_property
    def frozen(self) -> frozenset[str]:
        """Files of the rules that do not run since the settings freeze a part of the run."""
        rules = {rule for part in self.config.freeze for rule in _FITS[part]}
        return frozenset(name for name, job in self.jobs.items() if job["rule"] in rules)

    @cached_property
    def copied(self) -> bool:
        """Whether the folder is a copy whose times no plan has restored."""
        return os.stat(self.paths.inventory).st_mtime_ns != self.inventory.written

    def cube(self, field: str) -> str:
        """Return the path of a field's cube."""
        return cube_template(self.config).format(field=field)

    def rule(self, name: str) -> str:
        """Return the rule that wrote a file, as the inventory names it; empty where unknown."""
        folders = (f"{folder}/" for folder in PurePosixPath(name).parents)
        own = next((each for each in (name, *folders) if each in self.jobs), None)
        return str(self.jobs[own]["rule"]) if own else ""


@dataclass(frozen=True)
class StaleJobs:
    """The jobs of a rule that would run again for one reason: rule, first file, message."""

    rule: str
    file: str
    message: str


def stale_jobs(run: Run, changed: Collection[str] = ()) -> tuple[list[StaleJobs], dict[str, int]]:
    """Find the jobs that would run again, from their settings, their code and their inputs.

    Parameters
    ----------
    run : Run
        The run.
    changed : collection of str
        Names in the inventory of inputs that have changed: cubes and stamps.

    Returns
    -------
    list of StaleJobs
        One per rule and reason.
    dict
        Number of files that would be written again, by rule; those behind stale ones too.
    """
    found = list[StaleJobs]()
    reasons: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    known: dict[tuple[str, ...], list[tuple[str, str]]] = {}  # jobs of one rule share parameters
    stale = set[str]()
    for name, job in run.jobs.items():
        if name in run.frozen:
            continue
        key = (job["rule"], *job["params"])
        if key not in known:
            known[key] = list(_of_params(run, job))
        newer = () if run.copied else _newer(run, name, job)
        for reason in (*known[key], *newer):
            reasons[job["rule"], *reason].append(name)
            stale.add(name)
    for (rule, what, why), names in reasons.items():
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        file = f"{run.paths.results}/{names[0]}"
        found.append(StaleJobs(rule, file, f"{what} of {file}{more} {why}; run {rule} again"))
    return found, _behind(run, stale, changed)


def _of_params(run: Run, job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what of a job's code and settings has changed, and how: two parts of a sentence."""
    rule, params = job["rule"], job["params"]
    if rule in run.code and repr(run.code[rule]) not in params:
        yield "code", "must be the present one, got another"
    if rule not in _VARIED:
        for values in filter(None, map(_mapping, params)):
            for key, was in values.items():
                if run.code.get(key, was) != was:  # digests of rules that a report depends on
                    yield "code", f"must be made with the present {key}, got an earlier one"
                yield from _differing(run.config, str(key), was)


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, dict) else None


def _differing(config: Config, name: str, was: Any) -> Iterator[tuple[str, str]]:
    """Yield each setting below a dotted name that differs from the one recorded."""
    try:
        now = plain_settings(name, config)
    except ConfigError:  # no setting, but another parameter
        return
    if name == "simulate" and isinstance(was, dict):  # a job has its own field alone
        now = {**now, "fields": {f: now["fields"].get(f) for f in was["fields"]}}
    for leaf, (before, after) in differences({name: was}, {name: now}).items():
        yield f"setting {leaf}", f"must be {after!r:.60}, got {before!r:.60}"


def _newer(run: Run, name: str, job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the first input of a file that is newer than the file; cubes of the user's are not."""
    own = run.inventory.files.get(name)
    for each in job["input"]:
        kept = each.removeprefix("results:")
        entry = run.inventory.files.get(kept)
        if own is None or entry is None or kept in run.frozen or kept == each:
            continue
        if entry.version.mtime_ns > own.version.mtime_ns:
            yield "inputs", f"must be older than it, got a newer {kept}"
            return


def _behind(run: Run, stale: Collection[str], changed: Collection[str]) -> dict[str, int]:
    """Return how many files of each rule are stale, or were made from a stale or changed one."""
    users: dict[str, list[str]] = defaultdict(list)
    for name, job in run.jobs.items():
        for each in job["input"]:
            users[each.removeprefix("results:").rstrip("/")].append(name)
    waiting = [*stale, *(user for each in changed for user in users[each])]
    reached = set[str]()
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in run.frozen:
            reached.add(name)
            waiting += users[name.rstrip("/")]
    counts: dict[str, int] = defaultdict(int)
    for name in reached:
        counts[run.jobs[name]["rule"]] += 1
    return dict(sorted(counts.items()))
