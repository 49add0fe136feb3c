"""A bus of a DAW (ecasound here) goes out to rtsep and comes back as two stereo returns.

The DAW captures its own output: a loop in JACK's graph, opened by delaying one connection by a period. How
much that and the DAW itself add is measured with a cable in rtsep's place.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.e2e.exact import ATTEMPTS, SUM_TOLERANCE, assert_equal, best_shift, delayed, music, no_clean_take
from tests.e2e.liveprocess import faults
from tests.waiting import PATIENCE_S, until

pytestmark = [
    pytest.mark.jack,
    pytest.mark.skipif(
        shutil.which("ecasound") is None, reason="no ecasound here (apt-get install ecasound)"
    ),
]

FRAMES = 88_200


class Daw:
    """ecasound with a track that plays `song` to `send_1`, `send_2` and one that records `return_1` ... ."""

    def __init__(self, server, folder: Path, returns: int) -> None:
        self._recording, self._returns = folder / "returns.wav", returns
        self._recording.unlink(missing_ok=True)
        song = folder / "song.wav"
        soundfile.write(song, music(FRAMES), server.rate, subtype="FLOAT")
        seconds = FRAMES / server.rate + 0.5
        play = f"-f:f32_le,2,{server.rate} -a:send -i:{song} -o:jack_generic,send"
        record = f"-f:f32_le,{returns},{server.rate} -a:return -i:jack_generic,return -o:{self._recording}"
        jack = f"-c -z:nodb -b:{server.period} -G:jack,daw,notransport -t:{seconds}"
        self._process = subprocess.Popen(
            ["ecasound", *jack.split(), *play.split(), *record.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=server.environment,
        )
        self._tell("cs-connect", "engine-launch")

    def _tell(self, *commands: str) -> None:
        assert self._process.stdin
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()

    def play(self) -> tuple[NDArray[np.float32], int]:
        """Play the song; return the recorded sound and the number of reported xruns."""
        self._tell("start")
        until(lambda: self._recorded() >= FRAMES, "the song should have been recorded")
        said, _ = self._process.communicate("stop\nquit\n", PATIENCE_S)
        sound, _ = soundfile.read(self._recording, dtype="float32", always_2d=True)
        return sound, said.lower().count("xrun")

    def _recorded(self) -> int:
        """Return how many frames are in the file; its header may say so at the end only."""
        assert self._process.poll() is None, "ecasound has ended"
        return self._recording.stat().st_size // (4 * self._returns) if self._recording.exists() else 0

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start_daw(tmp_path, request):
    def start(server, player_recorder, returns: int) -> Daw:
        daw = Daw(server, tmp_path, returns)
        request.addfinalizer(daw.kill)
        until(
            lambda: len(player_recorder.ports("daw")) >= 2 + returns, f"ports: {player_recorder.all_ports()}"
        )
        return daw

    return start


def delay_of_a_cable(server, player_recorder, start_daw) -> int:
    """Return the frames from send to return with nothing between."""
    for _ in range(ATTEMPTS):
        daw = start_daw(server, player_recorder, 2)
        player_recorder.connect(("daw:send_1", "daw:return_1"), ("daw:send_2", "daw:return_2"))
        sound, xruns = daw.play()
        delay = best_shift(sound[:FRAMES], music(FRAMES))
        length = min(len(sound), FRAMES)
        if xruns == 0 and np.array_equal(sound[:length], delayed(music(FRAMES), delay, length)):
            return delay
    no_clean_take(server.period / server.rate, "ecasound itself is not exact here")


@pytest.mark.parametrize("period", [256, 64])
def test_the_returns_add_up_to_the_bus(start_rig, start_daw, period):
    rig = start_rig("--out", "both", "--no-connect", period=period)
    cable = delay_of_a_cable(rig.server, rig.player_recorder, start_daw)
    tried = []
    for _ in range(ATTEMPTS):
        daw = start_daw(rig.server, rig.player_recorder, 4)
        rig.player_recorder.connect(
            ("daw:send_1", "rtsep:in_0"),
            ("daw:send_2", "rtsep:in_1"),
            ("rtsep:vocals_L", "daw:return_1"),
            ("rtsep:vocals_R", "daw:return_2"),
            ("rtsep:instrumental_L", "daw:return_3"),
            ("rtsep:instrumental_R", "daw:return_4"),
        )
        before = rig.live.fresh()
        sound, xruns = daw.play()
        lost = faults(rig.live.fresh()) - faults(before)
        if xruns == 0 and lost == 0:
            break
        tried.append(f"{xruns} xruns of the DAW, {lost} of rtsep")
    else:
        no_clean_take(period / rig.server.rate, tried)
    assert len(sound) >= FRAMES
    expected = delayed(music(FRAMES), cable + rig.latency, len(sound))
    assert_equal(sound[:, :2] + sound[:, 2:], expected, SUM_TOLERANCE, "vocals + instrumental")
    assert sound[:, :2].any()
    assert sound[:, 2:].any()
