"""Bad cubes: each function makes one of the good cube, and its docstring says what must happen.

Rows are those of `faults.jobs.good_table`: all have scalars, every second one cutouts, every third
a DESI spectrum, every fourth a Gaia XP spectrum, all but every fifth a light curve.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from faults.jobs import N, write
from helpers.cutouts import BANDS, SETTINGS

ALL = tuple(range(N))
MAG, OTHER = "mag_pstotal_r", "mag_pstotal_i"
"""The magnitude that selects, and one that does not."""
CUTS = tuple(f"splus_cut_{band}" for band in BANDS)
DESI, XP, ZTF = "desi_r", "gaiaxp_bp", "ztf_r"
COEFFICIENTS, ERRORS, CORRELATIONS = (
    f"gaiaxp_bp_coefficient{part}" for part in ("s", "_errors", "_correlations")
)


@dataclass(frozen=True)
class Survives:
    """A cube that is read; nothing else of it differs from the good one.

    Attributes
    ----------
    rows : tuple of int
        The good cube's rows that it has, in its order.
    missing : dict
        Its rows that have no code, by column, group or ``image``.
    ends : dict
        Its rows whose code is a column's first (0) or last bin (-1).
    free : dict
        Its rows whose code may be another: part of what it stands for is missing.
    unselected : tuple of int
        Its rows that no longer pass the cut.
    short : int
        Cutouts of a wrong length.
    warns : str
        What a warning of the summary holds.
    """

    rows: tuple[int, ...] = ALL
    missing: Mapping[str, Sequence[int]] = field(default_factory=dict)
    ends: Mapping[str, tuple[Sequence[int], int]] = field(default_factory=dict)
    free: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unselected: tuple[int, ...] = ()
    short: int = 0
    warns: str = ""


@dataclass(frozen=True)
class Refused:
    """A cube that ends in one error, which names the column, or the file, and the row.

    Attributes
    ----------
    column : str
        The column; none where the file is not to be read.
    row : int
        The row; -1 where the error is about all of them.
    """

    column: str = ""
    row: int = -1


@dataclass(frozen=True)
class Kind:
    """A kind of bad cube."""

    name: str
    make: Callable[[pa.Table], pa.Table | bytes]
    outcome: Survives | Refused


KINDS: list[Kind] = []


def _kind(outcome: Survives | Refused) -> Callable[[Callable], Callable]:
    def add(make: Callable[[pa.Table], pa.Table | bytes]) -> Callable:
        KINDS.append(Kind(make.__name__, make, outcome))
        return make

    return add


def survives(**expected: Any) -> Callable[[Callable], Callable]:
    return _kind(Survives(**expected))


def refused(column: str = "", row: int = -1) -> Callable[[Callable], Callable]:
    return _kind(Refused(column, row))


def put(table: pa.Table, name: str, values: Any, kind: pa.DataType | None = None) -> pa.Table:
    """The table with another column of a name."""
    made = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
    return table.set_column(table.schema.get_field_index(name), name, made)


def cell(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    """The table with another value in one cell."""
    values = table.column(name).to_pylist()
    values[row] = value
    return put(table, name, values, table.schema.field(name).type)


def cast(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    """The table with a column of another type."""
    return put(table, name, table.column(name).cast(kind, safe=False))


def edited(table: pa.Table, name: str, row: int, edit: Callable[[Any], Any]) -> pa.Table:
    """The table with a cell as `edit` changes it."""
    return cell(table, name, row, edit(table.column(name)[row].as_py()))


def as_bytes(table: pa.Table, **options: Any) -> bytes:
    """The file of a table."""
    sink = io.BytesIO()
    write(table, sink, **options)
    return sink.getvalue()


# The file.


@refused()
def empty_file(table):
    """Zero bytes are no cube."""
    return b""


@refused()
def text_file(table):
    """A table of another format is no cube."""
    return b"id,ra,dec\n1,2,3\n" * 50


@refused()
def cut_in_the_middle(table):
    """A copy that stopped has no footer."""
    return as_bytes(table)[:50_000]


@refused()
def cut_in_the_footer(table):
    """A copy that stopped just before its end."""
    return as_bytes(table)[:-5]


@refused()
def magic_alone(table):
    """The eight bytes that a parquet file begins and ends with."""
    return b"PAR1PAR1"


@refused()
def footer_longer_than_the_file(table):
    """A footer that claims two gigabytes makes none."""
    whole = as_bytes(table)
    return whole[:-8] + (2**31 - 1).to_bytes(4, "little") + whole[-4:]


@refused()
def footer_of_zeros(table):
    """A footer that a file system lost."""
    whole = as_bytes(table)
    return whole[:-3000] + bytes(2992) + whole[-8:]


@refused()
def compressed_as_a_whole(table):
    """A .parquet.gz that was renamed."""
    return gzip.compress(as_bytes(table))


@refused()
def hole_in_the_pages(table):
    """A block of zeros where pages were."""
    whole = bytearray(as_bytes(table))
    whole[4096:12288] = bytes(8192)
    return bytes(whole)


@refused()
def flipped_bit_in_a_page(table):
    """A single bit of the cutouts, which the page's checksum finds."""
    whole = bytearray(as_bytes(table))
    whole[30_000] ^= 1
    return bytes(whole)


