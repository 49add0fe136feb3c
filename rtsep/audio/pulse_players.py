"""Players of a PulseAudio server: routed through rtsep's virtual sink, and moved back.

A player is a sink input: the playback of a program. `PlayerRouter` contains the rules, and runs whenever
something has changed on the server. `Undo` describes its changes; it is stored in a file, so that the next
start can undo them for a killed session. All calls go through a connected `pulsectl.Pulse`.

While a session captures all playback, the virtual sink is the default one: the server itself moves players
there, and back when the default is restored. Only players that do not follow are moved by name, because a
server remembers such a move for the program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtsep.audio.pulse_server import succeeds
from rtsep.audio.pulse_virtual import OUR_SINKS, PLAYERS, SINK, make_sink_for_players, unload
from rtsep.errors import DeviceError, suggest

SETTLES_S = 0.4
"""Time in seconds for the server to move players to another default sink; then they are moved by name."""

_LOOK_S = 0.02
_NOBODY = 0xFFFFFFFF  # the server's number for no client
_NAMES = ("application.name", "application.process.binary", "media.name", "node.name")
# roles of streams that connect devices and do not belong to a player
_FILTERS = ("DSP", "filter", "abstract")


@dataclass
class Undo:
    """Changes of a diversion on the server."""

    default: str = ""  # the original default sink; "": it was not changed
    moved: dict[str, str] = field(default_factory=dict)  # number of a player -> its original sink

    @classmethod
    def of_json(cls, found: Any) -> Undo:
        """Convert the JSON form of `vars(undo)` back; raise `ValueError` for anything else."""
        default, moved = found.get("default"), found.get("moved")
        if not isinstance(default, str) or not isinstance(moved, dict):
            raise ValueError("not an Undo")
        return cls(default, {str(number): str(name) for number, name in moved.items()})


@dataclass(frozen=True)
class Player:
    """Stream of a program to a sink."""

    index: int
    sink: int
    program: str
    names: tuple[str, ...]  # accepted names, in lower case
    ours: bool  # it belongs to this process
    plays: bool  # False: it connects devices, for the server or a filter

    @classmethod
    def of(cls, raw: Any) -> Player:
        """Return a sink input of pulsectl as a player."""
        about = raw.proplist
        names = [about[name] for name in _NAMES if about.get(name)] or [raw.name or "?"]
        connects = raw.client == _NOBODY or "node.link-group" in about
        return cls(
            index=int(raw.index),
            sink=int(raw.sink),
            program=names[0],
            names=tuple(name.lower() for name in names),
            ours=about.get("application.process.id") == str(os.getpid()),
            plays=not (connects or about.get("media.role") in _FILTERS),
        )

    def fits(self, text: str) -> int:
        """Return how well `text` names it: 2 exactly, 1 by a part of a name, 0 not at all."""
        text = text.lower()
        return 2 if text in self.names else int(any(text in name for name in self.names))


def players(pulse: Any) -> list[Player]:
    """Return all streams to sinks, including rtsep's own."""
    return [Player.of(raw) for raw in pulse.sink_input_list()]


def named(text: str, there: list[Player]) -> list[Player]:
    """Return the players that `text` names, of one program; raise `DeviceError` for several programs."""
    best = max((player.fits(text) for player in there), default=0)
    found = [player for player in there if best and player.fits(text) == best]
    programs = sorted({player.program for player in found})
    if len(programs) > 1:
        raise DeviceError(
            f"--in app:{text} is ambiguous: {', '.join(programs)} are playing; give a longer part of one name"
        )
    return found


def waiting_for(text: str, there: list[Player]) -> str:
    """Return a line for the user if no player matches `text`; raise the errors of `named`."""
    others = [player for player in there if player.plays and not player.ours]
    if named(text, others):
        return ""
    programs = sorted({player.program for player in others})
    hint = suggest(text, programs) or (f" (now playing: {', '.join(programs)})" if programs else "")
    return f"no program called '{text}' is playing; waiting for it{hint}"


