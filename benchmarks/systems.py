"""The systems that are compared with rtsep's models, by name, and the reasons against others."""

from __future__ import annotations

from collections.abc import Callable, Collection

from benchmarks.centre import CentreMask
from benchmarks.denoiser import RNNoise
from benchmarks.hpss import Hpss
from benchmarks.newest_frame import NewestFrame
from benchmarks.repet import OnlineRepetSim, RepetSim
from benchmarks.streams import MaskStream, Separating
from rtsep.errors import UsageError, suggest
from train.score.peers import Spleeter

OWN = "method published; code of this project"

SYSTEMS: dict[str, Callable[[], Separating]] = {
    "spleeter": Spleeter,
    "spleeter-newest": lambda: NewestFrame(Spleeter()),
    "rnnoise": RNNoise,
    "centre": lambda: MaskStream(CentreMask(), "centre extraction", OWN),
    "repet-online": lambda: MaskStream(OnlineRepetSim(), "REPET-SIM, online", OWN),
    "repet-sim": RepetSim,
    "hpss": Hpss,
}
"""Systems: `Stream`s run live, the others take whole recordings."""

FAMILIES = {"gru": "causal GRU, as Open-Unmix"}
"""Titles of model files of other kinds than rtsep's own, by the `system` of their specs."""

_NOT_COMPARED = {
    "gru": "causal GRU as Open-Unmix: no weights are published; train the preset 'gru', export it and "
    "give its file with --model",
    "deepfilternet": "DeepFilterNet: its wheel contains no weights and needs numpy below 2; RNNoise "
    "represents denoisers",
    "offline": "Demucs, BS-RoFormer: offline, windows of seconds; no live separator here claims their "
    "quality",
}


def not_compared(families: Collection[str]) -> list[str]:
    """Return lines about systems missing from a table with models of `families`, and the reasons."""
    return [line for name, line in _NOT_COMPARED.items() if name not in families]


def load_system(name: str) -> Separating:
    """Load a system; `UsageError` explains the installation of a missing one."""
    check_name(name)
    return SYSTEMS[name]()


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that is not in SYSTEMS."""
    if name not in SYSTEMS:
        raise UsageError(f"--systems '{name}': one of {', '.join(SYSTEMS)}, or none{suggest(name, SYSTEMS)}")