@refused()
def bytes_after_the_end(table):
    """Something appended to a cube."""
    return as_bytes(table) + b"\n"


@survives()
def cube_after_a_cube(table):
    """Two copies in one file: parquet is read from its end, and the places are the first's."""
    return as_bytes(table) * 2


# Layout of the table.


@survives(rows=())
def no_rows(table):
    """A field without a source has no objects."""
    return table.slice(0, 0)


@survives(rows=(4,))
def one_row(table):
    """One source is a field."""
    return table.slice(4, 1)


@survives(rows=ALL[::-1])
def rows_backwards(table):
    """Codes do not depend on where a row stands."""
    return table.take(list(ALL[::-1]))


@survives()
def columns_backwards(table):
    """Columns are known by name."""
    return table.select(table.column_names[::-1])


@survives()
def a_row_group_a_row(table):
    """Where row groups end is nobody's business."""
    return as_bytes(table, row_group_size=1)


@survives()
def another_compression(table):
    """Any codec that parquet knows."""
    return as_bytes(table, compression="brotli")


@survives()
def old_parquet(table):
    """Format 1.0, no dictionaries, no statistics, tiny pages."""
    old = {"version": "1.0", "use_dictionary": False, "write_statistics": False}
    return as_bytes(table, **old, data_page_size=64)


@refused()
def column_twice(table):
    """Two columns of one name cannot be distinguished."""
    return table.append_column("specz_z", table.column("specz_e_z"))


@survives()
def twenty_thousand_columns(table):
    """Columns that are not read cost nothing."""
    more = pa.array(np.zeros(N))
    names = [f"extra_{i}" for i in range(20_000)]
    return pa.table(
        [*table.columns, *[more] * len(names)], names=[*table.column_names, *names]
    )  # fmt: skip


@survives()
def strange_other_columns(table):
    """Columns of any name and type that are not read."""
    table = table.append_column("a\nb/../c;`x`", pa.array([{"x": 1}] * N))
    return table.append_column("", pa.array([[["y"]]] * N))


@survives(missing={"specz_z": ALL})
def column_renamed(table):
    """Names are spelt as in the config: another is an absent column."""
    return table.rename_columns([n.replace("specz_z", "SPECZ_Z") for n in table.column_names])


@refused(MAG)
def no_column_of_the_cut(table):
    """Without its column the cut cannot be made; the error gives the nearest name."""
    return table.drop_columns([MAG])


@refused("id")
def no_ids(table):
    """Without ids nothing can be joined."""
    return table.drop_columns(["id"])


@survives(
    missing={
        "image": ALL, DESI: ALL, XP: ALL, ZTF: ALL, OTHER: ALL, "specz_z": ALL, "specz_e_z": ALL,
        "gaia_teff_gspphot": ALL,
    }
)  # fmt: skip
def nothing_but_positions(table):
    """Every modality absent: objects of one magnitude."""
    return table.select(["id", "ra", "dec", MAG])


