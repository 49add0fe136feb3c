"""A virtual sink in PipeWire's graph that reports its latency, so that players keep video in sync.

A null sink cannot report it: PipeWire gives players the latency of the ports behind their sink. Therefore
rtsep's sink leads into ports with the right latency, which a separate process provides
(`rtsep.audio.pipewire_sink_process`); it ends with this one, and the sink with it. It needs `pw-loopback` and
PipeWire's JACK library. If one of them is missing, a null sink is used.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess

from rtsep.audio.jack_library import choose, pipewire_library, pipewire_runs
from rtsep.realtime.child_process import command_of, environment
from rtsep.realtime.wire import Message, Wire, encode

LOOPBACK = "pw-loopback"
FAILED = 1
"""Exit code of a process without a sink, or without one any more."""

_COMMAND = command_of("rtsep.audio.pipewire_sink_process")
_LEAVE_S = 2.0


class Make(Message, frozen=True):
    """Task: create a stereo sink."""

    name: str  # the server's name of it
    title: str  # name for people
    end: str  # name of the destination of the sink
    properties: dict[str, str]


class Latency(Message, frozen=True):
    """Latency from the sink to the loudspeaker."""

    seconds: float


TASKS: Wire[Make] = Wire(Make)
COMMANDS: Wire[Latency] = Wire(Latency)


def library() -> str | None:
    """Return the name of PipeWire's libjack, None if there is none."""
    if found := pipewire_library():
        return found
    system = choose()
    return system.name if system and system.pipewire else None


def is_possible() -> bool:
    """Return whether such a sink can be created here."""
    return (
        bool(_COMMAND[0]) and pipewire_runs() and shutil.which(LOOPBACK) is not None and library() is not None
    )


class PipeWireSink:
    """Virtual sink. Only one thread may use it at a time."""

    def __init__(self, name: str, title: str, properties: dict[str, str]) -> None:
        """Start to create it; users wait until it exists. Raise `OSError` if that fails."""
        self._reported: float | None = None
        task = encode(Make(name=name, title=title, end=f"{name}-end", properties=properties))
        self._process = subprocess.Popen(
            [*_COMMAND, task], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment(),
        )  # fmt: skip

    @property
    def is_there(self) -> bool:
        """Return whether its process runs: it ends with the sink."""
        return self._process.poll() is None

    def report_latency(self, seconds: float) -> None:
        """Report the latency from the sink to the loudspeaker, in seconds, to players."""
        if seconds == self._reported or not self.is_there:
            return
        assert self._process.stdin
        with contextlib.suppress(OSError):  # it is just ending
            self._process.stdin.write(encode(Latency(seconds)).encode())
            self._process.stdin.flush()
        self._reported = seconds

    def close(self) -> None:
        """Remove the sink."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
