"""`rtsep bench hop`: time of one hop on one core (analysis, model, synthesis), paced like live audio.

One thread computes whole hops as blocks of the demo song arrive, each after a sleep, so that caches are as
cold as in live use. All hops count. The engine runs the model in a separate process, which spreads this sum
over two cores. This benchmark does the same for a model that is not shipped, because its program is
untrusted: the transfer to that process and back then counts as the model's time, as a note explains.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Iterable, Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.bench.bars import HOP_BARS
from rtsep.bench.result import SPREAD, Column, Result, Row, machine, spread
from rtsep.compute import add_compute
from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS
from rtsep.errors import UsageError
from rtsep.files.demo import demo_song
from rtsep.limits import HIGHEST_RATE, LARGEST_BLOCK, LOWEST_RATE, SMALLEST_BLOCK
from rtsep.model import remote
from rtsep.model.catalog import DEFAULT_MODEL, find_model, shipped_folder
from rtsep.model.known import is_shipped
from rtsep.model.loader import load
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.runner import ModelRunner
from rtsep.pipeline import begin_hop, finish_hop, frames_needed, make_pipeline, model_rate_for
from rtsep.realtime.priority import lock_memory, raise_thread_priority

ON_GPU = "of the model, on the GPU"
"""Column of a replayed graph only: between single launches the GPU waits, which its clock would include."""

CLOCKED = 8
"""Interval of hops that read the GPU's clock, which takes time itself."""

STAGES = ("analysis", "model", "synthesis", "whole", ON_GPU)
PLAIN = "plain"
LAUNCHES = {"cpu": (PLAIN,), "cuda": ("graph", PLAIN)}
WARM_UP_S, MAX_SECONDS = 1.5, 3600.0  # the figures of all hops are kept
PRIORITY = 60
ALL = "all"

COLUMNS = (
    Column("model", "model", setting=True),
    Column("launch", "launch", setting=True),
    Column("rate", "rate", setting=True, unit="Hz"),
    Column("block", "block", setting=True),
    Column("stage", "us"),
    *SPREAD,
)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help="a model, a file, or 'all' shipped ones (%(default)s)",
    )
    parser.add_argument(
        "--rates", type=_numbers, default=(44100,), metavar="HZ,...", help="sample rates (44100)"
    )
    parser.add_argument(
        "--blocks",
        type=_numbers,
        default=(),
        metavar="N,...",
        help="frames that arrive together (default: the hop)",
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, metavar="S", help="duration of each run (%(default)s)"
    )
    add_compute(parser, "processor that runs the model")
    parser.add_argument("--core", type=int, metavar="N", help="pin the thread to this core")


def run(arguments: argparse.Namespace) -> Result:
    """Measure every model at every rate and block size, one run after the other."""
    if not 0 < arguments.seconds <= MAX_SECONDS:  # NaN fails this
        raise UsageError(f"--seconds {arguments.seconds:g}: more than 0, at most {MAX_SECONDS:.0f}")
    for block in arguments.blocks:
        if not SMALLEST_BLOCK <= block <= LARGEST_BLOCK:
            raise UsageError(f"--blocks {block}: {SMALLEST_BLOCK} to {LARGEST_BLOCK} frames are accepted")
    for rate in arguments.rates:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise UsageError(f"--rates {rate}: {LOWEST_RATE} to {HIGHEST_RATE} Hz are accepted")
    notes: list[str] = []
    players = list(_players(arguments.model, arguments.compute, notes))
    # After the models, as in the engine: CUDA's own threads get no real-time priority.
    real_time = _quiet_thread(arguments.core)
    rows: list[Row] = []
    for package, launch, model in players:
        for rate in arguments.rates:
            for block in arguments.blocks or (model.spec.hop,):
                took = paced_hops(model, rate, block, arguments.seconds)
                rows += ({"launch": launch, **row} for row in _rows(package, took, rate, block))
    if not real_time:
        notes.append("no real-time priority here: other programs interrupt the thread")
    notes += _bars(package for package, _, _ in players)
    title = "one hop on one core" if arguments.compute == "cpu" else "one hop, the model on a GPU"
    settings = {
        "device": arguments.compute, "core": arguments.core, "real_time": real_time,
        "seconds": arguments.seconds,
    }  # fmt: skip
    about = machine(arguments.compute)
    return Result(
        bench="hop",
        title=f"{title}, in us",
        columns=COLUMNS,
        rows=rows,
        settings=settings,
        notes=notes,
        machine=about,
    )


