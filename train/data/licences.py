"""Licences of training data: lines for the model card, and the licence of the model."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable

from rtsep.errors import ModelError
from rtsep.files.names import one_line
from rtsep.model.contract import ModelSpec
from rtsep.model.licences import (
    FREE_BEGINNING,
    NOT_STATED_BEGINNING,
    RESTRICTED_BEGINNING,
    is_free,
    is_non_commercial,
    is_not_stated,
    training_set,
)
from rtsep.model.package import MAX_SPEC
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


_SENTENCE = 10_000  # characters of licences in the sentence; a model file takes twice as many
_OF_OTHERS = 1 << 16  # bytes of a spec beside its data


def plain(text: str) -> str:
    """Return `text` in one line that a model file can hold: plain spaces, no control characters, UTF-8."""
    return one_line(" ".join(text.split())).encode("utf-8", "backslashreplace").decode()


def data_of(songs: Iterable[Song]) -> tuple[str, ...]:
    """Return a line with minutes and licence for each set among `songs`."""
    minutes: dict[tuple[str, str], float] = {}
    for song in songs:
        key = (plain(song.source), plain(song.licence))
        minutes[key] = minutes.get(key, 0.0) + song.frames / RATE / 60
    return tuple(
        f"{source}: {sum_:.1f} min, {licence}" for (source, licence), sum_ in sorted(minutes.items())
    )


def all_sets(before: Iterable[str], now: Iterable[str]) -> tuple[str, ...]:
    """Return the lines of all sets that a run was trained on, those gone from the cache included."""
    sets = {
        re.sub(r": \S+ min, ", ": ", line): line for line in map(plain, (*before, *now))
    }  # one line for each set and licence
    return tuple(sorted(sets.values()))


def check_data(data: tuple[str, ...]) -> None:
    """Check that a model file can hold these lines; a run on them could not be exported else.

    Raises `ModelError`.
    """
    try:
        spec = ModelSpec(
            name="", system="", n_fft=2048, synthesis=512, hop=256, state_size=0,
            data=data, licence=licence_of(data),
        )  # fmt: skip
    except ModelError as error:
        raise ModelError(f"no model file holds the names and licences of the data ({error})") from None
    size = len(json.dumps(spec.data, indent=4)) + _OF_OTHERS
    if size > MAX_SPEC:
        raise ModelError(
            f"the names and licences of {len(data):,} sets are too long for a model file ({size:,} bytes of "
            f"{MAX_SPEC:,}); prepare the data from fewer folders"
        )


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
        return f"research and non-commercial use only: trained on material under {_listed(stated)}{also}"
    if stated:
        return f"{RESTRICTED_BEGINNING}: {_listed(stated)}{also}"
    if unfree:
        return f"{NOT_STATED_BEGINNING}: the owner of the data decides"
    under = _listed(licences)
    if any(SHARE_ALIKE.search(licence) for licence in licences):
        return f"{FREE_BEGINNING}, under the same terms where its data asks for that (share-alike): {under}"
    return f"{FREE_BEGINNING} in anything: trained on freely licensed material alone ({under})"


def _listed(licences: list[str]) -> str:
    """Return the licences in a list; only the number of those beyond `_SENTENCE` characters."""
    lengths = itertools.accumulate(len(licence) + 2 for licence in licences)
    kept = licences[: sum(length <= _SENTENCE for length in lengths)]
    left_out = len(licences) - len(kept)
    return "; ".join([*kept, f"{left_out} more, as listed with the data"] if left_out else kept)


def is_open(licence: str) -> bool:
    """Return whether recordings under `licence` allow a model without restrictions."""
    return bool(OPEN.match(licence))
