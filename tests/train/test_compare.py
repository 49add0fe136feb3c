import json

import pytest

from rtsep.errors import InputFileError
from train.pages.compare import PUBLISHED, _bare, compare
from train.score.scores import METRICS, TARGETS, summarise, write_scores

SONG = "AM Contra - Heart Peripheral"
ORACLE = {"title": "oracle ratio mask", "window": "2048 -> 512"}
SPLEETER = {
    "title": "Spleeter", "params": 19_000_000, "latency_samples": 524288, "latency_ms": 11888.6,
    "licence": "MIT; trained on a catalogue",
}  # fmt: skip


def evaluation(name, system, tracks, sdr, systems=(), training=None, skipped=0):
    """The rows of `evaluate` for tracks that all score `sdr` (vocals; other figures count up from there)."""

    def scores(base):
        return {t: {m: base + i + 10 * j for i, m in enumerate(METRICS)} for j, t in enumerate(TARGETS)}

    about = {"model": {"title": name}} | dict(systems)
    bases = {key: sdr + 2 * number for number, key in enumerate(about)}
    rows = [
        {"clip": track, "seconds": 6.8, "scores": {key: scores(base) for key, base in bases.items()}}
        for track in tracks
    ]
    return {
        "command": f"python -m train evaluate --model {name}.pt",
        "model": name,
        "model_sha256": name * 8,
        "card": {
            "system": system, "params": 1_234_567, "latency_samples": 512, "latency_ms": 11.61,
            "macs_per_hop": 4_850_000, "licence": "research only: music under CC BY-NC-SA",
            "training": training or {},
        },
        "systems": about,
        "cost": {"step_ms": 0.44, "hop_ms": 5.805, "machine": "a machine", "device": "cpu"},
        "summary": summarise(rows) | {"clips": len(rows), "skipped": skipped},
        "clips": rows,
    }  # fmt: skip


@pytest.fixture
def scores(tmp_path):
    """A folder with evaluations of two models, one of them also of a further song, and another JSON."""
    folder = tmp_path / "scores"
    training = {"minutes": 64.6, "cpu_minutes": 120.2, "audio_hours": 9.4, "machine": "2 cores", "steps": 9}
    known = {"mixture": {"title": "unprocessed mixture"}, "oracle_ratio": ORACLE, "spleeter": SPLEETER}
    write_scores(evaluation("live", "causal", [SONG, "Other"], 4.5, known, training), folder / "live.json")
    write_scores(evaluation("live", "causal", ["ANiMAL - Clinic A"], 2.25), folder / "a-song.json")
    write_scores(
        evaluation("jansson", "unet", [SONG, "Other"], 5.5, {"oracle_ratio": ORACLE}), folder / "unet.json"
    )
    (folder / "notes.json").write_text(json.dumps({"other": 1}))
    return folder


def rows_of(text, heading):
    table = text.split(heading)[1].split("| --- |\n", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_the_table_is_made_of_the_files(scores, tmp_path, capsys):
    text = compare(scores, tmp_path / "SYSTEMS.md")
    assert (tmp_path / "SYSTEMS.md").read_text() == text
    assert "notes.json" in capsys.readouterr().out  # what is no evaluation is named

    rows = rows_of(text, "# Systems")
    titles = [row[0] for row in rows]
    assert titles == [
        "**unet**", "**causal**", "oracle ratio mask (2048 -> 512)", "unprocessed mixture", "Spleeter"
    ]  # fmt: skip
    live = rows[1]
    assert live[1] == "live (2 tracks)" and live[2] == "1,234,567" and live[3] == "512 samples, 11.6 ms"
    assert live[4] == "4.85" and live[5] == "0.44 of 5.8"
    assert live[6] == "4.50 ± 0.00 (4.50)" and live[10] == "14.50 ± 0.00 (14.50)"  # vocals, accompaniment
    assert live[11] == "65 min (120 core-min), 9.4 h of audio, 2 cores" and live[12] == "research only"
    assert rows[0][11] == "–"
    assert rows[4][2] == "19,000,000" and rows[4][3] == "524,288 samples, 11.9 s"
    assert "a machine" in text and "indicative" in text and "same tracks**" not in text
    assert "- causal `live`: `python -m train evaluate --model live.pt`" in text


def test_models_are_compared_track_by_track(scores, tmp_path):
    content = evaluation("third", "causal", [SONG, "Other", "More"], 4.0)
    for row, sdr in zip(content["clips"], (5.5, 4.5, 9.0), strict=True):
        row["scores"]["model"]["vocals"]["sdr"] = sdr
    content["clips"][1]["scores"]["model"]["accompaniment"]["sdr"] = None
    content["summary"] |= summarise(content["clips"])
    write_scores(content, scores / "third.json")
    text = compare([scores / "third.json", scores / "unet.json", scores / "live.json"], tmp_path / "t.md")
    rows = {row[0]: row[1:] for row in rows_of(text, "## Paired differences")}
    assert "less that of causal `third`" in text, "the best one by its mean"
    # 5.5 - 5.5 and 5.5 - 4.5; the track that only one was scored on does not count.
    assert rows["unet `jansson`"] == ["+0.50 ± 0.50", "+1.50", "2"]
    assert rows["causal `live`"] == ["-0.50 ± 0.50", "+0.50", "2"]
    one = compare(scores / "unet.json", tmp_path / "one.md")
    assert "Paired" not in one


def test_the_four_songs_stand_beside_what_was_published(scores, tmp_path):
    rows = rows_of(compare(scores, tmp_path / "t.md"), "## Four songs")
    assert rows[0] == ["published with these systems", "0.90", "1.87", "1.96", "3.47"]
    songs = {row[0]: row[1:] for row in rows}
    assert songs["unet `jansson`"] == ["–", "5.50", "–", "–"]
    assert songs["causal `live`"] == ["–", "4.50", "2.25", "–"]  # from two files
    assert songs["Spleeter"] == ["–", "10.50", "–", "–"] and songs["unprocessed mixture"][1] == "6.50"
    assert len(PUBLISHED) == 4


def test_rows_that_cannot_be_compared_are_marked(scores, tmp_path):
    content = evaluation("dense", "column-dense", ["Elsewhere"], 1.0, skipped=3)
    content["clips"][0]["scores"]["model"]["vocals"]["sdr"] = None
    content["summary"] |= {"model_vocals_sdr_mean": None, "model_vocals_sdr_median": None}
    write_scores(content, scores / "dense.json")
    text = compare([scores / "live.json", scores / "dense.json"], tmp_path / "t.md")
    assert "**Not all rows were scored on the same tracks**" in text
    assert "column-dense `dense` 3" in text
    assert rows_of(text, "# Systems")[1][6] == "–"  # last of the models, without a figure


def test_what_is_no_evaluation_is_refused(scores, tmp_path):
    with pytest.raises(InputFileError, match=r"notes\.json: not the figures of an evaluation"):
        compare([scores / "notes.json"], tmp_path / "t.md")
    with pytest.raises(InputFileError, match="cannot be read"):
        compare([tmp_path / "none.json"], tmp_path / "t.md")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="no JSON files"):
        compare(tmp_path / "empty", tmp_path / "t.md")
    assert not (tmp_path / "t.md").exists()


@pytest.mark.parametrize(
    "option", ["--json 'my scores/a.json'", "--json=a.json", "--workers 2 --json a.json"]
)
def test_the_command_of_the_table_is_whole(option):
    command = f"python -m train evaluate --model a.pt {option} --data x"
    assert _bare(command) == "python -m train evaluate --model a.pt --data x"
