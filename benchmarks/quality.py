"""Evaluate the tokenizers over several seeds, and write ``benchmarks/QUALITY.md``.

``python -m benchmarks.quality``: each seed fits all tokenizers anew on the same simulated sky and
evaluates them on the two fields that nothing was trained on. Where the variable
``ASTROMODAL_REAL_CUBES`` names a folder of cubes of real sources, their codes are evaluated too.
Spectra are then coded with other numbers of bins. Last, a small model of the first seed encodes and
decodes lines and stars of known flux (`benchmarks.synthetic`).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from astromodal import AstroModel
from astromodal.data.cube import Cube
from astromodal.data.spectra import read_spectra
from astromodal.evaluation.report.section import Measurement, show
from astromodal.evaluation.spectra.measures import WITHIN_NOISE
from astromodal.evaluation.spectra.sample import Fluxes, strongest_lines
from astromodal.storage.json_files import read_json
from astromodal.surveys.registry import grid_group
from benchmarks.harness import ROOT
from benchmarks.synthetic import table

SEEDS = (1, 2, 3)
FOLDER = "results/quality"
CUBES = f"{FOLDER}/cubes/datacube_{{field}}.parquet"
PAGE = ROOT / "benchmarks/QUALITY.md"
SECTIONS = ("scalars", "spectra", "images")
BLOCKS = ("spectrum", "image")
REAL = "ASTROMODAL_REAL_CUBES"
TOKENS = (128, 256, 512, 768, 1024, 1536)
"""Most codes of a spectrum, for the curve of codes against error."""
ARMS = ("desi_b", "desi_r", "desi_z")

Numbers = dict[str, dict[str, Any]]
Get = Callable[[Numbers], float | None]


def main() -> None:
    """Run every seed, on real cubes too, and the curve of codes; write the page."""
    config = yaml.safe_load((ROOT / "benchmarks/quality.yaml").read_text(encoding="utf-8"))
    _make_cubes(config)
    real = _real_fields()
    runs: list[Numbers] = []
    on_real: list[Numbers] = []
    for seed in SEEDS:
        for block in BLOCKS:
            config["tokenizers"].setdefault(block, {})["seed"] = seed
        runs.append(_evaluate(config, f"seed_{seed}"))
        if real:
            fields = {"evaluation": {"fields": real}}
            on_real.append(_evaluate(config | fields, f"seed_{seed}"))
    curve = {n: _with_tokens(config, n) for n in TOKENS}
    model = _model(config)
    spectra = _real_spectra(model)
    PAGE.write_text(page(runs, on_real, curve, table(model), spectra), encoding="utf-8")
    print(f"== wrote {PAGE.relative_to(ROOT)}")


def _make_cubes(config: dict[str, Any]) -> None:
    """Simulate the sky, and put its cubes and the real ones into one folder."""
    sky = config | {"paths": {"results": f"{FOLDER}/sky"}}
    fields = sorted(config["simulate"]["fields"])
    cubes = [f"{FOLDER}/sky/cubes/datacube_{field}.parquet" for field in fields]
    _run(sky, "sky", cubes)
    folder = (ROOT / CUBES).parent
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for cube in (*(ROOT / cube for cube in cubes), *_real_cubes()):
        (folder / cube.name).symlink_to(cube.resolve())
    del config["simulate"]
    config["fields"] = [*fields, *_real_fields()]
    config["evaluation"] = {
        "fields": [f for f in fields if f not in config["tokenizers"]["fields"]]
    }


def _real_cubes() -> list[Path]:
    """Return the cubes of real sources; none where the variable is not set."""
    folder = os.environ.get(REAL)
    return sorted(Path(folder).glob("datacube_*.parquet")) if folder else []


def _real_fields() -> list[str]:
    return [cube.stem.removeprefix("datacube_") for cube in _real_cubes()]


def _evaluate(config: dict[str, Any], name: str) -> Numbers:
    """Fit and evaluate all tokenizers; return the numbers of each section."""
    results = f"{FOLDER}/{name}"
    paths = {"results": results, "datacube_template": CUBES}
    _run(config | {"paths": paths}, name, ["evaluate_tokenizers"])
    return {section: _numbers(results, section) for section in SECTIONS}


def _with_tokens(config: dict[str, Any], most: int) -> dict[str, Any]:
    """Code the arms of DESI with at most so many codes each; return the section's numbers."""
    results = f"{FOLDER}/tokens_{most}"
    spectrum = {"groups": list(ARMS), "max_spec_tokens_per_group": most, "seed": SEEDS[0]}
    own = {
        "paths": {"results": results, "datacube_template": CUBES},
        "tokenizers": config["tokenizers"] | {"spectrum": spectrum},
        "sequences": {"max_seq_len": 3 * most + 2048},
    }
    _run(config | own, f"tokens_{most}", [f"{results}/evaluation/spectra.json"])
    return _numbers(results, "spectra")


