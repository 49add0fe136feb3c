"""`all`: every benchmark, one after the other with the commands of a user, then the page.

Each is a separate process; a failure does not stop the others. Its JSON is stored at once. If jackd is
installed, live benchmarks use a private JACK server with the dummy driver.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.jackd import private_server
from benchmarks.page import FOLDER, RESULTS, write_page
from benchmarks.peers import unfinished_of
from benchmarks.plan import BENCHES, BY_NAME, Bench
from rtsep.errors import RtsepError, UsageError, suggest
from rtsep.files.audiofile import make_folder
from rtsep.realtime.child_process import command_of
from train.data.tracks import find_tracks, track_name
from train.score.evaluate import names_of

QUICK_FOLDER = Path("out/benchmarks")
QUICK_TRACKS = 2

Runner = Callable[[Sequence[str], Mapping[str, str]], str]
"""Function that runs a command in an environment, returns its standard output, and raises `Failed`."""


class Failed(RtsepError):
    """Some benchmarks could not be measured; the others were."""


def process(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command; its standard error is shown to the user."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(environment)) as running:
        try:
            printed = running.communicate()[0]
        except BaseException:
            running.terminate()  # it must end its own processes
            raise
    if running.returncode:
        raise Failed(f"ended with code {running.returncode}")
    return printed


@contextlib.contextmanager
def leaving_nothing() -> Iterator[None]:
    """Clean up after a request to terminate: the JACK server, and incomplete results."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_all(
    benches: Sequence[Bench],
    options: Mapping[str, Sequence[str]],
    folder: Path,
    environment: Mapping[str, str],
    runner: Runner = process,
) -> list[str]:
    """Measure `benches` with further `options` by name; return a line for each failure.

    JSON files go to the folder RESULTS in `folder`.
    """
    failed = []
    results = folder / RESULTS
    make_folder(results)
    for bench in benches:
        print(f"benchmarks: {bench.name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            _keep(bench, options.get(bench.name, ()), results, environment, runner)
        except Failed as error:
            failed.append(f"{bench.name}: {error}")
            print(f"benchmarks: {failed[-1]}", file=sys.stderr, flush=True)
        else:
            took = time.monotonic() - began
            print(f"benchmarks: {bench.name}: measured in {took:.0f} s", file=sys.stderr, flush=True)
    return failed


def _keep(
    bench: Bench, options: Sequence[str], results: Path, environment: Mapping[str, str], runner: Runner
) -> None:
    with tempfile.TemporaryDirectory(dir=results) as folder:
        found = Path(folder) / f"{bench.name}.json"
        if bench.prints:
            command = [*command_of("rtsep.cli.main"), *bench.words[1:], *options, "--json"]
            found.write_text(runner(command, environment))
        else:
            command = [*command_of("benchmarks.__main__"), *bench.words[3:], *options, "--json", str(found)]
            runner(command, environment)
        try:
            content = json.loads(found.read_text())
            content["rows"], content["command"], content["machine"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failed(f"gave no result ({error!r})") from None
        found.write_text(json.dumps(content, indent=1) + "\n")
        shutil.move(found, results / found.name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH",
        help="test tracks as for 'python -m train evaluate'; may be given several times",
    )  # fmt: skip
    parser.add_argument("--only", type=names_of, default=(), metavar="NAME,...",
                        help=f"{', '.join(BY_NAME)} (all that this machine can run)")  # fmt: skip
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="FILE",
                        help="a further model file to compare; may be given several times")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="processes that score tracks (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="short trials of all benchmarks, some seconds each"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER",
        help=f"folder of the page, its figures and '{RESULTS}' ({FOLDER}; {QUICK_FOLDER} with --quick)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    paths = find_tracks(options.data)
    for name in options.only:
        if name not in BY_NAME:
            raise UsageError(f"--only '{name}': one of {', '.join(BY_NAME)}{suggest(name, BY_NAME)}")
    cuda = _has_cuda()
    chosen = [bench for bench in BENCHES if bench.name in (options.only or BY_NAME)]
    more: dict[str, list[str]] = {bench.name: list(bench.quick) if options.quick else [] for bench in chosen}
    compared = more.setdefault("peers", [])
    compared += [word for path in options.data for word in ("--data", str(path))]
    compared += [word for path in options.model for word in ("--model", str(path))]
    compared += ["--workers", str(options.workers)]
    if options.quick:
        compared += ["--tracks", ",".join(track_name(path) for path in paths[:QUICK_TRACKS])]
    folder = options.folder or (QUICK_FOLDER if options.quick else FOLDER)
    compared += ["--unfinished", str(unfinished_of(folder / RESULTS / "peers.json"))]
    if not cuda and any(bench.cuda for bench in chosen):
        print(
            "benchmarks: no CUDA device on this machine; benchmarks that need one are left out",
            file=sys.stderr,
        )
    with leaving_nothing(), private_server() as environment:
        able = [bench for bench in chosen if cuda or not bench.cuda]
        failed = run_all(able, more, folder, environment)
    print(f"benchmarks: {write_page(folder)}", file=sys.stderr)
    if failed:
        raise Failed(f"{len(failed)} of {len(able)} benchmarks failed: {'; '.join(failed)}")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
