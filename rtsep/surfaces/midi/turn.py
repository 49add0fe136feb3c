"""What an event does to a control: travel, buttons, endless knobs, soft take-over.

Soft take-over: where a knob stands elsewhere than its control (at the start, or after a key, a preset or
another knob has moved it), it moves nothing until it meets or passes the control's value. No jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rtsep.controls import Controls
from rtsep.surfaces.midi.map import KNOB, LATCHED, MOMENTARY, TOGGLE, Entry, MidiMap
from rtsep.surfaces.midi.messages import (
    CC14,
    MAX_7,
    MAX_14,
    NOTE,
    NRPN,
    NRPN_STEP,
    PROGRAM,
    Event,
    encode,
)

BY = "MIDI"
"""Who moved a control, as its record says."""

MEETS_7 = 1.0 / MAX_7
MEETS_14 = 1.0 / 1023
"""How near a knob must come to have met its control: a step of 7 bits; of a finer knob, one of ten bits."""

FOLLOWS = 8.0 / MAX_7
"""How near a motor fader must still be to where it was told to stand, to be known as one."""

ECHO_S = 0.05
"""What a port sends back within this, equal to what it was sent, is no press."""


@dataclass
class _Place:
    """What is known of a knob on one port."""

    position: float | None = None  # where the knob stands, 0..1, as it said last
    written: float | None = None  # what it set its control to
    pressed: bool = False
    raw: int | None = None  # last value of a button
    shown: int | None = None  # the raw value that its light or fader stands at
    sent: tuple[int, float] | None = None  # what it was told last, and when
    told: float | None = None  # the position that it was told since it was last moved
    channel: int | None = None  # the one that it was heard on last


class Knob:
    """One entry of the map at work: what it knows of its knob, and the control that it turns."""

    def __init__(self, entry: Entry, controls: Controls) -> None:
        self.entry = entry
        self._controls = controls
        self._places: dict[int, _Place] = {}  # by port: two controllers may have the same knob

    @property
    def value(self) -> float:
        """The control's value now."""
        return float(getattr(self._controls, self.entry.control.name))

    def hears(self, event: Event, port_name: str) -> bool:
        """Tell whether `event` is its own."""
        entry = self.entry
        if entry.channel not in (None, event.channel) or event.number != entry.number:
            return False
        kind = NRPN if event.kind == NRPN_STEP else event.kind
        return kind == entry.kind and self.is_on(port_name)

    def is_on(self, port_name: str) -> bool:
        """Tell whether it may be a knob of the port."""
        return self.entry.port.lower() in port_name.lower()

    def has_ends(self, event: Event) -> bool:
        """Tell whether `event` says where a knob stands, so that of several the last one counts."""
        return self.entry.mode == KNOB and not self.entry.encoder and event.kind != NRPN_STEP

    def take(self, events: Sequence[Event], port: int) -> bool:
        """Act on its event, or where it `has_ends` on several; return whether the control has moved."""
        entry, place, event = self.entry, self._place(port), events[-1]
        place.channel = event.channel
        if entry.mode != KNOB:
            return self._press(event, place)
        if event.kind == NRPN_STEP:
            return self._step(event.value, place)
        if entry.encoder:
            return self._step(clicks(entry.encoder, event.value), place)
        return self._turn(events, place)

    def state(self, port: int) -> str:
        """Return in words where the control stands, and whether the knob has yet to meet it."""
        place, control = self._place(port), self.entry.control
        waits = place.position is not None and place.written != self.value
        return f"{control.name} {control.shown(self.value)}{' (not met yet)' if waits else ''}"

    def let_go(self, port: int) -> bool:
        """Forget a port; a button held there is released. Return whether the control has moved."""
        place = self._places.pop(port, None)
        if place and place.pressed and self.entry.mode == MOMENTARY:
            return self._set(self._end(self.entry.invert))
        return False

    def feedback(self, port: int) -> list[list[int]]:
        """Return the messages that tell the port what it does not show yet."""
        place, raw = self._place(port), self._raw()
        if place.shown == raw:
            return []
        place.shown, place.sent = raw, (raw, time.monotonic())
        place.told = self.entry.travel.position(self.value)
        channel = place.channel or self.entry.channel or 1
        return encode(self.entry.kind, channel, self.entry.number, raw)

    def _place(self, port: int) -> _Place:
        return self._places.setdefault(port, _Place())

    def _raw(self) -> int:
        """Return the raw value at which a motor fader or light stands for the control's value."""
        position = self.entry.travel.position(self.value)
        if self.entry.mode != KNOB:
            position = float(position >= 0.5)
        if self.entry.invert:
            position = 1.0 - position
        return round(position * self._max_value)

    @property
    def _max_value(self) -> int:
        return MAX_14 if self.entry.kind in (CC14, NRPN) else MAX_7

    # --- knobs -----------------------------------------------------------------------------------------

    def _turn(self, events: Sequence[Event], place: _Place) -> bool:
        """Go where a knob with two ends has gone; places on the way count for its take-over only."""
        travel, value = self.entry.travel, self.value
        position = 0.0
        for event in events:
            position = event.value / event.max_value
            if self.entry.invert:
                position = 1.0 - position
            before, place.position = self._stood(place, position), position
            if value != place.written and self._meets(value, before, position, event.max_value):
                place.written = value
        event = events[-1]
        if (
            event.max_value == self._max_value
            and event.value == self._raw()
            and travel.low <= value <= travel.high
        ):
            # It is there. Setting what it can say of the value would round what a key or a preset has set.
            place.shown, place.written = event.value, value
            return False
        if self.entry.takeover and value != place.written:
            return False
        moved = self._set(self._value_at(position, 0.5 / event.max_value))
        place.shown, place.written = self._raw(), self.value
        return moved

    @staticmethod
    def _stood(place: _Place, position: float) -> float | None:
        """Return where the knob stood before it came to `position`: a motor fader, where it was told to."""
        told, place.told = place.told, None
        if told is None or place.position is None:
            return place.position
        off = abs(position - told)
        return told if off <= FOLLOWS and off < abs(position - place.position) else place.position

    def _meets(self, value: float, before: float | None, position: float, max_value: int) -> bool:
        """Tell whether the knob is at its control's value, or has just passed it."""
        there = self.entry.travel.position(value)
        if abs(position - there) <= (MEETS_7 if max_value == MAX_7 else MEETS_14):
            return True
        return before is not None and (before - there) * (position - there) <= 0

    def _value_at(self, position: float, near: float) -> float:
        """Return the value at `position`, or the default exactly where that lies as `near`.

        Else no step of a knob would meet a gain of 0 dB.
        """
        travel, default = self.entry.travel, self.entry.control.default
        if travel.low <= default <= travel.high and abs(travel.position(default) - position) <= near:
            return default
        return travel.value(position)

    def _step(self, count: int, place: _Place) -> bool:
        if self.entry.invert:
            count = -count
        travel = self.entry.travel
        # Its own position where it wrote last: what the value cannot tell (below a fader's end) is kept.
        known = place.position is not None and self.value == place.written
        position = place.position if known and place.position is not None else travel.position(self.value)
        place.position = min(max(position + count * self.entry.step, 0.0), 1.0)
        moved = self._set(self._value_at(place.position, 0.49 * self.entry.step))
        place.written = self.value
        return moved

    # --- buttons ---------------------------------------------------------------------------------------

    def _press(self, event: Event, place: _Place) -> bool:
        entry = self.entry
        note = event.kind == NOTE
        pressed = event.value > 0 if note else event.value * 2 >= event.max_value
        if entry.mode == TOGGLE:
            if self._is_echo(event, place, pressed):
                place.shown, place.pressed = event.value, place.pressed and pressed
                return False
            # A button that never says it was released repeats itself; a knob that turns does not.
            fresh = pressed and (note or not place.pressed or event.value == place.raw)
            place.pressed, place.raw = pressed, event.value
            place.shown = None  # it knows nothing of our state: tell it
            return fresh and self._switch_over()
        place.pressed = pressed
        if entry.mode == LATCHED:
            place.shown = event.value
        return self._set(self._end(pressed != entry.invert))

    @staticmethod
    def _is_echo(event: Event, place: _Place, pressed: bool) -> bool:
        """Tell whether a port sends back what it was told; a release that it was told is none of a hand's."""
        if place.sent is None or place.sent[0] != event.value:
            return False
        at, place.sent = place.sent[1], None
        return not pressed or time.monotonic() - at < ECHO_S

    def _switch_over(self) -> bool:
        control, travel = self.entry.control, self.entry.travel
        if control.unit == "choice":
            return self._set((self.value + 1) % len(control.choices))
        return self._set(self._end(self.value < (travel.low + travel.high) / 2))

    def _end(self, high: bool) -> float:
        return self.entry.travel.high if high else self.entry.travel.low

    def _set(self, value: float) -> bool:
        if value == self.value:
            return False
        self._controls.set(self.entry.control.name, value, BY)
        return True


