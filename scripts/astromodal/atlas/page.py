"""The page of the atlas: cutouts and spectra of its objects, and one HTML file that holds all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from astromodal.atlas.survey import Survey
from astromodal.config.schema import Config, ImageSettings
from astromodal.core.loops import Progress, quiet
from astromodal.data.columns import scalar_unit
from astromodal.data.cube import Cube
from astromodal.data.cutouts import read_cutouts
from astromodal.data.spectra import read_spectra
from astromodal.evaluation.context import EvaluatedField
from astromodal.storage.tempfiles import atomic_path
from astromodal.surveys.registry import grid_group, spectra
from astromodal.tokenizers.spectra.bins import rebin
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import load_spectrum_tokens

POINTS = 240
"""Most points of a spectrum in the page."""
CHUNK = 50
"""Objects whose details the page reads at a time."""
_STRETCHED = 64
"""Cutouts that set how bright a band is shown."""
_JPEG = 90
"""Quality of the cutouts, of 100."""
_LEVELS = 32_000
"""Steps between the smallest and the largest flux of a spectrum in the page."""
_LIBRARY = ("bokeh.min.js", "bokeh-api.min.js")
"""Files of Bokeh that the page holds."""
_PRINTED = {"pix": "pixel", "mas / yr": "mas/yr", "electron / s": "electron/s"}


@dataclass(frozen=True)
class ShownSpectrum:
    """One spectrum of one object, on the points of its group.

    Attributes
    ----------
    measured, decoded : float64 (L,)
        Flux as it was measured, and as the codes say it; NaN where there is none.
    """

    measured: np.ndarray
    decoded: np.ndarray


@dataclass(frozen=True)
class Details:
    """Cutouts and spectra of the detailed objects of a `Survey`.

    Attributes
    ----------
    cutouts : dict of int to uint8 (S, S, 3)
        Red, green and blue by the object's number, first row below; objects without a cutout are
        left out.
    points : dict of str to float64 (L,)
        Points of the spectra of each group, in the unit of its axis.
    spectra : dict of int to dict of str to ShownSpectrum
        Spectra by the object's number and by group.
    bands : tuple of str
        Bands that are shown as red, green and blue.
    """

    cutouts: dict[int, np.ndarray]
    points: dict[str, np.ndarray]
    spectra: dict[int, dict[str, ShownSpectrum]]
    bands: tuple[str, ...]


def prepare_details(
    survey: Survey, tokenizer: SpectrumTokenizer, settings: Config, progress: Progress = quiet
) -> Details:
    """Read cutouts and spectra of the detailed objects, a slice of a cube at a time.

    Parameters
    ----------
    survey : Survey
        The objects; its fields also have the file ``tokens``, the codes of spectra.
    tokenizer : SpectrumTokenizer
        The tokenizer of the spectra.
    settings : Config
        Its groups ``atlas``, ``columns``, ``tokenizers.spectrum`` and ``tokenizers.image.size``.
    progress : Progress
        Wraps the loop over fields.
    """
    image = ImageSettings(bands=settings.atlas.bands, size=settings.tokenizers.image.size)
    groups = {
        name: _points(grid_group(name).grid(settings.tokenizers.spectrum).points())
        for name in spectra(settings.tokenizers.spectrum.groups)
    }
    details = Details({}, groups, {}, settings.atlas.bands)
    levels: np.ndarray | None = None
    own = np.unique(survey.field[survey.detailed])
    for i in progress(own.tolist(), len(own), "fields of detailed objects"):
        objects = survey.detailed[survey.field[survey.detailed] == i]
        numbers = dict(zip(survey.row[objects].tolist(), objects.tolist(), strict=True))
        cube = survey.fields[i].open(settings.columns)
        cutouts = _cutouts(cube, image, numbers)
        if levels is None and cutouts:
            levels = sky_levels(list(cutouts.values())[:_STRETCHED])
        if levels is not None:
            details.cutouts.update({n: to_rgb(cut, levels) for n, cut in cutouts.items()})
        for number, group, shown in _spectra(survey.fields[i], cube, numbers, tokenizer, groups):
            details.spectra.setdefault(number, {})[group] = shown
    return details


def _keep(cube: Cube, rows: Mapping[int, int]) -> np.ndarray:
    """Return which rows of a cube are needed, bool (n,)."""
    keep = np.zeros(cube.n_rows, dtype=bool)
    keep[list(rows)] = True
    return keep


def _cutouts(cube: Cube, image: ImageSettings, numbers: Mapping[int, int]) -> dict[int, np.ndarray]:
    """Read cutouts, float32 (3, S, S) by the object's number; NaN where not measured."""
    return {
        numbers[row]: np.where(valid, pixels, np.float32(np.nan))
        for batch in read_cutouts(cube, image, keep=_keep(cube, numbers))
        for row, pixels, valid in zip(batch.row.tolist(), batch.pixels, batch.valid, strict=True)
    }


