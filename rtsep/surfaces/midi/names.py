"""Names of MIDI ports: which one a person means, and which output belongs to which input."""

from __future__ import annotations

import re
from collections.abc import Sequence

VIRTUAL = "virtual"
ALL = ""
"""What is asked for where every port there is shall be listened to."""

WINDOWS = "Windows MultiMedia"
SYSTEMS = {"alsa": "ALSA", "jack": "Jack", "coremidi": "CoreMIDI", "windows": WINDOWS}
"""What may stand before a name (`jack:virtual`), and how rtmidi calls it."""

OWN_CLIENT, OWN_OUTPUT, OWN_PORT = "rtsep-midi", "rtsep-feedback", "rtsep"
_OWN = (OWN_CLIENT, OWN_OUTPUT)

_ALSA_ID = re.compile(r" \d+:\d+$")
_WINDOWS_ID = re.compile(r" \d+$")
_JACK_NUMBER = re.compile(r"-\d+(?=:)")
_DIRECTION = re.compile(r"\b(?:midi_?)?(capture|playback|input|output|in|out)(?=\b|_|\d)", re.IGNORECASE)


def split_system(text: str) -> tuple[str | None, str]:
    """Split `jack:launch` into rtmidi's name of the system and the rest; without a system, None."""
    prefix, colon, rest = text.partition(":")
    system = SYSTEMS.get(prefix.lower()) if colon else None
    return (system, rest) if system else (None, text)


def foreign(names: Sequence[str]) -> list[str]:
    """Return the names that are not of our own ports (CoreMIDI names a port without its client)."""
    return [name for name in names if not name.startswith(_OWN) and name != OWN_PORT]


def lasting(name: str, system: str = "") -> str:
    """Return what stays of a name when the controller is plugged in again.

    ALSA numbers anew, and rtmidi on Windows puts the place in the list behind each name.
    """
    return (_WINDOWS_ID if system == WINDOWS else _ALSA_ID).sub("", name)


def matching(text: str, names: Sequence[str], system: str = "") -> list[str]:
    """Return the `names` that `text` means: equal ones (but for case), else those it is a part of."""
    wanted = text.lower()
    exact = [name for name in names if wanted in (name.lower(), lasting(name, system).lower())]
    return exact or [name for name in names if wanted in name.lower()]


def twin(name: str, names: Sequence[str], system: str = "") -> str | None:
    """Return the output among `names` of the controller whose input is `name`, if it has one.

    A program that is a JACK client for each direction has one of two numbered by the server (`pad:out`,
    `pad-01:in`): what fits but for that number is its output, if it is the only one.
    """
    wanted = _without_direction(name, system)
    for other in names:
        if _without_direction(other, system) == wanted:
            return other
    unnumbered = _without_direction(_JACK_NUMBER.sub("", name), system)
    near = [other for other in names if _without_direction(_JACK_NUMBER.sub("", other), system) == unnumbered]
    return near[0] if len(near) == 1 else None


def _without_direction(name: str, system: str) -> str:
    return re.sub(r"[\s_:()-]+", " ", _DIRECTION.sub("", lasting(name, system)).lower()).strip()
