"""Messages between users of a model (`supervisor`, `remote`) and its process (`rtsep.model.process`)."""

from __future__ import annotations

from rtsep.realtime.wire import Message, Wire


class Serve(Message, frozen=True):
    """The task of a model process: load this model and answer the columns of this exchange."""

    exchange_path: str  # path of the shared memory
    model: str  # path of the model file
    sha256: str | None  # of the model file as verified by the session; None: not verified
    compute: str  # "cpu" or "cuda"
    parent: int  # parent process; the model process ends with it
    graph: bool  # whether a GPU replays steps from a graph
    real_time: bool  # request real-time priority and locked memory


class Loading(Message, frozen=True):
    """Start of a stage that an untrusted program could delay."""

    stage: str  # description for the user, such as "loading its program"


class Ready(Message, frozen=True):
    """The model is loaded and proved; it answers columns from now on."""

    pid: int
    real_time: bool  # the thread has real-time priority
    memory_locked: bool
    moments: dict[str, float]  # monotonic times in s of the stages of the start
    golden_error: float  # largest difference from the golden masks
    gpu: bool  # steps run on a GPU
    captured: bool  # the GPU replays them from a graph
    not_captured: str  # reason why not, if requested


class Refused(Message, frozen=True):
    """The model cannot be played, from the start or any more; the process ends."""

    why: str  # one line, with the remedy


TASKS: Wire[Serve] = Wire(Serve)
"""Messages to a model process: exactly one."""

ANSWERS: Wire[Loading | Ready | Refused] = Wire(Loading | Ready | Refused)
"""Messages from a model process: its stages, its readiness, and the reason for its end if a step fails."""
