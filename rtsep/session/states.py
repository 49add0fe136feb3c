"""States of a live session, and the allowed transitions between them."""

from __future__ import annotations

from enum import StrEnum


class SessionState(StrEnum):
    """State of a session; its value is the word in `stats()["state"]`."""

    STARTING = "starting"  # devices, model and compiled code are being prepared
    PLAYING = "playing"
    STOPPING = "stopping"  # the streams close, the engine ends
    OPENING = "opening"  # new or returned devices are being opened
    WAITING = "waiting"  # a device was lost; the session searches for it
    ENDED = "ended"


ALLOWED: dict[SessionState, frozenset[SessionState]] = {
    SessionState.STARTING: frozenset({SessionState.PLAYING, SessionState.ENDED}),
    SessionState.PLAYING: frozenset({SessionState.STOPPING}),
    SessionState.STOPPING: frozenset({SessionState.OPENING, SessionState.WAITING, SessionState.ENDED}),
    SessionState.OPENING: frozenset({SessionState.PLAYING, SessionState.WAITING, SessionState.ENDED}),
    SessionState.WAITING: frozenset({SessionState.OPENING, SessionState.ENDED}),
    SessionState.ENDED: frozenset(),
}
"""States that may follow each state."""


class IllegalTransitionError(AssertionError):
    """A transition outside `ALLOWED`: a defect of this program."""


def transition(now: SessionState, to: SessionState) -> SessionState:
    """Return `to`, the state after `now`; raise `IllegalTransitionError` if it may not follow."""
    if to not in ALLOWED[now]:
        raise IllegalTransitionError(f"a session that is {now} cannot become {to}")
    return to
