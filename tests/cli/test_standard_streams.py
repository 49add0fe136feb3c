"""Standard streams that are closed, full, or left by their readers: nothing else takes their place."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from rtsep import standard_streams
from rtsep.cli import live_output
from rtsep.realtime.child_process import command_of
from rtsep.standard_streams import accepts
from tests.cli.program import ROOT

fcntl = pytest.importorskip("fcntl", reason="pipes of POSIX")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")

RTSEP = f"{sys.executable} -m rtsep"

OPENED = """
import json, os, sys
from rtsep import standard_streams
standard_streams.complete()
file = open(sys.argv[1], "w")
os.write(1, b"to standard output")
os.write(2, b"to standard error")
print("printed to standard error", file=sys.stderr)
print("printed to standard output")
json.dump({"fd": file.fileno(), "read": sys.stdin.read(), "null": [
    os.fstat(n).st_rdev == os.stat(os.devnull).st_rdev for n in range(3)]}, file)
"""


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("closed", "nowhere"),
    [("<&-", [0]), (">&-", [1]), ("2>&-", [2]), ("<&- >&-", [0, 1]), ("<&- >&- 2>&-", [0, 1, 2])],
)
def test_a_closed_stream_leads_nowhere_and_no_file_gets_its_number(
    tmp_path: Path, closed: str, nowhere: list[int]
) -> None:
    there = tmp_path / "file"
    run = shell(f"{sys.executable} -c '{OPENED}' {there} {closed}")
    assert run.returncode == 0, run.stderr
    found = json.loads(there.read_text())
    assert found["fd"] > 2 and found["read"] == ""
    assert [n for n in nowhere if found["null"][n]] == nowhere
    assert ("standard error" in run.stdout) is False
    assert ("printed to standard output" in run.stdout) == (1 not in nowhere)


def test_json_is_not_spoilt_where_standard_error_is_closed() -> None:
    run = shell(f"{RTSEP} models --json 2>&-; {RTSEP} models nonesuch --json 2>&-")
    assert [json.loads(line) for line in run.stdout.splitlines()]


def test_a_child_process_of_ours_completes_its_streams() -> None:
    program = command_of("rtsep.cli.models")[-1]
    assert program.index("complete()") < program.index("import main")


def left(words: str, stream: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """Run `rtsep WORDS`; the reader of `stream` has left."""
    reading, writing = os.pipe()
    os.close(reading)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writing}
    try:
        return subprocess.run(
            [sys.executable, "-m", "rtsep", *words.split()], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
            check=False, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, **pipes,
        )  # type: ignore[call-overload] # fmt: skip
    finally:
        os.close(writing)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["models", "models --json"])
def test_a_reader_that_leaves_ends_the_command_without_a_word(words: str, unbuffered: str) -> None:
    """As `| head -0`."""
    run = left(words, "stdout", unbuffered)
    assert (run.returncode, run.stderr) == (1, "")


def test_a_reader_that_leaves_may_miss_the_help() -> None:
    assert left("--help", "stdout").stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("buffered", ["PYTHONUNBUFFERED=", "PYTHONUNBUFFERED=1"])
def test_a_full_disk_behind_standard_output_is_one_line(buffered: str) -> None:
    run = shell(f"{buffered} {RTSEP} models > /dev/full")
    assert run.returncode == 6
    (line,) = run.stderr.splitlines()
    assert line.startswith("rtsep: standard output cannot be written: No space left")


def test_a_standard_error_that_nobody_reads_changes_no_exit_code() -> None:
    run = left("models nonesuch", "stderr")
    assert (run.returncode, run.stdout) == (4, "")


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="sizes of pipes can be set on Linux")
def test_a_pipe_that_nobody_reads_accepts_no_line_and_delays_nobody() -> None:
    program = """
import sys
from rtsep import standard_streams
accepted = [standard_streams.print_line("x" * 1000) for _ in range(20)]
late = standard_streams.print_line("y" * 9000, patience_s=0.2)
standard_streams.notify("z" * 1000)
for _ in range(20):
    standard_streams.notify("z" * 1000)
open(sys.argv[1], "w").write(f"{accepted[0]} {accepted[-1]} {late}")
standard_streams.drop("stdout")
"""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder, "done")
        try:
            command = [sys.executable, "-c", program, str(done)]
            subprocess.run(command, cwd=ROOT, stdout=writing, stderr=writing, check=True, timeout=60)
        finally:
            os.close(writing)
            os.close(reading)
        assert done.read_text() == "True False False"


def test_the_rest_of_a_line_comes_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long line of which a late reader took a part is not glued to another one."""
    room = [True, True, False, False, True, True, True, True]  # for each part of 4 bytes
    monkeypatch.setattr(standard_streams, "accepts", lambda *_: room.pop(0))
    monkeypatch.setattr(standard_streams, "_AT_ONCE", 4)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not standard_streams.print_line("abcdefg"), "two questions before the first part"
    assert not standard_streams.print_line("left out")
    assert standard_streams.print_line("hij")
    assert sys.stdout.getvalue() == "abcdefg\nhij\n"  # type: ignore[attr-defined]


def test_a_reader_that_has_left_is_not_one_that_is_late() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        assert accepts(stream)
        os.close(reading)
        assert accepts(stream), "the write fails at once"


class Playing:
    """Stands in for a session whose figures are asked for."""

    def stats(self) -> dict[str, str]:
        return {"figures": "0" * 1000}

    def end(self) -> None:
        pytest.fail("nobody has closed the output")


def test_figures_that_nobody_reads_do_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "REPORT_EVERY_S", 0.001)
    asked = threading.Event()
    playing = Playing()
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with live_output.Reporter(playing, None) as _:  # type: ignore[arg-type]
            while accepts(stream):
                asked.wait(0.01)
            asked.wait(0.1)
        left = [thread.name for thread in threading.enumerate() if thread.name == "reporter"]
        assert left == [], "it left out what nobody read"
        os.close(reading)
