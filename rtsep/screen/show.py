"""The view around a running session: who has the terminal, where lines go, how one's end ends the other.

Textual wants the main thread, so the session runs on another one. While the view is up it has the terminal to
itself: standard error is a pipe, so that what ALSA or JACK print there shows as a line and tears no picture.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from rtsep.screen.lines import Lines
from rtsep.screen.player import Player
from rtsep.screen.view import LiveView


def show(player: Player, run: Callable[[], None], say: Lines) -> None:
    """Run a session by `run`, on a thread of its own, and show it by `player` until it has ended.

    The main thread's. Raises what `run` has raised. A view that fails says so, and the sound goes on.
    """
    failures: list[BaseException] = []

    def play() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=play, name="session", daemon=True)
    view = LiveView(player, over=lambda: not thread.is_alive())
    with say.on(view.say), _own_terminal(say):
        thread.start()
        view.run()
    if thread.is_alive() and not view.ending:
        say("the view has failed, the sound goes on (Ctrl-C ends)")
    while thread.is_alive():
        thread.join(0.1)  # lets signals in
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _own_terminal(say: Callable[[str], None]) -> Iterator[None]:
    """Give Textual a way to the terminal that nobody else has; what comes on standard error is said."""
    if sys.__stderr__ is None:
        yield
        return
    sys.stderr.flush()
    before, terminal = sys.__stderr__, os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_say_lines, args=(reading, say), name="standard-error", daemon=True)
    reader.start()
    try:
        with open(terminal, "w", encoding="utf-8", errors="replace", closefd=False) as stream:
            sys.__stderr__ = stream  # type: ignore[misc]
            try:
                yield
            finally:
                sys.__stderr__ = before  # type: ignore[misc]
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _say_lines(reading: int, say: Callable[[str], None]) -> None:
    """Say each line once in a row, until all who could write have gone."""
    last = ""
    with open(reading, encoding="utf-8", errors="replace") as stream:
        for text in stream:
            line = text.strip()
            if line and line != last:
                say(line)
            last = line
