"""The parts of a card, and readers of cards for tests."""

import argparse
import json
import re
from pathlib import Path

from rtsep.model.package import read_package
from tests.train.run_folders import history, write_run
from tests.train.test_compare import ORACLE, evaluation
from train.learn.presets import preset, to_plain
from train.pages import card as cards
from train.pages.card import read_command, text_of
from train.pages.record_files import add
from train.score.measuring import Measure
from train.score.scores import write_scores

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
    """Return whether the card at `path` is generated; then it must equal the output of its command here."""
    text = path.read_text(encoding="utf-8")
    arguments = read_command(text)
    if arguments is None:
        return False
    assert arguments[0] == "card"
    options = parsed(arguments[1:])
    assert (Path.cwd() / options.out).samefile(path), "its command writes another card"
    assert text_of(cards.pieces_of(options), options.out) == text, f"run it again: {' '.join(arguments)}"
    return True
