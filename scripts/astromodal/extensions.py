"""Registries of what can be extended, and the files of a user that extend them.

A registry holds the spectrum groups, the quantizers, the loss terms or the sections of the report
by name. The package registers its own. A user's Python file, named by the setting ``extensions``,
registers more in the same way; a job that can reach one of its registries loads it at the start.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Final, Generic, Protocol, TypeVar

from astromodal.errors import ConfigError, must_be, suggestion

MODULE: Final = "astromodal_extension_{stem}"
"""Name under which a user's file is imported."""
VARIABLE: Final = "ASTROMODAL_EXTENSIONS"
"""Environment variable that names the files to jobs and to the processes that they start."""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Items by name, in the order in which they were registered.

    Parameters
    ----------
    kind : str
        What the items are, for error messages: ``"spectrum group"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, item: T) -> T:
        """Add an item and return it, so that a class can be decorated.

        Raises
        ------
        ConfigError
            Where another item has its name.
        """
        present = self._items.get(item.name)
        if present is not None and present is not item:
            must = "a name that is not taken"
            raise ConfigError(must_be(f"name of a {self.kind}", must, repr(item.name)))
        self._items[item.name] = item
        return item

    def get(self, name: str, setting: str) -> T:
        """Return the item of a name.

        Parameters
        ----------
        name : str
            Its name.
        setting : str
            Dotted name of the setting that the name comes from, for the error.

        Raises
        ------
        ConfigError
            Where no item has this name; the message suggests the nearest one.
        """
        if name not in self._items:
            must = f"a registered {self.kind} ({', '.join(self._items)})"
            raise ConfigError(must_be(setting, must, repr(name)) + suggestion(name, self.names))
        return self._items[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all items."""
        return tuple(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)


def load_extensions(paths: Iterable[str | Path]) -> list[ModuleType]:
    """Import Python files, each once per process.

    Parameters
    ----------
    paths : iterable of path
        The files. Two files of the same stem are an error.

    Returns
    -------
    list of module
        The modules, in the order of `paths`.

    Raises
    ------
    ConfigError
        Where a file does not exist or cannot be imported.
    """
    return [_load(Path(path).resolve()) for path in paths]


def hand_down(paths: Iterable[str | Path], environment: MutableMapping[str, str]) -> None:
    """Name files to processes that inherit an environment, beside those that it names already."""
    named = environment.get(VARIABLE, "").split(os.pathsep)
    named += [str(Path(path).resolve()) for path in paths]
    environment[VARIABLE] = os.pathsep.join(dict.fromkeys(filter(None, named)))


def load_inherited(code: str | None = None) -> list[ModuleType]:
    """Import the files that a parent process named with `hand_down`.

    Parameters
    ----------
    code : str, optional
        Digest of a job's code, which names the files that count for it. Others are not imported.
    """
    paths = map(Path, filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    return load_extensions(p for p in paths if code is None or p.name in code.split("/"))


def _load(path: Path) -> ModuleType:
    name = MODULE.format(stem=path.stem)
    loaded = sys.modules.get(name)
    if loaded is not None:
        if loaded.__file__ != str(path):
            must = "files of different names"
            raise ConfigError(must_be("extensions", must, f"{loaded.__file__} and {path}"))
        return loaded
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(must_be("extensions", "Python files (.py) that exist", str(path)))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(must_be("extensions", "Python files (.py)", str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raised = f"{type(error).__name__}: {error}"
        raise ConfigError(must_be(str(path), "a file that Python can import", raised)) from error
    return module
