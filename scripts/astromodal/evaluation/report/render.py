"""The HTML report: sections on one page, and how the run was made."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import astromodal
from astromodal.data.summary import ABSENT
from astromodal.evaluation.context import listed
from astromodal.evaluation.coverage.evaluate import evaluate_coverage
from astromodal.evaluation.coverage.measures import FieldSummary
from astromodal.evaluation.report.section import ReportFigure, Row, Section, Table, show
from astromodal.evaluation.report.style import themed_svg
from astromodal.storage.formats import skip_at
from astromodal.storage.hashing import hash_values
from astromodal.storage.tempfiles import write_text

_LONG_TABLE = 14
"""Tables with more rows than this are collapsed."""


@dataclass(frozen=True)
class Origin:
    """A table of things that the numbers of a page depend on.

    Attributes
    ----------
    title : str
        What the table lists.
    note : str
        A remark; empty where there is none.
    table : Table
        The table.
    """

    title: str
    note: str
    table: Table


@dataclass(frozen=True)
class Page:
    """What a page shows in addition to its sections.

    Attributes
    ----------
    title, uncertainty : str
        Its heading, and what the errors on the page are.
    trained, held_out : sequence of str
        Fields that something was trained on, and the other fields.
    provenance : sequence of Origin
        What the numbers depend on.
    config : mapping
        All settings of the run, as plain values.
    """

    title: str
    uncertainty: str
    trained: Sequence[str]
    held_out: Sequence[str]
    provenance: Sequence[Origin]
    config: Mapping[str, Any]


def render_report(
    sections: Sequence[str | Path],
    figures: Sequence[str | Path],
    summaries: Sequence[str | Path],
    trained: Collection[str],
    config: Mapping[str, Any],
    code: Mapping[str, str],
    coverage_figures: str | Path,
    output: str | Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    sections : sequence of path
        JSON files of the sections, in the order of the report.
    figures : sequence of path
        Folders of the sections' figures, parallel to `sections`.
    summaries : sequence of path
        JSON summaries of the fields; skipped fields are listed.
    trained : collection of str
        Fields that something was trained on.
    config : mapping
        All settings of the run, as plain values.
    code : mapping of str to str
        Digest of the code of each rule.
    coverage_figures : path
        Folder for the figures of the coverage section, which is made here.
    output : path
        The HTML file, written atomically.
    """
    skips = [skip for path in summaries if (skip := skip_at(path))]
    fields = [FieldSummary.load(path) for path in summaries if skip_at(path) is None]
    loaded = [Section.load(*each) for each in zip(sections, figures, strict=True)]
    names = [field.field for field in fields]
    page = Page(
        title="How well tokens and model keep the measurements",
        uncertainty="An uncertainty is a standard error over objects, by bootstrap unless another "
        "method is named.",
        trained=[name for name in names if name in trained],
        held_out=[name for name in names if name not in trained],
        provenance=provenance(loaded, fields, code, config.get("freeze", ())),
        config=config,
    )
    coverage = evaluate_coverage(fields, skips, trained, Path(coverage_figures))
    render_page(page, [*loaded, coverage], output)


def render_page(page: Page, sections: Sequence[Section], output: str | Path) -> None:
    """Write sections as one HTML page.

    Parameters
    ----------
    page : Page
        Everything else on the page.
    sections : sequence of Section
        The sections, in order; their figures are read from their folders.
    output : path
        The HTML file, written atomically.
    """
    environment = Environment(
        loader=PackageLoader("astromodal.evaluation.report"), autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"show": show, "listed": listed}
    text = environment.get_template("report.html.j2").render(
        page=page,
        sections=sections,
        headlines=[headline for section in sections for headline in section.headlines],
        image=_inline,
        config=json.dumps(page.config, indent=2),
        long_table=_LONG_TABLE,
    )
    write_text(output, text)


def _inline(section: Section, i: int) -> Markup:
    """Return figure `i` of a section as HTML: its SVG in the page's colours, or else its PNG."""
    figure: ReportFigure = section.figures[i]
    png = section.folder / figure.file
    svg = png.with_suffix(".svg")
    if svg.is_file():
        return Markup(themed_svg(svg.read_text(encoding="utf-8"), f"{section.name}-{i}"))
    data = base64.b64encode(png.read_bytes()).decode("ascii")
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, figure.caption)


_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "GaiaXPy", "astropy", "matplotlib",
    "safetensors", "pydantic", "snakemake", "jinja2",
)  # fmt: skip


def provenance(
    sections: Sequence[Section],
    fields: Sequence[FieldSummary],
    code: Mapping[str, str],
    frozen: Collection[str],
) -> list[Origin]:
    """Return tables of what the numbers depend on, except the settings.

    Parameters
    ----------
    sections : sequence of Section
        The sections, with the hashes of what was evaluated.
    fields : sequence of FieldSummary
        Summaries of the fields.
    code : mapping of str to str
        Digest of the code of each rule.
    frozen : collection of str
        What the setting ``freeze`` names: it is not made again when its code changes.

    Returns
    -------
    list of Origin
        Tables without rows are left out.
    """
    kept = ""
    if frozen:
        kept = f" Frozen ({', '.join(frozen)}): made by the code of an earlier time."
    tables = [
        Origin(
            "Tokenizers and model",
            _disagreement(sections),
            Table(["what", "hash", "sections"], hashes(sections)),
        ),
        Origin(
            "Cubes",
            "A digest is of the values in the columns that are read, not of the file.",
            cube_table(fields),
        ),
        Origin(
            "Code",
            "A digest is of all code that the script of a rule can reach, as it is now; comments "
            f"and docstrings do not count.{kept}",
            Table(["rule", "digest"], [list(pair) for pair in sorted(code.items())]),
        ),
        Origin("Software", "", Table(["package", "version"], [list(pair) for pair in versions()])),
    ]
    return [origin for origin in tables if origin.table.rows]


def hashes(sections: Sequence[Section]) -> list[list[str]]:
    """Return rows of what was evaluated: its name, its hash, the titles of the sections."""
    titles: dict[tuple[str, str], list[str]] = {}
    for section in sections:
        for pair in section.hashes.items():
            titles.setdefault(pair, []).append(section.title)
    return [[name, value, ", ".join(own)] for (name, value), own in sorted(titles.items())]


def cube_table(fields: Sequence[FieldSummary]) -> Table:
    """Return a table with one row per cube: its size, its columns, and a digest of the values."""
    rows: list[Row] = []
    for f in fields:
        absent = sum(digest == ABSENT for digest in f.digests.values())
        read = len(f.digests) - absent
        rows.append([f.field, f.n_rows, f.size / 1e6, read, absent, hash_values(f.digests)])
    heading = ["field", "rows", "size (MB)", "columns read", "columns absent", "digest"]
    return Table(heading, rows)


def versions() -> list[tuple[str, str]]:
    """Return names and versions of astromodal, Python and the packages that results depend on."""
    pairs = [("astromodal", astromodal.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            pairs.append((name, version(name)))
        except PackageNotFoundError:
            pairs.append((name, "not installed"))
    return pairs


def _disagreement(sections: Sequence[Section]) -> str:
    """Return a warning where sections evaluated different tokenizers or models."""
    names = [name for name, *_ in hashes(sections)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"Not all sections evaluate the same {', '.join(twice)}: run again." if twice else ""
