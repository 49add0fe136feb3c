"""List of the benchmarks: the command of each, and its text on the page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.bench.result import Column

DATA = "MUSDB18-7/test"
"""Name of the test tracks in the commands on the page."""

BLOCKS = "32,64,128,256,512,1024"


@dataclass(frozen=True)
class Bench:
    """Benchmark with its JSON file `NAME.json`."""

    name: str
    title: str
    columns_in: str  # module with the COLUMNS of its table
    words: tuple[str, ...]  # the command; `python -m benchmarks` benches write their JSON themselves
    quick: tuple[str, ...]  # options for a trial of a few seconds; they come last and take precedence
    about: str
    data: bool = False  # takes --data
    cuda: bool = False

    @property
    def prints(self) -> bool:
        """Return whether the JSON goes to standard output; else --json gives its file."""
        return self.words[0] == "rtsep"

    @property
    def command(self) -> str:
        """Return the command that produces the figures of the page."""
        data = f" --data {DATA}" if self.data else ""
        return " ".join(self.words) + data

    @property
    def columns(self) -> Sequence[Column]:
        """Return the columns of its table."""
        columns: Sequence[Column] = importlib.import_module(self.columns_in).COLUMNS
        return columns


BENCHES = (
    Bench(
        "peers", "Comparison with other separators", "benchmarks.peers",
        ("python", "-m", "benchmarks", "peers", "--seconds", "10"),
        ("--seconds", "2", "--systems", "centre,rnnoise,hpss"),
        "rtsep's models and other separators on the same tracks and the same core: latency, cost and "
        "quality. The quality of live separators is that of the timed steps.",
        data=True,
    ),
    Bench(
        "hop-cpu", "One hop on one core", "rtsep.bench.hop",
        (
            "rtsep", "bench", "hop", "--model", "all", "--rates", "44100,48000", "--blocks", BLOCKS,
            "--seconds", "10",
        ),
        ("--model", "live", "--rates", "44100", "--blocks", "64,256", "--seconds", "2"),
        "Analysis, model and synthesis of a hop in us, on one thread. The thread sleeps between blocks, so "
        "caches are as cold as in a live session. Every hop counts, the worst one too. The engine runs the "
        "model in a separate process, in parallel with the rest.",
    ),
    Bench(
        "hop-cuda", "One hop with the model on a GPU", "rtsep.bench.hop",
        ("rtsep", "bench", "hop", "--compute", "cuda", "--model", "all", "--rates", "44100,48000"),
        ("--model", "live", "--rates", "44100", "--seconds", "2"),
        "One step in us, as a captured graph and as plain launches. 'model' is the time from host memory "
        "to the GPU and back; 'on the GPU' is the time of a graph by the clock of the GPU, copies included.",
        cuda=True,
    ),
    Bench(
        "roundtrip", "Declared and real latency", "rtsep.bench.roundtrip",
        ("rtsep", "bench", "roundtrip"), (),
        "A signal passes through the playing engine; its delay in the output is measured to the sample.",
    ),
    Bench(
        "stress", "On a busy machine", "rtsep.bench.stress",
        ("rtsep", "bench", "stress", "--each", "--seconds", "60"), ("--seconds", "3", "--load", "cpu"),
        "Live sessions of minutes under load: Python threads of the same process spin and allocate, other "
        "processes use all cores and the disk. A plain C client on the same JACK server is the reference: "
        "its xruns are the machine's fault, losses beyond them are the fault of rtsep.",
    ),
    Bench(
        "file", "Files", "rtsep.bench.file",
        ("rtsep", "bench", "file"), ("--minutes", "0.1,0.2"),
        "`rtsep file` by the length of the recording: time should grow in proportion, memory not at all.",
    ),
    Bench(
        "start", "From the command to the first sound", "rtsep.bench.start",
        ("rtsep", "bench", "start"), ("--runs", "1", "--cold-runs", "0"),
        "`rtsep live --in demo` by stage: a warm start, and a cold start without compiled code. Some stages "
        "run in parallel.",
    ),
    Bench(
        "gains", "Gains of the optimisations", "benchmarks.gains",
        ("python", "-m", "benchmarks", "gains", "--turns", "4"),
        ("--turns", "1", "--seconds", "1", "--starts", "1"),
        "Optimisations of a hop and of the start, each measured with and without, in turns on the same "
        "machine, paced like live audio. A ratio of 1 is no gain. If the turns differ by as much as the "
        "ratio differs from 1, no gain is visible on this machine.",
    ),
)  # fmt: skip
BY_NAME = {bench.name: bench for bench in BENCHES}
