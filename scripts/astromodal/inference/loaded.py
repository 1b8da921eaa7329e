"""A trained model as it is loaded: its parts, encoding of objects, and saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.config.schema import ColumnSettings, Config
from astromodal.core.vocab import VocabSpec
from astromodal.inference.bundle import Bundle, load_bundle
from astromodal.inference.encode import Encoded, encode_cube, open_sequences
from astromodal.inference.finetuned import save_bundle
from astromodal.inference.request import Request, parse_request
from astromodal.sequences.tokenizers import Tokenizers
from astromodal.storage.torch_files import library_defaults

Names = str | Sequence[str]


class LoadedModel:
    """A trained transformer with its vocabulary, tokenizers and config.

    Parameters
    ----------
    bundle : Bundle
        Model, vocabulary, tokenizers and config; `from_run` loads them from files.
    settings : PredictSettings, optional
        Token budget.
    folder : path, optional
        Folder that the model was loaded from.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: PredictSettings | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.settings = settings or PredictSettings()
        self.folder = folder

    @classmethod
    @library_defaults()
    def from_run(
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        settings: PredictSettings | None = None,
    ) -> Self:
        """Load a model from the folder of a run, or from an exported one.

        Parameters
        ----------
        folder : path
            ``runs_tokens_transformer`` inside a run's results, with the tokenizers beside it; or a
            folder written by the rule export_model, which is complete; or a symbolic link to one.
        device : torch.device
            Device of the networks.
        settings : PredictSettings, optional
            Token budget.

        Raises
        ------
        FormatError
            If the folder is neither, a file is damaged, or the tokenizers are not those that the
            model was trained with.
        ConfigError
            If PyTorch cannot use the device.
        MachineError
            If a file cannot be read.
        """
        return cls(load_bundle(folder, device), settings, folder)

    def calibrated(self, temperatures: Mapping[str, float]) -> Self:
        """Return the same model with temperatures in place of its own calibration.

        Temperatures above 1 make predictions less certain, those below 1 more certain (Guo et al.
        2017, arXiv:1706.04599). A model has a calibration of its own for scalar columns, which
        training fits on the validation split: a temperature, and levels of quantiles.

        Parameters
        ----------
        temperatures : mapping of str to float
            Temperatures by scalar column or modality (``image``, ``scalar``, ``spectrum``), in
            place of the model's own; 1 for what is absent. A column goes before its modality.

        Raises
        ------
        ConfigError
            If there is no such column or modality, or a temperature is not above 0.
        """
        return type(self)(self.bundle.calibrated(temperatures), self.settings, self.folder)

    @property
    def model(self) -> torch.nn.Module:
        """The transformer, in evaluation mode."""
        return self.bundle.trained.model

    @property
    def config(self) -> Config:
        """Settings of ``tokenizers``, ``sequences`` and ``model``; no others can be read."""
        return self.bundle.trained.config

    @property
    def vocabulary(self) -> VocabSpec:
        """The joint vocabulary."""
        return self.bundle.layout.spec

    @property
    def tokenizers(self) -> Tokenizers:
        """The scalar, spectrum and image tokenizers."""
        return self.bundle.tokenizers

    @property
    def columns(self) -> tuple[str, ...]:
        """Scalar columns that can be given or predicted."""
        return self.bundle.columns

    @property
    def label(self) -> str | None:
        """Name of the label that the model was fine-tuned to, if it was."""
        return None if self.bundle.label is None else self.bundle.label.label.name

    @property
    def hash(self) -> str:
        """Hash of the weights."""
        return self.bundle.trained.hash

    @library_defaults()
    def encode(self, source: Any, columns: ColumnSettings | None = None) -> Encoded:
        """Encode the rows of a cube with the code of the workflow's jobs.

        Every row is encoded: no magnitude cut is applied. Predictions for sources outside the cut
        that the model was trained on are extrapolations.

        Parameters
        ----------
        source : path, Cube or frame
            A cube, or rows with its columns: a pandas DataFrame, an astropy Table or QTable, a
            pyarrow Table or RecordBatch, an object with Arrow's C interface (polars), a numpy
            structured array, the data of a FITS table, or a mapping of columns. Values of absent
            columns are missing. Columns that the model does not use are ignored.

            Null, None, NaN and masked values are missing; masked pixels become NaN. Cutouts and
            spectra may be lists or arrays in cells, (S, S) or flat, or one array (n, S, S) or
            (n, L); rows that are masked or NaN throughout are missing. Columns with an astropy
            unit are converted. Plain numbers must be in the model's units: degree, mag (AB for
            S-PLUS, Vega for VISTA), mas, mas/yr, electron/s (Gaia), K, dex, pixel, counts/s
            (cutouts), 1e-17 erg/s/cm²/Angstrom and Angstrom (DESI). The index of a DataFrame is
            not read.
        columns : ColumnSettings, optional
            Names of the columns that identify and place a source, sentinels and flags. The model
            does not store those of its run: if they were not the defaults, give them here.

        Returns
        -------
        Encoded
            Ids and codes of the objects.

        Raises
        ------
        DataError
            If the rows are not those of a cube, cutouts are in bands that the model does not have,
            or a column has the wrong type or unit; the error names the table and the column.
        """
        return encode_cube(source, self.bundle, columns)

    @library_defaults()
    def open(self, objects: Encoded | str | Path) -> Encoded:
        """Objects of a sequence file of the workflow; encoded objects are returned as is.

        Raises
        ------
        FormatError
            If the file was packed for another vocabulary, or encoded with other tokenizers.
        """
        return objects if isinstance(objects, Encoded) else open_sequences([objects], self.bundle)

    @library_defaults()
    def save(self, folder: str | Path) -> None:
        """Write the model, its tokenizers and its label into a folder that `from_run` reads."""
        save_bundle(self.bundle, folder)

    def request(self, target: Names, given: Names | None = None) -> Request:
        """Check the names of targets and of what is given; parameters and errors as `predict`."""
        trained = self.bundle.trained
        labels = trained.config.sequences.labels
        layout, columns = trained.layout, self.columns
        return parse_request(layout, columns, target, given, trained.shuffled, labels)
