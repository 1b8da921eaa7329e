"""Results do not depend on changed defaults of PyTorch, NumPy and pandas."""

from __future__ import annotations

import locale
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from astromodal.inference import AstroModel
from astromodal.surveys.gaiaxp import basis
from helpers.model import cube_table, write_run
from helpers.spectra import xp_columns_of, xp_spectrum


@contextmanager
def default_dtype() -> Iterator[None]:
    """Session with float64 as the default dtype."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    """Session with another default device, on which any tensor without a device would fail."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def grad_disabled() -> Iterator[None]:
    """Session with gradients disabled globally."""
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


@contextmanager
def strict_warnings() -> Iterator[None]:
    """Session in which every warning is an error."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("error")
        yield


@contextmanager
def other_locale() -> Iterator[None]:
    """Session with the locale of the machine."""
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@contextmanager
def pandas_options() -> Iterator[None]:
    """Session in which pandas stores text as before version 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are deprecated
        options = ("future.infer_string", False, "mode.string_storage", "python")
        with pd.option_context(*options):
            yield


ROWS = cube_table().to_pydict()
ROWS |= xp_columns_of([xp_spectrum() if row % 2 else None for row in range(12)], "gaiaxp_bp")

SESSIONS: dict[str, Callable[[], object]] = {
    "dtype": default_dtype,
    "device": default_device,
    "no gradients": grad_disabled,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "NumPy's errors": lambda: np.errstate(all="raise"),
    "NumPy's print": lambda: np.printoptions(precision=1, threshold=2, legacy="1.13"),
    "warnings": strict_warnings,
    "locale": other_locale,
    "pandas": pandas_options,
}


def state() -> tuple:
    """Global state that a call must not change."""
    return (
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), np.geterr(),
        str(np.get_printoptions()), warnings.filters[:], locale.setlocale(locale.LC_ALL),
        torch.get_rng_state().tolist(), str(np.random.get_state()),  # noqa: NPY002 -- the session's
        pd.get_option("mode.string_storage"), pd.Series(["a"]).dtype,
    )  # fmt: skip


def numbers(folder) -> dict[str, bytes]:
    """All results of a model, as bytes."""
    model = AstroModel.from_run(folder)
    basis.cache_clear()
    objects = model.encode(pd.DataFrame(ROWS))
    found = model.predict(objects, ["specz_z", "image", "desi_r"], n_samples=2)
    sampled = model.generate(objects, ["scalar", "desi_r", "image"], [], n_samples=2)
    scalar, spectrum, image = found["specz_z"], found["desi_r"], found["image"]
    arrays = {
        "weights": np.array(model.hash),
        "tokens": objects.sequences.stores[0].tokens,
        "ids": objects.ids,
        "mean": model.embed(objects),
        "attention": model.embed(objects, "attention"),
        "probabilities": scalar.probabilities,
        "moments": np.stack([scalar.mean, scalar.std, scalar.median, scalar.quantile(0.9)]),
        "crps": scalar.crps(scalar.mean),
        "cdf": np.stack(scalar.cdf(scalar.mean)),
        "spectrum": np.stack([spectrum.flux, spectrum.std]),
        "image": np.stack([image.pixels, image.std]),
        "sampled": sampled.codes["desi_r"],
        "sampled image": sampled.pixels,
        "sampled flux": sampled.flux["desi_r"],
        "sampled scalars": np.stack(list(sampled.scalars.values())),
    }
    return {name: array.tobytes() for name, array in arrays.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bundle):
    return write_run(tmp_path_factory.mktemp("results"), bundle)


@pytest.fixture(scope="module")
def plain(folder):
    return numbers(folder)


@pytest.mark.parametrize("name", SESSIONS)
def test_the_same_bytes_in_any_session(folder, plain, name):
    """Results are the same for any defaults, which do not change."""
    with SESSIONS[name]():
        before = state()
        found = numbers(folder)
        after = state()
    assert [key for key in plain if found[key] != plain[key]] == []
    assert after == before