# Types.


@refused(OTHER)
def text_for_numbers(table):
    """Numbers written as text are not guessed at."""
    return cast(table, OTHER, pa.string())


@refused("ra")
def text_for_positions(table):
    """Nor are positions."""
    return cast(table, "ra", pa.string())


@refused("specz_z")
def truth_for_numbers(table):
    """True is no redshift."""
    return put(table, "specz_z", [True] * N)


@refused("specz_z")
def times_for_numbers(table):
    """Nor is a date."""
    return put(table, "specz_z", list(ALL), pa.timestamp("us"))


@refused("specz_z")
def decimals_for_numbers(table):
    """Decimals are not among the types of numbers that surveys write."""
    return put(table, "specz_z", [1] * N, pa.decimal128(10, 2))


@refused("specz_z")
def lists_for_numbers(table):
    """A list of one number is a list."""
    return put(table, "specz_z", [[1.0]] * N)


@survives()
def single_precision(table):
    """float32 and float64 read alike."""
    return cast(table, OTHER, pa.float32())


@survives(missing={"specz_z": ALL, DESI: ALL, "image": ALL, XP: ALL, ZTF: ALL})
def columns_of_type_null(table):
    """Columns that a writer saw no value of are of no type."""
    lists = (*CUTS, *(f"desi_{part}_r" for part in ("flux", "ivar", "wave")))
    texts = (COEFFICIENTS, ERRORS, CORRELATIONS)
    for name in ("specz_z", *lists, *texts, *(f"ztf_{p}_r" for p in ("mag", "magerr", "hmjd"))):
        table = put(table, name, pa.nulls(N))
    return table


@survives(missing={"specz_z": ALL, "image": ALL})
def columns_of_nulls(table):
    """Columns without a value."""
    for name in ("specz_z", *CUTS):
        table = put(table, name, [None] * N, table.schema.field(name).type)
    return table


@refused("splus_cut_R")
def numbers_for_lists(table):
    """A pixel is no cutout."""
    return put(table, "splus_cut_R", [1.0] * N)


@refused("splus_cut_R")
def text_in_lists(table):
    """Pixels are numbers."""
    return put(table, "splus_cut_R", [["a"]] * N)


@refused("splus_cut_R")
def lists_in_lists(table):
    """A cutout is flat; its rows are not guessed at."""
    size = SETTINGS.size
    return put(table, "splus_cut_R", [[[1.0] * size] * size] * N)


@refused("splus_cut_R")
def structs_for_lists(table):
    """Pixels with names."""
    return put(table, "splus_cut_R", [{"x": 1.0}] * N)


@refused("desi_ivar_r")
def nested_spectra(table):
    """A spectrum is flat."""
    return put(table, "desi_ivar_r", [[[1.0]]] * N)


@refused("ztf_mag_r")
def text_for_light_curves(table):
    """Light curves are lists of numbers."""
    return put(table, "ztf_mag_r", ["18.1"] * N)


@survives()
def large_lists(table):
    """Lists with 64-bit offsets, as other writers make them."""
    for name in (*CUTS, "desi_flux_r", "ztf_mag_r"):
        table = cast(table, name, pa.large_list(table.schema.field(name).type.value_type))
    return table


@survives()
def double_precision_lists(table):
    """Pixels in float64."""
    for name in (*CUTS, "desi_flux_r", "desi_wave_r"):
        table = cast(table, name, pa.list_(pa.float64()))
    return table


# Scalars.


@survives(missing={OTHER: (1,), "specz_e_z": (2,)})
def null_scalars(table):
    """Null is missing."""
    return cell(cell(table, OTHER, 1, None), "specz_e_z", 2, None)


@survives(missing={OTHER: (1, 2)})
def not_a_number(table):
    """NaN is missing."""
    return cell(cell(table, OTHER, 1, np.nan), OTHER, 2, -np.nan)


@survives(missing={OTHER: (1, 2)})
def infinite_scalars(table):
    """Infinity is missing, whatever its sign."""
    return cell(cell(table, OTHER, 1, np.inf), OTHER, 2, -np.inf)


