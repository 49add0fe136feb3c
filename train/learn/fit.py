"""`fit`: train a system for a fixed time or number of steps, on a CPU, a GPU, or several of either.

A run lives in a folder: `checkpoint.pt` (the same command goes on from it), `history.jsonl`, `songs.json` and
`run.json`.
SIGINT and SIGTERM end it after the current step with a checkpoint. Under `torchrun` each process is one
replica of torch's DistributedDataParallel, with mixtures of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import math
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from rtsep.errors import ModelError, UsageError
from rtsep.files.audiofile import make_folder
from train.data.cache import AudioCache, default_cache, whole_file
from train.data.licences import data_of, heard
from train.data.remix import drawn_from
from train.learn import checkpoint as checkpoints
from train.learn.checkpoint import Checkpoint
from train.learn.mixtures import Mixtures, batches
from train.learn.presets import PRESETS, changed, preset, to_plain
from train.learn.schedule import learning_rate, true_share
from train.learn.soap import Soap
from train.learn.system import Net, System, Training
from train.learn.validation import validate

VALIDATION_AT_MOST = timedelta(hours=2)
"""How long the other replicas wait while the first one validates."""

SETTLE_ON = 12
"""Batches that the statistics of batch norms are measured on."""

NORMALISE_FROM = 24
"""Mixtures that a new net takes its statistics from."""


@dataclass(frozen=True)
class FitConfig:
    """How long and on what to train. The schedule runs over `minutes`, or over `steps` where given."""

    cache: Path
    run: Path
    system: System
    minutes: float = 60.0
    steps: int | None = None
    device: str = "auto"  # "cpu", "cuda"; "auto": a GPU where there is one
    threads: int = 1  # of torch, each process
    workers: int = 0  # processes that draw mixtures, each process; 0: it draws them itself
    seed: int = 1
    init: Path | None = None  # run, checkpoint or model file whose weights a new run starts from
    save_minutes: float = 3.0
    validate_minutes: float = 6.0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device}: must be auto, cpu or cuda")
        least = {"threads": 1, "workers": 0, "seed": 0, "steps": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UsageError(f"--{name} {value}: must be at least {smallest}")
        if not self.minutes > 0 or not self.validate_minutes > 0:
            raise UsageError("--minutes and --validate-minutes must be above 0")
        training = self.system.training
        if training.batch < 1 or training.hops < 1 or not training.learning_rate > 0:
            raise UsageError("batch, hops and learning rate of a system must be above 0")


@dataclass(frozen=True)
class Place:
    """Which replica this process is, and where it computes."""

    rank: int
    replicas: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def agree(self, stop: bool, clock_s: float, cpu_s: float) -> tuple[bool, float, float]:
        """Whether any replica wants to stop, the first one's clock (they must not part), all their work."""
        if self.replicas == 1:
            return stop, clock_s, cpu_s
        said = torch.tensor([float(stop), clock_s if self.leads else 0.0, cpu_s], dtype=torch.float64)
        said = said.to(self.device)
        dist.all_reduce(said)
        return bool(said[0] > 0), float(said[1]), float(said[2])


@contextmanager
def _joined(config: FitConfig) -> Iterator[Place]:
    """Find this process's place among those that torchrun started, or alone."""
    gpu = torch.cuda.is_available()
    if config.device == "cuda" and not gpu:
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu")
    on_gpu = config.device != "cpu" and gpu
    replicas = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"{torch.cuda.device_count()} GPUs here: torchrun --nproc-per-node at most so many"
            )
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if replicas > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=VALIDATION_AT_MOST)
    try:
        yield Place(int(os.environ.get("RANK", "0")), replicas, device)
    finally:
        if replicas > 1:
            dist.destroy_process_group()


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list, no longer empty once the user wants to stop."""
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
    """Let glibc keep what is freed: a step frees and takes 2 GB, and fresh pages cost a fifth of its time."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:  # another C library
            return
        m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_arena_max, 1)  # the backward pass runs in a thread of its own


def _known(net: Net, weights: dict[str, Tensor], of: Path) -> dict[str, Tensor]:
    """What of another run's weights fits `net`, by name and shape; `ModelError` where that is nothing."""
    wanted = net.state_dict()
    fits = {name for name, value in weights.items() if name in wanted and wanted[name].shape == value.shape}
    if not any(name in fits for name, _ in net.named_parameters()):
        raise ModelError(f"--init {of}: weights of another net, none of which fits this one")
    if new := sorted(wanted.keys() - fits):
        print(
            f"--init {of}: {len(fits)} of {len(wanted)} weights fit; new ones: {', '.join(new)}", flush=True
        )
    return {name: weights[name] for name in fits}


