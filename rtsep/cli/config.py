"""`rtsep config`: list and set the defaults of `live`, and show which layer gives an option its value."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from rtsep.cli.layers import BUILT_IN, FILE, Layers, gather
from rtsep.cli.live import live_parser
from rtsep.cli.settings import (
    Config,
    config_file,
    find_option,
    options_of,
    remove_option,
    write_option,
)
from rtsep.errors import OutputError
from rtsep.model.catalog import find_model
from rtsep.surfaces.midi.map import load_map
from rtsep.surfaces.presets import Presets
from rtsep.terminal import plain_console


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command and the commands under it."""
    parser.add_argument("--json", action="store_true", help="one JSON line")
    parser.add_argument(
        "--why",
        nargs=argparse.REMAINDER,
        metavar="NAME [OPTION ...]",
        help="print the value of NAME in each layer, with these options of 'live'; for example: "
        "--why threshold --preset chorus",
    )
    what = parser.add_subparsers(dest="what", metavar="set|unset|path|edit")
    setter = what.add_parser("set", help="write a default of 'live' to the file")
    setter.add_argument("name", metavar="NAME", help="an option of 'live', such as block or out_device")
    setter.add_argument("values", nargs="+", metavar="VALUE", help="its value; several values for MIDI ports")
    unset = what.add_parser("unset", help="remove defaults from the file")
    unset.add_argument("names", nargs="+", metavar="NAME")
    what.add_parser("path", help="print the path of the file")
    what.add_parser("edit", help="open the file with $VISUAL or $EDITOR, then check it")


def run(arguments: argparse.Namespace) -> int:
    """List, set, remove, print or edit, by the arguments."""
    if arguments.why is not None:
        return _why(arguments.why, arguments.json)
    match arguments.what:
        case "set":
            return _set(arguments.name, arguments.values)
        case "unset":
            return _unset(arguments.names)
        case "path":
            print(config_file())
            return 0
        case "edit":
            return _edit()
    return _list(arguments.json)


def _set(name: str, values: Sequence[str]) -> int:
    options = options_of(live_parser())
    option = find_option(options, name)
    if option.name in CHECKS:
        value = option.read(",".join(values))
        found = CHECKS[option.name](value)
        if found == Path(value):  # a model file, not a model's name: `live` may start in another folder
            values = [str(found.absolute())]
    path = write_option(options, name, values)
    text = option.as_text(option.read(option.of_words(values)))
    print(f"{option.name}: {text}; written to {path}", flush=True)
    Config(options)  # another line may be wrong
    return 0


def _map(path: Path) -> Path:
    load_map(path)
    return path


CHECKS: dict[str, Callable[[Any], object]] = {"model": find_model, "preset": Presets().load, "map": _map}
"""Check of a value by option, made when it is set: the name must exist. The result may be its file."""


def _unset(names: Sequence[str]) -> int:
    options = options_of(live_parser())
    for name in names:
        there = remove_option(options, name)
        print(f"{name}: {'removed from' if there else 'not in'} {config_file()}")
    return 0


def _edit() -> int:
    path = config_file()
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        code = subprocess.run([*shlex.split(editor), str(path)]).returncode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot open {path} with '{editor}': {reason}; set EDITOR") from None
    if code != 0:
        raise OutputError(f"'{editor}' ended with code {code}; {path} may be unchanged")
    Config(options_of(live_parser()))
    print(f"{path}: no errors")
    return 0


def _list(as_json: bool) -> int:
    parser = live_parser()
    layers = gather(parser, [], lambda _: None)
    if as_json:
        print(json.dumps({"path": str(layers.config.path), "settings": _rows(layers)}))
        return 0
    console = plain_console()
    table = Table(title="defaults of 'rtsep live'")
    for title in ("option", "value", "from"):
        table.add_column(title)
    for name, option in layers.options.items():
        own = name in layers.config.values
        value = layers.config.values[name] if own else layers.built_in[name]
        table.add_row(name, option.as_text(value), FILE if own else "", style="bold" if own else None)
    console.print(table)
    console.print(f"in {layers.config.path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _rows(layers: Layers) -> dict[str, Any]:
    return {
        name: {
            "value": _plain(layers.config.values.get(name, layers.built_in[name])),
            "from": FILE if name in layers.config.values else BUILT_IN,
        }
        for name in layers.options
    }


def _why(words: Sequence[str], as_json: bool) -> int:
    parser = live_parser()
    if not words:
        parser.error("--why NAME: the name of an option of 'live' is missing, such as block")
    name, *rest = words
    if rest[-1:] == ["--json"]:
        as_json, rest = True, rest[:-1]
    option = find_option(options_of(parser), name)
    layers = gather(parser, rest[1:] if rest[:1] == ["--"] else rest, _notify)
    values = layers.of(option.name)
    if as_json:
        rows = [{"layer": each.layer, "value": _plain(each.value), "place": each.place} for each in values]
        print(json.dumps({"name": option.name, "value": rows[0]["value"], "layers": rows}))
        return 0
    place = f" ({values[0].place})" if values[0].place else ""
    print(f"{option.name}: {option.as_text(values[0].value)}, from: {values[0].layer}{place}")
    for each in values[1:]:
        place = f" ({each.place})" if each.place else ""
        print(f"  instead of {option.as_text(each.value)}, from: {each.layer}{place}")
    return 0


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if isinstance(value, list | tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _notify(line: str) -> None:
    print(f"rtsep: {line}", file=sys.stderr)
