"""Digests of the code that scripts reach, and those that jobs inherit from the plan."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astromodal.reruns import digests as code
from astromodal.reruns.digests import VARIABLE, code_digests, digest, job_digests, plan_digests

FILES = {
    "job.py": "from astromodal.a import f\n\nf()\n",
    "astromodal/__init__.py": "__version__ = '1'\n",
    "astromodal/a.py": """
import numpy as np
from astromodal.b import g, other

LIMIT = 3


def f(x=LIMIT):
    return g(np.sqrt(x))


def unused():
    return other()
""",
    "astromodal/b.py": """
SCALE = 2


def g(x):
    return x * SCALE


def other():
    pass
""",
    "astromodal/c.py": """
k, (m, *n) = 1, (2, 3)
k += 1


class C:
    def of(self):
        return m
""",
}


@pytest.fixture
def digests(tmp_path):
    """Digests of the job, where some files have another text than in `FILES`."""

    def of(nested=(), **changed):
        changed |= dict(nested)
        named = {
            f"{'' if n == 'job' else 'astromodal/'}{n}.py": text for n, text in changed.items()
        }
        for name, text in (FILES | named).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        code._package.cache_clear()
        return code_digests(tmp_path / "job.py", tmp_path)

    return of


def names(found):
    """Return the names of digests, without the script's and the package's name."""
    return [name.removeprefix("astromodal.") for name in list(found)[1:]]


def changes(before, after):
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_what_a_script_reaches_is_covered(digests):
    """Definitions that are used, directly or not, with their constants; no others."""
    found = digests()
    assert list(found) == ["job", *(f"astromodal.{name}" for name in names(found))]
    assert names(found) == ["a.LIMIT", "a.f", "b.SCALE", "b.g"]


def test_digests_are_twelve_hexadecimal_digits(digests):
    """Short enough to be read, long enough to differ."""
    assert all(len(d) == 12 and int(d, 16) >= 0 for d in digests().values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def g(x):\n", 'def g(x):\n    """Doc."""\n\n    # why\n'),
        ("x * SCALE", "(x   * SCALE)"),
        ("SCALE = 2", 'SCALE = 2\n"""Why two."""'),
        ("SCALE = 2", '"""The module."""\nSCALE = 2'),
        ("    pass\n", "    return 1\n"),
        ("SCALE = 2", "from __future__ import annotations\n\nSCALE = 2\nNEW = 3"),
    ],
)
def test_what_does_nothing_to_the_job_changes_nothing(digests, old, new):
    """Comments, docstrings, formatting, and definitions that the job does not use."""
    text = FILES["astromodal/b.py"]
    assert old in text
    assert digests(b=text.replace(old, new)) == digests()


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("SCALE = 2", "SCALE = 2.0", "b.SCALE"),
        ("x * SCALE", "SCALE * x", "b.g"),
        ("def g(x)", "def g(x=1)", "b.g"),
    ],
)
def test_a_change_names_the_definition(digests, old, new, changed):
    """An edit changes the digest of the edited definition only."""
    before = digests()
    after = digests(b=FILES["astromodal/b.py"].replace(old, new))
    assert changes(before, after) == {f"astromodal.{changed}"}


@given(
    numbers=st.lists(st.integers(0, 5), min_size=2, max_size=2), note=st.text("ab #'", max_size=9)
)
def test_digests_follow_values_and_no_comment(tmp_path_factory, numbers, note):
    """Two texts have equal digests where they hold the same number, whatever the comment."""
    found = []
    for number in numbers:
        folder = tmp_path_factory.mktemp("code")
        (folder / "astromodal").mkdir()
        (folder / "astromodal/a.py").write_text(
            f"def f():\n    return {number}  # {number} {note}\n"
        )
        (folder / "job.py").write_text(FILES["job.py"])
        found.append(code_digests(folder / "job.py", folder))
    assert (found[0] == found[1]) == (numbers[0] == numbers[1])


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("import astromodal.b\nastromodal.b.other()", ["b.other"]),
        ("import astromodal.b as b\nb.other()", ["b.other"]),
        ("from astromodal import b\nb.g", ["b.SCALE", "b.g"]),
        ("def late():\n    from astromodal.b import SCALE\n    return SCALE", ["b.SCALE"]),
        ("from astromodal.c import k", []),
        ("from astromodal.c import k\nk", ["c.k", "c.m", "c.n"]),
        ("from astromodal.c import n as named\n[named]", ["c.k", "c.m", "c.n"]),
        ("from astromodal.c import C\nC().of()", ["c.C", "c.k", "c.m", "c.n"]),
        ("import astromodal\nastromodal.__version__", ["__version__"]),
        ("import astromodal\nastromodal.__file__", []),
    ],
)
def test_names_are_followed_however_they_are_written(digests, job, expected):
    """Aliases, attributes of modules, late imports and methods; unpacked names count together."""
    assert names(digests(job=job)) == expected


EVERYTHING_IN_B = ["b.SCALE", "b.g", "b.other"]


@pytest.mark.parametrize(
    "job",
    [
        "from astromodal import b\nvars(b)",
        "import astromodal.b as b\nprint(b)",
        "from astromodal.b import *\ng(1)",
        "from astromodal.b import made_at_run_time\nmade_at_run_time()",
        "start('astromodal.b')",
        "from importlib import import_module\nimport_module('astromodal.b').g()",
    ],
)
def test_a_module_that_cannot_be_followed_counts_whole(digests, job):
    """Passed about, star-imported, or named as text, it may be used for anything in it."""
    assert names(digests(job=job)) == EVERYTHING_IN_B


def test_an_import_of_a_computed_name_may_import_everything(digests):
    """No module of the package is left out."""
    found = names(digests(job="import importlib\nimportlib.import_module(name)"))
    assert {*EVERYTHING_IN_B, "a.unused", "c.C"} <= {*found}


def test_another_function_behind_the_same_name_is_a_change(digests):
    """The target of an import enters the digest of the code that uses its name."""
    text = FILES["astromodal/a.py"]
    before = digests()
    assert changes(before, digests(a=text.replace("numpy as np", "scipy as np"))) == {
        "astromodal.a.f"
    }
    swapped = text.replace("g, other", "g as other, other as g")
    assert "astromodal.a.f" in changes(before, digests(a=swapped))


@pytest.mark.parametrize(
    "a",
    [
        "from astromodal.b import g as f",
        "from .b import g as f",
        "import astromodal.b\n\nf = astromodal.b.g",
        "try:\n    from astromodal.b import g as f\nexcept ImportError:\n    f = None",
        "if True:\n    from astromodal.b import g as f",
    ],
)
def test_re_exports_are_followed(digests, a):
    """A name that a module imports is looked for where it comes from."""
    found = names(digests(a=a))
    assert {"b.SCALE", "b.g"} <= {*found}
    assert "b.other" not in found


LAZY = """
from importlib import import_module
_HOMES = {"g": "astromodal.b", "C": "astromodal.c"}


