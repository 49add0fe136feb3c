"""Messages between whoever uses a model (`supervisor`, `remote`) and its process (`rtsep.model.process`)."""

from __future__ import annotations

from rtsep.realtime.wire import Message, Wire


class Serve(Message, frozen=True):
    """The task of a model process: load this model and answer the columns of these slots."""

    slots: str  # path of the shared memory
    model: str  # path of the model file
    sha256: str | None  # of the model file as the session has verified it; None: nobody has
    compute: str  # "cpu" or "cuda"
    parent: int  # process that the model process ends with
    graph: bool  # whether a GPU replays steps from a graph
    real_time: bool  # whether to ask for real-time priority and locked memory


class Loading(Message, frozen=True):
    """A stage that a stranger's program could hold up has begun."""

    stage: str  # for the user: "loading its program", say


class Ready(Message, frozen=True):
    """The model is loaded and proved; masks come from now on."""

    pid: int
    real_time: bool  # whether the thread got real-time priority
    memory_locked: bool
    moments: dict[str, float]  # monotonic times in s at which stages of the start were reached
    golden_error: float  # largest difference from the golden masks
    gpu: bool  # whether steps run on a GPU
    captured: bool  # whether the GPU replays them from a graph
    not_captured: str  # why not, if it was asked to


class Refused(Message, frozen=True):
    """The model cannot be played, from the beginning or any more; the process ends."""

    why: str  # one line, with the remedy


TASKS: Wire[Serve] = Wire(Serve)
"""To a model process, one message."""

ANSWERS: Wire[Loading | Ready | Refused] = Wire(Loading | Ready | Refused)
"""From a model process: its stages, then whether it is ready, and why it ends if a step fails."""
