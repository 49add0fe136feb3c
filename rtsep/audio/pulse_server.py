"""The PulseAudio server seen from outside, through pulsectl: its version, sinks, sources and defaults.

PipeWire's replacement for it (pipewire-pulse) works in the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rtsep.realtime.foreign_calls import within

LOOK_PATIENCE_S = 3.0
"""Time limit for an answer of the server in seconds; a slower one is taken to hang."""

_CALLS = "calls to PulseAudio"

MONITOR_SUFFIX = ".monitor"


@dataclass(frozen=True)
class PulseEnd:
    """Sink or source of the server."""

    index: int  # the server's number
    name: str  # the server's permanent name
    title: str  # name for people
    rate: int  # Hz
    positions: tuple[int, ...]  # positions of its channels, in the server's numbering

    @property
    def is_monitor(self) -> bool:
        """Return whether it is a source that captures the playback of a sink."""
        return self.name.endswith(MONITOR_SUFFIX)


@dataclass(frozen=True)
class PulseServer:
    """Properties of a server."""

    name: str  # "PulseAudio 16.1" or "PulseAudio (on PipeWire 0.3.65)"
    sinks: tuple[PulseEnd, ...]
    sources: tuple[PulseEnd, ...]
    default_sink: str  # names, possibly of missing devices
    default_source: str


@contextlib.contextmanager
def connected(client: str = "rtsep-query") -> Iterator[Any]:
    """Yield a connected `pulsectl.Pulse`; raise `OSError` without libpulse, `PulseError` without a server."""
    import pulsectl

    class Pulse(pulsectl.Pulse):  # type: ignore[misc]
        """Connection with answers that stay valid.

        Pulsectl copies plain fields, but `sample_spec` still points at memory of libpulse, which is reused
        for the next sink: all sinks would have the rate of the last one.
        """

        def _pulse_info_cb(self, kind: Any, found: list[Any], *rest: Any) -> None:
            count = len(found)
            super()._pulse_info_cb(kind, found, *rest)
            for answer in found[count:]:
                if hasattr(answer, "sample_spec"):
                    answer.sample_spec = type(answer.sample_spec).from_buffer_copy(answer.sample_spec)

    with Pulse(client, connect=False) as pulse:
        pulse.connect(autospawn=False)
        yield pulse


def find_server() -> PulseServer | None:
    """Return the running server, or None if none answers (or libpulse is missing)."""
    found: list[PulseServer] = []

    def look() -> None:
        with contextlib.suppress(Exception), connected() as pulse:  # no server, or it has just ended
            found.append(_read(pulse))

    within(LOOK_PATIENCE_S, look, _CALLS)
    return found[0] if found else None


def succeeds(call: Callable[..., Any], *arguments: Any) -> bool:
    """Make a call of pulsectl; return False if the server refuses it, as for objects that no longer exist."""
    import pulsectl

    try:
        call(*arguments)
    except pulsectl.PulseOperationFailed:
        return False
    return True


class Changes:
    """Waits for changes of sinks, players and defaults, on a connected `pulsectl.Pulse`."""

    def __init__(self, pulse: Any) -> None:
        import pulsectl

        self._pulse, self._stop, self._missed = pulse, pulsectl.PulseLoopStop, False
        pulse.event_callback_set(self._note)
        pulse.event_mask_set("sink", "sink_input", "server")

    def _note(self, event: Any) -> None:
        self._missed = True  # it may come during another call
        raise self._stop

    def wait(self, seconds: float) -> None:
        """Return after a change since the last call, or after `seconds`; raise if the server has ended."""
        if not self._missed:
            self._pulse.event_listen(timeout=seconds)
        self._missed = False

    def wake(self) -> None:
        """Make `wait` return now. Any thread may call this."""
        self._missed = True
        self._pulse.event_listen_stop()


def move(playback: bool, stream: int, device: str) -> bool:
    """Move a stream to the sink (`playback`) or source called `device`; return whether that worked."""
    done: list[bool] = []

    def act() -> None:
        with contextlib.suppress(Exception), connected() as pulse:  # no server, or it has just ended
            ends = pulse.sink_list() if playback else pulse.source_list()
            place = pulse.sink_input_move if playback else pulse.source_output_move
            done.extend(succeeds(place, stream, end.index) for end in ends if end.name == device)

    within(LOOK_PATIENCE_S, act, _CALLS)
    return any(done)


def _read(pulse: Any) -> PulseServer:
    about = pulse.server_info()
    sinks = tuple(_end(sink) for sink in pulse.sink_list())
    name = about.server_name
    if name == "pulseaudio":
        name = f"PulseAudio {about.server_version}"
    return PulseServer(
        name=name,
        sinks=sinks,
        sources=tuple(_end(source) for source in pulse.source_list()),
        default_sink=about.default_sink_name or "",
        default_source=about.default_source_name or "",
    )


def _end(raw: Any) -> PulseEnd:
    return PulseEnd(
        index=int(raw.index),
        name=raw.name,
        title=raw.description or raw.name,
        rate=int(raw.sample_spec.rate),
        positions=tuple(raw.channel_list_raw),
    )