@survives(ends={OTHER: ((1,), -1), "specz_e_z": ((2,), 0)})
def huge_scalars(table):
    """1e300 is a number, beyond the last edge or below the first."""
    return cell(cell(table, OTHER, 1, 1e300), "specz_e_z", 2, -1e300)


@survives(ends={OTHER: ((1,), 0), "specz_z": ((2,), 0)})
def denormal_scalars(table):
    """The smallest numbers that there are."""
    return cell(cell(table, OTHER, 1, 5e-324), "specz_z", 2, -5e-324)


@survives(
    missing={OTHER: (1, 3)},
    ends={"specz_e_z": ((2,), 0)},
    warns="2 values stand for missing ones: mag_pstotal_i (2)",
)
def ninety_nines(table):
    """99 and -99 are no magnitudes, as S-PLUS releases them; in other columns they are numbers."""
    table = cell(cell(table, OTHER, 1, 99.0), OTHER, 3, -99.0)
    return cell(table, "specz_e_z", 2, -99.0)


@survives(ends={"specz_e_z": ((0, 3), 0)})
def negative_errors(table):
    """An error below 0 is a number too, and gets the first bin."""
    return cell(cell(table, "specz_e_z", 0, -1.0), "specz_e_z", 3, -0.5)


@survives(unselected=ALL, warns="no row passes the selection")
def nothing_to_select(table):
    """A column of the cut without a value selects no row, and it is said."""
    return put(table, MAG, [np.nan] * N)


@survives(unselected=(2, 3, 4))
def magnitudes_out_of_range(table):
    """Neither 99, nor infinity, nor null passes the cut."""
    for row, value in ((2, 99.0), (3, np.inf), (4, None)):
        table = cell(table, MAG, row, value)
    return table


# Positions.


@survives()
def right_ascension_wraps(table):
    """360, a hair below 0, and many turns are positions."""
    for row, value in enumerate((360.0, -1e-20, 0.0, 1e300, -720.0)):
        table = cell(table, "ra", row, value)
    return table


@survives(warns="3 rows without a position")
def positions_off_the_sky(table):
    """Beyond the poles, infinite or null: no position, and it is said."""
    for row, value in ((0, 95.0), (1, -np.inf), (2, None)):
        table = cell(table, "dec", row, value)
    return table


@survives(warns="12 rows without a position")
def no_positions(table):
    """Rows without positions are split by their ids."""
    return table.drop_columns(["ra", "dec"])


# Ids.


@refused("id", row=3)
def null_ids(table):
    """A row without an id cannot be joined to anything."""
    return cell(table, "id", 3, None)


@refused("id", row=3)
def empty_ids(table):
    """Nor can one of an empty id."""
    return cell(table, "id", 3, "")


@survives(warns="2 rows repeat an id")
def repeated_ids(table):
    """They are counted, and do no harm: rows are joined by their place."""
    return cell(cell(table, "id", 3, "o0"), "id", 4, "o0")


@refused("id", row=5)
def ids_of_ten_kilobytes(table):
    """Ids become arrays as wide as the longest one: a survey's would take all memory."""
    return cell(table, "id", 5, "x" * 10_000)


@survives()
def ids_that_are_paths(table):
    """An id names no file: separators, dots and shells mean nothing."""
    strange = ["../../etc/passwd", "/", "..", "$(reboot)", "a;b", "C:\\x", "~", "`id`"]
    return put(table, "id", [*strange, *"abcd"])


@survives()
def ids_of_any_characters(table):
    """Line ends, spaces, other scripts, emoji."""
    return put(table, "id", ["a\nb", " ", "é", "星", "👾", "\t", *"uvwxyz"])


@refused("id")
def ids_of_other_bytes(table):
    """Bytes that are no UTF-8."""
    return put(table, "id", [b"\xff\xfe", *[b"a"] * (N - 1)])


@refused("id")
def ids_that_are_times(table):
    """A date has many printed forms."""
    return put(table, "id", list(ALL), pa.timestamp("us"))


