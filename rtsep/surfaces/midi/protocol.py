"""Messages between a session and the process that holds its MIDI ports.

A key identifies a port: it counts the wanted names from 0; ports that are open because all are wanted follow.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from rtsep.realtime.wire import Message, Wire

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]

# --- to the process -------------------------------------------------------------------------------------


class Hold(Message, frozen=True):
    """Task of the process: hold the ports of these names until its standard input closes."""

    wanted: list[str]  # "virtual", or "" for every port


class List(Message, frozen=True):
    """Other task: report all inputs with one `Ports`, and end."""


class Send(Message, frozen=True):
    """Send these MIDI messages to the output of a port, if it has one."""

    key: int
    messages: list[list[Byte]]


TASKS: Wire[Hold | List] = Wire(Hold | List)
"""Messages on the command line of the process."""

COMMANDS: Wire[Send] = Wire(Send)
"""Messages to the standard input of the process."""

# --- from the process -----------------------------------------------------------------------------------


class Event(Message, frozen=True):
    """Base class of events of the process.

    An event can also be read as a mapping: its kind gives its first field (True without fields), the name of
    a field gives that field. `"opened" in event` tests the kind; `event["name"]` raises `KeyError` if there
    is no such field.
    """

    @property
    def kind(self) -> str:
        """Return the kind of the event, as on the line."""
        return str(self.__struct_config__.tag)

    def __contains__(self, name: object) -> bool:
        return name == self.kind or name in self.__struct_fields__

    def __getitem__(self, name: str) -> Any:
        if name == self.kind:
            return getattr(self, self.__struct_fields__[0]) if self.__struct_fields__ else True
        if name in self.__struct_fields__:
            return getattr(self, name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return `event[name]`, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default


class Ports(Event, frozen=True):
    """The inputs of other programs have changed, or are reported for the first time."""

    ports: dict[str, list[str]]  # names by MIDI system


class Scanned(Event, frozen=True):
    """All available wanted ports have been opened; sent once."""


class Opened(Event, frozen=True):
    """A port is open: messages may come from it."""

    key: int
    name: str
    system: str
    others: list[str]  # further ports that match its wanted name


class Output(Event, frozen=True):
    """A port accepts feedback from now on."""

    key: int


class Closed(Event, frozen=True):
    """A port has disappeared."""

    key: int


class Failed(Event, frozen=True):
    """A port exists but cannot be opened."""

    key: int
    name: str
    why: str


class Received(Event, frozen=True, tag="from"):
    """MIDI messages have come from a port."""

    key: int
    messages: list[list[Byte]]


class Alive(Event, frozen=True):
    """The process does not hang; sent twice a second."""

    at: float  # monotonic time in s


class Broken(Event, frozen=True):
    """Last message of a process that cannot continue."""

    why: str


EVENTS: Wire[Ports | Scanned | Opened | Output | Closed | Failed | Received | Alive | Broken] = Wire(
    Ports | Scanned | Opened | Output | Closed | Failed | Received | Alive | Broken
)
"""Messages from the standard output of the process."""
