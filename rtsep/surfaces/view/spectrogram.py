"""The scrolling spectrogram with the mask over it: bright is loud, amber is the vocals, blue the rest.

Time runs to the right, COLUMNS_PER_S columns per second; a cell has two bands, one above the other. The past
is kept in fine bands, so that it can be redrawn after a resize.

To scroll, the terminal itself moves its content (delete characters here, insert them there: ECMA-48 DCH and
ICH, supported since the VT102), and gets only the new columns. This needs a fifteenth of the data, and of the
work on both ends, compared with repainting the picture.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip

from rtsep.surfaces.players.player import BANDS, Spectrum
from rtsep.surfaces.players.spectrum_reader import SILENCE_DB, band_edges
from rtsep.surfaces.view.canvas import RESET, Canvas, Inked, Pen, at, inked
from rtsep.surfaces.view.palette import Depth, Ink, cell, dots

COLUMNS_PER_S = 15.0
"""Columns per second: 80 columns show five seconds, a line of singing."""

KEPT = 400
"""Columns kept for terminals that grow."""

DARK_DB, BRIGHT_DB = -72.0, -8.0
TILT_DB_PER_OCTAVE = 3.0
"""Compensation of music's usual slope from TILT_FROM_HZ up: treble and bass become equally bright."""

TILT_FROM_HZ = 250.0
AT_ONCE_COVERED = 3
"""Columns drawn together while a list covers the picture, because the terminal cannot scroll it then."""

REPAINT_S = 10.0
"""Interval of complete repaints in seconds, which remove any foreign output."""

AXIS = 5
_MARKS_HZ = {100: "100", 300: "300", 1000: "1k", 3000: "3k", 10000: "10k"}


