"""`rtsep service`: a systemd user unit that plays from login on; other programs attach to its session."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rtsep import folders
from rtsep.cli.systemd import manager, systemctl, unit_name, unit_path, unit_text
from rtsep.errors import OutputError, SessionError, UsageError
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Get, State
from rtsep.surfaces.remote.place import DEFAULT, check_name
from rtsep.surfaces.toml import write_whole

NOT_FOR_A_SERVICE = {
    "--json": "nobody reads the lines of a service; 'rtsep get --json' prints the same",
    "--session": "give it before '--'",
    "--no-remote": "a service can be reached only through its socket",
    "--seconds": "a service plays until it is stopped",
}


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
    # A service that is already running with the same unit is not restarted.
    verb = "start" if before == text else "restart"
    _done(systemctl(verb, unit), f"{verb} {unit}")
    print(f"{unit}: {verb}ed, and starts at each login ('loginctl enable-linger' starts it with the machine)")
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
    """Refuse options that `live` would refuse at its start, and options that a service cannot have."""
    # imported late: it loads everything for 'live', which status does not need
    from rtsep.cli.live import check_options

    for word in options:
        name = word.partition("=")[0]
        if name in NOT_FOR_A_SERVICE:
            raise UsageError(f"{name}: {NOT_FOR_A_SERVICE[name]}")
    check_options(options)


def _done(answer: tuple[int, str], what: str) -> None:
    code, line = answer
    if code != 0:
        raise OutputError(
            f"'systemctl --user {what}' failed: {line or f'code {code}'}; see 'journalctl --user'"
        )
