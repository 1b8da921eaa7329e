"""The command ``astromodal``: what cubes must hold, and what is wrong with cubes and runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from astromodal import __version__
from astromodal.config.load import load_config
from astromodal.config.schema import Config
from astromodal.errors import AstromodalError

if TYPE_CHECKING:
    from astromodal.data.problems import Problem

FINE, WARNED, WRONG, USAGE, STOPPED = 0, 1, 2, 64, 130
DIFFERENT = 1
"""Exit statuses; 64 is EX_USAGE of sysexits.h, 130 that of a program that Ctrl-C stopped."""
_CHECK: Final = """\
exit status:
  0   no error; warnings may be there
  1   warnings and no error, with --strict
  2   an error in some file: jobs would stop on it
  64  a wrong option or configuration

Rows are counted from 0. The name of a cube's field is taken from the name of the file,
datacube_{field}.parquet or as paths.datacube_template says. `snakemake -n` finds only the errors
that names and types of columns show.
"""


_AUDIT: Final = """\
exit status:
  0   no problem
  2   a problem: the table names each file, and what to do
  64  a wrong option or configuration, or no record of a finished run

Nothing is written but --json and --lock. Type the command in the folder where you type snakemake,
since paths of cubes are relative to it.
"""
_COMPARE: Final = """\
exit status:
  0   the runs are equal
  1   something differs
  64  a wrong option, or no lock file

`snakemake audit` writes the lock file of a run. Where results and cubes lie is not compared.
"""


class _Parser(argparse.ArgumentParser):
    """A parser that ends with `USAGE` in place of 2, which means errors in cubes."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--config", metavar="FILE", help="your configuration, which names the columns that are read"
    )
    top = _Parser(prog="astromodal", description="Survey data into tokens: look at your cubes.")
    top.add_argument("--version", action="version", version=f"astromodal {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    schema = commands.add_parser(
        "schema",
        parents=[shared],
        help="list the columns of a cube that are read",
        description="List the columns of a cube that are read: type, length of lists, unit, "
        "values that are missing, an example, the setting that names it, and the meaning. Without "
        "--config, all spectrum groups that can be read are listed; columns marked with * must "
        "be there. Lines are long: `astromodal schema | less -S`.",
    )
    schema.add_argument("--json", action="store_true", help="print JSON, one object per column")
    schema.set_defaults(run=_schema)
    check = commands.add_parser(
        "check",
        parents=[shared],
        help="list all problems of cubes",
        description="Read cubes, and list all problems at once: errors, at which jobs would stop, "
        "and warnings, after which they go on.",
        epilog=_CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="a cube: datacube_{field}.parquet")
    check.add_argument("--json", action="store_true", help="print JSON, a list of problems a file")
    check.add_argument("--strict", action="store_true", help="end with 1 where there are warnings")
    check.add_argument("--quiet", action="store_true", help="print no progress to standard error")
    check.set_defaults(run=_check)
    _add_runs(commands, shared)
    return top


