"""What one hop costs on one core: analysis, model, synthesis, paced as live audio paces them.

    python -m benchmarks.hop [--model NAME|PATH] [--seconds S] [--core N] [--json]

One thread does the whole hop, once every hop / rate seconds after a sleep, on the demo song: caches are
as cold as they are live. No call is left out of the figures. The engine runs the model in a process of
its own, where this sum is spread over two cores.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rtsep import pipeline as stage
from rtsep.controls import Controls
from rtsep.demo import demo_song
from rtsep.dsp.router import FEEDS
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.loader import Stepper, take_this_thread
from rtsep.model.package import read_package
from rtsep.realtime.priority import lock_memory, raise_thread_priority

STAGES = ("analysis", "model", "synthesis", "whole")
WARM_UP_HOPS = 300
PRIORITY = 60


def paced_hops(model: Stepper, rate: int, seconds: float) -> NDArray[np.float64]:
    """Return the durations [hops, stages] in us of every hop of a paced run at `rate` Hz."""
    audio, _ = soundfile.read(demo_song(), dtype="float32", always_2d=True)
    audio = np.ascontiguousarray(audio.T)
    hop = model.spec.hop
    pipeline = stage.make_pipeline(model.spec, rate, 2, rate)
    controls = Controls()
    feeds = np.zeros((len(FEEDS), 2, hop), np.float32)
    count = int(seconds * rate / hop)
    took = np.zeros((count, len(STAGES)))
    period = hop / rate
    due = time.perf_counter()
    for n in range(-WARM_UP_HOPS, count):
        start = n * hop % (audio.shape[1] - hop)
        block = np.ascontiguousarray(audio[:, start : start + hop])
        due += period
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        marks = [time.perf_counter()]
        stage.begin_hop(pipeline, block, model.column)
        marks.append(time.perf_counter())
        model.step()
        marks.append(time.perf_counter())
        stage.finish_hop(pipeline, model.mask, controls.slots, True, feeds)
        marks.append(time.perf_counter())
        if n >= 0:
            took[n] = [*np.diff(marks), marks[-1] - marks[0]]
    return took * 1e6


def summary(took: NDArray[np.float64], hop_us: float) -> dict[str, dict[str, float]]:
    """Return median, p99, p99.9 and max of each stage in us, and p99 as a share of the hop."""
    out = {}
    for i, name in enumerate(STAGES):
        p50, p99, p999 = np.percentile(took[:, i], [50, 99, 99.9])
        out[name] = {
            "median": round(float(p50), 1),
            "p99": round(float(p99), 1),
            "p99.9": round(float(p999), 1),
            "max": round(float(took[:, i].max()), 1),
            "p99_share_of_hop": round(float(p99 / hop_us), 4),
        }
    return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hop", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rate", type=int, default=44100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--core", type=int, help="pin to this core")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    take_this_thread()
    package = read_package(find_model(arguments.model))
    model = Stepper(package)
    if arguments.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    real_time = raise_thread_priority(PRIORITY)
    lock_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    took = paced_hops(model, arguments.rate, arguments.seconds)
    hop_us = model.spec.hop / arguments.rate * 1e6
    stages = summary(took, hop_us)
    about = {
        "model": model.spec.name,
        "model_sha256": package.sha256,
        "rate": arguments.rate,
        "hop_us": round(hop_us, 1),
        "hops": len(took),
        "real_time": real_time,
        "core": arguments.core,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
    }
    if arguments.json:
        print(json.dumps({**about, "us": stages}))
        return
    table = Table(
        title=f"one hop of '{model.spec.name}' at {arguments.rate} Hz: {hop_us:.0f} us", caption=str(about)
    )
    for column in ("us", "median", "p99", "p99.9", "max", "p99 / hop"):
        table.add_column(column, justify="left" if column == "us" else "right")
    for name, row in stages.items():
        figures = [f"{row[key]:.0f}" for key in ("median", "p99", "p99.9", "max")]
        table.add_row(name, *figures, f"{100 * row['p99_share_of_hop']:.1f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
