"""A run of `peers` that was interrupted goes on where it stopped; a broken track costs only itself."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import cost, quality
from benchmarks import peers as comparing
from benchmarks.__main__ import main
from benchmarks.quality import MIXTURE
from benchmarks.systems import SYSTEMS
from benchmarks.unfinished import Unfinished
from rtsep.bench.result import spread
from rtsep.errors import InputFileError
from tests.models import make_model
from tests.train.recordings import write_track


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """One model instead of those that ship; gives the names of what had its costs measured."""
    asked = []
    (tmp_path / "ships").mkdir()
    make_model(tmp_path / "ships/half.pt", "half", name="half")

    def alone(work, what, *_):
        asked.append(getattr(what, "stem", what))
        times = {"hop_us": 5805.0, "hops": 3} | spread([1.0, 2.0, 3.0], 5805.0)
        return times | {"title": "a", "runs": "live"}

    def pool(workers, context, begin, arguments):
        quality._in_worker.clear()
        return ThreadPoolExecutor(1, initializer=begin, initargs=arguments)

    monkeypatch.setattr(quality, "ProcessPoolExecutor", pool)  # processes: see test_quality.py
    monkeypatch.setattr(quality, "_in_worker", [])
    monkeypatch.setattr(cost, "alone", alone)
    monkeypatch.setattr(comparing, "shipped_folder", lambda: tmp_path / "ships")
    return asked


def words(tmp_path, *more):
    data = ["--data", str(tmp_path / "tracks"), "--json", str(tmp_path / "peers.json")]
    return ["peers", *data, "--rescore", "--systems", "centre", *more]


def test_what_was_measured_before_an_interruption_is_not_measured_again(tmp_path, monkeypatch, asked):
    for seed, name in enumerate(("one", "two")):
        write_track(tmp_path / "tracks" / name, seconds=1.1, seed=seed)
    keep, kept = quality._keep, tmp_path / "peers.json.unfinished"

    def interrupt(task, unfinished, bar):
        keep(task, unfinished, bar)
        raise Interrupted

    monkeypatch.setattr(quality, "_keep", interrupt)
    with pytest.raises(Interrupted):
        main(words(tmp_path))
    assert asked == ["half", "centre"] and not (tmp_path / "peers.json").exists()
    first = [line["clip"] for line in map(json.loads, kept.read_text().splitlines()) if "clip" in line]
    with kept.open("a") as file:
        file.write('{"clip": "tw')  # and killed while it wrote

    scored = []
    monkeypatch.setattr(
        quality, "_keep", lambda task, *rest: scored.append(task.result()) or keep(task, *rest)
    )
    assert main(words(tmp_path)) == 0
    assert asked == ["half", "centre"], "costs too"
    assert {row["clip"]: row["new"] == [] for row in scored} == {
        name: name in first for name in ("one", "two")
    }
    printed = json.loads((tmp_path / "peers.json").read_text())
    assert printed["settings"]["scores_measured"] == 6 and printed["settings"]["tracks"] == ["one", "two"]
    assert not kept.exists()
    assert {line for line in printed["notes"] if "not chosen with --systems" in line} == {
        f"{name}: not measured: not chosen with --systems" for name in SYSTEMS if name != "centre"
    }


def test_a_broken_track_is_named_and_left_out(tmp_path, asked, capsys):
    write_track(tmp_path / "tracks/one", seconds=1.1)
    broken = write_track(tmp_path / "tracks/two", seconds=1.1)
    (broken / "vocals.wav").write_bytes(b"no sound")
    assert main(words(tmp_path)) == 0
    printed = json.loads((tmp_path / "peers.json").read_text())
    assert printed["settings"]["tracks"] == ["one"] and printed["settings"]["tracks_skipped"] == ["two"]
    assert "1 tracks cannot be read and are left out: two" in printed["notes"]
    assert printed["title"] == "separators on 1 tracks"
    assert "skipped: " in "".join(capsys.readouterr())
    with pytest.raises(InputFileError, match="none of 1 tracks could be scored"):
        quality.score([broken], [], [], quality.Found({}))


def test_only_the_same_file_under_the_same_conditions_is_taken_up(tmp_path):
    path = tmp_path / "kept"
    scores = {MIXTURE: {"vocals": {"sdr": math.nan}}, "half": {"vocals": {"sdr": 2.0}}}
    before = Unfinished(path, {"half": "aa"})
    before.keep_track("one", 1.5, scores)
    before.keep_cost("half", {"median": 3.0}, {"seconds": 2.0})
    same = Unfinished(path, {"half": "aa"})
    assert same.figures()["half", "one"] == (1.5, scores["half"])
    assert math.isnan(same.figures()[MIXTURE, "one"][1]["vocals"]["sdr"])
    assert same.costs({"seconds": 2.0}) == {"half": {"median": 3.0}} and same.costs({"seconds": 9.0}) == {}
    changed = Unfinished(path, {"half": "bb"})
    assert changed.figures().keys() == {(MIXTURE, "one")} and changed.costs({"seconds": 2.0}) == {}
    path.write_text('[]\n{"clip": 1}\nno line\n')
    assert Unfinished(path, {}).figures() == {} and Unfinished(None, {}).figures() == {}
