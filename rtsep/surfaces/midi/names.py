"""Names of MIDI ports: matching of a user's text, and of outputs to inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence

VIRTUAL = "virtual"
ALL = ""
"""Requested name for every available port."""

WINDOWS = "Windows MultiMedia"
SYSTEMS = {"alsa": "ALSA", "jack": "Jack", "coremidi": "CoreMIDI", "windows": WINDOWS}
"""Prefixes of a name (`jack:virtual`), with rtmidi's names of the systems."""

OWN_CLIENT, OWN_OUTPUT, OWN_PORT = "rtsep-midi", "rtsep-feedback", "rtsep"
_OWN = (OWN_CLIENT, OWN_OUTPUT)

_ALSA_ID = re.compile(r" \d+:\d+$")
_WINDOWS_ID = re.compile(r" \d+$")
_JACK_NUMBER = re.compile(r"-\d+(?=:)")
_DIRECTION = re.compile(r"\b(?:midi_?)?(capture|playback|input|output|in|out)(?=\b|_|\d)", re.IGNORECASE)


def split_system(text: str) -> tuple[str | None, str]:
    """Split `jack:launch` into rtmidi's name of the system and the rest; None without a system."""
    prefix, colon, rest = text.partition(":")
    system = SYSTEMS.get(prefix.lower()) if colon else None
    return (system, rest) if system else (None, text)


def foreign(names: Sequence[str]) -> list[str]:
    """Return the names of ports that are not rtsep's (CoreMIDI names a port without its client)."""
    return [name for name in names if not name.startswith(_OWN) and name != OWN_PORT]


def lasting(name: str, system: str = "") -> str:
    """Return the part of a name that stays the same when the controller is plugged in again.

    ALSA renumbers, and rtmidi on Windows appends the position in the list to each name.
    """
    return (_WINDOWS_ID if system == WINDOWS else _ALSA_ID).sub("", name)


def matching(text: str, names: Sequence[str], system: str = "") -> list[str]:
    """Return the `names` that match `text`: equal ones (ignoring case), else those that contain it."""
    wanted = text.lower()
    exact = [name for name in names if wanted in (name.lower(), lasting(name, system).lower())]
    return exact or [name for name in names if wanted in name.lower()]


def twin(name: str, names: Sequence[str], system: str = "") -> str | None:
    """Return the output among `names` of the controller with the input `name`, if it has one.

    For a program with a JACK client for each direction, the server numbers one of the two (`pad:out`,
    `pad-01:in`): a name that matches without that number is its output, if it is the only one.
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
