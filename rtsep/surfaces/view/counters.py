"""Text and figures: faults, the parts of the latency, the state of the model, the recording."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from textual.geometry import Size

from rtsep.files.names import one_line
from rtsep.surfaces.players.player import clock, stretch_in_words
from rtsep.surfaces.view.canvas import Canvas, Part
from rtsep.surfaces.view.palette import BAD, GOOD, WARN, Ink

Field = list[Part]

TITLE_CELLS = 16
"""Minimum width for input and output beside the position in a file."""

_TROUBLES = (
    ("late", "late_masks"),
    ("xruns", "device_xruns"),
    ("underruns", "underruns"),
    ("overruns", "overruns"),
)
_RARE = (("resyncs", "resyncs"), ("starved", "source_starved_frames"), ("bad samples", "bad_samples"))
"""Counters shown only if they are not 0."""


class Counters(Canvas):
    """Fields, arranged in lines by the available width."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self._stats: dict[str, Any] | None = None

    def follow(self, stats: dict[str, Any]) -> None:
        """Show `Session.stats`."""
        self._stats = stats
        self._draw()

    def resized(self, size: Size) -> None:
        """Draw again."""
        self._draw()

    def _draw(self) -> None:
        if self._stats is None:
            return
        height = self.size.height
        roomy = height >= 7
        lines = fields(self.ink, self._stats, roomy)
        for y in range(height):
            self.put(y, self._laid(lines[y] if y < len(lines) else []))

    def _laid(self, fields: list[Field]) -> list[Part]:
        """Return fields in a line, closer together if needed; the last are left out if space is short."""
        for gap in ("  ", " "):
            parts = [part for field in fields for part in ((gap, self.ink.base), *field)][1:]
            if _cells(parts) <= self.size.width:
                return parts
        return self._laid(fields[:-1]) if len(fields) > 1 else parts


def _cells(parts: list[Part]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def fields(ink: Ink, stats: dict[str, Any], roomy: bool) -> list[list[Field]]:
    """Return the lines: fields in order of importance, because the last ones may be left out."""
    troubles = [_count(ink, name, stats[key]) for name, key in _TROUBLES]
    rare = [_count(ink, name, stats[key]) for name, key in _RARE if stats[key]]
    if limited := stats.get("limiter_db"):
        rare.insert(0, [("limiter ", ink.dim), (f"{limited:.1f} dB", ink(WARN, bold=True))])
    if dimmed := stats.get("feedback_db"):
        rare.insert(0, [("feedback ", ink.dim), (f"{dimmed:.1f} dB", ink(WARN, bold=True))])
    ms = stats["latency_ms"]
    model = stats["model"]
    if model["ready"]:
        state = ("asleep" if model.get("asleep") else "ready", ink(GOOD))
    else:
        state = ("down: dry", ink(BAD, bold=True, reverse=ink.plain))
    named: Field = [("model ", ink.dim), (model["name"], ink.base), (" ", ink.base), state]
    restarts = _count(ink, "restarts", model["restarts"])
    drift = stats["drift_ppm"]
    drifts: Field = [("drift ", ink.dim), ("one clock" if drift is None else f"{drift:+.0f} ppm", ink.base)]
    thread: Field = [("real-time", ink(GOOD)) if stats["real_time"] else ("no real-time", ink(WARN))]
    if not roomy:
        latency: Field = [
            ("latency ", ink.dim),
            (f"{ms['algorithm']:.1f}+{ms['engine']:.1f}+{ms['device']:.1f}=", ink.base),
            (f"{ms['total']:.1f} ms", ink.bold),
        ]
        short: Field = [("drift ", ink.dim), ("-" if drift is None else f"{drift:+.0f}", ink.base)]
        return [rare + troubles, [latency, short], [named, restarts, thread]]
    parts: list[Field] = [
        [(f"{name} ", ink.dim), (f"{ms[name]:.1f}", ink.base)] for name in ("algorithm", "engine", "device")
    ]
    total: Field = [
        ("latency ", ink.dim),
        (f"{ms['total']:.1f} ms", ink.bold),
        (f" ({stats['latency_samples']} samples)", ink.dim),
    ]
    clock: Field = [(f"{stats['rate']} Hz, blocks of {stats['block']}", ink.base)]
    gap: Field = [("longest pause of the device ", ink.dim), (f"{stats['call_gap_max_ms']:.1f} ms", ink.base)]
    return [troubles[:2] + rare[:1], troubles[2:] + rare[1:], [total], parts, [clock, drifts], [gap], [named],
            [restarts, thread]]  # fmt: skip


def _count(ink: Ink, name: str, value: int) -> Field:
    style = ink(BAD, bold=True, reverse=ink.plain) if value else ink(GOOD)
    return [(f"{name} ", ink.dim), (str(value), style)]


class Header(Canvas):
    """Header: input and output, state, and the recording."""

    def follow(self, title: str, stats: dict[str, Any], ending: bool = False) -> None:
        """Show `Player.title` and `Session.stats`."""
        ink, width = self.ink, self.size.width
        state = "ending" if ending else stats["state"]
        right: list[Part] = [(state, ink(GOOD if state == "playing" else WARN, bold=True))]
        recorded = [*recording(ink, stats["recording"]), (" ", ink.base)]
        if _cells(recorded) + _cells(right) + len("rtsep ") <= width:
            right = recorded + right
        file = [*file_position(ink, stats.get("file")), ("  ", ink.base)]
        if stats.get("file") and _cells(file) + _cells(right) + len("rtsep  ") + TITLE_CELLS <= width:
            right = file + right
        room = max(0, width - _cells(right))
        left = f"rtsep  {one_line(title)}"
        while cell_len(left) > room - 1 and len(left) > 8:
            left = left[:-2] + "…"
        pad = " " * max(0, room - cell_len(left))
        self.put(0, [(left[:5], ink.bold), (left[5:] + pad, ink.base), *right])


def file_position(ink: Ink, file: dict[str, Any] | None) -> list[Part]:
    """Return the position in a played file as text."""
    if file is None:
        return []
    parts: list[Part] = [("paused ", ink(WARN, bold=True))] if file["paused"] else []
    parts.append((clock(file["position_s"]), ink.bold))
    if file["length_s"] is not None:
        parts.append((f"/{clock(file['length_s'])}", ink.dim))
    if file["loop_s"]:
        start, end = file["loop_s"]
        whole = start == 0 and end is None
        parts.append((" loop" if whole else f" loop {clock(start)}-{clock(end) if end else ''}", ink.base))
    if stretch := stretch_in_words(file.get("speed", 1.0), file.get("key", 0.0)):
        parts.append((f" {stretch}", ink(WARN)))
    return parts


def recording(ink: Ink, state: dict[str, Any] | None) -> list[Part]:
    """Return the recording's state as text."""
    if state is None:
        return [("○ not recording", ink.dim)]
    if state["failure"]:
        return [("○ recording stopped", ink(BAD, bold=True))]
    seconds = int(state["seconds"])
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    parts: list[Part] = [("● REC ", ink(BAD, bold=True, reverse=ink.plain)), (clock, ink.bold)]
    if state["lost_frames"]:
        parts.append((f" lost {state['lost_frames']} frames", ink(BAD)))
    return parts