def _start(config: FitConfig, mixtures: Mixtures) -> Checkpoint:
    """A new net, normalised by some mixtures, with what fits of the weights of another run."""
    torch.manual_seed(config.seed)
    net = config.system.net()
    before = checkpoints.load(config.init) if config.init else None
    known = _known(net, before.average, config.init) if before and config.init else {}
    if len(known) < len(net.state_dict()):
        share = config.system.training.true_share[0]
        config.system.normalise(net, mixtures.batch(2**20, NORMALISE_FROM, share))
    net.load_state_dict(net.state_dict() | known)
    average = {name: value.clone() for name, value in net.state_dict().items()}
    # Weights remember what they learnt from, and how long: licences and time go with them.
    data, earlier = (before.data, before.spent) if before else ((), {})
    return Checkpoint(config.system, net.state_dict(), average, data=data, earlier=earlier)


def _machine(config: FitConfig, place: Place) -> str:
    if place.device.type == "cuda":
        name = torch.cuda.get_device_name(place.device)
        return f"{place.replicas} x {name}" if place.replicas > 1 else name
    cores = place.replicas * config.threads
    return f"{cores} {platform.machine()} core{'s' if cores > 1 else ''}"


def _optimiser(net: nn.Module, training: Training) -> torch.optim.Optimizer:
    betas = (0.9, 0.99)
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": partial(torch.optim.Adam, betas=betas),
        "adamw": partial(torch.optim.AdamW, betas=betas),
        "soap": Soap,  # with its own
    }
    if training.optimiser not in kinds:
        raise UsageError(f"optimiser '{training.optimiser}' is none of {', '.join(kinds)}")
    return kinds[training.optimiser](
        net.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )


def _update(net: nn.Module, optimiser: torch.optim.Optimizer, rate: float, clip: float) -> bool:
    """One optimiser step with bounded gradient; False for one that blew up and is left out."""
    norm = float(nn.utils.clip_grad_norm_(net.parameters(), clip))
    if not math.isfinite(norm):
        return False
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    return True


@torch.no_grad()
def _follow(average: dict[str, Tensor], net: nn.Module, step: int, memory: float) -> None:
    """Move the averaged weights towards those of `net`, slowly only once there is something to average."""
    keep = min(memory, (1 + step) / (10 + step)) if memory else 0.0
    weights = dict(net.named_parameters())
    for name, value in net.state_dict().items():
        if name in weights:
            average[name].lerp_(value, 1 - keep)
        else:  # a buffer: running statistics, normalisation
            average[name].copy_(value)


@torch.no_grad()
def settle(average: dict[str, Tensor], system: System, device: torch.device, waves: Iterator[Tensor]) -> None:
    """Measure the running statistics of batch norms anew for averaged weights, in place.

    Those that training kept belong to other weights (P. Izmailov et al., "Averaging weights leads to wider
    optima", UAI 2018, section 3.2). Nets without batch norm are left as they are.
    """
    net = system.net().to(device)
    net.load_state_dict(average)
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    net.eval()  # dropout off
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in waves:
        system.loss(net, batch.to(device))
    for name, value in net.state_dict().items():
        average[name].copy_(value)


def finished(state: Checkpoint, config: FitConfig) -> bool:
    """Whether a run has come to the end of its schedule."""
    return state.step >= config.steps if config.steps else state.elapsed_s >= config.minutes * 60


def fit(config: FitConfig) -> Checkpoint:
    """Train, or go on with the run in `config.run`; returns where it ended.

    Raises `InputFileError` without a cache, `ModelError` for a run of another system, `UsageError` for
    choices that do not exist, `OutputError` where the run cannot be written.
    """
    make_folder(config.run)
    with _joined(config) as place, _stop_signals() as stopping:
        state = _train(config, place, stopping)
        if stopping and finished(state, config):
            raise KeyboardInterrupt  # during the last validation: whoever called is to stop as well
        return state


