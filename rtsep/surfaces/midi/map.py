"""The map: assigns knobs, pads and keys of controllers to controls. One small TOML file.

    channel = 1                 # accept this channel only (all)

    [threshold]
    cc = 21                     # or cc14 = 21, nrpn = 300, note = 36
    range = [0.1, 0.8]

    [vocals_mute]
    note = 40
    mode = "momentary"

Controls that the file does not contain keep their entries of the default map (`defaults = false` removes
those) unless their knob has another use. A control with several knobs is written `[[threshold]]`, once for
each. The file is checked strictly: an error has file, line and remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtsep import folders
from rtsep.controls import BY_NAME, CURVES, Control, Travel
from rtsep.errors import UsageError, suggest
from rtsep.surfaces.midi.messages import CC, CC14, LSB_OFFSET, MAX_7, MAX_14, NOTE, NRPN, note_name
from rtsep.surfaces.toml import TableKey, TomlFile, known, near, plain, read_text, shown

KNOB, TOGGLE, MOMENTARY, LATCHED = "knob", "toggle", "momentary", "latched"
MODES = (TOGGLE, MOMENTARY, LATCHED)
"""Modes of a button: each press toggles; on while it is held; the button itself latches."""

ENCODERS = ("twos-complement", "offset", "sign-magnitude")
"""Codings of -1 by an endless knob: 127, 63 or 65."""

DEFAULT_STEP = 0.01

_HIGHEST = {CC: MAX_7, CC14: LSB_OFFSET - 1, NRPN: MAX_14, NOTE: MAX_7}
SOURCES = tuple(_HIGHEST)
_ENTRY_KEYS = (*SOURCES, "channel", "port", "range", "curve", "mode", "invert", "encoder", "step", "takeover")
_TOP_KEYS = ("channel", "takeover", "feedback", "defaults")


@dataclass(frozen=True)
class Entry:
    """Knob or button with its control."""

    control: Control
    kind: str  # one of SOURCES
    number: int
    travel: Travel
    channel: int | None = None  # 1..16; None: any
    port: str = ""  # part of the name of the only accepted port
    mode: str = KNOB
    invert: bool = False
    encoder: str | None = None
    step: float = DEFAULT_STEP  # for an encoder: share of the travel
    takeover: bool = True
    in_file: bool = False  # False: from the default map

    @property
    def source(self) -> str:
        """Return the knob as text: `cc 21, channel 3`."""
        name = f" ({note_name(self.number)})" if self.kind == NOTE else ""
        channel = f", channel {self.channel}" if self.channel else ""
        return f"{self.kind} {self.number}{name}{channel}{f', {self.port}' if self.port else ''}"

    @property
    def manner(self) -> str:
        """Return its behaviour as text."""
        travel = self.travel
        ends = f"{self.control.shown(travel.low)} to {self.control.shown(travel.high)}"
        parts = []
        if self.mode != KNOB:
            parts = [self.mode] if self._is_switch else [self.mode, ends]
        else:
            parts = [ends, f"even in {'dB' if travel.curve == 'dB' else 'value'}"]
            if self.encoder:
                parts.append(f"endless ({self.encoder}), {self.step:g} a click")
            elif not self.takeover:
                parts.append("no takeover")
        if self.invert:
            parts.append("inverted")
        return ", ".join(parts)

    @property
    def _is_switch(self) -> bool:
        return self.control.unit in ("switch", "choice")

    def clashes(self, other: Entry) -> bool:
        """Return whether one message could match both."""
        anywhere = self.channel is None or other.channel is None or self.channel == other.channel
        return anywhere and bool(self._controllers() & other._controllers())

    def _controllers(self) -> set[tuple[str, int]]:
        if self.kind == CC14:
            return {(CC, self.number), (CC, self.number + LSB_OFFSET)}
        return {(self.kind, self.number)}


@dataclass(frozen=True)
class MidiMap:
    """All entries: first those of the file in order, then the default ones."""

    entries: tuple[Entry, ...]
    feedback: bool = True
    channel: int | None = None  # for entries without their own, and for program changes
    path: Path | None = None  # None: only the default map


def _default_entry(name: str, kind: str, number: int) -> Entry:
    control = BY_NAME[name]
    mode = TOGGLE if control.unit in ("switch", "choice") else KNOB
    return Entry(control=control, kind=kind, number=number, travel=Travel.whole(control), mode=mode)


DEFAULT_ENTRIES = (
    _default_entry("threshold", CC, 1),
    _default_entry("vocals_gain", CC, 7),
    _default_entry("instrumental_gain", CC, 8),
    _default_entry("vocals_mute", NOTE, 36),
    _default_entry("instrumental_mute", NOTE, 37),
    _default_entry("vocals_solo", NOTE, 38),
    _default_entry("instrumental_solo", NOTE, 39),
    _default_entry("bypass", NOTE, 40),
)
"""Default map: modulation wheel, volume, balance, and the first pads of many pad controllers."""


def user_file() -> Path:
    """Return the path of the user's map."""
    return folders.config() / "midi.toml"


