import argparse
import dataclasses
import itertools
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from rtsep.errors import InputFileError, UsageError
from tests.train.conftest import SYSTEM
from tests.train.run_folders import history, write_run
from tests.train.test_compare import evaluation
from train.commandline import without_paths
from train.learn.fit import fit
from train.learn.presets import changed, preset, to_plain
from train.pages import runs
from train.pages.record import thinned
from train.pages.record_files import add, read_record, read_records
from train.pages.run_description import describe
from train.pages.runs import make_page, page_of
from train.pages.runs_plot import fingerprint, plot_runs
from train.score.scores import write_scores

TRAIN = Path(__file__).parents[2] / "train"
OUTSIDE = re.compile(r"(?:^|[\s\"'`(=,\[])(?:/|~|\.\./|[A-Za-z]:\\)\w", re.MULTILINE)
"""Anything that begins like a path of some machine."""


def command(*words):
    parser = argparse.ArgumentParser()
    runs.add_arguments(parser)
    runs.run(parser.parse_args([str(word) for word in words]))


# ---------------------------------------------------------------------- records
def test_record_of_a_run_as_fit_leaves_it(config, tmp_path, monkeypatch):
    typed = ["fit", "--cache", str(config.cache), f"--run={config.run}", "--steps", "4", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["train", *typed])
    state = fit(config)
    record = add(tmp_path / "records", config.run, "tiny", " a first\ntry ")

    assert record == read_record(tmp_path / "records/tiny.json")
    cache = config.cache.name
    assert record.command == f"python -m train fit --cache {cache} --run=run --steps 4 --device cpu"
    assert record.note == "a first try" and record.cache == cache and record.schedule["steps"] == 4
    assert (record.family, record.preset) == ("causal", "causal")
    assert "dim=16" in record.differs and "training.hops=320" in record.differs and record.unsaid == []
    assert record.options == json.loads(json.dumps(to_plain(SYSTEM)["options"]))
    assert record.parameters == sum(p.numel() for p in SYSTEM.net().parameters())
    assert record.steps == 4 and record.audio_hours == pytest.approx(state.audio_s / 3600, rel=1e-2)
    assert record.wall_minutes == pytest.approx(state.elapsed_s / 60, rel=1e-2)
    assert record.core_minutes == pytest.approx(state.cpu_s / 60, rel=1e-2)
    assert {name for name, _ in record.data} >= {"musdb18-7", "everything-is-free"}
    assert record.songs.keys() == state.songs.keys() and record.songs
    voices = [voice for voice, _ in state.songs.values()]
    assert record.at_end("voice_mean") == pytest.approx(sum(voices) / len(voices), abs=1e-3)
    assert record.at_end("error_db") == pytest.approx(state.history[-1]["error_db"], abs=1e-3)
    assert str(tmp_path) not in (tmp_path / "records/tiny.json").read_text()


def test_what_differs_is_what_set_takes(tmp_path):
    choices = [
        "training.batch=2",
        "training.recipe.level_db=(-20.0,4.0)",
        "mel_weighting=True",
        "column=last",
    ]
    system = changed(preset("column-resnet"), choices)
    folder = write_run(tmp_path / "run", history(1), to_plain(system))
    record = describe(folder, "a", "note")
    assert sorted(record.differs) == sorted(choices) and record.unsaid == []
    assert changed(preset("column-resnet"), record.differs) == system
    # Against the preset that the command names, where there is one of that family:
    about = {"command": "python -m train fit --system column-resnet-causal --run x"}
    named = describe(write_run(tmp_path / "b", history(1), to_plain(system), about), "b", "note")
    assert named.preset == "column-resnet-causal" and "column=last" not in named.differs
    about = {"command": "python -m train fit --system gone --run x"}
    assert (
        describe(write_run(tmp_path / "c", [], to_plain(system), about), "c", "n").preset == "column-resnet"
    )


