"""Model swap: the new model loads, processes the input in parallel, proves fast enough, and is faded in."""

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
"""Time for which the new model processes the input before the fade, in seconds; its memory is short."""

LATE_SHARE = 0.5
"""Maximum share of late masks during that time; a slower model is refused."""


def switch_model(live: Live, package: ModelPackage, helpers: Helpers) -> Steps:
    """Switch to the model of `package`; the steps end when it is active and the previous one has ended.

    A recording continues in a new take. Raise `ModelError`, `ModelProcessError`, `DeviceError` or
    `UsageError`; then the previous model stays active.
    """
    host = ModelHost(package, live.options.compute)
    if host.mask_exchange.note:
        live.notify(host.mask_exchange.note)
    loading = helpers.run("model-loader", host.start, ends_soon=True)
    try:
        yield Wait(loading.done)
        loading.result()
        mixer = live.playback.mixer if live.playback else None
        if mixer is None:
            raise UsageError("a model can be switched only during playback; try again when the session plays")
        before, source = live.hosted, live.route.source
        ring = before.engine.input_ring if source else None
        coming = HostedModel(host, live.route.io.format, live.controls, ring)
        inactive_counts = yield from _bring_in(coming, before, mixer, source)
    except BaseException:
        helpers.run("model-closer", partial(_close, host, loading), ends_soon=True, needed=True)
        raise
    live.take_over(coming, inactive_counts)
    before.engine.stop()
    live.notify(f"model {package.spec.name}; {coming.engine.latency.line()}")
    closing = helpers.run("model-closer", before.host.close, ends_soon=True, needed=True)
    try:
        yield Wait(closing.done)
    except UsageError:  # the session ends; the switch still completes
        return
    closing.result()


def _close(host: ModelHost, loading: Future[None]) -> None:
    host.process.stop()  # this also ends a helper that is still loading
    wait([loading])
    host.close()


def _bring_in(
    coming: HostedModel, playing: HostedModel, mixer: EngineMixer, source: FileSource | None
) -> Generator[Wait, None, dict[str, int]]:
    """Cross-fade from `playing` to `coming`, whose model is ready; `mixer` serves the engine of `playing`.

    `source` is the played file, if any. Return the counts of the new engine before it became active; the
    caller ends the old engine, which now idles. Raise `UsageError` for a model that is too slow here,
    `ModelProcessError` for one that fails, and `DeviceError` if the devices stop; then nothing has changed,
    and the engine of `coming` has ended.
    """
    engine, process = coming.engine, coming.host.process
    inactive_counts = engine.counters()
    if source:
        engine.attach_source(source)
    mixer.add_incoming(engine)
    try:
        yield Wait(lambda: mixer.synced, playing=True)
        warm = engine.progress().consumed + WARM_UP_S * engine.format.rate
        engine.start()
        yield Wait(lambda: engine.progress().consumed >= warm, playing=True)
        inactive_counts = engine.counters()
        name = coming.package.spec.name
        if process.restarts:
            raise ModelProcessError(
                f"model '{name}' failed while it processed the input: {process.last_error}"
            )
        if inactive_counts["late_masks"] > LATE_SHARE * inactive_counts["hops"]:
            late = f"{inactive_counts['late_masks']} of {inactive_counts['hops']} masks came late"
            raise UsageError(f"model '{name}' is too slow on this machine: {late}; choose a lighter model")
        mixer.fade_in()
        yield Wait(lambda: mixer.faded_in, playing=True)
    except BaseException:
        mixer.drop_other()
        if not mixer.serves(engine):  # else it became active just as the wait ended, and there is no way back
            if source:
                engine.detach_source(source)
            engine.stop()
            raise
    else:
        mixer.drop_other()
    if source:
        playing.engine.detach_source(source)
    return inactive_counts
