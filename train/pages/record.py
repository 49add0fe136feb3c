"""The record of a training run: what is kept of it when its folder is long gone, in a few kilobytes.

Nothing of the machine stands in a record but its processor: paths are cut down to their last part. Of older
runs, whose folders lack half, a record says what they do hold.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from train.commandline import last_part, without_paths
from train.data.cache import whole_file
from train.learn import checkpoint as checkpoints
from train.learn.presets import PRESETS, to_plain
from train.score.scores import MODEL, TARGETS, read_scores

CURVE_ROWS = 60
"""Of a record: more show nothing more, and a run of days has hundreds."""

MACHINE_PATH = re.compile(r"(?<![\w.)\]/:])(?:~?/[\w.-]+/[\w.-]|[A-Za-z]:\\)")
"""An absolute path of two parts or more, wherever it stands in a text."""


@dataclass(frozen=True)
class Record:
    """What is kept of a run; None and empty where nobody knows any more."""

    name: str
    note: str  # what was tried, and what it showed
    command: str | None
    family: str | None
    preset: str | None
    differs: list[str]  # NAME=VALUE of options that are not the preset's (as it was when this was made)
    unsaid: list[str]  # options of the preset that the run's own format does not have
    options: dict[str, Any]
    init: str | None  # the run that its weights came from
    parameters: int | None
    machine: str | None
    replicas: int | None
    cache: str | None
    data: list[list[Any]]  # [set, minutes]
    schedule: dict[str, Any]  # what was asked for: minutes or steps, and the seed
    steps: int | None
    audio_hours: float | None
    wall_minutes: float | None  # of training, validation not counted
    core_minutes: float | None  # of all replicas and threads
    columns: list[str]
    curve: list[list[float | None]]  # one row a validation
    scores: list[dict[str, Any]]
    songs: dict[str, list[float | None]] = field(default_factory=dict)
    """Voice and music of each validation song at the last validation; empty where nobody kept them."""

    @property
    def points(self) -> list[dict[str, float | None]]:
        """The curve, figures by name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.curve]

    @property
    def heard_validation(self) -> bool:
        """Whether the validation songs were among its training mixtures: its figures of them tell little."""
        recipe = self.options.get("training", {}).get("recipe", {})
        return bool(recipe.get("all_clips")) and not recipe.get("open_only")  # which they are not

    def at_end(self, column: str) -> float | None:
        """A figure of the last validation."""
        return self.points[-1].get(column) if self.curve else None


# ---------------------------------------------------------------------- from a run's folder to a record
def describe(folder: Path, name: str, note: str, scores: Sequence[Path] = ()) -> Record:
    """Make the record of the run in `folder`; `scores` are JSONs that `evaluate` wrote of its models.

    Raises `InputFileError` for what is no run, `UsageError` for scores of another model or a text that holds
    paths of this machine.
    """
    about, history = _described(folder), _history(folder / "history.jsonl")
    state = _state(folder / checkpoints.FILE)
    if not about and not history and not state:
        raise InputFileError(
            f"{folder}: no run in it (run.json, history.jsonl, {checkpoints.FILE}); give the folder that "
            "'python -m train fit --run' wrote"
        )
    summaries, cards = _evaluations(scores)
    config = about.get("config", {})
    system = config.get("system") or state.get("system") or _first_version(state)
    options = _todays_names(json.loads(json.dumps(system.get("options", {}))))
    card = cards[0] if cards else {}
    family = system.get("family") or card.get("system")
    parameters = about.get("parameters") or card.get("params")
    for path, other in zip(scores, cards, strict=True):
        if (other.get("system"), other.get("params")) != (family, parameters):
            raise UsageError(
                f"--scores {path}: of a '{other.get('system')}' with {other.get('params')} parameters, "
                f"this run is a '{family}' with {parameters}"
            )
    command = about.get("command")
    preset = _preset(command, family)
    differs, unsaid = _compared(options, preset)
    columns = list(dict.fromkeys(key for entry in history for key in entry))
    last = history[-1] if history else {}
    seconds, core_s, audio_s = (state.get(key) for key in ("elapsed_s", "cpu_s", "audio_s"))
    record = Record(
        name=name,
        note=" ".join(note.split()),
        command=without_paths(command) if command else None,
        family=family,
        preset=preset,
        differs=differs,
        unsaid=unsaid,
        options=options,
        init=last_part(config["init"]) if config.get("init") else None,
        parameters=parameters,
        machine=about.get("machine") or state.get("machine") or None,
        replicas=about.get("replicas"),
        cache=last_part(config["cache"]) if config.get("cache") else None,
        data=_sets(about.get("data") or state.get("data") or card.get("data") or ()),
        schedule={key: config[key] for key in ("minutes", "steps", "seed") if config.get(key) is not None},
        steps=state.get("step", last.get("step")),
        audio_hours=_rounded(audio_s / 3600 if audio_s else last.get("audio_hours")),
        wall_minutes=_rounded(seconds / 60 if seconds else last.get("minutes")),
        core_minutes=_rounded(core_s / 60 if core_s else None),
        columns=columns,
        curve=[[_rounded(entry.get(key)) for key in columns] for entry in thinned(history, CURVE_ROWS)],
        scores=summaries,
        songs=_songs(folder / checkpoints.SONGS),
    )
    if found := MACHINE_PATH.search(_written(record)):
        text = _written(record)[found.start() : found.start() + 40].splitlines()[0]
        raise UsageError(f"'{text}...' is a path of this machine: no record may hold one; reword --note")
    return record


