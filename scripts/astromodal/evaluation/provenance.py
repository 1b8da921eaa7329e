"""What a report was made from: cubes, tokenizers and model, code, software."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import astromodal
from astromodal.core.hashing import hash_values
from astromodal.data.content import ABSENT
from astromodal.evaluation.parts import table

_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "GaiaXPy", "astropy", "matplotlib",
    "safetensors", "pydantic", "snakemake", "jinja2",
)  # fmt: skip
_OWN = {"scalars": "scalar", "spectra": "spectrum", "images": "image"}
"""The tokenizer that a section's ``tokenizer_hash`` is of."""


def provenance(
    parts: Sequence[Mapping[str, Any]],
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
            "note": _disagreement(parts),
            "table": table(["what", "hash", "sections"], hashes(parts)),
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
            "table": table(["rule", "digest"], [list(pair) for pair in sorted(code.items())]),
        },
        {
            "title": "Software",
            "note": "",
            "table": table(["package", "version"], [list(pair) for pair in versions()]),
        },
    ]
    return [item for item in found if item["table"]["rows"]]


def hashes(parts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What was evaluated: name, hash, and the sections that are of it."""
    sections: dict[tuple[str, str], list[str]] = {}
    for name, value, title in _hashes(parts):
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
    return table(heading, rows)


def versions() -> list[tuple[str, str]]:
    """Versions of astromodal, Python and the packages that results depend on."""
    found = [("astromodal", astromodal.__version__), ("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _hashes(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Every hash that the sections carry: of what, its value, and the section's title."""
    for part in parts:
        for key, value in part["numbers"].items():
            if key == "weights_hash":
                yield "transformer", str(value), part["title"]
            elif key.endswith("_hash"):
                name = f"{_OWN.get(part['name'], '')} {key.removesuffix('_hash')}"
                yield name.replace("_", " ").strip(), str(value), part["title"]


def _disagreement(parts: Sequence[Mapping[str, Any]]) -> str:
    """A warning where sections are of different tokenizers or models."""
    names = [name for name, *_ in hashes(parts)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"Not all sections are of the same {', '.join(twice)}: run again." if twice else ""