def __getattr__(name):
    return getattr(import_module(_HOMES[name]), name)
"""


def test_a_lazy_export_is_followed_for_its_name(digests):
    """A lazy package is followed to the requested name only."""
    found = names(digests({"p/__init__": LAZY}, job="from astromodal.p import g\ng(2)"))
    assert found == ["b.SCALE", "b.g", "p._HOMES", "p.__getattr__"]


def test_a_lazily_exporting_package_is_asked_for_its_modules_too(digests):
    """An import of a module calls the package's `__getattr__`, with the code that this uses."""
    found = names(
        digests({"p/__init__": LAZY, "p/q": "x = 1"}, job="from astromodal.p import q\nq.x")
    )
    assert found == ["p._HOMES", "p.__getattr__", "p.q.x"]


def test_a_lazy_export_that_nothing_defines_brings_what_it_could_be(digests):
    """A name that is in none of the modules written out may come from any of them."""
    found = names(digests({"p/__init__": LAZY}, job="from astromodal.p import x\nx"))
    assert {"b.g", "b.other", "c.C"} <= {*found}
    assert "a.f" not in found


@pytest.mark.parametrize("text", ["np.seterr(all='raise')", "for i in range(3):\n    f", "_ = f()"])
def test_statements_that_run_on_import_count(digests, text):
    """Whoever reaches anything of a module, or only imports it, runs its other statements."""
    before = digests(job="from astromodal import b\nb.SCALE")
    body = f"import astromodal.c\nSCALE = 2\n{text}\n"
    after = digests(job="from astromodal import b\nb.SCALE", b=body)
    assert changes(before, after) == {"astromodal.b"}


