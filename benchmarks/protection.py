"""Cost of limiter and feedback guard per hop, called from compiled code as in the hop loop."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from rtsep.controls import Controls
from rtsep.dsp.feedback import dim, follow_feedback, make_feedback_guard
from rtsep.dsp.limiter import limit, make_limiter
from rtsep.dsp.router import MIX, VOCALS
from rtsep.model.catalog import find_model
from rtsep.model.package import read_package
from rtsep.pipeline import make_pipeline, model_rate_for

CHANNELS = 2
OUT_MAP = (0, 1, 2, 3)
"""Output channels: voice and music, each in stereo."""


@njit(cache=True, nogil=True)
def _only_fill(source: np.ndarray, block: np.ndarray, hops: int) -> None:
    for _ in range(hops):
        block[:] = source


@njit(cache=True, nogil=True)
def _limit(source: np.ndarray, block: np.ndarray, hops: int, limiter: Any) -> None:
    for _ in range(hops):
        block[:] = source
        limit(limiter, block, block.shape[1])


@njit(cache=True, nogil=True)
def _guard(
    source: np.ndarray,
    block: np.ndarray,
    hops: int,
    guard: Any,
    spectra: np.ndarray,
    values: np.ndarray,
    seconds: float,
) -> None:
    for _ in range(hops):
        block[:] = source
        follow_feedback(guard, spectra, values, False, seconds)
        dim(guard, block, block.shape[1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--model", default="live", metavar="NAME", help="model of the hops (%(default)s)")
    parser.add_argument("--hops", type=int, default=20_000, metavar="N", help="hops a run (%(default)s)")
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="runs; the fastest one counts (%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Measure, and print a line for each."""
    spec = read_package(find_model(options.model)).spec
    rate = spec.rates[0]
    pipeline = make_pipeline(spec, rate, CHANNELS, model_rate_for(spec, rate), (VOCALS, MIX))
    random = np.random.default_rng(1)
    block = (0.1 * random.standard_normal((len(OUT_MAP), spec.hop))).astype(np.float32)
    spectra = (0.01 * random.standard_normal(pipeline.spectra.shape[1:])).astype(np.float32)
    guard = make_feedback_guard(True, pipeline.stft.analysis, rate)
    values = np.array(list(Controls().snapshot().values()), pipeline.values.dtype)
    seconds = spec.hop / rate

    def cost_us(call: Callable[..., None], source: np.ndarray, *rest: Any) -> float:
        work = np.empty_like(source)
        call(source, work, 1, *rest)  # compiles
        seconds = []
        for _ in range(options.runs):
            began = time.perf_counter()
            call(source, work, options.hops, *rest)
            seconds.append(time.perf_counter() - began)
        return min(seconds) * 1e6 / options.hops

    filled = cost_us(_only_fill, block)
    costs = {
        "limiter, below full scale": cost_us(_limit, block, make_limiter(True, OUT_MAP, CHANNELS, rate)),
        "limiter, at work": cost_us(_limit, 20 * block, make_limiter(True, OUT_MAP, CHANNELS, rate)),
        "feedback guard": cost_us(_guard, block, guard, spectra, values, seconds),
    }
    hop_us = 1e6 * seconds
    for name, cost in costs.items():
        own = max(0.0, cost - filled)
        print(f"{name}: {own:.2f} us a hop of {hop_us:.0f} us ({100 * own / hop_us:.2f} % of a core)")
