"""`rtsep live`: the main job."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path

from rich.console import Console

from rtsep.audiofile import SUBTYPES, make_folder
from rtsep.cli.meter import LiveMeter
from rtsep.cli.options import (
    add_controls,
    block_size,
    channel_list,
    client_name,
    read_controls,
    sample_rate,
    seconds,
    slack,
)
from rtsep.endpoints import ROUTES, VIRTUAL, LiveOptions
from rtsep.live import LiveSession
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package

REPORT_EVERY_S = 1.0


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    ends = parser.add_argument_group("input and output")
    ends.add_argument(
        "--in", dest="input", default="mic", metavar="mic|demo|DEVICE|FILE", help="what to listen to (mic)"
    )
    ends.add_argument(
        "--out",
        choices=tuple(ROUTES),
        help="what to play; both: vocals on 1-2, instrumental on 3-4 "
        "(both where the device has the channels, else vocals)",
    )
    ends.add_argument(
        "--out-device", metavar=f"DEVICE|{VIRTUAL}", help="where to play it (the default output)"
    )
    ends.add_argument("--in-channels", type=channel_list, metavar="1,2", help="channels of the input")
    ends.add_argument(
        "--out-channels",
        type=channel_list,
        metavar="1,2,3,4",
        help="channels of the output, in the order of --out",
    )
    ends.add_argument("--rate", type=sample_rate, metavar="HZ", help="sample rate (the device's)")
    ends.add_argument(
        "--block", type=block_size, metavar="FRAMES", help="frames a call (256; a JACK server decides itself)"
    )
    ends.add_argument(
        "--slack", type=slack, metavar="FRAMES", help="extra time for the model (chosen from the block)"
    )
    ends.add_argument(
        "--client-name",
        type=client_name,
        default="rtsep",
        metavar="NAME",
        help="our name on a JACK server (rtsep)",
    )
    ends.add_argument(
        "--no-connect", dest="connect", action="store_false", help="JACK: leave our ports unconnected"
    )
    ends.add_argument(
        "--no-reconnect", dest="reconnect", action="store_false", help="end when a device goes away"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"model ({DEFAULT_MODEL})")
    model.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where it runs (cpu)")
    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--record", type=Path, metavar="DIR", help="keep vocals, instrumental and mix as aligned wav files"
    )
    run_group.add_argument(
        "--subtype", choices=SUBTYPES, default="PCM_24", help="their sample format (PCM_24)"
    )
    run_group.add_argument("--seconds", type=seconds, metavar="S", help="end after so much audio")
    run_group.add_argument("--headless", action="store_true", help="no meters on the terminal")
    run_group.add_argument("--json", action="store_true", help="one JSON line a second, and one at the end")
    add_controls(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play until the end, Ctrl-C, or an error."""
    controls = read_controls(arguments)
    package = read_package(find_model(arguments.model))
    options = LiveOptions(**{name: getattr(arguments, name) for name in LiveOptions.__dataclass_fields__})
    if options.record:
        make_folder(options.record)

    def say(line: str) -> None:
        print(f"rtsep: {line}", file=sys.stderr, flush=True)

    session = LiveSession(package, options, controls, say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: session.end())
    try:
        for note in session.ends.notes:
            say(note)
        say("getting ready (the first start on a machine compiles for half a minute)")
        session.start_model()
        _announce(session, arguments.json)
        reporter = _Reporter(session, arguments)
        reporter.start()
        try:
            session.run()
        finally:
            reporter.stop()
    finally:
        session.close()
    _summarise(session, arguments.json)
    return 0


def _announce(session: LiveSession, as_json: bool) -> None:
    line = f"{session.ends.name}, model {session.package.spec.name}; {session.engine.latency.line()}"
    print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def _summarise(session: LiveSession, as_json: bool) -> None:
    stats = session.stats()
    if as_json:
        late = session.engine.late_hops()
        recordings = [{stem: str(path) for stem, path in take.items()} for take in session.recordings]
        final = {"final": True, **stats, "state": "ended", "late_hops": late, "recordings": recordings}
        print(json.dumps(final), flush=True)
        return
    hop = stats["hop_us"]
    print(
        f"{stats['hops']} hops, {stats['late_masks']} late masks, {stats['underruns']} underruns, "
        f"{stats['overruns']} overruns, {stats['device_xruns']} device xruns, "
        f"{stats['model']['restarts']} model restarts; "
        f"hop p50 {hop['p50']:.0f} us, p99 {hop['p99']:.0f} us, max {hop['max']:.0f} us"
    )
    for take in session.recordings:
        print("recorded " + ", ".join(str(path) for path in take.values()))


class _Reporter:
    """Shows the session while it runs: JSON lines, a meter, or nothing."""

    def __init__(self, session: LiveSession, arguments: argparse.Namespace) -> None:
        self._session = session
        self._json: bool = arguments.json
        console = Console()
        self._meter = None
        if not (arguments.json or arguments.headless) and console.is_terminal:
            self._meter = LiveMeter(console)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self) -> None:
        """Show no more."""
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        if self._meter:
            with self._meter:
                while not self._leaving.wait(self._meter.refresh_s):
                    self._meter.show(self._session.stats())
            return
        began = time.monotonic()
        while not self._leaving.wait(REPORT_EVERY_S) and self._json:
            elapsed = round(time.monotonic() - began, 2)
            try:
                print(json.dumps({"t": elapsed, **self._session.stats()}), flush=True)
            except BrokenPipeError:  # whoever read our lines has left
                self._session.end()
                return