def test_an_import_for_its_effect_counts(digests):
    """An unused import of another package is there for its effect."""
    text = "import hdf5plugin\n" + FILES["astromodal/b.py"]
    assert changes(digests(), digests(b=text)) == {"astromodal.b"}


def test_modules_that_an_import_runs_count(digests):
    """Statements of indirectly imported modules and of their packages count."""
    text = FILES["astromodal/a.py"] + "import astromodal.p.q\n"
    nested = {"p/__init__": "print()\n", "p/q": "import astromodal.c\n"}
    assert {"p", "c"} <= {*names(digests(nested, a=text, c="print()\n"))}


def test_a_program_s_start_counts_where_it_is_started(digests):
    """Code below `if __name__` counts where the module is started, not where it is imported."""
    text = FILES["astromodal/b.py"] + "\n\nif __name__ == '__main__':\n    other()\n"
    assert digests(b=text) == digests()
    assert "b.__main__" in names(digests(b=text, job="run('-m', 'astromodal.b')"))


def test_imports_for_annotations_alone_count_for_nothing(digests):
    """They never run, and annotations are never evaluated; their text counts."""
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from astromodal.b import g\n"
    assert names(digests(a=text + "\n\ndef f(x: g):\n    pass\n")) == ["a.f"]


def test_descriptions_of_settings_are_documentation(digests):
    """Another description changes nothing, another default does."""
    field = "from pydantic import Field\nf = Field({}, description={!r})\n"
    before = digests(a=field.format(1, "one"))
    assert digests(a=field.format(1, "two")) == before
    assert changes(before, digests(a=field.format(2, "one"))) == {"astromodal.a.f"}


def test_a_package_in_hand_brings_its_files(digests, tmp_path):
    """Templates are read by the package's name."""
    job = "load('astromodal.p')"
    nested = {"p/__init__": ""}
    digests(nested)
    (tmp_path / "astromodal/p/templates").mkdir()
    (tmp_path / "astromodal/p/templates/page.html").write_text("one")
    before = digests(nested, job=job)
    (tmp_path / "astromodal/p/templates/page.html").write_text("two")
    assert changes(before, digests(nested, job=job)) == {"astromodal.p/templates/page.html"}


def test_names_imported_in_a_circle_end(digests):
    """Two modules that import a name from each other can be read."""
    found = digests(a="from astromodal.b import f", b="from astromodal.a import f")
    assert names(found) == []


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_order_of_reading_does_not_matter(digests, first):
    """A script that names the same in another order reaches the same, in the same order."""
    imports = ["from astromodal.a import f", "from astromodal.b import other"]
    names_used = imports if first == "a" else imports[::-1]
    found = names(digests(job="\n".join([*names_used, "f", "other"])))
    assert found == ["a.LIMIT", "a.f", "b.SCALE", "b.g", "b.other"]


def test_fields_of_settings_are_values(digests):
    """A new field or default of a group changes nothing; a method or the meaning of a type does."""
    start = "from base import Settings\nKind = int\n\n\nclass G(Settings):\n"
    group = start + "    n: Kind = {}\n    {}\n    def m(self):\n        return self.n + {}\n"
    job = "from astromodal.a import G\nG()\n"
    before = digests(job=job, a=group.format(1, "", 1))
    assert digests(job=job, a=group.format(2, "m: int = 3", 1)) == before
    assert changes(before, digests(job=job, a=group.format(1, "", 2))) == {"astromodal.a.G"}
    other = group.replace("Kind = int", "Kind = float").format(1, "", 1)
    assert changes(before, digests(job=job, a=other)) == {"astromodal.a.Kind"}


REGISTRIES = {
    "registry": """
from astromodal.extensions import Registry
from astromodal.b import g
THINGS: Final = Registry[int]("thing")


class Thing:
    pass


def twice():
    return g(2)
""",
    "plain": "import extensions\n\nOTHERS = extensions.Registry('other')\nTEXT = str()\n",
    "re_export": "from astromodal.registry import THINGS\n",
    "others": "from astromodal.plain import OTHERS\n\n\ndef f():\n    return OTHERS\n",
    "extensions": "class Registry:\n    pass\n",
}
USES_THINGS = "from astromodal.registry import THINGS\nTHINGS\n"
USES_OTHERS = "from astromodal.plain import OTHERS\nOTHERS\n"


