"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import astromodal
from astromodal.core.files import read_json, write_text
from astromodal.evaluation.coverage import cover_fields
from astromodal.evaluation.numbers import show, show_measured
from astromodal.evaluation.style import themed_svg

_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "GaiaXPy", "astropy", "matplotlib",
    "safetensors", "pydantic", "snakemake", "jinja2",
)  # fmt: skip
_LONG_TABLE = 14
"""A table of more rows than this is folded until it is asked for."""


def render_report(
    parts: Sequence[str | Path],
    figures: Sequence[str | Path],
    summaries: Sequence[str | Path],
    trained: Collection[str],
    config: dict[str, Any],
    coverage_figures: str | Path,
    output: str | Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    parts : sequence of path
        JSON files of the parts, in the report's order.
    figures : sequence of path
        The folder of each part's figures, parallel to `parts`.
    summaries : sequence of path
        The fields' JSON summaries.
    trained : collection of str
        Fields that something was trained on.
    config : dict
        All settings of the run, as plain values.
    coverage_figures : path
        Folder to write the coverage's own figures into.
    output : path
        The HTML file, written atomically.
    """
    loaded = [read_json(path) for path in parts]
    coverage = cover_fields(summaries, trained, coverage_figures)
    names = [read_json(path)["field"] for path in summaries]
    render_page(
        Page(
            "How well tokens and model keep the measurements",
            "An uncertainty is a bootstrap standard error over objects.",
        ),
        [*loaded, coverage],
        [*figures, coverage_figures],
        field_roles(names, trained),
        config,
        output,
    )


@dataclass(frozen=True)
class Page:
    """What a page says of itself: its `title`, and what its `uncertainty` is."""

    title: str
    uncertainty: str


def render_page(
    page: Page,
    parts: Sequence[dict[str, Any]],
    figures: Sequence[str | Path],
    fields: dict[str, list[str]],
    config: dict[str, Any],
    output: str | Path,
) -> None:
    """Write parts of an evaluation as one page.

    Parameters
    ----------
    page : Page
        What stands at its head.
    parts : sequence of dict
        The parts, as `Part.as_dict` gives them.
    figures : sequence of path
        The folder of each part's figures, parallel to `parts`.
    fields : dict
        As `field_roles` gives it.
    config : dict
        All settings of the run, as plain values.
    output : path
        The HTML file, written atomically.
    """
    environment = Environment(
        loader=PackageLoader("astromodal.evaluation"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["show"] = show
    text = environment.get_template("report.html.j2").render(
        page=page,
        sections=[_section(p, Path(folder)) for p, folder in zip(parts, figures, strict=True)],
        headlines=[_headline(h) for part in parts for h in part["headlines"]],
        fields=fields,
        versions=versions(),
        hashes=_hashes(parts),
        config=json.dumps(config, indent=2),
        long_table=_LONG_TABLE,
    )
    write_text(output, text)


def versions() -> list[tuple[str, str]]:
    """Versions of astromodal, Python and the packages that results depend on."""
    found = [("astromodal", astromodal.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _section(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    drawn = [
        {
            **figure,
            "image": _inline(folder / figure["file"], f"{part['name']}-{i}", figure["caption"]),
        }
        for i, figure in enumerate(part["figures"])
    ]
    return {**part, "figures": drawn}


def _inline(png: Path, prefix: str, caption: str) -> Markup:
    """A figure as part of the page: its SVG in the page's colours, or else its PNG."""
    svg = png.with_suffix(".svg")
    if svg.is_file():
        return Markup(themed_svg(svg.read_text(encoding="utf-8"), prefix))
    data = base64.b64encode(png.read_bytes()).decode("ascii")
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, caption)


def _headline(headline: dict[str, Any]) -> dict[str, Any]:
    return {**headline, "text": show_measured(headline["value"], headline["error"])}


def field_roles(names: Sequence[str], trained: Collection[str]) -> dict[str, list[str]]:
    """Fields by name: `trained` ones, and those `held` out."""
    return {
        "trained": [name for name in names if name in trained],
        "held": [name for name in names if name not in trained],
    }


def _hashes(parts: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Every hash that the parts carry: ``{part}: {what}`` and its value."""
    return [
        (f"{part['title']}: {key.removesuffix('_hash').replace('_', ' ')}", str(value))
        for part in parts
        for key, value in part["numbers"].items()
        if key.endswith("_hash")
    ]