def _train(config: FitConfig, place: Place, stopping: list[int]) -> Checkpoint:
    _keep_freed_memory()
    torch.set_num_threads(config.threads)
    system, training = config.system, config.system.training
    cache = AudioCache(config.cache)
    mixtures = Mixtures(config.cache, system, config.seed, place.rank)
    resumed = (config.run / checkpoints.FILE).exists()
    state = checkpoints.load(config.run) if resumed else _start(config, mixtures)
    if to_plain(state.system) != to_plain(system):
        raise ModelError(
            f"{config.run} holds a run of another system or other options; take another folder, or --init"
        )
    if finished(state, config):
        return state
    state.data = heard(state.data, data_of(drawn_from(cache, training.recipe)))
    state.machine = _machine(config, place)
    if place.leads:
        _describe(config, state, place)

    net = system.net()
    net.load_state_dict(state.net)
    net.to(place.device).train()
    average = {name: value.to(place.device) for name, value in state.average.items()}
    called: nn.Module = DistributedDataParallel(net) if place.replicas > 1 else net
    optimiser = _optimiser(net, training)
    if state.optimiser:
        optimiser.load_state_dict(state.optimiser)
    heard_s = place.replicas * training.batch * training.hops * system.framing.hop / system.rate  # a step

    def keep() -> None:
        state.net = {name: value.cpu().clone() for name, value in net.state_dict().items()}
        state.average = {name: value.cpu().clone() for name, value in average.items()}
        state.optimiser = optimiser.state_dict()
        if place.leads:
            checkpoints.save(state, config.run)
            with whole_file(config.run / "history.jsonl") as file:
                file.write("".join(json.dumps(entry) + "\n" for entry in state.history).encode())
            if state.songs:
                with whole_file(config.run / checkpoints.SONGS) as file:
                    file.write(json.dumps(state.songs, indent=1).encode())

    def report(losses: list[float]) -> None:
        keep()  # first: whatever happens meanwhile, nothing is lost
        drawn = (mixtures.batch(2**21 + k, training.batch, share(state.step)) for k in range(SETTLE_ON))
        settle(average, system, place.device, drawn)
        state.average = average
        scored = state.average_net()  # on the CPU, as it will play
        entry = {"minutes": state.elapsed_s / 60, "step": state.step, "audio_hours": state.audio_s / 3600}
        entry |= {"loss": sum(losses) / max(1, len(losses)), "skipped_steps": skipped}
        found = validate(scored, system, cache)
        entry |= found.figures
        state.history.append(entry)
        state.songs = found.songs
        keep()
        bar.write(" ".join(f"{name} {value:.2f}" for name, value in entry.items()))

    total = config.steps or config.minutes * 60
    began, cpu_before, cpu_began = time.monotonic() - state.elapsed_s, state.cpu_s, time.process_time()

    def progress() -> float:
        return (state.step if config.steps else state.elapsed_s) / total

    def share(step: int) -> float:
        return true_share(step / total if config.steps else progress(), training)

    stream = batches(mixtures, state.step, share, config.workers, place.device.type == "cuda")
    bar = tqdm(total=round(total), initial=round(total * min(1.0, progress())), disable=not place.leads,
               mininterval=10, unit="step" if config.steps else "s", desc="fit")  # fmt: skip
    losses: list[float] = []
    running_loss, skipped = 0.0, 0
    saved_s = validated_s = state.elapsed_s
    stop = False
    while progress() < 1 and not stop:
        waves = next(stream).to(place.device, non_blocking=True)
        torch.manual_seed(hash((config.seed, place.rank, state.step)))  # dropout repeats after a resume
        optimiser.zero_grad(set_to_none=False)
        loss = system.loss(called, waves)
        loss.backward()
        rate = learning_rate(progress(), state.step, training)
        skipped += not _update(net, optimiser, rate, training.clip)
        _follow(average, net, state.step, training.average)

        state.step += 1
        state.audio_s += heard_s
        worked_s = time.process_time() - cpu_began
        stop, clock_s, worked_s = place.agree(bool(stopping), time.monotonic() - began, worked_s)
        bar.update(1 if config.steps else round(clock_s) - round(state.elapsed_s))
        state.elapsed_s, state.cpu_s = clock_s, cpu_before + worked_s
        losses.append(float(loss.detach()))
        running_loss = losses[-1] if len(losses) == 1 else 0.98 * running_loss + 0.02 * losses[-1]
        hours = state.audio_s / 3600
        said = f"loss {running_loss:.4g} audio {hours:.2f} h step {state.step}"
        bar.set_postfix_str(said + f", {skipped} skipped" * bool(skipped), False)
        if place.leads and clock_s - validated_s >= config.validate_minutes * 60:
            pause, cpu_pause = time.monotonic(), time.process_time()
            report(losses)
            losses, validated_s = [], clock_s
            began += time.monotonic() - pause  # validation is not training
            cpu_began += time.process_time() - cpu_pause
        if clock_s - saved_s >= config.save_minutes * 60:
            keep()
            saved_s = clock_s
    if place.leads and progress() >= 1 and losses:
        report(losses)
    else:
        keep()
    bar.close()
    if place.replicas > 1:
        dist.barrier()  # the others wait for the last validation
    return state


def _describe(config: FitConfig, state: Checkpoint, place: Place) -> None:
    """Write `run.json`: what this run was, for whoever compares runs later."""
    options = dataclasses.asdict(config) | {"system": to_plain(config.system)}
    content = {
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "parameters": _count(state.system.net()),
        "machine": state.machine,
        "replicas": place.replicas,
        "data": state.data,
    }
    with whole_file(config.run / "run.json") as file:
        file.write(json.dumps(content, indent=1).encode())


def _count(net: Net) -> int:
    return sum(p.numel() for p in net.parameters())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train fit`."""
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="checkpoint and history")
    parser.add_argument("--system", default="causal", metavar="PRESET",
                        help="%(default)s (default) or one of: " + ", ".join(PRESETS))  # fmt: skip
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the schedule (%(default)s)")
    parser.add_argument("--steps", type=int, help="length in optimiser steps instead")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch, each process (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw mixtures (%(default)s)")
    parser.add_argument("--batch", type=int, help="mixtures a step, each process (the system's own)")
    parser.add_argument("--learning-rate", type=float, help="at its peak (the system's own)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="another choice of the system: power=3, training.hops=200")  # fmt: skip
    parser.add_argument(
        "--init",
        type=Path,
        metavar="RUN",
        help="start from the weights of another run or a model file, as far as they fit",
    )
    parser.add_argument("--validate-minutes", type=float, default=6.0, metavar="X",
                        help="between validations (%(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)


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
