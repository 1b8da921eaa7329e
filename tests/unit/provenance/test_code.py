import pytest

from astromodal.provenance import code
from astromodal.provenance.code import code_digests

FILES = {
    "job.py": "from astromodal.a.one import f\nf()\n",
    "astromodal/__init__.py": "",
    "astromodal/a/__init__.py": "from astromodal.a.two import g\n",
    "astromodal/a/one.py": 'import astromodal.b\n\n\ndef f():\n    """Doc."""\n    return 1\n',
    "astromodal/a/two.py": "g = 2\n",
    "astromodal/b.py": "def h():\n    from astromodal.c import k\n    return k\n",
    "astromodal/c.py": "k = 3\n",
}


@pytest.fixture
def digests(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def of(**changes):
        for name, text in changes.items():
            (tmp_path / f"astromodal/{name}.py").write_text(text)
        for cached in (code._tree, code._digest, code._imports):
            cached.cache_clear()
        return code_digests(tmp_path / "job.py", tmp_path)

    return of


def test_all_modules_that_a_script_uses_are_covered(digests):
    """Direct, indirect and late imports count; what is not imported does not."""
    assert list(digests()) == ["job", "astromodal.a.one", "astromodal.b", "astromodal.c"]


@pytest.mark.parametrize(
    "text",
    [
        '"""Other doc."""\nimport astromodal.b\n\ndef f():\n    return 1  # why\n',
        "import astromodal.b\ndef f():\n    '''Doc.'''\n    return (1)\n",
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(digests, text):
    """The digest is over what runs."""
    before = digests()
    (one,) = [text]
    assert digests(**{"a/one": one}) == before


def test_a_change_names_its_module(digests):
    """An edit changes the digest of the module that was edited, and no other."""
    before = digests()
    after = digests(c="k = 4\n")
    assert {name for name in after if after[name] != before[name]} == {"astromodal.c"}


def test_a_change_elsewhere_changes_nothing(digests):
    """A module that the script does not use may change."""
    before = digests()
    assert digests(**{"a/two": "g = 5\n"}) == before


def test_re_exports_are_followed(digests, tmp_path):
    """A name imported from a package is looked for behind the package's own imports."""
    (tmp_path / "job.py").write_text("from astromodal.a import g\n")
    assert list(digests()) == ["job", "astromodal.a", "astromodal.a.two"]
