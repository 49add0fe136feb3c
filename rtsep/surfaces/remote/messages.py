"""The messages between a session and those that attach to it: each kind once, whatever carries it.

Over the socket each is one line of JSON. `{"kind": "get", "id": 7}` is answered by a `State` with that `id`.
Every request is answered by one message, a refused one by `Refused`. Where nobody has asked, `id` is 0.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from rtsep.realtime.wire import Message, Wire

VERSION = 1
"""Raised where a message changes so that an older program would misread it."""

MAX_LINE = 1 << 16
"""Bytes of one request, its end included."""

FASTEST_HZ = 60.0

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Rate = Annotated[float, msgspec.Meta(ge=0.0, le=FASTEST_HZ)]

# --- to the session ------------------------------------------------------------------------------------


class Request(Message, frozen=True, kw_only=True):
    """Base of all requests."""

    id: int = 0  # comes back with the answer
    version: int = VERSION


class Get(Request, frozen=True, kw_only=True):
    """Read the session. Answer: `State`."""


class Set(Request, frozen=True, kw_only=True):
    """Set controls, all of them or, if one value is refused, none. Answer: `Done`."""

    controls: dict[str, float | bool | str]  # a number, or a value as a person writes it: "-6dB", "binary"
    by: Word = "remote"  # what moved them, as shown beside a control


class SwitchModel(Request, frozen=True, kw_only=True):
    """Play with another model, by name or path. Answer, once it is heard: `Done`."""

    name: str


class SwitchDevice(Request, frozen=True, kw_only=True):
    """Play from another input, to another output, or both. Answer, once that plays: `Done`."""

    input: str | None = None
    output: str | None = None


class Record(Request, frozen=True, kw_only=True):
    """Begin a take. Answer: `Done` with the folder."""

    folder: str | None = None  # None: where the session keeps its takes


class StopRecording(Request, frozen=True, kw_only=True):
    """End the take. Answer: `Done` with its files in words."""


class Pause(Request, frozen=True, kw_only=True):
    """Let the played file stand still, or go on. Answer: `Done`."""

    on: bool = True


class Seek(Request, frozen=True, kw_only=True):
    """Play on from a place in the played file. Answer: `Done`."""

    seconds: float
    relative: bool = False  # from where it is; it ends at the ends of the file


class Loop(Request, frozen=True, kw_only=True):
    """Play a part of the file again and again. Answer: `Done`."""

    start: float = 0.0  # s
    end: float | None = None  # s; None: the end of the file
    on: bool = True  # False: play on to the end


class Stretch(Request, frozen=True, kw_only=True):
    """Play the file at another speed, in another key, or both. Answer: `Done`."""

    speed: float | None = None  # a factor, 0.5 to 1.5
    key: float | None = None  # semitones above the recorded key, -6 to 6


class LoadPreset(Request, frozen=True, kw_only=True):
    """Set the controls as a preset has them. Answer: `Done`."""

    name: str


class SavePreset(Request, frozen=True, kw_only=True):
    """Keep the controls as a preset, in place of one of that name. Answer: `Done`."""

    name: str


class ListPresets(Request, frozen=True, kw_only=True):
    """List the presets. Answer: `Choices`."""


class ListModels(Request, frozen=True, kw_only=True):
    """List the models. Answer: `Choices`."""


class ListDevices(Request, frozen=True, kw_only=True):
    """List inputs and outputs. Answer: `Choices`."""


class Advise(Request, frozen=True, kw_only=True):
    """Ask what to do about what went wrong. Answer: `Done` with a line for each cause."""


class Learn(Request, frozen=True, kw_only=True):
    """Let the knob or pad that is moved next turn a control. Answer, once it was moved: `Done`."""

    control: str


class Subscribe(Request, frozen=True, kw_only=True):
    """Send a `State` so many times a second, and `Said` for each line; 0: no more. Answer: `Done`.

    A reader that is too slow gets fewer states, the newest each time.
    """

    rate: Rate = 10.0  # Hz
    picture: bool = False  # `Picture` as well


class End(Request, frozen=True, kw_only=True):
    """End the session. Answer: `Done`."""


AnyRequest = (
    Get | Set | SwitchModel | SwitchDevice | Record | StopRecording | Pause | Seek | Loop | Stretch
    | LoadPreset | SavePreset | ListPresets | ListModels | ListDevices | Advise | Learn | Subscribe | End
)  # fmt: skip

REQUESTS: Wire[AnyRequest] = Wire(AnyRequest)

# --- from the session ----------------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """The first line that a session sends."""

    session: str  # its name
    program: str  # "rtsep 0.1.0"
    version: int = VERSION


class Value(msgspec.Struct, frozen=True):
    """A control as it stands."""

    value: float
    shown: str  # as a person writes it
    by: str  # what has moved it last; "": nothing


class State(Message, frozen=True):
    """All that can be read of a session."""

    session: str  # its name
    state: str  # a value of `SessionState`
    title: str  # input -> output, what comes out, model and latency, in words
    ends: str  # input -> output
    input: str  # device or file
    output: str
    model: str
    controls: dict[str, Value]
    recordings: list[dict[str, str]]  # the files of finished takes, by stem
    hop_budget_us: float
    stats: dict[str, Any]  # as `rtsep live --json` prints: latency, levels, late masks, recording and so on
    id: int = 0


class Picture(Message, frozen=True):
    """What was heard since the last one, and hops by duration, for a picture of it."""

    level_db: list[float]  # as in `rtsep.surfaces.players.player.Heard`; empty: nothing was heard
    share: list[float]
    hops: int
    histogram: list[tuple[int, int]]  # bin and hops, of all hops of the engine; without empty bins


class Said(Message, frozen=True):
    """Lines for the user, in order."""

    lines: list[str]


class Done(Message, frozen=True):
    """A request has had its effect."""

    id: int
    words: str = ""


class Choice(msgspec.Struct, frozen=True):
    """An entry of a list."""

    name: str
    note: str
    current: bool
    kind: str  # "input" or "output" of a device, else ""


class Choices(Message, frozen=True):
    """A list that was asked for."""

    id: int
    choices: list[Choice]
    remark: str  # what else is to be known of it


class Refused(Message, frozen=True):
    """A request had no effect."""

    id: int
    why: str  # one line for the user
    code: int  # the exit code of the error, see `rtsep.errors`


AnyAnswer = Hello | State | Picture | Said | Done | Choices | Refused

ANSWERS: Wire[AnyAnswer] = Wire(AnyAnswer)