def test_a_run_is_summed_up(tmp_path):
    folder = write_run(
        tmp_path / "run", history(3), to_plain(preset("causal")),
        state={"step": 310, "elapsed_s": 1200.0, "cpu_s": 600.0, "audio_s": 5400.0},
    )  # fmt: skip
    record = describe(folder, "a", "note")
    assert record.data == [["b", 6.5], ["a", 1.5]]  # one for each set
    assert (record.init, record.cache, record.replicas) == ("before", "audio", 2)
    assert (record.steps, record.wall_minutes, record.core_minutes, record.audio_hours) == (310, 20, 10, 1.5)
    assert record.schedule == {"minutes": 60.0, "seed": 3} and record.differs == []
    assert record.points[0]["loss"] == 0.00123 and record.points[0]["error_db"] == -9.123
    assert record.points[1]["leak_db"] is None  # was no number
    text = page_of([record], "c.png")
    assert "| 12 | 1.00 | 200 | 0.00123 | 3.90 (4.00) | 7.50 (8.00) | -9.12 | – |" in text
    assert "20.0 min of 60 asked for, 10.0 core minutes; seed 3" in text and "weights from: before" in text


def test_older_runs_say_what_they_hold(tmp_path):
    bare = describe(write_run(tmp_path / "bare", history(2)), "bare", "its config")
    assert (bare.steps, bare.wall_minutes, bare.audio_hours) == (200, 12, 1)
    assert (bare.command, bare.family, bare.preset, bare.parameters, bare.core_minutes) == (None,) * 5
    row = page_of([bare], "c.png").splitlines()[6]
    assert row == "| – | [bare](#bare) | – | – | – | 1.0 | 12 / – | – | 4.00 | 7.50 | – | – |"

    first = {
        "version": 1,
        "config": {"columns": 2, "dim": 64},
        "step": 201,
        "elapsed_s": 780.0,
        "audio_s": 3600.0,
    }
    record = describe(write_run(tmp_path / "first", history(2), state=first), "first", "note")
    assert (record.family, record.preset, record.differs) == ("causal", "causal", ["columns=2"])
    assert "training" in record.unsaid and "pool" in record.unsaid and "dim" not in record.unsaid
    assert (record.steps, record.wall_minutes, record.core_minutes) == (201, 13, None)

    plain = json.loads(json.dumps(to_plain(preset("unet"))))
    training = plain["options"]["training"]
    training["rate"] = training.pop("learning_rate")
    del training["recipe"]["live"]
    (tmp_path / "middle").mkdir()
    record = describe(write_run(tmp_path / "middle/run", history(1), plain), "middle", "note")
    assert record.differs == [] and record.unsaid == ["training.recipe.live"]
    assert "did not exist yet: training.recipe (live)" in page_of([record], "c.png")


def test_a_broken_checkpoint_is_told_and_done_without(tmp_path, capsys):
    folder = write_run(tmp_path / "run", history(2))
    (folder / "checkpoint.pt").write_bytes(b"torn")
    assert describe(folder, "a", "note").steps == 200
    assert "checkpoint.pt: cannot be read" in capsys.readouterr().out


def test_paths_are_cut_down():
    said = without_paths(
        "python -m train fit --run runs/deep/live --cache=/a/b/audio --init ../x/run/checkpoint.pt "
        "--set power=3 --label '/home/me/my label' --seed 2"
    )
    assert said == (
        "python -m train fit --run live --cache=audio --init run --set power=3 --label 'my label' --seed 2"
    )
    said = without_paths(
        "python -m train evaluate --model out/a.pt --data ../../far/musdb18-7/test --json x.json "
        "--workers=2 --peer p",
        drop=("--json", "--workers"),
    )
    assert said == "python -m train evaluate --model out/a.pt --data musdb18-7/test --peer p"
    assert without_paths("python 'unclosed --run /a/b") == "python ''\"'\"'unclosed' --run b"


