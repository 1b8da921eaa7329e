"""The public interface to a trained model: encode, embed, predict and generate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.evaluate import PredictSettings
from astromodal.config.schema import ColumnSettings, Config
from astromodal.core.vocab import VocabSpec
from astromodal.data.columns import scalar_unit
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.inference.bundle import Bundle, load_bundle
from astromodal.inference.encode import Encoded, embed_objects, encode_cube, open_sequences
from astromodal.inference.predict_blocks import (
    Decoded,
    Generated,
    ImagePrediction,
    SpectrumPrediction,
    decode_codes,
    decode_objects,
    generate_codes,
    image_of,
    predict_images,
    predict_spectra,
    spectrum_of,
)
from astromodal.inference.predict_scalars import ScalarPrediction, predict_columns
from astromodal.inference.prompt import Sampling, check_given, count_given
from astromodal.inference.request import Request, parse_blocks, parse_given, parse_request
from astromodal.sequences.layout import IMAGE, MODALITIES, SCALAR
from astromodal.sequences.tokenizers import Tokenizers
from astromodal.storage.torch_files import library_defaults

Prediction = ScalarPrediction | SpectrumPrediction | ImagePrediction
Names = str | Sequence[str]


class AstroModel:
    """A trained transformer with its vocabulary, tokenizers and config.

    Parameters
    ----------
    bundle : Bundle
        Model, vocabulary, tokenizers and config; `from_run` loads them from files.
    settings : PredictSettings, optional
        Token budget.
    """

    def __init__(self, bundle: Bundle, settings: PredictSettings | None = None) -> None:
        self.bundle = bundle
        self.settings = settings or PredictSettings()

    @classmethod
    @library_defaults()
    def from_run(
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        settings: PredictSettings | None = None,
    ) -> AstroModel:
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
        return cls(load_bundle(folder, device), settings)

    def calibrated(self, temperatures: Mapping[str, float]) -> AstroModel:
        """Return the same model with logits divided by other temperatures than its own.

        Temperatures above 1 make predictions less certain, those below 1 more certain (Guo et al.
        2017, arXiv:1706.04599). A model has temperatures of its own for scalar columns, which
        training fits on the validation split.

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
        for name, value in temperatures.items():
            if name not in (*MODALITIES, *self.columns):
                must = f"by scalar columns or {', '.join(MODALITIES)}"
                message = must_be("temperatures", must, name)
                raise ConfigError(message + suggestion(name, [*MODALITIES, *self.columns]))
            if not 0 < value < math.inf:
                raise ConfigError(must_be(f"temperature of {name}", "above 0 and finite", value))
        return AstroModel(replace(self.bundle, temperatures=dict(temperatures)), self.settings)

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
        return objects if isinstance(objects, Encoded) else open_sequences(objects, self.bundle)

    @library_defaults()
    def embed(
        self, objects: Encoded | str | Path, pooling: str = "mean", given: Names | None = None
    ) -> np.ndarray:
        """Return one embedding vector per object.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files.
        pooling : str
            ``mean`` of the states of an object's tokens, or ``attention``: their mean weighted by
            softmax(h_EOS · h / sqrt(D)), where the last token, EOS, attends to all others.
        given : str or sequence of str, optional
            Columns and blocks to embed, named as in `predict`; everything if None.

        Returns
        -------
        float32 (n, D)
            Embeddings.

        Raises
        ------
        ConfigError
            If there is no such pooling, or a name is unknown.
        """
        opened = self.open(objects)
        kept = opened.sequences.only(*parse_given(self.bundle.layout, self.columns, given))
        budget = self.settings.token_budget
        return embed_objects(self.bundle, Encoded(kept, opened.numbers), pooling, budget)

    @library_defaults()
    def predict(
        self,
        objects: Encoded | str | Path,
        target: Names,
        given: Names | None = None,
        n_samples: int = 16,
        seed: int = 0,
    ) -> dict[str, Prediction]:
        """Predict scalars, spectra or images, in physical units and with uncertainties.

        Values of targets that an object has are never used.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files.
        target : str or sequence of str
            Scalar columns, ``image`` or spectrum groups; ``scalar`` stands for every column with a
            bin and ``spectrum`` for every spectrum group.
        given : str or sequence of str, optional
            Columns and blocks to predict from, by the same names; each object is predicted from
            those that it has. None stands for everything that is no target, but for the labels of
            the model (``sequences.labels``) where a target is one of them; an empty list stands for
            nothing.
        n_samples : int
            Number of samples that a predicted image is averaged over.
        seed : int
            Seed of the samples.

        Returns
        -------
        dict of str to ScalarPrediction, SpectrumPrediction or ImagePrediction
            Predictions by column, group or ``image``.

        Raises
        ------
        ConfigError
            If a name is unknown, or given and target overlap.
        DataError
            If no object has what is given, or the model has no codes for a target.
        """
        opened, request = self.open(objects), self.request(target, given)
        ids, n_given = opened.ids, count_given(opened, request)
        check_given(request, n_given)
        self.bundle.check_known(request)
        out: dict[str, Prediction] = {}
        predicted = predict_columns(self.bundle, opened, request, self.settings)
        for column, probabilities in predicted.items():
            if probabilities.shape[1]:  # otherwise no training field measured the column
                distribution = self.distribution(column, probabilities, ids, n_given)
                out[self.columns[column]] = distribution
        sampling = Sampling(n_samples, seed)
        for block in request.blocks:
            if block == IMAGE:
                image = predict_images(self.bundle, opened, request, sampling, self.settings)
                out[block] = image_of(self.bundle, ids, image, n_given)
            else:
                flux = predict_spectra(self.bundle, opened, request, block, self.settings)
                out[block] = spectrum_of(self.bundle, block, ids, flux, n_given)
        return out

    @library_defaults()
    def decode(
        self, objects: Encoded | str | Path, blocks: Names | None = None
    ) -> dict[str, Decoded]:
        """Return what the codes of objects say, in physical units.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files. A cutout takes
            half a megabyte: select objects first where there are many.
        blocks : str or sequence of str, optional
            ``scalar``, ``image``, groups of spectra and of light curves; ``spectrum`` stands for
            every group. All blocks if None.

        Returns
        -------
        dict of str to DataFrame, ImagePrediction, SpectrumPrediction or LightCurves
            By block, the objects that have it. Scalars are a table by id, with NaN where a value is
            missing, and units by column in its ``attrs["units"]``. A cutout's ``measured`` says
            which of its bands have a measured brightness.

        Raises
        ------
        ConfigError
            If there is no such block.
        """
        names = parse_blocks(self.bundle.layout, blocks)
        return decode_objects(self.bundle, self.open(objects), names)

    @library_defaults()
    def generate(
        self,
        objects: Encoded | str | Path,
        blocks: Names,
        given: Names | None = None,
        n_samples: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Generated:
        """Sample whole blocks, one after another, and decode them.

        Only codes that the tokenizers use are sampled.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files.
        blocks : str or sequence of str
            ``scalar``, ``image`` and spectrum groups, in the order in which they are sampled.
        given : str or sequence of str, optional
            Columns and blocks that the samples are conditioned on, as in `predict`.
        n_samples : int
            Samples per object.
        temperature : float
            Divisor of the logits; 0 takes the likeliest code of each slot.
        seed : int
            Seed of the samples; they depend on it and on the object alone.

        Returns
        -------
        Generated
            Samples of the blocks.

        Raises
        ------
        ConfigError
            If a name is unknown or not a whole block, or blocks and given overlap.
        DataError
            If no object has what is given, or the model has no codes for a block.
        """
        opened, request = self.open(objects), self.request(blocks, given)
        names = self._blocks([blocks] if isinstance(blocks, str) else list(blocks))
        if not temperature >= 0:
            raise ConfigError(must_be("temperature", "at least 0", temperature))
        check_given(request, count_given(opened, request))
        self.bundle.check_known(request)
        sampling = Sampling(n_samples, seed, temperature)
        budget = self.settings.token_budget
        codes = generate_codes(self.bundle, opened, request, names, sampling, budget)
        return decode_codes(self.bundle, opened.ids, codes)

    def request(self, target: Names, given: Names | None = None) -> Request:
        """Check the names of targets and of what is given; parameters and errors as `predict`."""
        trained = self.bundle.trained
        labels = trained.config.sequences.labels
        layout, columns = trained.layout, self.columns
        return parse_request(layout, columns, target, given, trained.shuffled, labels)

    def distribution(
        self, column: int, probabilities: np.ndarray, ids: np.ndarray, n_given: np.ndarray
    ) -> ScalarPrediction:
        """Return the prediction of a column, by number, with probabilities (n, K) of its bins."""
        scalar, used, name = self.tokenizers.scalar, probabilities.shape[1], self.columns[column]
        centers, edges = scalar.centers[column, :used], scalar.edges[column, : used + 1]
        unit, temperature = scalar_unit(name) or "", self.bundle.column_temperature(name)
        arrays = probabilities, centers, edges, n_given
        return ScalarPrediction(name, unit, ids, *arrays, temperature)

    def _blocks(self, names: list[str]) -> list[str]:
        """Return the names of whole blocks, each once, with the groups of ``spectrum``."""
        single = [name for name in names if name in self.columns]
        if single:
            must = "whole blocks: scalar, image or spectrum groups"
            raise ConfigError(must_be("blocks", must, f"the column {single[0]!r}"))
        blocks = [self.request(name, ()).blocks or (SCALAR,) for name in names]
        return list(dict.fromkeys(name for each in blocks for name in each))
