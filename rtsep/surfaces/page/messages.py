"""The messages between page and server: those of the session's socket, and the few that only a page needs.

Each is one WebSocket message of JSON. What a page may ask is less than what the socket may: nothing that ends
the session or names a place on the disk.
"""

from __future__ import annotations

import msgspec

from rtsep.controls import FADER_DB, TABLE
from rtsep.limits import HIGHEST_SPEED, LOWEST_SPEED, MAX_KEY
from rtsep.realtime.wire import Message, Wire
from rtsep.surfaces.players.player import BANDS, HIGHEST_HZ, LOWEST_HZ
from rtsep.surfaces.remote.messages import (
    MAX_LINE,
    Advise,
    Get,
    Learn,
    ListDevices,
    ListModels,
    ListPresets,
    LoadPreset,
    Loop,
    Pause,
    Record,
    Request,
    SavePreset,
    Seek,
    Set,
    StopRecording,
    Stretch,
    SwitchDevice,
    SwitchModel,
)

LONGEST_MESSAGE = MAX_LINE
"""Bytes of one message of a page."""

BY = "page"
"""What has moved a control that a page has set."""

# --- from the page -------------------------------------------------------------------------------------


class Seen(Message, frozen=True):
    """The page has taken a `State`; until it says so, only FRAMES_AHEAD further ones come."""


AnyAsked = (
    Get | Set | SwitchModel | SwitchDevice | Record | StopRecording | Pause | Seek | Loop | Stretch
    | LoadPreset | SavePreset | ListPresets | ListModels | ListDevices | Advise | Learn | Seen
)  # fmt: skip

ASKED: Wire[AnyAsked] = Wire(AnyAsked)

HARMLESS: tuple[type[Request], ...] = (Get,)
"""What those may ask that may only read."""

# --- to the page ---------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True):
    """A control, as `rtsep.controls.Control` describes it."""

    name: str
    default: float
    minimum: float
    maximum: float
    unit: str
    choices: tuple[str, ...]
    effect: str
    meaning: str


class Welcome(Message, frozen=True):
    """The first message to a page: what does not change while it is there."""

    turns: bool  # False: this address may only read
    phone: str  # the address for other devices; "": none is served
    fresh: bool  # nothing has been chosen yet: `rtsep app`
    most_upload: int  # bytes
    controls: list[Row]
    fader_db: float  # as `rtsep.controls.FADER_DB`
    bands: int  # of a `Picture`, evenly spaced in pitch
    lowest_hz: float
    highest_hz: float
    lowest_speed: float  # of a played file, a factor
    highest_speed: float
    max_key: float  # semitones, up or down


class Away(Message, frozen=True):
    """The session cannot be reached; the server goes on looking for it."""

    why: str


def welcome(turns: bool, phone: str, fresh: bool, most_upload: int) -> Welcome:
    """Return the first message to a page."""
    rows = [
        Row(c.name, c.default, c.minimum, c.maximum, c.unit, c.choices, c.effect, c.meaning) for c in TABLE
    ]
    stretch = (LOWEST_SPEED, HIGHEST_SPEED, MAX_KEY)
    return Welcome(turns, phone, fresh, most_upload, rows, FADER_DB, BANDS, LOWEST_HZ, HIGHEST_HZ, *stretch)
