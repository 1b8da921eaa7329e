"""The command `astromodal`: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astromodal import __version__, cli
from astromodal.cli import main
from astromodal.data.schema import as_json, every_group
from astromodal.storage.json_files import read_json, write_json

ROOT = Path(__file__).parents[2]
GOOD = {"id": ["a", "b"], "ra": [1.0, 2.0], "dec": [1.0, 2.0], "mag_pstotal_r": [15.0, 16.0]}


@pytest.fixture
def cubes(tmp_path):
    """Write cubes of some rows, with changes, by the names of their fields."""

    def write(**changes):
        paths = []
        for field, changed in changes.items():
            path = tmp_path / f"datacube_{field}.parquet"
            pq.write_table(pa.table(GOOD | changed), path)
            paths.append(str(path))
        return paths

    return write


WARNED, WRONG = {"id": ["a", "a"]}, {"ra": ["x", "y"]}
"""Changes that make a warning, and an error."""


@pytest.mark.parametrize(
    ("changes", "options", "status"),
    [
        ([{}], [], 0),
        ([{}], ["--strict"], 0),
        ([WARNED], [], 0),
        ([WARNED], ["--strict"], 1),
        ([WRONG], [], 2),
        ([WRONG], ["--strict"], 2),
        ([WRONG, {}], [], 2),
        ([{}, WARNED], ["--strict"], 1),
        ([WARNED], ["--strict", "--json"], 1),
    ],
)
def test_the_status_tells_errors_from_warnings(cubes, capsys, changes, options, status):
    """Of all files together; warnings count with --strict only."""
    paths = cubes(**{f"F{i}": change for i, change in enumerate(changes)})
    assert main(["check", *options, *paths]) == status


def test_the_report_names_file_column_rows_and_advice(cubes, capsys):
    """Two lines for each problem, below a line for the file."""
    (path,) = cubes(F1=WARNED)
    main(["check", path])
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: 1 warning",
        "  warning  id is that of an earlier row too (1 row, the first is 1, for example a)",
        "           -> give every row of a field its own id",
    ]


def test_a_good_cube_is_said_to_be_good(cubes, capsys):
    """In one line."""
    (path,) = cubes(F1={})
    main(["check", path])
    assert capsys.readouterr().out == f"{path}: nothing wrong\n"


def test_like_problems_of_columns_are_one(cubes, capsys):
    """Columns that are all empty, for example; JSON has each."""
    (path,) = cubes(F1={f"gaia_pm{x}": pa.nulls(2, pa.float64()) for x in ("ra", "dec")})
    main(["check", path])
    assert "gaia_pmra (and 1 more columns: gaia_pmdec) has no value" in capsys.readouterr().out
    main(["check", "--json", path])
    (file,) = json.loads(capsys.readouterr().out)
    assert [problem["column"] for problem in file["problems"]] == ["gaia_pmra", "gaia_pmdec"]


def test_an_error_of_a_column_names_it_once(cubes, capsys):
    """In the words of the plan."""
    (path,) = cubes(F1=WRONG)
    main(["check", path])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith(
        "  error    column 'ra' of datacube_F1.parquet must be a column of numbers"
    )


def test_json_has_a_list_of_problems_for_each_file(cubes, capsys):
    """With the file and its field, in the order given; nothing else is on standard output."""
    paths = cubes(F1=WARNED, F2={}, F3=WRONG)
    main(["check", "--json", *paths])
    found = json.loads(capsys.readouterr().out)
    assert [(each["file"], each["field"]) for each in found] == [
        *zip(paths, ("F1", "F2", "F3"), strict=True)
    ]
    assert [[p["severity"] for p in each["problems"]] for each in found] == [
        ["warning"], [], ["error"]
    ]  # fmt: skip
    assert found[0]["problems"][0] == {
        "severity": "warning", "column": "id", "what": "is that of an earlier row too",
        "do": "give every row of a field its own id", "n_rows": 1, "first_row": 1, "example": "a",
    }  # fmt: skip


def test_progress_of_several_files_goes_to_standard_error(cubes, capsys):
    """One line for each; none for a single file, and none with --quiet."""
    paths = cubes(F1={}, F2={})
    main(["check", *paths])
    assert capsys.readouterr().err.splitlines() == [
        "checking 1 of 2: datacube_F1.parquet", "checking 2 of 2: datacube_F2.parquet"
    ]  # fmt: skip
    main(["check", paths[0]])
    main(["check", "--quiet", *paths])
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_the_stage(cubes, capsys, monkeypatch):
    """In one line, which is wiped at the end."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["check", *cubes(F1={})])
    shown = capsys.readouterr().err
    assert "checking 1 of 1: datacube_F1.parquet: positions" in shown
    assert "\n" not in shown
    assert shown.endswith("\r\033[K")


