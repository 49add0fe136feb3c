"""Stress: the report has the counts of the measured time, under loads that lasted throughout."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsep.audio.engine import StreamFormat
from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS
from rtsep.audio.telemetry import UNKNOWN, Progress, Telemetry
from rtsep.bench import longsong, torture
from rtsep.bench import plain as beside
from rtsep.bench.plain import plain_client
from rtsep.bench.stress import COLUMNS, COUNTERS, OURS, PLAIN, measure
from rtsep.bench.torture import LOADS, Torture, allocate, read_loads, sort, spin
from rtsep.cli.main import main
from rtsep.errors import DeviceError, OutputError, RtsepError, UsageError
from rtsep.realtime.child_process import command_of
from tests.cli.program import rtsep
from tests.e2e.conftest import start_server  # noqa: F401 (a fixture)
from tests.models import make_model, make_spec
from tests.waiting import until

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "half.pt", "half")


# --- what is counted ---------------------------------------------------------------------------------------


class CountingLive:
    """A session that has counted much before, and counts `meanwhile` while it is waited for."""

    def __init__(self, meanwhile: dict[str, int], gap_ms: float, hop_us: float = 93.2) -> None:
        self.session = types.SimpleNamespace(engine=self)
        self.format = StreamFormat(44100, 2, (0, 1), (0, 1), 256, 44100, 256, False)
        self.spec, self.model_rate = make_spec("half"), 44100
        self._calls = 7_000
        self._longest = Telemetry(call_gap_max_ns=99_000_000, hop_max_ns=900_000_000, late_run=0)
        self.counted = {name: 1000 + n for n, name in enumerate(COUNTERS)}
        self.histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        self.histogram[-1] = 100_000  # all hops before took longest
        self._meanwhile, self._gap_ms, self._hop_us = meanwhile, gap_ms, hop_us

    def progress(self) -> Progress:
        return Progress(0, 0, 0, 0, 0, 0, 0, self._calls, 256, UNKNOWN)

    def telemetry(self) -> Telemetry:
        return self._longest

    def forget_longest(self) -> None:
        self._longest = Telemetry(0, 0, 0)

    def counters(self) -> dict[str, int]:
        return dict(self.counted)

    def hop_histogram(self) -> np.ndarray:
        return self.histogram.copy()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
        for name, more in self._meanwhile.items():
            self.counted[name] += more
        self._calls += 17
        self.histogram[4] += 98
        self.histogram[9] += 1
        self.histogram[min(int(1000 * self._hop_us) // HISTOGRAM_STEP_NS, HISTOGRAM_BINS - 1)] += 1
        gap_ns, hop_ns = round(1e6 * self._gap_ms), round(1000 * self._hop_us)
        self._longest = Telemetry(max(gap_ns, self._longest[0]), max(hop_ns, self._longest[1]), 0)


class CountingPlain:
    """Counts 10 calls, 2 xruns and a skipped one each time it is asked."""

    def __init__(self, answers: int = 99) -> None:
        self._asked, self._answers = 0, answers

    def counts(self) -> dict[str, Any] | None:
        self._asked += 1
        if self._asked > self._answers:
            return None
        n = self._asked
        return {"calls": 50 + 10 * n, "xruns": 2 * n, "skipped": n, "gap_ms": 3.25 * n}


def test_counters_are_what_was_counted_meanwhile():
    meanwhile = {"hops": 18, "late_masks": 3, "underruns": 2, "overruns": 1, "device_xruns": 5}
    live: Any = CountingLive(meanwhile, 7.25)
    (row,) = measure(live, None, "cpu", 0.2)
    assert {name: row[name] for name in COUNTERS} == dict.fromkeys(COUNTERS, 0) | meanwhile
    assert row["calls"] == 17 and row["load"] == "cpu" and row["client"] == OURS
    assert row["calls_due"] == pytest.approx(row["seconds"] * 44100 / 256, abs=2)
    assert row["seconds"] >= 0.2
    assert row["gap_ms"] == 7.25  # the 99 ms were before
    step_us = HISTOGRAM_STEP_NS / 1000
    assert (row["p50"], row["p99"], row["max"]) == (5 * step_us, 93.2, 93.2)  # nor were the 900 ms meanwhile
    assert row["p99_share"] == pytest.approx(row["p99"] / (1e6 * 256 / 44100), abs=1e-4)


def test_the_longest_hop_is_told_however_long_it_was():
    live: Any = CountingLive({}, 1.0, hop_us=345_678.9)
    (row,) = measure(live, None, "all", 0.05)
    assert row["max"] == row["p99.9"] == 345_678.9
    shown = {column.title: column.text(row) for column in COLUMNS}
    assert (shown["p99.9"], shown["max"]) == ("345679", "345679")
    assert shown["p99 / hop"] == f"{row['p99'] / (1e6 * 256 / 44100):.1%}"


def test_a_plain_client_is_counted_in_the_same_time():
    live: Any = CountingLive({}, 1.0)
    plain: Any = CountingPlain()
    ours, theirs = measure(live, plain, "quiet", 0.05)
    assert theirs["client"] == PLAIN and theirs["seconds"] == ours["seconds"]
    assert (theirs["calls"], theirs["device_xruns"], theirs["skipped"]) == (10, 2, 1)
    assert theirs["gap_ms"] == 6.5  # of this time alone: the client forgets when it is asked


def test_a_plain_client_that_has_ended_has_no_row():
    live: Any = CountingLive({}, 1.0)
    plain: Any = CountingPlain(answers=1)
    assert [row["client"] for row in measure(live, plain, "quiet", 0.05)] == [OURS]


# --- the loads ---------------------------------------------------------------------------------------------


def children_of(tortured: Torture) -> list[int]:
    return [child.pid for child in tortured._children]


def gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


wait_until = functools.partial(until, patience_s=PATIENCE_S)


def test_all_loads_run_until_the_end_and_leave_nothing():
    with Torture(tuple(LOADS)) as tortured:
        pids, threads = children_of(tortured), list(tortured._threads)
        assert len(pids) == (os.cpu_count() or 1) + 1 and len(threads) == 2
        assert tortured._folder
        written = Path(tortured._folder.name) / "load"
        wait_until(lambda: written.exists() and written.stat().st_size > 1 << 20)
        tortured.check()
    assert all(gone(pid) for pid in pids)
    assert not any(thread.is_alive() for thread in threads)
    assert not written.parent.exists()


@pytest.mark.parametrize(("load", "kind"), [("cpu", RtsepError), ("disk", OutputError)])
def test_a_load_that_ends_by_itself_is_an_error(load, kind):
    with Torture((load,)) as tortured:
        tortured.check()
        child = tortured._children[-1]
        child.kill()
        child.wait()
        with pytest.raises(RtsepError) as refused:
            tortured.check()
    assert type(refused.value) is kind


def test_a_thread_that_ends_by_itself_is_one_as_well(monkeypatch):
    monkeypatch.setattr(torture, "spin", lambda over: None)
    with Torture(("python",)) as tortured:
        tortured._threads[0].join()
        with pytest.raises(RtsepError, match="a load has ended by itself"):
            tortured.check()


@pytest.mark.parametrize("work", [spin, allocate, sort])
def test_a_load_looks_whether_it_is_over_again_and_again(work):
    asked = []
    work(lambda: bool(asked.append(1)) or len(asked) > 3)
    assert len(asked) == 4


def test_a_load_ends_with_whoever_started_it(tmp_path):
    for words in (["cpu"], ["disk", str(tmp_path)]):
        load = subprocess.Popen([*command_of("rtsep.bench.torture"), *words], stdin=subprocess.PIPE)
        assert load.stdin
        load.stdin.close()  # as the system does when a parent dies
        assert load.wait(PATIENCE_S) == 0


def test_loads_are_read_strictly():
    assert read_loads("disk, cpu,disk") == ("disk", "cpu")
    for text in ("", " , ", "cpu,dsk"):
        with pytest.raises(UsageError, match="must be one or more of python,heap,cpu,disk"):
            read_loads(text)


# --- the plain client --------------------------------------------------------------------------------------


def test_without_a_compiler_or_with_a_broken_one_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with plain_client() as (client, why):
        assert client is None and "no C compiler" in why
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    compiler.chmod(0o755)
    with plain_client() as (client, why):
        assert client is None and "does not build it (no room)" in why


def test_a_client_that_finds_no_server_says_with_which_code_it_left(monkeypatch):
    monkeypatch.setattr(beside, "build", lambda folder: (["/bin/sh", "-c", "exit 2"], ""))
    with plain_client() as (client, why):
        assert client is None and why.endswith("it ended with code 2")


@pytest.mark.jack
def test_it_counts_its_calls_until_it_ends(start_server, monkeypatch):  # noqa: F811
    server = start_server(period=256)
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
    with plain_client() as (client, why):
        if client is None:
            assert "no C compiler" in why
            pytest.skip(why)
        first = client.counts()
        assert first

        def more() -> Any:
            counts = client.counts()
            assert counts
            return counts["calls"] - first["calls"] > 1 and counts

        assert until(more, "it should be called")["gap_ms"] > 0
        client._process.kill()
        client._process.wait()
        assert client.counts() is None


# --- as a user runs it -------------------------------------------------------------------------------------


@pytest.mark.long
def test_it_runs_under_each_load_on_the_virtual_device(half):
    options = ("--out-device", "virtual", "--seconds", 0.5, "--load", "python,cpu", "--each", "--model", half)
    run = rtsep("bench", "stress", *options, "--json")
    assert run.code == 0, run.said
    (result,) = run.json
    assert [row["load"] for row in result["rows"]] == ["quiet", "python", "cpu", "python+cpu"]
    for row in result["rows"]:
        assert row["client"] == OURS and row["seconds"] >= 0.5
        assert row["hops"] > 0 and row["calls"] > 0 and row["gap_ms"] > 0
        assert 0 < row["p50"] <= row["p99"] <= row["p99.9"] <= row["max"]
    assert any("no plain C client beside it" in note for note in result["notes"])


@pytest.mark.jack
def test_on_jack_a_plain_client_is_beside_it(start_server, half):  # noqa: F811
    server = start_server(period=256)
    options = ("--seconds", 0.5, "--load", "python", "--model", half)
    run = rtsep("bench", "stress", *options, "--json", JACK_DEFAULT_SERVER=server.name)
    assert run.code == 0, run.said
    (result,) = run.json
    assert result["settings"]["where"] == "a JACK server" and result["settings"]["block"] == 256
    ours = [row for row in result["rows"] if row["client"] == OURS]
    assert [row["load"] for row in ours] == ["quiet", "python"]
    assert all(row["hops"] > 0 and row["source_starved_frames"] == 0 for row in ours)
    theirs = [row for row in result["rows"] if row["client"] == PLAIN]
    if not theirs:
        assert any("no C compiler" in note for note in result["notes"])
        return
    assert [row["load"] for row in theirs] == ["quiet", "python"]
    assert all(row["calls"] > 0 for row in theirs)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--seconds", "0"], 2, "--seconds 0"),
        (["--seconds", "inf"], 2, "--seconds inf"),
        (["--seconds", "1e6"], 2, "at most 86400"),
        (["--load", "cpuu"], 2, "did you mean 'cpu'"),
        (["--block", "3"], 2, "16 to 8192"),
        (["--rate", "1"], 2, "8000 to 384000"),
        (["--model", "nosuch"], 4, "no model is called"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, options, code, said):
    assert main(["bench", "stress", *options]) == code
    assert said in capsys.readouterr().err


def test_a_song_without_space_is_refused_before_it_is_written(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=10_000_000))
    monkeypatch.setattr(longsong.soundfile, "SoundFile", None)
    with (
        pytest.raises(OutputError, match=r"no space for 115 MB of song \(10 MB are free\); give less$"),
        longsong.long_song(600.0, "give less"),
    ):
        pass


def test_a_device_that_is_not_there_is_refused_in_one_line(half):
    run = rtsep("bench", "stress", "--out-device", "nosuch", "--model", half)
    assert run.code == DeviceError.exit_code and run.out == []
    assert len(run.said) == 1 and "nosuch" in run.said[0]