@refused("id")
def ids_that_are_floats(table):
    """A 64-bit id that went through a float is another's."""
    return put(table, "id", [2449704931658296064.0] * N)


@refused("id")
def ids_that_are_lists(table):
    """A list of letters is no id."""
    return put(table, "id", [["a"]] * N)


@survives()
def ids_that_are_bytes(table):
    """As S-PLUS writes them."""
    return cast(table, "id", pa.binary())


@survives()
def ids_that_are_numbers(table):
    """Whole numbers, exactly."""
    return put(table, "id", [2449704931658296064 + i for i in ALL], pa.uint64())


@survives()
def ids_in_a_dictionary(table):
    """As pandas writes categories."""
    return put(table, "id", table.column("id").dictionary_encode())


# Cutouts.


@survives(missing={"image": (0,)}, short=1)
def short_cutout(table):
    """Cut by an image's edge: missing in all bands, and counted."""
    return edited(table, CUTS[1], 0, lambda pixels: pixels[:-32])


@survives(missing={"image": (0,)}, short=1)
def cutout_without_pixels(table):
    """An empty list is a short one."""
    return cell(table, CUTS[1], 0, [])


@survives(missing={"image": (0, 2)}, short=2)
def cutouts_of_other_sizes(table):
    """A longer one has no known shape either, be it a million pixels."""
    table = edited(table, CUTS[1], 0, lambda pixels: pixels * 2)
    return cell(table, CUTS[2], 2, [0.5] * 1_000_000)


@survives(missing={"image": (0, 2, 4)}, warns="3 cutouts without a valid pixel")
def cutouts_of_nothing(table):
    """Zeros, NaN and infinity in every pixel: nothing was measured."""
    for row, value in ((0, 0.0), (2, np.nan), (4, np.inf)):
        for name in CUTS:
            table = edited(table, name, row, lambda pixels, v=value: [v] * len(pixels))
    return table


@survives(free={"image": (0, 2)})
def bad_pixels(table):
    """A pixel that is no number is masked; others keep their codes' right to be."""
    table = edited(table, CUTS[0], 0, lambda pixels: [np.nan, None, np.inf, *pixels[3:]])
    return cell(table, CUTS[1], 2, None)


@survives(free={"image": (0,)})
def huge_pixels(table):
    """The largest number of a float32, and what overflows it."""
    table = cast(table, CUTS[0], pa.list_(pa.float64()))
    return edited(table, CUTS[0], 0, lambda pixels: [3e38, -3e38, 1e300, 1e-310, *pixels[4:]])


@survives()
def shapes_of_nothing(table):
    """A source without a shape has a round mask; codes do not depend on it."""
    for row, value in ((0, np.nan), (2, -1.0), (4, 1e300), (6, 0.0)):
        table = cell(cell(table, "a_pixel_det", row, value), "theta_det", row, value)
    return table


# DESI.


@refused("desi_ivar_r", row=3)
def spectrum_of_two_lengths(table):
    """Flux and ivar of one fibre are of the same pixels."""
    return edited(table, "desi_ivar_r", 3, lambda values: values[:-1])


@refused("desi_flux_r", row=3)
def spectrum_without_flux(table):
    """A fibre that has errors has fluxes."""
    return cell(table, "desi_flux_r", 3, None)


@refused("desi_flux_r", row=3)
def spectrum_of_no_pixels(table):
    """An empty list beside a full one."""
    return cell(table, "desi_flux_r", 3, [])


@refused("desi_wave_r", row=3)
def wavelengths_shifted(table):
    """Another grid would give another object's codes."""
    return edited(table, "desi_wave_r", 3, lambda values: [x + 5 for x in values])


@refused("desi_wave_r", row=3)
def wavelengths_not_numbers(table):
    """A pixel of no wavelength is nowhere."""
    return edited(table, "desi_wave_r", 3, lambda values: [np.nan, *values[1:]])


@refused("desi_wave_r")
def no_wavelengths(table):
    """A group's columns come together."""
    return table.drop_columns(["desi_wave_r"])


