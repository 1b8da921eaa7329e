"""The HTML report: sections on one page, and how the run was made."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import astromodal
from astromodal.data.content import ABSENT
from astromodal.evaluation.coverage.measures import cover_fields
from astromodal.evaluation.held_out import listed
from astromodal.evaluation.report.style import themed_svg
from astromodal.evaluation.report.values import Table, show
from astromodal.storage.hashing import hash_values
from astromodal.storage.json_files import read_json
from astromodal.storage.skips import skip_at
from astromodal.storage.tempfiles import write_text

_LONG_TABLE = 14
"""A table of more rows than this is folded until it is asked for."""


def render_report(
    sections: Sequence[str | Path],
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
    loaded, fields = ([read_json(path) for path in paths] for paths in (sections, whole))
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
    sections: Sequence[dict[str, Any]],
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
        loader=PackageLoader("astromodal.evaluation.report"), autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"show": show, "listed": listed}
    text = environment.get_template("report.html.j2").render(
        page=page,
        sections=[_section(p, Path(folder)) for p, folder in zip(sections, figures, strict=True)],
        headlines=[_headline(h) for section in sections for h in section["headlines"]],
        config=json.dumps(page.config, indent=2),
        long_table=_LONG_TABLE,
    )
    write_text(output, text)


def _section(section: dict[str, Any], folder: Path) -> dict[str, Any]:
    drawn = [
        {
            **figure,
            "image": _inline(folder / figure["file"], f"{part['name']}-{i}", figure["caption"]),
        }
        for i, figure in enumerate(section["figures"])
    ]
    return {**section, "figures": drawn}


def _inline(png: Path, prefix: str, caption: str) -> Markup:
    """A figure as part of the page: its SVG in the page's colours, or else its PNG."""
    svg = png.with_suffix(".svg")
    if svg.is_file():
        return Markup(themed_svg(svg.read_text(encoding="utf-8"), prefix))
    data = base64.b64encode(png.read_bytes()).decode("ascii")
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, caption)


def _headline(headline: dict[str, Any]) -> dict[str, Any]:
    return {**headline, "text": show_measured(headline.value, headline.error)}


_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "GaiaXPy", "astropy", "matplotlib",
    "safetensors", "pydantic", "snakemake", "jinja2",
)  # fmt: skip
_OWN = {"scalars": "scalar", "spectra": "spectrum", "images": "image"}
"""The tokenizer that a section's ``tokenizer_hash`` is of."""


def provenance(
    sections: Sequence[Mapping[str, Any]],
    fields: Sequence[Mapping[str, Any]],
    code: Mapping[str, str],
    frozen: Collection[str],
) -> list[dict[str, Any]]:
    """Tables of everything that the numbers depend on, beside the settings.

    Parameters
    ----------
    parts : sequence of mapping
        Sections, as `Part.as_dict` gives them; their numbers that end in ``_hash`` tell what they
        are of.
    fields : sequence of mapping
        Summaries of the fields.
    code : mapping of str to str
        Digest of the code of each rule.
    frozen : collection of str
        Parts that are kept as they are.

    Returns
    -------
    list of dict
        ``title``, ``note`` and ``table`` each; what has no row is left out.
    """
    kept = ""
    if frozen:
        kept = f" What is frozen ({', '.join(frozen)}) was made by the code of its time."
    found: list[dict[str, Any]] = [
        {
            "title": "Tokenizers and model",
            "note": _disagreement(sections),
            "table": Table(["what", "hash", "sections"], hashes(sections)),
        },
        {
            "title": "Cubes",
            "note": "Digests are of the values in the columns that are read, not of the files.",
            "table": cubes(fields),
        },
        {
            "title": "Code",
            "note": "Digests of what each rule's script can reach, as it stands; comments and "
            f"docstrings do not count.{kept}",
            "table": Table(["rule", "digest"], [list(pair) for pair in sorted(code.items())]),
        },
        {
            "title": "Software",
            "note": "",
            "table": Table(["package", "version"], [list(pair) for pair in versions()]),
        },
    ]
    return [item for item in found if item["table"]["rows"]]


def hashes(sections: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What was evaluated: name, hash, and the sections that are of it."""
    sections: dict[tuple[str, str], list[str]] = {}
    for name, value, title in _hashes(sections):
        sections.setdefault((name, value), []).append(title)
    return [[name, value, ", ".join(titles)] for (name, value), titles in sorted(sections.items())]


def cubes(fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row a cube: size, columns that were read and that it lacks, and a digest of the former."""
    rows = []
    for f in fields:
        content = f["content"]
        absent = sum(digest == ABSENT for digest in content["columns"].values())
        size, read = content["size"] / 1e6, len(content["columns"]) - absent
        rows.append([f["field"], f["n_rows"], size, read, absent, hash_values(content["columns"])])
    heading = ["field", "rows", "size (MB)", "columns read", "columns absent", "digest"]
    return Table(heading, rows)


def versions() -> list[tuple[str, str]]:
    """Versions of astromodal, Python and the packages that results depend on."""
    found = [("astromodal", astromodal.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _hashes(sections: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Every hash that the sections carry: of what, its value, and the section's title."""
    for section in sections:
        for key, value in section["numbers"].items():
            if key == "weights_hash":
                yield "transformer", str(value), section["title"]
            elif key.endswith("_hash"):
                name = f"{_OWN.get(part['name'], '')} {key.removesuffix('_hash')}"
                yield name.replace("_", " ").strip(), str(value), section["title"]


def _disagreement(sections: Sequence[Mapping[str, Any]]) -> str:
    """A warning where sections are of different tokenizers or models."""
    names = [name for name, *_ in hashes(sections)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"Not all sections are of the same {', '.join(twice)}: run again." if twice else ""
