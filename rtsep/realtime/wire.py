"""Messages between two processes: typed, one line of JSON each, distinguished by their `kind`.

    class Ready(Message):
        pid: int

    ANSWERS: Wire[Ready | Refused] = Wire(Ready | Refused)
    ANSWERS.decode(encode(Ready(7))) == Ready(7)

A process only acts on results of `Wire.decode`, which refuses a line of an unknown kind, with missing or
extra fields, or with a value of the wrong type.
"""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import msgspec

_SHOWN = 60  # characters of a refused line in the error


class WireError(ValueError):
    """A line is not an expected message; the text is one line, for a log or a user."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower):
    """Base class of all messages; `kind` on the line is the name of the class in lower case, or its `tag`."""


M = TypeVar("M")


class Wire(Generic[M]):
    """One direction between two processes, with its kinds of messages."""

    def __init__(self, kinds: Any) -> None:
        """`kinds` is a subclass of `Message`, or a union of some."""
        self._kinds = kinds

    def decode(self, line: str | bytes) -> M:
        """Return the message in `line`. Raise `WireError`."""
        try:
            plain = json.loads(line)
            message: M = msgspec.convert(plain, self._kinds)
            if "kind" not in plain:  # msgspec does not require it if there is only one kind
                raise ValueError("Object missing required field `kind`")
        except (
            ValueError,
            RecursionError,
        ) as error:  # ValueError: msgspec's and UTF-8's, too
            shown = repr(line.strip()[:_SHOWN])
            raise WireError(f"not a message of this version of rtsep: {shown} ({error})") from None
        return message


def encode(message: Message) -> str:
    """Return the line for `message`, with its end. Text that is not valid Unicode (a path) is supported."""
    return json.dumps(msgspec.to_builtins(message)) + "\n"
