"""The table of faults: what happens, and the counters, the lines and the sound that must follow.

`FAULTS` happen in one process, in a `FaultRig` each, which asks its four questions.
`PROVEN` names the tests of those that need a server, a terminal or a process of their own to die.
Both together are the rows of docs/faults.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import rtsep
from rtsep.audio import devices
from rtsep.errors import ModelError, OutputError
from rtsep.files.wavfile import WavFile
from rtsep.realtime import mask_exchange
from rtsep.realtime.atomics import acquire
from rtsep.session.options import LiveOptions
from tests.faults.rig import FaultRig
from tests.models import make_model
from tests.session.playing import read
from tests.session.test_forks import in_a_fork
from tests.waiting import until

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Fault:
    """One row. `happens` makes the fault, and returns when it is over."""

    name: str  # the row of docs/faults.md
    happens: Callable[[FaultRig], None]
    counted: tuple[str, ...] = ()  # figures that grow
    said: tuple[str, ...] = ()  # a pattern for each line
    dry: bool = False  # the dry sound is audible meanwhile
    new_stream: bool = False  # the device is opened again


# --- the model ----------------------------------------------------------------------------------------


def nothing(rig: FaultRig) -> None:
    rig.play_for(0.3)


def model_killed(rig: FaultRig) -> None:
    with _started_again(rig):
        os.kill(rig.model_pid, signal.SIGKILL)


def model_stopped(rig: FaultRig) -> None:
    with _started_again(rig):
        os.kill(rig.model_pid, signal.SIGSTOP)


def model_slow(rig: FaultRig) -> None:
    """Each answer takes ten hops, for five seconds."""
    pid, header = rig.model_pid, rig.session.engine.exchange.header
    pause_s = 9 * 256 / 44100
    over = time.monotonic() + 5.0
    try:
        while time.monotonic() < over:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(pause_s)
            answered = acquire(header, mask_exchange.MODEL_STEPS)
            os.kill(pid, signal.SIGCONT)
            until(
                lambda n=answered: acquire(header, mask_exchange.MODEL_STEPS) > n, "an answer", every_s=0.001
            )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert rig.model_pid == pid


def model_at_its_memory_limit(rig: FaultRig) -> None:
    """A model that takes memory as it plays may have no more than it has."""
    with tempfile.TemporaryDirectory() as folder:
        rig.session.switch_model(make_model(Path(folder) / "takes.rtsep", "takes-memory"))
        until(lambda: rig.stats["model"]["ready"], "the other model should play", PATIENCE_S)
        rig.settle()
        with _started_again(rig):
            pid = rig.model_pid
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            resource.prlimit(pid, resource.RLIMIT_DATA, (_data_bytes(pid), hard))
        rig.settle()
        rig.session.switch_model(rig.model)
        until(lambda: rig.stats["model"]["name"] == "test-half" and rig.stats["model"]["ready"], "it is back")


def _data_bytes(pid: int) -> int:
    """Return the memory of a process that counts against its limit."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))


def model_broken(rig: FaultRig) -> None:
    """Another model is asked for, whose file is damaged: it is refused, and the one that plays plays on."""
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "broken.rtsep"
        broken.write_bytes(rig.model.read_bytes()[:-2000])
        with pytest.raises(ModelError, match=r"broken\.rtsep"):
            rig.session.switch_model(broken)
    rig.play_for(0.2)


@contextlib.contextmanager
def _started_again(rig: FaultRig) -> Iterator[None]:
    """Wait, at the end, until the model has been started again."""
    restarts = rig.stats["model"]["restarts"]
    yield
    until(
        lambda: rig.stats["model"]["restarts"] > restarts and rig.stats["model"]["ready"],
        "the model should be started again",
        PATIENCE_S,
    )


# --- the disk -----------------------------------------------------------------------------------------


def disk_full(rig: FaultRig) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        rig.session.start_recording(folder)
        _recorded(rig, 0.2)

        write = WavFile._write_at

        def refuse(self: WavFile, place: int, content: bytes) -> None:
            if place > 0:  # the header has its place
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(self, place, content)

        patch.setattr(WavFile, "_write_at", refuse)
        until(lambda: rig.session.recording and rig.session.recording.failure, "it should fail")
        patch.undo()
        _is_whole(rig, rig.session.stop_recording())


