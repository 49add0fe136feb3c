"""The training loop of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm import tqdm

from rtsep.errors import ModelError
from train.data.cache import AudioCache
from train.learn import checkpoint as checkpoints
from train.learn.averaging import recalibrate_batchnorm, update_ema
from train.learn.checkpoint import Checkpoint
from train.learn.fit_config import FitConfig
from train.learn.mixtures import Mixtures, batches
from train.learn.new_run import new_run
from train.learn.optimisers import clipped_step, make_optimiser
from train.learn.presets import to_plain
from train.learn.replica import Replica
from train.learn.schedule import learning_rate, true_share
from train.learn.validation import validate

BATCHNORM_BATCHES = 12
"""Number of batches that the batch norm statistics of averaged weights are computed from."""

BATCHNORM_STEP = 2**21
"""Step at which these batches begin; no run gets that far, so that none of them is trained on."""

LOSS_MEMORY = 0.98
"""Share that the loss on the progress bar keeps of itself at each step."""


class Trainer:
    """One run in one replica: net, averaged weights, optimiser, and the state that a checkpoint holds.

    `train` is the loop. `step`, `validate`, `save` and `resume` are its parts. Every replica makes all
    steps; only the first one validates and writes.
    """

    def __init__(self, config: FitConfig, replica: Replica) -> None:
        """Load the run in `config.run`, or start a new one; see `resume` for the errors."""
        self.config, self.replica = config, replica
        self.system, self.training = config.system, config.system.training
        self.cache = AudioCache(config.cache)
        self.mixtures = Mixtures(config.cache, self.system, config.seed, replica.rank)
        self.net = self.system.net().to(replica.device).train()
        self.optimiser = make_optimiser(self.net, self.training)
        self.average: dict[str, Tensor] = {}
        self.state = self.resume()
        self.model = replica.parallel(self.net)
        self.clock = Clock(self.state.elapsed_s, self.state.cpu_s)
        self.losses: list[float] = []  # of the steps since the last validation
        self.skipped = 0  # steps whose gradient was not finite
        self._saved_s = self._validated_s = self.state.elapsed_s

    @property
    def progress(self) -> float:
        """The finished share of the schedule, 0 to 1."""
        return self.config.progress(self.state)

    def train(self, stopping: Sequence[int]) -> Checkpoint:
        """Train until the schedule ends or `stopping` holds a signal; return the state, which is saved."""
        on_gpu = self.replica.device.type == "cuda"
        stream = batches(self.mixtures, self.state.step, self._true_share, self.config.workers, on_gpu)
        stop = False
        with ProgressBar(self.config, self.state, hidden=not self.replica.is_first) as bar:
            while self.progress < 1 and not stop:
                loss = self.step(next(stream))
                stop = self._count_time(bool(stopping))
                bar.show(self.state, loss, self.skipped)
                if self._validation_is_due():
                    with self.clock.paused():  # validation is not training
                        bar.write(self.validate())
                if self.state.elapsed_s - self._saved_s >= self.config.save_minutes * 60:
                    self.save()
            if self.replica.is_first and self.progress >= 1 and self.losses:
                bar.write(self.validate())
            else:
                self.save()
        self.replica.wait_for_others()  # the first one may still validate
        return self.state

    def step(self, waves: Tensor) -> float:
        """Train on one batch `waves` [B, 2 (voice, mix), 2 (left, right), n]; return its loss."""
        state = self.state
        waves = waves.to(self.replica.device, non_blocking=True)
        torch.manual_seed(
            hash((self.config.seed, self.replica.rank, state.step))
        )  # a resumed run repeats dropout
        self.optimiser.zero_grad(set_to_none=False)
        loss = self.system.loss(self.model, waves)
        loss.backward()
        rate = learning_rate(self.progress, state.step, self.training)
        if not clipped_step(self.net, self.optimiser, rate, self.training.clip):
            self.skipped += 1
        update_ema(self.average, self.net, state.step, self.training.average)
        state.step += 1
        # Audio of all replicas: each step has one batch a replica.
        hops = self.replica.replicas * self.training.batch * self.training.hops
        state.audio_s += hops * self.system.framing.hop / self.system.rate
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def validate(self) -> dict[str, float]:
        """Score the averaged weights on the validation songs and save; return the new history entry."""
        self.save()  # before the validation, so that a crash there loses nothing
        share = self._true_share(self.state.step)
        drawn = (
            self.mixtures.batch(BATCHNORM_STEP + k, self.training.batch, share)
            for k in range(BATCHNORM_BATCHES)
        )
        recalibrate_batchnorm(self.average, self.system, self.replica.device, drawn)
        self.state.average = self.average
        found = validate(self.state.average_net(), self.system, self.cache)  # on the CPU, as a model plays
        entry = {
            "minutes": self.state.elapsed_s / 60,
            "step": self.state.step,
            "audio_hours": self.state.audio_s / 3600,
            "loss": sum(self.losses) / max(1, len(self.losses)),
            "skipped_steps": self.skipped,
        } | found.figures
        self.state.history.append(entry)
        self.state.songs = found.songs
        self.losses.clear()
        self._validated_s = self.state.elapsed_s
        self.save()
        return entry

    def save(self) -> None:
        """Copy weights and optimiser into the state; the first replica writes it to the folder of the run."""
        self.state.net = _on_cpu(self.net.state_dict())
        self.state.average = _on_cpu(self.average)
        self.state.optimiser = self.optimiser.state_dict()
        self._saved_s = self.state.elapsed_s
        if self.replica.is_first:
            checkpoints.save(self.state, self.config.run)
            checkpoints.save_history(self.state, self.config.run)

    def resume(self) -> Checkpoint:
        """Load the checkpoint of the run, or start a new run; put it into net, average and optimiser.

        Raises `ModelError` for a run of another system, other options or another version, and the errors of
        `new_run`.
        """
        run = self.config.run
        if (run / checkpoints.FILE).exists():
            state = checkpoints.load(run)
        else:
            state = new_run(self.config, self.mixtures)
        if to_plain(state.system) != to_plain(self.system):
            raise ModelError(
                f"{run} contains a run of another system or with other options; "
                "give another folder, or use --init"
            )
        try:
            for weights in (state.average, state.net):
                checkpoints.put(weights, self.net)
            if state.optimiser:
                self.optimiser.load_state_dict(state.optimiser)
        except ModelError as error:
            raise ModelError(f"{run}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{run}: the state of another optimiser ({error}); use --init") from None
        self.average = {name: value.to(self.replica.device) for name, value in state.average.items()}
        return state

    def _true_share(self, step: int) -> float:
        """Return the share of real songs among the mixtures of a step."""
        return true_share(step / self.config.steps if self.config.steps else self.progress, self.training)

    def _validation_is_due(self) -> bool:
        since_s = self.state.elapsed_s - self._validated_s
        return self.replica.is_first and since_s >= self.config.validate_minutes * 60

    def _count_time(self, stop: bool) -> bool:
        """Update the times of the state; return whether any replica has to stop."""
        stop, self.state.elapsed_s, cpu_s = self.replica.agree(stop, self.clock.elapsed_s, self.clock.cpu_s)
        self.state.cpu_s = self.clock.cpu_before_s + cpu_s
        return stop


class Clock:
    """Wall time and CPU time of the training of this process, in seconds; pauses do not count."""

    def __init__(self, elapsed_s: float, cpu_s: float) -> None:
        """Continue from the wall time `elapsed_s`, and from the CPU time `cpu_s` of all replicas."""
        self.cpu_before_s = cpu_s
        self._began_s = time.monotonic() - elapsed_s
        self._cpu_began_s = time.process_time()

    @property
    def elapsed_s(self) -> float:
        """Wall time of the whole run so far."""
        return time.monotonic() - self._began_s

    @property
    def cpu_s(self) -> float:
        """CPU time of this process since the clock was made, all threads together."""
        return time.process_time() - self._cpu_began_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of a `with` block."""
        wall_s, cpu_s = time.monotonic(), time.process_time()
        yield
        self._began_s += time.monotonic() - wall_s
        self._cpu_began_s += time.process_time() - cpu_s


