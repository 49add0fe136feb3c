"""Delay of a film's sound behind its picture: mpv plays a film of clicks, and a recorder records them.

mpv shows a picture at the time of its clock, which is that of the sound, less the latency that the sound
server reports. So the picture of a click and its sound are apart by what the server reports wrongly. The
recorder is late as well, by the same time in each measurement: only a difference of two is meaningful.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.e2e.jackserver import die_with_parent
from tests.e2e.pulseserver import PulseServer
from tests.waiting import until

PROGRAMS = ("mpv", "ffmpeg", "parec")
RATE = 48000
EVERY_S, LONG_S = 0.7, 120.0  # between clicks; the film
_LOUD = 0.2
_TONE_HZ, _CLICK_S = 1000.0, 0.02
_CHUNK = 480 * 4  # bytes: what is read at once


def make_film(path: Path) -> None:
    """Write a film whose sound clicks every EVERY_S, from EVERY_S on."""
    times = np.arange(int(LONG_S * RATE)) / RATE
    since = times % EVERY_S
    loud = (since < _CLICK_S) & (times >= EVERY_S)
    sound = np.where(loud, 0.7 * np.sin(2 * np.pi * _TONE_HZ * since), 0.0).astype(np.float32)
    with_sound = path.with_suffix(".wav")
    soundfile.write(with_sound, np.stack([sound, sound], 1), RATE)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", f"testsrc=s=64x48:r=25:d={LONG_S}",
         "-i", with_sound, "-c:v", "mpeg4", "-c:a", "pcm_s16le", path],
        check=True,
    )  # fmt: skip


class _Listener:
    """Records the sound of a sink with the time of each frame."""

    def __init__(self, server: PulseServer, sink: str) -> None:
        self._process = subprocess.Popen(
            ["parec", "-d", f"{sink}.monitor", "--raw", "--format=float32le", f"--rate={RATE}",
             "--channels=1", "--latency-msec=5"],
            env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        self._blocks: list[NDArray[np.float32]] = []
        self._begun: list[float] = []  # when the first frame came, by each block
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        frames = 0
        while content := self._process.stdout.read(_CHUNK):
            block = np.frombuffer(content[: len(content) // 4 * 4], np.float32)
            self._begun.append(time.monotonic() - frames / RATE)
            self._blocks.append(block)
            frames += len(block)

    def clicks(self) -> NDArray[np.float64]:
        """Return when each click came so far."""
        sound = np.concatenate([np.zeros(1, np.float32), *self._blocks])
        loud = np.flatnonzero(np.abs(sound) > _LOUD)
        if not len(loud):
            return np.zeros(0)
        first = loud[np.diff(loud, prepend=-RATE) > RATE * EVERY_S / 2]
        return np.asarray(first / RATE + np.median(self._begun))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


class Film:
    """A film of `make_film` that mpv plays on the default sink, while a recorder captures `sink`."""

    def __init__(self, server: PulseServer, film: Path, sink: str, folder: Path) -> None:
        self._listener = _Listener(server, sink)
        path = folder / "mpv.sock"
        with suppress(FileNotFoundError):
            path.unlink()
        self._mpv = subprocess.Popen(
            ["mpv", "--no-config", "--no-terminal", "--vo=null", "--ao=pulse", f"--input-ipc-server={path}",
             str(film)],
            env=server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0, "mpv should listen")
        self._lines = self._socket.makefile("r")

    def _get(self, name: str) -> float | None:
        self._socket.sendall(json.dumps({"command": ["get_property", name]}).encode() + b"\n")
        for line in self._lines:
            answer = json.loads(line)
            if "error" in answer and "event" not in answer:
                return answer.get("data")
        return None

    def behind(self, clicks: int) -> float:
        """Return by how many seconds the sound is behind the picture: the median of the next `clicks`.

        What the recorder adds is in it.
        """
        started: list[float] = []  # when the film began, by each look at the clock
        before = len(self._listener.clicks())
        while len(self._listener.clicks()) < before + clicks + 1:
            asked = time.monotonic()
            if (now := self._get("time-pos")) is not None and time.monotonic() - asked < 0.005:
                started.append(asked - now)
            time.sleep(0.02)
        arrivals = self._listener.clicks()[before : before + clicks] - np.median(started)
        late = (arrivals + EVERY_S / 2) % EVERY_S - EVERY_S / 2
        return float(np.median(late))

    def close(self) -> None:
        """End both."""
        self._lines.close()
        self._socket.close()
        self._mpv.kill()
        self._mpv.wait()
        self._listener.close()
