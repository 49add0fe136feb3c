"""What a model's training data allows: lines for its card, and the licence that follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from train.cache import RATE, Song

FREE = re.compile(
    r"CC0|MIT$|CC BY(-SA)?( \d|,|$)|public[ -]domain|GPL|per Debian package|free (for any|incl)"
)
"""Licences under which anyone may use a recording for anything; every other one restricts the model."""

OPEN = re.compile(r"(CC0( 1\.0)?|MIT|CC BY( \d\.\d)?|public[ -]domain( dedication)?|per Debian package)$")
"""Recordings that a model for anyone and anything may learn from: not what a separator made of them."""

SHARE_ALIKE = re.compile(r"CC BY-SA|GPL|per Debian package")
"""Free ones that ask for the same terms in turn; a package's own file says which it has."""

_RESEARCH = re.compile(r"\bNC\b|non-?commercial|academic|research|educational|Restricted", re.IGNORECASE)
_UNKNOWN = re.compile(r"unknown|no licence")


def data_of(songs: Iterable[Song]) -> tuple[str, ...]:
    """One line for each set among `songs`: minutes, licence."""
    minutes: dict[tuple[str, str], float] = {}
    for song in songs:
        key = (song.source, song.licence)
        minutes[key] = minutes.get(key, 0.0) + song.frames / RATE / 60
    return tuple(
        f"{source}: {sum_:.1f} min, {licence}" for (source, licence), sum_ in sorted(minutes.items())
    )


def heard(before: Iterable[str], now: Iterable[str]) -> tuple[str, ...]:
    """Lines of all sets that a run ever heard: those of today, and of earlier those gone from the cache."""
    sets = {re.sub(r": \S+ min, ", ": ", line): line for line in (*before, *now)}  # a set and a licence: once
    return tuple(sorted(sets.values()))


def licence_of(data: Iterable[str]) -> str:
    """The licence of a model trained on these sets, in a sentence that names what restricts it."""
    licences = sorted({line.partition(" min, ")[2] for line in data})
    if not licences:
        return ""
    unfree = [licence for licence in licences if not _is_free(licence)]
    stated = [licence for licence in unfree if _RESEARCH.search(licence) or not _UNKNOWN.match(licence)]
    silent = "no licence is stated for a part of the data: whoever owns it decides"
    also = f"; {silent}" if len(stated) < len(unfree) else ""
    if any(_RESEARCH.search(licence) for licence in stated):
        return f"research and non-commercial use only: trained on material under {'; '.join(stated)}{also}"
    if stated:
        return f"restricted by its data: {'; '.join(stated)}{also}"
    if unfree:
        return "the data states no licence: whoever owns it decides"
    under = "; ".join(licences)
    if any(SHARE_ALIKE.search(licence) for licence in licences):
        return f"free to use, under the same terms where its data asks for that (share-alike): {under}"
    return f"free to use in anything: trained on freely licensed material alone ({under})"


def is_open(licence: str) -> bool:
    """Whether recordings under `licence` may teach a model for anyone and anything."""
    return bool(OPEN.match(licence))


def _is_free(licence: str) -> bool:
    return all(FREE.match(part) for part in licence.split(" and ")) and not _RESEARCH.search(licence)
