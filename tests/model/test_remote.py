"""A model in its own process, stepped by hand: the masks of one loaded here, and what a stranger's cannot.

The attacks here have got past the checks of the file: the process's command turns those off, and only its
rights and its time stand between the program and the machine.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtsep.cli import main as cli
from rtsep.errors import ModelError, ModelProcessError
from rtsep.model import launch, loader, remote
from rtsep.model.messages import TASKS
from rtsep.model.package import read_package
from rtsep.model.remote import load_model
from rtsep.realtime.shared_file import PREFIX
from tests.model import hostile
from tests.model.hostile import with_program
from tests.models import LATER, make_model
from tests.waiting import running

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / "tests" / "train" / "old" / "model.pt"

UNCHECKED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from rtsep.model import confinement, inspection, torchscript
torchscript.inspected = lambda content: content
torchscript.check_graphs = lambda module: None
confinement.PROCESSOR_S = 1.0
{{more}}
from rtsep.model.launch import main
sys.exit(main())
"""
"""A model process that looks at no file before it loads it."""


@pytest.fixture
def unchecked(monkeypatch):
    """Have model processes load without a look at the file; `more` lines may change them further."""

    def begin(more: str = "") -> None:
        monkeypatch.setattr(launch, "COMMAND", [sys.executable, "-c", UNCHECKED.replace("{more}", more)])
        monkeypatch.setattr(launch, "_prepared", None)

    begin()
    return begin


def masks_of(runner, columns):
    masks = []
    for column in columns:
        runner.column[:] = column
        runner.step()
        masks.append(runner.mask.copy())
    return np.array(masks)


@pytest.fixture(scope="module")
def there():
    """A stranger's model in its process."""
    return load_model(OLD)


def test_masks_and_resets_are_those_of_the_same_model_loaded_here(there):
    here = loader.load(read_package(OLD), own_thread=True)
    assert there.golden_error == here.golden_error and there.gpu is None
    columns = np.random.default_rng(1).normal(0, 0.3, (150, *here.column.shape)).astype(np.float32)
    expected = masks_of(here, columns)
    assert np.ptp(expected) > 0.1
    assert np.array_equal(masks_of(there, columns), expected)
    there.reset()
    assert np.array_equal(masks_of(there, columns[:5]), expected[:5])


def test_it_has_the_least_rights_while_it_plays(there):
    pid = there.pid
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    written = [line.split()[3:5] for line in limits if line.startswith(("Max file size", "Max core file"))]
    assert [row[0] for row in written] == ["0", "size"]
    opened = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    allowed = ("/dev/null", "pipe:", f"/dev/shm/{PREFIX}")
    assert all(name.startswith(allowed) for name in opened), opened


def test_a_fork_of_the_program_does_not_take_the_model_along(there):
    script_pid = os.fork()
    if script_pid == 0:
        there.close()
        os._exit(0)
    os.waitpid(script_pid, 0)
    there.step()
    assert running(there.pid)


def test_it_ends_with_its_runner_and_leaves_nothing():
    runner = load_model(OLD)
    pid = runner.pid
    mapped = Path(f"/proc/{pid}/maps").read_text()
    (shared,) = [path for path in Path("/dev/shm").glob(f"{PREFIX}*") if str(path) in mapped]
    del runner
    gc.collect()
    assert not running(pid) and not shared.exists()


def test_a_process_that_is_killed_is_one_line_and_no_hang():
    runner = load_model(OLD)
    os.kill(runner.pid, signal.SIGKILL)
    for words in ("ended with code -9", "has ended"):
        with pytest.raises(ModelProcessError, match=words):
            runner.step()


def test_a_step_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(remote, "STEP_PATIENCE_S", 0.3)
    runner = load_model(OLD)
    os.kill(runner.pid, signal.SIGSTOP)
    with pytest.raises(ModelError, match="one hop takes more than 0 s; do not trust the file"):
        runner.step()
    assert not running(runner.pid)