def test_long_curves_are_thinned(tmp_path):
    assert thinned(range(5), 8) == [0, 1, 2, 3, 4]
    few = thinned(range(100), 8)
    assert len(few) == 8 and few[0] == 0 and few[-1] == 99
    assert {b - a for a, b in itertools.pairwise(few)} <= {14, 15}
    folder = write_run(tmp_path / "run", history(900, voice=99.0), to_plain(preset("causal")))
    record = add(tmp_path / "records", folder, "long", "note")
    assert (tmp_path / "records/long.json").stat().st_size < 10_000
    assert record.at_end("step") == 90_000 and record.points[0]["step"] == 100
    rows = re.findall(r"^\| \d+ \| [\d.]+ \| [\d,]+ \|", page_of([record], "c.png"), re.MULTILINE)
    assert len(rows) == runs.SECTION_ROWS and "90,000" in rows[-1]


# ---------------------------------------------------------------------- scores, replacing
@pytest.fixture
def scored(tmp_path):
    """A run of a U-Net, and evaluations of its model: one song, two songs."""
    system = to_plain(preset("unet"))
    folder = write_run(tmp_path / "unet", history(2), system, {"parameters": 1_234_567})
    training = {"minutes": 1, "steps": 205}
    write_scores(evaluation("jansson", "unet", ["A"], 1.0, training=training), tmp_path / "one.json")
    write_scores(evaluation("jansson", "unet", ["A", "B"], 2.0, training=training), tmp_path / "two.json")
    return folder, tmp_path / "one.json", tmp_path / "two.json"


def test_scores_stand_with_their_command(scored, tmp_path):
    folder, one, two = scored
    record = add(tmp_path / "records", folder, "unet", "note", [one, two])
    assert [score["clips"] for score in record.scores] == [2, 1]
    text = page_of([record], "c.png")
    assert "| 2.00 ± 0.00 (2.00) / 12.00 ± 0.00 (12.00), 2 tracks |" in text
    assert "test, 1 track: vocals 1.00 (1.00), accompaniment 11.00 (11.00) dB; `jansson` at step 205" in text
    assert text.count("`python -m train evaluate --model jansson.pt`") == 2

    write_scores(evaluation("live", "causal", ["A"], 1.0), tmp_path / "other.json")
    with pytest.raises(UsageError, match=r"other\.json: of a 'causal'"):
        add(tmp_path / "records", folder, "unet", None, [tmp_path / "other.json"])
    with pytest.raises(UsageError, match="given twice"):
        add(tmp_path / "records", folder, "unet", None, [one, one])
    assert read_record(tmp_path / "records/unet.json") == record


def test_scores_tell_what_an_older_run_does_not(tmp_path):
    content = evaluation("live", "causal", ["A"], 4.0)
    content["card"]["data"] = ["songs: 3.0 min, CC0 1.0"]
    write_scores(content, tmp_path / "live.json")
    record = describe(write_run(tmp_path / "run", history(1)), "live", "note", [tmp_path / "live.json"])
    assert (record.family, record.parameters, record.data) == ("causal", 1_234_567, [["songs", 3.0]])


def test_replacing_keeps_the_note_and_scores_that_still_hold(scored, tmp_path, capsys):
    folder, one, _ = scored
    records = tmp_path / "records"
    first = add(records, folder, "unet", "the note", [one])
    assert add(records, folder, "unet", None) == first
    assert add(records, folder, "unet", "another").note == "another"
    lines = "".join(json.dumps(entry) + "\n" for entry in history(3))
    (folder / "history.jsonl").write_text(lines)
    went_on = add(records, folder, "unet", None)
    assert went_on.note == "another" and went_on.steps == 300 and went_on.scores == []
    assert "unet: the run has continued, scores of step 200 are not used" in capsys.readouterr().out