class Spectrogram(Canvas):
    """Picture of the last seconds."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        centres = np.sqrt(band_edges()[:-1] * band_edges()[1:])
        self._tilt = TILT_DB_PER_OCTAVE * np.log2(np.maximum(centres / TILT_FROM_HZ, 1.0))
        self._level = np.full((BANDS, KEPT), SILENCE_DB, np.float32)  # newest column last
        self._share = np.zeros((BANDS, KEPT), np.float32)
        self._parted = np.ones(KEPT, np.bool_)
        self._pending: list[Spectrum] = []
        self._due_s = 0.0
        self._cells: dict[tuple[int, int], Segment] = {}
        self._codes: dict[Segment, str] = {}
        self._rows: list[deque[Segment]] = []  # one deque of cells for each line of the screen
        self._starts = np.zeros(0, np.int64)
        self._made = False  # the lines match the rows
        self._in_step = False  # the terminal shows the current rows
        self._unshown = 0  # columns that Textual has not painted yet
        self._painted_s = 0.0  # time since the last complete repaint

    def follow(self, spectrum: Spectrum | None, seconds: float, parted: bool = True) -> None:
        """Add the data of the last `seconds`; `parted` is False for the dry signal."""
        if spectrum:
            self._pending.append(spectrum)
        self._due_s += seconds
        if self._due_s < 1.0 / COLUMNS_PER_S:
            return
        columns = int(self._due_s * COLUMNS_PER_S)
        self._due_s -= columns / COLUMNS_PER_S
        level, share = self._folded()
        columns = min(columns, 4)  # a delayed view skips the missed columns
        for _ in range(columns):
            self._append(level, share, parted)
        self._painted_s += seconds
        self._show(columns)

    def _folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return level and share of the pending data; no data gives silence."""
        pending, self._pending = self._pending, []
        if not pending:
            return np.full(BANDS, SILENCE_DB, np.float32), np.zeros(BANDS, np.float32)
        level = np.max([spectrum.level_db for spectrum in pending], axis=0)
        power = np.array([10.0 ** (spectrum.level_db / 10.0) for spectrum in pending])
        share = np.array([spectrum.share for spectrum in pending])
        return level, np.asarray((power * share).sum(axis=0) / power.sum(axis=0), np.float32)

    def _append(self, level: NDArray[np.float32], share: NDArray[np.float32], parted: bool) -> None:
        for kept, new in ((self._level, level), (self._share, share), (self._parted, parted)):
            kept[..., :-1] = kept[..., 1:]
            kept[..., -1] = new
        for row, segment in zip(self._rows, self._column(KEPT - 1), strict=True):
            row.append(segment)

    def resized(self, size: Size) -> None:
        """Redraw the past."""
        per_cell = 2 if self.ink.depth is Depth.BLOCKS else 1
        self._per_cell = per_cell
        rows = size.height * per_cell
        self._starts = np.minimum(np.arange(rows) * BANDS // max(1, rows), BANDS - 1)
        self._axis = [self._axis_segment(y, size.height) for y in range(size.height)]
        width = max(0, size.width - AXIS)
        self._rows = [deque(maxlen=width) for _ in range(size.height)]
        for column in range(max(0, KEPT - width), KEPT):
            for row, segment in zip(self._rows, self._column(column), strict=True):
                row.append(segment)
        self._made = self._in_step = False

    def _column(self, column: int) -> list[Segment]:
        """Return the cells of one kept column, top first."""
        if not len(self._starts):
            return []
        level = np.asarray(self._level[:, column] + self._tilt, np.float32)
        bright = np.maximum.reduceat(level, self._starts)
        power = 10.0 ** (level / 10.0)
        share = np.add.reduceat(power * self._share[:, column], self._starts)
        share /= np.add.reduceat(power, self._starts)
        levels = np.asarray((bright - DARK_DB) / (BRIGHT_DB - DARK_DB), np.float32)
        found = dots(levels, share if self._parted[column] else None)[::-1].tolist()
        if self._per_cell == 1:
            return [self._segment(dot, dot) for dot in found]
        return [self._segment(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def _segment(self, top: int, bottom: int) -> Segment:
        segment = self._cells.get((top, bottom))
        if segment is None:
            segment = self._cells[top, bottom] = Segment(*cell(self.ink, top, bottom))
        return segment

    # --- to the terminal --------------------------------------------------------------------------

    def _show(self, columns: int) -> None:
        """Show the newest `columns`."""
        self._made = False
        pen = self.pen
        place = pen.place_of(self) if pen else None
        if pen is None or place is None or place.width <= AXIS:
            self._in_step = False
            self._unshown += columns
            if self._unshown >= AT_ONCE_COVERED:
                self._unshown = 0
                self.refresh()
        elif self._in_step and self._painted_s < REPAINT_S:
            self._scroll(pen, place, columns)
        else:
            for y, line in enumerate(self._made_lines()):
                pen.draw(place.x, place.y + y, line)
            self._in_step, self._painted_s = True, 0.0

    def _scroll(self, pen: Pen, place: Region, columns: int) -> None:
        width = place.width - AXIS
        columns = min(columns, width)
        first, new = place.x + AXIS, place.x + place.width - columns
        beside = place.right < self.screen.size.width
        for y, row in enumerate(self._rows, place.y):
            pen.write(f"{at(first, y)}\x1b[{columns}P{at(new, y)}")
            if beside:  # the rest of the line moves back to its position
                pen.write(f"\x1b[{columns}@")
            for cell_number in range(-columns, 0):
                pen.write(self._code(pen, row[cell_number]))
        pen.write(RESET)

    def _code(self, pen: Pen, segment: Segment) -> str:
        code = self._codes.get(segment)
        if code is None:
            code = self._codes[segment] = pen.code_of(segment)
        return code

    def out_of_step(self) -> None:
        """Assume nothing about the terminal's content, for example after a resize."""
        self._in_step = False

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of `crop`."""
        self._made_lines()
        return super().render_lines(crop)

    def _made_lines(self) -> list[Strip]:
        """Return all lines, from the current rows."""
        if not self._made:
            self._lines = [self._line(y, row) for y, row in enumerate(self._rows)]
            self._made = True
        return self._lines

    def _line(self, y: int, row: deque[Segment]) -> Strip:
        width = self.size.width
        if width <= AXIS:
            return inked((), width, self.ink.base)
        missing = width - AXIS - len(row)
        blank = [Segment(" " * missing, self.ink.base)] if missing > 0 else []
        return Inked([self._axis[y], *blank, *row], width)

    def _axis_segment(self, y: int, height: int) -> Segment:
        low, high = np.log(band_edges()[[0, -1]])
        for hz, label in _MARKS_HZ.items():
            if int((high - np.log(hz)) / (high - low) * height) == y:
                return Segment(f"{label:>{AXIS - 1}} ", self.ink.dim)
        return Segment(" " * AXIS, self.ink.base)
