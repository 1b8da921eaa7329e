"""Safe reading of files of ``torch.save``: no code is run, and damage is detected.

Modules that the Snakefile imports must not import this one: importing PyTorch takes seconds.
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
from torch.overrides import TorchFunctionMode

from astromodal.errors import FormatError, must_be
from astromodal.storage.formats import DAMAGE, check_archive, put_aside, unreadable

_ERRORS: Final = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_AUTOCAST: Final = ("cpu", "cuda")


@contextmanager
def library_defaults() -> Iterator[None]:
    """Reset the global state of PyTorch and NumPy to its defaults, as context or decorator.

    The state is the default dtype and device, gradients, inference mode and autocast of PyTorch,
    and the handling of floating-point errors of NumPy.
    """
    with ExitStack() as stack:
        for device in filter(torch.is_autocast_enabled, _AUTOCAST):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_dtype() != torch.float32:  # shared by all threads
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(**_ERRORS))  # type: ignore[arg-type]
        yield


class _Unfilled(TorchFunctionMode):
    """Modules get no random numbers: on the meta device, these would import SymPy (0.9 s)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        return named["tensor"] if func is nn.init.normal_ else func(*args, **named)


_Model = TypeVar("_Model", bound=nn.Module)


@library_defaults()
def load_state(path: str | Path, format: str, version: int, remedy: str = "") -> dict[str, Any]:
    """Read a mapping of tensors and plain values that carries its ``format`` and ``version``.

    Parameters
    ----------
    path : path
        The file.
    format, version
        Expected format and version.
    remedy : str
        Advice for a damaged file or one of another format; if empty, to make it again.

    Returns
    -------
    dict
        Tensors and values by name; tensors are on the CPU.

    Raises
    ------
    FormatError
        If the file is damaged, would run code, or is of another format or version.
    """
    must, found = f"{format} version {version}", ""
    try:
        check_archive(path)  # PyTorch checks no CRC, and reads other files as a pickle
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = f"{state['format']} version {state['version']}"
    except (FileNotFoundError, IsADirectoryError):
        raise
    except (*DAMAGE, AttributeError, UnpicklingError) as error:
        kind, first = type(error).__name__, str(error).partition("\n")[0]
        found = f"a file that cannot be read ({kind}: {first:.120})"
        if isinstance(error, UnpicklingError):  # its message explains how to run the code
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
    """Build a model and load its weights; shapes are compared before memory is allocated.

    Parameters
    ----------
    build : callable
        Builds the model with the sizes in a file's settings.
    n_layers : int
        Number of layers in the settings, each of which has weights.
    weights : mapping of str to tensor
        A state dict.
    source, remedy : str
        Origin of settings and weights, and advice, for the error message.

    Raises
    ------
    FormatError
        If the shapes of the weights are not those of the settings.
    """
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if n_layers > len(found):
        must = f"of at least as many weights as layers, {n_layers}"
        raise FormatError(must_be(source, must, len(found), remedy))
    try:
        with torch.device("meta"), _Unfilled():  # shapes without numbers
            expected = {name: tuple(t.shape) for name, t in build().state_dict().items()}
    except RuntimeError as error:
        raise FormatError(must_be(source, "of a possible shape", str(error), remedy)) from error
    if expected != found:
        name = min(n for n in {*expected, *found} if expected.get(n) != found.get(n))
        must = f"{expected.get(name, 'absent')}, as in its settings"
        got = str(found.get(name, "absent"))
        raise FormatError(must_be(f"{source}: shape of {name}", must, got, remedy))
    with torch.random.fork_rng(devices=[]):  # the caller's random state is unchanged
        model = build()
    model.load_state_dict(weights)
    return model
