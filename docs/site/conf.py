"""Sphinx's configuration; `docs/site/build.py` lays out the pages and calls it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import get_origin

CHECKOUT = Path(os.environ["ASTROMODAL_CHECKOUT"])
sys.path.insert(0, str(CHECKOUT / "scripts"))

import astromodal  # noqa: E402

project = "astromodal"
author = copyright = "the astromodal developers"
version = release = astromodal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
]
root_doc = "index"
exclude_patterns = []
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
nitpicky = False
default_role = "py:obj"
"""Names in single backticks are links where they name something."""

# Pages link to headings of each other, as on GitHub.
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # a page may skip a level
    "autosummary.import_cycle",
]

autosummary_generate = False
"""`docs/site/build.py` writes the pages of the API itself, one per package."""
autodoc_member_order = "bysource"
autodoc_typehints = "none"
"""Types stand in the signature and, with shapes and units, in the docstring."""
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks = set()
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
toc_object_entries = False

html_theme = "furo"
html_title = f"astromodal {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "top_of_page_buttons": [],
    "sidebar_hide_name": False,
}
highlight_language = "none"
"""Blocks without a language show what is typed or printed."""
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _skip(app, what, name, item, skip, options):
    """Leave out what pydantic gives to every class, aliases of types, and imported functions."""
    if name in {"model_config", "model_post_init"} or get_origin(item) is not None:
        return True
    home = getattr(item, "__module__", None)
    foreign = callable(item) and isinstance(home, str) and not home.startswith("astromodal")
    return True if foreign and what == "module" else skip


def _escape_bars(app, what, name, item, options, lines):
    """Show |x| as it is: reStructuredText would look for a substitution of that name."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`.*?`)", line)
        parts[::2] = [re.sub(r"(?<!\\)\|", r"\|", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def setup(app):
    """Connect the hooks."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _escape_bars, priority=900)
