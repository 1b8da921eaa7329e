"""What libraries keep for a whole session, as it is where nobody changed it.

A session may have set another default dtype or device of PyTorch, switched gradients off or have
NumPy raise where it overflows. What the package computes depends on none of that, and leaves it as
it was.

Not imported by what the Snakefile imports: PyTorch takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import numpy as np
import torch

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
