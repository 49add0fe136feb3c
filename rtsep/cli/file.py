"""`rtsep file`: stems of audio files, exactly as live would play them."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rtsep.cli.options import add_controls, block_size, read_controls
from rtsep.errors import RtsepError, UsageError
from rtsep.files.audiofile import SUBTYPES, AudioReader, make_folder
from rtsep.files.demo import demo_song
from rtsep.limits import DEVICES
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.loader import load
from rtsep.model.package import read_package
from rtsep.offline.file_mode import DEFAULT_BLOCK, FileResult, separate_file


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=_input_path,
        metavar="INPUT",
        help="wav, flac, ogg, opus, mp3; with ffmpeg, any; 'demo' is the song that comes with rtsep",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out"), metavar="DIR", help="stems go to DIR/<song>/ (out)"
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"model ({DEFAULT_MODEL})"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (cpu)")
    parser.add_argument(
        "--subtype", choices=SUBTYPES, default="PCM_24", help="sample format of the stems (PCM_24)"
    )
    parser.add_argument(
        "--block",
        type=block_size,
        default=DEFAULT_BLOCK,
        metavar="FRAMES",
        help="frames read at a time; changes no result",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a file instead of a progress bar")
    add_controls(parser)


def run(arguments: argparse.Namespace) -> int:
    """Separate every input; a bad one is named and the others are done all the same."""
    controls = read_controls(arguments)
    names = Counter(path.stem for path in arguments.inputs)
    for name, count in names.items():
        if count > 1:
            raise UsageError(
                f"{count} inputs are called '{name}' and would write to one folder; give them one run each"
            )
    if len(arguments.inputs) == 1:  # what is wrong with it is said before a model is loaded
        AudioReader(arguments.inputs[0]).close()
    package = read_package(find_model(arguments.model))
    make_folder(arguments.output)
    model = load(package, arguments.device, own_thread=True)
    console = Console(stderr=True)
    failure = 0
    for path in arguments.inputs:
        folder = arguments.output / path.stem
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            console=console, disable=arguments.json or not console.is_terminal, transient=True,
        ) as bar:  # fmt: skip
            task = bar.add_task(path.name, total=None)
            try:
                result = separate_file(
                    path, folder, model, controls, arguments.subtype, arguments.block,
                    partial(_advance, bar, task),
                )  # fmt: skip
            except RtsepError as error:
                if len(arguments.inputs) == 1:
                    raise
                print(f"rtsep: {error}", file=sys.stderr)
                failure = error.exit_code
                continue
        _report(result, arguments, package.spec.name)
    return failure


def _input_path(text: str) -> Path:
    path = Path(text).expanduser()
    return demo_song() if text == "demo" and not path.exists() else path


def _advance(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    bar.update(task, completed=done, total=total)


def _report(result: FileResult, arguments: argparse.Namespace, model: str) -> None:
    if arguments.json:
        line = {
            "input": str(result.input),
            "stems": {name: str(path) for name, path in result.stems.items()},
            "model": model,
            "rate": result.rate,
            "channels": result.channels,
            "seconds": round(result.seconds, 6),
            "wall_seconds": round(result.wall_seconds, 3),
            "realtime_factor": round(result.realtime_factor, 4),
            "latency_samples": result.latency_samples,
            "clipped_samples": result.clipped_samples,
        }
        print(json.dumps(line), flush=True)
    else:
        places = " and ".join(str(path) for path in result.stems.values())
        print(f"{result.input.name}: {places} ({1 / result.realtime_factor:.1f} times as fast as it plays)")
    if result.clipped_samples:
        print(
            f"rtsep: {result.clipped_samples} samples of the stems were beyond full scale and clipped; "
            "--subtype FLOAT keeps them",
            file=sys.stderr,
        )