def load_map(path: Path | None = None) -> MidiMap:
    """Read the map at `path`; without one, the user's map, or the default map if there is none.

    Raise `UsageError` with file, line and remedy.
    """
    chosen = path or user_file()
    try:
        text = read_text(chosen, "map")
    except FileNotFoundError:
        if path is None:
            return MidiMap(DEFAULT_ENTRIES)
        raise UsageError(f"{path}: no such map; 'rtsep midi learn CONTROL --map {path}' makes one") from None
    return parse_map(text, chosen)


def parse_map(text: str, path: Path) -> MidiMap:
    """Parse a map's text; `path` is for its errors. Raise `UsageError`."""
    return _MapReader(TomlFile(text, path)).read()


class _MapReader:
    """Checks one file."""

    def __init__(self, file: TomlFile) -> None:
        self._file = file
        self._error = file.error

    def read(self) -> MidiMap:
        tables = self._file.tables
        for key, value in tables.items():
            if key in BY_NAME or key in _TOP_KEYS:
                continue
            words = list(BY_NAME) if isinstance(value, dict | list) else [*_TOP_KEYS, *BY_NAME]
            what = "control" if isinstance(value, dict | list) else "setting"
            raise self._error(f"no {what} is called '{key}'{suggest(key, words) or known(words)}", key)
        channel = self._channel(tables, None)
        takeover = self._switch(tables, "takeover", True)
        entries: list[Entry] = []
        for key, value in tables.items():
            if key not in BY_NAME:
                continue
            written = value if isinstance(value, list) and value else [value]
            for number, table in enumerate(written):
                if not isinstance(table, dict):
                    raise self._error(f"{key} needs a table: [{key}], then for example 'cc = 21'", key)
                entries.append(self._entry(BY_NAME[key], table, (key, number), channel, takeover))
        if self._switch(tables, "defaults", True):
            own = {entry.control for entry in entries}
            entries += [
                replace(entry, channel=channel, takeover=takeover)
                for entry in DEFAULT_ENTRIES
                if entry.control not in own and not any(entry.clashes(other) for other in entries)
            ]
        return MidiMap(
            entries=tuple(entries),
            feedback=self._switch(tables, "feedback", True),
            channel=channel,
            path=self._file.path,
        )

    def _entry(
        self,
        control: Control,
        table: dict[str, Any],
        table_key: TableKey,
        channel: int | None,
        takeover: bool,
    ) -> Entry:
        for key in table:
            if key not in _ENTRY_KEYS:
                hint = suggest(key, _ENTRY_KEYS) or known(_ENTRY_KEYS)
                raise self._error(f"{control.name} has no setting '{key}'{hint}", key, table_key)
        given = [key for key in SOURCES if key in table]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "names no knob"
            raise self._error(
                f"{control.name} {what}; give one of {', '.join(SOURCES)}",
                given[-1] if given else "",
                table_key,
            )
        kind = given[0]
        number = self._file.whole(table[kind], kind, 0, _HIGHEST[kind], table_key)
        switch = control.unit in ("switch", "choice")
        mode = table.get("mode", TOGGLE if switch or kind == NOTE else KNOB)
        if mode not in MODES and not (mode == KNOB and "mode" not in table):
            raise self._error(
                f"mode {shown(mode)}: must be one of {', '.join(MODES)}{near(mode, MODES)}", "mode", table_key
            )
        encoder = self._encoder(table, kind, mode, table_key)
        invert = self._switch(table, "invert", False, table_key)
        if invert and mode == TOGGLE:
            raise self._error("invert is not possible with mode 'toggle'", "invert", table_key)
        if "takeover" in table and (mode != KNOB or encoder):
            raise self._error(
                "takeover applies only to knobs and faders with two ends", "takeover", table_key
            )
        port = table.get("port", "")
        if not isinstance(port, str):
            raise self._error("port is part of a port's name, in quotes", "port", table_key)
        return Entry(
            control=control,
            kind=kind,
            number=number,
            travel=self._travel(control, table, mode, table_key),
            channel=self._channel(table, table_key) if "channel" in table else channel,
            port=port,
            mode=mode,
            invert=invert,
            encoder=encoder,
            step=self._step(table, encoder, table_key),
            takeover=self._switch(table, "takeover", takeover, table_key),
            in_file=True,
        )

    # --- values ----------------------------------------------------------------------------------------

    def _travel(self, control: Control, table: dict[str, Any], mode: str, table_key: TableKey) -> Travel:
        whole = Travel.whole(control)
        switch = control.unit in ("switch", "choice")
        for key in ("range", "curve"):
            if key in table and switch:
                raise self._error(f"{control.name} is not a knob and does not accept {key}", key, table_key)
        if "curve" in table and mode != KNOB:
            raise self._error(
                f"a button ({mode}) jumps between the ends of its range and accepts no curve",
                "curve",
                table_key,
            )
        curve = table.get("curve", whole.curve)
        if curve not in CURVES:
            raise self._error(
                f"curve {shown(curve)}: must be one of {', '.join(CURVES)}{near(curve, CURVES)}",
                "curve",
                table_key,
            )
        ends = table.get("range", [whole.low, whole.high])
        if not isinstance(ends, list) or len(ends) != 2:
            raise self._error(
                f"range must be [lowest, highest]; {control.name}: {control.accepted}", "range", table_key
            )
        low, high = (self._end(control, end, table_key) for end in ends)
        if low >= high:
            raise self._error(
                f"range [{ends[0]}, {ends[1]}]: give the lower end first ('invert = true' reverses it)",
                "range",
                table_key,
            )
        return Travel(control=control, low=low, high=high, curve=curve)

    def _end(self, control: Control, given: Any, table_key: TableKey) -> float:
        try:
            if isinstance(given, str):
                return control.parse(given)
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise UsageError(f"{shown(given)} is not a number; {control.name}: {control.accepted}")
            return control.check(plain(given))
        except UsageError as error:
            raise self._error(f"range: {error}", "range", table_key) from None

    def _encoder(self, table: dict[str, Any], kind: str, mode: str, table_key: TableKey) -> str | None:
        encoder = table.get("encoder")
        if encoder is None:
            return None
        if encoder not in ENCODERS:
            hint = near(encoder, ENCODERS)
            raise self._error(
                f"encoder {shown(encoder)}: must be one of {', '.join(ENCODERS)}{hint}", "encoder", table_key
            )
        if kind != CC or mode != KNOB:
            raise self._error(
                "encoder applies only to a knob that sends cc, and not to a switch", "encoder", table_key
            )
        return str(encoder)

    def _step(self, table: dict[str, Any], encoder: str | None, table_key: TableKey) -> float:
        step = table.get("step", DEFAULT_STEP)
        if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= 1:
            raise self._error(
                f"step {shown(step)}: must be the share of the range for one click, 0 to 1", "step", table_key
            )
        if "step" in table and not (encoder or NRPN in table):
            raise self._error(
                "step applies only to an encoder, or to the increments of an nrpn", "step", table_key
            )
        return float(step)

    def _channel(self, table: dict[str, Any], table_key: TableKey | None) -> int | None:
        if table.get("channel", "any") == "any":
            return None
        return self._file.whole(table["channel"], "channel", 1, 16, table_key, ' (or "any")')

    def _switch(
        self, table: dict[str, Any], key: str, default: bool, table_key: TableKey | None = None
    ) -> bool:
        return self._file.switch(table.get(key, default), key, table_key)