def _model(config: dict[str, Any]) -> AstroModel:
    """Train a model as small as can be on the codes of the first seed, for its tokenizers."""
    results = f"{FOLDER}/seed_{SEEDS[0]}"
    for block in BLOCKS:
        config["tokenizers"][block]["seed"] = SEEDS[0]
    small = {
        "paths": {"results": results, "datacube_template": CUBES},
        "model": {"d_model": 32, "n_layers": 1, "n_heads": 2, "d_ff": 64},
        "training": {"fields": ["SIM-0003"], "epochs": 1, "token_budget": 8192, "warmup_steps": 2},
    }
    _run(config | small, f"model_{SEEDS[0]}", ["train"])
    return AstroModel.from_run(ROOT / results / "runs_tokens_transformer")


def _run(config: dict[str, Any], name: str, targets: Sequence[str]) -> None:
    """Run the workflow to some targets."""
    path = ROOT / FOLDER / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", *targets]
    command += ["--profile", "profiles/local", "--configfile", str(path)]
    print(f"== {name}: {', '.join(targets)}", flush=True)
    subprocess.run(command, cwd=ROOT, env={**os.environ, "MPLBACKEND": "Agg"}, check=True)


def _numbers(results: str, section: str) -> dict[str, Any]:
    numbers: dict[str, Any] = read_json(ROOT / results / f"evaluation/{section}.json")["numbers"]
    return numbers


def _real_spectra(model: AstroModel) -> list[str]:
    """Return a line of a table for each arm of DESI: what its codes keep of real spectra."""
    coder, rows = model.tokenizers.spectrum, []
    for arm in ARMS:
        own, parts = coder.spectrum(arm), []
        for path in _real_cubes():
            for batch in read_spectra(Cube(path, path.stem.removeprefix("datacube_")), arm):
                live = batch.take(batch.live())
                decoded, _ = coder.decode(arm, *coder.encode(arm, live.flux, live.ivar))
                wave = grid_group(arm).grid(model.config.tokenizers.spectrum).points()
                parts.append(Fluxes(wave, *own.measured(live), own.at_pixels(decoded)))
        if parts:
            spectra = Fluxes.join(parts)
            chi2, lines = spectra.chi2(), strongest_lines(spectra, 1)
            ratios = ", ".join(
                f"{d / f:.3f} ± {e / f:.3f}"
                for d, f, e in zip(lines.decoded, lines.flux, lines.error, strict=True)
            )
            cells = [f"{len(chi2)}", f"{np.median(chi2):.2f}, {chi2.max():.2f}", ratios or "–"]
            rows.append("| " + " | ".join([arm, *cells]) + " |")
    return rows