class ProgressBar:
    """The line on the terminal: progress in steps or seconds, loss, hours of audio."""

    def __init__(self, config: FitConfig, state: Checkpoint, hidden: bool) -> None:
        """Begin where `state` is in the schedule of `config`; a `hidden` bar prints nothing."""
        self._config, self._loss = config, math.nan
        self._bar = tqdm(
            total=round(config.length), initial=self._place(state), disable=hidden,
            mininterval=10, unit="step" if config.steps else "s", desc="fit",
        )  # fmt: skip

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _place(self, state: Checkpoint) -> int:
        return round(self._config.length * min(1.0, self._config.progress(state)))

    def show(self, state: Checkpoint, loss: float, skipped: int) -> None:
        """Show the state after a step."""
        self._loss = loss if math.isnan(self._loss) else LOSS_MEMORY * self._loss + (1 - LOSS_MEMORY) * loss
        text = f"loss {self._loss:.4g} audio {state.audio_s / 3600:.2f} h step {state.step}"
        self._bar.set_postfix_str(text + f", {skipped} skipped" * bool(skipped), refresh=False)
        self._bar.update(self._place(state) - self._bar.n)

    def write(self, entry: dict[str, float]) -> None:
        """Print the figures of a validation above the bar."""
        self._bar.write(" ".join(f"{name} {value:.2f}" for name, value in entry.items()))


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu().clone() for name, value in tensors.items()}
