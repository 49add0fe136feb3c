"""Records on disk: reading, checking and adding them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from train.data.cache import whole_file
from train.pages.record import Record, is_figure, record_text
from train.pages.run_description import describe
from train.score.scores import TARGETS


def read_record(path: Path) -> Record:
    """Read a record; `InputFileError` for another file."""
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
    """Return for each entry of a record whether its type is right."""

    def texts(values: Any) -> bool:
        return isinstance(values, list) and all(isinstance(value, str) for value in values)

    figures = ("parameters", "replicas", "steps", "audio_hours", "wall_minutes", "core_minutes")
    words = ("command", "family", "preset", "init", "machine", "cache")
    of_scores = {"model": str, "sha256": str, "command": str, "clips": int}
    return {
        "name": record.name == stem,
        "note": isinstance(record.note, str) and bool(record.note),
        **{name: is_figure(getattr(record, name)) for name in figures},
        **{name: isinstance(getattr(record, name), str | None) for name in words},
        **{name: texts(getattr(record, name)) for name in ("differs", "unsaid", "columns")},
        "schedule": isinstance(record.schedule, dict) and all(map(is_figure, record.schedule.values())),
        "data": isinstance(record.data, list)
        and all(isinstance(row, list) and len(row) == 2 and is_figure(row[1]) for row in record.data),
        "curve": isinstance(record.curve, list)
        and all(
            isinstance(row, list) and len(row) == len(record.columns) and all(map(is_figure, row))
            for row in record.curve
        ),
        "scores": isinstance(record.scores, list)
        and all(
            isinstance(score, dict)
            and all(isinstance(score.get(name), kind) for name, kind in of_scores.items())
            and all(is_figure(score.get(f"{t}_{kind}")) for t in TARGETS for kind in ("mean", "se", "median"))
            for score in record.scores
        ),
        "songs": isinstance(record.songs, dict)
        and all(
            isinstance(of, list) and len(of) == 2 and all(map(is_figure, of)) for of in record.songs.values()
        ),
    }


def read_records(folder: Path) -> list[Record]:
    """Return all records of a folder, grouped by family, best families and best runs first."""
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    best: dict[str | None, float] = {}
    for record in (record for record in records if not record.trained_on_validation):
        best[record.family] = max(_quality(record), best.get(record.family, -math.inf))

    def place(record: Record) -> tuple[float, str, bool, float, str]:
        family = best.get(record.family, -math.inf)
        return -family, record.family or "", record.trained_on_validation, -_quality(record), record.name

    return sorted(records, key=place)


def _quality(record: Record) -> float:
    value = record.at_end("voice_mean")
    return -math.inf if value is None else value


def add(records: Path, run: Path, name: str, note: str | None, scores: Sequence[Path] = ()) -> Record:
    """Write the record `name` of a run, or replace it; without a new note, the old one stays.

    The old scores stay, too, unless the run has continued. Raises `UsageError` for a first record without a
    note, a name that cannot be one, and a run that already has a record by another name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(f"--name {name}: letters, digits, - and _ only; it names a file and a heading")
    others = {record.name: record for record in read_records(records)} if records.is_dir() else {}
    before = others.pop(name, None)
    if note is None and before is None:
        raise UsageError(
            f"--name {name}: a new record needs --note with the change that was tried and its result"
        )
    if note is not None and not note.strip():
        raise UsageError("--note is empty: state the change that was tried and its result")
    if clash := [other for other in others if other.lower() == name.lower()]:
        raise UsageError(f"--name {name}: there is already '{clash[0]}', which differs only in capitals")
    record = describe(run, name, before.note if before and note is None else note or "", scores)
    if same := [other.name for other in others.values() if record.curve and other.curve == record.curve]:
        raise UsageError(f"{run}: this run already has a record; --name {same[0]} replaces it")
    if before and not scores and before.scores:
        if before.steps == record.steps:
            record = dataclasses.replace(record, scores=before.scores)
        else:
            print(
                f"{name}: the run has continued, scores of step {before.steps} are not used; score it again"
            )
    make_folder(records)
    with whole_file(records / f"{name}.json") as file:
        file.write(record_text(record).encode())
    return record