# ---------------------------------------------------------------------- the page
def test_the_page_is_made_of_the_records(scored, tmp_path, capsys):
    folder, one, _ = scored
    causal = to_plain(preset("causal"))
    write_run(tmp_path / "good", history(4, 4.5), causal)
    write_run(tmp_path / "bad", history(2, 1.0), causal)
    write_run(tmp_path / "early", [], causal)
    out, records = tmp_path / "docs/RUNS.md", tmp_path / "records"
    where = ("--records", records, "--out", out)
    for name in ("bad", "early", "good"):
        command("--add", tmp_path / name, "--name", name, "--note", f"of {name} | x", *where)
    command("--add", folder, "--name", "unet", "--note", "of a net", "--scores", one, *where)
    assert capsys.readouterr().out.splitlines()[-1] == f"{out}: 4 runs"

    text = out.read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| causal", "| unet"))]
    assert [row[1].partition("]")[0][1:] for row in rows] == ["good", "bad", "early", "unet"]
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## good", "## bad", "## early", "## unet"
    ]  # fmt: skip
    assert "The run was never validated." in text and "of good | x" in text
    assert text.count("(b 6.5, a 1.5)") == 1 and text.count("(those of [good](#good))") == 3
    assert "(../records/curves.png)" in text
    assert not OUTSIDE.search(text.replace("(../records/curves.png)", ""))
    with Image.open(records / "curves.png") as picture:
        assert picture.text["Description"] == fingerprint(read_records(records)) and picture.width > 1000
    assert (records / "curves.png").stat().st_size < 150_000

    written = {path: path.read_bytes() for path in (out, records / "curves.png")}
    out.unlink()
    command(*where)
    assert {path: path.read_bytes() for path in written} == written


def test_a_run_trained_on_the_validation_songs_is_marked_and_comes_last(tmp_path):
    records = tmp_path / "records"
    every = ["training.recipe.all_clips=True"]
    for name, voice, of, recipe in (
        ("honest", 3.0, "causal", []), ("open", 2.0, "causal-open", every), ("seen", 6.0, "causal", every)
    ):  # fmt: skip
        system = changed(preset(of), recipe)
        run = write_run(tmp_path / name, history(2, voice), to_plain(system))
        command("--add", run, "--name", name, "--note", "n", "--records", records, "--out", tmp_path / "R.md")
    text = (tmp_path / "R.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| causal")]
    assert [row[1].partition("]")[0][1:] for row in rows] == ["honest", "open", "seen"]
    assert ["†" in row[8] and "†" in row[9] for row in rows] == [False, False, True]
    honest, seen = (text.partition(f"## {name}\n")[2].partition("\n## ")[0] for name in ("honest", "seen"))
    assert "trained on the validation songs" in seen and "trained on the validation songs" not in honest


def test_runs_are_compared_song_by_song(tmp_path):
    system, records = to_plain(preset("causal")), tmp_path / "records"
    of = {"best": {"A": [5.0, 9.0], "B": [3.0, 8.0], "C": [7.0, float("nan")]},
          "other": {"A": [4.0, 8.5], "B": [2.5, 8.5], "C": [7.0, 9.0]}}  # fmt: skip
    for name, songs in of.items():
        run = write_run(tmp_path / name, history(2, 5.0 if name == "best" else 4.0), system)
        (run / "songs.json").write_text(json.dumps(songs))
        add(records, run, name, "n")
    add(records, write_run(tmp_path / "old", history(3), system), "old", "of days without songs")
    found = read_records(records)
    assert {record.name: len(record.songs) for record in found} == {"best": 3, "other": 3, "old": 0}
    assert found[0].songs["C"] == [7.0, None], "no number"
    text = page_of(found, "c.png")
    section = text.partition("## Paired differences\n")[2].partition("\n## ")[0]
    assert section.splitlines()[-1] == "| other | best | -0.50 ± 0.29 | +0.00 ± 0.50 | 3 |"
    (tmp_path / "other/songs.json").write_text("[1]")
    with pytest.raises(InputFileError, match="not the scores of validation songs"):
        describe(tmp_path / "other", "other", "n")


