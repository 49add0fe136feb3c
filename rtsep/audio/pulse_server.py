"""A PulseAudio server seen from outside, through pulsectl: what it is, its sinks and sources, its defaults.

PipeWire's stand-in for it (pipewire-pulse) is one as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rtsep.realtime.foreign_calls import within

LOOK_PATIENCE_S = 3.0
"""A server that has not answered for so long has hung."""

MONITOR_SUFFIX = ".monitor"


@dataclass(frozen=True)
class PulseEnd:
    """A sink or a source."""

    index: int  # the server's number
    name: str  # the server's own, which stays
    title: str  # for people
    rate: int  # Hz
    positions: tuple[int, ...]  # of its channels, as the server numbers them

    @property
    def is_monitor(self) -> bool:
        """Whether it is a source that captures what a sink plays."""
        return self.name.endswith(MONITOR_SUFFIX)


@dataclass(frozen=True)
class PulseServer:
    """What a server says of itself."""

    name: str  # "PulseAudio 16.1" or "PulseAudio (on PipeWire 0.3.65)"
    sinks: tuple[PulseEnd, ...]
    sources: tuple[PulseEnd, ...]
    default_sink: str  # names; of one that is not there, too
    default_source: str


@contextlib.contextmanager
def connected(client: str = "rtsep-query") -> Iterator[Any]:
    """Give a connected `pulsectl.Pulse`; raises `OSError` without libpulse, `PulseError` without a server."""
    import pulsectl

    class Pulse(pulsectl.Pulse):  # type: ignore[misc]
        """A connection whose answers stay valid.

        Pulsectl copies plain fields, but `sample_spec` goes on pointing at memory of libpulse,
        which is used again for the next sink: all of them would have the rate of the last one.
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
    """Return the running server, or None where there is none, or none that answers (or no libpulse)."""
    found: list[PulseServer] = []

    def look() -> None:
        with contextlib.suppress(Exception), connected() as pulse:  # none there, or gone meanwhile
            found.append(_read(pulse))

    within(LOOK_PATIENCE_S, look)
    return found[0] if found else None


def succeeds(call: Callable[..., Any], *arguments: Any) -> bool:
    """Make a call of pulsectl; return False where the server refuses it, as for what has gone meanwhile."""
    import pulsectl

    try:
        call(*arguments)
    except pulsectl.PulseOperationFailed:
        return False
    return True


class Changes:
    """Waits for changes of sinks, of what plays, and of defaults, on a connected `pulsectl.Pulse`."""

    def __init__(self, pulse: Any) -> None:
        import pulsectl

        self._pulse, self._stop, self._missed = pulse, pulsectl.PulseLoopStop, False
        pulse.event_callback_set(self._note)
        pulse.event_mask_set("sink", "sink_input", "server")

    def _note(self, event: Any) -> None:
        self._missed = True  # it may come in the midst of another call
        raise self._stop

    def wait(self, seconds: float) -> None:
        """Return after a change since the last call, or after `seconds`; raises if the server has gone."""
        if not self._missed:
            self._pulse.event_listen(timeout=seconds)
        self._missed = False

    def wake(self) -> None:
        """Let `wait` return now. On any thread."""
        self._missed = True
        self._pulse.event_listen_stop()


def move(playback: bool, stream: int, device: str) -> bool:
    """Move a stream to the sink (`playback`) or source called `device`; return whether it is done."""
    done: list[bool] = []

    def act() -> None:
        with contextlib.suppress(Exception), connected() as pulse:  # none there, or gone meanwhile
            ends = pulse.sink_list() if playback else pulse.source_list()
            place = pulse.sink_input_move if playback else pulse.source_output_move
            done.extend(succeeds(place, stream, end.index) for end in ends if end.name == device)

    within(LOOK_PATIENCE_S, act)
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
