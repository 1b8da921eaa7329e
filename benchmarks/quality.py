"""Evaluate the tokenizers over several seeds, and write ``benchmarks/QUALITY.md``.

``python -m benchmarks.quality``: each seed fits all tokenizers anew on the same simulated sky and
evaluates them on the two fields that nothing was trained on.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import yaml

from astromodal.evaluation.report.values import Measurement, show
from astromodal.storage.json_files import read_json
from benchmarks.harness import ROOT

SEEDS = (1, 2, 3)
FOLDER = "results/quality"
PAGE = ROOT / "benchmarks/QUALITY.md"
SECTIONS = ("scalars", "spectra", "images")
BLOCKS = ("spectrum", "image")

Numbers = dict[str, dict[str, Any]]
Get = Callable[[Numbers], float | None]


def main() -> None:
    """Run every seed and write the page."""
    for seed in SEEDS:
        _run(seed)
    runs = [
        {name: read_json(ROOT / _results(seed) / f"evaluation/{name}.json")["numbers"]
         for name in SECTIONS}
        for seed in SEEDS
    ]  # fmt: skip
    PAGE.write_text(page(runs), encoding="utf-8")
    print(f"== wrote {PAGE.relative_to(ROOT)}")


def _results(seed: int) -> str:
    return f"{FOLDER}/seed_{seed}"


def _run(seed: int) -> None:
    """Fit and evaluate the tokenizers of one seed, on the sky of the first."""
    config = yaml.safe_load((ROOT / "benchmarks/quality.yaml").read_text(encoding="utf-8"))
    config["paths"] = {"results": _results(seed)}
    if seed != SEEDS[0]:
        cubes = f"{_results(SEEDS[0])}/cubes/datacube_{{field}}.parquet"
        config["paths"]["datacube_template"] = cubes
        del config["simulate"]
    for block in BLOCKS:
        config["tokenizers"].setdefault(block, {})["seed"] = seed
    path = ROOT / FOLDER / f"seed_{seed}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "evaluate_tokenizers"]
    command += ["--profile", "profiles/local", "--configfile", str(path)]
    print(f"== seed {seed}", flush=True)
    subprocess.run(command, cwd=ROOT, env={**os.environ, "MPLBACKEND": "Agg"}, check=True)


def page(runs: list[Numbers]) -> str:
    """Return the page: one table per modality, with means and scatter over the seeds."""
    tables = []
    for title, lines in (
        ("Scalars", _scalars(runs[0])), ("Spectra", _spectra(runs[0])), ("Image cutouts", _images())
    ):  # fmt: skip
        rows = [f"| {what} | {_over_seeds(runs, get)} | {mark} |" for what, get, mark in lines]
        head = "| what | measured | mark |\n| --- | --- | --- |"
        tables.append("\n".join([f"## {title}", "", head, *rows]))
    n = runs[0]["images"]["n_objects"], runs[0]["scalars"]["n_objects"]
    return (
        f"""# Quality of the tokenizers

Written by `make quality` on {date.today()}: mean ± standard deviation over the seeds
{", ".join(map(str, SEEDS))} of the codebooks and of the autoencoder, which are fitted anew for each
on the same simulated sky (`benchmarks/quality.yaml`), and judged on two fields that nothing was
trained on ({n[1]} objects, {n[0]} cutouts). Codebooks have 2048 codes and columns 1024 bins. The
scatter says nothing of another sky; each run's report has errors over objects.