def clicks(encoder: str, value: int) -> int:
    """Return by how many clicks an endless knob that sends `value` (0..127) has moved."""
    if encoder == "offset":
        return value - 64
    if encoder == "sign-magnitude":
        return value if value < 64 else 64 - value
    return value if value < 64 else value - 128


class Hands:
    """All entries at work: events in, controls moved."""

    def __init__(
        self, midi_map: MidiMap, controls: Controls, on_program: Callable[[int, int], None] | None = None
    ) -> None:
        """`on_program(program, channel)` gets program changes (0..127, 1..16) on the map's channel."""
        self.knobs = [Knob(entry, controls) for entry in midi_map.entries]
        self._by_source: dict[tuple[str, int], list[Knob]] = {}
        for knob in self.knobs:
            kinds = (NRPN, NRPN_STEP) if knob.entry.kind == NRPN else (knob.entry.kind,)
            for kind in kinds:
                self._by_source.setdefault((kind, knob.entry.number), []).append(knob)
        self._channel = midi_map.channel
        self._on_program = on_program
        self.events = self.moves = 0

    def of(self, event: Event, port_name: str) -> list[Knob]:
        """Return the knobs that `event` is for."""
        found = self._by_source.get((event.kind, event.number), ())
        return [knob for knob in found if knob.hears(event, port_name)]

    def take(self, events: Iterable[Event], port: int, port_name: str) -> None:
        """Act on events in their order; a knob that goes through many places is set to its last one only."""
        turned: dict[Knob, list[Event]] = {}  # the one that was turned last comes last
        for event in events:
            self.events += 1
            if event.kind == PROGRAM:
                self._move(turned, port)
                if self._on_program and self._channel in (None, event.channel):
                    self._on_program(event.number, event.channel)
                continue
            for knob in self.of(event, port_name):
                if knob.has_ends(event):
                    way = turned.pop(knob, [])
                    way.append(event)
                    turned[knob] = way
                    continue
                self._move(turned, port)
                self.moves += knob.take([event], port)
        self._move(turned, port)

    def let_go(self, port: int) -> None:
        """Forget a port that has left; buttons held there are released."""
        for knob in self.knobs:
            self.moves += knob.let_go(port)

    def _move(self, turned: dict[Knob, list[Event]], port: int) -> None:
        for knob, way in turned.items():
            self.moves += knob.take(way, port)
        turned.clear()
