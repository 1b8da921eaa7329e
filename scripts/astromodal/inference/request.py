"""Requests: which columns and blocks to predict, and from which others.

Nothing here imports torch: the Snakefile checks the request of a config before any job runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.sequences.layout import (
    MODALITIES,
    SCALAR,
    SPECTRUM,
    SequenceLayout,
    sequence_layout,
)
from astromodal.surveys.registry import light_curves, spectra

DEFAULT_COLUMNS = ("specz_z", "gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot")
"""Columns that are predicted if a config names none; those that the run lacks are left out."""
KEYS = ("id", "healpix", "row", "split", "n_given")
"""Columns of every table of predictions, beside the predictions."""


@dataclass(frozen=True)
class Request:
    """Columns and blocks to predict, and those that they are predicted from.

    Attributes
    ----------
    columns, blocks : tuple
        Numbers of the requested scalar columns, and names of the requested blocks.
    given_columns, given_blocks : tuple
        Numbers of the given columns, and names of the given blocks other than the scalar block. Of
        these, each object is predicted from those that it has.
    explicit : bool
        Whether the user named what is given; otherwise it is everything that is not requested.
    """

    columns: tuple[int, ...]
    blocks: tuple[str, ...]
    given_columns: tuple[int, ...]
    given_blocks: tuple[str, ...]
    explicit: bool


def parse_request(
    layout: SequenceLayout,
    columns: Sequence[str],
    target: str | Sequence[str],
    given: str | Sequence[str] | None,
    shuffled: bool = True,
    labels: Collection[str] = (),
) -> Request:
    """Check the names of targets and of what is given, and return them as a request.

    Parameters
    ----------
    layout : SequenceLayout
        Layout of the model's sequences.
    columns : sequence of str
        Scalar columns of the model.
    target : str or sequence of str
        Columns and blocks to predict; ``scalar`` stands for all columns and ``spectrum`` for all
        spectrum groups.
    given : str or sequence of str, optional
        Columns and blocks to predict from. ``scalar`` and ``spectrum`` stand for all columns or
        groups that are no target. None stands for everything that is no target and that the model
        has learned to predict the target from, but for labels where a target is one; an empty
        sequence stands for nothing.
    shuffled : bool
        Whether the model was trained on shuffled blocks, or only on the layout's order.
    labels : collection of str
        Columns of labels: who predicts one seldom has the others, and its error reveals it.

    Raises
    ------
    ConfigError
        If a name is unknown, no target is named, a target is also given, a target is a light curve,
        or the model was never trained to predict the target from what is given.
    """
    targets = [target] if isinstance(target, str) else list(target)
    if not targets:
        raise ConfigError(must_be("target", "a column or block", "none"))
    requested = set[str]().union(*_names("target", targets, layout, columns))
    curves = sorted(requested.intersection(light_curves(b.name for b in layout.groups())))
    if curves:
        must = "a scalar column, image or a spectrum: the length of a light curve is not modelled"
        raise ConfigError(must_be("target", must, curves[0]))
    rest = {*columns, *_other_blocks(layout)} - requested
    if given is not None:
        listed = [given] if isinstance(given, str) else list(given)
        named, groups = _names("given", listed, layout, columns)
        both = sorted(named & requested)
        if both:
            raise ConfigError(must_be("given", "without any target", f"{both[0]!r} in both"))
        rest &= named | groups
    elif requested.intersection(labels):
        rest -= set(labels)
    if not shuffled:
        later = rest & _after(requested, layout, columns)
        if given is not None and later:
            must = "before the target in the order of blocks that this model was trained on alone"
            do = "leave it out, or train with sequences.block_order: shuffled"
            raise ConfigError(must_be("given", must, min(later), do))
        rest -= later
    blocks = _other_blocks(layout)
    return Request(
        columns=tuple(i for i, name in enumerate(columns) if name in requested),
        blocks=tuple(name for name in blocks if name in requested),
        given_columns=tuple(i for i, name in enumerate(columns) if name in rest),
        given_blocks=tuple(name for name in blocks if name in rest),
        explicit=given is not None,
    )


def parse_blocks(layout: SequenceLayout, blocks: str | Sequence[str] | None) -> list[str]:
    """Return the names of blocks, each once, in the order of the layout.

    Parameters
    ----------
    layout : SequenceLayout
        Layout of the model's sequences.
    blocks : str or sequence of str, optional
        Names of blocks; ``spectrum`` stands for every group, None for all blocks.

    Raises
    ------
    ConfigError
        If there is no such block.
    """
    every = [block.name for block in layout.blocks]
    names = every if blocks is None else [blocks] if isinstance(blocks, str) else list(blocks)
    for name in names:
        if name not in (*every, SPECTRUM):
            message = must_be("blocks", f"of {', '.join(every)} or {SPECTRUM}", name)
            raise ConfigError(message + suggestion(name, every))
    groups = [block.name for block in layout.groups()] if SPECTRUM in names else []
    return [name for name in every if name in names or name in groups]


def parse_given(
    layout: SequenceLayout, columns: Sequence[str], given: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Check the names of what is given, where nothing is to be predicted from it.

    Parameters
    ----------
    layout, columns, given
        As for `parse_request`; None stands for everything.

    Returns
    -------
    blocks : tuple of str
        Names of the given blocks other than the scalar block.
    columns : tuple of int
        Numbers of the given scalar columns.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    if given is None:
        return tuple(_other_blocks(layout)), tuple(range(len(columns)))
    listed = [given] if isinstance(given, str) else list(given)
    named = set[str]().union(*_names("given", listed, layout, columns))
    blocks = tuple(name for name in _other_blocks(layout) if name in named)
    return blocks, tuple(i for i, name in enumerate(columns) if name in named)


def check_label(name: str, layout: SequenceLayout, columns: Sequence[str]) -> None:
    """Check that a label has no name that stands for something else in requests and tables.

    Parameters
    ----------
    name : str
        Name of the label.
    layout, columns
        As for `parse_request`.

    Raises
    ------
    ConfigError
        If it is the name of a scalar column, a block, a modality or a column of every table.
    """
    if name in (*columns, *MODALITIES, *_other_blocks(layout), *KEYS):
        must = "a name that is no block, no column of every table and no scalar column of the model"
        raise ConfigError(must_be("label", must, repr(name), "give it another name"))


def requested_columns(config: Config) -> tuple[str, ...]:
    """Return the columns that a config requests to be predicted in every field.

    Raises
    ------
    ConfigError
        If ``predict`` names a column or block that the run does not have.
    """
    columns, requested = config.tokenizers.scalar.columns, config.predict.columns
    if requested is None:
        requested = tuple(name for name in DEFAULT_COLUMNS if name in columns)
    unknown = [name for name in requested if name not in columns]
    if unknown:
        must = "columns of tokenizers.scalar.columns"
        message = must_be("predict.columns", must, unknown[0])
        raise ConfigError(message + suggestion(unknown[0], columns))
    if requested:
        layout = sequence_layout(config.tokenizers)
        shuffled = config.sequences.block_order == "shuffled"
        labels = config.sequences.labels
        parse_request(layout, columns, requested, config.predict.given, shuffled, labels)
    return requested


def photoz_column(config: Config) -> str:
    """Return the column whose distributions the target `photoz` writes.

    Raises
    ------
    ConfigError
        If neither ``photoz.column`` nor ``evaluation.labels.redshift`` names a scalar column of the
        run.
    """
    columns, name = config.tokenizers.scalar.columns, config.photoz.column
    name = config.evaluation.labels.redshift if name is None else name
    if name is None:
        do = "name one, or leave hdf5 out of photoz.formats"
        raise ConfigError(must_be("photoz.column", "a column of redshifts", "none", do))
    if name not in columns:
        must = "a column of tokenizers.scalar.columns"
        raise ConfigError(must_be("photoz.column", must, name) + suggestion(name, columns))
    return name


def require_columns(requested: Sequence[str]) -> None:
    """Check that a run predicts some column.

    Raises
    ------
    ConfigError
        If `requested` is empty: the config names no column, and the run lacks all default columns.
    """
    if not requested:
        must = "columns of tokenizers.scalar.columns to predict"
        got = f"none; the run has none of {', '.join(DEFAULT_COLUMNS)}"
        raise ConfigError(must_be("predict.columns", must, got))


def require_labels(config: Config) -> list[str]:
    """Return the labels that a run fine-tunes to, from what its model has.

    Raises
    ------
    ConfigError
        If the config names no label, or one that has the name of something else; or
        ``finetune.given`` names what the run does not have.
    """
    if not config.finetune.labels:
        must = "labels of your own, such as {kind: {column: specz_class_spec}}"
        raise ConfigError(must_be("finetune.labels", must, "none"))
    layout = sequence_layout(config.tokenizers)
    columns = config.tokenizers.scalar.columns
    parse_given(layout, columns, config.finetune.given)
    for name in config.finetune.labels:
        check_label(name, layout, columns)
    return list(config.finetune.labels)


def _other_blocks(layout: SequenceLayout) -> list[str]:
    """Return the names of all blocks other than the scalar block."""
    return [block.name for block in layout.blocks if block.name != SCALAR]


def _names(
    what: str, listed: Sequence[str], layout: SequenceLayout, columns: Sequence[str]
) -> tuple[set[str], set[str]]:
    """Return the columns and blocks that are named singly, and those named by their modality."""
    blocks = _other_blocks(layout)
    groups = spectra(block.name for block in layout.groups())
    modalities = {SCALAR: set(columns), SPECTRUM: set(groups)}
    single, whole = set[str](), set[str]()
    for name in listed:
        if name in modalities:
            whole |= modalities[name]
        elif name in columns or name in blocks:
            single.add(name)
        else:
            known = [*modalities, *blocks]
            message = must_be(what, f"a scalar column or one of {', '.join(known)}", repr(name))
            raise ConfigError(message + suggestion(name, [*columns, *known]))
    return single, whole


def _after(requested: set[str], layout: SequenceLayout, columns: Sequence[str]) -> set[str]:
    """Return the columns and blocks that follow the first block that is a target in the layout.

    Columns that are targets are asked after all blocks.
    """
    inside = {block.name: {block.name} for block in layout.blocks} | {SCALAR: set(columns)}
    targets = (i for i, block in enumerate(layout.blocks) if block.name in requested)
    first = next(targets, len(layout.blocks))
    return {name for block in layout.blocks[first + 1 :] for name in inside[block.name]}
