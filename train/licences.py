"""What a model's training data allows: lines for its card, and the licence that follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from train.cache import RATE, AudioCache

FREE = re.compile(r"CC0|CC BY( \d|-SA \d|$)|public-domain|GPL|per Debian package|free (for any|incl)")
"""Licences under which anyone may use a recording for anything; every other one restricts the model."""


def data_of(cache: AudioCache) -> tuple[str, ...]:
    """One line for each training set: minutes, licence."""
    minutes: dict[tuple[str, str], float] = {}
    for song in cache.select("train"):
        key = (song.source, song.licence)
        minutes[key] = minutes.get(key, 0.0) + song.frames / RATE / 60
    return tuple(
        f"{source}: {sum_:.1f} min, {licence}" for (source, licence), sum_ in sorted(minutes.items())
    )


def licence_of(data: Iterable[str]) -> str:
    """The licence of a model trained on these sets, in a sentence."""
    licences = [line.partition(" min, ")[2] for line in data]
    if not licences:
        return ""
    if not all(FREE.match(licence) for licence in licences):
        return (
            "research and non-commercial use only: trained on material under CC BY-NC-SA "
            "and on material for academic purposes"
        )
    return "free to use in anything: trained on CC0, CC BY and freely licensed material alone"