def disk_slow(rig: FaultRig) -> None:
    """A write takes half a second; the next ones catch up."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        append, held = WavFile.append, []

        def hold(self: WavFile, block: np.ndarray) -> None:
            if not held:
                held.append(True)
                time.sleep(0.5)
            append(self, block)

        patch.setattr(WavFile, "append", hold)
        rig.session.start_recording(folder)
        _recorded(rig, 0.7)
        assert held
        _is_whole(rig, rig.session.stop_recording())


def folder_removed(rig: FaultRig) -> None:
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "takes"
        rig.session.start_recording(folder)
        _recorded(rig, 0.2)
        shutil.rmtree(folder)
        until(lambda: rig.session.recording and rig.session.recording.failure, "it should stop")
        assert rig.session.stop_recording() is None
        rig.session.start_recording(folder)  # the next one is as any other
        _recorded(rig, 0.2)
        _is_whole(rig, rig.session.stop_recording())


def _recorded(rig: FaultRig, seconds: float) -> None:
    until(lambda: (state := rig.session.recording) and state.seconds >= seconds, "it should record")


def _is_whole(rig: FaultRig, files: dict[str, Path] | None) -> None:
    """The files are of one length, and hold a stretch of what was played, without a gap."""
    assert files
    sound = {stem: read(path) for stem, path in files.items()}
    mix = sound["mix"]
    assert len(mix) > 0 and {len(stem) for stem in sound.values()} == {len(mix)}
    first = int(np.flatnonzero((rig.box.sound == mix[0]).all(axis=1))[0])
    expected = rig.box.sound[(first + np.arange(len(mix))) % rig.box.period]
    np.testing.assert_array_equal(mix, expected)
    np.testing.assert_allclose(sound["vocals"] + sound["instrumental"], mix, rtol=0, atol=2e-7)


# --- this process -------------------------------------------------------------------------------------


def program_forks(rig: FaultRig) -> None:
    """The fork closes what it has of the session, as its end does."""
    assert in_a_fork(rig.session.close)
    rig.play_for(0.2)


def handles_run_out(rig: FaultRig) -> None:
    """No file can be opened, and the model dies: it is started as soon as there are handles again."""
    pid = rig.model_pid
    with tempfile.TemporaryDirectory() as folder, _started_again(rig), _without_handles():
        os.kill(pid, signal.SIGKILL)
        until(lambda: "cannot be started" in rig.stats["model"]["error"], "it cannot be started")
        with pytest.raises(OutputError, match="Too many open files"):
            rig.session.start_recording(folder)


@contextlib.contextmanager
def _without_handles() -> Iterator[None]:
    """Take all handles that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for handle in held:
            os.close(handle)


def second_session(rig: FaultRig) -> None:
    """Another session, on the virtual device, comes and goes."""
    options = LiveOptions(input="demo", out_device="virtual")
    lines: list[str] = []
    with rtsep.Session.of(options, str(rig.model), notify=lines.append) as second:
        until(lambda: second.stats()["hops"] > 50, "the other one should play", PATIENCE_S)
        assert second.stats()["model"]["pid"] != rig.model_pid


# --- the device ---------------------------------------------------------------------------------------


def device_unplugged(rig: FaultRig) -> None:
    """It goes between the two halves of a call, and comes back."""
    rig.box.stream.fall_silent(partly=True)
    rig.box.plugged = False
    until(lambda: rig.stats["state"] == "waiting", "it should wait")
    rig.box.plugged = True
    until(lambda: rig.stats["state"] == "playing", "it should play again")


def handles_run_out_in_search(rig: FaultRig) -> None:
    """The device has gone, and the system cannot be asked for it: it is asked again."""
    rig.play_for(1.0)
    before = len(rig.said)
    with pytest.MonkeyPatch.context() as patch:

        def refuse() -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patch.setattr(devices, "look", refuse)
        rig.box.stream.fall_silent()
        until(lambda: any("Too many open files" in line for line in rig.said[before:]), "it should be said")
        assert rig.stats["state"] == "waiting"
    until(lambda: rig.stats["state"] == "playing", "it should play again")


