"""`rtsep service`: a systemd user unit that plays from login on; other programs attach to its session."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtsep import folders
from rtsep.cli.systemd import (
    AGAIN_S,
    RESTART_S,
    STARTS_WITHIN_S,
    manager,
    systemctl,
    unit_name,
    unit_path,
    unit_text,
)
from rtsep.errors import OutputError, SessionError, UsageError
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Get, State
from rtsep.surfaces.remote.place import DEFAULT, TakenError, check_name, connect
from rtsep.surfaces.toml import write_whole

NOT_FOR_A_SERVICE: dict[str, tuple[Any, str]] = {
    "json": (False, "nobody reads the lines of a service; 'rtsep get --json' prints the same"),
    "remote": (True, "a service can be reached only through its socket"),
    "seconds": (None, "a service plays until it is stopped"),
}
"""Required value of options of `live`, and the reason."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    what = parser.add_subparsers(dest="what", metavar="install|remove|status", required=True)
    install = what.add_parser("install", help="write the unit, start it, and start it at each login")
    install.add_argument(
        "options",
        nargs="*",
        metavar="OPTION",
        help="options of 'live', after --: rtsep service install -- --in mic --out vocals",
    )
    remove = what.add_parser("remove", help="stop it and remove the unit")
    status = what.add_parser("status", help="print whether it is installed and running, and what it plays")
    status.add_argument("--json", action="store_true", help="one JSON line")
    for command in (install, remove, status):
        command.add_argument(
            "--session", default=DEFAULT, metavar="NAME", help=f"name of its session ({DEFAULT})"
        )


def run(arguments: argparse.Namespace) -> int:
    """Install, remove or print the status, by the arguments."""
    session = check_name(arguments.session)
    if arguments.what == "install":
        return _install(session, arguments.options)
    if arguments.what == "remove":
        return _remove(session)
    return _status(session, arguments.json)


def _install(session: str, options: Sequence[str]) -> int:
    _check(options)
    path, unit = unit_path(session), unit_name(session)
    text = unit_text(session, options, Path.cwd())
    before = _content(path)
    if before != text:
        write_whole(path, text, "unit")
    print(f"{path}: {'unchanged' if before == text else 'written'}")
    if missing := manager():
        print(f"no systemd user manager is running here ({missing}); nothing was started")
        print(
            "with a user manager, run: systemctl --user daemon-reload && systemctl --user enable --now "
            f"{unit}"
        )
        return 0
    _done(systemctl("daemon-reload"), "daemon-reload")
    _done(systemctl("enable", unit), f"enable {unit}")
    if systemctl("is-active", unit)[1] != "active" and _is_held(session):
        raise TakenError(
            f"{unit} is installed but not started: session '{session}' already plays outside it; end "
            f"it with 'rtsep stop --session {session}', then run 'systemctl --user restart {unit}'"
        )
    # A service that is already running with the same unit is not restarted.
    verb = "start" if before == text else "restart"
    _done(systemctl(verb, unit), f"{verb} {unit}")
    print(f"{unit}: {_started(session, unit, verb)}")
    print("it starts at each login ('loginctl enable-linger' starts it with the machine)")
    print(
        "'rtsep attach' shows it; its real-time priority is bounded by the user manager: see 'rtsep doctor'"
    )
    return 0


def _remove(session: str) -> int:
    path, unit = unit_path(session), unit_name(session)
    if not folders.is_reachable(path):
        print(f"{path}: this service is not installed; run 'rtsep service install'")
        return 0
    missing = manager()
    if not missing:
        _done(systemctl("disable", "--now", unit), f"disable --now {unit}")
    try:
        path.unlink(missing_ok=True)
        # the links that 'enable' made, in case systemctl is missing
        for link in path.parent.glob(f"*.wants/{unit}"):
            link.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror}") from None
    print(f"{path}: removed")
    if missing:
        print(f"no systemd user manager is running here ({missing}); nothing was stopped")
        print(f"with a user manager, run: systemctl --user stop {unit}; systemctl --user daemon-reload")
        return 0
    _done(systemctl("daemon-reload"), "daemon-reload")
    print(f"{unit}: stopped")
    return 0


def _status(session: str, as_json: bool) -> int:
    path, unit = unit_path(session), unit_name(session)
    installed, missing = folders.is_reachable(path), manager()
    active = "" if missing else systemctl("is-active", unit)[1]
    enabled = "" if missing else systemctl("is-enabled", unit)[1]
    try:
        with Link(session) as link:
            state = link.ask(Get(id=link.new_id()), State)
            plays, line = state.state, f"session '{session}': {state.state}; {state.title}"
    except SessionError as error:
        plays, line = None, str(error)
    if as_json:
        found = {"unit": str(path), "installed": installed, "manager": missing or "running",
                 "active": active, "enabled": enabled, "plays": plays}  # fmt: skip
        print(json.dumps(found))
        return 0
    print(f"{path}: {'installed' if installed else 'not installed'}")
    print(
        f"no systemd user manager is running here ({missing})" if missing else f"{unit}: {active}, {enabled}"
    )
    print(line)
    return 0


def _content(path: Path) -> str | None:
    """Return the text of the unit; None without a readable one, which is then written again."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _check(options: Sequence[str]) -> None:
    """Refuse options that `live` would refuse at its start, and options that a service cannot have.

    Options of `rtsep.toml` count, too: the service reads the same file.
    """
    # imported late: they load everything for 'live', which status does not need
    from rtsep.cli.layers import COMMAND_LINE
    from rtsep.cli.live import check_options

    layers = check_options(options)
    if "session" in layers.given:
        raise UsageError("--session: give it before '--'")
    for name, (required, reason) in NOT_FOR_A_SERVICE.items():
        found = layers.of(name)[0]
        if found.value == required:
            continue
        if found.layer == COMMAND_LINE:
            raise UsageError(f"{'--no-' if found.value is False else '--'}{name}: {reason}")
        raise UsageError(f"{found.place}: {name}: {reason}; 'rtsep config unset {name}' removes it")


def _is_held(session: str) -> bool:
    """Return whether a session of this name accepts connections."""
    if found := connect(session):
        found.close()
    return found is not None


def _answers(session: str) -> bool:
    """Return whether a session of this name has opened its devices: it answers only then."""
    try:
        Link(session).close()
    except SessionError:
        return False
    return True


def _started(session: str, unit: str, verb: str) -> str:
    """Return in words what has become of a unit that systemd has just started.

    systemd calls it active as soon as its process exists, so wait for the session or for the end of the
    process. Raise `OutputError` if the process has ended for good.
    """
    until = time.monotonic() + STARTS_WITHIN_S
    while (state := systemctl("is-active", unit)[1]) == "active":
        if _answers(session):
            return f"{verb}ed; its session has begun"
        if time.monotonic() > until:
            return f"{verb}ed; its session does not answer yet, see 'rtsep service status'"
        time.sleep(AGAIN_S)
    reason = f"'journalctl --user -u {unit}' gives the reason"
    if state == "activating":  # between two attempts
        return f"{verb}ed, but it has ended, and is started again every {RESTART_S} s; {reason}"
    raise OutputError(
        f"{unit} was {verb}ed but has ended ({state or 'unknown'}), and is not started again; {reason}"
    )


def _done(answer: tuple[int, str], what: str) -> None:
    code, line = answer
    if code != 0:
        raise OutputError(
            f"'systemctl --user {what}' failed: {line or f'code {code}'}; see 'journalctl --user'"
        )
