"""Licences of training data: lines for the model card, and the licence of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rtsep.model.licences import (
    FREE_BEGINNING,
    NOT_STATED_BEGINNING,
    RESTRICTED_BEGINNING,
    is_free,
    is_non_commercial,
    is_not_stated,
    training_set,
)
from train.data.cache import RATE, Song

OPEN_TEACHERS = ("Spleeter 2 stems, offline",)
"""Separators under an MIT licence, by title: what they make of an open recording stays open."""

OPEN = re.compile(
    r"(CC0( 1\.0)?|MIT|CC BY( \d\.\d)?|public[ -]domain( dedication)?|per Debian package)"
    rf"(, stems by ({'|'.join(map(re.escape, OPEN_TEACHERS))}))?$"
)
"""Licences of recordings for models without restrictions. Stems by any other separator do not count."""

SHARE_ALIKE = re.compile(r"CC BY-SA|GPL|per Debian package")
"""Free licences that require the same terms; the file of a package states which one it has."""


def data_of(songs: Iterable[Song]) -> tuple[str, ...]:
    """Return a line with minutes and licence for each set among `songs`."""
    minutes: dict[tuple[str, str], float] = {}
    for song in songs:
        key = (song.source, song.licence)
        minutes[key] = minutes.get(key, 0.0) + song.frames / RATE / 60
    return tuple(
        f"{source}: {sum_:.1f} min, {licence}" for (source, licence), sum_ in sorted(minutes.items())
    )


def all_sets(before: Iterable[str], now: Iterable[str]) -> tuple[str, ...]:
    """Return the lines of all sets that a run was trained on, those gone from the cache included."""
    sets = {
        re.sub(r": \S+ min, ", ": ", line): line for line in (*before, *now)
    }  # one line for each set and licence
    return tuple(sorted(sets.values()))


def licence_of(data: Iterable[str]) -> str:
    """Return the licence of a model trained on these sets, as a sentence that names the restrictions."""
    licences = sorted({training_set(line).licence for line in data})
    if not licences:
        return ""
    unfree = [licence for licence in licences if not is_free(licence)]
    stated = [licence for licence in unfree if is_non_commercial(licence) or not is_not_stated(licence)]
    silent = "no licence is stated for a part of the data: its owner decides"
    also = f"; {silent}" if len(stated) < len(unfree) else ""
    if any(is_non_commercial(licence) for licence in stated):
        return f"research and non-commercial use only: trained on material under {'; '.join(stated)}{also}"
    if stated:
        return f"{RESTRICTED_BEGINNING}: {'; '.join(stated)}{also}"
    if unfree:
        return f"{NOT_STATED_BEGINNING}: the owner of the data decides"
    under = "; ".join(licences)
    if any(SHARE_ALIKE.search(licence) for licence in licences):
        return f"{FREE_BEGINNING}, under the same terms where its data asks for that (share-alike): {under}"
    return f"{FREE_BEGINNING} in anything: trained on freely licensed material alone ({under})"


def is_open(licence: str) -> bool:
    """Return whether recordings under `licence` allow a model without restrictions."""
    return bool(OPEN.match(licence))
