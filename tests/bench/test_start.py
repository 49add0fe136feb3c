"""The start: stages in their order, what was not reached, and a process that refuses to start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtsep.bench import start as bench
from rtsep.bench.start import STAGES, Start, in_words, start_once, table
from rtsep.cli.main import main
from rtsep.errors import DeviceError, ModelProcessError
from rtsep.model.package import read_package
from tests.cli.program import rtsep
from tests.models import make_model

ORDER = list(STAGES)


def reached(step_ms: float, *without: str) -> dict[str, float]:
    """Return a start whose every stage takes `step_ms`."""
    return {name: step_ms * (n + 1) for n, name in enumerate(ORDER) if name not in without}


def test_stages_stand_in_the_order_in_which_they_were_reached_with_median_and_worst():
    first = reached(100) | {"told": 50.0}  # earlier than the others, in any order of the table
    rows = table("warm", [first, first | {"sound": 5000.0}, first])
    assert [row["name"] for row in rows] == ["told", *(name for name in ORDER if name != "told")]
    sound = rows[-1]
    assert (sound["median_ms"], sound["worst_ms"], sound["runs"]) == (1100, 5000, 3)
    assert sound["all_ms"] == [1100, 5000, 1100]


def test_in_words_it_is_the_worst_that_must_keep_the_aim():
    (line,) = in_words(table("warm", [reached(100), reached(150)]))
    assert line.startswith("warm start to the first sound: 1.38 s, at worst 1.65 s (the goal of 2 s is met)")
    assert "the user is informed after 0.50 s" in line
    assert "the model process came last, 0.38 s after compiled code" in line
    (line,) = in_words(table("warm", [reached(100), reached(100), reached(200)]))
    assert "1.10 s, at worst 2.20 s (the goal of 2 s is missed)" in line
    (line,) = in_words(table("cold", [reached(9000)]))
    assert "aim" not in line


def test_a_stage_that_was_not_reached_is_told():
    rows = table("warm", [reached(100, "sound", "told")])
    assert {"sound", "told"}.isdisjoint(row["name"] for row in rows)
    (line,) = in_words(rows)
    assert line == "warm start: not reached in any run: the user is informed of the start, first sound"
    sound, missing = in_words(table("warm", [reached(100, "compiled")]))
    assert "came last" not in sound and missing.endswith("compiled code is loaded")


def test_warm_starts_follow_one_that_does_not_count_and_each_cold_one_finds_an_empty_cache(monkeypatch):
    found: list[str | None] = []

    def start(options: list[str], environment: dict[str, str] | None = None) -> Start:
        cache = (environment or {}).get("NUMBA_CACHE_DIR")
        assert cache is None or not list(Path(cache).iterdir())
        if cache:
            (Path(cache) / "compiled").touch()
        found.append(cache)
        return Start(reached(len(found)), [])

    monkeypatch.setattr(bench, "start_once", start)
    warm = bench._starts([], 2, cold=False, drops=False)
    assert [round(one.reached["imports"]) for one in warm] == [2, 3] and found == [None] * 3
    assert len(bench._starts([], 2, cold=True, drops=False)) == 2
    assert None not in found[3:] and len(set(found[3:])) == 2
    assert not any(Path(folder).exists() for folder in found[3:])


def test_files_in_memory_are_dropped_before_each_cold_start_where_that_may_be(monkeypatch, tmp_path):
    switch = tmp_path / "drop_caches"
    notes: list[str] = []
    monkeypatch.setattr(bench, "_DROP_CACHES", switch)
    assert not bench._drops_caches(notes) and "found files in memory" in notes[0]
    switch.touch()
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux can")
    assert bench._drops_caches(notes) and len(notes) == 1
    dropped: list[str] = []
    monkeypatch.setattr(
        bench, "start_once", lambda *_: dropped.append(switch.read_text()) or Start(reached(1), [])
    )
    bench._starts([], 1, cold=True, drops=True)
    assert dropped == ["3\n"]


def test_a_process_that_refuses_becomes_our_error_with_its_exit_code(monkeypatch):
    def says(program: str) -> None:
        monkeypatch.setattr(bench, "rtsep_command", lambda *_: [sys.executable, "-c", program])

    says("import sys; print('rtsep: no such card; plug it in', file=sys.stderr); sys.exit(3)")
    with pytest.raises(DeviceError, match=r"^no such card; plug it in$"):
        start_once([])
    says("raise SystemExit(99)")
    with pytest.raises(
        ModelProcessError, match="code 99 without a message; try it by hand: rtsep live --in demo"
    ):
        start_once(["--model", "x"])


# --- as a user runs it -----------------------------------------------------------------------------------


def test_it_runs_and_every_stage_is_reached_in_an_order_that_can_be(tmp_path):
    half = make_model(tmp_path / "half.pt", "half")
    options = ("--runs", 1, "--cold-runs", 0, "--out-device", "virtual", "--model", half)
    run = rtsep("bench", "start", *options, "--json", XDG_STATE_HOME=str(tmp_path / "state"))
    assert run.code == 0, run.said
    (result,) = run.json
    at = {row["name"]: row["median_ms"] for row in result["rows"]}
    assert at.keys() == STAGES.keys()
    assert list(at.values()) == sorted(at.values())
    for chain in (
        ("imports", "model file", "devices", "streams", "hop", "sound"),
        ("model imports", "model loaded", "model", "streams"),
        ("devices", "compiled", "streams"),
    ):
        assert [at[name] for name in chain] == sorted(at[name] for name in chain), chain
    assert 0 < at["imports"] < at["told"]
    package = read_package(half)
    told = {"model": package.spec.name, "model_sha256": package.sha256}
    assert {name: result["settings"][name] for name in told} == told
    assert result["notes"][0].startswith("warm start to the first sound")
    assert not (tmp_path / "state").exists()  # what --resume goes on from is the user's


def test_a_device_that_is_not_there_is_refused_in_one_line():
    run = rtsep("bench", "start", "--out-device", "nosuch", "--cold-runs", 0)
    assert run.code == DeviceError.exit_code and run.out == []
    assert len(run.said) == 1 and "no output device is called 'nosuch'" in run.said[0]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--runs", "0", "--cold-runs", "0"], 2, "at least 1 run"),
        (["--runs", "-1"], 2, "--runs -1"),
        (["--model", "nosuch"], 4, "no model is called 'nosuch'"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, options, code, said):
    assert main(["bench", "start", *options]) == code
    assert said in capsys.readouterr().err