@pytest.fixture
def extended(digests, tmp_path):
    """Digests of a job with a user's files, by name; each has the text given for it."""

    def of(job, **texts):
        digests(REGISTRIES, job=job)
        paths = []
        for name, text in texts.items():
            (tmp_path / "user").mkdir(exist_ok=True)
            paths.append(tmp_path / f"user/{name}.py")
            paths[-1].write_text(text)
        code._package.cache_clear()
        return code_digests(tmp_path / "job.py", tmp_path, paths)

    return of


@pytest.mark.parametrize(
    "text",
    [
        "from astromodal.registry import THINGS\nTHINGS.register(1)",
        "from astromodal.registry import Thing",
        "import astromodal.registry as r\nr.THINGS.register(1)",
        "from astromodal.re_export import THINGS\nTHINGS.register(1)",
        "print('no registry')",
    ],
)
def test_a_user_s_file_counts_where_its_registry_is_used(extended, text):
    """However it is imported; a file that names no registry may change anything."""
    assert list(extended(USES_THINGS, mine=text))[:2] == ["job", "mine.py"]


@pytest.mark.parametrize(
    "job", [USES_OTHERS, "from astromodal.registry import Thing\nThing\n", "print()"]
)
def test_a_user_s_file_counts_for_no_job_without_its_registry(extended, job):
    """Nor for one that uses something else of the registry's module."""
    assert extended(job, mine=USES_THINGS) == extended(job)


def test_registries_are_found_however_they_are_made(extended):
    """With a type or without, by the class's name or as an attribute of its module."""
    assert "mine.py" in extended(USES_OTHERS, mine=USES_OTHERS)
    assert "mine.py" in extended(USES_THINGS, mine=USES_THINGS)


def test_a_user_s_file_has_the_digest_of_its_code(extended):
    """Comments and docstrings change nothing, a value does, and the digest is of the file alone."""
    first = extended(USES_THINGS, mine=f"{USES_THINGS}X = 1\n")
    noted = extended(USES_THINGS, mine=f'"""Doc."""\n{USES_THINGS}X = 1  # why\n')
    assert noted == first
    assert changes(first, extended(USES_THINGS, mine=f"{USES_THINGS}X = 2\n")) == {"mine.py"}


def test_code_that_a_user_s_file_uses_counts(extended):
    """A job that loads the file may run it."""
    text = "from astromodal.registry import THINGS, twice\nTHINGS.register(twice())"
    added = extended(USES_THINGS, mine=text).keys() - extended(USES_THINGS).keys()
    assert added == {"mine.py", "astromodal.registry.twice", "astromodal.b.g", "astromodal.b.SCALE"}


@pytest.mark.parametrize("order", [["one", "two"], ["two", "one"]])
def test_a_file_may_reach_the_registry_that_another_extends(extended, order):
    """A file counts for a job whose other file uses its registry, whatever the order."""
    texts = {"one": USES_OTHERS, "two": f"{USES_THINGS}from astromodal.others import f\nf()\n"}
    found = extended(USES_THINGS, **{name: texts[name] for name in order})
    assert {"one.py", "two.py"} <= found.keys()
    assert "one.py" not in extended(USES_THINGS, one=USES_OTHERS)


TABLE = {"encode": "1", "a.f": "2", "a.g": "3"}


@pytest.fixture
def scripts(tmp_path):
    """A folder of two entry scripts and a package of one module."""
    folder = tmp_path / "scripts"
    (folder / "astromodal/p").mkdir(parents=True)
    (folder / "astromodal/__init__.py").write_text("")
    (folder / "astromodal/p/__init__.py").write_text("")
    (folder / "astromodal/p/page.html").write_text("page")
    (folder / "astromodal/a.py").write_text("def f():\n    return 1\n")
    (folder / "encode.py").write_text("from astromodal.a import f\nf()\n")
    (folder / "train.py").write_text("print()\n")
    return folder