@survives(missing={DESI: (0, 3, 6)})
def dead_fibres(table):
    """Ivar of 0, below 0, or infinite: no pixel is good, and the spectrum is missing."""
    for row, value in ((0, 0.0), (3, -1.0), (6, np.inf)):
        table = edited(table, "desi_ivar_r", row, lambda values, v=value: [v] * len(values))
    return table


@survives(missing={DESI: (0, 3)})
def fluxes_not_numbers(table):
    """NaN, and what overflows a float32, in every pixel."""
    table = cast(table, "desi_flux_r", pa.list_(pa.float64()))
    for row, value in ((0, np.nan), (3, 1e300)):
        table = edited(table, "desi_flux_r", row, lambda values, v=value: [v] * len(values))
    return table


@survives(free={DESI: (0, 3)})
def extreme_errors(table):
    """Inverse variances at both ends of float32 are numbers."""
    for row, value in ((0, 1e-44), (3, 3e38)):
        table = edited(table, "desi_ivar_r", row, lambda values, v=value: [v] * len(values))
    return table


# Gaia XP.


@refused(COEFFICIENTS, row=4)
def xp_text_that_is_no_list(table):
    """A text that holds no list."""
    return cell(table, COEFFICIENTS, 4, "{}")


@refused(ERRORS, row=4)
def xp_text_cut_short(table):
    """A text that a database cut."""
    return edited(table, ERRORS, 4, lambda text: text[:100])


@refused(ERRORS, row=8)
def xp_of_another_length(table):
    """Errors of fewer coefficients."""
    return cell(table, ERRORS, 8, json.dumps([1.0] * 54))


@survives()
def xp_correlations_of_another_length(table):
    """Codes do not depend on correlations, which are read for comparisons alone."""
    return cell(table, CORRELATIONS, 8, json.dumps([0.0] * 1484))


@refused(COEFFICIENTS, row=4)
def xp_of_nested_lists(table):
    """A matrix is no list of numbers."""
    return cell(table, COEFFICIENTS, 4, json.dumps([[1.0] * 55]))


@refused(COEFFICIENTS, row=4)
def xp_without_coefficients(table):
    """Errors of nothing."""
    return cell(table, COEFFICIENTS, 4, None)


@refused(COEFFICIENTS)
def xp_without_a_column(table):
    """A group's columns come together."""
    return table.drop_columns([COEFFICIENTS])


@survives()
def xp_quoted_twice(table):
    """A text in a text, as some databases give it."""
    return put(table, ERRORS, [t and json.dumps(t) for t in table.column(ERRORS).to_pylist()])


@survives()
def xp_as_bytes(table):
    """Bytes are text."""
    return cast(table, COEFFICIENTS, pa.binary())


@survives()
def xp_as_lists(table):
    """Lists instead of their text."""
    texts = table.column(COEFFICIENTS).to_pylist()
    return put(table, COEFFICIENTS, [t and json.loads(t) for t in texts])


@survives(missing={XP: (0, 4, 8)})
def xp_of_no_numbers(table):
    """null, NaN, and what no float32 holds, among the coefficients: the spectrum is missing."""
    for row, value in ((0, "null"), (4, "NaN"), (8, "1e300")):
        table = edited(
            table, COEFFICIENTS, row, lambda t, v=value: re.sub(r"\[[^,]+", f"[{v}", t, count=1)
        )
    return table


@survives()
def xp_correlations_of_no_matrix(table):
    """Beyond ±1, or not positive definite: codes do not depend on them."""
    for row, value in ((0, np.nan), (4, -1.0), (8, 5.0)):
        table = cell(table, CORRELATIONS, row, json.dumps([value] * 1485))
    return table


@survives(missing={XP: (0, 4, 8)})
def xp_errors_at_the_ends(table):
    """Errors of 0, below 0, and denormal: the spectrum is missing."""
    for row, value in ((0, 0.0), (4, -1.0), (8, 5e-324)):
        table = cell(table, ERRORS, row, json.dumps([value] * 55))
    return table


# Light curves.


