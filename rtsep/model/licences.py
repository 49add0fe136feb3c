"""The licence of a model, short and in full, from the training sets in its description.

A model file lists its training sets, one line each: `NAME: MINUTES min, LICENCE` (`ModelSpec.data`). The
licence of the model follows from these lines; `train.data.licences` writes it into the file as one sentence.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rtsep.errors import RtsepError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import ModelPackage, read_package

FREE = "free"
NON_COMMERCIAL = "non-commercial"
RESTRICTED = "restricted"
NOT_STATED = "not stated"

TERMS = {
    FREE: "Anyone may use, copy, change and pass on this model for any purpose.",
    NON_COMMERCIAL: "Anyone may use, copy, change and pass on this model for research and for other "
    "non-commercial purposes. No other use is allowed.",
    RESTRICTED: "The licences of its training sets restrict this model. Read them before you use it.",
    NOT_STATED: "No licence is stated. Ask the owner before you use this model.",
}
"""Short licences of a model, each with its meaning."""

NONE_STATED = "none stated"
"""Licence of a set whose line has none."""

FREE_BEGINNING = "free to use"
RESTRICTED_BEGINNING = "restricted by its data"
NOT_STATED_BEGINNING = "the data states no licence"
"""Beginnings of the sentences that `train.data.licences` writes into a model file."""

_BEGINNINGS = {
    FREE_BEGINNING: FREE,
    RESTRICTED_BEGINNING: RESTRICTED,
    NOT_STATED_BEGINNING: NOT_STATED,
}

_FREE = re.compile(
    r"CC0|MIT$|CC BY(-SA)?( \d|,|$)|public[ -]domain|GPL|per Debian package|free (for any|incl)"
)
_NON_COMMERCIAL = re.compile(
    r"\bNC\b|non-?commercial|academic|research|educational|Restricted", re.IGNORECASE
)
_NOT_STATED = re.compile(r"unknown|no licence|none stated")
_NOT_CHECKED = re.compile(r"not checked")


class TrainingSet(NamedTuple):
    """Training set: one line of a model file's data."""

    name: str
    minutes: float  # 0.0 if the line has none
    licence: str  # in the words of its authors


def training_set(line: str) -> TrainingSet:
    """Read one line of `ModelSpec.data`."""
    if found := re.fullmatch(r"(.+?): (\d+(?:\.\d+)?) min, (.*)", line):
        return TrainingSet(found[1], float(found[2]), found[3] or NONE_STATED)
    name, _, licence = line.partition(": ")
    return TrainingSet(name, 0.0, licence or NONE_STATED)


def is_free(licence: str) -> bool:
    """Return whether `licence` allows any use of a recording by anyone."""
    return all(_FREE.match(part) for part in licence.split(" and ")) and not is_non_commercial(licence)


def is_non_commercial(licence: str) -> bool:
    """Return whether `licence` allows only research and other non-commercial use."""
    return bool(_NON_COMMERCIAL.search(licence))


def is_not_stated(licence: str) -> bool:
    """Return whether `licence` is only a note that none was found."""
    return bool(_NOT_STATED.match(licence))


def terms_of(spec: ModelSpec) -> str:
    """Return the short licence of a model: a key of `TERMS`.

    The strictest licence counts, among the training sets and the sentence in the file.
    """
    licences = [training_set(line).licence for line in spec.data]
    found = {_terms_of(licence) for licence in licences}
    if spec.licence:
        found.add(_terms_of(spec.licence))
    strictest_first = (NON_COMMERCIAL, RESTRICTED, NOT_STATED, FREE)
    return next((terms for terms in strictest_first if terms in found), NOT_STATED)


def _terms_of(licence: str) -> str:
    for beginning, terms in _BEGINNINGS.items():
        if licence.startswith(beginning):
            return terms
    if is_non_commercial(licence):
        return NON_COMMERCIAL
    if is_free(licence):
        return FREE
    return NOT_STATED if is_not_stated(licence) else RESTRICTED


def sets_without_licence(data: Iterable[str]) -> list[str]:
    """Return the names of the sets in `data` without a known licence."""
    return _names(data, _NOT_STATED)


def sets_not_checked(data: Iterable[str]) -> list[str]:
    """Return the names of the sets in `data` with a licence known only by its kind."""
    return _names(data, _NOT_CHECKED)


def _names(data: Iterable[str], kind: re.Pattern[str]) -> list[str]:
    return sorted({one.name for one in map(training_set, data) if kind.search(one.licence)})


def sets_by_licence(data: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the sets in `data` by licence, both in order."""
    names: dict[str, set[str]] = {}
    for one in map(training_set, data):
        names.setdefault(one.licence, set()).add(one.name)
    return {licence: sorted(names[licence]) for licence in sorted(names)}


def spdx_of(spec: ModelSpec) -> str:
    """Return the name of the model's licence in an SPDX expression.

    No SPDX licence fits weights trained on sets under many licences; SPDX gives such terms a name that begins
    with `LicenseRef-`.
    """
    return f"LicenseRef-rtsep-model-{terms_of(spec).replace(' ', '-')}"


def licence_text(package: ModelPackage) -> str:
    """Return the text of the licence file beside a shipped model."""
    spec = package.spec
    parts = [
        f"The licence of the rtsep model '{spec.name}' ({package.path.name}): {terms_of(spec)}",
        TERMS[terms_of(spec)],
        "The model comes without warranty of any kind. The rtsep authors add no condition of their own. The "
        "LICENSE file of rtsep covers the program, not this model.",
    ]
    if spec.data:
        parts.append(
            "The terms follow from the recordings that were used for training. None of them is in the file. "
            "Below, each licence is worded as the authors of the sets word it. If a licence asks for "
            "attribution, this list gives it; if it asks for the same terms (share-alike), pass the model "
            "on under these terms."
        )
    if missing := sets_without_licence(spec.data):
        parts.append(f"Sets without a stated licence: {', '.join(missing)}. Their owners decide.")
    if unsure := sets_not_checked(spec.data):
        parts.append(f"Sets whose exact licence was not checked: {', '.join(unsure)}.")
    listed = [
        textwrap.fill(
            f"{licence}: {', '.join(names)}",
            78,
            initial_indent="- ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        for licence, names in sets_by_licence(spec.data).items()
    ]
    filled = [textwrap.fill(part, 78, break_on_hyphens=False) for part in parts]
    return "\n\n".join([*filled, *(["\n".join(listed)] if listed else [])]) + "\n"


def licence_file(model: Path) -> Path:
    """Return the path of the licence file of a shipped model."""
    return model.with_suffix(".LICENSE.txt")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(
            "usage: python -m rtsep.model.licences MODEL.pt ...   (writes MODEL.LICENSE.txt beside each)"
        )
    for name in sys.argv[1:]:
        try:
            licence_file(Path(name)).write_text(licence_text(read_package(Path(name))), encoding="utf-8")
        except RtsepError as error:
            sys.exit(str(error))
