"""The public interface to a trained model: encode, embed, predict, generate and compare."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astromodal.config.evaluate import QUERY
from astromodal.config.training import FinetuneSettings
from astromodal.data.labels import label_values
from astromodal.errors import ConfigError, must_be
from astromodal.inference.encode import Encoded, embed_objects
from astromodal.inference.finetuned import (
    ClassPrediction,
    finetune_bundle,
    predict_label,
)
from astromodal.inference.index_files import SimilarityIndex, check_model, find_index
from astromodal.inference.loaded import LoadedModel, Names
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
from astromodal.inference.predict_scalars import (
    ScalarPrediction,
    predict_columns,
)
from astromodal.inference.prompt import Sampling, check_given, count_given
from astromodal.inference.request import parse_blocks, parse_given
from astromodal.inference.similar import Similar, check_search, find_similar
from astromodal.sequences.layout import IMAGE, SCALAR
from astromodal.storage.torch_files import library_defaults

Prediction = ScalarPrediction | ClassPrediction | SpectrumPrediction | ImagePrediction


class AstroModel(LoadedModel):
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

    @library_defaults()
    def embed(
        self, objects: Encoded | str | Path, pooling: str = QUERY, given: Names | None = None
    ) -> np.ndarray:
        """Return one embedding vector per object.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files.
        pooling : str
            ``query``: the state of a token that follows an object's others, mapped so that an
            object stays near itself where less is measured of it; ``mean`` of the states of an
            object's tokens; or ``attention``: their mean weighted by softmax(h_EOS · h / sqrt(D)),
            where the last token, EOS, attends to all others.
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
    def similar(
        self,
        objects: Encoded | str | Path | np.ndarray,
        k: int = 10,
        index: SimilarityIndex | str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        itself: bool = False,
        fields: Names | None = None,
        exact: bool | None = None,
        n_probe: int | None = None,
    ) -> Similar:
        """Find the most similar objects of a survey, by the distance between embeddings.

        Embeddings are compared by the principal components of their standardised values. Objects
        are compared with all others, or in a large index with those in the lists whose centroids
        are nearest (Jégou, Douze & Schmid 2011, IEEE TPAMI 33, 117), which misses some.

        Parameters
        ----------
        objects : Encoded, path or float (n, D)
            Objects returned by `encode`, one of the workflow's sequence files, or embeddings, with
            the pooling of the index.
        k : int
            Objects to find for each one.
        index : SimilarityIndex or path, optional
            Result of `open_index`, or what it takes; the index of the run by default.
        ids : sequence of str, optional
            Ids of the objects whose embeddings are given.
        itself : bool
            Whether an object of the index that has an object's own id, in any field, is found too.
        fields : str or sequence of str, optional
            Fields to search in; all by default.
        exact : bool, optional
            Whether objects are compared with all others. By default they are where the index has
            fewer than its setting ``index.exact_below``.
        n_probe : int, optional
            Lists to look through otherwise, ``index.n_probe`` of the index by default. More take
            longer and miss less.

        Returns
        -------
        Similar
            Field, id, row and distance of the similar objects, nearest first.

        Raises
        ------
        ConfigError
            If `k` or `n_probe` is below 1, or there is no index.
        DataError
            If embeddings are not finite or of another width, or a field is not in the index.
        FormatError
            If the index is damaged, or that of another model.
        """
        opened = index if isinstance(index, SimilarityIndex) else self.open_index(index)
        check_model(opened, self.hash)
        chosen = opened if fields is None else opened.only(fields)
        if isinstance(objects, Encoded | str | Path):
            objects = self.open(objects)
            vectors, ids = self.embed(objects, opened.space.pooling), objects.ids.tolist()
        else:
            vectors = np.asarray(objects)
        named = None if ids is None else np.array(ids, dtype=np.str_)
        whole = chosen.is_small if exact is None else exact
        probed = None if whole else n_probe or opened.n_probe
        check_search(vectors, len(opened.space.mean), k, n_probe, named)
        threads = torch.get_num_threads()
        return find_similar(chosen, vectors, k, probed, named, not itself, threads)

    def open_index(self, index: str | Path | None = None) -> SimilarityIndex:
        """Open an index of similar objects once for many searches.

        Parameters
        ----------
        index : path, optional
            The folder that ``snakemake index`` writes, or the file ``index.json`` in it. By default
            the folder ``similar`` beside the one that the model was loaded from.

        Raises
        ------
        ConfigError
            If there is no index.
        FormatError
            If a file is damaged, or the index is that of another model.
        """
        opened = SimilarityIndex.open(find_index(index, self.folder))
        check_model(opened, self.hash)
        return opened

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
            Scalar columns, ``image``, spectrum groups, or the label that the model was fine-tuned
            to; ``scalar`` stands for every column with a bin and ``spectrum`` for every spectrum
            group.
        given : str or sequence of str, optional
            Columns and blocks to predict from, by the same names; each object is predicted from
            those that it has. None stands for everything that is no target, but for the labels of
            the model (``sequences.labels``) where a target is one of them, and for the columns that
            reveal the label that the model was fine-tuned to; an empty list stands for nothing.
        n_samples : int
            Number of samples that a predicted image is averaged over.
        seed : int
            Seed of the samples.

        Returns
        -------
        dict of str to ScalarPrediction, ClassPrediction, SpectrumPrediction or ImagePrediction
            Predictions by column, group, ``image`` or label.

        Raises
        ------
        ConfigError
            If a name is unknown, or given and target overlap.
        DataError
            If no object has what is given, or the model has no codes for a target.
        """
        opened, out = self.open(objects), dict[str, Prediction]()
        names = [target] if isinstance(target, str) else list(target)
        if self.label in names and self.label is not None:
            budget = self.settings.token_budget
            out[self.label] = predict_label(self.bundle, opened, given, budget)
            names = [name for name in names if name != self.label]
            if not names:
                return out
        request = self.request(names, given)
        ids, n_given = opened.ids, count_given(opened, request)
        check_given(request, n_given)
        self.bundle.check_known(request)
        predicted = predict_columns(self.bundle, opened, request, self.settings)
        out |= {self.columns[column]: each for column, each in predicted.items()}
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
    def finetune(
        self,
        objects: Encoded | str | Path,
        labels: Any,
        name: str,
        errors: Any = None,
        unit: str = "",
        hidden: Sequence[str] | None = None,
        settings: FinetuneSettings | None = None,
    ) -> AstroModel:
        """Return a copy of the model that is fine-tuned to a label of your own.

        The likelihood of validation objects, or of a fifth of the labelled objects where there are
        none, decides when to stop.

        Parameters
        ----------
        objects : Encoded or path
            Objects returned by `encode`, or one of the workflow's sequence files.
        labels : sequence or mapping
            Numbers, or classes as text: one per object, or by id (a dict, or a pandas Series whose
            index holds ids). None, NaN and empty text are missing.
        name : str
            Name of the label in `predict`.
        errors : sequence or mapping, optional
            Standard errors of numbers, given in the same way; they enter the likelihood.
        unit : str
            Unit of numbers in the notation of astropy.
        hidden : sequence of str, optional
            Scalar columns that reveal the label, which is never predicted from them; those of
            ``sequences.labels`` where None.
        settings : FinetuneSettings, optional
            Passes, learning rates, early stopping, seed.

        Raises
        ------
        ConfigError
            If a scalar column of the model has that name.
        DataError
            If there are fewer than ten labels, a single class or value, or not one per object.
        """
        opened = self.open(objects)
        never = self.config.sequences.labels if hidden is None else hidden
        values = label_values(name, labels, errors, unit, never, opened.ids)
        chosen, logger = settings or FinetuneSettings(), logging.getLogger(__name__)
        bundle = finetune_bundle(self.bundle, opened, values, chosen, logger)
        return AstroModel(bundle, self.settings)

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

    def _blocks(self, names: list[str]) -> list[str]:
        """Return the names of whole blocks, each once, with the groups of ``spectrum``."""
        single = [name for name in names if name in self.columns]
        if single:
            must = "whole blocks: scalar, image or spectrum groups"
            raise ConfigError(must_be("blocks", must, f"the column {single[0]!r}"))
        blocks = [self.request(name, ()).blocks or (SCALAR,) for name in names]
        return list(dict.fromkeys(name for each in blocks for name in each))
