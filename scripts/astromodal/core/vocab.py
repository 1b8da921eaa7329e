"""The joint vocabulary, which maps the codes of all modalities to token ids.

The order of ids is: pad, bos, eos, sep, miss; the image codes; the bins of every scalar column, in
config order; the bins of the columns of a cutout's place and brightness; the bins of one more
column per spectrum group, for the scale of its flux; the codes of each spectrum group. It depends
on the config alone, so a column or group without data keeps its ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from astromodal.errors import ConfigError, must_be

PAD, BOS, EOS, SEP, MISS = range(5)
N_SPECIAL = 5
MISSING_CODE = 65535
"""A code on disk (uint16) that stands for a missing value."""

N_TYPES = 16
"""Number of token types."""
TYPE_SPECIAL, TYPE_IMAGE, TYPE_SCALAR, TYPE_SPECTRUM, TYPE_ASKED = 0, 1, 2, 3, N_TYPES - 1
"""Token types: BOS, EOS and padding; image; scalar; the first spectrum group (others follow); the
scalar columns that are asked at the end of a sequence."""


@dataclass(frozen=True)
class VocabSpec:
    """Sizes and offsets of the joint vocabulary.

    Attributes
    ----------
    v_image, v_scalar, v_spectra : int
        Ids of the image codebook, of all scalar columns together, of one spectrum group.
    spectrum_groups : tuple of str
        Groups in vocabulary order.
    n_bins : int or None
        Bins of one scalar column, of which `v_scalar` is a multiple. If it is None, the offsets of
        single columns are not known.
    n_brightness : int
        Scalar columns of place and brightness of cutouts, which stand before the groups' scales.
    """

    v_image: int
    v_scalar: int
    v_spectra: int
    spectrum_groups: tuple[str, ...]
    n_bins: int | None
    n_brightness: int = 0

    @property
    def image_offset(self) -> int:
        """Id of image code 0."""
        return N_SPECIAL

    @property
    def scalar_offset(self) -> int:
        """Id of bin 0 of the first scalar column."""
        return N_SPECIAL + self.v_image

    @property
    def n_columns(self) -> int:
        """Number of scalar columns, with the brightness of cutouts and the scales of spectra."""
        return self.v_scalar // self._bins()

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return N_SPECIAL + self.v_image + self.v_scalar + self.v_spectra * len(self.spectrum_groups)

    def column_offset(self, column: int) -> int:
        """Return the id of bin 0 of a scalar column, by its number."""
        return self.scalar_offset + column * self._bins()

    def scale_column(self, group: str) -> int:
        """Return the number of the scalar column for the scale of a group's spectra."""
        return self.n_columns - len(self.spectrum_groups) + self._index(group)

    @property
    def brightness_column(self) -> int:
        """Number of the first scalar column of the brightness of cutouts."""
        return self.n_columns - len(self.spectrum_groups) - self.n_brightness

    def spectrum_offset(self, group: str) -> int:
        """Return the id of code 0 of a spectrum group."""
        return self.scalar_offset + self.v_scalar + self._index(group) * self.v_spectra

    def spectrum_type(self, group: str) -> int:
        """Return the token type of a spectrum group's block."""
        return TYPE_SPECTRUM + self._index(group)

    def _bins(self) -> int:
        if self.n_bins is None:
            do = "give build_vocab_spec tokenizers.scalar.n_bins"
            raise ConfigError(must_be("n_bins", "known to place a scalar column", None, do))
        return self.n_bins

    def _index(self, group: str) -> int:
        if group not in self.spectrum_groups:
            raise ConfigError(must_be("spectrum group", f"one of {self.spectrum_groups}", group))
        return self.spectrum_groups.index(group)

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as a dict for JSON, with offsets for other programs."""
        offsets = {
            "image": self.image_offset,
            "scalar": self.scalar_offset,
            **{group: self.spectrum_offset(group) for group in self.spectrum_groups},
        }
        special = {"pad": PAD, "bos": BOS, "eos": EOS, "sep": SEP, "miss": MISS}
        return {**asdict(self), "spectrum_groups": list(self.spectrum_groups),
                "vocab_size": self.vocab_size, "special": special, "offsets": offsets}  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VocabSpec:
        """Return the spec of a dict that `as_dict` returned."""
        return build_vocab_spec(
            v_image=values["v_image"],
            v_scalar=values["v_scalar"],
            v_spectra=values["v_spectra"],
            spectrum_groups=values["spectrum_groups"],
            n_bins=values["n_bins"],
            n_brightness=values["n_brightness"],
        )


def build_vocab_spec(
    v_image: int,
    v_scalar: int,
    v_spectra: int,
    spectrum_groups: Sequence[str],
    n_bins: int | None = None,
    n_brightness: int = 0,
) -> VocabSpec:
    """Lay out the joint vocabulary.

    Parameters
    ----------
    v_image, v_scalar, v_spectra : int
        Ids of images, of all scalar columns together (brightness of cutouts and scales of groups
        included), of one group: the three entries of ``config.vocab``.
    spectrum_groups : sequence of str
        Groups in vocabulary order.
    n_bins : int, optional
        Bins of one scalar column; needed for the ids of single columns.
    n_brightness : int, optional
        Scalar columns of the brightness of cutouts; needed for their ids.

    Raises
    ------
    ConfigError
        If `v_scalar` is not a multiple of `n_bins`, has no columns for brightness and scales, or
        groups repeat or are more than there are token types for.
    """
    groups = len(spectrum_groups)
    if n_bins and (v_scalar % n_bins or v_scalar // n_bins < n_brightness + groups):
        must = f"a multiple of n_bins = {n_bins} with a column for each of {groups} groups"
        must += f" and {n_brightness} columns of brightness" if n_brightness else ""
        raise ConfigError(must_be("v_scalar", must, v_scalar))
    if len(set(spectrum_groups)) != len(spectrum_groups):
        raise ConfigError(must_be("spectrum_groups", "unique", list(spectrum_groups)))
    if groups > (most := TYPE_ASKED - TYPE_SPECTRUM):
        raise ConfigError(must_be("spectrum_groups", f"at most {most} groups", groups))
    return VocabSpec(v_image, v_scalar, v_spectra, tuple(spectrum_groups), n_bins, n_brightness)
