"""Another model: it is loaded while one plays, hears along, shows that it keeps up, and is faded in."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING

from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.source import FileSource
from rtsep.errors import ModelProcessError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.jobs import Steps, Wait

if TYPE_CHECKING:
    from rtsep.session.helpers import Helpers
    from rtsep.session.live import Live

WARM_UP_S = 1.0
"""How long it hears along: what a model remembers is short, but not nothing."""

LATE_SHARE = 0.5
"""Of its masks; a model that is late with more of them meanwhile is not let in."""


def switch_model(live: Live, package: ModelPackage, helpers: Helpers) -> Steps:
    """Play with the model of `package`; the steps end when it is heard, and the one before has ended.

    A recording goes on in another take. Raises `ModelError`, `ModelProcessError`, `DeviceError` or
    `UsageError`; then the model before plays on.
    """
    host = ModelHost(package, live.options.compute)
    if host.slots.note:
        live.say(host.slots.note)
    loading = helpers.run("model-loader", host.start, ends_soon=True)
    try:
        yield Wait(loading.done)
        loading.result()
        mixer = live.playback.mixer if live.playback else None
        if mixer is None:
            raise UsageError("a model can be switched only while it plays; try again when it does")
        before, source = live.hosted, live.route.source
        ring = before.engine.input_ring if source else None
        coming = HostedModel(host, live.route.ends.form, live.controls, ring)
        unheard = yield from _bring_in(coming, before, mixer, source)
    except BaseException:
        helpers.run("model-closer", partial(_close, host, loading), ends_soon=True)
        raise
    live.take_over(coming, unheard)
    before.engine.stop()
    live.say(f"model {package.spec.name}; {coming.engine.latency.line()}")
    closing = helpers.run("model-closer", before.host.close, ends_soon=True)
    try:
        yield Wait(closing.done)
    except UsageError:  # the session ends; the switch is done all the same
        return
    closing.result()


def _close(host: ModelHost, loading: Future[None]) -> None:
    host.process.stop()  # which ends a helper that still loads
    wait([loading])
    host.close()


def _bring_in(
    coming: HostedModel, playing: HostedModel, mixer: EngineMixer, source: FileSource | None
) -> Generator[Wait, None, dict[str, int]]:
    """Let `coming`, whose model is ready, be heard in the place of `playing`, whose engine `mixer` serves.

    `source` is the file that is played, if one is. Returns what the engine counted before it was heard; the
    one that had played runs idle and is the caller's to end. Raises `UsageError` for a model that is too slow
    here, `ModelProcessError` for one that breaks down, and `DeviceError` where the devices stop; then nothing
    has changed, and the engine of `coming` has ended.
    """
    engine, process = coming.engine, coming.host.process
    unheard = engine.counters()
    if source:
        engine.attach_source(source)
    mixer.add_incoming(engine)
    try:
        yield Wait(lambda: mixer.synced, playing=True)
        warm = engine.progress().consumed + WARM_UP_S * engine.form.rate
        engine.start()
        yield Wait(lambda: engine.progress().consumed >= warm, playing=True)
        unheard = engine.counters()
        name = coming.package.spec.name
        if process.restarts:
            raise ModelProcessError(f"model '{name}' breaks down as it plays: {process.last_error}")
        if unheard["late_masks"] > LATE_SHARE * unheard["hops"]:
            late = f"{unheard['late_masks']} of {unheard['hops']} masks came late"
            raise UsageError(f"model '{name}' is too slow here: {late}")
        mixer.fade_in()
        yield Wait(lambda: mixer.faded_in, playing=True)
    except BaseException:
        mixer.drop_other()
        if not mixer.serves(engine):  # else it was heard just as the wait was over, and there is no way back
            if source:
                engine.detach_source(source)
            engine.stop()
            raise
    else:
        mixer.drop_other()
    if source:
        playing.engine.detach_source(source)
    return unheard
