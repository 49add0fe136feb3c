"""`rtsep set`: turn controls of a session that plays, switch its model or devices, record."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rtsep.cli.get import add_session
from rtsep.errors import UsageError
from rtsep.files.names import is_there
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import (
    Done,
    LoadPreset,
    Record,
    Request,
    Set,
    StopRecording,
    SwitchDevice,
    SwitchModel,
)

BY = "command"
"""Who has moved the controls that are set here."""

OTHERS = {
    "model": "play with another model",
    "in": "play from another input",
    "out-device": "play to another device",
    "preset": "set the controls as a preset has them",
    "record": "on, off, or a folder",
}
"""What can be set besides controls."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    others = "; ".join(f"{name}: {what}" for name, what in OTHERS.items())
    parser.add_argument(
        "name", metavar="CONTROL", help=f"a control, such as threshold, or one of these: {others}"
    )
    parser.add_argument("value", metavar="VALUE", help="its value: 0.4, -6dB, on, binary")
    parser.add_argument("more", nargs="*", metavar="CONTROL VALUE", help="further ones, set in one go")
    add_session(parser)


def run(arguments: argparse.Namespace) -> int:
    """Set what was given: what belongs to the session first, then all controls in one go."""
    words = [arguments.name, arguments.value, *arguments.more]
    if len(words) % 2:
        raise UsageError(f"'{words[-1]}': a value is missing behind it; for example: rtsep set threshold 0.4")
    pairs = [(_key(name), value) for name, value in zip(words[::2], words[1::2], strict=True)]
    with Link(arguments.session) as link:
        for request in requests(link, pairs):
            done = link.ask(request, Done, None)
            if done.words:
                print(done.words)
    return 0


def requests(link: Link, pairs: Sequence[tuple[str, str]]) -> list[Request]:
    """Return what is to be asked."""
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
            case "preset":
                asked.append(LoadPreset(id=id, name=value))
            case "record" if value.lower() == "off":
                asked.append(StopRecording(id=id))
            case "record":
                folder = None if value.lower() == "on" else str(Path(value).absolute())
                asked.append(Record(id=id, folder=folder))
            case _:
                controls[name] = value
    if controls:
        asked.append(Set(id=link.new_id(), controls=controls, by=BY))
    return asked


def _key(name: str) -> str:
    return name.replace("-", "_")
