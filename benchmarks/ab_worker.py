"""One side of a comparison: a process that runs one task hop by hop, paced, on request.

    python -c "from benchmarks.ab_worker import main; main()" KIND REAL_TIME CORE

Each line of standard input is a number of seconds; the answer is a line of JSON, the durations in us of all
hops of that time except the first TURN_WARM_UP_S, in which the caches lose the other side's data.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from benchmarks.slow_forms import AllocatedCausal, ConvolvedCausal, WholeWindow
from rtsep.bench.hop import PRIORITY
from rtsep.compiled import use_cache
from rtsep.dsp.stft import analyse, make_stft, synthesise
from rtsep.dsp.windows import PROFILES, Framing, window_pair
from rtsep.errors import ModelProcessError
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.loader import load_model
from rtsep.model.torchscript import WARM_UP_STEPS, script, take_this_thread
from rtsep.realtime.child_process import command_of
from rtsep.realtime.priority import lock_memory, raise_thread_priority
from train.data.cache import RATE
from train.learn.nets.causal_program import CausalProgram
from train.learn.nets.column_resnet_small_program import SmallResNetProgram
from train.learn.presets import preset

TURN_WARM_UP_S = 0.25
COLUMNS = 64  # number of columns used in turn
ANY_CORE = "any"


class Paced(NamedTuple):
    """Task for every `hop_s` seconds."""

    step: Callable[[], object]
    hop_s: float


def program(system_name: str, form: Callable[[Any], torch.nn.Module]) -> Paced:
    """Return a net of the system with random weights, which do not affect its cost, in some form."""
    system = preset(system_name)
    torch.manual_seed(0)
    net: Any = form(system.net().eval()).eval()
    scripted = script(net, ["step"])
    state = torch.zeros(int(net.state_size))
    columns = torch.randn(COLUMNS, system.channels, system.framing.bins, 2) * 0.1
    masks = torch.zeros(system.channels, system.framing.bins)
    numbers = iter(range(sys.maxsize))

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def step() -> None:
        masks.copy_(scripted.step(columns[next(numbers) % COLUMNS], state))

    for _ in range(WARM_UP_STEPS):
        step()
    return Paced(step, system.framing.hop / system.rate)


def model() -> Paced:
    """Return the default model, stepped as in the model process."""
    runner = load_model(find_model(DEFAULT_MODEL))
    rng = np.random.default_rng(0)
    columns = rng.normal(0, 0.1, (COLUMNS, *runner.column.shape)).astype(np.float32)
    numbers = iter(range(sys.maxsize))

    def step() -> None:
        runner.column[:] = columns[next(numbers) % COLUMNS]
        runner.step()

    return Paced(step, runner.spec.hop / RATE)


def compiled_stft() -> Paced:
    """Return analysis and synthesis of a stereo hop as in playback: compiled, in place."""
    framing = PROFILES[DEFAULT_MODEL]
    state, hop, spectra = make_stft(framing, 2), _hop(framing), np.zeros((2, framing.bins, 2), np.float32)
    done = np.zeros_like(hop)

    def step() -> None:
        analyse(state, hop, spectra)
        synthesise(state, spectra, done)

    step()
    return Paced(step, framing.hop / RATE)


def scipy_stft() -> Paced:
    """Return the same task with numpy and scipy's FFT, in float32."""
    framing = PROFILES[DEFAULT_MODEL]
    analysis, synthesis = (window.astype(np.float32) for window in window_pair(framing))
    hop, history = _hop(framing), np.zeros((2, framing.n_fft), np.float32)
    overlap = np.zeros((2, framing.synthesis), np.float32)
    done = np.zeros_like(hop)

    def step() -> None:
        history[:, : -framing.hop] = history[:, framing.hop :]
        history[:, -framing.hop :] = hop
        spectra = fft.rfft(history * analysis)
        overlap[:] += fft.irfft(spectra, framing.n_fft)[:, -framing.synthesis :] * synthesis
        done[:] = overlap[:, : framing.hop]
        overlap[:, : -framing.hop] = overlap[:, framing.hop :]
        overlap[:, -framing.hop :] = 0

    step()
    return Paced(step, framing.hop / RATE)


def _hop(framing: Framing) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, (2, framing.hop)).astype(np.float32)


KINDS: dict[str, Callable[[], Paced]] = {
    "causal, convolutions": lambda: program("causal", ConvolvedCausal),
    "causal, products": lambda: program("causal", AllocatedCausal),
    "causal, in place": lambda: program("causal", CausalProgram),
    "column-resnet, window": lambda: program("column-resnet-causal", WholeWindow),
    "column-resnet, columns": lambda: program("column-resnet-causal", SmallResNetProgram),
    "model": model,
    "stft, scipy": scipy_stft,
    "stft, compiled": compiled_stft,
}


def durations(paced: Paced, seconds: float) -> list[float]:
    """Return the duration of each step in us, for `seconds` after TURN_WARM_UP_S. All steps count."""
    warm, count = int(TURN_WARM_UP_S / paced.hop_s), max(1, int(seconds / paced.hop_s))
    took = [0.0] * (warm + count)
    due = time.perf_counter()
    for n in range(warm + count):
        due += paced.hop_s
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        begun = time.perf_counter()
        paced.step()
        took[n] = time.perf_counter() - begun
    return [round(1e6 * duration, 2) for duration in took[warm:]]


def main() -> int:
    """Run one side."""
    use_cache()
    kind, real_time, core = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
    take_this_thread()
    paced = KINDS[kind]()
    if core != ANY_CORE:
        os.sched_setaffinity(0, {int(core)})
    if real_time:
        raise_thread_priority(PRIORITY)
        lock_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    print(json.dumps({"hop_us": round(1e6 * paced.hop_s, 1)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(durations(paced, float(line))), flush=True)
    return 0


class ABWorker:
    """Process that runs `main` on request; it ends with the `with` block."""

    def __init__(
        self, kind: str, real_time: bool = True, tunables: str | None = None, core: int | None = None
    ) -> None:
        """`kind` is a key of KINDS; the process runs like the engine's threads, or as an ordinary one.

        `tunables` are glibc's; `core` is the only core that it may use.
        """
        surroundings = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        if tunables:
            surroundings["GLIBC_TUNABLES"] = tunables
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.name = kind
        self._process = subprocess.Popen(
            [*command_of("benchmarks.ab_worker"), kind, str(real_time),
             ANY_CORE if core is None else str(core)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings | threads,
        )  # fmt: skip

    def __enter__(self) -> ABWorker:
        try:
            self.hop_us: float = self._answer()["hop_us"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def turn(self, seconds: float) -> NDArray[np.float64]:
        """Return the durations in us of the hops in this number of seconds."""
        assert self._process.stdin
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return np.asarray(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ModelProcessError(f"'{self.name}' ended before it was measured; its messages are above")
        return json.loads(line)


if __name__ == "__main__":
    sys.exit(main())
