"""The view: its parts, their layout by size, the actions of keys, and 30 frames per second."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.console import Console
from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.driver import Driver
from textual.filter import LineFilter, NoColor
from textual.screen import Screen

from rtsep.controls import TABLE
from rtsep.surfaces.players.player import Choice, Player
from rtsep.surfaces.view.canvas import Canvas, Pen
from rtsep.surfaces.view.counters import Counters, Header
from rtsep.surfaces.view.faders import Faders
from rtsep.surfaces.view.failing import PlainlyFailing
from rtsep.surfaces.view.hops import HopTimes
from rtsep.surfaces.view.keys import ACTIONS, KeyLine, help_lines, press_file_key
from rtsep.surfaces.view.message_log import MessageLog
from rtsep.surfaces.view.meters import Meters
from rtsep.surfaces.view.pace import QUESTION, Pace
from rtsep.surfaces.view.palette import BACKGROUND, Depth, Ink
from rtsep.surfaces.view.pickers import Nearest, Page, Picker, in_words, key_table
from rtsep.surfaces.view.spectrogram import Spectrogram
from rtsep.surfaces.view.turning import LETTERS, TURNS
from rtsep.surfaces.view.typed import with_keyboard

FRAMES_PER_S = 30
FIGURES_EVERY = 6
"""Frames between two updates of the figures, which need not be faster to read."""

ANSWER_S = 1.0
"""Maximum wait for the terminal's last answer in seconds."""

WRITTEN_AT_ONCE = 8192 if sys.platform == "win32" else 1 << 20
"""Maximum characters of one write; Python on Windows loses some of longer ones."""

WIDE_FROM = (104, 24)
"""Minimum columns and lines for controls and figures beside the picture instead of below it."""

TALL_FROM = 34

VAST_FROM = 160
"""Minimum columns for full names of controls."""


