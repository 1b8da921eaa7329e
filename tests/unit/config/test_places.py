"""Settings that are paths."""

import re
from pathlib import Path

import pytest

from astromodal.config import load_config
from astromodal.config.inputs import expanded
from astromodal.errors import ConfigError


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("HOME", "/users/ada")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)


PATHS = ["paths.results", "paths.datacube_template", "training.init_from"]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("~/x", "/users/ada/x"),
        ("$SCRATCH/x", "/scratch/me/x"),
        ("${SCRATCH}x/$SCRATCH", "/scratch/mex//scratch/me"),
        ("~root", str(Path("~root").expanduser())),
        ("a/~/b", "a/~/b"),
        ("./~/b", "./~/b"),
        ("/data/My Sky (2)/it's;&*[1]", "/data/My Sky (2)/it's;&*[1]"),
    ],
)
def test_paths_are_expanded_as_in_a_shell(name, path, found):
    """Paths are expanded in all settings, and have the same value in jobs."""
    end = "/{field}" if name == "paths.datacube_template" else ""
    group, leaf = name.split(".")

    def value(path):
        return getattr(getattr(load_config({name: path}), group), leaf)

    assert Path(value(path + end)) == Path(found + end)
    assert value(value(path + end)) == value(path + end)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "must be text that is not empty, got ''"),
        (
            "$NONE/x",
            "must hold variables that are set, and NONE is not, got '$NONE/x'",
        ),
        ("${EMPTY}/x", "must hold variables that are set, and EMPTY is not, got '${EMPTY}/x'"),
        ("a$/x", "must hold the name of a variable after $, got 'a$/x'"),
        ("~nobody-of-this-name/x", "must begin with the home folder of a user, got '~nobody"),
        ("a\nb", r"must hold printable characters only, got 'a\nb'"),
        ("a\0b", r"must hold printable characters only, got 'a\x00b'"),
        ("{x}", "must hold no {, which Snakemake would replace, got '{x}"),
        ("a}b", "must hold no }, which Snakemake would replace, got 'a}b"),
        ("a<b>", "must hold no <b>, which Snakemake would replace, got 'a<b>"),
    ],
)
def test_paths_that_cannot_be_are_refused(name, path, said):
    """The error names the setting and the variable."""
    end = "/{field}" if path and name == "paths.datacube_template" else ""
    with pytest.raises(ConfigError, match=re.escape(f"{name} {said.rstrip(chr(39))}")):
        load_config({name: path + end})


@pytest.mark.parametrize(
    ("name", "path", "must"),
    [
        ("paths.results", "a/{field}", "hold no {field}"),
        ("training.init_from", "{field}.pt", "hold no {field}"),
        ("paths.datacube_template", "a", "hold {field} exactly once"),
        ("paths.datacube_template", "{field}/{field}", "hold {field} exactly once"),
    ],
)
def test_only_cubes_have_a_field_in_their_path(name, path, must):
    """Only cubes have a field in their path, exactly once."""
    with pytest.raises(ConfigError, match=re.escape(f"{name} must {must}, got {path!r}")):
        load_config({name: path})


@pytest.mark.parametrize("value", ["~/x", "a$b"])
def test_a_variable_s_value_is_not_expanded_again(monkeypatch, value):
    """A job could not recognise an expanded value, so such a value is refused."""
    monkeypatch.setenv("SCRATCH", value)
    with pytest.raises(ValueError, match=r"must hold no ~ or \$ once variables are replaced"):
        expanded("$SCRATCH")


def test_results_are_in_snakemake_s_form():
    """``./`` and ``//`` are removed from paths, about which Snakemake would warn."""
    assert load_config({"paths.results": "./a//b/./c/"}).paths.results == "a/b/c"
    assert load_config({"paths.results": "../a"}).paths.results == "../a"


def test_the_last_model_is_no_path():
    """`last` is not expanded as a path."""
    assert load_config({"training.init_from": "last"}).training.init_from == "last"
