"""Files of ``torch.save``, read as anybody's: no code in them is run, and no damage is missed.

Not imported by what the Snakefile imports: PyTorch takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import nn

from astromodal.errors import FormatError, must_be
from astromodal.storage.archives import DAMAGE, check_archive
from astromodal.storage.formats import put_aside, unreadable

_ERRORS: Final = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_AUTOCAST: Final = ("cpu", "cuda")


@contextmanager
def library_defaults() -> Iterator[None]:
    """Inside, and in a function that it decorates, PyTorch and NumPy are as they were imported.

    That is their default dtype and device, gradients, inference mode, autocast, and what NumPy does
    about floating-point errors.
    """
    with ExitStack() as stack:
        for device in filter(torch.is_autocast_enabled, _AUTOCAST):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_dtype() != torch.float32:  # that of all threads
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(**_ERRORS))  # type: ignore[arg-type]
        yield


_Model = TypeVar("_Model", bound=nn.Module)


@library_defaults()
def load_state(path: str | Path, format: str, version: int, remedy: str = "") -> dict[str, Any]:
    """Read a mapping of tensors and plain values that carries its ``format`` and ``version``.

    Parameters
    ----------
    path : path
        The file.
    format, version
        What it must be.
    remedy : str
        What to do about one that is damaged or of another kind; to make it again where empty.

    Returns
    -------
    dict
        Tensors are on the CPU, wherever they were when they were written.

    Raises
    ------
    FormatError
        Where the file is damaged, would run code, or is of another format or version.
    """
    must, found = f"{format} version {version}", ""
    try:
        check_archive(path)  # of which PyTorch checks no CRC; what is none it takes for a pickle
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = f"{state['format']} version {state['version']}"
    except (FileNotFoundError, IsADirectoryError):
        raise
    except (*DAMAGE, AttributeError, UnpicklingError) as error:
        kind, first = type(error).__name__, str(error).partition("\n")[0]
        found = f"a file that cannot be read ({kind}: {first:.120})"
        if isinstance(error, UnpicklingError):  # whose text tells how to run the code
            found = "a file of more than tensors and plain values"
        raise unreadable(error, path, must, format, found, remedy) from error
    if found != must:
        raise FormatError(must_be(str(path), must, found, remedy or put_aside(format)))
    return dict(state)


@library_defaults()
def filled(
    build: Callable[[], _Model],
    n_layers: int,
    weights: Mapping[str, torch.Tensor],
    source: str,
    remedy: str,
) -> _Model:
    """A model with weights that fit it, compared before anything of its size is made.

    Parameters
    ----------
    build : callable
        Makes the model of the shape that a file's settings tell.
    n_layers : int
        Layers of that shape, each of which has weights.
    weights : mapping of str to tensor
        A state dict.
    source, remedy : str
        Where shape and weights are from, and what to do about it, for the error.

    Raises
    ------
    FormatError
        Where the weights are of another shape than the settings.
    """
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if n_layers > len(found):
        must = f"of at least as many weights as layers, {n_layers}"
        raise FormatError(must_be(source, must, len(found), remedy))
    try:
        with torch.device("meta"):  # shapes without numbers
            wanted = {name: tuple(t.shape) for name, t in build().state_dict().items()}
    except RuntimeError as error:
        raise FormatError(must_be(source, "of a possible shape", str(error), remedy)) from error
    if wanted != found:
        name = min(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        must = f"{wanted.get(name, 'absent')}, as its settings tell"
        got = str(found.get(name, "absent"))
        raise FormatError(must_be(f"{source}: shape of {name}", must, got, remedy))
    with torch.random.fork_rng(devices=[]):  # the session's own draws go on as if none was here
        model = build()
    model.load_state_dict(weights)
    return model
