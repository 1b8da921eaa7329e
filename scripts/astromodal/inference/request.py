"""What is asked for, and what it is to be told from.

Nothing here imports torch: the Snakefile checks what a config asks for before any job runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from astromodal.config.schema import Config
from astromodal.errors import ConfigError, must_be, suggestion
from astromodal.sequences.layout import SCALAR, SPECTRUM, SequenceLayout, sequence_layout
from astromodal.surveys.registry import light_curves, spectra

DEFAULT_COLUMNS = ("specz_z", "gaia_teff_gspphot", "gaia_logg_gspphot", "gaia_mh_gspphot")
"""What is predicted where a config names no columns, as far as the run has them."""


@dataclass(frozen=True)
class Question:
    """Targets, and what may be looked at.

    Attributes
    ----------
    columns, blocks : tuple
        Numbers of the scalar columns, and names of the blocks, that are asked for.
    given_columns, given_blocks : tuple
        Numbers of the columns, and names of the other blocks, to tell them from; those that an
        object has of them are used.
    explicit : bool
        Whether these were named, not just all the rest.
    """

    columns: tuple[int, ...]
    blocks: tuple[str, ...]
    given_columns: tuple[int, ...]
    given_blocks: tuple[str, ...]
    explicit: bool


def ask(
    layout: SequenceLayout,
    columns: Sequence[str],
    target: str | Sequence[str],
    given: str | Sequence[str] | None,
    shuffled: bool = True,
) -> Question:
    """Understand the names of a question.

    Parameters
    ----------
    layout : SequenceLayout
        The model's layout of sequences.
    columns : sequence of str
        Its scalar columns.
    target : str or sequence of str
        Columns, blocks, ``scalar`` for all columns, ``spectrum`` for all groups of spectra.
    given : str or sequence of str, optional
        Likewise; ``scalar`` and ``spectrum`` stand for the rest of theirs that is no target.
        Everything that is no target where None, as far as the model learned to tell the target
        from it; nothing where empty.
    shuffled : bool
        Whether the model learned any order of blocks, or only the layout's.

    Raises
    ------
    ConfigError
        Where a name is unknown, no target is named, a target is given too, a light curve is asked
        for, or the model never saw the target after what is given.
    """
    wanted = [target] if isinstance(target, str) else list(target)
    if not wanted:
        raise ConfigError(must_be("target", "a column or block", "none"))
    asked, whole = _names("target", wanted, layout, columns)
    asked |= whole
    curves = sorted(asked.intersection(light_curves(block.name for block in layout.groups())))
    if curves:
        must = "a scalar column, image or a spectrum: the length of a light curve is not modelled"
        raise ConfigError(must_be("target", must, curves[0]))
    rest = {*columns, *_other_blocks(layout)} - asked
    if given is not None:
        listed = [given] if isinstance(given, str) else list(given)
        named, groups = _names("given", listed, layout, columns)
        both = sorted(named & asked)
        if both:
            raise ConfigError(must_be("given", "without any target", f"{both[0]!r} in both"))
        rest &= named | groups
    if not shuffled:
        later = rest & _after(asked, layout, columns)
        if given is not None and later:
            must = "before the target in the order of blocks that this model was trained on alone"
            do = "leave it out, or train with sequences.block_order: shuffled"
            raise ConfigError(must_be("given", must, min(later), do))
        rest -= later
    return _question(asked, rest, layout, columns, given is not None)


def look(
    layout: SequenceLayout, columns: Sequence[str], given: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Understand the names of what is to be seen, and nothing else.

    Parameters
    ----------
    layout, columns, given
        As for `ask`; everything where `given` is None.

    Returns
    -------
    blocks : tuple of str
        Names of the blocks, that of the scalars not among them.
    columns : tuple of int
        Numbers of the scalar columns.

    Raises
    ------
    ConfigError
        Where a name is unknown.
    """
    if given is None:
        return tuple(_other_blocks(layout)), tuple(range(len(columns)))
    listed = [given] if isinstance(given, str) else list(given)
    named = set[str]().union(*_names("given", listed, layout, columns))
    blocks = tuple(name for name in _other_blocks(layout) if name in named)
    return blocks, tuple(i for i, name in enumerate(columns) if name in named)


def predicted_columns(config: Config) -> tuple[str, ...]:
    """The columns that a config has predicted field by field.

    Raises
    ------
    ConfigError
        Where ``predict`` names a column or block that the run does not have.
    """
    parts, asked = config.tokenizers, config.predict
    columns = parts.scalar.columns
    wanted = asked.columns
    if wanted is None:
        wanted = tuple(name for name in DEFAULT_COLUMNS if name in columns)
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        must = "columns of tokenizers.scalar.columns"
        message = must_be("predict.columns", must, unknown[0])
        raise ConfigError(message + suggestion(unknown[0], columns))
    if wanted:
        layout = sequence_layout(parts)
        shuffled = config.sequences.block_order == "shuffled"
        ask(layout, columns, wanted, asked.given, shuffled)
    return wanted


def _other_blocks(layout: SequenceLayout) -> list[str]:
    return [block.name for block in layout.blocks if block.name != SCALAR]


def _names(
    what: str, listed: Sequence[str], layout: SequenceLayout, columns: Sequence[str]
) -> tuple[set[str], set[str]]:
    """Columns and blocks named one by one, and those named by their modality."""
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


def _question(
    asked: set[str],
    rest: set[str],
    layout: SequenceLayout,
    columns: Sequence[str],
    explicit: bool,
) -> Question:
    blocks = _other_blocks(layout)
    return Question(
        columns=tuple(i for i, name in enumerate(columns) if name in asked),
        blocks=tuple(name for name in blocks if name in asked),
        given_columns=tuple(i for i, name in enumerate(columns) if name in rest),
        given_blocks=tuple(name for name in blocks if name in rest),
        explicit=explicit,
    )


def _after(asked: set[str], layout: SequenceLayout, columns: Sequence[str]) -> set[str]:
    """What stands in blocks after that of a target, in the layout's order."""
    inside = {block.name: {block.name} for block in layout.blocks} | {SCALAR: set(columns)}
    first = next(i for i, block in enumerate(layout.blocks) if inside[block.name] & asked)
    return {name for block in layout.blocks[first + 1 :] for name in inside[block.name]}