def _described(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("config", {}), dict):
        raise InputFileError(f"{path}: not what 'python -m train fit' writes beside a checkpoint")
    return content


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read ({error})") from None
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise InputFileError(f"{path}: line {number} is no validation; remove it if a crash tore it")
        entries.append({key: value for key, value in entry.items() if _is_figure(value)})
    return entries


def _state(path: Path) -> dict[str, Any]:
    # Entries as they are: `checkpoints.load` refuses older versions. Tensors stay on the disk.
    if not path.exists():
        return {}
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises half a dozen kinds for a broken file
        print(f"{path}: cannot be read ({str(error).splitlines()[0]}); the record goes by the history alone")
        return {}
    return raw if isinstance(raw, dict) else {}


def _songs(path: Path) -> dict[str, list[float | None]]:
    """Voice and music of each song at the last validation; none for runs of old."""
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [_rounded(value) for value in of] for name, of in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputFileError(f"{path}: not the scores of validation songs ({error})") from None


def _evaluations(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a record keeps of evaluations, largest first, and the cards of the models, as the paths are."""
    summaries, cards = [], []
    for path in paths:
        content = read_scores(path)
        figures = {
            f"{target}_{kind}": content["summary"].get(f"{MODEL}_{target}_sdr_{kind}")
            for target in TARGETS
            for kind in ("mean", "se", "median")
        }
        training = content["card"].get("training") or {}
        summary = {
            "model": content["model"],
            "sha256": content["model_sha256"],
            "steps": training.get("steps"),
            "clips": content["summary"]["clips"],
            **figures,
            "command": without_paths(content["command"], drop=("--json", "--workers")),
        }
        if summary in summaries:
            raise UsageError(f"--scores {path}: the same evaluation is given twice")
        summaries.append(summary)
        cards.append(content["card"])
    return sorted(summaries, key=lambda summary: -summary["clips"]), cards


def _first_version(state: dict[str, Any]) -> dict[str, Any]:
    # It knew one system, and called its options "config".
    return {"family": "causal", "options": state["config"]} if "config" in state else {}


def _todays_names(options: dict[str, Any]) -> dict[str, Any]:
    training = options.get("training", {})
    if "rate" in training:
        training["learning_rate"] = training.pop("rate")
    return options


def _preset(command: str | None, family: str | None) -> str | None:
    """The preset that a command names; else the first of its family."""
    named = re.search(r"--system[ =](\S+)", command or "")
    if named and named[1] in PRESETS and PRESETS[named[1]].family == family:
        return named[1]
    return next((name for name, system in PRESETS.items() if system.family == family), None)


def _compared(options: dict[str, Any], preset: str | None) -> tuple[list[str], list[str]]:
    """Options that are not a preset's as NAME=VALUE (what `--set` takes), and those that `options` lack."""
    if preset is None or not options:
        return [], []
    differs: list[str] = []
    unsaid: list[str] = []

    def walk(then: dict[str, Any], now: dict[str, Any], prefix: str) -> None:
        for key, value in then.items():
            if isinstance(value, dict) and isinstance(now.get(key, {}), dict):
                walk(value, now.get(key, {}), f"{prefix}{key}.")
            elif key not in now or value != now[key]:
                differs.append(f"{prefix}{key}={_literal(value)}")
        unsaid.extend(prefix + key for key in now if key not in then)

    walk(options, json.loads(json.dumps(to_plain(PRESETS[preset])["options"])), "")
    return differs, unsaid


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"({','.join(map(_literal, value))}{',' * (len(value) == 1)})"
    return str(value)


def _sets(lines: Iterable[str]) -> list[list[Any]]:
    """[set, minutes] of lines "set: minutes min, licence", one for each set."""
    minutes: dict[str, float] = {}
    for line in lines:
        if found := re.match(r"(.+): (\d+(?:\.\d+)?) min, ", line):
            minutes[found[1]] = minutes.get(found[1], 0.0) + float(found[2])
    return [[name, round(sum_, 1)] for name, sum_ in minutes.items()]


def _is_figure(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _rounded(value: float | None) -> float | None:
    """Three decimals, or three digits of what is below 1; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.3g}")


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of `rows`, evenly, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most).round()]


# ---------------------------------------------------------------------- records on disk
def _written(record: Record) -> str:
    # A line an entry, and a line a validation: small, and a change of one is seen as one.
    lines = []
    for name, value in dataclasses.asdict(record).items():
        if name == "songs":
            if value:  # records of runs without them stay as they were
                inner = ",\n".join(
                    f"  {json.dumps(song, ensure_ascii=False)}: {json.dumps(of, allow_nan=False)}"
                    for song, of in value.items()
                )
                lines.append(f' "{name}": {{\n{inner}\n }}')
        elif name in ("curve", "scores") and value:
            inner = ",\n".join("  " + json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
            lines.append(f' "{name}": [\n{inner}\n ]')
        else:
            lines.append(f' "{name}": {json.dumps(value, ensure_ascii=False, allow_nan=False)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_record(path: Path) -> Record:
    """Read a record; `InputFileError` for what is none."""
    remedy = "make it again with 'python -m train runs --add'"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON ({error}); {remedy}") from None
    if not isinstance(raw, dict):
        raise InputFileError(f"{path}: not the record of a run; {remedy}")
    names = {field.name for field in dataclasses.fields(Record)}
    if wrong := sorted((names ^ set(raw)) - {"songs"}):
        raise InputFileError(f"{path}: not the record of a run ({', '.join(wrong[:4])}); {remedy}")
    record = Record(**raw)
    if wrong := [name for name, sound in _soundness(record, path.stem).items() if not sound]:
        raise InputFileError(f"{path}: broken record ({', '.join(wrong)}); {remedy}")
    return record


def _soundness(record: Record, stem: str) -> dict[str, bool]:
    """For each entry that the page builds on, whether it is what a page can be made of."""

    def texts(values: Any) -> bool:
        return isinstance(values, list) and all(isinstance(value, str) for value in values)

    figures = ("parameters", "replicas", "steps", "audio_hours", "wall_minutes", "core_minutes")
    words = ("command", "family", "preset", "init", "machine", "cache")
    of_scores = {"model": str, "sha256": str, "command": str, "clips": int}
    return {
        "name": record.name == stem,
        "note": isinstance(record.note, str) and bool(record.note),
        **{name: _is_figure(getattr(record, name)) for name in figures},
        **{name: isinstance(getattr(record, name), str | None) for name in words},
        **{name: texts(getattr(record, name)) for name in ("differs", "unsaid", "columns")},
        "schedule": isinstance(record.schedule, dict) and all(map(_is_figure, record.schedule.values())),
        "data": isinstance(record.data, list)
        and all(isinstance(row, list) and len(row) == 2 and _is_figure(row[1]) for row in record.data),
        "curve": isinstance(record.curve, list)
        and all(
            isinstance(row, list) and len(row) == len(record.columns) and all(map(_is_figure, row))
            for row in record.curve
        ),
        "scores": isinstance(record.scores, list)
        and all(
            isinstance(score, dict)
            and all(isinstance(score.get(name), kind) for name, kind in of_scores.items())
            and all(
                _is_figure(score.get(f"{t}_{kind}")) for t in TARGETS for kind in ("mean", "se", "median")
            )
            for score in record.scores
        ),
        "songs": isinstance(record.songs, dict)
        and all(
            isinstance(of, list) and len(of) == 2 and all(map(_is_figure, of)) for of in record.songs.values()
        ),
    }


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, grouped by family: the best families and the best of each first."""
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    best: dict[str | None, float] = {}
    for record in (record for record in records if not record.heard_validation):
        best[record.family] = max(_quality(record), best.get(record.family, -math.inf))

    def place(record: Record) -> tuple[float, str, bool, float, str]:
        family = best.get(record.family, -math.inf)
        return -family, record.family or "", record.heard_validation, -_quality(record), record.name

    return sorted(records, key=place)


def _quality(record: Record) -> float:
    value = record.at_end("voice_mean")
    return -math.inf if value is None else value


def add(records: Path, run: Path, name: str, note: str | None, scores: Sequence[Path] = ()) -> Record:
    """Write the record `name` of a run, or replace it: the old note stays where none is given.

    So do the old scores, unless the run went on since. Raises `UsageError` for a first record without a note,
    a name that cannot be one, and a run that already has a record by another name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(f"--name {name}: letters, digits, - and _ only; it names a file and a heading")
    others = {record.name: record for record in read_records(records)} if records.is_dir() else {}
    before = others.pop(name, None)
    if note is None and before is None:
        raise UsageError(f"--name {name}: a new record needs --note: what was tried, and what it showed")
    if note is not None and not note.strip():
        raise UsageError("--note is empty: say what was tried, and what it showed")
    if clash := [other for other in others if other.lower() == name.lower()]:
        raise UsageError(f"--name {name}: there is '{clash[0]}', which differs only in capitals")
    record = describe(run, name, before.note if before and note is None else note or "", scores)
    if same := [other.name for other in others.values() if record.curve and other.curve == record.curve]:
        raise UsageError(f"{run}: this run has a record already; --name {same[0]} replaces it")
    if before and not scores and before.scores:
        if before.steps == record.steps:
            record = dataclasses.replace(record, scores=before.scores)
        else:
            print(f"{name}: scores of step {before.steps} are left out, the run went on; score it again")
    make_folder(records)
    with whole_file(records / f"{name}.json") as file:
        file.write(_written(record).encode())
    return record
