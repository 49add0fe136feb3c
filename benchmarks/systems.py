"""What is compared with rtsep's models, by name; and what is not, with the reason."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.centre import CentreMask
from benchmarks.denoiser import RNNoise
from benchmarks.hpss import Hpss
from benchmarks.newest_frame import NewestFrame
from benchmarks.repet import OnlineRepetSim, RepetSim
from benchmarks.streams import MaskStream
from rtsep.errors import UsageError, suggest
from train.peers import Peer, Spleeter

OWN = "method published; code of this project"

SYSTEMS: dict[str, Callable[[], Peer]] = {
    "spleeter": Spleeter,
    "spleeter-newest": lambda: NewestFrame(Spleeter()),
    "rnnoise": RNNoise,
    "centre": lambda: MaskStream(CentreMask(), "centre extraction", OWN),
    "repet-online": lambda: MaskStream(OnlineRepetSim(), "REPET-SIM, online", OWN),
    "repet-sim": RepetSim,
    "hpss": Hpss,
}
"""Those that are `Stream`s run live, the others take whole recordings."""

NOT_COMPARED = (
    "Open-Unmix-like causal GRU: no weights of one are published, and none is trained here.",
    "DeepFilterNet: its wheel holds no weights and asks for numpy below 2; RNNoise stands for its kind.",
    "Demucs, BS-RoFormer: offline, seconds of window, a quality that nothing here claims to reach.",
)


def load_system(name: str) -> Peer:
    """Load one; `UsageError` tells how to get what is not installed."""
    check_name(name)
    return SYSTEMS[name]()


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that is none of SYSTEMS."""
    if name not in SYSTEMS:
        raise UsageError(f"--systems '{name}': one of {', '.join(SYSTEMS)}, or none{suggest(name, SYSTEMS)}")
