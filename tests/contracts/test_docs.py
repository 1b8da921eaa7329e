"""The pages say what is there: formats, rules, modules, links, and no more words than promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from astromodal.storage.formats import MAKERS, VERSIONS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "scripts/astromodal"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted(ROOT.glob("docs/*.md"))
BY_HAND = [path for path in PAGES if path.name != "columns.md"]


def read(name: str) -> str:
    """Text of a page without its fenced blocks."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def rows(text: str, *headings: str) -> list[list[str]]:
    """Cells of the first table with these headings."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if cells(line)[: len(headings)] == [*headings])
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        found.append(cells(line))
    return found


def cells(line: str) -> list[str]:
    """Cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rules() -> set[str]:
    """Names of the workflow's rules."""
    texts = (path.read_text() for path in ROOT.glob("rules/*.smk"))
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)}


def versions() -> dict[str, int]:
    """Version of each format, as the code has it."""
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    pairs = re.findall(r'"format": "(\w+)",\s*"version": "?(\d+)', code)
    pairs += re.findall(r'FORMAT, VERSION = "(\w+)", "?(\d+)', code)
    return {name: int(version) for name, version in pairs}


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", read(str(path.relative_to(ROOT))), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


FORMATS = {name.strip("`"): row for name, *row in rows(read("docs/formats.md"), "format")}
"""Version, file, maker and readers of each format, as the page has them."""


def test_every_format_is_described():
    """The table of formats and the sections below it name those that the code knows."""
    assert set(FORMATS) == set(MAKERS)
    assert set(re.findall(r"^### (\w+)$", read("docs/formats.md"), re.MULTILINE)) == set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_format_has_its_version_and_maker(name):
    """They are those of the code."""
    version, _, maker, _ = FORMATS[name]
    assert int(version) == versions()[name]
    assert maker.strip("`") == MAKERS[name]


def test_the_audit_knows_the_versions():
    """Those that it compares files with are those that the code writes."""
    assert versions() == VERSIONS


@pytest.mark.parametrize("name", MAKERS)
def test_a_section_has_a_table(name):
    """Each key has a type, a shape and a meaning; an export's keys are those of its source."""
    section = read("docs/formats.md").partition(f"\n### {name}\n")[2].partition("\n#")[0]
    if name == "exported_transformer":
        assert "final_model.pt" in section
        return
    for row in rows(section, "key", "dtype", "shape", "unit", "meaning"):
        assert len(row) == 5
        assert row[0]
        assert row[1]
        assert row[4]


def test_rules_that_the_pages_name_exist():
    """Of the rules in the tables of files, each is there; `*` stands for any ending."""
    text = read("docs/formats.md") + read("docs/architecture.md")
    prefix = r"(?:split|summarize|sample|train|encode|pack|evaluate|embed|predict|export|render)_"
    named = set(re.findall(rf"`({prefix}[\w*]+)`", text))
    known = rules()
    missing = [
        n for n in named if not any(re.fullmatch(n.replace("*", r"\w+"), rule) for rule in known)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    """Each link to a file of the checkout, and to a heading in it."""
    text = read(str(page.relative_to(ROOT)))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", BY_HAND, ids=lambda path: path.name)
def test_modules_that_the_pages_name_exist(page):
    """Each path of a module, test or script in backticks."""
    named = re.findall(r"`((?:[\w]+/)+\w+\.py)`", read(str(page.relative_to(ROOT))))
    folders = (ROOT, PACKAGE, ROOT / "tests", ROOT / "tests/workflow")
    assert [n for n in named if not any((folder / n).exists() for folder in folders)] == []


def test_the_new_names_of_modules_exist():
    """Each new name in the changelog's table is a module or package."""
    table = rows(read("CHANGELOG.md"), "old module", "new module")
    assert len(table) > 100
    wrong = []
    for _, new in table:
        for name in new.replace("`", "").split(", "):
            path = PACKAGE / name.replace(".", "/")
            if not (path.with_suffix(".py").exists() or path.is_dir()):
                wrong.append(name)
    assert wrong == []


def test_the_readme_is_short():
    """Fewer than 900 words, blocks included."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900


def test_decisions_have_a_context():
    """Each entry gives the context and the decision, in this order, once."""
    _, *entries = re.split(r"^### ", read("docs/decisions.md"), flags=re.MULTILINE)
    labels = [re.findall(r"^\*\*(\w[\w ]*)\.\*\*", entry, re.MULTILINE) for entry in entries]
    order = ("Context", "Decision", "Measured alternatives", "Consequences")
    assert len(entries) > 50
    for entry, found in zip(entries, labels, strict=True):
        assert found[:2] == ["Context", "Decision"], entry.partition("\n")[0]
        assert found == [label for label in order if label in found], entry.partition("\n")[0]


def test_every_page_is_on_the_site():
    """The navigation of the built pages names every page, and no other."""
    text = (ROOT / "docs/site/build.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"((?:docs|config|benchmarks)/[\w.]+\.md|[A-Z]+\.md)"', text))
    there = {str(path.relative_to(ROOT)) for path in PAGES}
    there |= {"config/README.md", "benchmarks/RESULTS.md", "benchmarks/QUALITY.md"}
    assert named == there
