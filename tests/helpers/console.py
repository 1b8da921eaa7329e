"""What the documentation says to type, and a folder in which it can be typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from helpers.workflow import ROOT, Workflow

PARTS = ("Snakefile", "Makefile", "pyproject.toml", "rules", "scripts", "envs", "profiles", "slurm")
PARTS += ("benchmarks", "docs", "tests")
KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "SHELL", "TERM", "TMPDIR", "USER")
"""Variables of the tests' environment that a user has, too."""


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page: where it begins, its language, its text."""

    page: str
    number: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.number}"


@dataclass(frozen=True)
class Span:
    """Text in backticks in a page's prose: where it begins, and its words."""

    page: str
    number: int
    text: str

    @property
    def name(self) -> str:
        """Page, line and text."""
        return f"{self.page}:{self.number}: {self.text}"


def fences(page: str) -> list[Fence]:
    """Every fenced block of a page, by its path in the checkout."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Fence(page, _line(text, match), *match.groups()) for match in found]


def spans(page: str) -> Iterator[Span]:
    """Every text in backticks of a page's prose, of several words, in the page's order.

    Of a page that is no Markdown, the comments are its prose; what is indented in a comment is such
    a text, too.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".md"):
        text = re.sub(r"^```.*?^```$", _blank, text, flags=re.DOTALL | re.MULTILINE)
    else:
        comments = (re.search(r"(?:^|\s)# ?(.*)$", line) for line in text.splitlines())
        text = "\n".join(comment[1] if comment else "" for comment in comments)
        text = re.sub(r"^ {2,}(docker .*)$", r"`\1`", text, flags=re.MULTILINE)
    for match in re.finditer(r"`([^`]+)`", text):
        words = match[1].split()
        if len(words) > 1:
            yield Span(page, _line(text, match), " ".join(words))


def recipes() -> Iterator[Span]:
    """Lines of the Makefile that call Snakemake or Python, as the shell gets them."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", "  ")
    for match in re.finditer(r"^\t\$\((?:RUN\) |BIN\)/)(?:\w+=\S+ )*(.*)$", text, re.MULTILINE):
        if match[1].split()[0] in ("snakemake", "python"):
            yield Span("Makefile", _line(text, match), " ".join(match[1].split()))


def _line(text: str, match: re.Match) -> int:
    return text.count("\n", 0, match.start()) + 1


def _blank(match: re.Match) -> str:
    return "\n" * match[0].count("\n")


def python_blocks(page: str, names: dict) -> None:
    """Run the Python blocks of a page, one after the other, as one program with those names."""
    for fence in fences(page):
        if fence.language == "python":
            exec(compile(fence.text, fence.name, "exec"), names)


def checkout(folder: Path) -> Path:
    """Make a folder look like a checkout: links, and a `config` of its own that may be changed."""
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


def demo_checkout(folder: Path, finished: Workflow) -> Path:
    """Make a folder look like a checkout after `make demo`, with a finished run as the demo."""
    checkout(folder)
    config = {**finished.config, "paths": {"results": "results/demo"}}
    (folder / "config/demo.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    shutil.copytree(finished.results, folder / "results/demo")
    return folder


def run(script: str, folder: Path, first: Path) -> subprocess.CompletedProcess:
    """Type a script in a folder, in a user's environment whose `PATH` begins with another one.

    That the package is imported from the checkout stands for ``pip install -e .`` in there.
    """
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment["PYTHONPATH"] = str(ROOT / "scripts")
    environment |= {"PATH": f"{first}:{os.environ['PATH']}", "STAND_INS": str(first)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, **pipes)
