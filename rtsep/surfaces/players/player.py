"""What the view needs of the session it shows, and nothing more; `SessionPlayer` is the real one.

Everything is called from the view's own thread, or from one of its workers where it may take its time (said
below); a refusal is an `RtsepError`, whose line the view shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import Controls

BANDS = 120
"""Bands of what is heard, evenly spaced in pitch from LOWEST_HZ to HIGHEST_HZ: as fine as a tall terminal."""

LOWEST_HZ, HIGHEST_HZ = 50.0, 16000.0


class Heard(NamedTuple):
    """What came since the view last asked."""

    level_db: NDArray[
        np.float32
    ]  # [BANDS] the loudest of each band, a full-scale sine being 0; lowest band first
    share: NDArray[np.float32]  # [BANDS] of it that goes to the vocals, 0..1
    hops: int  # how many were folded


@dataclass(frozen=True)
class Choice:
    """One entry of a list to pick from."""

    name: str
    note: str = ""  # what else a person wants to know of it
    current: bool = False
    kind: str = ""  # "input" or "output" of a device


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    whole = int(seconds)
    minutes = f"{whole // 60 % 60}:{whole % 60:02}"
    return f"{whole // 3600}:{minutes:0>5}" if whole >= 3600 else minutes


def stretch_in_words(speed: float, key: float) -> str:
    """Return speed (a factor) and key (semitones) of a played file in words; "" as recorded."""
    words = [f"speed {100 * speed:.0f} %"] if speed != 1.0 else []
    return ", ".join([*words, f"key {key:+g}"] if key else words)


class Player(Protocol):
    """A running session, as the view sees it."""

    controls: Controls

    @property
    def title(self) -> str:
        """Input -> output, in words."""

    @property
    def hop_budget_us(self) -> float:
        """How long a hop may take before the next one comes."""

    def stats(self) -> dict[str, Any]:
        """Return what `Session.stats` returns: counters, levels, states. Called 30 times a second."""

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops by duration, in bins of `rtsep.audio.rings.HISTOGRAM_STEP_NS`."""

    def newest(self) -> Heard | None:
        """Return what came since the last call, None for nothing; 30 times a second."""

    def end(self) -> None:
        """Ask the session to end; returns at once."""

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session is over, after at most `timeout` seconds (None: without a limit)."""

    # --- what may take its time: called on a worker's thread --------------------------------------

    def start_recording(self) -> str:
        """Begin a take; return where."""

    def stop_recording(self) -> str:
        """End the take; return what is there now, in words."""

    def pause(self) -> str:
        """Let the played file stand still, or go on; return a line for the user, "" for none."""

    def skip(self, seconds: float) -> str:
        """Go by so much in the played file; return a line for the user, "" for none."""

    def change_speed(self, by: float) -> str:
        """Play the file faster by so much of the recorded speed; return the speed in words."""

    def change_key(self, by: float) -> str:
        """Play the file higher by so many semitones; return the key in words."""

    def loop_here(self) -> str:
        """Begin a loop at what is heard, or end it there, or loop no more; return a line for the user."""

    def presets(self) -> list[Choice]:
        """Return the presets there are."""

    def presets_remark(self) -> str:
        """Return what else is to be known of that list, "" for nothing."""

    def recall_preset(self, name: str) -> None:
        """Set the controls as preset `name` says."""

    def save_preset(self, name: str) -> None:
        """Keep the controls as they are as preset `name`, in place of one of that name."""

    def models(self) -> list[Choice]:
        """Return the models there are."""

    def switch_model(self, name: str) -> None:
        """Go on with another model."""

    def devices(self) -> list[Choice]:
        """Return the inputs and outputs there are now."""

    def devices_remark(self) -> str:
        """Return what else is to be known of that list, "" for nothing."""

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Go on with another input or output."""
