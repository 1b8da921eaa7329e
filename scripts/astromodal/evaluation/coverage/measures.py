"""Numbers of what the fields hold: summaries, what sources gave, how often rows are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astromodal.data.provenance import BandCounts
from astromodal.data.splits import SPLIT_NAMES
from astromodal.storage.json_files import read_json
from astromodal.surveys.registry import by_family


@dataclass(frozen=True)
class SourceCounts:
    """What a source of raw survey files gave to the cube of one field.

    Attributes
    ----------
    kind : str
        Kind of the source, as in ``sources``.
    files, left_out : int
        Raw files that were read, and damaged ones that were not.
    objects : int
        Objects in and around the field; 0 for images.
    dropped : dict of str to int
        Objects that were not used, by reason.
    matched, contested : int
        Rows that have an object, and objects that match several rows best.
    separation : float, optional
        Median separation of rows and objects (arcsec); None where they were not matched by
        position.
    bands : dict of str to BandCounts
        Of images: numbers of cutouts, by band.
    """

    kind: str
    files: int
    left_out: int
    objects: int
    dropped: dict[str, int]
    matched: int
    contested: int
    separation: float | None
    bands: dict[str, BandCounts]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SourceCounts:
        """Return the counts that a JSON object holds."""
        bands = {band: BandCounts(**counts) for band, counts in values["bands"].items()}
        return cls(**{**values, "bands": bands})


@dataclass(frozen=True)
class FieldSummary:
    """The summary of one field, as `astromodal.data.summary` writes it.

    Attributes
    ----------
    field : str
        The field.
    n_rows, n_selected, n_cells : int
        Rows of its cube, rows that pass the selection, HEALPix cells.
    ra, dec : float, optional
        Centre of the field (degree); None where no row has a position.
    splits : dict of str to int
        Selected rows by split.
    cut : dict of str to int
        Rows that the selection excludes, by reason.
    odd : dict of str to int
        Rows that are unusual, by reason.
    scalars : dict of str to int
        Selected rows with a value, by scalar column.
    missing : dict of str to dict of str to int
        Values that are set to missing, by reason and column.
    spectra : dict of str to (int, int)
        Live and dead spectra or light curves, by group. A dead one has no good value.
    n_whole, n_short : int
        Cutouts of the right and of a wrong length.
    sources : dict of str to SourceCounts
        What each source of raw files gave; empty for a cube that was not built.
    absent_columns, warnings : tuple of str
        Scalar columns that the cube lacks, and what is unusual about the field.
    size : int
        Size of the cube (byte).
    digests : dict of str to str
        Digest of the values in each column that is read.
    """

    field: str
    n_rows: int
    n_selected: int
    n_cells: int
    ra: float | None
    dec: float | None
    splits: dict[str, int]
    cut: dict[str, int]
    odd: dict[str, int]
    scalars: dict[str, int]
    missing: dict[str, dict[str, int]]
    spectra: dict[str, tuple[int, int]]
    n_whole: int
    n_short: int
    sources: dict[str, SourceCounts]
    absent_columns: tuple[str, ...]
    warnings: tuple[str, ...]
    size: int
    digests: dict[str, str]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FieldSummary:
        """Return the summary that a JSON object holds."""
        position = values["position"] or {"ra": None, "dec": None}
        spectra = values["spectra"].items()
        sources = values["sources"].items()
        return cls(
            field=values["field"],
            n_rows=values["n_rows"],
            n_selected=values["n_selected"],
            n_cells=values["n_cells"],
            ra=position["ra"],
            dec=position["dec"],
            splits=values["splits"],
            cut=values["cut"],
            odd=values["odd"],
            scalars=values["scalars"],
            missing=values["missing"],
            spectra={name: (n["n_live"], n["n_spectra"] - n["n_live"]) for name, n in spectra},
            n_whole=values["images"]["n_whole"],
            n_short=values["images"]["n_short"],
            sources={name: SourceCounts.from_json(own) for name, own in sources},
            absent_columns=tuple(values["absent_columns"]),
            warnings=tuple(values["warnings"]),
            size=values["content"]["size"],
            digests=values["content"]["columns"],
        )

    @classmethod
    def load(cls, path: str | Path) -> FieldSummary:
        """Read a summary from its JSON file."""
        return cls.from_json(read_json(path))

    def live_and_dead(self, group: str) -> tuple[int, int]:
        """Return the numbers of live and of dead spectra of a group."""
        return self.spectra.get(group, (0, 0))

    def role(self, trained: Collection[str]) -> str:
        """Return ``trained`` where something was trained on the field, else ``held out``."""
        return "trained" if self.field in trained else "held out"


Fields = Sequence[FieldSummary]


@dataclass(frozen=True)
class Reason:
    """Why rows, values, spectra or cutouts are left out, or what is unusual about them.

    Attributes
    ----------
    what, consequence : str
        The reason, and what follows from it.
    n : int
        How many, over all fields.
    percent : float
        Percentage of all rows, values, spectra or cutouts.
    n_fields : int
        Fields in which it occurs.
    most : str
        The field where it is most frequent, with its number.
    """

    what: str
    consequence: str
    n: int
    percent: float
    n_fields: int
    most: str


def measure_reasons(fields: Fields) -> list[Reason]:
    """Count each reason over all fields; reasons that never occur are left out."""
    reasons = []
    for (what, consequence), counts in _counted(fields):
        number, total = (np.array(each) for each in zip(*counts, strict=True))
        if number.any():
            most = fields[int(number.argmax())].field
            percent = 100 * float(number.sum() / total.sum())
            n_fields = int((number > 0).sum())
            reasons.append(
                Reason(what, consequence, int(number.sum()), percent, n_fields,
                       f"{most}: {number.max()}")
            )  # fmt: skip
    return reasons


def _counted(fields: Fields) -> Iterator[tuple[tuple[str, str], list[tuple[int, int]]]]:
    """Yield each reason in words, with its number and the total number in every field."""
    not_selected = "not selected: not used in training, no sequence; spectra and image are encoded"
    cuts = {
        "missing": "row without a magnitude",
        "brighter": "row too bright",
        "fainter": "row too faint",
    }
    for name, what in cuts.items():
        yield (what, not_selected), [(f.cut[name], f.n_rows) for f in fields]
    odd = {
        "repeated_id": ("row with an earlier row's id", "kept"),
        "repeated_gaia": ("row with an earlier row's Gaia source", "kept"),
        "no_position": ("row without a position", "kept: its split follows from its id"),
    }
    for name, words in odd.items():
        yield words, [(f.odd[name], f.n_rows) for f in fields]
    values = {
        "sentinel": "value that is a sentinel",
        "unreliable": "value that its flag calls unreliable",
    }
    for name, what in values.items():
        own = [f.missing[name] for f in fields]
        totals = [len(counts) * f.n_rows for counts, f in zip(own, fields, strict=True)]
        numbers = [sum(counts.values()) for counts in own]
        yield (what, "missing"), list(zip(numbers, totals, strict=True))
    yield (
        ("cutout of a wrong length", "missing: the edge of an image cut it, its shape is lost"),
        [(f.n_short, f.n_short + f.n_whole) for f in fields],
    )
    for group in spectrum_groups(fields):
        counts = [f.live_and_dead(group) for f in fields]
        yield (
            (f"{group} without a good value", "missing"),
            [(dead, live + dead) for live, dead in counts],
        )


@dataclass(frozen=True)
class SourceTotal:
    """What a catalogue, or a source of spectra or light curves, gave to all fields.

    Attributes
    ----------
    name, kind : str
        The source.
    files, left_out, objects, matched, contested : int
        Sums over fields of the numbers in `SourceCounts`.
    dropped : dict of str to int
        Objects that were not used, by reason, the most frequent first.
    percent : float
        Percentage of rows that have an object.
    separation : float, optional
        Median over fields of the median separation (arcsec).
    """

    name: str
    kind: str
    files: int
    left_out: int
    objects: int
    dropped: dict[str, int]
    matched: int
    percent: float
    contested: int
    separation: float | None

    @property
    def used(self) -> int:
        """Number of objects that could match a row."""
        return self.objects - sum(self.dropped.values())


def measure_sources(fields: Fields) -> list[SourceTotal]:
    """Add up what each source gave, images left out; empty where no cube was built."""
    names = dict.fromkeys(name for f in fields for name in f.sources)
    found = [_total(name, [f for f in fields if name in f.sources]) for name in names]
    return [total for total in found if total.kind != "images"]


def _total(name: str, fields: Fields) -> SourceTotal:
    """Return what a source gave to fields that all have it."""
    own = [f.sources[name] for f in fields]
    dropped: Counter[str] = Counter()
    for counts in own:
        dropped.update(counts.dropped)
    apart = [counts.separation for counts in own if counts.separation is not None]
    matched = sum(counts.matched for counts in own)
    return SourceTotal(
        name=name,
        kind=own[0].kind,
        files=sum(counts.files for counts in own),
        left_out=sum(counts.left_out for counts in own),
        objects=sum(counts.objects for counts in own),
        dropped=dict(dropped.most_common()),
        matched=matched,
        percent=100 * matched / sum(f.n_rows for f in fields),
        contested=sum(counts.contested for counts in own),
        separation=float(np.median(apart)) if apart else None,
    )


def measure_cutouts(fields: Fields) -> dict[tuple[str, str], BandCounts]:
    """Add up the numbers of cutouts from images over fields, by source and band."""
    totals: dict[tuple[str, str], BandCounts] = {}
    for name, counts in (each for f in fields for each in f.sources.items()):
        for band, own in counts.bands.items():
            total = totals.setdefault((name, band), BandCounts())
            total.n_files += own.n_files
            total.n_cut += own.n_cut
            total.n_partial += own.n_partial
            total.n_outside += own.n_outside
    return totals


def spectrum_groups(fields: Fields) -> list[str]:
    """Return all spectrum groups of the fields, in the order in which they occur."""
    return list(dict.fromkeys(name for f in fields for name in f.spectra))


def scalar_columns(fields: Fields) -> list[str]:
    """Return all scalar columns of the fields, in the order in which they occur."""
    return list(dict.fromkeys(name for f in fields for name in f.scalars))


def split_counts(fields: Fields) -> dict[str, np.ndarray]:
    """Return the selected rows of each field by split, int (fields,)."""
    return {name: np.array([f.splits[name] for f in fields]) for name in SPLIT_NAMES}


def modality_counts(fields: Fields) -> dict[str, np.ndarray]:
    """Return the rows of each field with a cutout and with live spectra, int (fields,).

    Spectra are counted by family: the largest number among the family's groups.
    """
    counts = {"cutouts": [f.n_whole for f in fields]}
    for family, groups in by_family(spectrum_groups(fields)).items():
        counts[family.name] = [
            max((live for g, (live, _) in f.spectra.items() if g in groups), default=0)
            for f in fields
        ]
    return {name: np.array(numbers) for name, numbers in counts.items()}


def percentages(fields: Fields, columns: Sequence[str]) -> np.ndarray:
    """Return the percentage of selected objects with a value, float64 (columns, fields).

    NaN in a field without a selected object.
    """
    counts = np.array([[f.scalars.get(name, 0) for f in fields] for name in columns], float)
    selected = np.array([f.n_selected for f in fields], float)
    out = np.full(counts.shape, np.nan)
    return np.divide(100 * counts, selected, out=out, where=selected > 0)
