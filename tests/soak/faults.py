"""Each fault of a plan. Each restores the previous state, and reports refusals."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator

from rtsep.errors import RtsepError
from tests.soak.plan import Fault
from tests.soak.rigs import PERIOD, RATE
from tests.soak.session import PRESETS, Soaked


@contextlib.contextmanager
def _refusals(said: list[str]) -> Iterator[None]:
    try:
        yield
    except RtsepError as error:
        said.append(str(error))


def _stop(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):  # a model that hangs is replaced
        os.kill(pid, signal.SIGCONT)


def _model_killed(soaked: Soaked, fault: Fault) -> None:
    os.kill(soaked.line["model"]["pid"], signal.SIGKILL)


def _model_stopped(soaked: Soaked, fault: Fault) -> None:
    _stop(soaked.line["model"]["pid"], fault.how["seconds"])


def _session_stopped(soaked: Soaked, fault: Fault) -> None:
    _stop(soaked.live.pid, fault.how["seconds"])


def _server_frozen(soaked: Soaked, fault: Fault) -> None:
    soaked.rig.freeze(fault.how["seconds"])


def _model_switched(soaked: Soaked, fault: Fault) -> None:
    with soaked.attached() as session:
        for model in reversed(soaked.models):  # the first one is home
            session.switch_model(model)
            time.sleep(fault.how["seconds"])


def _device_switched(soaked: Soaked, fault: Fault) -> None:
    with soaked.attached() as session:
        session.switch_device(out_device="virtual")
        time.sleep(fault.how["seconds"])
        session.switch_device(out_device=soaked.rig.output)
    soaked.connect()


def _recording(soaked: Soaked, fault: Fault, loses: bool = False) -> None:
    folder = soaked.folder / "take"
    with soaked.attached() as session:
        session.start_recording(folder)
        time.sleep(fault.how["seconds"])
        if loses:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(fault.how["seconds"])
        try:
            session.stop_recording()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _take_folder_removed(soaked: Soaked, fault: Fault) -> None:
    _recording(soaked, fault, loses=True)


def _preset_changes(soaked: Soaked, fault: Fault) -> None:
    names = list(PRESETS)
    with soaked.attached() as session:
        for number in range(fault.how["count"]):
            session.load_preset(names[number % len(names)])
        session.load_preset("home")


def _controls_turned(soaked: Soaked, fault: Fault) -> None:
    with soaked.attached() as session:
        for number in range(fault.how["count"]):
            session.controls.threshold = (number % 50) / 100
        session.load_preset("home")


def _readers_come_and_go(soaked: Soaked, fault: Fault) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(fault.how["count"]):
            stack.enter_context(soaked.attached(rate=30.0, picture=True)).stats()


def _midi_flood(soaked: Soaked, fault: Fault) -> None:
    soaked.clicks.ask(f"midi {fault.how['count']}")
    time.sleep(1.0)
    with soaked.attached() as session:
        session.load_preset("home")


def _set(soaked: Soaked, name: str, value: int) -> None:
    if not soaked.rig.change(name, value):
        soaked.clicks.ask(f"{name} {value}")


def _period_changed(soaked: Soaked, fault: Fault) -> None:
    _set(soaked, "period", fault.how["frames"])
    time.sleep(fault.how["seconds"])
    _set(soaked, "period", PERIOD)


def _rate_changed(soaked: Soaked, fault: Fault) -> None:
    _set(soaked, "rate", 48000)
    time.sleep(fault.how["seconds"])
    _set(soaked, "rate", RATE)


HOW: dict[str, Callable[[Soaked, Fault], None]] = {
    "model killed": _model_killed,
    "model stopped": _model_stopped,
    "session stopped": _session_stopped,
    "server frozen": _server_frozen,
    "model switched": _model_switched,
    "device switched": _device_switched,
    "recording": _recording,
    "take folder removed": _take_folder_removed,
    "preset changes": _preset_changes,
    "controls turned": _controls_turned,
    "readers come and go": _readers_come_and_go,
    "MIDI flood": _midi_flood,
    "period changed": _period_changed,
    "quantum changed": _period_changed,
    "rate changed": _rate_changed,
}


def make(soaked: Soaked, fault: Fault) -> list[str]:
    """Make a fault and wait until it is over; return what was refused, a line each.

    Raises `AssertionError` where the session does not play as before in the end.
    """
    said: list[str] = []
    with _refusals(said):
        HOW[fault.kind](soaked, fault)
    soaked.back()
    return said