def _add_runs(commands: Any, shared: _Parser) -> None:
    """Add the commands on finished runs."""
    raw = argparse.RawDescriptionHelpFormatter
    audit = commands.add_parser(
        "audit",
        parents=[shared],
        help="check all files of a finished run",
        description="Check that every file of a finished run is whole, names the tokenizers and "
        "the model of the run, accounts for every row of its cube, and is not stale. Without "
        "--config, the settings are those of the last run.",
        epilog=_AUDIT,
        formatter_class=raw,
    )
    audit.add_argument("results", metavar="RESULTS", help="the results folder")
    audit.add_argument("--json", metavar="FILE", help="write the account as JSON")
    audit.add_argument("--lock", metavar="FILE", help="write the lock file, if there is no problem")
    audit.set_defaults(run=_audit)
    compare = commands.add_parser(
        "compare",
        help="list what differs between two runs",
        description="List what differs between two runs, and what explains the first result that "
        "differs: cubes, settings, code or environment.",
        epilog=_COMPARE,
        formatter_class=raw,
    )
    for name in ("first", "second"):
        compare.add_argument(name, metavar="RUN", help="a results folder, or its run.lock.json")
    compare.add_argument("--json", metavar="FILE", help="write the differences as JSON")
    compare.set_defaults(run=_compare)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process by default.
    """
    given = parser().parse_args(arguments)
    try:
        status: int = given.run(given)
        sys.stdout.flush()
        return status
    except AstromodalError as error:
        print(f"astromodal: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:  # the reader of the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def _schema(given: argparse.Namespace) -> int:
    from astromodal.data import schema

    config = schema.every_group() if given.config is None else load_config(given.config)
    print(_dumped(schema.as_json(config)) if given.json else schema.table(config))
    return FINE


def _check(given: argparse.Namespace) -> int:
    from astromodal.data.inspect import check_cube, field_of  # here: they need pyarrow

    config: Config = load_config(given.config)
    found: list[Problem] = []
    print("[" if given.json else "", end="")
    for number, file in enumerate(given.files):
        with _Progress(file, number, len(given.files), given.quiet) as say:
            problems = check_cube(file, config, say)
        field = field_of(Path(file), config)
        if given.json:
            plain = {"file": file, "field": field, "problems": [asdict(p) for p in problems]}
            print(("," if number else "") + "\n" + _dumped(plain), end="")
        else:
            print(_report(file, problems))
        sys.stdout.flush()
        found += problems
    print("\n]" if given.json else "", end="\n" if given.json else "")
    if any(problem.severity == "error" for problem in found):
        return WRONG
    return WARNED if found and given.strict else FINE


def _audit(given: argparse.Namespace) -> int:
    from astromodal.audit.accounts import audit_run  # here: it needs PyTorch
    from astromodal.audit.lock import lock_run, write_lock
    from astromodal.reruns.recorded import Run
    from astromodal.storage.json_files import write_json

    config = None if given.config is None else load_config(given.config)
    run = Run.of(given.results, config)
    audit = audit_run(run)
    if given.json is not None:
        write_json(given.json, audit.as_dict())
    if given.lock is not None and (lock := lock_run(run, audit)):
        write_lock(given.lock, lock)
    print(audit.text(), end="")
    return WRONG if audit.problems else FINE


def _compare(given: argparse.Namespace) -> int:
    from astromodal.audit.lock import compare, read_lock
    from astromodal.storage.json_files import write_json

    found = compare(read_lock(given.first), read_lock(given.second))
    if given.json is not None:
        write_json(given.json, found.as_dict())
    print(found.text())
    return FINE if found.equal else DIFFERENT


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)


def _report(file: str, problems: Sequence[Problem]) -> str:
    """Return the problems of a file as text: two lines for each."""
    errors = sum(problem.severity == "error" for problem in problems)
    counts = ((errors, "error"), (len(problems) - errors, "warning"))
    parts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
    lines = [f"{file}: {', '.join(parts) or 'nothing wrong'}"]
    alike: dict[Problem, list[str]] = {}
    for problem in problems:
        alike.setdefault(replace(problem, column=""), []).append(problem.column)
    for problem, columns in alike.items():
        where = _where(problem)
        more = f" (and {len(columns) - 1} more columns: {', '.join(columns[1:])})"
        names = columns[0] + (more if len(columns) > 1 else "")
        # An error of the plan names its column itself.
        what = problem.what if problem.what.startswith("column ") else f"{names} {problem.what}"
        lines.append(f"  {problem.severity:7}  {what.strip()}{f' ({where})' if where else ''}")
        lines.append(f"           -> {problem.do}")
    return "\n".join(lines)


def _where(problem: Problem) -> str:
    """Return the rows of a problem in words, with the example; empty for a whole column."""
    parts = []
    if problem.n_rows is not None:
        parts.append(f"{problem.n_rows:,} row{'s' if problem.n_rows != 1 else ''}")
    if problem.first_row is not None:
        parts.append(f"the first is {problem.first_row}")
    said = re.search(rf"(?<!\w){re.escape(problem.example)}(?!\w)", problem.what)
    if problem.example and not said:
        parts.append(f"for example {problem.example}")
    return ", ".join(parts)


class _Progress:
    """Says on standard error which file is checked; on a terminal, also the stage."""

    def __init__(self, file: str, number: int, n_files: int, quiet: bool) -> None:
        self.line = f"checking {number + 1} of {n_files}: {Path(file).name}"
        self.terminal = sys.stderr.isatty()
        self.on = not quiet and (n_files > 1 or self.terminal)

    def __enter__(self) -> Callable[[str], None]:
        if self.on and not self.terminal:
            print(self.line, file=sys.stderr, flush=True)
        return self._stage

    def _stage(self, stage: str) -> None:
        if self.on and self.terminal:
            print(f"\r\033[K{self.line}: {stage}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        if self.on and self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
