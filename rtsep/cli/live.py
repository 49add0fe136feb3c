"""`rtsep live`: live separation, the main command."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rtsep import standard_streams
from rtsep.cli.ending import Ending
from rtsep.cli.layers import Layers, gather
from rtsep.cli.live_osc import osc_of, receiving_osc
from rtsep.cli.live_output import Reporter, announce, midi_stats, summarise
from rtsep.cli.live_page import open_page, page_of, show_code
from rtsep.cli.main import Parser
from rtsep.cli.options import (
    add_controls,
    add_midi,
    add_switch,
    audio_track,
    channel_list,
    integer,
    number,
    read_midi,
)
from rtsep.compute import add_compute
from rtsep.errors import DeviceError, InputFileError, OutputError, RtsepError, UsageError
from rtsep.files.audiofile import SUBTYPES, make_folder
from rtsep.limits import HIGHEST_SPEED, LOWEST_SPEED, MAX_KEY
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.session.api import Session
from rtsep.session.options import APP, ROUTES, SYSTEM, VIRTUAL, LiveOptions, named_as_options
from rtsep.session.stages import Stages
from rtsep.surfaces.last_devices import LAST, DevicesKeeper, devices_file
from rtsep.surfaces.last_state import StateKeeper, state_file
from rtsep.surfaces.midi.surface import MidiSurface
from rtsep.surfaces.presets import Presets
from rtsep.surfaces.remote.place import DEFAULT, Claim, claim, supported
from rtsep.surfaces.remote.server import Server
from rtsep.surfaces.view.lines import Lines, can_show


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    ends = parser.add_argument_group("input and output")
    ends.add_argument(
        "--in",
        dest="input",
        default="mic",
        metavar=f"mic|demo|{SYSTEM}|{APP}NAME|{LAST}|DEVICE|FILE",
        help=f"input (mic); {SYSTEM}: everything that this computer plays; {APP}NAME: one program",
    )
    ends.add_argument(
        "--out",
        choices=tuple(ROUTES),
        help="stems to play; both: vocals on channels 1-2, instrumental on 3-4 "
        "(both if the output has these channels, as on a JACK server, else vocals)",
    )
    ends.add_argument(
        "--out-device", metavar=f"DEVICE|{LAST}|{VIRTUAL}", help="output device (the default output)"
    )
    ends.add_argument(
        "--track",
        type=audio_track,
        metavar="N",
        help="audio track to play if the file has several (the default track)",
    )
    ends.add_argument(
        "--speed", type=number, default=1.0, metavar="FACTOR",
        help=f"play the file faster or slower in its key, {LOWEST_SPEED:g} to {HIGHEST_SPEED:g} (1)",
    )  # fmt: skip
    ends.add_argument(
        "--key", type=number, default=0.0, metavar="SEMITONES",
        help=f"play the file higher or lower at its speed, -{MAX_KEY:g} to {MAX_KEY:g} (0)",
    )  # fmt: skip
    add_switch(
        ends, "--as-microphone", False, "play into a virtual microphone that other programs can choose"
    )
    ends.add_argument("--in-channels", type=channel_list, metavar="1,2", help="input channels")
    ends.add_argument(
        "--out-channels",
        type=channel_list,
        metavar="1,2,3,4",
        help="output channels, in the order of --out",
    )
    ends.add_argument("--rate", type=integer, metavar="HZ", help="sample rate (the device's rate)")
    ends.add_argument(
        "--block",
        type=integer,
        metavar="FRAMES",
        help="frames per block (256; a JACK server uses its own block size)",
    )
    ends.add_argument(
        "--slack",
        type=integer,
        metavar="FRAMES",
        help="extra time for the model (chosen from the block size)",
    )
    ends.add_argument(
        "--client-name",
        default="rtsep",
        metavar="NAME",
        help="rtsep's name on a JACK server (rtsep)",
    )
    add_switch(ends, "--connect", True, "JACK: connect rtsep's ports")
    add_switch(ends, "--reconnect", True, "wait for a device that disappears; without it, the session ends")
    add_switch(ends, "--limiter", True, "limit the output to full scale")
    add_switch(ends, "--feedback-guard", True, "reduce the output when acoustic feedback builds up")
    model = parser.add_argument_group("model")
    model.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"model ({DEFAULT_MODEL})")
    add_compute(model, "processor that runs the model")
    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="record vocals, instrumental and mix as aligned wav files in DIR",
    )
    run_group.add_argument(
        "--subtype", choices=SUBTYPES, default="PCM_24", help="sample format of the recordings (PCM_24)"
    )
    run_group.add_argument("--seconds", type=number, metavar="S", help="end after S seconds of audio")
    add_switch(run_group, "--headless", False, "do not show the view in the terminal")
    add_switch(run_group, "--json", False, "print one JSON line per second, and one at the end")
    run_group.add_argument(
        "--session",
        metavar="NAME",
        help=f"name of the session for 'rtsep attach', 'get' and 'set' ({DEFAULT})",
    )
    add_switch(run_group, "--remote", True, "accept these commands")
    run_group.add_argument(
        "--page",
        nargs="?",
        const="local",
        metavar="local|lan[:PORT]",
        help="open a page in the browser that shows and controls the session; lan: also for phones in the "
        "local network",
    )
    run_group.add_argument(
        "--osc",
        metavar="PORT|HOST:PORT",
        help="receive Open Sound Control on this port (PORT alone: only from this computer)",
    )
    add_controls(parser)
    where_from = parser.add_argument_group(
        "initial controls; options given on the command line take precedence"
    )
    where_from.add_argument(
        "--preset", metavar="NAME", help="start with the values of a preset ('rtsep presets' lists them)"
    )
    add_switch(where_from, "--resume", False, "start with the controls and devices of the last session")
    add_midi(parser.add_argument_group("MIDI"), "use this MIDI controller, given by its name or a part of it")


def run(arguments: argparse.Namespace) -> int:
    """Play until the end, Ctrl-C, or an error; raise `KeyboardInterrupt` if it was ended before it played."""
    stages = Stages()
    ending = Ending()
    stages.reached("imports")
    job = _Job(arguments, stages, ending)
    if arguments.record:
        make_folder(arguments.record)
    claimed = _claim(arguments, job.notify)
    try:
        job.play(claimed)
    finally:
        if claimed:
            claimed.close()
    return 0


class _Job:
    """One session, from the command line to its final figures."""

    def __init__(self, arguments: argparse.Namespace, stages: Stages, ending: Ending) -> None:
        """Read the arguments and the model file; open nothing yet. Raise `RtsepError` for a bad argument."""
        self.notify = Lines()
        self._arguments, self._stages, self._ending = arguments, stages, ending
        self._layers = gather(live_parser(), arguments.command_line, self.notify)
        self._layers.fill(arguments)
        with named_as_options():
            _options(arguments)
        self._controls = self._layers.controls()
        with self._layers.placed("map"):
            self._midi = read_midi(arguments)
        with self._layers.placed("model"):
            self._package = read_package(find_model(arguments.model))
        self._page = page_of(arguments)
        self._osc = osc_of(arguments)
        self._fresh: bool = getattr(arguments, "fresh", False)  # the user chooses on the page what to play
        stages.reached("model file")

    def play(self, claimed: Claim | None) -> None:
        """Open the session, play it to its end, and print its figures."""
        session = self._open()
        surface: MidiSurface | None = None
        try:
            _print_passing("preparing (the first start on a machine compiles for half a minute)")
            if self._midi:
                surface = MidiSurface(
                    self._controls, self._midi, self.notify, Presets().on_program(self._controls, self.notify)
                )
                surface.start()
            with self._ending.in_order(session):
                self._play(session, surface, claimed)
        finally:
            if surface:
                surface.close()
            session.close()
        try:
            summarise(session, self._stages, self._arguments.json, midi_stats(surface))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the terminal has closed

    def _open(self) -> Session:
        """Return an open session; if a remembered device is gone, the next layer's device is used."""
        arguments, layers = self._arguments, self._layers
        refusal: RtsepError | None = None
        for without in layers.fallbacks():
            layers.fill(arguments)
            with named_as_options():
                options = _options(arguments)
            stages = self._stages if arguments.json else None
            session = Session.of(options, self._package, self._controls, self.notify, stages)
            try:
                session.open()
            except (DeviceError, InputFileError, UsageError) as error:
                refusal = refusal or error
                continue
            for name in without:
                now = layers.value(name) or "the default"
                was = layers.remembered[name]
                self.notify(f"'{was}' of the last session is not used ({refusal}); {name}: {now}")
            return session
        assert refusal
        raise refusal

    def _play(self, session: Session, surface: MidiSurface | None, claimed: Claim | None) -> None:
        """Start the session, announce it, and play until it ends."""
        arguments = self._arguments
        session.start()
        if self._ending.interrupted:
            return
        if self._fresh:
            session.pause()
            session.seek(0)
        else:
            announce(session, arguments.json)
        reporting = Reporter(session, surface) if arguments.json else contextlib.nullcontext()
        unused = self._layers.unused()
        name = claimed.name if claimed else arguments.session or DEFAULT
        devices = DevicesKeeper(lambda: _devices_of(session), self.notify, devices_file(name), unused)
        begun = session.now.route.options

        def keep_devices() -> None:
            if not self._fresh or session.now.route.options != begun:
                devices()

        keeping = StateKeeper(session.controls, self.notify, state_file(name), also=keep_devices)
        learn = surface.learn if surface else None
        remote = Server(session, claimed, learn=learn) if claimed else None
        if remote:
            self.notify.also(remote.notify)
        page = open_page(self._page, remote, self.notify, self._fresh) or contextlib.nullcontext()
        osc = receiving_osc(self._osc, remote, self.notify)
        with reporting, keeping, remote or contextlib.nullcontext(), page as addresses, osc:
            shows = not (arguments.json or arguments.headless) and can_show()
            show_code(addresses, session, waits=shows)
            if shows:
                if plays_on(arguments):
                    session.loop()
                from rtsep.surfaces.players.session_player import SessionPlayer
                from rtsep.surfaces.view.show import show  # Textual is loaded only for a view

                show(SessionPlayer(session), self.notify)
            session.wait()


