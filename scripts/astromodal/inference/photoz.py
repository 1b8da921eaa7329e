"""Redshift distributions as ensembles of `qp`, which RAIL and other tools of photo-z read.

qp (Malz et al. 2018, arXiv:1806.00014) holds the distributions of many objects, and its files are
what RAIL's stages exchange. Distributions are written as histograms in even bins: qp takes the
moments of a histogram from the width of its first bin, so those in bins of other widths are wrong.

Legend: n objects, B even bins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from astromodal.config.schema import Config
from astromodal.core.loops import Progress, quiet
from astromodal.data.cube import Cube
from astromodal.data.splits import SPLIT_NAMES
from astromodal.errors import AstromodalError, ConfigError, must_be
from astromodal.inference.catalogue import KEY_COLUMNS, POINTS, positions
from astromodal.inference.encode import Encoded
from astromodal.inference.loaded import LoadedModel
from astromodal.inference.predict_scalars import ScalarPrediction, predict_columns
from astromodal.inference.request import Request
from astromodal.inference.tables import KEY
from astromodal.storage.tempfiles import atomic_path

if TYPE_CHECKING:
    import qp

WIDTH: Final = 0.005
"""Default width of even bins, in the column's unit."""
ODDS: Final = 0.06
"""Default half width of the interval of `odds`, by 1 + z."""
_OBJECTS: Final = 512
"""Objects of a chunk, which bound the memory for fields of any size."""
_CHUNK: Final = 64
"""Objects of a chunk of the file, which is compressed as a whole."""
_MOST: Final = 20_000
"""Largest number of bins."""
_FORMAT: Final[dict[str, Any]] = {"format": "photoz", "version": 1}


