"""A session that plays on the box while faults happen, and the four questions that are asked after each.

1. Did the audio go on? Every frame that the box was given is the noise that it gave, at the declared
   latency to the sample: both stems add up to it, whether a model parts them or not. Where the hop loop was
   late, silence takes the place of frames, as many as `underrun_frames` has counted; no frame is wrong.
2. Was it counted and reported? Counters have grown by it, and one line reports it.
3. Did it come back? In the end the session plays, and the model parts again.
4. Is anything left behind? No process, thread, handle or file in memory more than before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import rtsep
from rtsep.session.options import LiveOptions
from tests.e2e.exact import SUM_TOLERANCE
from tests.faults import leftovers
from tests.faults.box import RATE, Box, BoxStream
from tests.faults.leftovers import Leftovers
from tests.waiting import until

PATIENCE_S = 120.0
"""For a fault to be over. A model that starts again takes a second or two of a free core."""

TAKES = 3
"""A machine that holds the hop loop up for more than a second loses input: then the fault happens again."""

LEAVING_S = 10.0
"""Time that a thread or process may take to end on request."""

SLACK = 512  # frames

SETTLED = round(0.2 * RATE)
"""Frames of parted sound, without a gap, that show that all is well."""

OF_THE_MACHINE = re.compile(
    r"came late: |the output had gaps|input was lost|the sound system lost audio|^stopped for|has room for"
)
"""A busy or full machine has reasons of its own for these lines; whether they are due is tested elsewhere."""

PARTED_TOLERANCE = 1e-5
FADE_FRAMES = round(0.05 * RATE) + 8192


class Received(NamedTuple):
    """A part of the output that the box has received, a flag a frame."""

    parted: NDArray[np.bool_]  # half of it is the voice
    dry: NDArray[np.bool_]  # all of it is on the vocals
    exact: NDArray[np.bool_]  # both stems add up to the noise
    silent: NDArray[np.bool_]  # nothing at all


class Mark(NamedTuple):
    """A moment of a session in a rig."""

    stream: BoxStream
    frame: int  # of that stream
    stats: dict[str, Any]
    lines: int
    leftovers: Leftovers


class FaultRig:
    """One session on one box. `said` are the lines for the user so far."""

    def __init__(self, box: Box, model: Path) -> None:
        self.box, self.model = box, model
        self.said: list[str] = []
        self.leftovers_before = leftovers.look()
        # The slack is given: by measure, a busy machine would have another one after some of the faults.
        chosen = LiveOptions(input="box", out="both", out_device="box", subtype="FLOAT", slack=SLACK)
        self.session = rtsep.Session.of(chosen, str(model), notify=self.said.append)

    def __enter__(self) -> FaultRig:
        self.session.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    @property
    def stats(self) -> dict[str, Any]:
        """The session's figures."""
        return self.session.stats()

    @property
    def model_pid(self) -> int:
        """The process id of the model."""
        return int(self.stats["model"]["pid"])

    # --- the sound ---------------------------------------------------------------------------------------

    def received(self, stream: BoxStream, first: int, last: int) -> Received:
        """Return what `stream` was given from frame `first` to `last`."""
        given = stream.given[first:last]
        expected = self.box.expected(first - self.session.latency, last - first)
        vocals, instrumental = given[:, :2], given[:, 2:]
        return Received(
            parted=_all_within(vocals - expected / 2, PARTED_TOLERANCE),
            dry=_all_within(vocals - expected, SUM_TOLERANCE) & _all_within(instrumental, 0.0),
            exact=_all_within(vocals + instrumental - expected, SUM_TOLERANCE),
            silent=_all_within(given, 0.0),
        )

    def plays_well(self) -> bool:
        """Tell whether it plays, and has parted all of the last moment."""
        if self._state != "playing" or not self.box.streams:
            return False
        played = self.box.stream.played
        if played < self.session.latency + FADE_FRAMES + SETTLED:
            return False
        return bool(self.received(self.box.stream, played - SETTLED, played).parted.all())

    def settle(self) -> None:
        """Wait until it plays on, and well."""
        self.play_for(0.0)
        until(self.plays_well, f"it should play, parted; said {self.said}", PATIENCE_S)

    def play_for(self, seconds: float) -> None:
        """Wait until the box has played for so long, on whatever stream."""
        begun = sum(stream.played for stream in self.box.streams)
        until(
            lambda: (
                self._state and sum(stream.played for stream in self.box.streams) > begun + seconds * RATE
            ),
            "the box should play on",
            PATIENCE_S,
        )

    @property
    def _state(self) -> str:
        """The session's state. Raises what has ended it."""
        state = str(self.stats["state"])
        if state == "ended":
            self.session.close()  # raises what it has ended by
            raise AssertionError(f"it has ended; said {self.said}")
        return state

    # --- the questions -----------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """Wait until it plays well, and note how all is."""
        self.settle()
        stream = self.box.stream
        return Mark(stream, stream.played, self.stats, len(self.said), leftovers.look())

    def ask(
        self, before: Mark, counted: Sequence[str], said: Sequence[str], dry: bool, new_stream: bool
    ) -> None:
        """Ask the four questions about what has happened since `before`.

        `counted` are the counters that must have grown, `said` one pattern for each line that must have been
        said. `dry`: the model was out, so the dry sound was audible. `new_stream`: the box was opened again.
        """
        self.settle()  # the third question
        after = self.stats
        self._ask_about_the_sound(before, dry, new_stream)
        for name in counted:
            assert value_of(after, name) > value_of(before.stats, name), f"{name} has not grown"
        lines = self.said[before.lines :]
        for pattern in said:
            found = [line for line in lines if re.search(pattern, line)]
            assert len(found) == 1, f"one line that fits {pattern!r} should have been said: {lines}"
            assert "\n" not in found[0]
            lines.remove(found[0])
        others = [line for line in lines if not OF_THE_MACHINE.search(line)]
        assert not others, f"nothing else should have been said: {others}"
        left = nothing_more_than(before.leftovers)
        assert not left, f"left behind: {left}"

    def _ask_about_the_sound(self, before: Mark, dry: bool, new_stream: bool) -> None:
        streams = self.box.streams[self.box.streams.index(before.stream) :]
        assert (len(streams) > 1) == new_stream, f"{len(streams) - 1} streams were opened"
        dry_frames = silent_frames = 0
        for number, stream in enumerate(streams):
            played, first = stream.played, before.frame if number == 0 else 0
            if number > 0:  # it fades in with the first sound of the model
                first = self.session.latency + FADE_FRAMES
            if number < len(streams) - 1:  # it may fade out, in the middle of a call
                played -= FADE_FRAMES
            if played <= first:
                continue
            received = self.received(stream, first, played)
            wrong = np.flatnonzero(~received.exact & ~received.silent)
            assert not len(wrong), (
                f"{len(wrong)} of {len(received.exact)} frames are wrong, from {first + wrong[0]} to "
                f"{first + wrong[-1]}, with a latency of {self.session.latency}"
            )
            dry_frames += int(received.dry.sum())
            silent_frames += int(received.silent.sum())
        missed = self.stats["underrun_frames"] - before.stats["underrun_frames"]
        assert silent_frames <= missed, f"{silent_frames} silent frames, {missed} of them counted"
        if not new_stream:  # else some of them belong to the end of one, or to the beginning of another
            assert silent_frames == missed, f"{silent_frames} silent frames, {missed} counted"
        assert dry_frames > 0 or not dry, "the dry sound should have been audible"
        if self.stats["late_masks"] == before.stats["late_masks"]:
            assert dry_frames == 0, "the dry sound was audible, and no mask was late"

    def put_to(
        self,
        happens: Callable[[FaultRig], None],
        counted: Sequence[str] = (),
        said: Sequence[str] = (),
        dry: bool = False,
        new_stream: bool = False,
    ) -> None:
        """Let a fault happen, and `ask` about it; again if the machine has made one of its own beside it."""
        for take in range(TAKES):
            before = self.mark()
            try:
                happens(self)
                self.ask(before, counted, said, dry, new_stream)
                return
            except AssertionError:
                if take == TAKES - 1 or not self.was_overloaded(before):
                    raise

    def was_overloaded(self, since: Mark) -> bool:
        """Tell whether the machine has stopped the hop loop for so long that input was overwritten."""
        return bool(self.stats["overruns"] > since.stats["overruns"])


def nothing_more_than(before: Leftovers) -> str:
    """Wait until there is no more than `before`; return what there is still more of after a while."""
    over = time.monotonic() + LEAVING_S
    while more := leftovers.look().more_than(before):
        if time.monotonic() > over:
            return more
        time.sleep(0.05)
    return ""


def value_of(stats: dict[str, Any], name: str) -> float:
    """Return a figure by its path, such as `model.restarts`."""
    found: Any = stats
    for part in name.split("."):
        found = found[part]
    return float(found)


def _all_within(difference: NDArray[np.float32], tolerance: float) -> NDArray[np.bool_]:
    """Return for each frame whether all of its channels are within."""
    return np.asarray(np.abs(difference).max(axis=1) <= tolerance)