class PlayerRouter:
    """Routes players through the virtual sink. Only one thread may use it at a time."""

    def __init__(self, app: str | None, undo: Undo, keep: Callable[[Undo], None]) -> None:
        """Capture the program that `app` names, None: all. `keep` stores `undo` before each change."""
        self._app, self._undo, self._keep = app, undo, keep
        self._program: str | None = None  # the program found for `app`
        self._seen: set[int] = set()  # players already routed here: a later move is the user's choice
        self._notified: set[str] = set()
        self._settled_at = 0.0  # when the server should have moved the players to the default sink
        self.real = ""
        """Server's name of the default sink for the user."""

    def prepare(
        self, pulse: Any, begin: Callable[[str, str, dict[str, str]], bool] | None = None
    ) -> list[str]:
        """Create the virtual sink; return lines for the user. Raise `DeviceError`.

        `begin` is an alternative to a null sink, see `make_sink_for_players`.
        """
        about = pulse.server_info()
        rates = {sink.name: int(sink.sample_spec.rate) for sink in pulse.sink_list()}
        choice = [about.default_sink_name, self.real, *rates]
        self.real = next((name for name in choice if name in rates and name not in OUR_SINKS), "")
        if not self.real:
            raise DeviceError("the sound server has no sink to play on; connect an output device")
        line = waiting_for(self._app, players(pulse)) if self._app is not None else ""
        make_sink_for_players(pulse, rates[self.real], begin)
        return [line] if line else []

    def advance(self, pulse: Any, follows: bool) -> list[str]:
        """Do due work after a change on the server; return lines for the user.

        `follows`: rtsep's own output follows the user's default sink.
        """
        sinks = {sink.name: sink for sink in pulse.sink_list()}
        if SINK not in sinks:  # the session will notice
            return []
        lines: list[str] = []
        if self._app is None:
            self._be_default(pulse, sinks, follows, lines)
        names = {sink.index: name for name, sink in sinks.items()}
        virtual = sinks[SINK].index
        for player in self._wanted(pulse, lines):
            if player.sink == virtual:
                self._seen.add(player.index)
            elif player.index not in self._seen and player.sink in names and self.due_s is None:
                self._seen.add(player.index)
                self._undo.moved[str(player.index)] = names[player.sink]
                self._keep(self._undo)
                succeeds(pulse.sink_input_move, player.index, virtual)
        return lines

    @property
    def due_s(self) -> float | None:
        """Return the seconds until `advance` is due without a change; None: it is not due."""
        left = self._settled_at - time.monotonic()
        return left if left > 0 else None

    def _be_default(self, pulse: Any, sinks: dict[str, Any], follows: bool, lines: list[str]) -> None:
        """Follow the user's choice of a default sink, and put the virtual one in its place."""
        default = pulse.server_info().default_sink_name
        if default == SINK:
            return
        is_new = default in sinks and default not in OUR_SINKS and default != self.real
        if is_new:
            self.real = default
            if follows:
                lines.append(
                    f"the default output is now '{sinks[default].description}': playback continues there"
                )
        if self._undo.default != self.real:
            self._undo.default = self.real
            self._keep(self._undo)
        places = {p.index: p.sink for p in players(pulse) if p.ours and p.sink != sinks[SINK].index}
        pulse.default_set(sinks[SINK])
        # rtsep's output may be moved there, too. It is moved back by name, and stays there: on its sink of
        # before, which need not be the default one, or on the sink that the user has chosen now.
        for index, sink in places.items():
            succeeds(pulse.sink_input_move, index, sinks[self.real].index if follows and is_new else sink)
        self._settled_at = time.monotonic() + SETTLES_S

    def _wanted(self, pulse: Any, lines: list[str]) -> list[Player]:
        others = [player for player in players(pulse) if player.plays and not player.ours]
        if self._app is None:
            return others
        if self._program is None:
            try:
                found = named(self._app, others)
            except DeviceError as error:
                self._notify_once(str(error), lines)
                return []
            if found:
                self._program = found[0].program
                self._notify_once(f"'{self._program}' plays through rtsep", lines)
            return found
        fit = [player for player in others if player.fits(self._app)]
        for program in sorted({player.program for player in fit} - {self._program}):
            self._notify_once(
                f"'{program}' matches app:{self._app}, too; only '{self._program}' is captured", lines
            )
        return [player for player in fit if player.program == self._program]

    def _notify_once(self, line: str, lines: list[str]) -> None:
        if line not in self._notified:
            self._notified.add(line)
            lines.append(line)


def give_back(pulse: Any, undo: Undo) -> bool:
    """Undo a diversion: the default sink, the players, the virtual sink. Return whether there was one."""
    sinks = {sink.name: sink for sink in pulse.sink_list()}
    default = pulse.server_info().default_sink_name
    others = [name for name in (undo.default, *sinks) if name in sinks and name not in OUR_SINKS]
    virtual = sinks.get(SINK)
    changed = bool(undo.default and others) and (default == SINK or default not in sinks)
    # The sink of a killed session is still the chosen default: a new sink of that name would become it again.
    if changed or (virtual is None and undo.default and default == undo.default):
        pulse.default_set(sinks[others[0]])
    left = virtual or sinks.get(default)  # the server's destination for players of a removed sink
    for number, name in undo.moved.items():
        there = next((p for p in players(pulse) if str(p.index) == number), None)
        target = sinks.get(name) or (sinks[others[0]] if others else None)
        if there and target and left and there.sink == left.index and target is not left:
            changed = succeeds(pulse.sink_input_move, there.index, target.index) or changed
    over = time.monotonic() + SETTLES_S
    while virtual and any(p.sink == virtual.index for p in players(pulse)) and time.monotonic() < over:
        time.sleep(_LOOK_S)
    return unload(pulse, PLAYERS) or changed  # the server moves remaining players to the default sink
