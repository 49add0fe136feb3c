"""`fit`: train a net for a fixed time or number of steps, on one process or several that average gradients.

A run lives in a folder: `checkpoint.pt` (the same command goes on from it) and `history.jsonl`.
SIGINT and SIGTERM end it after the current step with a checkpoint.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from tqdm import tqdm

from train import checkpoint as checkpoints
from train.cache import RATE, AudioCache
from train.checkpoint import Checkpoint
from train.loss import LossConfig, masked_loss, target_of
from train.nets.causal import Causal, CausalConfig, log_magnitudes
from train.remix import Remixer
from train.stft import mid_side, windows
from train.validation import validate


@dataclass(frozen=True)
class FitConfig:
    """How to train. The schedule runs over `minutes` of training, or over `steps` where those are given."""

    cache: Path
    run: Path
    minutes: float = 60.0
    steps: int | None = None
    processes: int = 1
    threads: int = 1  # of torch, each process
    batch: int = 3  # mixtures a step, each process
    hops: int = 516  # a mixture: 3 s
    rate: float = 2e-3  # learning rate at its peak
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip: float = 5.0  # norm of the gradient
    average: float = 0.998  # of the moving average of weights
    true_share: tuple[float, float] = (0.6, 0.85)  # of mixtures that are real songs: first, and at the end
    seed: int = 1
    save_minutes: float = 3.0
    validate_minutes: float = 6.0
    net: CausalConfig = field(default_factory=CausalConfig)
    loss: LossConfig = field(default_factory=LossConfig)


def schedule(progress: float, step: int, config: FitConfig) -> float:
    """Learning rate: linear warm-up, then half a cosine down to a hundredth of the peak."""
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
    return config.rate * min(1.0, (step + 1) / config.warmup_steps) * (0.01 + 0.99 * cosine)


def true_share(progress: float, config: FitConfig) -> float:
    """Share of real songs: constant for 65 % of the run, then rising, so that it ends near the real thing."""
    first, last = config.true_share
    return first + (last - first) * min(1.0, max(0.0, (progress - 0.65) / 0.15))


class _Gradients:
    """All gradients of a net as one flat tensor, with two more numbers that processes have to agree on."""

    def __init__(self, net: nn.Module) -> None:
        parameters = [p for p in net.parameters() if p.requires_grad]
        self.flat = torch.zeros(sum(p.numel() for p in parameters) + 2)
        first = 0
        for p in parameters:
            p.grad = self.flat[first : first + p.numel()].view_as(p)  # autograd adds into it
            first += p.numel()
        self.values, self.shared = self.flat[:first], self.flat[first:]

    def reduce(self, processes: int, stop: bool, elapsed_s: float) -> tuple[bool, float]:
        """Average over processes; returns whether any wants to stop, and rank 0's clock."""
        self.shared[0], self.shared[1] = float(stop), elapsed_s
        if processes > 1:
            if dist.get_rank() != 0:
                self.shared[1] = 0.0
            dist.all_reduce(self.flat)
            self.values /= processes
        return bool(self.shared[0] > 0), float(self.shared[1])


def _start(config: FitConfig, remixer: Remixer) -> Checkpoint:
    """A new net, its features normalised by some mixtures."""
    torch.manual_seed(config.seed)
    net = Causal(config.net)
    analysis, _ = windows(config.net.framing)
    waves = torch.from_numpy(remixer.batch((config.seed, 2**20), 24, config.true_share[0]))
    columns = target_of(mid_side(waves), config.net.framing, analysis, config.loss).mix
    net.fit_features(log_magnitudes(columns.transpose(0, 1)[..., : config.net.bins]))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    return Checkpoint(config.net, net.state_dict(), state)


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


