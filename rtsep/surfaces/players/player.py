"""Interface between the view and a session; `SessionPlayer` implements it for a local session.

All methods are called from the view's own thread, or from one of its workers if they may take time (marked
below). A refusal is an `RtsepError`, whose line the view shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import Controls

BANDS = 120
"""Number of bands, evenly spaced in pitch from LOWEST_HZ to HIGHEST_HZ: as fine as a tall terminal."""

LOWEST_HZ, HIGHEST_HZ = 50.0, 16000.0


class Spectrum(NamedTuple):
    """New data since the view's last request."""

    level_db: NDArray[np.float32]  # [BANDS] maximum in each band, 0 for a full-scale sine; lowest band first
    share: NDArray[np.float32]  # [BANDS] share of the vocals, 0..1
    hops: int  # number of hops included


@dataclass(frozen=True)
class Choice:
    """Entry of a list of choices."""

    name: str
    note: str = ""  # further information for the user
    current: bool = False
    kind: str = ""  # "input" or "output" for a device


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours if there are any."""
    whole = int(seconds)
    minutes = f"{whole // 60 % 60}:{whole % 60:02}"
    return f"{whole // 3600}:{minutes:0>5}" if whole >= 3600 else minutes


def stretch_in_words(speed: float, key: float) -> str:
    """Return speed (a factor) and key (semitones) of a played file in words; "" as recorded."""
    words = [f"speed {100 * speed:.0f} %"] if speed != 1.0 else []
    return ", ".join([*words, f"key {key:+g}"] if key else words)


class Player(Protocol):
    """Running session, for the view."""

    controls: Controls

    @property
    def title(self) -> str:
        """Return input -> output as text."""

    @property
    def hop_budget_us(self) -> float:
        """Return the maximum duration of a hop in us before the next one comes."""

    def stats(self) -> dict[str, Any]:
        """Return the result of `Session.stats`: counters, levels, states. Called 30 times per second."""

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops by duration, in bins of `rtsep.audio.rings.HISTOGRAM_STEP_NS`."""

    def newest(self) -> Spectrum | None:
        """Return new data since the last call, None for nothing; called 30 times per second."""

    def end(self) -> None:
        """Request the end of the session and return at once."""

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session has ended, after at most `timeout` seconds (None: no limit)."""

    # --- slow methods, called on a worker's thread ------------------------------------------------

    def start_recording(self) -> str:
        """Start a take; return its folder."""

    def stop_recording(self) -> str:
        """End the take; return its files as text."""

    def pause(self) -> str:
        """Pause or continue the played file; return a line for the user, "" for none."""

    def skip(self, seconds: float) -> str:
        """Move by this many seconds in the played file; return a line for the user, "" for none."""

    def change_speed(self, by: float) -> str:
        """Play the file faster by so much of the recorded speed; return the speed in words."""

    def change_key(self, by: float) -> str:
        """Play the file higher by so many semitones; return the key in words."""

    def loop_here(self) -> str:
        """Start a loop here, end it here, or remove it; return a line for the user."""

    def presets(self) -> list[Choice]:
        """Return the presets."""

    def presets_remark(self) -> str:
        """Return a remark about that list, "" for none."""

    def recall_preset(self, name: str) -> None:
        """Set the controls to the values of preset `name`."""

    def save_preset(self, name: str) -> None:
        """Save the controls as preset `name`, replacing an existing one."""

    def models(self) -> list[Choice]:
        """Return the models."""

    def switch_model(self, name: str) -> None:
        """Switch to another model."""

    def devices(self) -> list[Choice]:
        """Return the current inputs and outputs."""

    def devices_remark(self) -> str:
        """Return a remark about that list, "" for none."""

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Switch to another input or output."""
