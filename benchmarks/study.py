"""Measure what a trained transformer predicts of held-out sources, modality by modality.

``python -m benchmarks.study`` reads the run of ``config/study.yaml`` (`make study` makes it),
prints the tables of ``docs/results.md`` and plots ``docs/study.png``. Differences are paired,
source by source, and carry the standard error of their mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from astromodal.core.paths import Layout
from astromodal.core.vocab import MISSING_CODE
from astromodal.evaluation.report.style import BLUE, FAINT, INK, ORANGE, new_figure
from astromodal.inference import AstroModel
from astromodal.inference.encode import Encoded
from astromodal.inference.predict_scalars import ScalarPrediction
from astromodal.sequences.layout import MODALITIES
from astromodal.training.history import read_history, series
from benchmarks.harness import ROOT

HELD_OUT = "SIM-0005"
TRAINING = ("SIM-0001", "SIM-0002", "SIM-0003", "SIM-0004")
GROUPS = ("desi_b", "desi_r", "desi_z")
FROM_IMAGES = ("mag_pstotal_r", "mag_pstotal_g", "fwhm_n_det", "a_pixel_det")
SAMPLES = 8
FIGURE = ROOT / "docs/study.png"


def main(results: str = "results/study") -> int:
    """Print the tables and plot the figure."""
    paths = Layout(str(ROOT / results), 1024)
    model = AstroModel.from_run(paths.run)
    objects = model.open(paths.sequences(HELD_OUT))
    figure, axes = new_figure(2, 2, height=5.6)
    _plot_curves(paths.history, axes[0, 0])
    for line in _redshifts(model, objects, axes[0, 1]):
        print(line)
    for line in _spectra(model, objects, paths, axes[1, 0]):
        print(line)
    for line in _from_images(model, objects, axes[1, 1]):
        print(line)
    figure.savefig(FIGURE, dpi=110)
    return 0


def photometry(model: AstroModel) -> list[str]:
    """Return the columns of S-PLUS magnitudes and their errors."""
    return [name for name in model.columns if name.startswith(("mag_", "err_mag_"))]


def _known(model: AstroModel, objects: Encoded, column: str) -> tuple[Encoded, np.ndarray]:
    """Return the objects that have a value in a column, and its codes."""
    codes = objects.codes("scalar")[:, model.columns.index(column)]
    known = codes != MISSING_CODE
    return objects[known], codes[known]


def _bits(model: AstroModel, predicted: ScalarPrediction, codes: np.ndarray) -> np.ndarray:
    """Return each object's log-likelihood gain over the distribution of training values (bits)."""
    share = np.asarray(model.tokenizers.scalar.weights[model.columns.index(predicted.column)])
    own = predicted.probabilities[np.arange(len(codes)), codes]
    return np.log2(own) - np.log2(share[codes] / share.sum())


def _values(model: AstroModel, column: str, codes: np.ndarray) -> np.ndarray:
    """Return the values that codes of a column decode to."""
    return np.asarray(model.tokenizers.scalar.centers[model.columns.index(column)][codes])


def _paired(gain: np.ndarray) -> str:
    return f"{gain.mean():.3f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.3f}"


def _redshifts(model: AstroModel, objects: Encoded, axis: Axes) -> Iterator[str]:
    """Predict redshifts from photometry, from everything else and from nothing."""
    objects, codes = _known(model, objects, "specz_z")
    given: dict[str, Sequence[str] | None] = {
        "nothing": [], "photometry": photometry(model), "everything else": None,
    }  # fmt: skip
    true = _values(model, "specz_z", codes)
    yield f"Redshifts of {len(objects)} sources of {HELD_OUT}:\n"
    yield "| from | gain over the marginal (bits) | σ_NMAD | outliers | inside the central 68 % |"
    yield "| --- | --- | --- | --- | --- |"
    for name, names in given.items():
        predicted = model.predict(objects, "specz_z", given=names)["specz_z"]
        off = (predicted.median - true) / (1 + true)
        inside = np.mean((true >= predicted.quantile(0.16)) & (true <= predicted.quantile(0.84)))
        outliers = np.mean(np.abs(off) > 0.15)
        error = np.sqrt(outliers * (1 - outliers) / len(off))
        yield (
            f"| {name} | {_paired(_bits(model, predicted, codes))} | {_scatter(off):.3f} | "
            f"{outliers:.1%} ± {error:.1%} | {inside:.0%} |"
        )
        if name == "photometry":
            _plot_redshifts(true, predicted.median, axis)
    yield ""


