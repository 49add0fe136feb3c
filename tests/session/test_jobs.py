"""The queue of commands and the jobs that are made of them, without a session."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from rtsep.errors import DeviceError, NoThreadError, UsageError
from rtsep.session import device_swap
from rtsep.session.commands import Command, Inbox, StopRecording, SwitchDevices, SwitchModel
from rtsep.session.device_swap import LostDevices, switch_devices
from rtsep.session.helpers import Helpers, abandon
from rtsep.session.jobs import Job, Wait
from rtsep.session.options import LiveOptions
from rtsep.session.route import Route
from rtsep.session.states import SessionState
from tests.model.test_supervisor import wait_until

PATIENCE_S = 60.0

# --- the queue ---------------------------------------------------------------------------------------------


def test_every_command_has_an_outcome_when_the_queue_is_closed_meanwhile():
    for _ in range(50):
        inbox, sent = Inbox(), [[StopRecording() for _ in range(100)] for _ in range(4)]
        begin = threading.Barrier(5)

        def send(
            commands: list[StopRecording], inbox: Inbox = inbox, begin: threading.Barrier = begin
        ) -> None:
            begin.wait()
            for command in commands:
                inbox.send(command)

        threads = [threading.Thread(target=send, args=(commands,)) for commands in sent]
        for thread in threads:
            thread.start()
        begin.wait()
        received = [inbox.receive(0.001) for _ in range(20)]
        inbox.close()
        for thread in threads:
            thread.join()
        taken = {id(command) for command in received if command}
        for command in (command for commands in sent for command in commands):
            assert command.outcome.done() != (id(command) in taken)
        assert inbox.receive(0) is None


def test_a_queue_that_is_closed_refuses_in_the_words_of_the_command():
    inbox, command = Inbox(), SwitchModel(None)  # type: ignore[arg-type]
    inbox.close()
    inbox.send(command)
    with pytest.raises(UsageError, match="only during playback"):
        command.outcome.result(0)


# --- jobs --------------------------------------------------------------------------------------------------


def a_job(steps) -> tuple[Job, Future]:
    command = Command()
    return Job(command, steps), command.outcome


def test_a_job_goes_on_as_far_as_it_can():
    ready = []

    def steps():
        yield Wait(lambda: True)
        yield Wait(lambda: bool(ready))
        return "done"

    job, outcome = a_job(steps())
    job.advance()
    assert not job.done
    ready.append(1)
    job.advance()
    assert job.done and outcome.result(0) == "done" and job.failure is None


def test_only_a_step_that_waits_for_calls_is_given_up_when_the_devices_stop():
    cleared = []

    def steps(playing: bool):
        try:
            yield Wait(lambda: False, playing=playing)
        finally:
            cleared.append(playing)

    loading, _ = a_job(steps(False))
    loading.advance()
    loading.stop_playing()
    assert not loading.done and not loading.waits_for_calls
    fading, outcome = a_job(steps(True))
    fading.advance()
    assert fading.waits_for_calls
    fading.stop_playing()
    with pytest.raises(DeviceError, match="playback stopped before the switch"):
        outcome.result(0)
    assert cleared == [True]


def test_calls_that_never_come_are_waited_for_no_longer_than_said():
    def steps():
        yield Wait(lambda: False, playing=True, until=time.monotonic())

    job, outcome = a_job(steps())
    job.advance()
    wait_until(lambda: job.advance() or job.done, "it should give up")
    assert isinstance(outcome.exception(0), DeviceError)


def test_the_end_answers_a_job_that_is_under_way_and_one_that_has_not_begun():
    def stubborn():
        for _ in range(3):
            try:
                yield Wait(lambda: False)
            except UsageError:
                continue
        return "cleared away"

    job, outcome = a_job(stubborn())
    job.advance()
    job.end()
    assert outcome.result(0) == "cleared away"
    waiting = SwitchModel(None)  # type: ignore[arg-type]
    Job(waiting, stubborn()).end()
    assert isinstance(waiting.outcome.exception(0), UsageError)


def test_what_nobody_waits_for_any_more_is_cleared_away_when_it_arrives():
    inbox, go_on, cleared = Inbox(), threading.Event(), []
    helpers = Helpers(inbox)
    work = helpers.run("helper", lambda: go_on.wait(PATIENCE_S), ends_soon=True)
    abandon(work, cleared.append)
    failing = helpers.run("helper", lambda: 1 / 0)
    abandon(failing, cleared.append)
    assert inbox.receive(PATIENCE_S)  # the arrival of the one that failed
    go_on.set()
    assert inbox.receive(PATIENCE_S)
    helpers.join(PATIENCE_S)
    assert cleared == [True]


def test_a_limit_of_threads_fails_the_work_of_a_helper_but_not_its_owner(no_threads):
    helpers, closed = Helpers(Inbox()), []
    work = helpers.run("helper", lambda: closed.append("not needed"), ends_soon=True)
    with pytest.raises(NoThreadError, match="raise the limit of processes"):
        work.result(0)
    helpers.run("closer", lambda: closed.append("needed"), ends_soon=True, needed=True).result(0)
    helpers.join(PATIENCE_S)
    assert closed == ["needed"]


def test_a_search_for_a_lost_device_goes_on_after_a_limit_of_threads(no_threads):
    lines: list[str] = []
    live = SimpleNamespace(notify=lines.append, options=None, route=None)
    helpers = Helpers(Inbox())
    lost = LostDevices(live, helpers)  # type: ignore[arg-type]
    for _ in range(4):
        lost._look_at = 0.0
        lost.advance()
    assert len(lines) == 1 and "raise the limit of processes" in lines[0]
    with pytest.raises(NoThreadError):  # of the second thread, in a helper
        lost._find()


def test_a_device_is_waited_for_again_if_its_threads_cannot_be_started():
    def play() -> None:
        raise NoThreadError

    lines, states = [], []
    live = SimpleNamespace(
        notify=lines.append, options=SimpleNamespace(reconnect=True), take_up=lambda route: None,
        route=SimpleNamespace(io=SimpleNamespace(name="card")), play=play, move_to=states.append,
    )  # fmt: skip
    lost = LostDevices(live, Helpers(Inbox()))  # type: ignore[arg-type]
    lost._look = Future()
    lost._look.set_result(live.route)
    lost.advance()
    assert states == [SessionState.WAITING] and "raise the limit of processes" in lines[0]


def test_a_search_that_hangs_is_tried_again_and_costs_one_thread(monkeypatch):
    free, lines = threading.Event(), []
    monkeypatch.setattr(device_swap, "LOOK_PATIENCE_S", 0.05)
    monkeypatch.setattr(Route, "find", lambda *_, **__: free.wait(PATIENCE_S))
    live = SimpleNamespace(notify=lines.append, options=None, route=None)
    lost = LostDevices(live, Helpers(Inbox()))  # type: ignore[arg-type]
    threads = threading.active_count()
    for _ in range(5):
        assert lost._find() == "the sound system does not answer; restart it if that lasts"
    assert threading.active_count() == threads + 1
    free.set()
    wait_until(lambda: threading.active_count() == threads, "it should end")


def test_an_input_that_never_opens_does_not_keep_the_other_commands(monkeypatch):
    free, closed = threading.Event(), []
    route = SimpleNamespace(close=lambda goes_on: closed.append(goes_on))

    def find(*_, **__):
        free.wait(PATIENCE_S)
        return route

    monkeypatch.setattr(device_swap, "FIND_PATIENCE_S", 0.0)
    monkeypatch.setattr(Route, "find", find)
    before = SimpleNamespace(parts=(), io=SimpleNamespace(input=None, output=None, known=()))
    live = SimpleNamespace(options=LiveOptions(), route=before)
    helpers = Helpers(Inbox())
    command = SwitchDevices("pipe", None)
    job = Job(command, switch_devices(live, command, None, helpers), queries_devices=True)  # type: ignore[arg-type]
    wait_until(lambda: job.advance() or job.done, "it should give up")
    with pytest.raises(DeviceError, match=r"^pipe: not opened within 0 s"):
        command.outcome.result(0)
    free.set()
    wait_until(lambda: closed == [before], "what is opened later is closed")