def test_the_figure_tells_other_curves(tmp_path):
    record = describe(write_run(tmp_path / "a", history(3)), "a", "note")
    other = dataclasses.replace(record, curve=record.curve[:-1])
    assert fingerprint([record]) != fingerprint([other]) != fingerprint([])
    plot_runs([other], tmp_path / "a.png")
    plot_runs([record], tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        assert a.convert("RGB").tobytes() != b.convert("RGB").tobytes()


def test_the_committed_page_is_what_the_records_give():
    records = read_records(TRAIN / "records")
    again = "; write it again with 'python -m train runs'"
    assert (TRAIN / "RUNS.md").read_text(encoding="utf-8") == page_of(records, "records/curves.png"), again
    with Image.open(TRAIN / "records/curves.png") as picture:
        assert picture.text["Description"] == fingerprint(records), again
    assert (TRAIN / "records/curves.png").stat().st_size < 150_000


def test_no_committed_record_knows_a_machine():
    files = [*(TRAIN / "records").glob("*.json"), TRAIN / "RUNS.md"]
    assert len(files) > 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not (found := OUTSIDE.search(text)), f"{file.name}: {text[found.start() :][:60]}"
        assert file.suffix == ".md" or len(text) < 10_000


# ---------------------------------------------------------------------- what is refused
def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "none"):
        with pytest.raises(InputFileError, match=r"no run in it.*fit --run"):
            describe(tmp_path / folder, "a", "note")
    folder = write_run(tmp_path / "run", history(2))
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"minutes": 1')
    with pytest.raises(InputFileError, match=r"history\.jsonl: line 3 is not a validation"):
        describe(folder, "a", "note")
    (folder / "history.jsonl").unlink()
    (folder / "run.json").write_text("{")
    with pytest.raises(InputFileError, match=r"run\.json: cannot be read as JSON"):
        describe(folder, "a", "note")
    (folder / "run.json").write_text("[1]")
    with pytest.raises(InputFileError, match=r"run\.json: not a file of"):
        describe(folder, "a", "note")


def test_records_that_cannot_be_are_refused(tmp_path):
    run, records = write_run(tmp_path / "run", history(2)), tmp_path / "records"
    for name in ("a/b", "", "-a", "ä"):
        with pytest.raises(UsageError, match="letters, digits"):
            add(records, run, name, "note")
    with pytest.raises(UsageError, match="needs --note"):
        add(records, run, "a", None)
    with pytest.raises(UsageError, match="--note is empty"):
        add(records, run, "a", " ")
    for note in ("lies in /home/me/runs", "in ~/runs/a", "'C:\\runs'"):
        with pytest.raises(UsageError, match=r"path of this machine.*change --note"):
            add(records, run, "a", note)
    assert not list(records.glob("*"))
    add(records, run, "a", "with 3/4 of it, see https://a.org/b/c, and/or")
    with pytest.raises(UsageError, match="--name a replaces it"):
        add(records, run, "b", "the same run")
    with pytest.raises(UsageError, match="differs only in capitals"):
        add(records, run, "A", "note")


def test_broken_records_are_refused(tmp_path):
    records = tmp_path / "records"
    with pytest.raises(InputFileError, match="no records of runs"):
        make_page(records, tmp_path / "RUNS.md")
    add(records, write_run(tmp_path / "run", history(2)), "a", "note")
    path = records / "a.json"
    sound = json.loads(path.read_text())
    broken = [
        ({"name": "b"}, r"broken record \(name\)"),
        ({"curve": [[1, 2]]}, r"broken record \(curve\)"),
        ({"data": [["a", "b"]]}, r"broken record \(data\)"),
        ({"scores": [{"model": "m"}]}, r"broken record \(scores\)"),
        ({"steps": "many", "note": ""}, r"broken record \(note, steps\)"),
        ({"more": 1}, r"not the record of a run \(more\)"),
    ]
    for change, said in broken:
        path.write_text(json.dumps(sound | change))
        with pytest.raises(InputFileError, match=rf"a\.json: {said}; make it again"):
            make_page(records, tmp_path / "RUNS.md")
    for text, said in (("{", "cannot be read as JSON"), ("[]", "not the record")):
        path.write_text(text)
        with pytest.raises(InputFileError, match=said):
            make_page(records, tmp_path / "RUNS.md")
    assert not (tmp_path / "RUNS.md").exists()


def test_options_that_belong_together(tmp_path):
    with pytest.raises(UsageError, match="--add needs --name"):
        command("--add", tmp_path)
    with pytest.raises(UsageError, match="give its folder with --add"):
        command("--note", "of what?")
