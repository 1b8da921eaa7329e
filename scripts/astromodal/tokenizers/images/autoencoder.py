"""A trained autoencoder with its normaliser, in one file without code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from astromodal.config.schema import ImageSettings
from astromodal.core.fields import NO_IMAGES
from astromodal.errors import FormatError, must_be
from astromodal.models.autoencoder import ImageAutoencoder
from astromodal.storage.formats import check_content, put_aside, remake
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.storage.safetensors import map_tensors, save_tensors
from astromodal.storage.tempfiles import atomic_path
from astromodal.storage.torch_files import filled, load_state
from astromodal.tokenizers.images.normaliser import ImageNormaliser

_FORMAT: dict[str, Any] = {"format": "image_autoencoder", "version": 1}
_SHAPE_SETTINGS = ("bands", "size", "latent_dim", "hidden", "blocks")
_SOFTENING = "normaliser.softening"
_REMAKE, _PUT_ASIDE = remake(_FORMAT["format"]), put_aside(_FORMAT["format"])


UNTRAINED = f"no object of the training split has a cutout: {NO_IMAGES}"
"""Text of logs and the report where there were no training cutouts."""


@dataclass(frozen=True)
class TrainedAutoencoder:
    """An autoencoder with the normaliser of its training cutouts.

    Attributes
    ----------
    model : ImageAutoencoder
        On the CPU, in evaluation mode; its parameters must not change.
    normaliser : ImageNormaliser
        The normaliser of its training cutouts.
    settings : dict
        Settings that determine its shape: bands, size, latent_dim, hidden, blocks.
    n_train : int
        Number of training cutouts; 0 where no training field has any.
    history : tuple of dict
        Loss of each epoch, in order.
    """

    model: ImageAutoencoder
    normaliser: ImageNormaliser
    settings: dict[str, Any]
    n_train: int
    history: tuple[dict[str, float], ...] = field(default=())

    @property
    def size(self) -> int:
        """Side of a cutout (pixel)."""
        return int(self.settings["size"])

    @cached_property
    def hash(self) -> str:
        """Hash of everything that determines latents and decoded pixels."""
        weights = {name: t.numpy() for name, t in self.model.state_dict().items()}
        arrays = {**weights, "softening": self.normaliser.softening}
        return hash_values([hash_arrays(arrays), self.settings, self.n_train])

    def save(self, path: str | Path) -> None:
        """Write tensors and plain values, atomically; the same content gives the same bytes."""
        stored = {
            **_FORMAT,
            "hash": self.hash,
            "settings": self.settings,
            "softening": torch.from_numpy(self.normaliser.softening),
            "state_dict": dict(self.model.state_dict()),
            "n_train": self.n_train,
            "history": list(self.history),
        }
        # Given a path, torch.save would write the temporary name into the file.
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(stored, stream)

    def save_tensors(self, path: str | Path) -> None:
        """Write the same content as ``.safetensors``, for an exported model."""
        plain = {"settings": self.settings, "n_train": self.n_train, "history": list(self.history)}
        meta = {name: json.dumps(value) for name, value in plain.items()}
        meta |= {"hash": self.hash, **{name: str(value) for name, value in _FORMAT.items()}}
        arrays = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        save_tensors(path, {**arrays, _SOFTENING: self.normaliser.softening}, meta)

    @classmethod
    def load(cls, path: str | Path) -> TrainedAutoencoder:
        """Read a file of `save` or `save_tensors`; no code in the file can run.

        Raises
        ------
        FormatError
            Where the file is damaged, of another format, or was changed since.
        """
        read = _read_tensors if Path(path).suffix == ".safetensors" else load_state
        stored = read(path, **_FORMAT)
        settings = stored["settings"]
        weights = stored["state_dict"]
        model = filled(
            lambda: build_model(settings), settings["blocks"], weights, str(path), _PUT_ASIDE
        )
        normaliser = ImageNormaliser(tuple(settings["bands"]), stored["softening"].numpy())
        history = tuple(stored["history"])
        loaded = cls(model.eval(), normaliser, settings, stored["n_train"], history)
        check_content(path, stored["hash"], loaded.hash, _REMAKE)
        return loaded


def shape_settings(settings: ImageSettings) -> dict[str, Any]:
    """Return the settings that determine an autoencoder's shape, as plain values."""
    return {name: _plain(getattr(settings, name)) for name in _SHAPE_SETTINGS}


def build_model(settings: Mapping[str, Any], seed: int = 0) -> ImageAutoencoder:
    """Return a new network of the shape of `shape_settings`; torch's seed is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ImageAutoencoder(
            len(settings["bands"]), settings["latent_dim"], settings["hidden"], settings["blocks"]
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _read_tensors(path: str | Path, format: str, version: int) -> dict[str, Any]:
    """Return the content of a file of `save_tensors` in the form of `load_state`."""
    try:
        arrays, meta = map_tensors(path, format)
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        plain = {name: json.loads(meta[name]) for name in ("settings", "n_train", "history")}
        softening = tensors.pop(_SOFTENING)
    except KeyError as error:
        got = f"no {error}"
        raise FormatError(must_be(str(path), "an autoencoder file", got, _PUT_ASIDE)) from error
    must = f"{format} version {version}"
    got = f"{meta.get('format')} version {meta.get('version')}"
    if got != must:
        raise FormatError(must_be(str(path), must, got, _PUT_ASIDE))
    return {**meta, **plain, "softening": softening, "state_dict": tensors}
