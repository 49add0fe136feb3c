"""The cost of a separator: paced hop by hop for live ones, on whole recordings for the others.

Each is measured in a separate process, on one thread, on the demo song; all calls count.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.streams import Separating, Stream, converted
from benchmarks.systems import load_system
from rtsep.bench import hop
from rtsep.bench.hop import PRIORITY, WARM_UP_S
from rtsep.bench.result import Row, spread
from rtsep.files.demo import demo_song
from rtsep.model.torchscript import take_this_thread
from rtsep.realtime.priority import lock_memory, raise_thread_priority
from train.data.cache import RATE
from train.data.effects import Wave
from train.score.processes import one_thread_each

T = TypeVar("T")

Step = Callable[[Wave], Any]


def alone(work: Callable[..., T], *arguments: Any) -> T:
    """Call `work` in a new process with single-threaded libraries."""
    with one_thread_each(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def cost_of_model(path: Path, rate: int, seconds: float) -> Row:
    """Return the row of `rtsep bench hop` for the whole hop of a model file."""
    parser = argparse.ArgumentParser()
    hop.fill_parser(parser)
    words = ["--model", str(path), "--rates", str(rate), "--seconds", f"{seconds:g}"]
    return next(row for row in hop.run(parser.parse_args(words)).rows if row["stage"] == "whole")


def cost_of_system(name: str, seconds: float, recording_s: float) -> Row:
    """Return the cost of the system `name`, and its own data.

    It runs paced for `seconds`, or on a recording of `recording_s`. `realtime_factor`: time per second of
    audio; for live systems, the median hop's share of its length, with the times of all hops in us.
    """
    take_this_thread()
    peer = load_system(name)
    if isinstance(peer, Stream):
        return about(peer) | _of_stream(peer, seconds)
    return about(peer) | _of_recordings(peer, recording_s)


def about(peer: Separating) -> Row:
    """Return title, parameters, licence, and latency in samples and ms."""
    rate = peer.rate if isinstance(peer, Stream) else RATE
    samples = peer.latency_samples
    return {
        "title": peer.title,
        "runs": "live" if isinstance(peer, Stream) else "offline",
        "params": peer.params,
        "licence": peer.licence,
        "rate": rate,
        "latency_samples": samples,
        "latency_ms": None if samples is None else round(1000 * samples / rate, 2),
    }


def paced(step: Step, song: Wave, frames: int, rate: int, seconds: float) -> NDArray[np.float64]:
    """Return the durations [hops] in us of `step` with hops of `frames` of `song` [2, n], paced at `rate` Hz.

    After a call longer than a hop, the next one follows at once. The first WARM_UP_S do not count.
    """
    warm, count = int(WARM_UP_S * rate / frames), max(1, int(seconds * rate / frames))
    took = np.zeros(warm + count)
    due = time.perf_counter()
    for n in range(warm + count):
        due += frames / rate
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        start = n * frames % (song.shape[1] - frames)
        block = np.ascontiguousarray(song[:, start : start + frames])
        begun = time.perf_counter()
        step(block)
        took[n] = time.perf_counter() - begun
    return took[warm:] * 1e6


def _of_stream(stream: Stream, seconds: float) -> Row:
    raise_thread_priority(PRIORITY)
    lock_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    took = paced(stream.step, _song(stream.rate), stream.hop, stream.rate, seconds)
    hop_us = stream.hop / stream.rate * 1e6
    factor = round(float(np.median(took)) / hop_us, 4)
    return {"hop_us": round(hop_us, 1), "hops": len(took), "realtime_factor": factor} | spread(took, hop_us)


def _of_recordings(peer: Separating, seconds: float) -> Row:
    song = _song(RATE)
    recording = np.resize(song.T, (int(seconds * RATE), 2)).T.copy()
    peer.separate(recording[:, : 2 * RATE])  # prepares everything that the first call creates
    begun = time.perf_counter()
    peer.separate(recording)
    return {"realtime_factor": round((time.perf_counter() - begun) / (recording.shape[1] / RATE), 4)}


def _song(rate: int) -> Wave:
    samples, own_rate = soundfile.read(demo_song(), dtype="float32", always_2d=True)
    return converted(np.ascontiguousarray(samples.T), own_rate, rate)