def device_silent(rig: FaultRig) -> None:
    """The device stops calling without an error; after it is opened again, it calls again."""
    rig.play_for(1.0)
    streams = len(rig.box.streams)
    rig.box.stream.fall_silent()
    until(lambda: len(rig.box.streams) > streams, "it should be opened again")


DIED = r"^model 'test-half' ended with code -9: the dry signal plays until it is back$"
MODEL_OUT = ("late_masks", "model.restarts")
AWAY = r"waiting for it to come back"

FAULTS = (
    Fault("nothing at all", nothing),
    Fault("the model's process is killed", model_killed, MODEL_OUT, (DIED,), dry=True),
    Fault(
        "the model's process is stopped (SIGSTOP)",
        model_stopped,
        MODEL_OUT,
        (r"^model 'test-half' gave no answer for 1\.5 s: the dry signal",),
        dry=True,
    ),
    Fault("the model is ten times too slow for five seconds", model_slow, ("late_masks",), dry=True),
    Fault(
        "the model reaches its memory limit",
        model_at_its_memory_limit,
        ("late_masks",),  # its restarts are over with it
        (
            r"^model test-takes-memory; latency",
            r"^model 'test-takes-memory' .*memory.*: the dry signal plays until it is back$",
            r"^model test-half; latency",
        ),
        dry=True,
    ),
    Fault("a model that is asked for is damaged", model_broken),
    Fault(
        "the disk is full while it records",
        disk_full,
        said=(r"^recording stopped: .*No space left.*s are saved in .*; the audio continues$",),
    ),
    Fault("the disk is slow while it records", disk_slow),
    Fault(
        "the folder of a recording is removed",
        folder_removed,
        said=(r"^recording stopped: .*the file was removed.*nothing is saved; the audio continues$",),
    ),
    Fault("the program forks", program_forks),
    Fault(
        "no file handles are left",
        handles_run_out,
        MODEL_OUT,
        (rf"{DIED}|^model 'test-half' cannot be started \(Too many open files\): the dry signal",),
        dry=True,
    ),
    Fault("two sessions play at once", second_session),
    Fault(
        "the device is unplugged within a block",
        device_unplugged,
        said=(rf"^the box was unplugged; {AWAY}", r"is back; playback continues$"),
        new_stream=True,
    ),
    Fault(
        "no file handles are left to look for a lost device",
        handles_run_out_in_search,
        said=(
            rf"^box has stopped answering; {AWAY}",
            rf"^Too many open files; {AWAY}",
            r"is back; playback continues$",
        ),
        new_stream=True,
    ),
    Fault(
        "the device stops calling",
        device_silent,
        said=(rf"^box has stopped answering; {AWAY}", r"is back; playback continues$"),
        new_stream=True,
    ),
)