def paced_hops(model: ModelRunner, rate: int, block: int, seconds: float) -> NDArray[np.float64]:
    """Return the durations [hops, stages] in us of all hops of a paced run; NaN for missing ones.

    `block` frames arrive together at `rate` Hz; a hop runs as soon as its last frame has arrived, several in
    a row if a block has several. The model runs at the same rate as in live use.
    """
    audio, _ = soundfile.read(demo_song(), dtype="float32", always_2d=True)
    audio = np.ascontiguousarray(audio.T)
    hop, model_rate = model.spec.hop, model_rate_for(model.spec, rate)
    model.reset()
    pipeline = make_pipeline(model.spec, rate, audio.shape[0], model_rate)
    controls = Controls()
    graph = model.gpu if model.gpu and model.gpu.captured else None
    warm, count = int(WARM_UP_S * model_rate / hop), max(1, int(seconds * model_rate / hop))
    took = np.zeros((warm + count, len(STAGES)))
    due, arrived, needed = time.perf_counter(), 0, 0
    for n in range(warm + count):
        frames = frames_needed(pipeline)
        start = needed % (audio.shape[1] - frames)
        captured = np.ascontiguousarray(audio[:, start : start + frames])
        feeds = np.zeros((len(FEEDS), *captured.shape), np.float32)
        needed += frames
        while arrived < needed:
            arrived += block
            due += block / rate
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
        if graph:
            graph.clocked = n % CLOCKED == 0
        marks = [time.perf_counter()]
        begin_hop(pipeline, captured, model.column)
        marks.append(time.perf_counter())
        model.step()
        marks.append(time.perf_counter())
        finish_hop(pipeline, model.mask, controls.control_block, True, feeds)
        marks.append(time.perf_counter())
        on_gpu = graph.device_us * 1e-6 if graph and graph.clocked else np.nan
        took[n] = [*np.diff(marks), marks[-1] - marks[0], on_gpu]
    return took[warm:] * 1e6


def _rows(package: ModelPackage, took: NDArray[np.float64], rate: int, block: int) -> Iterator[Row]:
    hop_us = package.spec.hop / model_rate_for(package.spec, rate) * 1e6
    about = {
        "model": package.spec.name, "model_sha256": package.sha256, "rate": rate, "block": block,
        "hop_us": round(hop_us, 1),
    }  # fmt: skip
    for name, values in zip(STAGES, took.T, strict=True):
        there = values[~np.isnan(values)]
        if there.size:
            yield {**about, "hops": len(there), "stage": name, **spread(there, hop_us)}


def _players(name: str, compute: str, notes: list[str]) -> Iterator[tuple[ModelPackage, str, ModelRunner]]:
    """Yield every model, loaded, with each way to launch it; a failed capture is described in `notes`."""
    paths = sorted(shipped_folder().glob("*.pt")) if name == ALL else [find_model(name)]
    for package in map(read_package, paths):
        for launch in LAUNCHES[compute]:
            graph = launch != PLAIN
            if is_shipped(package.sha256):
                model = load(package, compute, graph=graph, own_thread=True)
            else:
                model = remote.load(package, compute, graph=graph, real_time=True)
                notes.append(
                    f"'{package.spec.name}' is not shipped: its time has the way to its process and back"
                )
            if model.gpu and launch != PLAIN and not model.gpu.captured:  # plain launches under another name
                notes.append(f"'{package.spec.name}' cannot be captured as a graph: {model.gpu.not_captured}")
                continue
            yield package, launch, model


def _bars(packages: Iterable[ModelPackage]) -> list[str]:
    """Return a line for each shipped model: the most of a hop that the whole may take on one core."""
    names = dict.fromkeys(package.spec.name for package in packages if is_shipped(package.sha256))
    return [
        f"good for '{name}' on one core: whole hop at most {bar.p99:.0%} at p99, {bar.p999:.0%} at p99.9"
        for name, bar in HOP_BARS.items()
        if name in names
    ]


def _quiet_thread(core: int | None) -> bool:
    """Set this thread up like the engine's; return whether it got real-time priority."""
    if core is not None:
        if not hasattr(os, "sched_setaffinity"):
            raise UsageError("--core: this system pins no threads; leave it out")
        try:
            os.sched_setaffinity(0, {core})
        except (OSError, ValueError, OverflowError):
            allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
            raise UsageError(f"--core {core}: this process may use {allowed}") from None
    real_time = raise_thread_priority(PRIORITY)
    lock_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    return real_time


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': whole numbers with commas between them, as 44100,48000")
    return numbers