def test_the_columns_are_those_of_the_configuration(cubes, tmp_path, capsys):
    """Another name for the column of ids."""
    (path,) = cubes(F1={"name": ["a", "b"], "id": [0.5, 1.5]})
    config = tmp_path / "my.yaml"
    config.write_text("columns: {id: name}\n")
    assert main(["check", path]) == 2
    assert main(["check", "--config", str(config), path]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["check"], "the following arguments are required: FILE"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["schema", "--xml"], "unrecognized arguments: --xml"),
    ],
)
def test_a_wrong_call_ends_with_64(words, said, capsys):
    """2 is the status of errors in cubes."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["schema"], ["check", "x.parquet"]])
def test_a_wrong_configuration_ends_with_64(command, tmp_path, capsys):
    """With the message that names the nearest setting."""
    config = tmp_path / "my.yaml"
    config.write_text("colums: {id: name}\n")
    assert main([*command, "--config", str(config)]) == 64
    captured = capsys.readouterr()
    assert "colums is no setting; nearest: 'columns'" in captured.err
    assert captured.out == ""


def test_a_file_that_is_not_there_is_an_error_of_that_file(cubes, capsys):
    """The others are checked."""
    (path,) = cubes(F1={})
    assert main(["check", "gone/datacube_G.parquet", path]) == 2
    out = capsys.readouterr().out
    assert "gone/datacube_G.parquet: 1 error" in out
    assert f"{path}: nothing wrong" in out


def test_schema_prints_a_table_of_every_group(capsys):
    """Light curves, too, which are no default."""
    assert main(["schema"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ztf_mag_g +list<float32> +any +mag ", out, re.MULTILINE)
    assert re.search(r"^mag_pstotal_r \* +float64 ", out, re.MULTILINE)


def test_schema_prints_json(capsys, tmp_path):
    """All columns by default; those of a configuration with one."""
    main(["schema", "--json"])
    assert json.loads(capsys.readouterr().out) == as_json(every_group())
    config = tmp_path / "my.yaml"
    config.write_text("tokenizers: {spectrum: {groups: [desi_b]}}\n")
    main(["schema", "--json", "--config", str(config)])
    names = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert "desi_flux_b" in names
    assert "desi_flux_r" not in names


def test_the_version_is_printed(capsys):
    """That of the package."""
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"astromodal {__version__}\n"


def test_an_interruption_ends_without_a_traceback(cubes, monkeypatch, capsys):
    """With the status that shells give to Ctrl-C."""

    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("astromodal.data.inspect.check_cube", interrupt)
    assert main(["check", *cubes(F1={})]) == 130


def test_output_that_nobody_reads_is_no_error():
    """`astromodal schema | head -1` ends in silence."""
    line = f"{sys.executable} -m astromodal schema --json | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


def test_the_module_is_the_command():
    """`python -m astromodal` does what `astromodal` does, which pip makes from this entry."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["astromodal"].partition(":")
    assert (module, getattr(cli, function)) == ("astromodal.cli", main)
    called = [sys.executable, "-m", "astromodal", "--version"]
    done = subprocess.run(called, capture_output=True, text=True, cwd=ROOT / "scripts")
    assert (done.returncode, done.stdout) == (0, f"astromodal {__version__}\n")


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["schema"], {"torch", "pyarrow", "sklearn", "astropy", "pandas"}),
        (["check", "none.parquet"], {"torch", "sklearn", "matplotlib"}),
    ],
)
def test_it_starts_quickly(words, forbidden):
    """No large library is imported that a command does without."""
    code = (
        "import sys; from astromodal.cli import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    called = [sys.executable, "-c", code, *words]
    done = subprocess.run(called, capture_output=True, text=True, cwd=ROOT / "scripts")
    assert done.returncode == 0
    assert not forbidden & set(done.stderr.split())


@pytest.fixture
def lock(tmp_path):
    """Write a lock file of a run with a number of rows."""

    def write(name, rows):
        cube = {"size": 1, "rows": rows, "columns": {}, "sources": {}}
        environment = {"python": "3", "packages": {}, "machine": "", "cpu": "", "threads": None}
        values = {"settings": {}, "seeds": {}, "fields": {}, "code": {}, "tokenizers": {}}
        values |= {"format": "run_lock", "version": 1, "cubes": {"A": cube}, "model": {}}
        write_json(tmp_path / name, {**values, "environment": environment})
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(("rows", "status"), [(3, 0), (4, 1)])
def test_two_runs_are_equal_or_not(lock, tmp_path, capsys, rows, status):
    """The status says which; the differences are written as JSON too."""
    first, second, written = lock("a.json", 3), lock("b.json", rows), str(tmp_path / "c.json")
    assert main(["compare", first, second, "--json", written]) == status
    found = read_json(written)
    assert found["equal"] == (status == 0)
    assert capsys.readouterr().out.endswith(f"{found['explanation']}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nowhere", "nowhere"], "nowhere must be a lock file, got none; run snakemake"),
        (
            ["audit", "nowhere"],
            "nowhere/last_run.json must be the record of a finished run, got no",
        ),
    ],
)
def test_no_run_is_an_error(words, message, capsys):
    """It is named, and the status is that of a wrong option."""
    assert main(words) == 64
    assert message in capsys.readouterr().err
