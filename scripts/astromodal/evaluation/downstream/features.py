"""Features of measured cutouts and spectra, for methods that are fitted to a table of numbers.

Of a cutout they are magnitudes, colours and sizes by band; of a spectrum its rebinned flux, whose
principal components the methods fit themselves, and its brightness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astromodal.config.schema import ImageSettings
from astromodal.data.cube import Cube
from astromodal.data.cutouts import CutoutBatch, read_cutouts
from astromodal.data.spectra import read_spectra
from astromodal.evaluation.context import EvaluationContext
from astromodal.evaluation.downstream.baselines import Examples
from astromodal.evaluation.downstream.sample import LabelledObjects, read_raw_scalars
from astromodal.evaluation.downstream.tasks import Task
from astromodal.evaluation.images.apertures import aperture_fluxes, gaussian_widths
from astromodal.inference.model import AstroModel
from astromodal.sequences.dataset import SequenceSet
from astromodal.sequences.layout import IMAGE, SCALAR, SPECTRUM
from astromodal.surveys.registry import spectra
from astromodal.surveys.spectra import SpectrumBatch
from astromodal.tokenizers.images.pixels import PIXEL_SCALE, source_places
from astromodal.tokenizers.images.tokenizer import ImageTokenizer
from astromodal.tokenizers.spectra.groups import GridTokenizer

DIAMETERS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Diameters (arcsec) of the circles that the growth of the light is measured in."""
MAGNITUDES = (2.0, 3.0)
"""Diameters (arcsec) of the apertures whose magnitudes are features."""
SHARES = (0.2, 0.5, 0.8)
"""Shares of the light inside the largest circle whose radii are measured."""

ON_MEASUREMENTS = ("trees", "tabm", "neighbours")
"""Methods that see measured scalars, cutouts and spectra, where these are given."""


@dataclass(frozen=True)
class Table:
    """Features of some of the labelled objects.

    Attributes
    ----------
    objects : int64 (n,)
        Labelled objects, ascending.
    values : float (n, F)
        Their features, NaN where missing.
    """

    objects: np.ndarray
    values: np.ndarray

    def of(self, objects: np.ndarray) -> np.ndarray:
        """Return the features of `objects`, int64 (m,); NaN for those that are not in the table."""
        out = np.full((len(objects), self.values.shape[1]), np.nan, self.values.dtype)
        _, here, there = np.intersect1d(objects, self.objects, return_indices=True)
        out[here] = self.values[there]
        return out


@dataclass(frozen=True)
class Measurements:
    """What was measured of labelled objects.

    Attributes
    ----------
    scalars, cutouts : Table, optional
        Raw scalars that may be given, and `cutout_features`; None where no task has them.
    levels, spectra : dict of str to Table
        By group, the first and the second array of `spectrum_features`.
    """

    scalars: Table | None = None
    cutouts: Table | None = None
    levels: dict[str, Table] = field(default_factory=dict)
    spectra: dict[str, Table] = field(default_factory=dict)

    def features(self, given: Sequence[str], objects: np.ndarray) -> np.ndarray:
        """Return the features of objects, float64 (n, F), without spectra.

        Parameters
        ----------
        given : sequence of str
            Modalities that are given; nothing is returned of others.
        objects : int64 (n,)
            Labelled objects.
        """
        tables = [self.scalars] if SCALAR in given else []
        tables += [self.cutouts] if IMAGE in given else []
        tables += self.levels.values() if SPECTRUM in given else ()
        nothing = np.empty((len(objects), 0))
        return np.concatenate([nothing, *(t.of(objects) for t in tables if t is not None)], axis=1)

    def fluxes(self, given: Sequence[str], objects: np.ndarray) -> dict[str, np.ndarray]:
        """Return the spectra of objects, float32 (n, bins) by group; none where none are given."""
        if SPECTRUM not in given:
            return {}
        return {group: table.of(objects) for group, table in self.spectra.items()}

    def described(self, given: Sequence[str]) -> str:
        """Return in words what methods see that use these features."""
        parts = []
        if SCALAR in given and self.scalars is not None:
            parts.append(f"{self.scalars.values.shape[1]} scalars")
        if IMAGE in given and self.cutouts is not None:
            parts.append(f"{self.cutouts.values.shape[1]} features of the cutout")
        if SPECTRUM in given and self.spectra:
            parts.append(f"spectra of {', '.join(self.spectra)}")
        return "; ".join(parts) or "nothing"


