"""A changeover: another model hears along while one plays, shows that it keeps up, is faded in over it."""

from __future__ import annotations

from collections.abc import Callable

from rtsep.audio.desk import Desk
from rtsep.audio.source import FileSource
from rtsep.errors import ModelProcessError, UsageError
from rtsep.session.hosted_model import HostedModel

WARM_UP_S = 1.0
"""How long it hears along: what a model remembers is short, but not nothing."""

LATE_SHARE = 0.5
"""Of its masks; a model that is late with more of them meanwhile is not let in."""


def bring_in(
    coming: HostedModel,
    playing: HostedModel,
    desk: Desk,
    source: FileSource | None,
    wait: Callable[[Callable[[], bool]], None],
) -> dict[str, int]:
    """Let `coming`, whose model is ready, be heard in the place of `playing`, whose engine `desk` serves.

    `source` is the file that is played, if one is; `wait` waits for what it is given to become true, and
    raises where it does not. Returns what the engine counted before it was heard; the one that had played
    runs idle and is the caller's to end. Raises `UsageError` for a model that is too slow here,
    `ModelProcessError` for one that breaks down, and what `wait` raises; then nothing has changed, and the
    engine of `coming` has ended.
    """
    engine = coming.engine
    unheard = engine.counters()
    if source:
        engine.attach_source(source)
    desk.put(engine)
    try:
        wait(lambda: desk.joined)
        joined_at = engine.progress().consumed
        engine.start()
        wait(lambda: engine.progress().consumed - joined_at >= WARM_UP_S * engine.form.rate)
        unheard = engine.counters()
        name = coming.package.spec.name
        if coming.host.process.restarts:
            raise ModelProcessError(
                f"model '{name}' breaks down as it plays: {coming.host.process.last_error}"
            )
        if unheard["late_masks"] > LATE_SHARE * unheard["hops"]:
            late = f"{unheard['late_masks']} of {unheard['hops']} masks came late"
            raise UsageError(f"model '{name}' is too slow here: {late}")
        desk.fade()
        wait(lambda: desk.faded)
    except BaseException:
        desk.settle()
        if not desk.serves(engine):  # else it was heard just as the wait was over, and there is no way back
            if source:
                engine.detach_source(source)
            engine.stop()
            raise
    else:
        desk.settle()
    if source:
        playing.engine.detach_source(source)
    return unheard
