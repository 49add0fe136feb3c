"""Causes of faults of the model, disk, process and device. Each is over when its function ends."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
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
