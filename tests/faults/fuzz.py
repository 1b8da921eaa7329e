"""Damage to files, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]
"""From a file's bytes to damaged ones."""


def examples(percent: int) -> settings:
    """That part of the profile's examples: 100 of them in `make test`, 2000 in `make faults`."""
    return settings(max_examples=max(1, settings.default.max_examples * percent // 100))


def flips(begin: float = 0.0, end: float = 1.0) -> st.SearchStrategy[Damage]:
    """A bit that is not what it was, somewhere between two fractions of the file."""

    def flip(place: float, bit: int) -> Damage:
        def damage(whole: bytes) -> bytes:
            at = min(int(place * len(whole)), len(whole) - 1)
            return whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]

        return damage

    return st.builds(flip, st.floats(begin, end), st.integers(0, 7))


def cuts() -> st.SearchStrategy[Damage]:
    """A file that ends too early."""
    return st.floats(0, 1, exclude_max=True).map(lambda part: lambda w: w[: int(part * len(w))])


def holes() -> st.SearchStrategy[Damage]:
    """A run of zeros, as a lost block of a disk leaves it."""

    def hole(place: float, length: int) -> Damage:
        def damage(whole: bytes) -> bytes:
            at = int(place * len(whole))
            return whole[:at] + bytes(min(length, len(whole) - at)) + whole[at + length :]

        return damage

    return st.builds(hole, st.floats(0, 1), st.integers(1, 4096))


def strangers() -> st.SearchStrategy[Damage]:
    """Other bytes in the place of some."""

    def replace(place: float, other: bytes) -> Damage:
        def damage(whole: bytes) -> bytes:
            at = int(place * len(whole))
            return whole[:at] + other + whole[at + len(other) :]

        return damage

    return st.builds(replace, st.floats(0, 1), st.binary(min_size=1, max_size=64))
