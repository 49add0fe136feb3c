import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from rtsep.errors import InputFileError, UsageError
from rtsep.model.package import read_package
from tests.models import FRAMINGS, make_model
from tests.train.recordings import write_track
from tests.train.test_compare import ORACLE, evaluation
from tests.train.test_runs import history, write_run
from train import card as cards
from train.card import NOT_MEASURED, Pieces, card, read_command, text_of
from train.card_pieces import prose_of
from train.demands import Measure
from train.evaluate import evaluate
from train.export import export
from train.fit import fit
from train.presets import preset, to_plain
from train.record import add
from train.scores import write_scores

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "rtsep/assets/models"

INTRODUCTION = "A model for tests.\n\nIt hears little."
SOUND = "- It separates nothing.\n- It fails."
DATA = (
    "mir1k: 104.9 min, research set, no licence text found",
    "a: 2.5 min, CC BY 4.0",
    "b: 4.0 min, CC BY 4.0",
    "b: 1.0 min, CC0 1.0",
    "z-music: 30.2 min, per Debian package",
    "game-data: 7.1 min, per Debian package",
)
TRAINING = {"minutes": 20.0, "cpu_minutes": 10.0, "audio_hours": 1.5, "steps": 310, "machine": "2 cores"}
STATE = {"step": 310, "elapsed_s": 1200.0, "cpu_s": 600.0, "audio_s": 5400.0}
LIKE_THE_RUN = {"system": "causal", "params": 1234, "data": DATA, "metrics": {"training": TRAINING}}
LICENCE = "research and non-commercial use only: trained on material under x"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the prose of a card, to work in."""
    monkeypatch.chdir(tmp_path)
    Path("prose.md").write_text(f"{INTRODUCTION}\n\n## How it sounds and fails\n\n{SOUND}\n")
    return tmp_path


@pytest.fixture
def model(folder):
    return make_model(
        Path("models/m.pt"), name="live", licence=LICENCE, macs_per_hop=2_340_000, **LIKE_THE_RUN
    )


def scores_of(model, path, count=7, **changes):
    """Write an evaluation of the model file `model`; the tracks score 4.5 dB and less by halves."""
    known = {"mixture": {"title": "unprocessed mixture"}, "oracle_ratio": ORACLE}
    content = evaluation("live", "causal", [f"Track {k}" for k in range(count)], 4.5, known)
    content["command"] = (
        "python -m train evaluate --model /home/me/m.pt --data ../x/musdb18-7/test --json s.json"
    )
    content["model_sha256"] = read_package(model).sha256
    for k, row in enumerate(content["clips"]):
        row["voice_level_db"] = -3.0 - k
        row["scores"]["model"]["vocals"]["sdr"] -= 0.5 * k
    write_scores(content | changes, path)
    return path


def robustness_of(model, path):
    """Write measures of the model file `model`: one bar met, one missed, one not measured."""
    measures = [
        Measure("silence", "peak found in silence", "dBFS", "exactly 0").found(float("-inf"), True),
        Measure("leak", "voice found in music", "dB", "at most -20 dB").found(-12.04, False),
        Measure("speech", "of singing, less that of speech", "dB", "at most 1 dB").not_measured("no speech"),
    ]
    content = {
        "command": f"python -m train robustness --model {model} --cache /a/b/cache --workers 2 --json r.json",
        "model_sha256": read_package(model).sha256,
        "card": {"played_latency_samples": 512},
        "bars": {"met": 1, "missed": 1, "not_measured": 1},
        "measures": {measure.name: measure.to_json() for measure in measures},
        "clips_from": "tracks of --data",
        "clips": [{}] * 25,
    }
    write_scores(content, path)
    return path


def record_of(name, init=None, **about):
    """Write the record of a run that fits `LIKE_THE_RUN`."""
    run = write_run(
        Path("runs") / name, history(20, voice=ord(name[0]) / 20), to_plain(preset("causal")), about, STATE
    )
    content = json.loads((run / "run.json").read_text())
    content["config"]["init"] = init
    (run / "run.json").write_text(json.dumps(content))
    add(Path("records"), run, name, "a run")
    return Path(f"records/{name}.json")


def parsed(arguments):
    parser = argparse.ArgumentParser()
    cards.add_arguments(parser)
    return parser.parse_args([str(word) for word in arguments])


def section(text, heading):
    return re.split(r"\n## ", text.split(f"\n## {heading}\n", 1)[1])[0].strip()


def rows_of(text):
    """Cells of all table rows of a text, heads and rules included."""
    return [
        [c.strip() for c in line[1:-1].split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def check_current(path):
    """Whether the card at `path`, where it is generated, is what its own command gives in this folder."""
    text = path.read_text(encoding="utf-8")
    arguments = read_command(text)
    if arguments is None:
        return False
    assert arguments[0] == "card"
    options = parsed(arguments[1:])
    assert (Path.cwd() / options.out).samefile(path), "its command writes another card"
    assert text_of(cards.pieces_of(options), options.out) == text, f"run it again: {' '.join(arguments)}"
    return True


# ---------------------------------------------------------------------- what a card says
def test_a_card_is_made_of_all_its_pieces(model, folder, capsys):
    words = ["--model", model, "--scores", scores_of(model, Path("s/song.json"), 1)]
    words += ["--scores", scores_of(model, Path("s/live.json")), "--prose", "prose.md"]
    words += ["--robustness", robustness_of(model, Path("r.json")), "--record", record_of("live")]
    cards.run(parsed([*words, "--out", folder / "models/m.md"]))
    text = Path("models/m.md").read_text()
    command = (
        "python -m train card --model models/m.pt --scores s/song.json --scores s/live.json "
        "--robustness r.json --record records/live.json --prose prose.md --out models/m.md"
    )
    start = f"# Model `live`\n\nGenerated by `{command}`; do not edit.\n\n{INTRODUCTION}\n\n|"
    assert text.startswith(start) and text.endswith(f"## How it sounds and fails\n\n{SOUND}\n")
    assert capsys.readouterr().out == f"{folder}/models/m.md: {len(text.splitlines())} lines\n"
    assert re.findall(r"^## (.+)", text, re.MULTILINE) == [
        "Scores", "Robustness", "Training", "Data", "How it sounds and fails"
    ]  # fmt: skip
    assert not cards.MACHINE_PATH.search(text) and "/home" not in text and "--workers" not in text

    facts = dict(rows_of(text.split("## Scores")[0]))
    size = model.stat().st_size / 1e6
    assert facts["latency"] == "512 samples, 11.6 ms at 44.1 kHz, no look-ahead"
    assert facts["window"] == "2,048 samples, synthesis 512, hop 256 (5.8 ms)"
    assert facts["parameters"] == f"1,234 (a file of {size:.1f} MB)"
    assert facts["cost"].startswith("2.34 million multiply-accumulates a hop; 1 floats")
    assert facts["time of a step"].startswith("median 0.44 ms of a hop's 5.80")  # of the larger evaluation
    assert facts["rates"] == "44.1 and 48 kHz" and "above its band" not in facts
    assert facts["licence"].startswith("**research and non-commercial use only**: trained on")
    assert facts["sha256"] == f"`{read_package(model).sha256}`"


def test_scores_of_a_card(model):
    scores = (scores_of(model, Path("one.json"), 1), scores_of(model, Path("all.json")))
    text = text_of(Pieces(model, Path("prose.md"), scores), Path("m.md"))
    large, small = section(text, "Scores").split("\n\n`python -m train evaluate")[1:]
    assert large.startswith(" --model m.pt --data musdb18-7/test`: 7 tracks of 7 s.")
    rows = {row[0]: row[1:] for row in rows_of(large)}
    assert rows["**this model**"] == [
        "4.50 ± 0.00 (4.50)", "14.50 ± 0.00 (14.50)", "8.50 ± 0.00 (8.50)", "18.50 ± 0.00 (18.50)"
    ]  # fmt: skip
    assert rows["unprocessed mixture"][0] == "6.50 ± 0.00 (6.50)"
    assert rows["oracle ratio mask (2048 -> 512)"][3] == "22.50 ± 0.00 (22.50)"
    extremes = [row for row in rows_of(large) if row[0] in ("best", "worst")]
    assert [row[1] for row in extremes] == [f"Track {k}" for k in (0, 1, 2, 4, 5, 6)]
    assert extremes[-1] == ["worst", "Track 6", "1.50", "14.50", "-9.0"] and "0.3 dB" in large
    # One track has no median, no best and no worst.
    assert "Track 0, 7 s." in small and "**this model** | 4.50 | 14.50 |" in small
    assert "best" not in small and "(" not in small.split("| --- |")[-1].replace(ORACLE["window"], "")[:30]


def test_a_track_without_a_figure_is_neither_best_nor_worst(model):
    path = scores_of(model, Path("s.json"))
    content = json.loads(path.read_text())
    content["clips"][0]["scores"]["model"]["vocals"]["sdr"] = None
    content["summary"]["model_vocals_sdr_median"] = None
    content["summary"]["skipped"] = 2
    path.write_text(json.dumps(content))
    text = section(text_of(Pieces(model, Path("prose.md"), (path,)), Path("m.md")), "Scores")
    assert "| 4.50 ± 0.00 | 14.50 ± 0.00 (14.50) |" in text and "; 2 could not be read." in text
    extremes = [row[1] for row in rows_of(text) if row[0] in ("best", "worst")]
    assert extremes == [f"Track {k}" for k in range(1, 7)]


def test_robustness_of_a_card(model):
    pieces = Pieces(model, Path("prose.md"), robustness=robustness_of(model, Path("r.json")))
    text = section(text_of(pieces, Path("m.md")), "Robustness")
    assert text.startswith(
        "`python -m train robustness --model models/m.pt --cache cache`: 1 bars met, 1 missed"
    )
    rows = {row[0]: row[2:] for row in rows_of(text)}
    assert rows["silence"] == ["-inf dBFS", "exactly 0", "yes"]
    assert rows["leak"] == ["-12.04 dB", "at most -20 dB", "**no**"]
    assert rows["speech"] == ["-", "at most 1 dB", "not measured"] and text.endswith("- speech: no speech")
    assert "on 25 tracks of `--data`" in text


def test_training_of_a_card(model):
    records = (record_of("first"), record_of("second", init="/home/me/runs/first/checkpoint.pt"))
    alone = section(text_of(Pieces(model, Path("prose.md"), records=records[:1]), Path("m.md")), "Training")
    assert alone.count("- command: `python -m train fit --cache audio --run first --minutes 60`") == 1
    assert "preset: causal; parameters that differ from it: none" in alone and "###" not in alone
    assert "step 310, 1.50 h heard, 20.0 min of 60 asked for, 10.0 core minutes; seed 3" in alone
    assert "machine: 2 x86_64 cores, 2 replicas" in alone
    curve = [row for row in rows_of(alone) if row[0].isdigit()]
    assert len(curve) == 8 and [curve[0][0], curve[-1][0]] == ["6", "120"]

    text = section(text_of(Pieces(model, Path("prose.md"), records=records), Path("m.md")), "Training")
    assert text.startswith("2 runs, each from the weights of the one before; together 40.0 min, 20.0 core")
    assert re.findall("### Run `(.+)`", text) == ["first", "second"]


def test_what_is_missing_is_said(model):
    text = text_of(Pieces(model, Path("prose.md")), Path("m.md"))
    assert section(text, "Scores") == section(text, "Robustness") == "Not measured."
    assert section(text, "Training").startswith("Not recorded; the model file says: step 310, 1.50 h heard")
    assert "time of a" not in text
    bare = make_model(Path("bare.pt"))
    text = text_of(Pieces(bare, Path("prose.md")), Path("m.md"))
    assert section(text, "Training") == "Not recorded." and "names no data" in section(text, "Data")


def test_data_is_grouped_by_licence(model):
    text = section(text_of(Pieces(model, Path("prose.md")), Path("m.md")), "Data")
    assert text.startswith("150 minutes of 5 sets;") and "*ANiMAL - Clinic A* and *hydrogen*" in text
    assert rows_of(text)[2:] == [
        ["research set, no licence text found", "mir1k", "104.9"],
        ["CC BY 4.0", "a 2.5, b 4.0", "6.5"],
        ["CC0 1.0", "b", "1.0"],
        ["free, by each package's copyright file", "music of 2 Debian packages", "37.3"],
    ]
    assert text.endswith("\n\nDebian packages: game-data, z-music.")


def test_a_model_of_another_rate_that_looks_ahead(folder):
    path = make_model(Path("m.pt"), **FRAMINGS["column-resnet"], band_above="follow", data=("x: songs",))
    content = {"card": evaluation("m", "x", ["A"], 1.0)["card"] | {"played_latency_samples": 8300}}
    scores = scores_of(path, Path("s.json"), 2, **content)
    text = text_of(Pieces(path, Path("prose.md"), (scores,)), Path("m.md"))
    facts = dict(rows_of(text.split("## Scores")[0]))
    assert facts["latency"] == (
        "4,096 samples, 185.8 ms at 22.05 kHz, 3,072 samples of look-ahead (139.3 ms) among them"
    )
    assert facts["latency at 44.1 kHz"] == "8,300 samples, 188.2 ms"
    assert facts["above its band"].startswith("what lies above 11.025 kHz follows the masks")
    assert facts["stereo"] == "one mask, of the mid, for both sides"
    assert ["songs", "x", "0.0"] in rows_of(section(text, "Data"))


def test_the_cost_of_a_hop(model):
    def rows_with(sha256, **changes):
        about = {"model": "m", "model_sha256": sha256, "hop_us": 5805.0, "median": 512.0, "p99": 1040.0}
        return [about | {"stage": part} | changes for part in ("analysis", "model", "whole")]

    sha256, other = read_package(model).sha256, "0" * 64
    machine = {"processor": "x", "cores": 2}
    path = Path("cost.json")
    pieces = Pieces(model, Path("prose.md"), cost=path)

    def write(rows, **changes):
        path.write_text(json.dumps({"bench": "hop", "machine": machine, "rows": rows} | changes))

    # Of a run over all models and two rates: this model's, the first rate's.
    write([*rows_with(other, hop_us=1.0), *rows_with(sha256), *rows_with(sha256, hop_us=2.0, median=9.0)])
    text = text_of(pieces, Path("m.md"))
    assert "model 0.51 (p99 1.04), whole 0.51 (p99 1.04) ms of 5.80 (x, 2 cores; `rtsep bench hop`)" in text
    write(rows_with(other))
    with pytest.raises(InputFileError, match="another model file"):
        text_of(pieces, Path("m.md"))
    for rows, changes in (
        (rows_with(sha256), {"bench": "file"}),
        ([], {}),
        (rows_with(sha256, stage="model"), {}),
    ):
        write(rows, **changes)
        with pytest.raises(InputFileError, match=r"no hop that was measured; write it with: rtsep bench hop"):
            text_of(pieces, Path("m.md"))
    path.write_text(json.dumps({"bench": "hop", "rows": []}))
    with pytest.raises(
        InputFileError, match=r"lacks machine; write it with: rtsep bench hop --model .*m\.pt"
    ):
        text_of(pieces, Path("m.md"))


# ---------------------------------------------------------------------- what is refused
def test_figures_of_another_file_are_refused(model):
    other = make_model(Path("other.pt"), "half")
    prose, out = Path("prose.md"), Path("m.md")
    said = r"figures of another model file \(sha256 \w{12}\) than models/m.pt .*python -m train "
    with pytest.raises(
        InputFileError, match=rf"s\.json: {said}evaluate --model models/m\.pt .*--json s\.json"
    ):
        card(Pieces(model, prose, (scores_of(other, Path("s.json")),)), out)
    with pytest.raises(InputFileError, match=rf"r\.json: {said}robustness --model models/m\.pt"):
        card(Pieces(model, prose, robustness=robustness_of(other, Path("r.json"))), out)
    with pytest.raises(InputFileError, match=r"s\.json: lacks bars, .*write it with: python -m train robust"):
        card(Pieces(model, prose, robustness=scores_of(model, Path("s.json"))), out)
    with pytest.raises(InputFileError, match=r"none\.json: cannot be read as JSON"):
        card(Pieces(model, prose, robustness=Path("none.json")), out)
    with pytest.raises(InputFileError, match=r"r\.json: not the figures of an evaluation"):
        card(Pieces(model, prose, (Path("r.json"),)), out)
    assert not out.exists()


@pytest.mark.parametrize(
    "entries, said",
    [
        ({"params": 99}, r"'causal' with 1,234 parameters after 310 steps; .*m.pt is 'causal' with 99 "),
        ({"metrics": {"training": TRAINING | {"steps": 400}}}, "is 'causal' with 1,234 parameters after 400"),
        ({"metrics": {}}, "after an unknown number of steps"),
        ({"system": "unet"}, r"is 'unet' with"),
        ({"data": DATA[:1]}, r"it heard b, a, of which models/m\.pt says nothing.*train export"),
    ],
    ids=["parameters", "steps", "untold", "system", "data"],
)
def test_the_record_of_another_run_is_refused(folder, entries, said):
    model = make_model(Path("models/m.pt"), **(LIKE_THE_RUN | entries))
    with pytest.raises(InputFileError, match=said):
        text_of(Pieces(model, Path("prose.md"), records=(record_of("live"),)), Path("m.md"))


def test_a_chain_of_runs_must_be_whole(model):
    first, second = record_of("first"), record_of("second", init="first")
    for records, said in (
        (
            (second,),
            r"second\.json: its weights came from the run 'first': give the record of that one before",
        ),
        ((first, first), r"first\.json: it began with new weights.*leave that one out"),
        ((first, record_of("third", init="second")), "came from the run 'second'"),
    ):
        with pytest.raises(InputFileError, match=said):
            text_of(Pieces(model, Path("prose.md"), records=records), Path("m.md"))
    # A record may be called otherwise than the folder of its run.
    renamed = json.loads(first.read_text()) | {"name": "renamed"}
    Path("records/renamed.json").write_text(json.dumps(renamed))
    assert text_of(
        Pieces(model, Path("prose.md"), records=(Path("records/renamed.json"), second)), Path("m.md")
    )


@pytest.mark.parametrize(
    "prose, said",
    [
        ("text", r"stands in it 0 times; wanted is an introduction without a heading, then '## How"),
        ("a\n## How it sounds and fails\nb\n## How it sounds and fails\nc", "stands in it 2 times"),
        ("# Model\n\n## How it sounds and fails\nb", "'# Model' has no place"),
        ("a\n## Scores\nx\n## How it sounds and fails\nb", "'## Scores' has no place in a card's prose"),
        ("\n## How it sounds and fails\nb", "a part of it is empty"),
        ("a\n## How it sounds and fails\n\n", "a part of it is empty"),
    ],
)
def test_prose_of_another_form_is_refused(model, prose, said):
    Path("prose.md").write_text(prose)
    with pytest.raises(InputFileError, match=rf"prose\.md: .*{said}|prose\.md: {said}"):
        text_of(Pieces(model, Path("prose.md")), Path("m.md"))


def test_a_card_takes_no_path_and_no_place_of_its_prose(model, folder):
    with pytest.raises(UsageError, match="the prose itself would be lost"):
        card(Pieces(model, Path("prose.md")), folder / "prose.md")
    with pytest.raises(InputFileError, match=r"none\.md: cannot be read"):
        card(Pieces(model, Path("none.md")), Path("m.md"))
    prose = Path("prose.md").read_text()
    Path("prose.md").write_text(prose + "It lies in /home/me/models.\n")
    with pytest.raises(UsageError, match=r"'/home/me/models\.+' is a path of this machine"):
        card(Pieces(model, Path("prose.md")), Path("m.md"))


# ---------------------------------------------------------------------- a whole way; what is committed
def test_from_a_run_to_a_card(config, folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "fit", "--run", str(config.run), "--steps", "4"])
    fit(dataclasses.replace(config, run=Path("run")))
    export(Path("run"), Path("tiny.pt"), "tiny")
    add(Path("records"), Path("run"), "tiny", "a first try")
    monkeypatch.setattr(
        sys, "argv", ["train", "evaluate", "--data", str(write_track(folder / "data/Song A", 1.1))]
    )
    evaluate(Path("tiny.pt"), Path("data"), Path("scores.json"), references=("mixture",))
    pieces = Pieces(
        Path("tiny.pt"), Path("prose.md"), (Path("scores.json"),), records=(Path("records/tiny.json"),)
    )
    text = card(pieces, Path("tiny.md"))
    assert "Song A, 1 s." in text and "step 4 of 4 asked for," in text and str(folder) not in text
    assert "CC0 1.0 | " in section(text, "Data")

    assert check_current(Path("tiny.md"))
    Path("tiny.md").write_text(text.replace("step 4 of", "step 5 of"))
    with pytest.raises(AssertionError, match=r"run it again: card --model tiny\.pt"):
        check_current(Path("tiny.md"))
    Path("tiny.md").write_text("# Written by hand")
    assert not check_current(Path("tiny.md"))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.md")), ids=lambda path: path.stem)
def test_a_committed_card_is_what_its_command_gives(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    if not check_current(path):
        pytest.skip("not generated")
    assert NOT_MEASURED not in path.read_text(), "scores and robustness are those of the file that ships"


@pytest.mark.parametrize("path", sorted((ROOT / "train/cards").glob("*.md")), ids=lambda path: path.stem)
def test_committed_prose_has_the_form_and_no_figures(path):
    introduction, sound = prose_of(path)
    assert introduction and sound.startswith("- ")
    assert not re.search(r"\d", (introduction + sound).replace("CC0", "")), "figures are of the tables"
