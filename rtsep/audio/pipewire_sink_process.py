"""The process of the virtual sink on PipeWire, which reports the latency of its sound.

    TASK        a line of `rtsep.audio.pipewire_sink.TASKS`

The sink is one end of a `pw-loopback`. Its other end leads into the ports of a JACK client that plays
nothing: PipeWire reports the latency of these ports to players of the sink. The process reads lines of
`rtsep.audio.pipewire_sink.COMMANDS` from standard input, and ends with it, the sink too. It also ends with
PipeWire or `pw-loopback`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from typing import Any

from rtsep.audio.pipewire_sink import COMMANDS, FAILED, LOOPBACK, TASKS, Make
from rtsep.audio.pipewire_sink import library as find_library
from rtsep.realtime.child_process import end_with_parent

LOOK_S = 0.1

_NO_START_SERVER = 0x01  # JackNoStartServer
_IS_INPUT = 0x1  # JackPortIsInput
_AUDIO = b"32 bit float mono audio"
_PLAYBACK = 1  # JackPlaybackLatency
_POSITIONS = ("FL", "FR")


class _Range(ctypes.Structure):
    _fields_ = (("min", ctypes.c_uint32), ("max", ctypes.c_uint32))


_OnLatency = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)
_OnShutdown = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LatentEnd:
    """JACK client with inputs that report a latency. It has no process callback."""

    def __init__(self, library: str, name: str) -> None:
        """Join PipeWire's graph. Raise `OSError` if that fails."""
        self._jack = ctypes.CDLL(library)
        self._jack.jack_client_open.restype = ctypes.c_void_p
        self._jack.jack_port_register.restype = ctypes.c_void_p
        self._jack.jack_port_name.restype = ctypes.c_char_p
        status = ctypes.c_int()
        self._client = ctypes.c_void_p(
            self._jack.jack_client_open(name.encode(), _NO_START_SERVER, ctypes.byref(status))
        )
        if not self._client:
            raise OSError("PipeWire refuses the client")
        self._ports = [
            ctypes.c_void_p(self._jack.jack_port_register(self._client, side.encode(), _AUDIO, _IS_INPUT, 0))
            for side in _POSITIONS
        ]
        self._requested, self._reported, self._seconds = 1, 0, 0.0
        self._period = 0  # frames
        self.lost = False
        # PipeWire's libjack makes both calls while it holds a lock that setting a latency needs: only record
        # them here.
        self._callbacks = (_OnLatency(self._note), _OnShutdown(self._shut_down))
        on_latency, on_shutdown = self._callbacks
        self._jack.jack_set_latency_callback(self._client, on_latency, None)
        self._jack.jack_on_shutdown(self._client, on_shutdown, None)
        if self._jack.jack_activate(self._client):
            raise OSError("PipeWire refuses to activate the client")

    def _note(self, mode: int, _: Any) -> None:
        self._requested += mode == _PLAYBACK

    def _shut_down(self, _: Any) -> None:
        self.lost = True

    def report_latency(self, seconds: float) -> None:
        """Report this latency in seconds from the next `tend` on."""
        self._seconds = seconds
        self._requested += 1

    def tend(self, source: str) -> None:
        """Connect to the ports of the client `source` if needed, and report the latency again."""
        for port, side in zip(self._ports, _POSITIONS, strict=True):
            if not self._jack.jack_port_connected(port):
                there = f"{source}:output_{side}".encode()
                if self._jack.jack_connect(self._client, there, self._jack.jack_port_name(port)) == 0:
                    self._requested += 1
        period = self._jack.jack_get_buffer_size(self._client)
        if self._requested != self._reported or period != self._period:
            self._period = period
            self._reported = self._requested
            frames = round(self._seconds * self._jack.jack_get_sample_rate(self._client))
            # The path through `pw-loopback` takes a period, which is reported; the path of the capture is
            # not.
            frames = max(0, frames - self._period)
            for port in self._ports:
                self._jack.jack_port_set_latency_range(port, _PLAYBACK, ctypes.byref(_Range(frames, frames)))


def _begin_loopback(task: Make) -> subprocess.Popen[bytes]:
    """Start the `pw-loopback` that provides the sink; it is killed together with this process."""
    sink = {
        "media.class": "Audio/Sink", "node.name": task.name, "node.description": task.title,
        "audio.position": ",".join(_POSITIONS), **task.properties,
    }  # fmt: skip
    # Fixed names, whichever of them PipeWire's libjack uses. Only rtsep connects it, and mixers do not list
    # it.
    end = dict.fromkeys(("node.name", "node.description", "node.nick"), task.end) | {
        "media.class": "Stream/Output/Audio/Internal", "node.autoconnect": "false",
        "audio.position": ",".join(_POSITIONS),
    }  # fmt: skip

    return subprocess.Popen(
        [LOOPBACK, "-i", _written(sink), "-o", _written(end)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent,
    )  # fmt: skip


def _written(properties: dict[str, str]) -> str:
    """Return properties in the syntax of PipeWire's tools."""
    quoted = (f'{name} = "{value}"' for name, value in properties.items())
    return "{ " + " ".join(quoted) + " }"


def serve(task: Make) -> int:
    """Provide the sink until standard input closes; return the exit code."""
    library = find_library()
    if library is None:
        return FAILED
    loopback = _begin_loopback(task)
    try:
        end = LatentEnd(library, task.end + "-latency")
        rest = b""
        os.set_blocking(0, False)
        while loopback.poll() is None and not end.lost:
            end.tend(task.end)
            if not select.select([0], [], [], LOOK_S)[0]:
                continue
            with contextlib.suppress(BlockingIOError):
                read = os.read(0, 4096)
                if not read:  # the parent has ended, or asks for the end
                    return 0
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    end.report_latency(COMMANDS.decode(line).seconds)
        return FAILED
    except OSError:
        return FAILED
    finally:
        loopback.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            loopback.wait(1.0)


def main() -> int:
    """Run the task of the command line; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session handles Ctrl-C, and then ends this process
    code = serve(TASKS.decode(sys.argv[1]))
    os._exit(code)  # a client of a dead server can keep the process from ending
