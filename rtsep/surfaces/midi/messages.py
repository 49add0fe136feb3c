"""Conversion of MIDI messages to events (7- and 14-bit controllers, NRPNs, notes, program changes) and back.

Messages that cannot move a control (clock, active sensing, SysEx, pitch bend, pressure) give no event.
References: MIDI 1.0 Detailed Specification (MMA, 1996), tables II to IV; controller pairs: page 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Message = Sequence[int]

CC, CC14, NRPN, NRPN_STEP, NOTE, PROGRAM = "cc", "cc14", "nrpn", "nrpn step", "note", "program"

MAX_7, MAX_14 = 127, 16383

_NOTE_OFF, _NOTE_ON, _CONTROL_CHANGE, _PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0
_DATA, _DATA_LSB, _INCREMENT, _DECREMENT = 6, 38, 96, 97
_NRPN_LSB, _NRPN_MSB, _RPN_LSB, _RPN_MSB = 98, 99, 100, 101
LSB_OFFSET = 32
"""Controllers 32 to 63 carry the fine half of 0 to 31."""

_NONE_CHOSEN = -1
_UNKNOWN = -1


class Event(NamedTuple):
    """Single action of a player."""

    kind: str  # CC, CC14, NRPN, NRPN_STEP, NOTE or PROGRAM
    channel: int  # 1..16
    number: int  # of the controller, NRPN, note or program
    value: int  # 0..most; for a note its velocity (0: released), for a step +1 or -1
    max_value: int = MAX_7

    def __str__(self) -> str:
        """Return the line that `rtsep midi monitor` prints."""
        where = f"channel {self.channel}"
        if self.kind == PROGRAM:
            return f"{where}  program {self.number}"
        if self.kind == NRPN_STEP:
            return f"{where}  nrpn {self.number} {self.value:+d}"
        if self.kind == NOTE:
            what = f"velocity {self.value}" if self.value else "off"
            return f"{where}  note {self.number} ({note_name(self.number)}) {what}"
        return f"{where}  {self.kind} {self.number} = {self.value} of {self.max_value}"


class _Pair:
    """Value that arrives in two halves, the coarse one first.

    By the specification, a coarse half sets the fine one to 0: applied at once, every coarse step down would
    first fall through the whole step. Therefore a coarse half waits for its fine half, if the sender has ever
    sent one.
    """

    __slots__ = ("coarse", "fine", "waits")

    def __init__(self) -> None:
        self.coarse = self.fine = _UNKNOWN
        self.waits = False

    def take_coarse(self, value: int) -> tuple[int, int] | None:
        """Return value and maximum if they are now known."""
        overdue = self.settle()
        self.coarse = value
        if self.fine == _UNKNOWN:
            return value, MAX_7
        self.waits = True
        return overdue

    def take_fine(self, value: int) -> tuple[int, int] | None:
        self.fine = value
        self.waits = False
        return None if self.coarse == _UNKNOWN else (self.coarse << 7 | value, MAX_14)

    def settle(self) -> tuple[int, int] | None:
        """Return the waiting value, because no fine half has come."""
        if not self.waits:
            return None
        self.fine, self.waits = 0, False
        return self.coarse << 7, MAX_14


class Decoder:
    """Converts the messages of one port to events; call `settle` after a short quiet time."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, int, int], _Pair] = {}  # by kind, channel, number
        self._chosen: dict[int, list[int]] = {}  # by channel: MSB and LSB of the NRPN that data belongs to
        self._waiting: set[tuple[str, int, int]] = set()

    @property
    def waits(self) -> bool:
        """Return whether a coarse half waits for its fine half."""
        return bool(self._waiting)

    def feed(self, message: Message) -> list[Event]:
        """Return the events of `message` (complete, with its status byte); empty for other messages."""
        if not message or not 0x80 <= message[0] < 0xF0 or max(message[1:], default=0) > MAX_7:
            return []
        status, channel = message[0] & 0xF0, (message[0] & 0x0F) + 1
        if status == _PROGRAM_CHANGE and len(message) == 2:
            return [Event(PROGRAM, channel, message[1], 0)]
        if len(message) != 3:
            return []
        number, value = message[1], message[2]
        if status == _CONTROL_CHANGE:
            return self._controller(channel, number, value)
        if status == _NOTE_ON:
            return [Event(NOTE, channel, number, value)]
        if status == _NOTE_OFF:
            return [Event(NOTE, channel, number, 0)]
        return []

    def settle(self) -> list[Event]:
        """Return the coarse values that waited for a fine half in vain."""
        events = []
        for key in sorted(self._waiting):
            settled = self._pairs[key].settle()
            if settled:
                events.append(Event(*key, *settled))
        self._waiting.clear()
        return events

    def _controller(self, channel: int, number: int, value: int) -> list[Event]:
        events = [Event(CC, channel, number, value)]
        if number < LSB_OFFSET:
            events += self._half((CC14, channel, number), value, fine=False)
        elif number < 2 * LSB_OFFSET:
            events += self._half((CC14, channel, number - LSB_OFFSET), value, fine=True)
        if number in (_NRPN_MSB, _NRPN_LSB):
            chosen = self._chosen.setdefault(channel, [_NONE_CHOSEN, _NONE_CHOSEN])
            chosen[number == _NRPN_LSB] = value
        elif number in (_RPN_MSB, _RPN_LSB):  # following data belongs to a registered parameter
            self._chosen.pop(channel, None)
        elif number in (_DATA, _DATA_LSB, _INCREMENT, _DECREMENT):
            parameter = self._parameter(channel)
            if parameter == _NONE_CHOSEN:
                return events
            if number in (_INCREMENT, _DECREMENT):
                events.append(Event(NRPN_STEP, channel, parameter, 1 if number == _INCREMENT else -1))
            else:
                events += self._half((NRPN, channel, parameter), value, fine=number == _DATA_LSB)
        return events

    def _parameter(self, channel: int) -> int:
        msb, lsb = self._chosen.get(channel, (_NONE_CHOSEN, _NONE_CHOSEN))
        none = _NONE_CHOSEN in (msb, lsb) or msb == lsb == MAX_7  # 127, 127 is the null parameter
        return _NONE_CHOSEN if none else msb << 7 | lsb

    def _half(self, key: tuple[str, int, int], value: int, fine: bool) -> list[Event]:
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _Pair()
        known = pair.take_fine(value) if fine else pair.take_coarse(value)
        (self._waiting.add if pair.waits else self._waiting.discard)(key)
        return [Event(*key, *known)] if known else []


def encode(kind: str, channel: int, number: int, value: int) -> list[list[int]]:
    """Return the messages that send `value` (0..127, for CC14 and NRPN 0..16383) to a controller."""
    status = _CONTROL_CHANGE | channel - 1
    if kind == NOTE:
        return [[_NOTE_ON | channel - 1, number, value]]
    if kind == CC:
        return [[status, number, value]]
    coarse, fine = value >> 7, value & MAX_7
    if kind == CC14:
        return [[status, number, coarse], [status, number + LSB_OFFSET, fine]]
    if kind == NRPN:
        return [
            [status, _NRPN_MSB, number >> 7],
            [status, _NRPN_LSB, number & MAX_7],
            [status, _DATA, coarse],
            [status, _DATA_LSB, fine],
        ]
    raise ValueError(f"nothing is sent for '{kind}'")


_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def note_name(number: int) -> str:
    """Return the name of a note: 60 is C4, 36 is C2."""
    return f"{_NOTES[number % 12]}{number // 12 - 1}"