def cutout_features(batch: CutoutBatch, sky: np.ndarray) -> np.ndarray:
    """Measure cutouts band by band, around the place of the source that all bands have in common.

    Parameters
    ----------
    batch : CutoutBatch
        m cutouts of B bands.
    sky : float64 (B,)
        Sigma of the sky in a pixel (counts/s).

    Returns
    -------
    float64 (m, 6 B - 1)
        Magnitudes in the apertures `MAGNITUDES`, B each; colours of neighbouring bands in the
        larger one, B - 1; radius (arcsec) of half the light inside 6 arcsec, B; concentration
        5 log10(r80 / r20) of the same light (Conselice 2003, ApJS 147, 1), B; full width at half
        maximum of `gaussian_widths` (arcsec), B. NaN where a pixel was not measured, or where a
        band has no light. Magnitudes have no zero point.
    """
    places = source_places(batch.pixels, batch.valid, sky)
    light = aperture_fluxes(batch.pixels, batch.valid, places, DIAMETERS)
    small, large = (
        asinh_magnitudes(light[..., DIAMETERS.index(d)], sky * np.sqrt(np.pi) * d / 2 / PIXEL_SCALE)
        for d in MAGNITUDES
    )
    inner, half, outer = light_radii(light)
    with np.errstate(divide="ignore", invalid="ignore"):
        concentration = 5 * np.log10(outer / inner)
    whole = np.isfinite(light[..., -1])
    width = np.where(whole, PIXEL_SCALE * gaussian_widths(batch.pixels), np.nan)
    colours = large[:, :-1] - large[:, 1:]
    return np.concatenate([small, large, colours, half, concentration, width], axis=1)