def live_parser() -> Parser:
    """Return the parser of `live` alone; `--help` is none of its options."""
    parser = Parser(prog="rtsep live", add_help=False)
    fill_parser(parser)
    return parser


def check_options(words: Sequence[str]) -> Layers:
    """Return the layers of arguments; raise `UsageError` for those that `live` would refuse at its start."""
    parser = live_parser()
    layers = gather(parser, words, lambda _: None)
    arguments = argparse.Namespace()
    layers.fill(arguments)
    with named_as_options():
        _options(arguments)
    return layers


def _claim(arguments: argparse.Namespace, notify: Callable[[str], None]) -> Claim | None:
    """Return the session's name and socket; None if neither is possible, after a message."""
    if not (arguments.remote and supported()):
        return None
    try:
        claimed = claim(arguments.session)
    except OutputError as error:
        notify(str(error))
        return None
    if claimed.name != (arguments.session or DEFAULT):
        notify(
            f"session '{DEFAULT}' is already running; this one is called '{claimed.name}' (--session sets "
            "the name)"
        )
    return claimed


def _options(arguments: argparse.Namespace) -> LiveOptions:
    return LiveOptions(**{name: getattr(arguments, name) for name in LiveOptions.__dataclass_fields__})


def _print_passing(line: str) -> None:
    """Print a line that matters only now; a view lists its messages afterwards."""
    standard_streams.notify(line)


def plays_on(arguments: argparse.Namespace) -> bool:
    """Return whether the demo song repeats, because a user is there to end it."""
    return arguments.input == "demo" and arguments.seconds is None and arguments.record is None


def _devices_of(session: Session) -> tuple[LiveOptions, str, str, bool]:
    """Return the part of a session that `last_devices` stores."""
    route = session.now.route
    names = [device.name if device else VIRTUAL for device in (route.io.input, route.io.output)]
    return route.options, names[0], names[1], route.io.source is not None