def _train(rank: int, config: FitConfig, rendezvous: str) -> Checkpoint:
    _keep_freed_memory()
    torch.set_num_threads(config.threads)
    stopping = _listen_for_signals(rank)
    if config.processes > 1:
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=config.processes)
    framing, cache = config.net.framing, AudioCache(config.cache)
    analysis, synthesis = windows(framing)
    remixer = Remixer(cache, framing.n_fft + config.hops * framing.hop)
    resumed = (config.run / checkpoints.FILE).exists()
    state = checkpoints.load(config.run) if resumed else _start(config, remixer)
    net = Causal(state.config)
    net.load_state_dict(state.net)
    gradients = _Gradients(net)
    decay = config.weight_decay
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, (0.9, 0.99), weight_decay=decay)
    if state.optimiser:
        optimiser.load_state_dict(state.optimiser)
    parameters = dict(net.named_parameters())
    averaged = [state.average[name] for name in parameters]
    heard_s = config.processes * config.batch * config.hops * framing.hop / RATE  # a step

    def keep() -> None:
        state.net, state.optimiser = net.state_dict(), optimiser.state_dict()
        if rank == 0:
            checkpoints.save(state, config.run)

    def report(losses: list[float]) -> None:
        scored = Causal(state.config)
        scored.load_state_dict(state.average)
        entry = {"minutes": state.elapsed_s / 60, "step": state.step, "audio_hours": state.audio_s / 3600}
        entry |= {"loss": sum(losses) / max(1, len(losses)), **validate(scored.eval().masks, cache, framing)}
        state.history.append(entry)
        with (config.run / "history.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
        bar.write(" ".join(f"{name} {value:.2f}" for name, value in entry.items()))

    total = config.steps or config.minutes * 60
    unit = "step" if config.steps else "s"
    bar = tqdm(total=round(total), disable=rank != 0, mininterval=20, unit=unit, desc="fit")
    losses: list[float] = []
    saved_s = validated_s = state.elapsed_s
    running_loss = 0.0
    progress = state.step / total if config.steps else state.elapsed_s / total
    began = time.monotonic() - state.elapsed_s
    while progress < 1:
        waves = torch.from_numpy(
            remixer.batch((config.seed, rank, state.step), config.batch, true_share(progress, config))
        )
        target = target_of(mid_side(waves), framing, analysis, config.loss)
        with torch.no_grad():
            features = log_magnitudes(target.mix.permute(1, 2, 0, 3)[..., : state.config.bins])
        gradients.flat.zero_()
        loss, _ = masked_loss(net(features), target, framing, synthesis, config.loss)
        loss.backward()
        stop, clock_s = gradients.reduce(config.processes, bool(stopping), time.monotonic() - began)
        _update(gradients.values, optimiser, schedule(progress, state.step, config), config.clip)
        with torch.no_grad():
            decay = min(config.average, (1 + state.step) / (10 + state.step))
            torch._foreach_lerp_(averaged, [p.detach() for p in parameters.values()], 1 - decay)

        state.step += 1
        state.audio_s += heard_s
        bar.update(1 if config.steps else round(clock_s) - round(state.elapsed_s))
        state.elapsed_s = clock_s
        progress = state.step / total if config.steps else clock_s / total
        losses.append(float(loss.detach()))
        running_loss = losses[-1] if len(losses) == 1 else 0.98 * running_loss + 0.02 * losses[-1]
        hours = state.audio_s / 3600
        bar.set_postfix_str(f"loss {running_loss:.2f} audio {hours:.2f} h step {state.step}", False)
        if rank == 0 and clock_s - validated_s >= config.validate_minutes * 60:
            pause = time.monotonic()
            report(losses)
            losses, validated_s = [], clock_s
            began += time.monotonic() - pause  # validation is not training
        if clock_s - saved_s >= config.save_minutes * 60:
            keep()
            saved_s = clock_s
        if stop:
            break
    if rank == 0 and progress >= 1:
        report(losses)
    keep()
    bar.close()
    if config.processes > 1:
        dist.barrier()
        dist.destroy_process_group()
    return state


def _update(gradient: Tensor, optimiser: torch.optim.Optimizer, rate: float, clip: float) -> None:
    """One optimiser step with the norm of the gradient bounded; a step that blew up is left out."""
    norm = float(gradient.norm())
    if not math.isfinite(norm):
        return
    gradient.mul_(min(1.0, clip / (norm + 1e-9)))
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


def _listen_for_signals(rank: int) -> list[int]:
    """A list, no longer empty once the user wants to stop. Only rank 0 listens: it tells the others."""
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal if rank == 0 else signal.SIG_IGN)
    return received


def fit(config: FitConfig) -> Checkpoint:
    """Train, or go on with the run in `config.run`; returns where it ended."""
    config.run.mkdir(parents=True, exist_ok=True)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = (Path(folder) / "rendezvous").as_uri()
        context = mp.get_context("spawn")
        os.environ.setdefault("OMP_NUM_THREADS", str(config.threads))
        others = [
            context.Process(target=_train, args=(rank, config, rendezvous), daemon=True)
            for rank in range(1, config.processes)
        ]
        for process in others:
            process.start()
        try:
            state = _train(0, config, rendezvous)
            for process in others:
                process.join(60)
        finally:
            for process in others:
                process.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
    return state