@pytest.fixture
def extension(tmp_path):
    """A user's file."""
    path = tmp_path / "mine.py"
    path.write_text("print()\n")
    return path


@pytest.fixture
def computed(monkeypatch):
    """The scripts whose digests are computed, in order; each plan reads the code anew."""
    calls, compute = [], code_digests

    def counted(script, *given):
        calls.append(script.stem)
        code._package.cache_clear()
        return compute(script, *given)

    monkeypatch.setattr(code, "code_digests", counted)
    return calls


def test_a_rule_s_digest_follows_its_definitions():
    """Another digest of any of them gives another, whatever their order."""
    assert digest(dict(reversed(TABLE.items()))) == digest(TABLE)
    assert digest({**TABLE, "a.g": "4"}) != digest(TABLE)


def test_a_digest_names_the_extensions_that_count():
    """A job reads there which files it imports; their names may hold blanks."""
    assert digest(TABLE).count("/") == 0
    assert digest({**TABLE, "my survey.py": "4"}).split("/")[1:] == ["my survey.py"]


def test_a_job_inherits_the_digests_of_the_plan(scripts, extension, computed):
    """While the sources are unchanged, a job computes nothing and has the plan's digests."""
    environment = {}
    code = plan_digests(scripts, [extension], environment)
    assert list(code) == computed == ["encode", "train"]
    found = job_digests(scripts, [extension], environment)
    assert found == {rule: digest(table) for rule, table in code.items()}
    assert len(computed) == 2


def test_a_job_takes_what_the_plan_says(scripts, computed):
    """The digests come from the environment, not from the code."""
    environment = {}
    plan_digests(scripts, [], environment)
    sources = environment[VARIABLE].partition("\n")[0]
    environment[VARIABLE] = f"{sources}\nencode=x\ntrain=y"
    assert job_digests(scripts, [], environment) == {"encode": "x", "train": "y"}


@pytest.mark.parametrize(
    "name",
    ["scripts/encode.py", "scripts/astromodal/a.py", "scripts/astromodal/p/page.html", "mine.py"],
)
def test_after_an_edit_a_job_computes_the_digests(scripts, extension, computed, name):
    """Scripts, modules, templates and a user's files count, even where only the time changed."""
    environment = {}
    plan_digests(scripts, [extension], environment)
    path = scripts.parent / name
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    job_digests(scripts, [extension], environment)
    assert computed == ["encode", "train"] * 2


def test_a_new_file_and_another_list_of_extensions_are_changes(scripts, extension, computed):
    """A module that the plan did not have, and a file that it did not load, end the inheritance."""
    environment = {}
    plan_digests(scripts, [extension], environment)
    job_digests(scripts, [], environment)
    assert len(computed) == 4
    (scripts / "astromodal/b.py").write_text("")
    job_digests(scripts, [], environment)
    assert len(computed) == 6


def test_an_edit_after_the_plan_changes_the_job_s_digest(scripts, computed):
    """A job that runs newer code has the newer digest, and hands it down in turn."""
    environment = {}
    before = plan_digests(scripts, [], environment)
    (scripts / "astromodal/a.py").write_text("def f():\n    return 1000\n")
    found = job_digests(scripts, [], environment)
    assert found["encode"] != digest(before["encode"])
    assert found["train"] == digest(before["train"])
    assert job_digests(scripts, [], environment) == found
    assert len(computed) == 4


@pytest.mark.parametrize("value", [None, "", "abc", "abc\nencode=1"])
def test_without_a_plan_a_job_computes_the_digests(scripts, computed, value):
    """Snakemake may be started by hand in a job's mode, or in a job of an older plan."""
    environment = {} if value is None else {VARIABLE: value}
    assert job_digests(scripts, [], environment).keys() == {"encode", "train"}
    assert len(computed) == 2


def test_compiled_files_and_broken_links_are_no_sources(scripts, computed):
    """Imports write the former, editors the latter."""
    environment = {}
    (scripts / "astromodal/.#a.py").symlink_to("nobody@host")
    plan_digests(scripts, [], environment)
    (scripts / "astromodal/__pycache__").mkdir()
    (scripts / "astromodal/__pycache__/a.pyc").write_bytes(b"")
    job_digests(scripts, [], environment)
    assert len(computed) == 2
