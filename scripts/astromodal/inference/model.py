"""A trained model, as one object to work with."""

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
from astromodal.data.columns import PIXELS, scalar_unit
from astromodal.errors import ConfigError, DataError, must_be, suggestion
from astromodal.inference.bundle import Bundle, load_bundle
from astromodal.inference.encode import Encoded, embed_objects, encode_cube, open_sequences
from astromodal.inference.predict_blocks import (
    Generated,
    ImagePrediction,
    SpectrumPrediction,
    decode_codes,
    generate_codes,
    predict_images,
    predict_spectra,
)
from astromodal.inference.predict_scalars import ScalarPrediction, predict_columns
from astromodal.inference.prompt import count_given
from astromodal.inference.request import Question, ask, look
from astromodal.sequences.centroids import Tokenizers
from astromodal.sequences.layout import IMAGE, MODALITIES, SCALAR
from astromodal.storage.torch_files import library_defaults
from astromodal.surveys.registry import spectrum_group

Prediction = ScalarPrediction | SpectrumPrediction | ImagePrediction
Names = str | Sequence[str]


class AstroModel:
    """A trained transformer with its vocabulary, tokenizers and config.

    Parameters
    ----------
    bundle : Bundle
        All of them; `from_run` reads them from files.
    settings : PredictSettings, optional
        Budget of tokens, and in how many bins a scalar is sought.
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
        """Load a model.

        Parameters
        ----------
        folder : path
            ``runs_tokens_transformer`` inside a run's results, whose tokenizers stand beside it,
            or a folder that the rule export_model made, which needs nothing beside it; or a
            symbolic link to one.
        device : torch.device
            Where the networks are to run.
        settings : PredictSettings, optional
            Budget of tokens, and in how many bins a scalar is sought.

        Raises
        ------
        FormatError
            Where the folder is neither, a file is damaged, or the tokenizers are not those that
            the model was trained with.
        ConfigError
            Where PyTorch has no such device.
        MachineError
            Where a file may not, or cannot, be read.
        """
        return cls(load_bundle(folder, device), settings)

    def calibrated(self, temperatures: Mapping[str, float]) -> AstroModel:
        """The same model, its logits divided by a temperature a modality.

        Above 1 predictions become less certain, below 1 more. The report's section on what the
        model's knowledge is worth fits temperatures on the validation split, and says whether they
        help (Guo et al. 2017, arXiv:1706.04599).

        Parameters
        ----------
        temperatures : mapping of str to float
            By ``image``, ``scalar``, ``spectrum``; 1 where absent.

        Raises
        ------
        ConfigError
            Where there is no such modality, or a temperature is not above 0.
        """
        for name, value in temperatures.items():
            if name not in MODALITIES:
                message = must_be("temperatures", f"by {', '.join(MODALITIES)}", name)
                raise ConfigError(message + suggestion(name, MODALITIES))
            if not 0 < value < math.inf:
                raise ConfigError(must_be(f"temperature of {name}", "above 0 and finite", value))
        return AstroModel(replace(self.bundle, temperatures=dict(temperatures)), self.settings)

    @property
    def model(self) -> torch.nn.Module:
        """The transformer, in evaluation mode."""
        return self.bundle.trained.model

    @property
    def config(self) -> Config:
        """Its ``tokenizers``, ``sequences`` and ``model``; everything else is a default."""
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
        """Encode the rows of a cube, by the very code of the workflow's jobs.

        Every row is encoded: no magnitude cut is applied, since whoever asks for a source wants
        it. A source outside the cut that the model was trained on is an extrapolation.

        Parameters
        ----------
        source : path, Cube or frame
            A cube, or rows with the columns of one: a pandas DataFrame, an astropy Table or
            QTable, a pyarrow Table or RecordBatch, what speaks Arrow's C interface (polars), a
            numpy structured array or a FITS table's data, or a mapping of columns. Columns that
            are missing are missing values; those that the model does not read are not looked at.

            What is null, None, NaN or masked is missing, and a masked pixel is a NaN. Cutouts and
            spectra may be lists or arrays in cells, (S, S) or flat, or one array (n, S, S) or
            (n, L), whose rows are missing that are masked or NaN throughout. Columns with an
            astropy unit are converted; plain numbers are taken to be in the model's units: degree,
            mag (AB for S-PLUS, Vega for VISTA), mas, mas/yr, electron/s (Gaia), K, dex, pixel,
            counts/s (cutouts), 1e-17 erg/s/cm²/Angstrom and Angstrom (DESI). The index of a
            DataFrame is not read.
        columns : ColumnSettings, optional
            Names of the columns that identify and place a source, sentinels and flags, where they
            are not the defaults. A model does not know those of its run: give the same.

        Returns
        -------
        Encoded
            Ids and codes.

        Raises
        ------
        DataError
            Where the rows are no cube, or hold cutouts of bands that the model does not know, or a
            column is not what it must be, its unit included; the error names frame and column.
        """
        return encode_cube(source, self.bundle, columns)

    @library_defaults()
    def open(self, objects: Encoded | str | Path) -> Encoded:
        """The objects of one of the workflow's sequence files; what `encode` gave stays as it is.

        Raises
        ------
        FormatError
            Where the file was packed for another vocabulary, or encoded with other tokenizers.
        """
        return objects if isinstance(objects, Encoded) else open_sequences(objects, self.bundle)

    @library_defaults()
    def embed(
        self, objects: Encoded | str | Path, pooling: str = "mean", given: Names | None = None
    ) -> np.ndarray:
        """One vector an object.

        Parameters
        ----------
        objects : Encoded or path
            What `encode` gave, or one of the workflow's sequence files.
        pooling : str
            ``mean`` of the states of its tokens, or ``attention``: their mean weighted by
            softmax(h_EOS · h / sqrt(D)), where EOS, the last token, has seen all others.
        given : str or sequence of str, optional
            What is looked at of the objects, by the names of `predict`; everything where None.

        Returns
        -------
        float32 (n, D)

        Raises
        ------
        ConfigError
            Where there is no such pooling, or a name is unknown.
        """
        found = self.open(objects)
        seen = found.sequences.only(*look(self.bundle.layout, self.columns, given))
        budget = self.settings.token_budget
        return embed_objects(self.bundle, seen, found.numbers, pooling, budget)

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

        What an object has of a target is never looked at. Of several targets each is predicted
        without the others.

        Parameters
        ----------
        objects : Encoded or path
            What `encode` gave, or one of the workflow's sequence files.
        target : str or sequence of str
            Scalar columns, ``image``, spectrum groups; ``scalar`` is every column with a bin and
            ``spectrum`` every group of spectra.
        given : str or sequence of str, optional
            What to predict from, by the same names; of it, what an object has is used. Everything
            that is no target where None; nothing where empty.
        n_samples : int
            Continuations that a spectrum or image is averaged over.
        seed : int
            Of the continuations.

        Returns
        -------
        dict of str to ScalarPrediction, SpectrumPrediction or ImagePrediction
            By column, group or ``image``.

        Raises
        ------
        ConfigError
            Where a name is unknown, or given and target overlap.
        DataError
            Where no object has what is given, or the model has no codes for a target.
        """
        found = self.open(objects)
        question = self.ask(target, given)
        every = found.numbers
        n_given = count_given(found.sequences, question, every)
        _check_given(question, n_given)
        self._check_known(question)
        head = (self.bundle, found.sequences, question, every)
        out: dict[str, Prediction] = {}
        for column, chances in predict_columns(*head, self.settings).items():
            if not chances.shape[1]:
                continue  # one of all columns, which no training field measured
            out[self.columns[column]] = self.distribution(column, chances, found.ids, n_given)
        for block in question.blocks:
            sampling = (n_samples, seed)
            if block == IMAGE:
                made = predict_images(*head, sampling, self.settings)
                bands = self.tokenizers.image.bands
                out[block] = ImagePrediction(bands, PIXELS, found.ids, *made, n_given)
            else:
                made = predict_spectra(*head, block, sampling, self.settings)
                wave = self.tokenizers.spectrum.spectrum(block).wave
                group = spectrum_group(block)
                units = group.axis.unit, group.values.unit
                out[block] = SpectrumPrediction(block, wave, *units, found.ids, *made, n_given)
        return out

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
        """Draw whole blocks, one after another, and decode them.

        Only codes that the tokenizers use can be drawn.

        Parameters
        ----------
        objects : Encoded or path
            What `encode` gave, or one of the workflow's sequence files.
        blocks : str or sequence of str
            ``scalar``, ``image`` and spectrum groups, in the order in which they are drawn.
        given : str or sequence of str, optional
            What to draw from, as in `predict`.
        n_samples : int
            Samples an object.
        temperature : float
            Logits are divided by it; 0 takes the likeliest code of each slot.
        seed : int
            The same seed draws the same of the same object.

        Returns
        -------
        Generated

        Raises
        ------
        ConfigError
            Where a name is unknown or no whole block, or blocks and given overlap.
        DataError
            Where no object has what is given, or the model has no codes for a block.
        """
        found = self.open(objects)
        question = self.ask(blocks, given)
        names = self._drawn([blocks] if isinstance(blocks, str) else list(blocks))
        if not temperature >= 0:
            raise ConfigError(must_be("temperature", "at least 0", temperature))
        every = found.numbers
        _check_given(question, count_given(found.sequences, question, every))
        self._check_known(question)
        sampling = (n_samples, seed, temperature)
        budget = self.settings.token_budget
        codes = generate_codes(
            self.bundle, found.sequences, question, every, names, sampling, budget
        )
        return decode_codes(self.bundle, found.ids, codes)

    def ask(self, target: Names, given: Names | None = None) -> Question:
        """Check the names of a question; parameters and errors as for `predict`."""
        shuffled = self.bundle.trained.shuffled
        return ask(self.bundle.layout, self.columns, target, given, shuffled)

    def distribution(
        self, column: int, chances: np.ndarray, ids: np.ndarray, n_given: np.ndarray
    ) -> ScalarPrediction:
        """Probabilities (n, K) of the bins of a column, by number, in physical units."""
        scalar, used, name = self.tokenizers.scalar, chances.shape[1], self.columns[column]
        centers, edges = scalar.centers[column, :used], scalar.edges[column, : used + 1]
        unit = scalar_unit(name) or ""
        return ScalarPrediction(name, unit, ids, chances, centers, edges, n_given)

    def _drawn(self, names: list[str]) -> list[str]:
        """Names of whole blocks, each once, ``spectrum`` spelt out."""
        single = [name for name in names if name in self.columns]
        if single:
            must = "whole blocks: scalar, image or spectrum groups"
            raise ConfigError(must_be("blocks", must, f"the column {single[0]!r}"))
        spelt = [self.ask(name, ()).blocks or (SCALAR,) for name in names]
        return list(dict.fromkeys(name for each in spelt for name in each))

    def _check_known(self, question: Question) -> None:
        """Raise `DataError` where a target has no codes: no training field measured it."""
        tables = self.tokenizers.tables()
        used = {name: int(tables.n_scalar[i]) for i, name in enumerate(self.columns)}
        used |= {IMAGE: tables.n_image, **tables.n_spectrum}
        asked = question.blocks
        if len(question.columns) < len(self.columns):
            asked += tuple(self.columns[i] for i in question.columns)
        empty = [name for name in asked if not used[name]]
        if empty:
            must = "measured in a training field"
            raise DataError(must_be(f"target {empty[0]}", must, "no training value"))


def _check_given(question: Question, n_given: np.ndarray) -> None:
    """Raise `DataError` where something was named to predict from, and no object has any of it."""
    named = question.given_blocks or question.given_columns
    if question.explicit and named and len(n_given) and not n_given.any():
        must = "measured of at least one object"
        do = "name something else, or give an empty list to predict from nothing"
        raise DataError(must_be("what is given", must, "nothing", do))
