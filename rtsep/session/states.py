"""The states of a live session, and the transitions between them that are allowed."""

from __future__ import annotations

from enum import StrEnum


class SessionState(StrEnum):
    """The state of a session; its value is the word in `stats()["state"]`."""

    STARTING = "starting"  # the devices, the model and the compiled code get ready
    PLAYING = "playing"
    STOPPING = "stopping"  # the streams are closed, the engine ends
    OPENING = "opening"  # the streams of other devices, or of devices that are back, are opened
    WAITING = "waiting"  # a device was lost; the session looks for it
    ENDED = "ended"


ALLOWED: dict[SessionState, frozenset[SessionState]] = {
    SessionState.STARTING: frozenset({SessionState.PLAYING, SessionState.ENDED}),
    SessionState.PLAYING: frozenset({SessionState.STOPPING}),
    SessionState.STOPPING: frozenset({SessionState.OPENING, SessionState.WAITING, SessionState.ENDED}),
    SessionState.OPENING: frozenset({SessionState.PLAYING, SessionState.WAITING, SessionState.ENDED}),
    SessionState.WAITING: frozenset({SessionState.OPENING, SessionState.ENDED}),
    SessionState.ENDED: frozenset(),
}
"""The states that may follow each state."""


class IllegalTransitionError(AssertionError):
    """A transition that is not in `ALLOWED`: an error in this program."""


def transition(now: SessionState, to: SessionState) -> SessionState:
    """Return `to`, the state after `now`; raises `IllegalTransitionError` where it may not follow."""
    if to not in ALLOWED[now]:
        raise IllegalTransitionError(f"a session that is {now} cannot become {to}")
    return to