def asinh_magnitudes(flux: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return arcsinh magnitudes, which noise may make negative fluxes of (Lupton et al. 1999).

    Parameters
    ----------
    flux : float64 (..., B)
        Fluxes (counts/s).
    noise : float64 (B,)
        Their sigma, at which magnitudes turn from logarithmic to linear.

    Returns
    -------
    float64 (..., B)
        -2.5 log10 of bright fluxes.
    """
    return -2.5 / np.log(10) * (np.arcsinh(flux / (2 * noise)) + np.log(noise))


def light_radii(light: np.ndarray) -> np.ndarray:
    """Return the radii that hold each of `SHARES` of the light in the largest circle.

    Parameters
    ----------
    light : float64 (m, B, D)
        Light inside the circles of `DIAMETERS`.

    Returns
    -------
    float64 (3, m, B)
        In arcsec, by interpolation between circles; NaN where there is no light, or part of it was
        not measured.
    """
    m, n_bands, _ = light.shape
    radii = np.array([0.0, *DIAMETERS]) / 2
    out = np.full((len(SHARES), m, n_bands), np.nan)
    known = np.isfinite(light).all(axis=2) & (light[..., -1] > 0)
    for i, j in np.argwhere(known).tolist():
        growth = np.maximum.accumulate(np.append(0.0, light[i, j] / light[i, j, -1]))
        # At the centre light grows with the area: linear in the radius squared.
        out[:, i, j] = np.sqrt(np.interp(SHARES, growth, radii**2))
    return out


def spectrum_features(coder: GridTokenizer, batch: SpectrumBatch) -> tuple[np.ndarray, np.ndarray]:
    """Measure spectra of one group.

    Parameters
    ----------
    coder : GridTokenizer
        Tokenizer of the group, whose bins are used.
    batch : SpectrumBatch
        m spectra.

    Returns
    -------
    levels : float64 (m, 2)
        log10 of the scale, which is the median of sqrt(flux² + error²), and the arcsinh of the
        median S/N in a bin.
    flux : float32 (m, bins)
        arcsinh(flux / scale), which bounds lines; NaN in a bin without a good pixel.
    """
    flux, ivar = coder.observed(batch)
    scale, good = coder.scale(batch), ivar > 0
    known = np.isfinite(scale) & (scale > 0) & good.any(axis=1)
    flux = np.where(good & known[:, None], flux, np.nan)
    levels = np.full((len(flux), 2), np.nan)
    levels[known, 0] = np.log10(scale[known])
    snr = flux[known] * np.sqrt(np.where(good, ivar, 0.0)[known])
    levels[known, 1] = np.arcsinh(np.nanmedian(snr, axis=1)) if known.any() else ()
    unit = np.where(known, scale, 1.0)[:, None]
    return levels, np.arcsinh(flux / unit).astype(np.float32)


def measure(
    context: EvaluationContext,
    model: AstroModel,
    sequences: SequenceSet,
    objects: LabelledObjects,
    tasks: Sequence[Task],
    names: Sequence[str],
) -> Measurements:
    """Measure the objects of tasks: scalars, cutouts and spectra where these are given.

    Of cutouts and spectra that are not in an object's sequence, which the model does not see,
    nothing is measured.

    Parameters
    ----------
    context : EvaluationContext
        Its fields have the file ``cube``.
    model : AstroModel
        The model, whose tokenizers know bands and bins.
    sequences : SequenceSet
        Sequences of all fields.
    objects : LabelledObjects
        The objects that tasks refer to.
    tasks : sequence of Task
        The tasks.
    names : sequence of str
        Scalar columns that may be given.
    """
    reader = _Reader(context, sequences, objects.number)
    rows = _objects_of(tasks, SCALAR)
    scalars = read_raw_scalars(context, sequences, objects.number[rows], names)
    cutouts = reader.cutouts(_objects_of(tasks, IMAGE), model.tokenizers.image)
    levels, fluxes = {}, {}
    for group in spectra(block.name for block in model.bundle.layout.groups()):
        coder = model.tokenizers.spectrum.spectrum(group)
        levels[group], fluxes[group] = reader.spectra(_objects_of(tasks, SPECTRUM), group, coder)
    return Measurements(Table(rows, scalars), cutouts, levels, fluxes)


def _objects_of(tasks: Sequence[Task], modality: str) -> np.ndarray:
    """Return the objects of the tasks that a modality is given in, ascending."""
    every = [task.objects for task in tasks if modality in task.given.split("+")]
    return np.unique(np.concatenate([np.empty(0, np.int64), *every]))


@dataclass(frozen=True)
class _Reader:
    """Reads cutouts and spectra of labelled objects, field by field.

    Attributes
    ----------
    numbers : int64 (objects,)
        Number of each labelled object in the sequences.
    """

    context: EvaluationContext
    sequences: SequenceSet
    numbers: np.ndarray

    def cutouts(self, objects: np.ndarray, tokenizer: ImageTokenizer) -> Table:
        """Return the features of those of some objects that have codes of a cutout."""
        sky = tokenizer.normaliser.sky
        settings = ImageSettings(bands=tokenizer.bands, size=tokenizer.autoencoder.size)
        places, tables = [np.empty(0, np.int64)], [np.empty((0, 6 * len(sky) - 1))]
        for cube, own, rows, keep in self._by_field(objects, IMAGE):
            for batch in read_cutouts(cube, settings, keep=keep):
                places.append(own[np.searchsorted(rows, batch.row)])
                tables.append(cutout_features(batch, sky))
        return _joined(places, tables)

    def spectra(self, objects: np.ndarray, group: str, coder: GridTokenizer) -> tuple[Table, Table]:
        """Return levels and fluxes of those of some objects that have codes of a group."""
        places, levels = [np.empty(0, np.int64)], [np.empty((0, 2))]
        fluxes = [np.empty((0, len(coder.wave)), np.float32)]
        for cube, own, rows, keep in self._by_field(objects, group):
            for batch in read_spectra(cube, group, keep=keep):
                chosen = batch.take(keep[batch.row] & batch.live())
                level, flux = spectrum_features(coder, chosen)
                places.append(own[np.searchsorted(rows, chosen.row)])
                levels.append(level)
                fluxes.append(flux)
        return _joined(places, levels), _joined(places, fluxes)

    def _by_field(
        self, objects: np.ndarray, block: str
    ) -> Iterator[tuple[Cube, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield a field's cube, its objects that have a block, their rows, and a mask of these."""
        pattern = self.sequences.pattern[self.numbers[objects]]
        has = (pattern & np.uint32(1 << self.sequences.layout[block].type)) > 0
        objects = objects[has]
        which, rows = self.sequences.places(self.numbers[objects])
        needed = np.unique(which).tolist()
        for i in self.context.progress(needed, len(needed), f"{block} of fields"):
            cube = self.context.fields[i].open(self.context.settings.columns)
            own, mine = objects[which == i], rows[which == i]
            order = np.argsort(mine, kind="stable")
            keep = np.zeros(cube.n_rows, dtype=bool)
            keep[mine] = True
            yield cube, own[order], mine[order], keep


def _joined(places: Sequence[np.ndarray], tables: Sequence[np.ndarray]) -> Table:
    """Return one table of the rows of several, ascending."""
    objects = np.concatenate(places)
    order = np.argsort(objects, kind="stable")
    return Table(objects[order], np.concatenate(tables)[order])


@dataclass(frozen=True)
class Features:
    """Features (n, F) of objects for a method, and their spectra (n, bins) by group."""

    x: np.ndarray
    spectra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def known(self, rows: np.ndarray) -> bool:
        """Return whether any of some objects has a feature."""
        return bool(np.isfinite(self.x[rows]).any())


def examples_of(
    task: Task, objects: np.ndarray, features: Mapping[str, Features]
) -> dict[str, Examples]:
    """Return the examples of every method that is fitted; `features` are of ascending `objects`.

    Where nothing was measured of the objects to fit to, there are no methods on measurements.
    """
    fit, tune, scored = (np.searchsorted(objects, a) for a in (task.fit, task.tune, task.score))
    known = np.concatenate([fit, tune, scored])
    labels = np.full(len(objects), np.nan)
    labels[known] = task.target.transform(task.labels[objects[known]])
    n_classes = len(task.target.classes)
    return {
        method: Examples(f.x, labels, fit, tune, scored, n_classes, f.spectra)
        for method, f in features.items()
        if method not in ON_MEASUREMENTS or f.known(fit)
    }
