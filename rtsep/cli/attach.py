"""`rtsep attach`: the terminal view of a session that plays in another program."""

from __future__ import annotations

import argparse
import signal
import sys

from rtsep.cli.get import add_session
from rtsep.errors import UsageError
from rtsep.session.states import SessionState
from rtsep.surfaces.view.lines import Lines, can_show


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_session(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the session until it ends or the user quits; raise `SessionError` if there is none."""
    from rtsep.surfaces.remote.player import RemotePlayer

    notify = Lines()
    if not can_show():
        raise UsageError("there is no terminal for the view; 'rtsep get' and 'rtsep set' need none")
    player = RemotePlayer(arguments.session, notify)
    try:
        for number in (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ():
            signal.signal(number, lambda *_: player.end())
        from rtsep.surfaces.view.show import show  # Textual is loaded only for a view

        show(player, notify)
        name = player.session.name
        if player.session.wait(0.0) and player.session.state == SessionState.ENDED:
            print(f"session '{name}' has ended")
        else:
            print(f"session '{name}' plays on ('rtsep stop' ends it)")
    finally:
        player.end()
    return 0