def test_a_process_that_never_begins_is_given_up(tmp_path, monkeypatch):
    asleep, tasks = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE), []
    path = make_model(tmp_path / "m.pt", profile="stage")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "take", lambda task: tasks.append(task) or asleep)
    monkeypatch.setattr(remote, "await_ready", lambda *_: None)
    monkeypatch.setattr(remote, "START_PATIENCE_S", 0.1)
    with pytest.raises(ModelProcessError, match=r"^m\.pt: its process does not begin"):
        load_model(Path("m.pt"))
    assert asleep.returncode == -signal.SIGKILL
    assert TASKS.decode(tasks[0]).model == str(path)  # whose process may be in another folder


def test_a_program_that_raises_later_is_one_line(tmp_path):
    runner = load_model(make_model(tmp_path / "m.pt", "raises-later", profile="stage"))
    for _ in range(LATER):
        runner.step()
    with pytest.raises(ModelError, match=r"m\.pt: its program fails \(.*raises later\); export it again"):
        runner.step()


# --- strangers who have got past the checks -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WritesFile", "ReadsFile", "WritesAsItLoads"])
def test_files_cannot_be_reached(tmp_path, kind, unchecked):
    target = tmp_path / "target"
    if kind == "ReadsFile":
        target.write_bytes(b"secret, as floats")
    path = with_program(tmp_path / "m.pt", getattr(hostile, kind)(str(target)))
    with pytest.raises(ModelError, match=r"m\.pt: .*(denied|not permitted)"):
        load_model(path)
    assert kind == "ReadsFile" or not target.exists()


def test_the_same_file_writes_where_the_rights_are_kept(tmp_path, unchecked):
    unchecked("confinement.LAYERS = ()")
    target = tmp_path / "target"
    load_model(with_program(tmp_path / "m.pt", hostile.WritesFile(str(target))))
    assert target.stat().st_size == 64


def test_memory_is_bounded(tmp_path, unchecked):
    path = with_program(tmp_path / "m.pt", hostile.TakesMemory())
    with pytest.raises(ModelError, match=r"m\.pt: its program fails \(.*memory"):
        load_model(path)


def test_time_is_bounded(tmp_path, unchecked):
    path = with_program(tmp_path / "m.pt", hostile.LoopsLongInSecret())
    with pytest.raises(
        ModelError, match=r"m\.pt: replaying its golden frames takes more than 30 s of processor"
    ):
        load_model(path)


def test_time_is_bounded_while_it_plays(tmp_path, unchecked, monkeypatch):
    """By the process itself: its parent may be gone."""
    monkeypatch.setattr(remote, "STEP_PATIENCE_S", 15.0)
    runner = load_model(with_program(tmp_path / "m.pt", hostile.LoopsLater()))
    runner.step()
    runner.column[:] = 1e4
    with pytest.raises(ModelProcessError, match=f"ended with code -{int(signal.SIGXCPU)}"):
        runner.step()


def test_what_it_prints_goes_nowhere_and_holds_nothing_up(tmp_path, unchecked, capfd):
    assert load_model(with_program(tmp_path / "m.pt", hostile.Prints())).golden_error == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["check", "file"])
def test_commands_say_one_line_with_the_exit_code_of_models(tmp_path, command, capsys):
    target = tmp_path / "target"
    path = str(with_program(tmp_path / "m.pt", hostile.WritesFile(str(target))))
    song = str(ROOT / "rtsep" / "assets" / "demo.opus")
    words = {
        "check": ["models", "check", path],
        "file": ["file", song, "--model", path, "-o", str(tmp_path / "out")],
    }
    assert cli.main(words[command]) == ModelError.exit_code
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "from_file" in line]
    assert "which a separator does not need" in line and "Traceback" not in said
    assert not target.exists() and not list(tmp_path.rglob("*.wav"))
