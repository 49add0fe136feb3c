"""`rtsep bench stress`: losses of live audio while the machine is busy.

It plays live, first without load, then while Python threads of the same process spin and allocate, other
processes sort, and one writes to the disk. On a JACK server a client plays the demo song into it, and a plain
client in C runs at the same time: its xruns are caused by the machine, further losses by rtsep.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.audio import devices
from rtsep.audio.engine import Engine
from rtsep.bench.jackrig import SIDES, jack_rig
from rtsep.bench.longsong import long_song
from rtsep.bench.plain import PlainClient, plain_client
from rtsep.bench.playing import Playing, notify, playing
from rtsep.bench.result import Column, Result, Row, machine
from rtsep.bench.torture import LOADS, Torture, read_loads
from rtsep.compute import add_compute
from rtsep.controls import Controls
from rtsep.errors import DeviceError, UsageError
from rtsep.files.audiofile import AudioReader
from rtsep.files.demo import demo_song
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import ModelPackage, read_package
from rtsep.session.counters import percentiles
from rtsep.session.options import VIRTUAL, LiveOptions, named_as_options

SECONDS, MAX_SECONDS = 120.0, 24 * 3600.0
WARM_UP_S = 2.0
"""Seconds under each load before the measurement."""

SPARE_SHARE, SPARE_S = 1.1, 60.0
"""Extra length of a played file, because everything takes longer under load."""

DEMO, QUIET, ALL = "demo", "quiet", "all"
OURS, PLAIN = "rtsep", "plain C"

COUNTERS = ("hops", "late_masks", "underruns", "overruns", "device_xruns", "source_starved_frames", "resyncs")

COLUMNS = (
    Column("load", "load"),
    Column("client", "client", setting=True),
    Column("hops", "hops"),
    Column("late_masks", "late"),
    Column("underruns", "under"),
    Column("overruns", "over"),
    Column("device_xruns", "xruns"),
    Column("gap_ms", "gap ms", "{:.1f}"),
    Column("p50", "hop us", "{:.0f}"),
    Column("p99", "p99", "{:.0f}"),
    Column("p99.9", "p99.9", "{:.0f}"),
    Column("max", "max", "{:.0f}"),
    Column("p99_share", "p99 / hop", "{:.1%}"),
)
LEGEND = (
    "late: late masks; under, over: underruns and overruns; xruns: reported by the device; gap: the longest "
    "time between two of its calls"
)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    loads = "; ".join(f"{name}: {what}" for name, what in LOADS.items())
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="duration under each load (%(default)g)"
    )
    parser.add_argument(
        "--load",
        default=",".join(LOADS),
        metavar="NAME,...",
        help=f"{loads} (default: all of them, together)",
    )
    parser.add_argument("--each", action="store_true", help="also each load alone, before all together")
    parser.add_argument(
        "--in", dest="input", default=DEMO, metavar="demo|mic|DEVICE|FILE", help="input (demo)"
    )
    parser.add_argument(
        "--out-device", metavar=f"DEVICE|{VIRTUAL}", help="output device (the default output)"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help="model (%(default)s)")
    add_compute(parser, "processor that runs the model")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (the device's)")
    parser.add_argument(
        "--block",
        type=int,
        metavar="FRAMES",
        help="frames per block (256; a JACK server uses its own block size)",
    )


def run(arguments: argparse.Namespace) -> Result:
    """Play under one load after the other, and report the losses."""
    _check(arguments)
    loads = read_loads(arguments.load)
    plan: list[tuple[str, ...]] = [()]
    if arguments.each and len(loads) > 1:
        plan += [(load,) for load in loads]
    plan.append(loads)
    package = read_package(find_model(arguments.model))
    notes: list[str] = [LEGEND]
    with ExitStack() as stack:
        live = _play(stack, arguments, package, len(plan))
        output, plain = live.session.io.output, None
        on_jack = output is not None and output.is_jack
        if on_jack:
            plain, why = stack.enter_context(plain_client())
            notes += [why] if why else []
        else:
            notes.append("no plain C client beside it: it needs a JACK server, and to play on that")
        format, engine = live.session.io.format, live.session.engine
        notes += live.session.io.notes
        minutes = len(plan) * (arguments.seconds + WARM_UP_S) / 60
        where = "a JACK server" if on_jack else live.session.io.name
        notify(f"{where}, blocks of {format.block}, {format.rate} Hz; this takes {minutes:.1f} minutes")
        rows: list[Row] = []
        for load in plan:
            notify(f"{_named(load)} ...")
            with Torture(load) as torture:
                live.wait(WARM_UP_S)
                rows += measure(live, plain, _named(load), arguments.seconds)
                torture.check()
        stats = live.session.stats()
    if plain and sum(row["client"] == PLAIN for row in rows) < len(plan):
        notes.append("the plain C client has ended before its time: what it missed is not known")
    if starved := sum(row.get("source_starved_frames", 0) for row in rows):
        notes.append(f"{starved} frames of the played file were not read in time (silence in their place)")
    if not engine.real_time:
        notes.append("no real-time priority here: other programs interrupt the engine's threads")
    if (restarts := stats["model"]["restarts"]) > 0:
        notes.append(f"the model process was started again {restarts} times: {stats['model']['error']}")
    settings = {
        "where": where, "rate": format.rate, "block": format.block, "out_rate": format.out_rate,
        "model": package.spec.name, "model_sha256": package.sha256, "device": arguments.compute,
        "seconds": arguments.seconds, "real_time": engine.real_time, "load": list(loads),
        "memory_locked": stats["memory_locked"], "model_restarts": restarts,
        "hop_us": _hop_us(engine),
    }  # fmt: skip
    title = (
        f"live, {arguments.seconds:g} s a load: {where}, blocks of {format.block}, {format.rate} Hz, "
        f"model '{package.spec.name}'; a hop has {_hop_us(engine):.0f} us"
    )
    return Result(
        bench="stress",
        title=title,
        columns=COLUMNS,
        rows=rows,
        settings=settings,
        notes=notes,
        machine=machine(arguments.compute),
    )


def measure(live: Playing, plain: PlainClient | None, load: str, seconds: float) -> Iterator[Row]:
    """Play for `seconds`; yield the session's counts during that time, then those of `plain`.

    Raise `RtsepError` if it has stopped.
    """
    engine = live.session.engine
    engine.forget_longest()
    before, beside = _counted(engine), plain.counts() if plain else None
    live.wait(seconds)
    after, beside_now = _counted(engine), plain.counts() if plain else None
    took_s = after["at"] - before["at"]
    hops = percentiles(after["histogram"] - before["histogram"], after["hop_max_ns"])
    yield {
        "load": load, "client": OURS, "seconds": round(took_s, 2),
        **{name: after[name] - before[name] for name in (*COUNTERS, "calls")},
        "calls_due": round(took_s * engine.format.out_rate / engine.format.out_block),
        "gap_ms": round(engine.telemetry().call_gap_max_ns / 1e6, 2),
        **hops, "p99_share": round(hops["p99"] / _hop_us(engine), 4),
    }  # fmt: skip
    if beside and beside_now:
        yield {
            "load": load, "client": PLAIN, "seconds": round(took_s, 2),
            "calls": beside_now["calls"] - beside["calls"],
            "device_xruns": beside_now["xruns"] - beside["xruns"],
            "skipped": beside_now["skipped"] - beside["skipped"],
            "gap_ms": beside_now["gap_ms"],
        }  # fmt: skip


def _counted(engine: Engine) -> dict[str, Any]:
    counters = engine.counters()
    return {
        **{name: counters[name] for name in COUNTERS},
        "calls": engine.progress().output_calls,
        "histogram": engine.hop_histogram(),
        "hop_max_ns": engine.telemetry().hop_max_ns,  # after its bin, see the hop loop
        "at": time.monotonic(),
    }


def _hop_us(engine: Engine) -> float:
    return 1e6 * engine.spec.hop / engine.model_rate


def _named(load: Sequence[str]) -> str:
    return ALL if set(load) == set(LOADS) else "+".join(load) or QUIET


# --- what plays --------------------------------------------------------------------------------------------


def _play(stack: ExitStack, arguments: argparse.Namespace, package: ModelPackage, rows: int) -> Playing:
    """Return a session that plays until `stack` closes."""
    if arguments.input == DEMO and arguments.out_device is None:
        server = None
        try:
            server = devices.look().jack
        except DeviceError as error:
            notify(str(error))
        if server:
            for given, is_there, option in (
                (arguments.rate, server.rate, "rate"),
                (arguments.block, server.period, "block"),
            ):
                if given not in (None, is_there):
                    notify(f"--{option} {given}: the JACK server decides, it is {is_there}")
            rig = stack.enter_context(jack_rig(package, Controls(), arguments.compute))
            rig.player.play_on(_song(server.rate))
            return rig.live
    name = arguments.input
    if name == DEMO:
        seconds = SPARE_SHARE * rows * (arguments.seconds + WARM_UP_S) + SPARE_S
        name = stack.enter_context(long_song(seconds, "give fewer --seconds, or a file with --in"))
    options = LiveOptions(
        str(name), out_device=arguments.out_device, rate=arguments.rate, block=arguments.block,
        reconnect=False, compute=arguments.compute,
    )  # fmt: skip
    return stack.enter_context(playing(package, options, Controls()))


def _song(rate: int, seconds: float = 10.0) -> NDArray[np.float32]:
    """Return some seconds of the middle of the demo song [frames, SIDES] at `rate` Hz."""
    with AudioReader(demo_song()) as reader:
        song = reader.read(1 << 30)
        song = song[len(song) // 2 :][: round(seconds * reader.rate), :SIDES]
        return song if reader.rate == rate else np.asarray(soxr.resample(song, reader.rate, rate), np.float32)


def _check(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.seconds <= MAX_SECONDS:  # NaN fails this
        raise UsageError(f"--seconds {arguments.seconds:g}: more than 0, at most {MAX_SECONDS:.0f}")
    with named_as_options():
        LiveOptions(rate=arguments.rate, block=arguments.block)
