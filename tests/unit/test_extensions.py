"""Registries, and files of a user that extend them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import pytest

from astromodal.errors import ConfigError
from astromodal.extensions import (
    MODULE,
    VARIABLE,
    Registry,
    hand_down,
    load_extensions,
    load_inherited,
)


@dataclass(frozen=True)
class Item:
    name: str
    size: int = 0


@pytest.fixture
def registry() -> Registry[Item]:
    items = Registry[Item]("toy")
    items.register(Item("alpha"))
    items.register(Item("beta"))
    return items


@pytest.fixture
def script(tmp_path):
    """Write a file of code; its module is forgotten afterwards."""
    names = []

    def write(text: str, stem: str = "mine"):
        names.append(MODULE.format(stem=stem))
        path = tmp_path / f"{stem}.py"
        path.write_text(text)
        return path

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_items_keep_their_order(registry):
    """Names, items and the length are those of what was registered, in order."""
    assert registry.names == ("alpha", "beta")
    assert [item.name for item in registry] == ["alpha", "beta"]
    assert len(registry) == 2
    assert "alpha" in registry
    assert "gamma" not in registry


def test_an_item_is_given_back(registry):
    """`get` returns the very object that was registered."""
    item = Item("gamma", 3)
    assert registry.register(item) is item
    assert registry.get("gamma", "toys") is item


def test_an_item_may_be_registered_twice(registry):
    """Registering the same object again changes nothing."""
    registry.register(registry.get("beta", "toys"))
    assert registry.names == ("alpha", "beta")


def test_a_taken_name_is_refused(registry):
    """Another item of the same name is an error."""
    with pytest.raises(ConfigError, match="name of a toy must be a name that is not taken"):
        registry.register(Item("beta", 1))


def test_an_unknown_name_is_refused(registry):
    """The error names the setting, all items and the nearest name."""
    with pytest.raises(ConfigError, match=r"toys must be a registered toy .*nearest: 'beta'"):
        registry.get("betta", "toys")


def test_a_file_is_imported_once(script):
    """A second load of the same file returns the same module."""
    path = script("value = []")
    (first,) = load_extensions([path])
    (again,) = load_extensions([str(path)])
    assert first is again


def test_two_files_of_one_stem_are_refused(script, tmp_path):
    """Their modules would have the same name."""
    (tmp_path / "other").mkdir()
    other = tmp_path / "other/mine.py"
    other.write_text("")
    with pytest.raises(ConfigError, match="extensions must be files of different names"):
        load_extensions([script(""), other])


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    """The error names it."""
    with pytest.raises(ConfigError, match=r"extensions must be Python files .*nowhere\.py"):
        load_extensions([tmp_path / "nowhere.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [("import no_such_module_here", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError")],
)
def test_an_error_in_a_file_names_it(script, text, said):
    """The file cannot be imported, and is tried anew at the next load."""
    path = script(text)
    with pytest.raises(ConfigError, match=rf"mine\.py must be a file .*{said}"):
        load_extensions([path])
    path.write_text("")
    assert len(load_extensions([path])) == 1


def test_an_error_of_the_grammar_is_kept(script):
    """What a registry says of a name is not wrapped."""
    text = 'from astromodal.errors import ConfigError\nraise ConfigError("a must be b, got c")'
    with pytest.raises(ConfigError, match=r"^a must be b, got c$"):
        load_extensions([script(text)])


def test_files_of_two_surveys_are_handed_down_together(script):
    """A workflow with several modules names them one after the other; each file once."""
    environment: dict[str, str] = {}
    mine, other = script("x = 1"), script("y = 2", "other")
    hand_down([mine], environment)
    hand_down([other, mine], environment)
    assert environment[VARIABLE] == f"{mine.resolve()}{os.pathsep}{other.resolve()}"


def test_files_are_handed_down(script, monkeypatch):
    """A process that inherits the variable imports the files; without it, none."""
    environment: dict[str, str] = {}
    hand_down([script("x = 1"), script("y = 2", "other")], environment)
    assert load_inherited() == []
    monkeypatch.setenv(VARIABLE, environment[VARIABLE])
    assert [module.__name__ for module in load_inherited()] == [
        MODULE.format(stem="mine"),
        MODULE.format(stem="other"),
    ]
