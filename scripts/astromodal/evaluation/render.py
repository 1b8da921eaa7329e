"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from astromodal.core.files import read_json, write_text
from astromodal.core.skips import skip_at
from astromodal.evaluation.coverage import cover_fields
from astromodal.evaluation.numbers import show, show_measured
from astromodal.evaluation.objects import listed
from astromodal.evaluation.provenance import provenance
from astromodal.evaluation.style import themed_svg

_LONG_TABLE = 14
"""A table of more rows than this is folded until it is asked for."""


def render_report(
    parts: Sequence[str | Path],
    figures: Sequence[str | Path],
    summaries: Sequence[str | Path],
    trained: Collection[str],
    config: dict[str, Any],
    code: Mapping[str, str],
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
        The fields' JSON summaries; fields that were skipped are listed.
    trained : collection of str
        Fields that something was trained on.
    config : dict
        All settings of the run, as plain values.
    code : mapping of str to str
        Digest of the code of each rule.
    coverage_figures : path
        Folder to write the coverage's own figures into.
    output : path
        The HTML file, written atomically.
    """
    skips = [skip for path in summaries if (skip := skip_at(path))]
    whole = [path for path in summaries if skip_at(path) is None]
    loaded, fields = ([read_json(path) for path in paths] for paths in (parts, whole))
    names = [field["field"] for field in fields]
    page = Page(
        title="How well tokens and model keep the measurements",
        uncertainty="An uncertainty is a standard error over objects, by bootstrap unless another "
        "way is named.",
        trained=[name for name in names if name in trained],
        held_out=[name for name in names if name not in trained],
        provenance=provenance(loaded, fields, code, config.get("freeze", ())),
        config=config,
    )
    coverage = cover_fields(fields, skips, trained, coverage_figures)
    render_page(page, [*loaded, coverage], [*figures, coverage_figures], output)


@dataclass(frozen=True)
class Page:
    """What a page says beside its sections.

    Attributes
    ----------
    title, uncertainty : str
        Its heading, and what the errors in it are.
    trained, held_out : sequence of str
        Fields that something was trained on, and the others.
    provenance : sequence of dict
        As `provenance` gives it.
    config : dict
        All settings of the run, as plain values.
    """

    title: str
    uncertainty: str
    trained: Sequence[str]
    held_out: Sequence[str]
    provenance: Sequence[dict[str, Any]]
    config: dict[str, Any]


def render_page(
    page: Page,
    parts: Sequence[dict[str, Any]],
    figures: Sequence[str | Path],
    output: str | Path,
) -> None:
    """Write parts of an evaluation as one page.

    Parameters
    ----------
    page : Page
        All else that it says.
    parts : sequence of dict
        The parts, as `Part.as_dict` gives them.
    figures : sequence of path
        The folder of each part's figures, parallel to `parts`.
    output : path
        The HTML file, written atomically.
    """
    environment = Environment(
        loader=PackageLoader("astromodal.evaluation"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"show": show, "listed": listed}
    text = environment.get_template("report.html.j2").render(
        page=page,
        sections=[_section(p, Path(folder)) for p, folder in zip(parts, figures, strict=True)],
        headlines=[_headline(h) for part in parts for h in part["headlines"]],
        config=json.dumps(page.config, indent=2),
        long_table=_LONG_TABLE,
    )
    write_text(output, text)


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
