"""The smallest sky on which every rule has a job, and what its results hold."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from astromodal.config.load import load_config
from astromodal.simulate.raw import raw_sources, write_raw_survey
from astromodal.training.checkpoint import load_model, save_model
from astromodal.training.history import SPEEDS
from helpers.workflow import Workflow, tiny

HOOKS = Path(__file__).parent / "hooks"
TARGETS = ("all", "embed", "predict", "export", "index", "ablations")

NOT_COMPARED = ("logs/", "benchmarks/", "inventory.json", "ballast")
STAMP = ".snakemake_timestamp"
_SPEEDS = rb'"(%s)": [^,}\n]+' % "|".join(SPEEDS).encode()
_PACE = rb"at a median of .+? per step\. The model(?:'|&#39;)s operations ran at \d+% of"
_HASH = rb'"content_hash": "\w+"'
TIMES = {
    # How fast training went, which is measured, and the line's check.
    "*/history.jsonl": _SPEEDS + rb'|"crc32": "\w+"',
    # The median of that, the sentence that says it, and the hash of the file.
    "evaluation/transformer.json": b"|".join([_SPEEDS, _PACE, _HASH]),
    "report/report.html": _PACE,
    # Which version of a cube was summarised: its size, and the time at which it was written.
    "summaries/*_summary.json": rb'"mtime_ns": \d+|' + _HASH,
}
"""Files that hold times, by pattern, and where in them. No two runs have those in common."""


RAW = {
    "n_sources": 60,
    "xp_fraction": 0.3,
    "desi_fraction": 0.4,
    "specz_fraction": 0.4,
    "fields": {"T-1": {}, "T-2": {"absent": ["vista"], "absent_bands": ["U"]}},
}
RAW_SIZE = 900  # pixel, of an image


class Interrupted(Workflow):
    """A workflow whose jobs can be killed, or made to write late."""

    @property
    def notes(self) -> Path:
        """Folder of instructions to its jobs, and of their notes."""
        return self.folder / "interruptions"

    def noted(self, name: str) -> list[dict[str, Any]]:
        """The lines that jobs left in a file."""
        path = self.notes / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def sky(folder: Path) -> Interrupted:
    """One field that trains and one that is held out, of two groups of spectra and three bands."""
    config = tiny(folder).config
    config["simulate"]["fields"] = {"T-1": {}, "T-2": {}}
    config["tokenizers"]["fields"] = ["T-1"]
    config["tokenizers"]["spectrum"]["groups"] = ["desi_b", "gaiaxp_bp"]
    config["tokenizers"]["image"]["bands"] = ["G", "R", "I"]
    config["evaluation"] = {"max_objects": 10, "reconstruction": {"max_objects": 2, "n_samples": 1}}
    found = Interrupted(folder, config, hooks=HOOKS)
    found.notes.mkdir(parents=True, exist_ok=True)
    found.variables["INTERRUPTIONS"] = str(found.notes)
    found.variables["OMP_WAIT_POLICY"] = "PASSIVE"  # two jobs on two cores: none waits by spinning
    return found


def raw_sky(folder: Path) -> Interrupted:
    """Two small fields in raw files below `folder`, which are written if they are not there."""
    found = sky(folder)
    del found.config["simulate"]
    found.config["sources"] = raw_sources("raw")
    if not (folder / "raw").is_dir():
        survey = load_config({"simulate": RAW}).simulate
        write_raw_survey(survey, folder / "raw", RAW_SIZE)
    return found


def make_raw(folder: Path) -> None:
    """Plan, index in jobs and build all cubes of the raw files, and keep the script of each job."""
    whole = raw_sky(folder)
    (whole.notes / "jobs").mkdir(exist_ok=True)
    whole.run("cubes", "--dry-run")
    shutil.rmtree(whole.results)
    for target in ("index_sources", "cubes"):
        whole.run(target)


def make(folder: Path) -> None:
    """Run everything once, and keep the script of each job."""
    whole = sky(folder)
    (whole.notes / "jobs").mkdir(exist_ok=True)
    whole.run(*TARGETS)


def contents(results: Path) -> dict[str, str]:
    """A digest of each file below the results by its path; without `TIMES`."""
    found = {}
    for path in sorted(results.rglob("*")):
        name = str(path.relative_to(results))
        if path.is_file() and not name.startswith(NOT_COMPARED) and path.name != STAMP:
            found[name] = hashlib.sha256(_untimed(name, path)).hexdigest()
    return found


def _untimed(name: str, path: Path) -> bytes:
    """What a file holds, without the times in it."""
    if fnmatch(name, "*/checkpoint_step_*.pt"):  # its history says how fast each step was taken
        state = load_model(path)
        for entry in state["loss_history"]:
            for speed in SPEEDS:
                entry.pop(speed, None)
        with tempfile.NamedTemporaryFile(suffix=".pt") as stream:
            save_model(stream.name, state)
            return Path(stream.name).read_bytes()
    content = path.read_bytes()
    for pattern, times in TIMES.items():
        if fnmatch(name, pattern):
            content = re.sub(times, b"", content)
    return content
