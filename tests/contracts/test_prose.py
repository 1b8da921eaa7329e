"""Plain English in docstrings, comments, messages and pages; `make lint` runs these tests.

Some words were used in other meanings than an astronomer or a programmer gives them. They are
refused here, with the word to use. Names in backticks, and text without a space, are no prose.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "scripts/astromodal"

REFUSED = {
    r"the guide('s)?": "nothing: the reader has no such document",
    r"what is asked|(is|are|was|were) asked for": "requested, or: the mark is …",
    r"as the issue (asks|says)": "nothing: the reader has no such document",
    r"told|tells": "predicted; says, where a text does",
    r"chances?": "probability, or: random",
    r"surpris(e|es|ed)": "negative log-likelihood",
    r"rivals?": "baselines",
    r"mend(s|ed|ing)?": "repair",
    r"comes? to that|(is|are) to be told from": "a sentence with a subject and a verb",
    r"without a word": "without a message",
    r"as good as that|and their kin": "plain words",
    r"an? \w+ each": "one per …",
    r"an? \w+ an? (row|line|field|object|source|token|step|group|column|node|GPU|second)": (
        "one … per …"
    ),
    r"(tokens|operations|objects|cores|processes|codes|nats|bits|steps) an? \w+": "… per …",
}
"""Patterns of whole words, and what to write in their place."""

ALLOWED: set[tuple[str, str]] = set()
"""Legitimate uses: the file, and the text found in it."""

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += [*ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md"), *ROOT.glob("rules/captions/*.rst")]
COMMENTED = [*ROOT.glob("config/*.yaml"), *ROOT.glob("profiles/*/*.yaml")]
CODE = [*ROOT.glob("scripts/*.py"), *PACKAGE.glob("*.py"), *ROOT.glob("rules/*.smk")]
CODE += [ROOT / "Snakefile", *ROOT.glob("docs/site/*.py")]
ROOMS = {
    "pages": PAGES,
    "settings": COMMENTED,
    "rules and entry scripts": CODE,
    "tests": [p for p in sorted(ROOT.glob("tests/**/*.py")) if p != Path(__file__)],
    "benchmarks": sorted(ROOT.glob("benchmarks/*.py")),
    **{
        room.name: sorted([*room.rglob("*.py"), *room.rglob("*.html"), *room.rglob("*.j2")])
        for room in sorted(PACKAGE.iterdir())
        if (room / "__init__.py").exists()
    },
}
"""Files by the room that they are in."""


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file, with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".py", ".smk") or path.name == "Snakefile":
        yield from _of_code(text)
    elif path.suffix in (".md", ".rst", ".html", ".j2"):
        blank = re.sub(r"^```.*?^```$|<(style|script).*?</\1>|\{\{.*?\}\}|\{%.*?%\}",
                       lambda m: "\n" * m[0].count("\n"), text, flags=re.S | re.M)  # fmt: skip
        yield 1, blank
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if comment := re.search(r"(?:^|\s)#(.*)$", line):
                yield number, comment[1]


def _of_code(text: str) -> Iterator[tuple[int, str]]:
    """Yield strings with a space in them, and comments."""
    comments: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.append((token.start[0], token.string.lstrip("# ")))
        elif tokenize.tok_name[token.type] in ("STRING", "FSTRING_MIDDLE") and " " in token.string:
            yield token.start[0], token.string
    yield from comments


def hits(path: Path) -> list[str]:
    """Return a line for each refused word of a file, with what to write instead."""
    name, found = str(path.relative_to(ROOT)), []
    for first, text in prose(path):
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)", lambda m: re.sub(r"[^\n]", "x", m[0]), text)
        for pattern, instead in REFUSED.items():
            for match in re.finditer(rf"\b({pattern})\b", plain.replace("\n", " "), re.IGNORECASE):
                words = " ".join(match[0].split())
                if (name, words) not in ALLOWED:
                    line = first + plain[: match.start()].count("\n")
                    found.append(f"{name}:{line}: {words!r}: {instead}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_the_words_are_plain(room):
    """No refused word is in the prose of a room."""
    found = [hit for path in ROOMS[room] for hit in hits(path)]
    assert not found, f"{len(found)} in {room}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("What the model told of it.", 1),
        ("Redshifts that `told` holds.", 0),
        ("A table, a column each.", 1),
        ("A line a row, and 8 tokens a second.", 2),
        ("The probability of each code.", 0),
        ("Surprise, by\nchance.", 2),
    ],
)
def test_refused_words_are_found(text, number, tmp_path, monkeypatch):
    """Whole words count, in any case and over line ends; names in backticks do not."""
    path = tmp_path / "page.md"
    path.write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert len(hits(path)) == number


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield a module, its public functions and classes, and their public methods."""
    yield "the module", tree
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


BEGINS = re.compile(r"[A-ZΔ0-9`\"(|-]|x = |k-means|astromodal|log10|arcsinh")
"""How the first sentence of a docstring begins: with a capital, a number, a name or a formula."""


@pytest.mark.parametrize("room", [name for name in ROOMS if (PACKAGE / name).is_dir()])
def test_docstrings_are_sentences(room):
    """Each public docstring begins with a capital; its first paragraph ends with a full stop."""
    found = []
    for path in ROOMS[room]:
        if path.suffix != ".py":
            continue
        for name, node in public(ast.parse(path.read_text(encoding="utf-8"))):
            first = (ast.get_docstring(node) or "").partition("\n\n")[0].strip()
            if not BEGINS.match(first) or not first.endswith((".", ":", "?")):
                found.append(f"{path.relative_to(ROOT)}: {name}: {first[:70]!r}")
    assert not found, f"{len(found)} in {room}:\n" + "\n".join(found)