def sky_levels(cutouts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the noise of the sky in each band, the median over cutouts, float64 (bands,).

    Parameters
    ----------
    cutouts : sequence of float (bands, S, S)
        Cutouts (counts/s), NaN where not measured. A band without a pixel has a level of 1.
    """
    levels = np.ones(len(cutouts[0]))
    for band in range(len(levels)):
        flat = [c[band][np.isfinite(c[band])] for c in cutouts]
        sigmas = [1.4826 * np.median(np.abs(f - np.median(f))) for f in flat if len(f)]
        known = [s for s in sigmas if s > 0]
        levels[band] = np.median(known) if known else 1.0
    return levels


def to_rgb(cutout: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return a cutout in colours, uint8 (S, S, 3), with the stretch of Lupton et al. (2004).

    Parameters
    ----------
    cutout : float (3, S, S)
        Red, green and blue band (counts/s); NaN, which is shown as the sky, where not measured.
    levels : float64 (3,)
        Noise of the sky in each band, which is shown equally bright in all of them.

    References
    ----------
    Lupton et al. 2004, PASP 116, 133; `astropy.visualization.make_lupton_rgb`.
    """
    from astropy.visualization import make_lupton_rgb

    scaled = np.nan_to_num(cutout / levels[:, None, None], nan=0.0, posinf=0.0, neginf=0.0)
    red, green, blue = scaled.astype(np.float64)
    return np.asarray(make_lupton_rgb(red, green, blue, minimum=-2.0, stretch=12.0, Q=8.0))


def _points(wave: np.ndarray) -> np.ndarray:
    """Return the mean of the wavelengths that each point of the page stands for."""
    return _coarse(wave[None], np.ones((1, len(wave))))[0]


def _coarse(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Average the good pixels of spectra, (m, L), to at most `POINTS` points; NaN without any."""
    length = flux.shape[1]
    return rebin(flux, ivar, -(-length // POINTS), np.ones(length))[0]


def _spectra(
    field: EvaluatedField,
    cube: Cube,
    numbers: Mapping[int, int],
    tokenizer: SpectrumTokenizer,
    groups: Mapping[str, np.ndarray],
) -> Iterator[tuple[int, str, ShownSpectrum]]:
    """Yield measured and decoded spectra of one field's objects, with number and group."""
    tokens = load_spectrum_tokens(field.files["tokens"], tokenizer.hash)
    for group in groups:
        coder = tokenizer.spectrum(group)
        for batch in read_spectra(cube, group, keep=_keep(cube, numbers)):
            wanted = np.flatnonzero(np.isin(batch.row, list(numbers)) & batch.live())
            if not len(wanted):
                continue
            live = batch.take(wanted)
            measured = _coarse(*coder.measured(live))
            decoded = np.full_like(measured, np.nan)
            at = np.searchsorted(tokens.row, live.row)
            for i, place in enumerate(at.tolist()):
                known = place < len(tokens.row) and tokens.row[place] == live.row[i]
                if known and len(codes := tokens.codes(group, place)):
                    scale = tokens.groups[group].scale[place : place + 1]
                    flux = coder.at_pixels(tokenizer.decode(group, codes[None], scale)[0])
                    decoded[i] = _coarse(flux, np.isfinite(flux).astype(float))[0]
            for row, own, coded in zip(live.row.tolist(), measured, decoded, strict=True):
                yield numbers[row], group, ShownSpectrum(own, coded)


def write_page(survey: Survey, details: Details, path: str | Path) -> None:
    """Write the page: one HTML file that needs no other file and no network.

    All text of the data is JSON, in which no tag can begin. The page's policy lets a browser run
    the scripts of the package alone, by their hashes, and request nothing.

    Parameters
    ----------
    survey : Survey
        The objects.
    details : Details
        Cutouts and spectra of some of them.
    path : path
        The HTML file, written atomically.
    """
    environment = Environment(
        loader=PackageLoader("astromodal.atlas"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    scripts = [*map(_library, _LIBRARY), _template("atlas.js")]
    blocks: dict[str, Any] = {"survey": _survey(survey, details)}
    blocks |= {f"details-{i}": chunk for i, chunk in enumerate(_chunks(survey, details))}
    stream = environment.get_template("atlas.html.j2").stream(
        title="Atlas", style=Markup(_template("atlas.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[f"'sha256-{_sha256(script)}'" for script in scripts],
        blocks={name: Markup(as_json(block)) for name, block in blocks.items()},
    )  # fmt: skip
    with atomic_path(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8")


def as_json(value: Any) -> str:
    """Return a value as JSON that can stand inside a ``<script>``: without ``<``, ``>`` or ``&``.

    Raises
    ------
    ValueError
        Where a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def packed(values: np.ndarray, dtype: str) -> str:
    """Return an array as base64 of its bytes in little-endian order."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


def _template(name: str) -> str:
    """Return the text of a file of the package's templates."""
    return (files("astromodal.atlas") / "templates" / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    """Return a script of Bokeh."""
    return (files("bokeh") / "server/static/js" / name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    """Return the hash by which a policy names a script, in base64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _survey(survey: Survey, details: Details) -> dict[str, Any]:
    """Return the objects as plain values."""
    columns = [_category(*each) for each in survey.categories.items()]
    columns += [
        {"name": name, "unit": unit_of(name), "kind": "predicted"}
        | {key: packed(values[:, i], "<f4") for i, key in enumerate(("values", "low", "high"))}
        for name, values in survey.predicted.items()
    ]
    columns += [
        {"name": name, "unit": unit_of(name), "kind": "measured", "values": packed(values, "<f4")}
        for name, values in survey.measured.items()
    ]
    x, y = survey.places.T
    return {
        "ids": survey.ids.tolist(),
        "x": packed(x, "<f4"),
        "y": packed(y, "<f4"),
        "near": packed(survey.near, "<i4"),
        "n_near": survey.near.shape[1],
        "columns": columns,
        "detailed": packed(survey.detailed, "<i4"),
        "chunk": CHUNK,
        "bands": list(details.bands),
        "groups": {name: _group(name, points) for name, points in details.points.items()},
        "method": survey.method,
        "n_objects": survey.n_objects,
        "model": survey.model_hash,
    }


def unit_of(column: str) -> str:
    """Return the unit of a scalar column as text; empty where there is none."""
    name = scalar_unit(column) or ""
    return _PRINTED.get(name, name)


def _category(name: str, values: np.ndarray) -> dict[str, Any]:
    """Return a property in words as names and the numbers of objects' names; '' is unknown."""
    names, codes = np.unique(values, return_inverse=True)
    return {
        "name": name,
        "kind": "category",
        "names": names.tolist(),
        "values": packed(codes.reshape(-1), "<i4"),
    }


def _group(name: str, points: np.ndarray) -> dict[str, Any]:
    """Return what the page needs to plot the spectra of a group."""
    group = grid_group(name)
    return {
        "family": group.family.label if group.family.span else f"{group.family.label} ({name})",
        "x": group.axis.label,
        "y": group.values.label,
        "points": packed(points, "<f4"),
    }


def _chunks(survey: Survey, details: Details) -> Iterator[list[dict[str, Any]]]:
    """Yield the details of `CHUNK` objects at a time, as plain values."""
    for start in range(0, len(survey.detailed), CHUNK):
        yield [
            {
                "rgb": _jpeg(details.cutouts.get(number)),
                "spectra": {
                    group: _quantised(shown)
                    for group, shown in details.spectra.get(number, {}).items()
                },
            }
            for number in survey.detailed[start : start + CHUNK].tolist()
        ]


def _jpeg(cutout: np.ndarray | None) -> str:
    """Return a cutout as base64 of a JPEG file, first row below; empty where there is none."""
    if cutout is None:
        return ""
    stream = io.BytesIO()
    Image.fromarray(cutout[::-1]).save(stream, "JPEG", quality=_JPEG, subsampling=0)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _quantised(shown: ShownSpectrum) -> dict[str, Any]:
    """Return a spectrum as 16-bit steps between its smallest and largest flux; -1 is missing."""
    both = np.stack([shown.measured, shown.decoded])
    known = np.isfinite(both)
    low, high = (float(both[known].min()), float(both[known].max())) if known.any() else (0.0, 1.0)
    step = (high - low) / _LEVELS or 1.0
    steps = np.where(known, np.rint((np.where(known, both, low) - low) / step), -1)
    return {
        "low": low,
        "step": step,
        "measured": packed(steps[0], "<i2"),
        "decoded": packed(steps[1], "<i2"),
    }