def even_bins(edges: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """Return the edges of even bins that cover a distribution.

    Parameters
    ----------
    edges : float64 (K + 1,)
        Edges of the bins of a column, ascending.
    width : float
        Width of the even bins. Their edges are multiples of it, so that columns of several models
        have common edges.

    Returns
    -------
    float64 (B + 1,)
        At least three edges.

    Raises
    ------
    ConfigError
        If there would be more than 20,000 bins.
    """
    first, last = int(np.floor(edges[0] / width)), int(np.ceil(edges[-1] / width))
    last = max(last, first + 2)
    if last - first > _MOST:
        must = f"at least {(edges[-1] - edges[0]) / _MOST:.2g} for values up to {edges[-1]:g}"
        raise ConfigError(must_be("photoz.width", must, f"{width:g}"))
    return np.arange(first, last + 1) * width


def bin_probabilities(prediction: ScalarPrediction, bins: np.ndarray) -> np.ndarray:
    """Return the probability of each even bin.

    Parameters
    ----------
    prediction : ScalarPrediction
        Distributions of n objects.
    bins : float64 (B + 1,)
        Edges of the bins, which cover the distributions.

    Returns
    -------
    float64 (n, B)
        Rows sum to 1. A value on an edge belongs to the bin below it, but for the first edge.
    """
    cumulative = prediction.cumulative(bins)
    cumulative[:, 0], cumulative[:, -1] = 0, 1
    return np.maximum(np.diff(cumulative, axis=1), 0)


def point_estimates(
    prediction: ScalarPrediction, bins: np.ndarray, probabilities: np.ndarray, odds: float = ODDS
) -> dict[str, np.ndarray]:
    """Return point estimates and limits of redshifts.

    Parameters
    ----------
    prediction : ScalarPrediction
        Distributions of n objects.
    bins : float64 (B + 1,)
        Edges of even bins.
    probabilities : float64 (n, B)
        Probabilities of these bins.
    odds : float
        Half width of the interval of ``odds``, by 1 + z.

    Returns
    -------
    dict of str to float64 (n,)
        ``zmode``, the middle of the most probable even bin, or of the lowest stretch of several
        such bins; ``zmean``; ``zmedian``; ``z_lower68``, ``z_upper68``, ``z_lower95`` and
        ``z_upper95``, which leave out the same probability on both sides; and ``odds``, the
        probability of redshifts within `odds` × (1 + ``zmode``) of the mode (Benítez 2000,
        doi:10.1086/308947). All but the mode are those of the distribution itself and not of the
        even bins.
    """
    mode = _modes(bins, probabilities)
    half = odds * np.maximum(1 + mode, 0)
    limits = {"z_lower68": 0.16, "z_upper68": 0.84, "z_lower95": 0.025, "z_upper95": 0.975}
    return {
        "zmode": mode,
        "zmean": prediction.mean,
        "zmedian": prediction.median,
        **{name: prediction.quantile(level) for name, level in limits.items()},
        "odds": np.clip(prediction.cdf(mode + half)[1] - prediction.cdf(mode - half)[0], 0, 1),
    }


def _modes(bins: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the middle of the first stretch of most probable bins, which may differ by 1e-6."""
    high = probabilities >= (1 - 1e-6) * probabilities.max(axis=1, keepdims=True)
    first = high.argmax(axis=1)
    behind = ~high & (np.arange(high.shape[1]) > first[:, None])
    end = np.where(behind.any(axis=1), behind.argmax(axis=1), high.shape[1])
    return (bins[first] + bins[end]) / 2


def to_qp(
    prediction: ScalarPrediction,
    width: float = WIDTH,
    odds: float = ODDS,
    ancil: Mapping[str, np.ndarray] | None = None,
) -> qp.Ensemble:
    """Return predicted distributions as an ensemble of `qp`.

    Parameters
    ----------
    prediction : ScalarPrediction
        Distributions of n objects, such as ``model.predict(objects, "specz_z")["specz_z"]``.
    width : float
        Width of the even bins of the histograms, in the column's unit.
    odds : float
        Half width of the interval of ``odds``, by 1 + z.
    ancil : mapping of str to array (n,), optional
        Further columns of the table beside the distributions.

    Returns
    -------
    qp.Ensemble
        Histograms (``qp.hist``). Cumulative probabilities at edges of bins are exact, quantiles
        are right to less than a bin. Its ``ancil`` has ``id``, ``n_given`` and what
        `point_estimates` returns.

    Raises
    ------
    AstromodalError
        If qp is not installed.
    ConfigError
        If there would be more than 20,000 bins.
    """
    try:
        import qp
    except ModuleNotFoundError as error:
        do = "pip install qp-prob, or install astromodal with its extra photoz"
        raise AstromodalError(must_be("qp", "installed", f"nothing ({error})", do)) from error
    bins = even_bins(prediction.edges, width)
    probabilities = bin_probabilities(prediction, bins)
    points = point_estimates(prediction, bins, probabilities, odds)
    columns = {"id": prediction.ids, **points, "n_given": prediction.n_given, **(ancil or {})}
    return qp.hist.create_ensemble(bins, probabilities / np.diff(bins), ancil=columns)


def export_photoz(
    model: LoadedModel,
    cube: Cube,
    sequences: str | Path,
    path: str | Path,
    target: tuple[str, Sequence[str]],
    settings: Config,
    progress: Progress = quiet,
) -> int:
    """Write redshift distributions of a field's objects as a file that ``qp.read`` opens.

    It is HDF5 with the groups ``meta``, ``data`` and ``ancil`` of a histogram of qp. Objects are
    written in chunks, so that memory does not grow with the field.

    Parameters
    ----------
    model : LoadedModel
        The model.
    cube : Cube
        The field's cube, for positions.
    sequences : path
        The field's sequence file.
    path : path
        The file to write.
    target : (str, sequence of str)
        The column, and all columns that `predict_field` predicts where it is one of them.
    settings : Config
        Its groups ``photoz`` and ``predict``, and ``evaluation.labels``. Labels are never given,
        whatever ``predict.given`` names.
    progress : Progress
        Reports the chunks that are done.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    ConfigError
        If no training field measured the column, a name is unknown, or there would be more than
        20,000 bins.
    FormatError
        If the files do not belong together or to the model.
    """
    column, photoz = target[0], settings.photoz
    encoded, request = model.open(sequences), _request(model, target, settings)
    number = request.columns[0]
    used = int(model.tokenizers.scalar.n_codes[number])
    if not used:
        must = "a column that a training field measured"
        raise ConfigError(must_be("photoz.column", must, f"{column} without values"))
    bins = even_bins(model.tokenizers.scalar.edges[number, : used + 1], photoz.width)
    places = positions(cube, encoded.row, encoded.ids, str(sequences))
    given = settings.predict.given
    meta = _FORMAT | {
        "model_hash": model.hash, "column": column, "width": photoz.width, "odds": photoz.odds,
        "given": None if given is None else list(given),
    }  # fmt: skip
    with atomic_path(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        file.attrs[KEY.decode()] = json.dumps(meta, sort_keys=True)
        _allocate(file, bins, encoded)
        for chunk in _chunks(len(encoded), progress):
            objects = encoded[chunk]
            predicted = predict_columns(model.bundle, objects, request, settings.predict)[number]
            probabilities = bin_probabilities(predicted, bins)
            file["data/pdfs"][chunk] = probabilities / np.diff(bins)
            split = np.array(SPLIT_NAMES, dtype="S")[objects.sequences.split[objects.numbers]]
            columns = {
                "id": np.strings.encode(objects.ids, "utf-8"), "split": split,
                "ra": places[chunk, 0], "dec": places[chunk, 1], "n_given": predicted.n_given,
                **point_estimates(predicted, bins, probabilities, photoz.odds),
            }  # fmt: skip
            for name, values in columns.items():
                file[f"ancil/{name}"][chunk] = values
    return len(encoded)


def _request(model: LoadedModel, target: tuple[str, Sequence[str]], settings: Config) -> Request:
    """Return the request of `predict_field` for one column, without labels among what is given."""
    column, together = target
    request = model.request(together if column in together else column, settings.predict.given)
    labels = {*model.config.sequences.labels, *settings.evaluation.labels.hidden}
    given = (i for i in request.given_columns if model.columns[i] not in labels)
    number = model.columns.index(column)
    return replace(request, columns=(number,), given_columns=tuple(given))


def _chunks(n: int, progress: Progress) -> Iterator[slice]:
    """Yield slices of n objects, and show how many are done."""
    begins = range(0, n, _OBJECTS)
    for begin in progress(begins, len(begins), "chunks"):
        yield slice(begin, min(begin + _OBJECTS, n))


def _allocate(file: h5py.File, bins: np.ndarray, objects: Encoded) -> None:
    """Create the groups of a histogram of qp 1.1: all of ``meta``, the rest without values."""
    n = len(objects)
    file["meta/pdf_name"], file["meta/pdf_version"] = np.array([b"hist"]), np.array([0])
    file["meta/bins"] = bins[None]
    packed = {"chunks": (min(_CHUNK, n), len(bins) - 1), "compression": "gzip", "shuffle": True}
    file.create_dataset("data/pdfs", (n, len(bins) - 1), np.float32, **(packed if n else {}))
    longest = max([1, *map(len, np.strings.encode(objects.ids, "utf-8").tolist())])
    types = {"id": f"S{longest}", "split": "S10", "n_given": np.int32}
    names = ("id", "ra", "dec", *POINTS, "n_given", "split")
    for name in names:
        column = file.create_dataset(f"ancil/{name}", (n,), types.get(name, np.float64))
        column.attrs["unit"] = (KEY_COLUMNS | POINTS)[name].unit
