"""The messages between page and server: those of the session's socket, and a few for pages only.

Each is one WebSocket message of JSON. A page has fewer requests than the socket: none that ends the session
or names a path on the disk.
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

MAX_MESSAGE = MAX_LINE
"""Maximum bytes of one message of a page."""

BY = "page"
"""Source of a change by a page."""

# --- from the page -------------------------------------------------------------------------------------


class Seen(Message, frozen=True):
    """The page has received a `State`; without this, at most FRAMES_AHEAD further ones are sent."""


AnyAsked = (
    Get | Set | SwitchModel | SwitchDevice | Record | StopRecording | Pause | Seek | Loop | Stretch
    | LoadPreset | SavePreset | ListPresets | ListModels | ListDevices | Advise | Learn | Seen
)  # fmt: skip

ASKED: Wire[AnyAsked] = Wire(AnyAsked)

HARMLESS: tuple[type[Request], ...] = (Get,)
"""Requests allowed to read-only pages."""

# --- to the page ---------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True):
    """Control, as described by `rtsep.controls.Control`."""

    name: str
    default: float
    minimum: float
    maximum: float
    unit: str
    choices: tuple[str, ...]
    effect: str
    meaning: str


class Welcome(Message, frozen=True):
    """First message to a page, with everything that does not change."""

    turns: bool  # False: this address may only read
    lan: bool  # other devices may open the page; `/phone` has the address
    fresh: bool  # nothing has been chosen yet: `rtsep app`
    max_upload: int = msgspec.field(name="most_upload")  # bytes
    controls: list[Row]
    fader_db: float  # as `rtsep.controls.FADER_DB`
    bands: int  # of a `Picture`, evenly spaced in pitch
    lowest_hz: float
    highest_hz: float
    lowest_speed: float  # of a played file, a factor
    highest_speed: float
    max_key: float  # semitones, up or down


class Away(Message, frozen=True):
    """The session cannot be reached; the server continues to search for it."""

    why: str


def welcome(turns: bool, lan: bool, fresh: bool, max_upload: int) -> Welcome:
    """Return the first message to a page."""
    rows = [
        Row(
            name=c.name,
            default=c.default,
            minimum=c.minimum,
            maximum=c.maximum,
            unit=c.unit,
            choices=c.choices,
            effect=c.effect,
            meaning=c.meaning,
        )
        for c in TABLE
    ]
    return Welcome(
        turns=turns,
        lan=lan,
        fresh=fresh,
        max_upload=max_upload,
        controls=rows,
        fader_db=FADER_DB,
        bands=BANDS,
        lowest_hz=LOWEST_HZ,
        highest_hz=HIGHEST_HZ,
        lowest_speed=LOWEST_SPEED,
        highest_speed=HIGHEST_SPEED,
        max_key=MAX_KEY,
    )
