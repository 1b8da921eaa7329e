"""With this folder on PYTHONPATH, Python notes what a script called and which settings it read.

In the folder ``TRACE_FOLDER``, if it is named, a file of the script's name and the process's number
has one a line: a module and the definition at its top level, whose code the script ran. In
``SETTINGS_FOLDER`` such a file holds the settings that the script was given, and those that it
read.
"""

import atexit
import importlib.util
import inspect
import json
import os
import sys
import threading
from pathlib import Path

started = Path(" ".join(sys.orig_argv[-1:]))
script = started.stem.partition(".")[2]


def trace_calls(folder):
    """Note the code that is called, if it stands in a module and does more than define."""
    codes = set()

    def by_job(frame):
        """Whether a call comes from the script, and not from a module that defines a constant."""
        while frame is not None and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        return frame is None or frame.f_globals.get("__name__") == "__main__"

    def keep(frame, event, argument):
        code, module = frame.f_code, frame.f_globals
        # Methods that dataclasses write stand in no file.
        here = code.co_filename == module.get("__file__")
        if event == "call" and here and code.co_flags & inspect.CO_NEWLOCALS and by_job(frame):
            codes.add((module["__name__"], code.co_qualname))

    def write():
        """Write what was called, while threads may go on calling."""
        sys.setprofile(None)
        ours = {(module, name.partition(".")[0]) for module, name in codes.copy()}
        lines = {f"{m}.{n}" for m, n in ours if m.startswith("astromodal") and n.isidentifier()}
        (folder / f"{script}.{os.getpid()}").write_text("\n".join(sorted(lines)))

    atexit.register(write)
    threading.setprofile(keep)
    sys.setprofile(keep)


def trace_settings(folder):
    """Note which settings are read of those that `partial_config` gives to the script."""

    class Finder:
        """Finds the module of `partial_config`, and wraps the function when the module is there."""

        def find_spec(self, name, path, target=None):
            if name != "astromodal.config.load":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                original = module.partial_config
                module.partial_config = lambda values: watched(original(values))

            spec.loader.exec_module = exec_module
            return spec

    def watched(config):
        from astromodal.config.base import Settings

        read, ordinary = set(), Settings.__getattribute__

        def noting(self, name):
            if name in type(self).model_fields:
                read.add(f"{type(self).__name__}.{name}")
            return ordinary(self, name)

        def leaves(settings):
            for name in settings.model_fields_set:
                value = getattr(settings, name)
                if isinstance(value, Settings):
                    yield from leaves(value)
                else:
                    yield f"{type(settings).__name__}.{name}"

        def write():
            folder.mkdir(exist_ok=True)
            found = {"given": given, "read": sorted(read)}
            (folder / f"{script}.{os.getpid()}").write_text(json.dumps(found))

        given = sorted(leaves(config))
        Settings.__getattribute__ = noting
        atexit.register(write)
        return config

    sys.meta_path.insert(0, Finder())


if ".snakemake/scripts" in str(started):
    if "TRACE_FOLDER" in os.environ:
        trace_calls(Path(os.environ["TRACE_FOLDER"]))
    elif "SETTINGS_FOLDER" in os.environ:
        trace_settings(Path(os.environ["SETTINGS_FOLDER"]))