PROVEN = {
    "the session's process is killed": (
        "tests/faults/test_killed.py::test_nothing_is_left_once_the_next_session_starts",
        "tests/realtime/test_shared_file.py::test_what_a_killed_owner_has_left_is_removed",
        "tests/surfaces/remote/test_place.py::test_the_socket_of_a_killed_session_makes_room",
    ),
    "two sessions have one name": (
        "tests/surfaces/remote/test_place.py::test_a_name_that_is_taken",
        "tests/surfaces/remote/test_place.py::test_two_that_start_at_once_never_share_a_name",
    ),
    "everything is suspended for ten seconds, or an hour": (
        "tests/faults/test_clocks.py::test_a_session_goes_on_after_an_hour_and_whatever_the_time_of_day",
        "tests/e2e/test_stopped.py::test_a_played_file_goes_on_where_it_stood_and_its_recording_is_whole",
    ),
    "the system clock is set back or forth": (
        "tests/faults/test_clocks.py::test_a_wait_lasts_as_long_wherever_the_time_of_day_is_set_to",
        "tests/faults/test_clocks.py::test_a_session_goes_on_after_an_hour_and_whatever_the_time_of_day",
    ),
    "`/dev/shm` is full": (
        "tests/realtime/test_shared_file.py::"
        "test_without_room_in_memory_it_lies_in_the_temporary_folder_and_says_so",
        "tests/realtime/test_shared_file.py::test_without_room_anywhere_it_is_refused_in_a_line",
    ),
    "the audio server stops, or is restarted": (
        "tests/e2e/test_server_lost.py::test_it_waits_and_plays_again_on_the_new_server",
        "tests/e2e/test_pipewire.py::test_a_restart_is_waited_for",
        "tests/e2e/test_pulse.py::test_a_server_that_ends_is_waited_for_and_played_on_again",
    ),
    "the audio server freezes": ("tests/e2e/test_server_lost.py::test_a_frozen_server_is_no_hang",),
    "the audio server changes its period": (
        "tests/e2e/test_server_lost.py::test_a_server_that_changes_its_period_is_followed_in_place",
        "tests/audio/test_changing_blocks.py::test_another_block_costs_no_frame_and_has_its_own_delay",
    ),
    "the audio server changes its rate": (
        "tests/e2e/test_pipewire.py::test_changes_of_quantum_and_rate_are_followed_in_place",
    ),
    "a sink of a sound server leaves": (
        "tests/e2e/test_pulse.py::test_a_sink_that_leaves_is_waited_for_by_its_name",
    ),
    "a MIDI controller or port vanishes": (
        "tests/e2e/test_midi.py::test_controllers_and_servers_may_come_and_go_while_it_plays",
        "tests/surfaces/midi/test_links.py::test_a_controller_leaves_and_returns_under_another_number",
    ),
    "two MIDI controllers have one name": (
        "tests/surfaces/midi/test_links.py::test_two_controllers_of_one_kind_are_two_links",
    ),
    "the MIDI process dies or hangs": (
        "tests/surfaces/midi/test_ports.py::"
        "test_one_that_hangs_or_dies_is_replaced_and_its_port_is_known_to_be_gone",
    ),
    "a preset is damaged, or of a newer version": (
        "tests/surfaces/test_presets.py::test_what_is_wrong_with_a_preset_is_said_with_its_line",
        "tests/surfaces/test_presets.py::test_a_program_change_recalls_and_never_raises",
    ),
    "the MIDI map is damaged, or of a newer version": (
        "tests/surfaces/midi/test_map.py::test_what_is_wrong_is_said_with_its_line_and_the_remedy",
        "tests/surfaces/midi/test_follow.py::test_a_map_that_is_wrong_or_gone_leaves_the_old_one_at_work",
    ),
    "the configuration is damaged, or of a newer version": (
        "tests/cli/test_config.py::test_what_is_wrong_in_the_file_is_one_line_with_its_place",
    ),
    "the settings of the last session are damaged": (
        "tests/surfaces/test_presets.py::test_a_broken_state_is_told_and_ignored",
    ),
    "the input is no sound: not a number, infinite, far too loud, DC, denormals": (
        "tests/faults/test_signals.py::test_the_output_is_finite_and_within_full_scale_and_sound_returns",
        "tests/faults/test_signals.py::test_the_processor_has_no_more_to_do",
    ),
    "the input is silent for an hour": (
        "tests/faults/test_signals.py::test_an_hour_of_silence_and_the_first_sound_after_it",
    ),
    "the device changes its block with every call": (
        "tests/faults/test_signals.py::test_a_thousand_random_block_sizes",
    ),
    "it has played for sixty days": (
        "tests/faults/test_age.py::test_an_old_engine_plays_as_a_young_one",
        "tests/faults/test_age.py::test_a_session_plays_across_the_moment",
    ),
    "the clocks of two devices differ by 500 ppm": (
        "tests/faults/test_two_clocks_hour.py::test_no_click_and_a_bounded_fill",
        "tests/e2e/test_two_clocks.py::test_two_clocks_are_kept_together_without_a_new_start",
    ),
}