"""
        + "\n\n".join(tables)
        + "\n"
    )


def _over_seeds(runs: list[Numbers], get: Get) -> str:
    values = [get(run) for run in runs]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    return show(Measurement(statistics.mean(known), statistics.stdev(known)))


Line = tuple[str, Get, str]


def _scalars(run: Numbers) -> Iterator[Line]:
    columns = run["scalars"]["columns"]
    yield "median error, median column (bins)", lambda r: r["scalars"]["median_bins"], "≤ 0.5"
    yield "the same, worst column (bins)", lambda r: _worst(r, "median_bins"), "≤ 0.5"
    yield "median error in rank, worst column (10⁻⁴)", lambda r: 1e4 * _worst(r, "median_rank"), ""
    for name in ("err_mag_pstotal_u", "gaia_parallax", "gaia_pmra", "fwhm_n_det", "specz_z"):
        if columns[name]["n"]:
            what = f"`{name}`: median error over that of values spread evenly in their bins"
            yield what, lambda r, name=name: _to_even(r["scalars"]["columns"][name]), ""
    for what in ("lost", "invented"):
        total = f"values {what} by the codes, all columns"
        yield total, lambda r, what=what: sum(c[what] for c in _used(r)), "0"


def _used(run: Numbers) -> list[dict[str, Any]]:
    return [c for c in run["scalars"]["columns"].values() if c["n_codes"]]


def _worst(run: Numbers, name: str) -> float:
    found = [c[name]["value"] for c in _used(run) if c["n"]]
    return max(value for value in found if value is not None)


def _to_even(column: dict[str, Any]) -> float | None:
    best = column["best_possible"]
    return column["median"]["value"] / best if best else None


def _spectra(run: Numbers) -> Iterator[Line]:
    for group, numbers in run["spectra"]["groups"].items():
        if not numbers["n_live"]:
            continue

        def of(*keys: str, group: str = group) -> Get:
            return lambda r: _down(r["spectra"]["groups"][group], keys)

        yield f"{group}: median R², S/N > 3", of("clear", "r2", "value"), "≥ 0.98"
        yield f"{group}: share of those at 0.98 or above", of("clear", "share", "value"), ""
        yield f"{group}: median R², all", of("r2", "value"), ""
        yield f"{group}: median reduced χ², all", of("chi2", "value"), ""
        yield f"{group}: perplexity of the evaluated codes", of("codebook", "perplexity"), ""
        yield f"{group}: bits per object", of("bits_an_object"), ""


def _images() -> Iterator[Line]:
    def of(*keys: str) -> Get:
        return lambda r: _down(r["images"], keys)

    for diameter, apertures in (("3", "apertures"), ("2", "apertures_2arcsec")):
        for stage in ("codes", "latents"):
            share = of(apertures, "all", stage, "within_0p1", "value")
            yield f"{diameter} arcsec magnitudes within 0.1 mag at S/N > 30, {stage}", share, "all"
    for name in ("G-R", "R-Z"):
        for what in ("median", "scatter"):
            key = of("aperture_colours", name, "above_30", "codes", what, "value")
            yield f"{name} decoded minus measured at S/N > 30, {what} (mag)", key, ""
    for snr, mark in (("above_100", "≥ 0.95"), ("above_30", "")):
        bright = ("peaks", "all", snr)
        what = f"brightest pixel within 5 %, S/N {snr.replace('_', ' ')}"
        yield what, of(*bright, "codes", "within_5pct", "value"), mark
        yield f"{what}, an image without noise", of(*bright, "ceiling"), ""
        yield f"{what}, median ratio", of(*bright, "codes", "ratio", "value"), "1"
    yield "FWHM of stars, decoded over measured", of("stars", "all", "codes", "ratio", "value"), "1"
    for stage in ("codes", "latents"):
        yield f"R² in the mask, all bands, {stage}", of("all_bands", stage, "r2", "value"), ""
        yield f"the same, median cutout, {stage}", of("all_bands", stage, "r2_object", "value"), ""
    for kind in ("pooled", "typical"):
        for step in ("noise", "autoencoder", "codebook"):
            mark = "below the codebook's" if step == "autoencoder" else ""
            yield f"R² lost by the {step}, {kind}", of("limits", kind, "all", step, "value"), mark
    for number, mark in (("1", "0"), ("2", ""), ("4", "")):
        for key, kind in (("loss", "pooled"), ("loss_object", "median cutout")):
            loss = of("missing_bands", "by_number", number, key, "value")
            yield f"R² lost in the other bands, {number} missing, {kind}", loss, mark
    yield "perplexity of the evaluated codes", of("codebook", "perplexity"), ""
    yield "bits per object", of("bits_an_object"), ""


def _down(numbers: Any, keys: tuple[str, ...]) -> float | None:
    for key in keys:
        numbers = numbers.get(key) if isinstance(numbers, dict) else None
    return numbers


if __name__ == "__main__":
    main()
