"""A private PulseAudio daemon for one test, with null sinks and a microphone; gone with the test.

Players and recorders are `pacat` and `parec`: independent clients. Home and runtime folder are private.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from tests.e2e.jackserver import die_with_parent
from tests.waiting import until

RATE = 44100
SPEAKERS, MICROPHONE = "speakers", "microphone"
_PLUG = "plug"  # null sink behind the microphone: what is played there is what it captures
_SPEC = f"format=float32le rate={RATE} channels=2"


class PulseServer:
    """A daemon with the sink SPEAKERS and the source MICROPHONE as defaults, float samples throughout."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rtsep-pa-"))  # short: sockets lie in it
        for name in ("run", "home"):
            (self._folder / name).mkdir(mode=0o700)
        self._children: list[subprocess.Popen[bytes]] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which a client's process finds this server and no other, and no JACK server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "DBUS_"))}
        return kept | {
            "HOME": str(self._folder / "home"),
            "XDG_RUNTIME_DIR": str(self._folder / "run"),
            "XDG_CONFIG_HOME": str(self._folder / "home" / "config"),
            "JACK_DEFAULT_SERVER": "rtsep-test-none",
            "JACK_NO_START_SERVER": "1",
        }

    def start(self) -> None:
        """Start (again) and wait until clients can come."""
        modules = [
            "module-native-protocol-unix",
            self._sink(SPEAKERS),
            self._sink(_PLUG),
            f"module-remap-source master={_PLUG}.monitor source_name={MICROPHONE} "
            f"source_properties=device.description={MICROPHONE}",
        ]
        loads = [part for name in modules for part in ("-L", name)]
        self._daemon = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
             "--disallow-exit=no", "--log-target=stderr", *loads],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        until(lambda: MICROPHONE in self.listing("sources"), "a PulseAudio daemon should start")
        self.control("set-default-sink", SPEAKERS)
        self.control("set-default-source", MICROPHONE)

    @staticmethod
    def _sink(name: str, rate: int = RATE) -> str:
        spec = _SPEC.replace(f"rate={RATE}", f"rate={rate}")
        return f"module-null-sink sink_name={name} {spec} sink_properties=device.description={name}"

    def stop(self) -> None:
        """Kill the daemon, as a crash does."""
        assert self._daemon
        self._daemon.kill()
        self._daemon.wait()

    def control(self, *words: str) -> str:
        """Run `pactl`; return its output, "" if it fails."""
        done = subprocess.run(["pactl", *words], env=self.environment, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def listing(self, what: str) -> str:
        """Return the lines of `pactl list short` for "sinks", "sources", "sink-inputs" ..."""
        return self.control("list", "short", what)

    def add_sink(self, name: str, rate: int = RATE) -> str:
        """Add a null sink; return the number of its module."""
        return self.control("load-module", *self._sink(name, rate).split(" ")).strip()

    def remove_sink(self, name: str) -> None:
        """Take a sink away, as a plug that is pulled does."""
        for line in self.listing("modules").splitlines():
            if f"sink_name={name} " in line:
                self.control("unload-module", line.split("\t")[0])

    def record(self, sink: str = SPEAKERS) -> Recorder:
        """Record what `sink` plays, from now on."""
        return self.record_source(f"{sink}.monitor")

    def record_source(self, source: str) -> Recorder:
        """Record `source`, from now on."""
        target = self._folder / f"{len(self._children)}.raw"
        child = self._client("parec", "-d", source, stdout=target)
        until(lambda: "parec" in self.control("list", "source-outputs"), "a recorder should be there")
        return Recorder(child, target)

    def play_into_microphone(self, sound: NDArray[np.float32]) -> None:
        """Let the microphone capture `sound` [frames, 2]."""
        self.play_on(_PLUG, sound)

    def play_on(self, sink: str, sound: NDArray[np.float32]) -> None:
        """Let a player play `sound` [frames, 2] on `sink`."""
        source = self._folder / f"{len(self._children)}.play"
        source.write_bytes(np.ascontiguousarray(sound).tobytes())
        self._client("pacat", "-d", sink, stdin=source)

    def _client(
        self, program: str, *words: str, stdin: Path | None = None, stdout: Path | None = None
    ) -> subprocess.Popen[bytes]:
        spec = ["--format=float32le", f"--rate={RATE}", "--channels=2", "--latency-msec=30"]
        child = subprocess.Popen(
            [program, *words, *spec],
            stdin=stdin.open("rb") if stdin else subprocess.DEVNULL,
            stdout=stdout.open("wb") if stdout else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=self.environment, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._children.append(child)
        return child

    def remove(self) -> None:
        """End all that was started."""
        for child in (*self._children, self._daemon):
            if child and child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Recorder:
    """A running `parec`."""

    def __init__(self, child: subprocess.Popen[bytes], target: Path) -> None:
        self._child, self._target = child, target

    @property
    def sound(self) -> NDArray[np.float32]:
        """The sound recorded so far, [frames, 2]."""
        raw = self._target.read_bytes()
        return np.frombuffer(raw[: len(raw) // 8 * 8], np.float32).reshape(-1, 2)

    def end(self) -> NDArray[np.float32]:
        """Stop it; return all that was recorded."""
        self._child.send_signal(signal.SIGINT)
        self._child.wait(10)
        return self.sound


def share_found(wanted: NDArray[np.float32], sound: NDArray[np.float32], piece: int = RATE // 10) -> float:
    """Return the share of the pieces of `wanted` [frames, channels] that are in `sound`, to a bit or two.

    The search for a piece starts at the end of the last piece that was found. A busy server may have lost
    frames since then, or added silence to `wanted`: the next piece may lie later or earlier than expected.
    """
    found, end = 0, 0
    pieces = [wanted[at : at + piece] for at in range(0, len(wanted) - piece, piece)]
    for part in pieces:
        at = _find(part, sound, end)
        if at is not None:
            end = at + piece
            found += 1
    return found / len(pieces)


def differs(wanted: NDArray[np.float32], sound: NDArray[np.float32], piece: int = RATE // 10) -> str:
    """Tell for each piece of `wanted` where `sound` is most like it, at what gain, and what is left then."""
    lines = []
    for at in range(0, len(wanted) - piece, piece):
        part = wanted[at : at + piece, 0].astype(np.float64)
        like = fftconvolve(sound[:, 0], part[::-1], mode="valid")
        found = int(np.argmax(np.abs(like)))
        there = sound[found : found + piece, 0].astype(np.float64)
        gain = part @ there / max(there @ there, 1e-12)
        left = np.sqrt(np.mean((part - gain * there) ** 2))
        lines.append(f"{at}: at {found - at:+}, gain {gain:.4f}, left {left:.2g} of {part.std():.2g}")
    return "; ".join(lines)


def _find(part: NDArray[np.float32], sound: NDArray[np.float32], near: int) -> int | None:
    """Return the first frame at or after `near` from which `part` lies in `sound`."""
    loudest = int(np.argmax(np.abs(part[:, 0])))
    like = np.flatnonzero(np.abs(sound[:, 0] - part[loudest, 0]) < 1e-6) - loudest
    for at in like[like >= near]:
        candidate = sound[at : at + len(part)]
        if len(candidate) == len(part) and np.abs(candidate - part).max() < 1e-6:
            return int(at)
    return None
