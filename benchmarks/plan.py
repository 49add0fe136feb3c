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
    told_by: str  # module with the COLUMNS of its table
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
        columns: Sequence[Column] = importlib.import_module(self.told_by).COLUMNS
        return columns


BENCHES = (
    Bench(
        "peers", "Beside others", "benchmarks.peers",
        ("python", "-m", "benchmarks", "peers", "--seconds", "10"),
        ("--seconds", "2", "--systems", "centre,rnnoise,hpss"),
        "rtsep's models and other separators on the same tracks and the same core: when the stems come, "
        "what they cost, how good they are. What runs live was scored through the steps whose time was "
        "taken.",
        data=True,
    ),
    Bench(
        "hop-cpu", "One hop on one core", "rtsep.bench.hop",
        (
            "rtsep", "bench", "hop", "--model", "all", "--rates", "44100,48000", "--blocks", BLOCKS,
            "--seconds", "10",
        ),
        ("--model", "live", "--rates", "44100", "--blocks", "64,256", "--seconds", "2"),
        "Analysis, model and synthesis of a hop in us, one thread, called as blocks arrive and asleep "
        "between them: caches are as cold as they are live. Every hop counts, the worst one too. The "
        "engine runs the model in a process of its own, beside the rest.",
    ),
    Bench(
        "hop-cuda", "One hop with the model on a GPU", "rtsep.bench.hop",
        ("rtsep", "bench", "hop", "--compute", "cuda", "--model", "all", "--rates", "44100,48000"),
        ("--model", "live", "--rates", "44100", "--seconds", "2"),
        "The step as a captured graph and as plain launches, in us; 'model' is the way from the host's "
        "memory to the GPU and back, 'on the GPU' what its own clock says of a graph, copies included.",
        cuda=True,
    ),
    Bench(
        "roundtrip", "Declared and real latency", "rtsep.bench.roundtrip",
        ("rtsep", "bench", "roundtrip"), (),
        "A signal goes through the playing engine and is looked for in what comes back, to the sample.",
    ),
    Bench(
        "stress", "On a busy machine", "rtsep.bench.stress",
        ("rtsep", "bench", "stress", "--each", "--seconds", "60"), ("--seconds", "3", "--load", "cpu"),
        "Live for minutes while Python threads of the same process spin and allocate, other processes eat "
        "processor and disk; beside it a plain C client of the same JACK server: as many xruns as that one "
        "has are the machine's, what rtsep loses beyond them is its own.",
    ),
    Bench(
        "file", "Files", "rtsep.bench.file",
        ("rtsep", "bench", "file"), ("--minutes", "0.1,0.2"),
        "`rtsep file` by the length of the recording: its time should grow in line with it, its memory not.",
    ),
    Bench(
        "start", "From the command to the first sound", "rtsep.bench.start",
        ("rtsep", "bench", "start"), ("--runs", "1", "--cold-runs", "0"),
        "`rtsep live --in demo` by stage, warm, and with nothing compiled yet. Stages run partly in "
        "parallel.",
    ),
    Bench(
        "gains", "What makes it fast", "benchmarks.gains",
        ("python", "-m", "benchmarks", "gains", "--turns", "4"),
        ("--turns", "1", "--seconds", "1", "--starts", "1"),
        "What a hop or a start owes its time to, with it and without it, in turns on the same machine, "
        "paced as live audio. A ratio of 1 is no gain; where turns differ by as much as the ratio does "
        "from 1, there is none to be seen on this machine.",
    ),
)  # fmt: skip
BY_NAME = {bench.name: bench for bench in BENCHES}