def page(
    runs: list[Numbers],
    on_real: list[Numbers],
    curve: dict[int, dict[str, Any]],
    known: str,
    spectra: list[str],
) -> str:
    """Return the page: a table per modality, of means and scatter over the seeds, and the rest.

    Parameters
    ----------
    runs, on_real : list of dict
        Numbers of each seed, of the simulated and of real cubes; none without real cubes.
    curve : dict of int to dict
        Numbers of the spectra by the most codes of a spectrum.
    known : str
        Table of sources of known flux.
    spectra : list of str
        Lines of the table of real spectra of DESI; none without real cubes.
    """
    n = runs[0]["images"]["n_objects"], runs[0]["scalars"]["n_objects"]
    parts = [
        f"""# Quality of the tokenizers

Written by `make quality` on {date.today()}: mean ± standard deviation over the seeds
{", ".join(map(str, SEEDS))} of the codebooks and of the autoencoder, which are fitted anew for each
on the same simulated sky (`benchmarks/quality.yaml`), and judged on two fields that nothing was
trained on ({n[1]} objects, {n[0]} cutouts). Codebooks have 2048 codes and columns 1024 bins. The
scatter says nothing of another sky; each run's report has errors over objects.""",
        *_tables(runs, "##", marks=True),
        _curve_table(curve),
        f"""## Sources of known flux

Spectra of a flat continuum with one line, and cutouts of one star, which `benchmarks/synthetic.py`
makes, seen through `AstroModel.encode` and `decode` alone, with the tokenizers of the first seed.

{known}""",
    ]
    if on_real:
        parts += [
            f"""## Real sources

The same tokenizers, fitted on the simulated sky alone, applied to the cubes that `{REAL}` names:
{on_real[0]["scalars"]["n_objects"]} objects; {_measured(on_real[0])}.
They differ from the simulated ones. Rows outside the magnitude cut, or without that magnitude, have
no codes, and are not among them.""",
            *_tables(on_real, "###", marks=False),
        ]
    if spectra:
        head = "| arm | spectra | χ² of pixels: median, largest | lines, decoded over measured |"
        parts += [
            "\n".join([
                "### Spectra of DESI, in or outside the magnitude cut", "",
                "All live fibres, encoded by hand with the tokenizers of the first seed. Of each",
                "spectrum the strongest emission line of S/N over 10, with its own error.", "",
                head, "| --- | --- | --- | --- |", *spectra,
            ])
        ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _measured(run: Numbers) -> str:
    """Return how many cutouts, and spectra of each group, were evaluated."""
    groups = run["spectra"]["groups"].items()
    return ", ".join(
        [f"{run['images']['n_objects']} cutouts", *(f"{n['n_live']} {name}" for name, n in groups)]
    )


def _tables(runs: list[Numbers], level: str, marks: bool) -> Iterator[str]:
    """Yield a table of each modality, of what all runs measured."""
    for title, lines in (
        ("Image cutouts", _images()), ("Spectra", _spectra(runs[0])), ("Scalars", _scalars(runs[0]))
    ):  # fmt: skip
        known = [(what, _over_seeds(runs, get), mark) for what, get, mark in lines]
        rows = [
            f"| {what} | {value} |" + (f" {mark} |" if marks else "")
            for what, value, mark in known if value != "–"
        ]  # fmt: skip
        head = "| what | measured |\n| --- | --- |"
        if marks:
            head = "| what | measured | mark |\n| --- | --- | --- |"
        if rows:
            yield "\n".join([f"{level} {title}", "", head, *rows])


def _curve_table(curve: dict[int, dict[str, Any]]) -> str:
    """Return the table of codes against error of the DESI arms."""
    rows = []
    for most, numbers in curve.items():
        cells = [f"{most}"]
        for arm in ARMS:
            group = numbers["groups"][arm]
            used = [b for b in group["snr"] if b["n"] and b["low"] >= 10]
            cells.append(", ".join(f"{np.sqrt(b['chi2']['value']):.2f}" for b in used))
            cells.append(f"{group['r2']['value']:.3f}")
        rows.append("| " + " | ".join(cells) + " |")
    titles = " | ".join(f"{arm}: error (σ) | R²" for arm in ARMS)
    return "\n".join([
        "## Codes against error of DESI spectra", "",
        "One seed. The error is the rms of decoded minus measured flux over the noise of a pixel,",
        "the median over spectra of S/N 10 to 30, and over 30. R² is that of native pixels, their",
        "noise included, the median over all spectra.", "",
        f"| most codes per arm | {titles} |", "| --- |" + " --- |" * (2 * len(ARMS)), *rows,
    ])  # fmt: skip


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
    yield "bits per object", lambda r: r["scalars"]["bits_an_object"], ""


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

        def of(*keys: str | int, group: str = group) -> Get:
            return lambda r: _down(r["spectra"]["groups"][group], keys)

        for i, b in enumerate(numbers["snr"]):
            if b["n"]:
                high = b["high"]
                name = f"S/N {b['low']:g} to {high:g}" if high else f"S/N over {b['low']:g}"
                chi2 = of("snr", i, "chi2", "value")
                yield f"{group}: median χ² of pixels, {name}", chi2, f"≤ {WITHIN_NOISE:g}"
        for kind in ("emission", "absorption"):
            for what, key in (("flux", "flux"), ("equivalent width", "width")):
                ratio = of(kind, key, "value")
                yield f"{group}: {what} of {kind} lines, decoded over measured", ratio, "1 ± 0.02"
                yield f"{group}: the same, scatter over lines", of(kind, f"{key}_scatter"), ""
        yield f"{group}: median R² of pixels", of("r2", "value"), ""
        yield f"{group}: median χ² of bins", of("bins_chi2", "value"), ""
        yield f"{group}: median R² of bins, S/N > 3", of("clear", "r2", "value"), "≥ 0.98"
        yield f"{group}: share of those at 0.98 or above", of("clear", "share", "value"), ""
        yield f"{group}: perplexity of the evaluated codes", of("codebook", "perplexity"), ""
        yield f"{group}: bits per object", of("bits_an_object"), ""
    for survey in run["spectra"]["redshifts"]:
        for what, key in (("median |Δv| (km/s)", "offset"), ("share of others", "other")):

            def redshift(r: Numbers, key: str = key, survey: str = survey) -> float | None:
                return _down(r["spectra"]["redshifts"], (survey, "all", key, "value"))

            yield f"{survey}: redshifts, decoded against measured: {what}", redshift, ""


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


def _down(numbers: Any, keys: Sequence[str | int]) -> float | None:
    """Return the number below some keys; None where there is none."""
    for key in keys:
        if isinstance(numbers, list):
            numbers = numbers[int(key)]
        else:
            numbers = numbers.get(key) if isinstance(numbers, dict) else None
    return numbers


if __name__ == "__main__":
    main()
