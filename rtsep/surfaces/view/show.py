"""The view around a running session: control of the terminal, destination of messages, common end of both.

Textual needs the main thread; the session has its own. During a view the terminal belongs to it: standard
error is a pipe, so that output of ALSA or JACK appears as a message and does not damage the picture.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO, cast

from rtsep.realtime import threads
from rtsep.surfaces.players.player import Player
from rtsep.surfaces.view.lines import Lines
from rtsep.surfaces.view.terminal import Terminal
from rtsep.surfaces.view.view import LiveView


def show(player: Player, notify: Lines) -> None:
    """Show the session of `player` until it ends, on the main thread.

    If the view fails, a message is shown and the audio continues; the same if the terminal disappears (a
    closed window without a signal, see `nohup`).
    """
    terminal: Terminal | None = None

    def finish() -> None:
        player.over(None)
        if terminal:
            terminal.finish()

    def gone() -> bool:
        return terminal is not None and terminal.gone

    def unread() -> bool:
        return gone() or (terminal is not None and terminal.stalled)

    view = LiveView(player, over=lambda: player.over() or gone())
    with notify.on(view.show_line, unread), _own_terminal(notify) as stream:
        terminal = stream
        threads.start(threading.Thread(target=finish, name="terminal-finisher", daemon=True))
        view.run()
    if not (player.over() or view.ending or gone()):
        notify("the view has failed, the audio continues (Ctrl-C ends)")
    player.over(None)


@contextlib.contextmanager
def _own_terminal(notify: Callable[[str], None]) -> Iterator[Terminal | None]:
    """Give Textual exclusive use of the terminal; lines on standard error become messages."""
    if sys.__stderr__ is None:
        yield None
        return
    sys.stderr.flush()
    before, beneath = sys.__stderr__, os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_print_lines, args=(reading, notify), name="standard-error", daemon=True)
    try:
        threads.start(reader)
        with _stream_to(beneath) as stream:
            sys.__stderr__ = stream  # type: ignore[misc,assignment]
            try:
                yield stream if isinstance(stream, Terminal) else None
            finally:
                sys.__stderr__ = before  # type: ignore[misc]
    finally:
        os.dup2(beneath, 2)
        os.close(beneath)


def _stream_to(terminal: int) -> TextIO:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # a terminal without a name, of another container
            return cast(TextIO, Terminal(terminal))
    return open(terminal, "w", encoding="utf-8", errors="replace", closefd=False)


def _print_lines(reading: int, notify: Callable[[str], None]) -> None:
    """Pass each line on, repeated lines once, until all writers have closed the pipe."""
    last = ""
    with open(reading, encoding="utf-8", errors="replace") as stream:
        for text in stream:
            line = text.strip()
            if line and line != last:
                notify(line)
            last = line
