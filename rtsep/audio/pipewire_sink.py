"""A virtual sink in PipeWire's graph that says how long its sound takes, so that a picture stays in step.

A null sink can't say it: it takes no latency from anybody. What a player is told of is the latency of the
ports behind its sink. So our sink leads into ports whose latency is ours: the work of a process of its own
(`rtsep.audio.pipewire_sink_process`), which ends with this one, the sink too. It needs `pw-loopback` and
PipeWire's JACK library. Where one of them is missing, a null sink has to do.
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
"""The exit code of a process that has no sink (any more)."""

_COMMAND = command_of("rtsep.audio.pipewire_sink_process")
_LEAVE_S = 2.0


class Make(Message, frozen=True):
    """The task: make a stereo sink."""

    name: str  # the server's name of it
    title: str  # for people
    end: str  # the name of what it leads into
    properties: dict[str, str]


class Latency(Message, frozen=True):
    """How long it takes from the sink to the ear."""

    seconds: float


TASKS: Wire[Make] = Wire(Make)
COMMANDS: Wire[Latency] = Wire(Latency)


def library() -> str | None:
    """Return the name of PipeWire's libjack, None where there is none."""
    if found := pipewire_library():
        return found
    system = choose()
    return system.name if system and system.pipewire else None


def is_possible() -> bool:
    """Return whether such a sink can be made here."""
    return (
        bool(_COMMAND[0]) and pipewire_runs() and shutil.which(LOOPBACK) is not None and library() is not None
    )


class PipeWireSink:
    """The sink. Used by one thread at a time."""

    def __init__(self, name: str, title: str, properties: dict[str, str]) -> None:
        """Begin to make it; whoever needs it waits until it is there. Raises `OSError`."""
        self._told: float | None = None
        task = encode(Make(name, title, f"{name}-end", properties))
        self._process = subprocess.Popen(
            [*_COMMAND, task], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment(),
        )  # fmt: skip

    @property
    def is_there(self) -> bool:
        """Whether its process runs: it ends when the sink does."""
        return self._process.poll() is None

    def tell(self, seconds: float) -> None:
        """Have players told that it takes so long from the sink to the ear."""
        if seconds == self._told or not self.is_there:
            return
        assert self._process.stdin
        with contextlib.suppress(OSError):  # it ends right now
            self._process.stdin.write(encode(Latency(seconds)).encode())
            self._process.stdin.flush()
        self._told = seconds

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
