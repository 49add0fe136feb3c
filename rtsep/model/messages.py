"""Messages between a session (`rtsep.model.supervisor`) and its model process (`rtsep.model.process`)."""

from __future__ import annotations

from rtsep.realtime.wire import Message, Wire


class Serve(Message, frozen=True):
    """The task of a model process: load this model and answer the columns of these slots."""

    slots: str  # path of the shared memory
    model: str  # path of the model file
    sha256: str | None  # of the model file as the session has verified it; None: nobody has
    device: str  # "cpu" or "cuda"
    parent: int  # process that the model process ends with


class Ready(Message, frozen=True):
    """The model is loaded and proved; masks come from now on."""

    pid: int
    real_time: bool  # whether the thread got real-time priority
    memory_locked: bool
    moments: dict[str, float]  # monotonic times in s at which stages of the start were reached


class Refused(Message, frozen=True):
    """The model cannot be played; the process ends."""

    why: str  # one line, with the remedy


TASKS: Wire[Serve] = Wire(Serve)
"""From the session to a model process, one message."""

ANSWERS: Wire[Ready | Refused] = Wire(Ready | Refused)
"""From a model process to its session, one message."""
