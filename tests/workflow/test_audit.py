"""The audit of the finished tiny sky, whole and with one fault of each kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.cli import main
from astromodal.core.paths import Layout
from astromodal.inference.tables import KEY
from astromodal.storage.arrays import load_arrays, save_arrays
from astromodal.storage.json_files import read_json, write_json
from helpers.workflow import Workflow, tiny

pytestmark = pytest.mark.workflow
FIELDS = ("T-1", "T-2", "T-3")


@pytest.fixture
def run(used, tmp_path, monkeypatch) -> Workflow:
    """A copy of the finished sky, from whose folder commands are typed."""
    shutil.copytree(used.folder, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tiny(tmp_path / "run")


@pytest.fixture
def paths(run) -> Layout:
    return Layout("results", 64)


@pytest.fixture
def audited(run, tmp_path, capsys):
    """Type `astromodal audit`; its status, and what it wrote as JSON."""

    def audit(*options: str) -> tuple[int, dict]:
        status = main(["audit", "results", "--json", str(tmp_path / "audit.json"), *options])
        return status, read_json(tmp_path / "audit.json")

    return audit


def flip(path: str, at: float = 0.5) -> None:
    """Flip a bit in the middle of a file; its time stands."""
    content = bytearray(Path(path).read_bytes())
    content[int(at * len(content))] ^= 1
    Path(path).write_bytes(content)


def found(audit: dict) -> set[tuple[str, str]]:
    """Kind and file of each problem."""
    return {(each["kind"], each["file"]) for each in audit["problems"]}


def counted(path: str) -> dict:
    """Rows of a cube by magnitude, and those with a cutout or spectrum, counted one by one."""
    rows = pq.read_table(path).to_pylist()
    light = [row["mag_pstotal_r"] for row in rows]
    known = [m for m in light if m is not None and np.isfinite(m) and abs(m) != 99]
    whole = [r for r in rows if r["splus_cut_R"] is not None and len(r["splus_cut_R"]) == 96 * 96]
    return {
        "rows": len(rows),
        "selected": sum(14 <= m <= 22 for m in known),
        "missing": len(rows) - len(known),
        "brighter": sum(m < 14 for m in known),
        "fainter": sum(m > 22 for m in known),
        "image": len(whole),
        "gaiaxp_bp": sum(bool(row["gaiaxp_bp_coefficients"]) for row in rows),
    }


def test_every_row_of_a_good_run_is_accounted_for(audited, paths):
    """Counts are those of the cubes; all later files have the selected rows."""
    status, audit = audited()
    assert (status, audit["problems"], audit["reruns"]) == (0, [], {})
    for account in audit["accounts"]:
        want = counted(paths.cube(account["field"]))
        assert account["rows"] == want["rows"]
        assert account["selected"] == want["selected"]
        reasons = ("missing", "brighter", "fainter")
        assert account["not_selected"] == {why: want[why] for why in reasons}
        assert account["image"]["coded"] == want["image"]
        assert account["groups"]["gaiaxp_bp"]["coded"] == want["gaiaxp_bp"]
        kinds = ("sequences", "embeddings", "predictions", "index", "hats")
        assert account["objects"] == dict.fromkeys(kinds, want["selected"])
    assert [account["field"] for account in audit["accounts"]] == list(FIELDS)


@pytest.mark.parametrize("name", [
    "scalar_tokens", "image_latents", "sequences", "split", "summary", "predictions",
    "similarity_vectors", "cutout_pixels",
])  # fmt: skip
def test_a_flipped_bit_is_found(audited, paths, name):
    """In the file of any kind, which is named as damaged."""
    path = getattr(paths, name)("T-1")
    flip(path)
    status, audit = audited()
    assert status == 2
    assert ("damaged", path) in found(audit)


@pytest.mark.parametrize("name", ["report", "final_model", "image_codebook_joblib", "vocab_spec"])
def test_a_flipped_bit_in_a_shared_file_is_found(audited, paths, name):
    """Also in files that no job reads."""
    flip(getattr(paths, name))
    status, audit = audited()
    assert status == 2
    assert getattr(paths, name) in {file for kind, file in found(audit) if kind == "damaged"}


def test_embeddings_of_another_model_are_found(audited, paths):
    """A table that names another model is foreign."""
    path = paths.embeddings("T-2")
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[KEY]) | {"model_hash": "0123456789abcdef"}
    table = table.replace_schema_metadata({KEY: json.dumps(meta)})
    pq.write_table(table, path, write_page_checksum=True)
    _, audit = audited()
    foreign = [p for p in audit["problems"] if p["kind"] == "foreign"]
    assert [p["file"] for p in foreign] == [path]
    assert "model must be of hash" in foreign[0]["message"]


def test_codes_of_another_tokenizer_are_found(audited, paths):
    """Tokens that name another tokenizer are foreign."""
    path = paths.scalar_tokens("T-1")
    file = load_arrays(path, format="scalar_tokens", version=1)
    attributes = file.attributes | {"tokenizer_hash": "0123456789abcdef"}
    save_arrays(path, file.arrays, format="scalar_tokens", version=1, **attributes)
    _, audit = audited()
    assert ("foreign", path) in found(audit)


def test_another_version_is_found(audited, paths):
    """A file of an earlier format is named with both versions."""
    path = paths.quantiles("T-1")
    file = load_arrays(path, format="quantile_summaries", version=1)
    save_arrays(path, file.arrays, format="quantile_summaries", version=7, **file.attributes)
    _, audit = audited()
    assert ("version", path) in found(audit)


def test_a_missing_file_is_found(audited, paths):
    """It is named once, with the rule to run."""
    path = paths.predictions("T-2")
    Path(path).unlink()
    status, audit = audited()
    assert status == 2
    assert [(p["kind"], p["file"], p["rule"]) for p in audit["problems"]] == [
        ("missing", path, "predict_field")
    ]


def test_a_cube_that_changed_is_found(audited, paths):
    """With the modality whose columns changed, and the jobs that would run again."""
    path = paths.cube("T-1")
    table = pq.read_table(path)
    light = table["mag_pstotal_g"].to_numpy().copy()
    light[3] = 15.5
    at = table.column_names.index("mag_pstotal_g")
    pq.write_table(table.set_column(at, "mag_pstotal_g", [light]), path)
    _, audit = audited()
    changed = [p["message"] for p in audit["problems"] if p["kind"] == "changed"]
    assert any("other values of scalars (mag_pstotal_g)" in message for message in changed)
    assert {"encode_scalars", "train_transformer", "embed_field"} <= audit["reruns"].keys()


def test_a_truncated_table_is_found(audited, paths):
    """Half of a parquet file is damaged."""
    path = Path(paths.embeddings("T-3"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, audit = audited()
    assert ("damaged", str(path)) in found(audit)


def test_lost_rows_are_found(audited, paths):
    """A whole table that lacks an object does not account for its row."""
    path = paths.predictions("T-1")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path, write_page_checksum=True)
    _, audit = audited()
    lost = [p["message"] for p in audit["problems"] if p["kind"] == "rows"]
    n = len(table)
    assert lost == [
        f"field T-1: number of objects in {path} must be {n}, got {n - 1}; run predict_field again"
    ]


@pytest.mark.parametrize(("setting", "status"), [("skip", 0), ("stop", 2)])
def test_a_skipped_field_is_named(run, audited, paths, setting, status):
    """With its note; it is a problem only where fields must not be skipped."""
    note = {"format": "skipped", "field": "T-3", "rule": "encode_images", "error": "bad cutouts"}
    for path in (paths.image_tokens, paths.image_latents, paths.sequences, paths.embeddings,
                 paths.predictions):  # fmt: skip
        write_json(path("T-3"), note)
    config = run.folder / "other.yaml"
    run.config["on_bad_field"] = setting
    run.command()
    shutil.copy("config.yaml", config)
    _, audit = audited("--config", str(config))
    account = audit["accounts"][2]
    assert account["skipped"] == "field T-3 was skipped by encode_images: bad cutouts"
    kinds = {p["kind"] for p in audit["problems"]}
    assert ("skipped" in kinds) == (status == 2)


def test_a_changed_setting_is_found(run, audited):
    """As stale jobs: its name, both values, and all rules that would run again."""
    run.config["tokenizers"]["scalar"]["n_bins"] = 8
    run.command()
    status, audit = audited("--config", "config.yaml")
    stale = [p["message"] for p in audit["problems"]]
    assert status == 2
    assert any(
        m.startswith("setting tokenizers.scalar.n_bins of results/scalar_tokenizers/")
        and "must be 8, got 16; run train_scalar_tokenizer again" in m
        for m in stale
    )
    assert {"encode_scalars", "pack_sequences", "build_hats"} <= audit["reruns"].keys()
    assert not {"sample_spectra", "split_field"} & audit["reruns"].keys()


def test_snakemake_audits_and_changes_nothing(run, paths):
    """The target writes its pages and the lock file, and leaves the records of the run alone."""
    records = {path: Path(path).read_bytes() for path in (paths.inventory, paths.last_run)}
    assert run.ran("audit") == {"audit"}
    lock = Path(paths.run_lock).read_bytes()
    assert run.ran("audit") == {"audit"}
    assert read_json(paths.audit)["problems"] == []
    assert Path(paths.audit_text).read_text().startswith("# Audit of results\n\nno problem in ")
    assert Path(paths.run_lock).read_bytes() == lock
    assert records == {path: Path(path).read_bytes() for path in records}


def test_snakemake_fails_on_a_problem(run, paths):
    """One line has the number of problems and the first; a second call finds the same."""
    flip(paths.sequences("T-2"), at=0.9)
    Path(paths.predictions("T-1")).unlink()
    for _ in range(2):
        done = run.call("audit")
        assert done.returncode
        assert (
            "2 problems, listed in results/audit/audit.md: results/outputs/predictions" in done.text
        )
    assert not Path(paths.run_lock).exists()


def test_the_audit_is_the_only_target(run):
    """Beside others it would be compared with what they are about to change."""
    done = run.call("audit", "embed", "--forcerun", "embed_field")
    assert done.returncode
    assert "audit must be the only target, got audit, embed" in done.text


def test_the_catalogue_refuses_another_models_embeddings(run, paths):
    """The job of the catalogue ends before it writes, and names the audit."""
    path = paths.embeddings("T-2")
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[KEY]) | {"model_hash": "0123456789abcdef"}
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(meta)}), path)
    done = run.call("hats")
    assert done.returncode
    assert "got 0123456789abcdef; run" in done.text
    assert "`snakemake audit` lists all files that do not belong to the run" in done.text


def test_two_runs_are_compared(run, paths, tmp_path, capsys):
    """A run is equal to itself; of another, the settings that explain the difference are named."""
    run.run("audit")
    assert main(["compare", "results", "results/run.lock.json"]) == 0
    capsys.readouterr()
    other = read_json(paths.run_lock)
    other["settings"]["tokenizers"]["scalar"]["n_bins"] = 8
    other["tokenizers"]["scalar"] = other["model"]["weights"] = "0123456789abcdef"
    write_json(tmp_path / "other.json", other)
    assert main(["compare", "results", str(tmp_path / "other.json")]) == 1
    assert capsys.readouterr().out.endswith(
        "cubes are equal; settings tokenizers.scalar.n_bins differ -> tokenizers.scalar, "
        "model.weights differ\n"
    )
