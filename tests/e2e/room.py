"""A session that switches models and devices on request, between a player and a recorder."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tests.e2e.exact import ATTEMPTS, best_shift, no_clean_take
from tests.e2e.liveprocess import ROOT, faults
from tests.e2e.rig import STEM_PORTS
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:  # needs libjack
    from tests.e2e.jackserver import JackServer
    from tests.e2e.player_recorder import PlayerRecorder, Take

RATE, PERIOD = 44100, 1024

HEAD_S, SWITCH_S, TAIL_S = 0.7, 40.0, 0.7
"""A take: what plays at first, the most that a switch may take (as the machine has it), what plays then."""

Sound = NDArray[np.float32]


class Hand:
    """The process of `tests.e2e.switching`."""

    def __init__(self, server: JackServer, **arguments: Any) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (until `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.switching", json.dumps(arguments, default=str)],
            cwd=ROOT, env=server.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self.now = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(10)
            self._errors.seek(0)
            raise AssertionError(f"the session has ended with {code}: {self._errors.read()}")
        return json.loads(line)

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        self.now = self._answer()
        return self.now

    def do(self, **order: Any) -> dict[str, Any]:
        """Ask for what cannot be refused."""
        answer = self.ask(**order)
        assert "error" not in answer, answer
        return answer

    @property
    def latency(self) -> int:
        return int(self.now["latency_samples"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe
            pipe.close()


class Room:
    """A server, a session that switches on request, a player and a recorder, connected."""

    def __init__(self, server: JackServer, player_recorder: PlayerRecorder, hand: Hand) -> None:
        self.server, self.player_recorder, self.hand = server, player_recorder, hand
        player_recorder.isolate("rtsep")
        inputs = [port for port in player_recorder.ports("rtsep") if ":in_" in port]
        player_recorder.patch(inputs, [f"rtsep:{name}" for name in STEM_PORTS])

    def cables(self) -> dict[str, list[str]]:
        return {port: self.player_recorder.connections(port) for port in self.player_recorder.ports("rtsep")}

    def take(self, played: Sound, *orders: dict[str, Any]) -> tuple[Take, list[dict[str, Any]]]:
        """Play, and give the orders, HEAD_S before each; return what came back and the answers."""
        begun = threading.Event()
        over: list[int] = []

        def give() -> list[dict[str, Any]]:
            answers = []
            try:
                assert begun.wait(PATIENCE_S), "the take has not begun"
                for order in orders:
                    self.player_recorder.pass_frames(round(HEAD_S * RATE))
                    answers.append(self.hand.ask(**order))
                return answers
            finally:
                over.append(self.player_recorder.recorded + round(TAIL_S * RATE))

        def enough() -> bool:
            begun.set()
            return bool(over) and self.player_recorder.recorded >= over[0]

        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(give)
            try:
                take = self.player_recorder.take(played, 0, enough)
            finally:
                begun.set()
            return take, answers.result()

    def clean_take(
        self, played: Sound, *orders: dict[str, Any], first: dict[str, Any] | None = None
    ) -> tuple[Take, list[dict[str, Any]]]:
        """Return the first take in which nothing was lost or late, and what was answered.

        `first` is the order that leads back to where a take begins.
        """
        tried = []
        for attempt in range(ATTEMPTS):
            if first and attempt > 0:
                self.hand.do(**first)
            before = self.hand.ask()
            take, answers = self.take(played, *orders)
            after = self.hand.ask()
            lost, late = faults(after) - faults(before), after["late_masks"] - before["late_masks"]
            if take.clean and lost == late == 0:
                return take, answers
            tried.append(f"{take.xruns} xruns of the server, {lost} of rtsep, {late} late masks")
        no_clean_take(PERIOD / RATE, tried)

    def close(self) -> None:
        """End all of it; another room may then be opened."""
        self.hand.close()
        self.player_recorder.close()
        self.server.remove()


def long_enough() -> int:
    """Return the frames of a take with one switch, however long that takes."""
    return round((HEAD_S + SWITCH_S + TAIL_S) * RATE)


def place_in(song: Sound, take: Take) -> int:
    """Return which frame of `song` the first frame of a take is, by what the stems add up to."""
    frames = 1 << 15
    returned = np.zeros_like(song)
    returned[:frames] = take.sound[:frames, :2] + take.sound[:frames, 2:]
    return -best_shift(returned, song)