class LiveView(PlainlyFailing):
    """Shows a `Player`, and lets keys and mouse change its controls, until `over` returns True."""

    TITLE = "rtsep live"
    ENABLE_COMMAND_PALETTE = False
    CSS = f"""
    #live {{ background: {BACKGROUND}; layout: vertical; overflow: hidden; }}
    Canvas {{ background: {BACKGROUND}; }}
    #header, #keys {{ height: 1; }}
    #log {{ height: 1; }}
    #body {{ height: 1fr; layout: vertical; }}
    #seen {{ height: 1fr; }}
    #meters {{ height: 3; }}
    #spectrogram {{ height: 1fr; min-height: 0; }}
    #hands {{ height: 10; }}
    #faders {{ height: 7; }}
    #figures {{ height: 3; layout: horizontal; }}
    #hops {{ width: 1fr; height: 100%; margin-right: 2; }}
    #counters {{ width: 1fr; height: 100%; }}
    .tall #meters {{ height: 4; }}
    .tall #log {{ height: 2; }}
    .tall #figures {{ height: 5; margin-top: 1; }}
    .tall #hands {{ height: 14; padding-top: 1; }}
    .wide #body {{ layout: horizontal; }}
    .wide #seen {{ width: 1fr; height: 100%; margin-right: 2; }}
    .wide #hands {{ width: 46; height: 100%; padding-top: 0; }}
    .wide #faders {{ height: 13; }}
    .wide #figures {{ height: 1fr; layout: vertical; margin-top: 1; }}
    .wide #hops {{ width: 100%; height: 1fr; max-height: 10; margin-right: 0; }}
    .wide #counters {{ width: 100%; height: 3; }}
    .wide.tall #counters {{ height: 8; margin-top: 1; }}
    .wide.vast #hands {{ width: 60; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", priority=True, show=False),
        Binding("ctrl+q", "quit", priority=True, show=False),
    ]

    def __init__(
        self,
        player: Player,
        over: Callable[[], bool] = lambda: False,
        depth: Depth | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`over` is asked every frame; `depth` None: what the terminal can; `clock` None: by time.

        With a `clock` (in seconds) nothing moves but by calls of `frame`.
        """
        if depth is None:
            found = Console(force_terminal=True).color_system
            depth = Depth.of(found, bool(os.environ.get("NO_COLOR")))
        super().__init__(ansi_color=depth is Depth.PLAIN)
        self.player, self._over = player, over
        self._by_time = clock is None
        self._clock = clock or time.monotonic
        self.ink = Ink(depth)
        self.pace = Pace()
        self._message_log = MessageLog()
        self._frames = 0
        self._last_frame = self._last_figures = 0.0
        self._over_since: float | None = None
        self._stats: dict[str, Any] | None = None
        self._busy_recording = False
        self.ending = self._laid_out = False
        self._uncovered = True  # whether the player has seen the picture since a list lay over it
        self.pen: Pen | None = None  # for canvases, while a frame may be written to the terminal at once

    # --- parts ------------------------------------------------------------------------------------

    def get_line_filters(self) -> list[LineFilter]:
        """Return Textual's filters; one that takes all colours away, or the nearest, where there are few."""
        if self.ink.plain:
            return [NoColor()]
        few = [Nearest()] if self.console.color_system == "256" else []
        return [*super().get_line_filters(), *few]

    def get_driver_class(self) -> type[Driver]:
        """Return Textual's driver for this terminal, with our way to read keys."""
        return with_keyboard(super().get_driver_class())

    def get_default_screen(self) -> Screen[None]:
        """Return the screen with all parts on it."""
        return Screen(id="live")

    def compose(self) -> ComposeResult:
        """Create the parts; the style sheet sets their sizes."""
        ink = self.ink
        yield Header(ink, id="header")
        with Vertical(id="body"):
            with Vertical(id="seen"):
                yield Meters(ink, id="meters")
                yield Spectrogram(ink, id="spectrogram")
            with Vertical(id="hands"):
                yield Faders(ink, self.player.controls, id="faders")
                with Vertical(id="figures"):
                    yield HopTimes(ink, id="hops")
                    yield Counters(ink, id="counters")
        yield Canvas(ink, id="log")
        yield KeyLine(ink, id="keys")

    def on_mount(self) -> None:
        """Start to draw."""
        main = self.screen
        self.header, self.meters = main.query_one(Header), main.query_one(Meters)
        self.spectrogram, self.faders = main.query_one(Spectrogram), main.query_one(Faders)
        self.hops, self.counters = main.query_one(HopTimes), main.query_one(Counters)
        self.log_canvas = main.query_one("#log", Canvas)
        self._last_frame = self._last_figures = self._clock()
        self._laid_out = True
        if self._by_time:
            self.set_interval(1.0 / FRAMES_PER_S, self.frame)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout."""
        main = self.screen_stack[0]
        width, height = event.size
        main.set_class(width >= WIDE_FROM[0] and height >= WIDE_FROM[1], "wide")
        main.set_class(height >= TALL_FROM, "tall")
        main.set_class(width >= VAST_FROM, "vast")
        main.query_one(Spectrogram).out_of_step()

    # --- frames -----------------------------------------------------------------------------------

    def frame(self) -> None:
        """Draw the changes since the last frame, if the terminal keeps up."""
        now = self._clock()
        if self._over():
            self._over_since = now if self._over_since is None else self._over_since
            # An answer that came later would be typed into the shell.
            if not self.pace.expects or now - self._over_since > ANSWER_S:
                self.exit()
            return
        if not self.pace.may_draw(now):
            return
        self.pen = self._new_pen()
        try:
            self._draw(now)
            self._send(now)
        finally:
            self.pen = None

    def _new_pen(self) -> Pen | None:
        """Return a pen for direct output, None if something covers the picture."""
        terminal = self._driver is not None and not self.is_headless and not self._driver.is_web
        covered = len(self.screen_stack) > 1 or self._batch_count > 0
        return Pen(self.screen, self.console) if terminal and not covered else None

    def _send(self, now: float) -> None:
        """Send the pen's output and, if it is time, a request for the terminal's progress."""
        if self._driver is None or self.is_headless:
            return
        if self.pen and (drawn := self.pen.taken):
            self._begin_update()
            for start in range(0, len(drawn), WRITTEN_AT_ONCE):
                self._driver.write(drawn[start : start + WRITTEN_AT_ONCE])
            self._end_update()
        if self.pace.request_due(now):
            self._driver.write(QUESTION)
        self._driver.flush()

    def _draw(self, now: float) -> None:
        seconds = min(now - self._last_frame, 1.0)
        self._last_frame = now
        stats = self._stats = self.player.stats()
        self._uncovered = len(self.screen_stack) == 1
        self.meters.follow(stats["levels"], seconds)
        parted = bool(stats["model"]["ready"]) and not self.player.controls.bypass
        self.spectrogram.follow(self.player.newest(), seconds, parted)
        self.faders.follow()
        if self._frames % FIGURES_EVERY == 0:
            self._show_figures(stats, now)
        self._frames += 1
        self._show_log(now)

    def _show_figures(self, stats: dict[str, Any], now: float) -> None:
        self.hops.follow(self.player.hop_histogram(), self.player.hop_budget_us, now - self._last_figures)
        self._last_figures = now
        self.counters.follow(stats)
        self.header.follow(self.player.title, stats, self.ending)

    def on_cursor_position(self, _: events.CursorPosition) -> None:
        """Record the terminal's answer: it has drawn everything sent before."""
        self.pace.answer()

    # --- lines ------------------------------------------------------------------------------------

    def show_line(self, line: str) -> None:
        """Show and keep a line for the user; any thread may call this."""
        self._message_log.add(line, self._clock())

    def log_line(self, line: str) -> None:
        """Show a line about the last action."""
        self.show_line(line)

    def _show_log(self, now: float) -> None:
        """Show the newest lines."""
        height, width = self.log_canvas.size.height, self.log_canvas.size.width
        rows = self._message_log.rows(height, width, now)
        for y in range(height):
            text, last = rows[y] if y < len(rows) else "", y == len(rows) - 1
            self.log_canvas.put_new(y, (text, last), [(text, self.ink.base if last else self.ink.dim)])

    # --- keys -------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Handle keys strictly in order: the next one may be for the list that this one opens."""
        if not isinstance(event, events.Key) or event.is_forwarded or not self._laid_out:
            await super().on_event(event)
            return
        # Keys typed while a list closes are dropped: they were meant for the list.
        screen = self.screen
        covered = len(self.screen_stack) > 1
        closing = screen.busy if isinstance(screen, Picker) else not (covered or self._uncovered)
        if closing and event.key != "escape" and not event.key.startswith("ctrl+"):
            return
        if covered or not await self._press(event):
            await super().on_event(event)

    async def _press(self, event: events.Key) -> bool:
        """Run the action of a key; return whether it has one."""
        key, character = event.key, event.character or ""
        faders = self.faders
        if key in ("up", "down", "tab", "shift+tab"):
            faders.choose(faders.chosen + (1 if key in ("down", "tab") else -1))
        elif key in ("left", "right", "shift+left", "shift+right"):
            faders.turn(1 if key.endswith("right") else -1, fine=key.startswith("shift"))
        elif character in "+=-_" and character:
            faders.turn(1 if character in "+=" else -1)
        elif character.isdecimal() and character.isascii():
            faders.tenth(int(character))
        elif key in ("home", "end"):
            faders.set(faders.control, faders.control.minimum if key == "home" else faders.control.maximum)
        elif key in ("backspace", "delete"):
            faders.set(faders.control, faders.control.default)
        elif key in ("space", "enter"):
            faders.toggle()
        elif character in LETTERS:
            faders.choose([control.name for control in TABLE].index(LETTERS[character]))
            faders.toggle()
        elif character in TURNS:
            name, steps = TURNS[character]
            faders.choose([control.name for control in TABLE].index(name))
            faders.turn(steps, fine=False)
        elif (action := ACTIONS.get(character or key)) is not None:
            await self.run_action(action)
        else:
            return False
        return True

    def _open(self, over: Picker | Page) -> None:
        """Open a list over the picture."""
        self._uncovered = False

        def closed(picked: bool | None) -> None:
            if not picked:  # by a key: behind those that were typed with it. Else a frame is waited for
                self.call_later(setattr, self, "_uncovered", True)

        self.push_screen(over, closed)

    async def action_quit(self) -> None:
        """Request the end of the session; the view closes after it. The second time, close at once."""
        if self.ending or not self._by_time:
            self.exit()
        self.ending = True
        self.player.end()
        if self._stats:
            self.header.follow(self.player.title, self._stats, ending=True)

    def action_help(self) -> None:
        """Show keys and controls."""
        self._open(Page("Keys, controls, figures", key_table(help_lines())))

    def action_lines(self) -> None:
        """Show all messages."""
        text = Text("\n".join(self._message_log.lines) or "no messages so far")
        self._open(Page("Messages", text, from_end=True))

    def action_clips(self) -> None:
        """Reset the clip marks."""
        self.meters.forget_clips()

    def action_presets(self) -> None:
        """Choose a preset to recall."""
        player = self.player

        def recall(choice: Choice) -> None:
            player.recall_preset(choice.name)
            self.show_line(f"preset '{choice.name}'")

        empty = "there are no presets yet: s saves one"
        remark = player.presets_remark
        self._open(Picker("Recall a preset", player.presets, recall, empty=empty, remark=remark))

    def action_save(self) -> None:
        """Save the controls as a preset."""
        player = self.player

        def save(choice: Choice) -> None:
            player.save_preset(choice.name)
            self.show_line(f"saved as preset '{choice.name}'")

        self._open(Picker("Save the controls as a preset", player.presets, save, lambda _: "a new one"))

    def action_models(self) -> None:
        """Choose another model."""
        player = self.player
        self._open(Picker("Play with another model", player.models, lambda c: player.switch_model(c.name)))

    def action_devices(self) -> None:
        """Choose another input or output."""
        player = self.player

        def switch(choice: Choice) -> None:
            if choice.kind == "input":
                player.switch_device(input=choice.name)
            else:
                player.switch_device(output=choice.name)

        title = "Play from or to another device"
        self._open(Picker(title, player.devices, switch, remark=player.devices_remark))

    @work(thread=True, exit_on_error=False)
    def action_file(self, key: str) -> None:
        """Run the action of `key` for the played file."""
        if line := press_file_key(self.player, key):
            self.show_line(line)

    @work(thread=True, exit_on_error=False)
    def action_record(self) -> None:
        """Start or stop a recording."""
        if self._busy_recording:
            return
        self._busy_recording = True
        try:
            state = self.player.stats()["recording"]
            if state and not state["failure"]:
                self.show_line(self.player.stop_recording())
            else:
                self.show_line(f"recording to {self.player.start_recording()}")
        except Exception as error:
            self.show_line(in_words(error))
        finally:
            self._busy_recording = False