def _plot_redshifts(true: np.ndarray, predicted: np.ndarray, axis: Axes) -> None:
    axis.plot(1 + true, 1 + predicted, ".", color=BLUE, markersize=3, alpha=0.5)
    ends = [1, 1 + true.max()]
    axis.plot(ends, ends, "--", color=INK, linewidth=0.9)
    axis.set(xscale="log", yscale="log", xlabel="1 + z, measured")
    axis.set_ylabel("1 + z, from photometry (median)")


def _spectra(model: AstroModel, objects: Encoded, paths: Layout, axis: Axes) -> Iterator[str]:
    """Predict DESI spectra from photometry; compare with the training fields' mean spectrum."""
    yield "| DESI arm | sources | squared error, of the mean spectrum's: median | log10: mean |"
    yield "| --- | --- | --- | --- |"
    objects = objects[np.all([objects.has(group) for group in GROUPS], axis=0)]
    shown = None
    for group in GROUPS:
        predicted = model.predict(objects, group, given=photometry(model), n_samples=SAMPLES)[group]
        flux = _decoded(model, objects, group)
        every = [_decoded(model, model.open(paths.sequences(field)), group) for field in TRAINING]
        mean = np.nanmean(np.concatenate(every), axis=0)
        own, other = (np.nanmean((flux - guess) ** 2, axis=1) for guess in (predicted.flux, mean))
        ratio = own / other
        yield f"| {group[-1]} | {len(flux)} | {np.median(ratio):.3f} | {_paired(np.log10(ratio))} |"
        if shown is None:  # a bright source, but not the brightest
            shown = int(np.argsort(np.nanmedian(flux, axis=1))[int(0.9 * len(flux))])
        mid, std = predicted.flux[shown], predicted.std[shown]
        axis.plot(predicted.wave, flux[shown], color=FAINT, linewidth=0.6)
        axis.fill_between(predicted.wave, mid - std, mid + std, color=BLUE, alpha=0.25, linewidth=0)
        axis.plot(predicted.wave, mid, color=BLUE)
        axis.plot(predicted.wave, mean, color=ORANGE, linewidth=0.9)
    axis.set(xlabel="wavelength (Å)", ylabel="flux (10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹)")
    yield ""


def _decoded(model: AstroModel, objects: Encoded, group: str) -> np.ndarray:
    """Return decoded fluxes of the objects that have a group's spectrum, float (m, L)."""
    codes = objects.codes(group)
    return np.asarray(model.tokenizers.spectrum.decode(group, codes[:, 1:], codes[:, 0])[0])


def _from_images(model: AstroModel, objects: Encoded, axis: Axes) -> Iterator[str]:
    """Predict scalars from the cutout alone; compare with their distribution."""
    yield "| from the cutout | sources | gain over the marginal (bits) | scatter | marginal's |"
    yield "| --- | --- | --- | --- | --- |"
    objects = objects[objects.has("image")]
    for column in FROM_IMAGES:
        known, codes = _known(model, objects, column)
        predicted = model.predict(known, column, given="image")[column]
        true = _values(model, column, codes)
        yield (
            f"| {column} | {len(known)} | {_paired(_bits(model, predicted, codes))} | "
            f"{_scatter(true - predicted.median):.3g} | {_scatter(true):.3g} |"
        )
        if column == FROM_IMAGES[0]:
            axis.plot(true, predicted.median, ".", color=BLUE, markersize=3)
            axis.plot([14, 22], [14, 22], "--", color=INK, linewidth=0.9)
            axis.set(xlabel="r (mag), measured", ylabel="r (mag), from the cutout (median)")


def _scatter(values: np.ndarray) -> float:
    """Return 1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _plot_curves(history: str, axis: Axes) -> None:
    """Plot validation losses by modality; dashed lines are the unigram baseline's."""
    entries = read_history(history)["validation"]
    for modality, colour in zip(MODALITIES, (BLUE, ORANGE, "#009e73"), strict=True):
        steps, nats = series(entries, f"cross_entropy_{modality}")
        axis.plot(steps, nats / np.log(2), color=colour, label=modality)
        unigram = series(entries, f"unigram_{modality}")[1]
        axis.plot(steps, unigram / np.log(2), "--", color=colour, linewidth=0.9)
    axis.set(xlabel="step", ylabel="validation NLL (bits per code)")
    axis.legend(loc="lower right")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
