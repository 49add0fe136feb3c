"""All benchmarks, one after the other: each by its own command line, what fails ends nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import all as everything
from benchmarks import jackd
from benchmarks.__main__ import COMMANDS, main
from benchmarks.all import Failed, process, run_all
from benchmarks.plan import BENCHES, BY_NAME
from rtsep.cli.main import build_parser
from rtsep.realtime.child_process import command_of
from tests.benchmarks.results import result
from tests.e2e.claims import claimed
from tests.train.recordings import write_track
from train.commandline import parser_of

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """Runs nothing: notes commands, and gives what each benchmark would."""

    def __init__(self, broken=(), garbage=()):
        self.commands, self.broken, self.garbage = {}, broken, garbage

    def __call__(self, command, environment):
        words = command[command.index("-c") + 2 :]
        name = next(name for name in BY_NAME if name.split("-")[0] in words[:2])
        if "cuda" in words:
            name = "hop-cuda"
        self.commands[name] = words
        if name in self.broken:
            raise Failed("ended with code 3")
        text = "no JSON" if name in self.garbage else json.dumps(result(name))
        if "--json" in words[:-1]:
            with open(words[words.index("--json") + 1], "w") as file:  # noqa: PTH123
                file.write(text)
            return "a table"
        return text


def test_results_are_kept_and_failures_do_not_end_the_rest(tmp_path):
    machine = Machine(broken=["peers", "file"], garbage=["start"])
    (tmp_path / "results").mkdir()
    (tmp_path / "results/file.json").write_text("of an earlier run")
    failed = run_all(BENCHES, {"stress": ["--seconds", "7"]}, tmp_path, {}, machine)
    assert list(machine.commands) == list(BY_NAME), "all were tried, in order"
    assert [line.split(":")[0] for line in failed] == ["peers", "file", "start"]
    kept = {path.stem for path in (tmp_path / "results").glob("*.json")}
    assert kept == {"hop-cpu", "hop-cuda", "roundtrip", "stress", "gains", "file"}
    assert (tmp_path / "results/file.json").read_text() == "of an earlier run"
    assert json.loads((tmp_path / "results/gains.json").read_text())["rows"] == result("gains")["rows"]
    assert [*(tmp_path / "results").glob("tmp*")] == []
    # Options of the command line come last and so win over those of the plan.
    assert machine.commands["stress"] == [*BY_NAME["stress"].words[1:], "--seconds", "7", "--json"]


def processes(environment: str) -> list[str]:
    """Return the command lines of all processes here that have `environment`, which children inherit."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if environment.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture
def one_benchmark() -> Iterator[None]:
    """Waits until no other run of these tests has a server of the one name that benchmarks use."""
    with claimed([jackd.NAME], 600.0):
        yield


@pytest.mark.jack
def test_a_request_to_terminate_leaves_nothing_behind(tmp_path, one_benchmark):
    write_track(tmp_path / "data" / "Somebody - Something", 1.0)
    mark = ("RTSEP_TEST_MARK", str(tmp_path))
    words = ["all", "--data", str(tmp_path / "data"), "--only", "stress", "--folder", str(tmp_path / "page")]
    running = subprocess.Popen(
        [*command_of("benchmarks.__main__"), *words], cwd=ROOT, env=os.environ | dict([mark])
    )

    def of_its_own(word: str) -> bool:
        return any(word in line for line in processes("=".join(mark)))

    try:
        over = time.monotonic() + 120
        while not (of_its_own("jackd") and of_its_own("rtsep.model")):  # it plays
            assert running.poll() is None and time.monotonic() < over
            time.sleep(0.1)
        running.terminate()
        assert running.wait(60) == 128 + signal.SIGTERM
    finally:
        running.kill()
    over = time.monotonic() + 30
    while left := [line for line in processes("=".join(mark)) if line]:  # a zombie has none
        assert time.monotonic() < over, left
        time.sleep(0.1)
    assert [*tmp_path.glob("page/results/*")] == []


@pytest.fixture
def quiet(monkeypatch):
    """No GPU, no JACK server, and a page that is not written."""
    monkeypatch.setattr(everything, "_has_cuda", lambda: False)
    monkeypatch.setattr(everything, "private_server", lambda: contextlib.nullcontext({}))
    monkeypatch.setattr(everything, "write_page", lambda folder: folder / "RESULTS.md")


def test_a_failure_is_reported_by_the_exit_code(tmp_path, quiet, monkeypatch, capsys):
    track = write_track(tmp_path / "tracks/one", seconds=0.2)
    words = ["all", "--quick", "--data", str(track.parent), "--folder", str(tmp_path / "out")]
    machine = Machine()
    monkeypatch.setattr(everything.run_all, "__defaults__", (machine,))
    assert main(words) == 0
    assert set(machine.commands) == set(BY_NAME) - {"hop-cuda"}
    peers = machine.commands["peers"]
    assert peers[peers.index("--data") + 1] == str(track.parent) and "one" in peers
    kept = peers[
        peers.index("--unfinished") + 1
    ]  # not beside the JSON, whose folder goes with an interruption
    assert kept == str(tmp_path / "out/results/peers.json.unfinished")
    monkeypatch.setattr(everything.run_all, "__defaults__", (Machine(broken=["stress"]),))
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert "1 of 7 benchmarks failed: stress: ended with code 3" in printed and "RESULTS.md" in printed
    machine = Machine()
    monkeypatch.setattr(everything.run_all, "__defaults__", (machine,))
    assert main([*words, "--only", "file,gains"]) == 0 and set(machine.commands) == {"file", "gains"}
    assert main([*words, "--only", "flie"]) == 2
    assert "did you mean 'file'" in capsys.readouterr().err


def test_a_process_that_fails_is_reported(capfd):
    code = "import sys; print('a result'); print('why', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    assert process([sys.executable, "-c", code, "0"], {}) == "a result\n"
    with pytest.raises(Failed, match="code 4"):
        process([sys.executable, "-c", code, "4"], {})
    assert "why" in capfd.readouterr().err


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.name)
@pytest.mark.parametrize("quick", [False, True])
def test_the_commands_on_the_page_are_commands(bench, quick):
    words = [*bench.words, *(bench.quick if quick else ())]
    if bench.prints:
        build_parser("bench").parse_args([*words[1:], "--json"])
    else:
        data = ["--data", "x"] if bench.data else []
        parser_of("benchmarks", words[3], COMMANDS).parse_args([*words[4:], *data, "--json", "x.json"])
    assert {column.key for column in bench.columns}
