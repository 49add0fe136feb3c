"""The effect of an event on a control: travel, buttons, endless knobs, soft takeover.

Soft takeover: if a knob's position differs from its control (at the start, or after a key, a preset or
another knob has changed it), the knob has no effect until it reaches or crosses the control's value. No jump.
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
"""Source of a change by MIDI."""

MEETS_7 = 1.0 / MAX_7
MEETS_14 = 1.0 / 1023
"""Distance at which a knob has reached its control: one step of 7 bits; for a finer knob, one of ten bits."""

FOLLOWS = 8.0 / MAX_7
"""Maximum distance of a motor fader from its target position for it to be recognised as one."""

ECHO_S = 0.05
"""Time in seconds in which an echo of a sent value does not count as a press."""


@dataclass
class _PortState:
    """State of a knob on one port."""

    position: float | None = None  # position 0..1 of the knob as last received
    written: float | None = None  # value that it set its control to
    pressed: bool = False
    raw: int | None = None  # last value of a button
    shown: int | None = None  # raw value displayed by its light or fader
    sent: tuple[int, float] | None = None  # last value sent, and the time
    sent_position: float | None = None  # last position sent since the knob was last moved
    channel: int | None = None  # channel of the last message


class Knob:
    """Entry of the map in use: the state of its knob, and its control."""

    def __init__(self, entry: Entry, controls: Controls) -> None:
        self.entry = entry
        self._controls = controls
        self._port_states: dict[int, _PortState] = {}  # by port: two controllers may have the same knob

    @property
    def value(self) -> float:
        """Return the current value of the control."""
        return float(getattr(self._controls, self.entry.control.name))

    def matches(self, event: Event, port_name: str) -> bool:
        """Return whether `event` belongs to this knob."""
        entry = self.entry
        if entry.channel not in (None, event.channel) or event.number != entry.number:
            return False
        kind = NRPN if event.kind == NRPN_STEP else event.kind
        return kind == entry.kind and self.is_on(port_name)

    def is_on(self, port_name: str) -> bool:
        """Return whether it may be a knob of the port."""
        return self.entry.port.lower() in port_name.lower()

    def has_ends(self, event: Event) -> bool:
        """Return whether `event` gives an absolute position, so that only the last of several counts."""
        return self.entry.mode == KNOB and not self.entry.encoder and event.kind != NRPN_STEP

    def take(self, events: Sequence[Event], port: int) -> bool:
        """Apply its event, or several if it `has_ends`; return whether the control has changed."""
        entry, state, event = self.entry, self._port_state(port), events[-1]
        state.channel = event.channel
        if entry.mode != KNOB:
            return self._press(event, state)
        if event.kind == NRPN_STEP:
            return self._step(event.value, state)
        if entry.encoder:
            return self._step(clicks(entry.encoder, event.value), state)
        return self._turn(events, state)

    def state(self, port: int) -> str:
        """Return the control's value as text, and whether the knob has not reached it yet."""
        state, control = self._port_state(port), self.entry.control
        waits = state.position is not None and state.written != self.value
        return f"{control.name} {control.shown(self.value)}{' (not met yet)' if waits else ''}"

    def let_go(self, port: int) -> bool:
        """Forget a port; release a button held there. Return whether the control has changed."""
        state = self._port_states.pop(port, None)
        if state and state.pressed and self.entry.mode == MOMENTARY:
            return self._set(self._end(self.entry.invert))
        return False

    def feedback(self, port: int) -> list[list[int]]:
        """Return the messages that update the port's outdated displays."""
        state, raw = self._port_state(port), self._raw()
        if state.shown == raw:
            return []
        state.shown, state.sent = raw, (raw, time.monotonic())
        state.sent_position = self.entry.travel.position(self.value)
        channel = state.channel or self.entry.channel or 1
        return encode(self.entry.kind, channel, self.entry.number, raw)

    def _port_state(self, port: int) -> _PortState:
        return self._port_states.setdefault(port, _PortState())

    def _raw(self) -> int:
        """Return the raw value of a motor fader or light for the control's value."""
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

    def _turn(self, events: Sequence[Event], state: _PortState) -> bool:
        """Apply the last position of a knob with two ends; earlier positions count only for the takeover."""
        travel, value = self.entry.travel, self.value
        position = 0.0
        for event in events:
            position = event.value / event.max_value
            if self.entry.invert:
                position = 1.0 - position
            before, state.position = self._stood(state, position), position
            if value != state.written and self._meets(value, before, position, event.max_value):
                state.written = value
        event = events[-1]
        if (
            event.max_value == self._max_value
            and event.value == self._raw()
            and travel.low <= value <= travel.high
        ):
            # The knob is there. Applying its resolution would round a value set by a key or a preset.
            state.shown, state.written = event.value, value
            return False
        if self.entry.takeover and value != state.written:
            return False
        moved = self._set(self._value_at(position, 0.5 / event.max_value))
        state.shown, state.written = self._raw(), self.value
        return moved

    @staticmethod
    def _stood(state: _PortState, position: float) -> float | None:
        """Return the knob's position before `position`: for a motor fader, the last one sent to it."""
        sent, state.sent_position = state.sent_position, None
        if sent is None or state.position is None:
            return state.position
        off = abs(position - sent)
        return sent if off <= FOLLOWS and off < abs(position - state.position) else state.position

    def _meets(self, value: float, before: float | None, position: float, max_value: int) -> bool:
        """Return whether the knob is at its control's value, or has just crossed it."""
        there = self.entry.travel.position(value)
        if abs(position - there) <= (MEETS_7 if max_value == MAX_7 else MEETS_14):
            return True
        return before is not None and (before - there) * (position - there) <= 0

    def _value_at(self, position: float, near: float) -> float:
        """Return the value at `position`, or exactly the default if that is within `near`.

        Otherwise no step of a knob would give a gain of 0 dB.
        """
        travel, default = self.entry.travel, self.entry.control.default
        if travel.low <= default <= travel.high and abs(travel.position(default) - position) <= near:
            return default
        return travel.value(position)

    def _step(self, count: int, state: _PortState) -> bool:
        if self.entry.invert:
            count = -count
        travel = self.entry.travel
        # The knob's own position if it wrote last: it keeps information that the value lacks (below a fader's
        # end).
        known = state.position is not None and self.value == state.written
        position = state.position if known and state.position is not None else travel.position(self.value)
        state.position = min(max(position + count * self.entry.step, 0.0), 1.0)
        moved = self._set(self._value_at(state.position, 0.49 * self.entry.step))
        state.written = self.value
        return moved

    # --- buttons ---------------------------------------------------------------------------------------

    def _press(self, event: Event, state: _PortState) -> bool:
        entry = self.entry
        note = event.kind == NOTE
        pressed = event.value > 0 if note else event.value * 2 >= event.max_value
        if entry.mode == TOGGLE:
            if self._is_echo(event, state, pressed):
                state.shown, state.pressed = event.value, state.pressed and pressed
                return False
            # A button that never sends its release repeats itself; a turned knob does not.
            fresh = pressed and (note or not state.pressed or event.value == state.raw)
            state.pressed, state.raw = pressed, event.value
            state.shown = None  # it does not have the current state: send it
            return fresh and self._switch_over()
        state.pressed = pressed
        if entry.mode == LATCHED:
            state.shown = event.value
        return self._set(self._end(pressed != entry.invert))

    @staticmethod
    def _is_echo(event: Event, state: _PortState, pressed: bool) -> bool:
        """Return whether a port echoes a sent value; an echoed release does not come from the player."""
        if state.sent is None or state.sent[0] != event.value:
            return False
        at, state.sent = state.sent[1], None
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
    """Return the clicks of an endless knob that sends `value` (0..127)."""
    if encoder == "offset":
        return value - 64
    if encoder == "sign-magnitude":
        return value if value < 64 else 64 - value
    return value if value < 64 else value - 128


class ActiveMap:
    """All entries in use: events in, controls changed."""

    def __init__(
        self, midi_map: MidiMap, controls: Controls, on_program: Callable[[int, int], None] | None = None
    ) -> None:
        """`on_program(program, channel)` receives program changes (0..127, 1..16) on the map's channel."""
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
        """Return the knobs that match `event`."""
        found = self._by_source.get((event.kind, event.number), ())
        return [knob for knob in found if knob.matches(event, port_name)]

    def take(self, events: Iterable[Event], port: int, port_name: str) -> None:
        """Apply events in order; a knob with many positions is set only to its last one."""
        turned: dict[Knob, list[Event]] = {}  # the knob turned last comes last
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
        """Forget a port that has disappeared; release buttons held there."""
        for knob in self.knobs:
            self.moves += knob.let_go(port)

    def _move(self, turned: dict[Knob, list[Event]], port: int) -> None:
        for knob, way in turned.items():
            self.moves += knob.take(way, port)
        turned.clear()