@refused("ztf_magerr_r", row=1)
def curve_of_two_lengths(table):
    """An epoch has a magnitude, an error and a time."""
    return edited(table, "ztf_magerr_r", 1, lambda values: values[:-1])


@refused("ztf_magerr_r", row=1)
def curve_without_errors(table):
    """A null beside a list."""
    return cell(table, "ztf_magerr_r", 1, None)


@survives(missing={ZTF: ALL}, warns="no ztf_r light curves without ztf_hmjd_r")
def no_times(table):
    """An epoch is nothing without its time; it is said."""
    return table.drop_columns(["ztf_hmjd_r"])


@survives(missing={ZTF: (0, 1, 2, 3)})
def epochs_of_nothing(table):
    """Errors below 0, magnitudes and times that are no numbers: no epoch is good."""
    bad = ((0, "magerr", -0.1), (1, "mag", np.nan), (2, "hmjd", np.inf), (3, "magerr", 0.0))
    for row, part, value in bad:
        table = edited(table, f"ztf_{part}_r", row, lambda v, x=value: [x] * len(v))
    return table


@survives(missing={ZTF: (0,)})
def curve_of_no_epochs(table):
    """Three empty lists are no light curve."""
    for part in ("mag", "magerr", "hmjd"):
        table = cell(table, f"ztf_{part}_r", 0, [])
    return table


@survives(free={ZTF: (0, 1, 2)})
def epochs_out_of_time(table):
    """Times backwards, all alike, or beyond all calendars are put in order."""
    table = edited(table, "ztf_hmjd_r", 0, lambda values: values[::-1])
    table = edited(table, "ztf_hmjd_r", 1, lambda values: [values[0]] * len(values))
    return edited(table, "ztf_hmjd_r", 2, lambda values: [-1e300, *values[1:-1], 1e300])


@refused("id")
def text_of_other_bytes(table):
    """A damaged text that parquet still calls text."""
    bad = pa.array([b"\xff\xfe", *[b"a"] * (N - 1)])
    return put(table, "id", pa.Array.from_buffers(pa.string(), N, bad.buffers()))


@refused(COEFFICIENTS, row=0)
def xp_text_of_other_bytes(table):
    """The same among coefficients."""
    texts = table.column(COEFFICIENTS).combine_chunks().cast(pa.binary()).to_pylist()
    bad = pa.array([b"[\xb8" + texts[0][2:], *texts[1:]], pa.binary())
    return put(table, COEFFICIENTS, pa.Array.from_buffers(pa.string(), N, bad.buffers()))


# What surveys release.


@survives(unselected=(1,), warns="1 values stand for missing ones: mag_pstotal_r")
def no_magnitude_to_select_by(table):
    """A magnitude of 99 is none, and not a faint one."""
    return cell(table, MAG, 1, 99.0)


@survives(
    missing={"specz_z": (0, 2), "specz_e_z": (0, 2)},
    warns="unreliable by their flags: specz_z (2), specz_e_z (2)",
)
def redshifts_that_are_not_reliable(table):
    """The compilation's flag of each redshift says which ones to remove."""
    flags = ["REMOVE(3)", "KEEP(1)", "REMOVE", *["KEEP(2)"] * (N - 3)]
    return table.append_column("specz_f_z", pa.array(flags))


@survives()
def xp_in_round_brackets(table):
    """As the Gaia archive's CSV has it."""
    for name in (COEFFICIENTS, ERRORS, CORRELATIONS):
        texts = table.column(name).to_pylist()
        table = put(table, name, [text and f"({text[1:-1]})" for text in texts])
    return table


@survives(missing={XP: (0,)})
def xp_of_empty_texts(table):
    """A spectrum of three empty texts is none."""
    for name in (COEFFICIENTS, ERRORS, CORRELATIONS):
        table = cell(table, name, 0, "")
    return table


@survives(free={"image": ALL}, warns="not read: 'splus_cut_r' (nearest: 'splus_cut_R')")
def a_band_by_another_name(table):
    """The band is missing, and the summary says so."""
    names = ["splus_cut_r" if n == "splus_cut_R" else n for n in table.column_names]
    return table.rename_columns(names)
