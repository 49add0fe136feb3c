"""`rtsep get`: the state of a running session, for people and for scripts."""

from __future__ import annotations

import argparse
import json
from typing import Any

import msgspec

from rtsep.errors import UsageError, suggest
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Get, State


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add the option that selects one of several sessions."""
    parser.add_argument(
        "--session",
        metavar="NAME",
        help="name of the session, needed if several are running (see 'rtsep live --session')",
    )


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a control; or state, title, input, output, model; or a figure of 'live --json', such as "
        "late_masks or latency_ms.total (default: a summary)",
    )
    add_session(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(arguments: argparse.Namespace) -> int:
    """Print the requested values."""
    with Link(arguments.session) as link:
        state = link.ask(Get(id=link.new_id()), State)
    if not arguments.names:
        print(json.dumps(_whole(state)) if arguments.json else "\n".join(_summary(state)))
        return 0
    plain = {name: _value(state, name) for name in arguments.names}
    if arguments.json:
        print(json.dumps(plain))
        return 0
    for name, value in plain.items():
        shown = state.controls[_key(name)].shown if _key(name) in state.controls else value
        text = json.dumps(shown) if isinstance(shown, dict | list) or shown is None else str(shown)
        print(text if len(plain) == 1 else f"{name} {text}")
    return 0


def _key(name: str) -> str:
    return name.replace("-", "_")


def _whole(state: State) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(state)
    return {name: value for name, value in found.items() if name not in ("kind", "id")}


def _value(state: State, name: str) -> Any:
    """Return one value of a session; a dot selects a part of a figure. Raise `UsageError` if unknown."""
    key = _key(name)
    if key in state.controls:
        return state.controls[key].value
    whole = _whole(state)
    found: Any = {**whole, **whole["stats"], "state": state.state, "model": state.model}
    known = [*state.controls, *found]
    for part in key.split("."):
        if part == "model" and key != "model":
            found = whole["stats"]
        if not isinstance(found, dict) or part not in found:
            raise UsageError(
                f"'{name}': a session has no such value{suggest(key, known)}; 'rtsep get --json' prints all"
            )
        found = found[part]
    return found


def _summary(state: State) -> list[str]:
    stats = state.stats
    troubles = ", ".join(
        f"{stats[key]} {words}"
        for key, words in (
            ("late_masks", "late masks"),
            ("underruns", "underruns"),
            ("overruns", "overruns"),
            ("device_xruns", "device xruns"),
        )
    )
    recording = stats["recording"]
    lines = [
        f"{state.session}: {state.state}; {state.title}",
        f"{troubles}, {stats['model']['restarts']} model restarts",
    ]
    if recording:
        failed = f"recording stopped: {recording['failure']}"
        lines.append(
            failed
            if recording["failure"]
            else f"recording to {recording['folder']}, {recording['seconds']:.0f} s"
        )
    width = max(map(len, state.controls))
    for name, value in state.controls.items():
        lines.append(f"  {name:<{width}}  {value.shown:<10}{value.by}".rstrip())
    return lines
