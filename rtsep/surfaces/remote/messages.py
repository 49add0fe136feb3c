"""The messages between a session and its clients, independent of their transport.

Over the socket each is one line of JSON. `{"kind": "get", "id": 7}` is answered by a `State` with that `id`.
Every request is answered by one message, a refused one by `Refused`. Unrequested messages have the `id` 0.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from rtsep.realtime.wire import Message, Wire

VERSION = 1
"""Version of the messages, raised if an older program would misread a change."""

MAX_LINE = 1 << 16
"""Maximum bytes of one request, including its end."""

FASTEST_HZ = 60.0

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Rate = Annotated[float, msgspec.Meta(ge=0.0, le=FASTEST_HZ)]

# --- to the session ------------------------------------------------------------------------------------


class Request(Message, frozen=True, kw_only=True):
    """Base of all requests."""

    id: int = 0  # returned with the answer
    version: int = VERSION


class Get(Request, frozen=True, kw_only=True):
    """Read the session. Answer: `State`."""


class Set(Request, frozen=True, kw_only=True):
    """Set controls, all of them or, if one value is refused, none. Answer: `Done`."""

    controls: dict[str, float | bool | str]  # a number, or a value as a user types it: "-6dB", "binary"
    by: Word = "remote"  # source of the change, as shown beside a control


class SwitchModel(Request, frozen=True, kw_only=True):
    """Switch to another model, given by name or path. Answer when it is active: `Done`."""

    name: str


class SwitchDevice(Request, frozen=True, kw_only=True):
    """Switch the input, the output, or both. Answer when they play: `Done`."""

    input: str | None = None
    output: str | None = None
    loop: bool = False  # repeat the new input if it is a file; else the session ends with the file


class Record(Request, frozen=True, kw_only=True):
    """Start a take. Answer: `Done` with the folder."""

    folder: str | None = None  # None: the session's folder for takes


class StopRecording(Request, frozen=True, kw_only=True):
    """End the take. Answer: `Done` with its files as text."""


class Pause(Request, frozen=True, kw_only=True):
    """Pause or continue the played file. Answer: `Done`."""

    on: bool = True


class Seek(Request, frozen=True, kw_only=True):
    """Continue at a position in the played file. Answer: `Done`."""

    seconds: float
    relative: bool = False  # relative to the current position, limited to the file


class Loop(Request, frozen=True, kw_only=True):
    """Repeat a part of the file. Answer: `Done`."""

    start: float = 0.0  # s
    end: float | None = None  # s; None: the end of the file
    on: bool = True  # False: play on to the end


class Stretch(Request, frozen=True, kw_only=True):
    """Play the file at another speed, in another key, or both. Answer: `Done`."""

    speed: float | None = None  # a factor, 0.5 to 1.5
    key: float | None = None  # semitones above the recorded key, -6 to 6


class LoadPreset(Request, frozen=True, kw_only=True):
    """Set the controls to the values of a preset. Answer: `Done`."""

    name: str


class SavePreset(Request, frozen=True, kw_only=True):
    """Save the controls as a preset. Answer: `Done`."""

    name: str
    replace: bool = True  # False: refuse a name in use


class ListPresets(Request, frozen=True, kw_only=True):
    """List the presets. Answer: `Choices`."""


class ListModels(Request, frozen=True, kw_only=True):
    """List the models. Answer: `Choices`."""


class ListDevices(Request, frozen=True, kw_only=True):
    """List inputs and outputs. Answer: `Choices`."""


class Advise(Request, frozen=True, kw_only=True):
    """Request remedies for problems so far. Answer: `Done` with a line for each cause."""


class Learn(Request, frozen=True, kw_only=True):
    """Assign the next moved knob or pad to a control. Answer after the move: `Done`."""

    control: str


class Subscribe(Request, frozen=True, kw_only=True):
    """Send a `State` at this rate, and `Lines` for each line; 0: stop. Answer: `Done`.

    A slow reader gets fewer states, always the newest one.
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
    """First line from a session."""

    session: str  # its name
    program: str  # "rtsep 0.1.0"
    version: int = VERSION


class Value(msgspec.Struct, frozen=True):
    """Current value of a control."""

    value: float
    shown: str  # as a user types it
    by: str  # source of the last change; "": none


class State(Message, frozen=True):
    """Complete readable state of a session."""

    session: str  # its name
    state: str  # a value of `SessionState`
    title: str  # input -> output, content, model and latency as text
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
    """Spectrum since the previous picture, and hops by duration, for display."""

    level_db: list[float]  # as in `rtsep.surfaces.players.player.Spectrum`; empty: no new hop
    share: list[float]
    hops: int
    histogram: list[tuple[int, int]]  # bin and hops, of all hops of the engine; without empty bins


class Lines(Message, frozen=True, tag="said"):
    """Lines for the user, in order. Clients of version 1 know them by the kind `said`."""

    lines: list[str]


class Done(Message, frozen=True):
    """A request was carried out."""

    id: int
    words: str = ""


class Choice(msgspec.Struct, frozen=True):
    """Entry of a list."""

    name: str
    note: str
    current: bool
    kind: str  # "input" or "output" of a device, else ""


class Choices(Message, frozen=True):
    """Requested list."""

    id: int
    choices: list[Choice]
    remark: str  # further information


class Refused(Message, frozen=True):
    """A request had no effect."""

    id: int
    why: str  # one line for the user
    code: int  # the exit code of the error, see `rtsep.errors`


AnyAnswer = Hello | State | Picture | Lines | Done | Choices | Refused

ANSWERS: Wire[AnyAnswer] = Wire(AnyAnswer)
