"""`rtsep file` accounted for: memory and time of processes whose memory and time are known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtsep.bench import file as bench
from rtsep.bench.child import Account, account_of, refusal, rtsep_command
from rtsep.bench.file import in_words, row_of, separated
from rtsep.cli.main import main
from rtsep.errors import InputFileError, ModelError, ModelProcessError, OutputError
from tests.cli.program import rtsep
from tests.models import make_model

MIB = 1 << 20


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


# --- the account -----------------------------------------------------------------------------------------


def test_a_known_allocation_is_its_peak_even_where_it_is_given_back_and_its_parent_is_larger():
    ballast = b"x" * (300 * MIB)  # of this process: none of it may be found in the account
    empty = account_of(python("pass"))
    large = account_of(python(f"x = b'x' * {150 * MIB}; del x"))
    assert len(ballast) == 300 * MIB and empty.peak_mib < 100
    assert 135 < large.peak_mib - empty.peak_mib < 165, "the peak of an empty one is that of its start"


def test_what_a_process_starts_counts_as_well():
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', \"x = b'x' * {120 * MIB}\"])"
    assert 120 < account_of(python(grandchild)).peak_mib < 200


def test_computing_time_is_not_waiting_time():
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint('done')"
    account = account_of(python(busy))
    assert account.code == 0 and account.out == "done\n" and account.messages == []
    assert 0.5 <= account.cpu_s < 0.75 and account.cpu_s <= account.wall_s + 0.1
    idle = account_of(python("import time; time.sleep(0.5)"))
    assert idle.wall_s >= 0.5 and idle.cpu_s < 0.3


def test_how_it_ended_and_what_it_said_are_told():
    account = account_of(python("import sys; print('out'); sys.exit('one\\ntwo')"))
    assert (account.code, account.out, account.messages) == (1, "out\n", ["one", "two"])
    assert account_of(python("import os; os.kill(os.getpid(), 9)")).code == -signal.SIGKILL


def test_it_ends_with_whoever_waits_for_it(tmp_path):
    pid_file = tmp_path / "pid"
    sleeper = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    waiting = (
        "import signal, sys; from rtsep.bench.child import account_of; "
        # Tests that run in the background may inherit an ignored signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"account_of([sys.executable, '-c', {sleeper!r}])"
    )
    parent = subprocess.Popen(python(waiting), stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    until = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(signal.SIGINT)  # the parent alone
    assert parent.wait(60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


# --- what is wrong is an error of ours, with its exit code ------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"), [(5, InputFileError), (6, OutputError), (4, ModelError), (99, ModelProcessError)]
)
def test_a_refusal_becomes_our_error(code, kind):
    error = refusal(code, ["something else", "rtsep: it is so; do this"], ["file", "x"])
    assert type(error) is kind and str(error) == "it is so; do this"


def test_a_process_that_says_nothing_is_one_to_try_by_hand():
    assert "ended with code -9 without a message; try it by hand: rtsep file a b" in str(
        refusal(-9, [], ["file", "a", "b"])
    )


def test_a_file_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        separated(tmp_path / "nosuch.wav", [])


# --- the report ------------------------------------------------------------------------------------------


def account(wall_s: float, cpu_s: float, peak_mib: float) -> Account:
    return Account(0, wall_s, cpu_s, peak_mib, "", [])


def test_a_row_is_made_of_the_account_less_the_start():
    told = {"seconds": 601.0, "wall_seconds": 100.0, "realtime_factor": 0.1664}
    row = row_of(account(105.0, 63.0, 350.25), told, account(4.0, 3.0, 340.0))
    assert row["minutes"] == pytest.approx(601 / 60, abs=1e-3)
    assert row["start_s"] == 5.0 and row["wall_s"] == 105.0
    assert row["realtime_factor"] == 0.1664
    assert row["cpu_factor"] == 0.1  # 60 s for 600 s
    assert row["peak_mib"] == 350.2


def series(*figures: tuple[float, float, float]) -> list[dict[str, float]]:
    return [{"minutes": m, "cpu_factor": factor, "peak_mib": peak} for m, factor, peak in figures]


def test_a_linear_series_is_called_linear_and_flat():
    memory, time_ = in_words(series((1, 0.10, 350), (10, 0.102, 352), (60, 0.099, 356)))
    assert memory == "memory is flat: +1.7% from 1 to 60 minutes (at most +5% is flat)"
    assert time_.startswith(
        "computing time is linear in the length: +2.0% for a second of music from 1 to 60"
    )


def test_a_growing_series_is_not():
    memory, time_ = in_words(series((1, 0.10, 350), (10, 0.15, 800), (60, 0.90, 3500)))
    assert memory.startswith("memory grows with the length: +900.0%")
    assert time_.startswith("computing time grows faster than the length: +800.0% for a second of music")


def test_what_grows_in_the_middle_counts_as_well():
    memory, time_ = in_words(series((1, 0.1, 350), (10, 0.2, 700), (60, 0.1, 350)))
    assert "grows" in memory and "grows" in time_


def test_one_length_or_too_little_to_measure_tells_nothing_of_growth():
    (only,) = in_words(series((10, 0.1, 350), (12, 0.1, 350)))
    assert "growth not measured" in only and "--minutes 1,10" in only
    assert len(list(in_words(series((10, 0.1, 350))))) == 1
    _, time_ = in_words(series((0.1, -0.01, 350), (1, 0.1, 350)))
    assert "too little to compare" in time_


# --- as a user runs it -----------------------------------------------------------------------------------


@pytest.mark.long  # three whole runs for each length
def test_it_runs_and_measures_what_rtsep_file_takes(tmp_path):
    half = make_model(tmp_path / "half.pt", "half")
    run = rtsep(
        "bench", "file", "--minutes", "0.2,0.1", "--model", half, "--json", XDG_CACHE_HOME=str(tmp_path)
    )
    assert run.code == 0, run.said
    (result,) = run.json
    assert [row["minutes"] for row in result["rows"]] == [0.1, 0.2]
    for row in result["rows"]:
        assert 0 < row["start_s"] < row["wall_s"] and row["cpu_s"] > 0
        assert row["realtime_factor"] * 60 * row["minutes"] == pytest.approx(
            row["wall_s"] - row["start_s"], rel=0.01, abs=0.01
        )
        assert row["peak_mib"] > 100  # torch alone
    assert result["notes"][0].startswith("memory is flat")
    assert not list(tmp_path.rglob("bench-*"))  # nothing is left behind


@pytest.mark.parametrize("minutes", ["0", "nan", "a", "", "1,2000"])
def test_lengths_that_make_no_sense_are_refused(capsys, minutes):
    with pytest.raises(SystemExit) as left:
        main(["bench", "file", "--minutes", minutes])
    assert left.value.code == 2
    assert "0.1 to 1440" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named_before_anything_runs(capsys, monkeypatch):
    monkeypatch.setattr(bench, "long_song", None)
    assert main(["bench", "file", "--model", "nosuch"]) == ModelError.exit_code
    assert "no model is called 'nosuch'" in capsys.readouterr().err


def test_the_command_is_the_program_itself():
    account = account_of(rtsep_command("--version"))
    assert account.code == 0 and account.out.startswith("rtsep ")
