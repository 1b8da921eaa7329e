"""Build the pages: `make html`.

The sources lie in `docs/_build/source` as in the checkout, so that their links hold. The tutorial
is executed, block by block, on a small sky in `docs/_build/tutorial`, and stands there with what it
prints and plots. Every package of `scripts/astromodal` has a page made from its docstrings.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SITE = CHECKOUT / "docs/site"
PAGES = {
    "Getting started": ["README.md", "docs/tutorial.md"],
    "Running it": [
        "docs/usage.md",
        "docs/cluster.md",
        "docs/cubes.md",
        "docs/columns.md",
        "config/README.md",
        "docs/reliability.md",
    ],
    "Using a model": ["docs/model.md", "docs/formats.md", "docs/tools.md"],
    "How it works": ["docs/architecture.md", "docs/decisions.md"],
    "How well it works": ["docs/results.md", "benchmarks/RESULTS.md", "benchmarks/QUALITY.md"],
    "Changing it": ["docs/extending.md", "CONTRIBUTING.md", "CHANGELOG.md"],
}
"""Pages by heading of the navigation, as they lie in the checkout."""
LINKED = ("LICENSE", "docs/images", "config")
"""Other files and folders that pages link to or show."""
PARTS = ("Snakefile", "rules", "scripts", "profiles", "envs")
"""What a folder needs in which Snakemake runs the workflow."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Lay out the sources, execute the tutorial, and call Sphinx with warnings as errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "docs/_build")
    parser.add_argument("--plain-tutorial", action="store_true", help="do not execute the tutorial")
    given = parser.parse_args()
    source = given.folder / "source"
    lay_out(source)
    if not given.plain_tutorial:
        execute(source / "docs/tutorial.md", given.folder / "tutorial")
    write_api(source / "api")
    write_index(source)
    html = given.folder / "html"
    environment = {**os.environ, "ASTROMODAL_CHECKOUT": str(CHECKOUT)}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    command += ["-c", str(SITE), "-d", str(given.folder / "doctrees"), str(source), str(html)]
    subprocess.run(command, env=environment, check=True)
    print(f"== Done. Open {os.path.relpath(html / 'index.html')}")


def lay_out(source: Path) -> None:
    """Copy pages, and what they link to, to the places that they have in the checkout."""
    shutil.rmtree(source, ignore_errors=True)
    for name in (*(page for pages in PAGES.values() for page in pages), *LINKED):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, target, dirs_exist_ok=True)
        else:
            shutil.copy(CHECKOUT / name, target)


def write_index(source: Path) -> None:
    """Make the README the front page, with the navigation."""
    readme = source / "README.md"
    lines = [readme.read_text(encoding="utf-8"), ""]
    for heading, pages in (*PAGES.items(), ("Reference", ["api/index"])):
        inside = [page.removesuffix(".md") for page in pages if page != "README.md"]
        lines += ["```{toctree}", ":hidden:", f":caption: {heading}", "", *inside, "```", ""]
    (source / "index.md").write_text("\n".join(lines), encoding="utf-8")
    readme.unlink()
    for page in source.glob("*/*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("../README.md", "../index.md"), encoding="utf-8")


def write_api(folder: Path) -> None:
    """Write one page per package: its modules, with their public names and docstrings."""
    folder.mkdir(parents=True)
    packages = sorted(path.parent for path in CHECKOUT.glob("scripts/astromodal/**/__init__.py"))
    names = []
    for package in packages:
        name = ".".join(package.relative_to(CHECKOUT / "scripts").parts)
        modules = [path for path in sorted(package.glob("*.py")) if path.name != "__init__.py"]
        short = name.removeprefix("astromodal.")
        text = [short, "=" * len(short), "", f".. automodule:: {name}", "   :no-members:", ""]
        for module in modules:
            if not public_names(module):
                continue
            title = f"{short}.{module.stem}" if name != "astromodal" else module.stem
            text += [title, "-" * len(title), "", f".. automodule:: {name}.{module.stem}", ""]
        (folder / f"{name}.rst").write_text("\n".join(text), encoding="utf-8")
        names.append(name)
    head = ["API reference", "=============", ""]
    head += ["Every public name of the package, from its docstrings. What is used most:", ""]
    head += [f"- {line}" for line in OFTEN] + ["", ".. toctree::", "   :maxdepth: 1", ""]
    (folder / "index.rst").write_text("\n".join([*head, *(f"   {n}" for n in names), ""]))


OFTEN = (
    ":py:class:`astromodal.inference.model.AstroModel`: encode, embed, predict and generate",
    ":py:func:`astromodal.config.load.load_config`: the settings of a run",
    ":py:class:`astromodal.models.transformer.CausalTransformerLM`: the network",
    ":py:func:`astromodal.core.vocab.build_vocab_spec`: the vocabulary",
)
"""Names at the top of the reference."""


def public_names(module: Path) -> list[str]:
    """Return the public functions, classes and constants that a module defines."""
    found = []
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return [name for name in found if not name.startswith("_")]


def execute(page: Path, folder: Path) -> None:
    """Execute a page's blocks, and put what they print and plot below them.

    Parameters
    ----------
    page : path
        The page; it is replaced.
    folder : path
        Where the blocks run: a small sky is simulated there and a model trained, once.
    """
    _checkout(folder)
    _snakemake(folder, "train")
    names: dict[str, object] = {}
    text = page.read_text(encoding="utf-8")
    with contextlib.chdir(folder):
        blocks = list(FENCE.finditer(text))
        opening, heading, rest = text[: blocks[0].start()].partition("\n## ")
        made = [opening, NOTE, heading, rest]
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            end = following.start() if following else len(text)
            made += [block[0], *_results(block[1], block[2], names), text[block.end() : end]]
        for picture in Path().glob("*.png"):
            shutil.copy(picture, page.parent)
    page.write_text("".join(made), encoding="utf-8")


NOTE = """
```{note}
The outputs on this page come from a smaller sky and a smaller model than the demo's
(`docs/site/tutorial.yaml`), so that the page can be built in minutes. Your numbers will differ.
```
"""


def _results(language: str, code: str, names: dict[str, object]) -> Iterator[str]:
    """Run a block; yield what it printed, and the figures that it saved."""
    if language == "console":
        for line in code.splitlines():
            if (typed := line.removeprefix("$ ")) != "make demo":
                _snakemake(Path(), *shlex.split(typed)[1:])
        return
    before, printed = set(Path().glob("*.png")), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/tutorial.md", "exec"), names)
    except Exception:
        sys.exit(f"the tutorial fails:\n{code}\n{traceback.format_exc()}")
    if printed.getvalue():
        yield f"\n\n```text\n{printed.getvalue()}```"
    for picture in sorted({*Path().glob("*.png")} - before):
        yield f"\n\n![what the block above plots]({picture})"


def _checkout(folder: Path) -> None:
    """Make a folder look like a checkout whose demo is the tutorial's small sky."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        (folder / part).unlink(missing_ok=True)
        (folder / part).symlink_to(CHECKOUT / part)
    shutil.copy(SITE / "tutorial.yaml", folder / "config/demo.yaml")
    for picture in folder.glob("*.png"):
        picture.unlink()


def _snakemake(folder: Path, *words: str) -> None:
    """Run Snakemake in a folder; of its output, only that of a failure is shown."""
    options = [] if "--configfile" in words else ["--configfile", "config/demo.yaml"]
    options += [] if "--profile" in words else ["--profile", "profiles/local"]
    command = [sys.executable, "-m", "snakemake", *words, *options]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "scripts")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, **pipes)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout[-6000:]}")


if __name__ == "__main__":
    main()
