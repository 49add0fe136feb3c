"""MIDI controllers as a surface: combines ports, map, soft takeover and feedback."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtsep.controls import Control, Controls
from rtsep.errors import DeviceError, NoThreadError, UsageError, system_reason
from rtsep.realtime import threads
from rtsep.surfaces.midi import protocol
from rtsep.surfaces.midi.feedback import EVERY_S, Feedback
from rtsep.surfaces.midi.follow import EVERY_S as FOLLOW_EVERY_S
from rtsep.surfaces.midi.follow import MapFile
from rtsep.surfaces.midi.learn import Received, learn, moves
from rtsep.surfaces.midi.map import MidiMap, user_file
from rtsep.surfaces.midi.messages import Decoder, Event, Message
from rtsep.surfaces.midi.names import ALL, VIRTUAL, split_system
from rtsep.surfaces.midi.ports import MidiPorts, missing
from rtsep.surfaces.midi.turn import ActiveMap

SETTLE_S = 0.01
"""Wait of a coarse value for its fine half in seconds: both are sent together."""


LEARN_WITHIN_S = 30.0
"""Time limit for moving the knob to learn, in seconds."""


@dataclass(frozen=True)
class MidiOptions:
    """MIDI options of the user."""

    ports: tuple[str, ...]  # names or parts of them, "virtual", or "" for every port
    map: MidiMap
    follow: Path | None = None  # file of the map, if its changes are to be applied


class MidiSurface:
    """Receives from `start` to `close`, and changes `controls`. It never runs on the audio path."""

    def __init__(
        self,
        controls: Controls,
        options: MidiOptions,
        notify: Callable[[str], None],
        on_program: Callable[[int, int], None] | None = None,
        on_event: Callable[[str, Event, list[str]], None] | None = None,
    ) -> None:
        """`notify` receives the user's lines, `on_program(program, channel)` program changes (0..127, 1..16).

        `on_event(port, event, effects)` receives every event with its effects as text. All of these are
        called on other threads.
        """
        self._options, self._notify, self._on_event = options, notify, on_event
        self._controls, self._on_program = controls, on_program
        self._ports = MidiPorts(options.ports, self._take, self._on_port_event)
        self.active_map, self._feedback = self._play_by(options.map)
        self._file = MapFile(options.follow) if options.follow else None
        self._decoders: dict[int, Decoder] = {}  # by port
        self._received_at: dict[int, float] = {}
        self._refused: set[int] = set()  # ports that exist but cannot be opened
        self._complaints: set[str] = set()  # each is reported once
        self._turning = threading.Lock()  # knobs have state: one thread at a time
        self._leaving = threading.Event()
        self._taught: queue.Queue[Received] | None = None  # destination of events while a knob is learned
        self._messages = 0
        self._before = {"events": 0, "moves": 0, "feedback": 0}  # counts of the earlier maps
        self._ticker = threading.Thread(target=self._tick, name="midi-feedback", daemon=True)

    def _play_by(self, midi_map: MidiMap) -> tuple[ActiveMap, Feedback | None]:
        active_map = ActiveMap(midi_map, self._controls, self._on_program)
        return active_map, Feedback(active_map.knobs, self._ports.send) if midi_map.feedback else None

    def start(self) -> None:
        """Open the available ports; wait for missing ports or a missing library, after one message."""
        if reason := missing():
            self._notify(f"{reason}; playing without controllers")
            return
        try:
            answered = self._ports.start()
            threads.start(self._ticker)
        except (OSError, NoThreadError) as error:
            self._ports.close()
            reason = system_reason(error) if isinstance(error, OSError) else str(error)
            self._notify(f"MIDI cannot be started ({reason}); playing without controllers")
            return
        if not answered:
            self._notify("MIDI does not answer yet; waiting for it")
        for key, text in enumerate(self._options.ports):
            name = split_system(text)[1]
            if key in self._ports.open or key in self._refused:
                continue
            if name.lower() == VIRTUAL:
                self._notify("no MIDI system can create a virtual port; waiting for one")
            elif name == ALL and not self._ports.here:
                self._notify("no MIDI controller found; waiting for one")
            elif answered and name != ALL:
                here = ", ".join(self._ports.here) or "none"
                self._notify(f"no MIDI controller is called '{name}' (found: {here}); waiting for it")

    def close(self) -> None:
        """Stop receiving."""
        self._leaving.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._ports.close()

    def learn(self, control: Control, patience: float = LEARN_WITHIN_S) -> str:
        """Wait for a move of a knob or pad, and assign it to `control` from now on; return that as text.

        Meanwhile no control changes. Raise `DeviceError` if nothing moves within `patience` s, `UsageError`
        if another knob is being learned, or for an invalid map, `OutputError` if the map cannot be written.
        """
        if reason := missing():
            raise DeviceError(reason)
        with self._turning:
            if self._taught:
                raise UsageError("another knob is being learned; move it first")
            taught = self._taught = queue.Queue()
        try:
            found = moves(taught, control, patience, lambda line: self._notify(f"MIDI: {line}"))
        finally:
            with self._turning:
                self._taught = None
                for key in list(self._ports.open):
                    self.active_map.let_go(key)
        learned = learn(found, control, self._options.follow or user_file(), patience)
        doubts = [learned.clash] * bool(learned.others) + [learned.doubt] * learned.ambiguous
        return "; ".join([learned.words, *doubts])

    def stats(self) -> dict[str, Any]:
        """Return the open ports and the counts of events."""
        return {
            "ports": [port.name for port in list(self._ports.open.values()) if port.there],
            "messages": self._messages,
            "events": self._before["events"] + self.active_map.events,
            "moves": self._before["moves"] + self.active_map.moves,
            "feedback": self._before["feedback"] + (self._feedback.sent if self._feedback else 0),
            "restarts": self._ports.restarts,
        }

    # --- on the threads of the ports -----------------------------------------------------------------------

    def _take(self, key: int, messages: Sequence[Message]) -> None:
        self._messages += len(messages)
        with self._turning:
            decoder = self._decoders.setdefault(key, Decoder())
            self._received_at[key] = time.monotonic()
            self._act(key, [event for message in messages for event in decoder.feed(message)])

    def _act(self, key: int, events: list[Event]) -> None:
        name = self._ports.open[key].name if key in self._ports.open else ""
        if taught := self._taught:
            for event in events:
                taught.put(Received(name, event))
            return
        if self._on_event:
            for event in events:
                self.active_map.take([event], key, name)
                self._on_event(name, event, [knob.state(key) for knob in self.active_map.of(event, name)])
            return
        self.active_map.take(events, key, name)

    def _on_port_event(self, event: protocol.Event) -> None:
        match event:
            case protocol.Opened(name=name, system=system, others=others):
                self._notify(f"MIDI: using {name} ({system})")
                if others:
                    self._notify(
                        f"MIDI: {', '.join(others)} also matches; give a longer part of the name to choose it"
                    )
            case protocol.Closed(key=key):
                self._notify(
                    f"MIDI: {self._ports.open[key].name} has disappeared; waiting for it to come back"
                )
                with self._turning:
                    self._decoders.pop(key, None)
                    self.active_map.let_go(key)
            case protocol.Failed(key=key, name=name, why=why):
                self._refused.add(key)
                remedy = (
                    "name a loopback port (on Windows: loopMIDI's) instead"
                    if name == VIRTUAL
                    else "if another program uses it, end that; trying again"
                )
                self._notify(f"MIDI: {name} cannot be opened ({why.rstrip('.')}); {remedy}")
            case protocol.Broken(why=why) if why not in self._complaints:
                self._complaints.add(why)
                self._notify(f"MIDI: its process has ended ({why}) and is restarted")

    def _follow(self, file: MapFile) -> None:
        """Use the new map of its file; report an invalid one and keep the old map."""
        try:
            changed = file.changed()
        except UsageError as error:
            self._notify(f"{error}; the old map stays in use")
            return
        if changed is None:
            return
        with self._turning:
            for key in list(self._ports.open):
                self.active_map.let_go(key)
            stats = self.stats()
            self._before = {name: stats[name] for name in self._before}
            self.active_map, self._feedback = self._play_by(changed)
        self._notify(f"MIDI: the new map is in use ({file.path})")

    def _tick(self) -> None:
        look_at = time.monotonic() + FOLLOW_EVERY_S
        while not self._leaving.wait(EVERY_S):
            if self._file and time.monotonic() >= look_at:
                self._follow(self._file)
                look_at = time.monotonic() + FOLLOW_EVERY_S
            with self._turning:
                quiet_since = time.monotonic() - SETTLE_S
                for key, decoder in self._decoders.items():
                    if decoder.waits and self._received_at[key] < quiet_since:
                        self._act(key, decoder.settle())
                if self._feedback:
                    names = {
                        key: port.name
                        for key, port in list(self._ports.open.items())
                        if port.accepts_feedback
                    }
                    self._feedback.update(names)
