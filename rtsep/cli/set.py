"""`rtsep set`: change controls of a running session, switch its model or devices, record."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rtsep.cli.get import add_session
from rtsep.errors import UsageError
from rtsep.files.names import is_there, user_path
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import (
    Done,
    LoadPreset,
    Record,
    Request,
    Set,
    StopRecording,
    Stretch,
    SwitchDevice,
    SwitchModel,
)

BY = "command"
"""Source of a change that this command makes."""

OTHERS = {
    "model": "switch to another model",
    "in": "switch to another input",
    "out-device": "switch to another output device",
    "speed": "play the file faster or slower, a factor such as 0.8",
    "key": "play the file higher or lower, in semitones",
    "preset": "set the controls to the values of a preset",
    "record": "on, off, or a folder",
}
"""Settings other than the controls, with their help."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    others = "; ".join(f"{name}: {what}" for name, what in OTHERS.items())
    parser.add_argument(
        "name", metavar="CONTROL", help=f"a control, such as threshold, or one of these: {others}"
    )
    parser.add_argument("value", metavar="VALUE", help="its value: 0.4, -6dB, on, binary")
    parser.add_argument(
        "more", nargs="*", metavar="CONTROL VALUE", help="more controls and values, set together"
    )
    add_session(parser)


def run(arguments: argparse.Namespace) -> int:
    """Set the given values: first those of the session, then all controls together."""
    words = [arguments.name, arguments.value, *arguments.more]
    if len(words) % 2:
        raise UsageError(f"'{words[-1]}': a value is missing after it; for example: rtsep set threshold 0.4")
    pairs = [(_key(name), value) for name, value in zip(words[::2], words[1::2], strict=True)]
    with Link(arguments.session) as link:
        for request in requests(link, pairs):
            done = link.ask(request, Done, None)
            if done.words:
                print(done.words)
    return 0


def requests(link: Link, pairs: Sequence[tuple[str, str]]) -> list[Request]:
    """Return the requests for the given pairs of name and value; raise `UsageError` for an unknown name."""
    asked: list[Request] = []
    controls: dict[str, float | bool | str] = {}
    for name, value in pairs:
        id = link.new_id()
        match name:
            case "model":
                path = Path(value)
                here = path.suffix and is_there(path)
                asked.append(SwitchModel(id=id, name=str(path.absolute()) if here else value))
            case "in":
                file = Path(value)
                asked.append(SwitchDevice(id=id, input=str(file.absolute()) if is_there(file) else value))
            case "out_device":
                asked.append(SwitchDevice(id=id, output=value))
            case "speed":
                asked.append(Stretch(id=id, speed=_number(name, value)))
            case "key":
                asked.append(Stretch(id=id, key=_number(name, value)))
            case "preset":
                asked.append(LoadPreset(id=id, name=value))
            case "record" if value.lower() == "off":
                asked.append(StopRecording(id=id))
            case "record":
                folder = None if value.lower() == "on" else str(user_path(value).absolute())
                asked.append(Record(id=id, folder=folder))
            case _:
                controls[name] = value
    if controls:
        asked.append(Set(id=link.new_id(), controls=controls, by=BY))
    return asked


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{name} '{text}': not a number") from None


def _key(name: str) -> str:
    return name.replace("-", "_")
