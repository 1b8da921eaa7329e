"""With this folder on PYTHONPATH, Python keeps what functions of the package a script called.

A file of the script's name and the process's number in the folder ``TRACE_FOLDER`` has one a line:
a module and the definition at its top level, whose code ran.
"""

import atexit
import inspect
import os
import sys
import threading
from pathlib import Path

started = Path(" ".join(sys.orig_argv[-1:]))
if ".snakemake/scripts" in str(started):
    codes = set()

    def keep(frame, event, argument):
        """Note the code that is called, if it stands in a module and does more than define."""
        code, module = frame.f_code, frame.f_globals
        # Methods that dataclasses write stand in no file.
        here = code.co_filename == module.get("__file__")
        if event == "call" and here and code.co_flags & inspect.CO_NEWLOCALS:
            codes.add((module["__name__"], code.co_qualname))

    def write():
        """Write what was called, while threads may go on calling."""
        sys.setprofile(None)
        ours = {(module, name.partition(".")[0]) for module, name in codes.copy()}
        lines = {f"{m}.{n}" for m, n in ours if m.startswith("astromodal") and n.isidentifier()}
        script = started.stem.partition(".")[2]
        path = Path(os.environ["TRACE_FOLDER"]) / f"{script}.{os.getpid()}"
        path.write_text("\n".join(sorted(lines)))

    atexit.register(write)
    threading.setprofile(keep)
    sys.setprofile(keep)
