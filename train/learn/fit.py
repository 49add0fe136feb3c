"""`fit`: train a system for a time or a number of steps, on CPUs or GPUs.

A run is a folder: `checkpoint.pt`, `history.jsonl`, `songs.json` and `run.json`. The same command continues
the run. Ctrl-C or SIGTERM stops it after the current step and saves a checkpoint. Under `torchrun` each
process is one replica of torch's DistributedDataParallel and draws mixtures of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import torch

from rtsep.files.audiofile import make_folder
from train.data.cache import default_cache, whole_file
from train.data.licences import all_sets, check_data, data_of
from train.data.output import sole_use
from train.data.remix import drawn_from
from train.learn.checkpoint import Checkpoint
from train.learn.fit_config import FIT_DEVICES, FitConfig
from train.learn.presets import PRESETS, changed, preset, to_plain
from train.learn.replica import joined_replica
from train.learn.trainer import Trainer


def fit(config: FitConfig) -> Checkpoint:
    """Train a new run, or continue the run in `config.run`; return its state at the end.

    Raises `InputFileError` without a cache, `ModelError` for a run of another system and for data that no
    model file can name, `UsageError` for options that do not exist, and `OutputError` if the run cannot be
    written or is being trained.
    """
    make_folder(config.run)
    with (
        joined_replica(config.device) as replica,
        sole_use(config.run) if replica.is_first else nullcontext(),
        _stop_signals() as stopping,
    ):
        _keep_freed_memory()
        torch.set_num_threads(config.threads)
        trainer = Trainer(config, replica)
        state = trainer.state
        if trainer.progress >= 1:
            return state
        sets = data_of(drawn_from(trainer.cache, config.system.training.recipe))
        state.data = all_sets(state.data, sets)
        check_data(state.data)
        state.machine = replica.machine(config.threads)
        if replica.is_first:
            _describe(config, state, replica.replicas)
        trainer.train(stopping)
        if stopping and trainer.progress >= 1:
            raise KeyboardInterrupt  # during the last validation: the caller must stop, too
        return state


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Yield a list that gets the number of every SIGINT and SIGTERM."""
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory. A step frees and takes 2 GB; fresh pages cost a fifth of its time."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:  # another C library
            return
        m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_arena_max, 1)  # the backward pass runs in a thread of its own


def _describe(config: FitConfig, state: Checkpoint, replicas: int) -> None:
    """Write `run.json`: command, options, machine and data of the run, for its record."""
    options = dataclasses.asdict(config) | {"system": to_plain(config.system)}
    content = {
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "parameters": sum(weight.numel() for weight in state.system.net().parameters()),
        "machine": state.machine,
        "replicas": replicas,
        "data": state.data,
    }
    with whole_file(config.run / "run.json") as file:
        file.write(json.dumps(content, indent=1).encode())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train fit`."""
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument(
        "--run", type=Path, required=True, metavar="DIR", help="folder of the run: checkpoint and history"
    )
    parser.add_argument("--system", default="causal", metavar="PRESET",
                        help="system by name (%(default)s): " + ", ".join(PRESETS))  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="length of the schedule in minutes (%(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, help="length of the schedule in optimiser steps, instead of --minutes"
    )
    parser.add_argument("--device", choices=FIT_DEVICES, default=FIT_DEVICES[0],
                        help="compute of the training; auto: a GPU, if found (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of torch in each replica (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that draw mixtures, for each replica (%(default)s)"
    )
    parser.add_argument("--batch", type=int, help="mixtures in a step of each replica (default: by --system)")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate (default: by --system)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="change an option of the system, such as training.hops=200")  # fmt: skip
    parser.add_argument(
        "--init",
        type=Path,
        metavar="RUN",
        help="start from the weights of a run or model file; weights of another shape stay random",
    )
    parser.add_argument("--validate-minutes", type=float, default=6.0, metavar="X",
                        help="minutes between validations (%(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="random seed (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train fit`."""
    named = [(name, getattr(options, name)) for name in ("batch", "learning_rate")]
    choices = [f"training.{name}={value}" for name, value in named if value is not None]
    system = changed(preset(options.system), choices + options.set)
    names = (
        "cache",
        "run",
        "minutes",
        "steps",
        "device",
        "threads",
        "workers",
        "seed",
        "init",
        "validate_minutes",
    )
    fit(FitConfig(system=system, **{name: getattr(options, name) for name in names}))
