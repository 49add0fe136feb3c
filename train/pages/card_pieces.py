"""The input of a model's card: reading, and checks that all files are about the same model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from rtsep.errors import InputFileError
from rtsep.model.licences import training_set
from rtsep.model.package import ModelPackage
from train.pages.record import Record
from train.pages.record_files import read_record
from train.score.scores import Content, read_scores

SOUND = "How it sounds and fails"
"""The section of the prose; the text before it is the introduction."""

TIMED = ("model", "whole")
"""Stages of a hop whose time is shown."""


def scores_of(path: Path, package: ModelPackage) -> Content:
    """Read the scores of `package` at `path`; `InputFileError` for those of another model file."""
    remedy = f"python -m train evaluate --model {package.path} --data TEST --json {path}"
    return _of_this_file(path, read_scores(path), package, remedy)


def robustness_of(path: Path, package: ModelPackage) -> Content:
    """Read the robustness measures of `package`; `InputFileError` for those of another model file."""
    remedy = f"python -m train robustness --model {package.path} --data TEST --json {path}"
    needed = {"command", "model_sha256", "card", "bars", "measures", "clips", "clips_from"}
    return _of_this_file(path, _read_json(path, needed, remedy), package, remedy)


def worst_of(path: Path, package: ModelPackage) -> Content:
    """Return what `worst` found of `package`. Raises `InputFileError` for the places of another file."""
    remedy = f"python -m train worst --model {package.path} --data TEST --json {path}"
    content = _read_json(path, {"command", "model_sha256", "places"}, remedy)
    return _of_this_file(path, content, package, remedy)


def cost_of(path: Path, package: ModelPackage) -> Content:
    """Read the cost of a hop of `package`: `hop_us`, `took` by stage, and `machine`.

    Of several rates and block sizes, the first one is used. Raises `InputFileError` for another model file.
    """
    remedy = f"rtsep bench hop --model {package.path} --json > {path}"
    content = _read_json(path, {"bench", "machine", "rows"}, remedy)
    rows = content["rows"]
    if content["bench"] != "hop" or not {row["stage"] for row in rows}.issuperset(TIMED):
        raise InputFileError(f"{path}: contains no measured hop; write it with: {remedy}")
    own = [row for row in rows if row["model_sha256"] == package.sha256]
    first = _of_this_file(path, (own or rows)[0], package, remedy)
    took = {row["stage"]: row for row in reversed(own)}
    machine = "{processor}, {cores} cores".format(**content["machine"])
    return {"hop_us": first["hop_us"], "took": took, "machine": machine}


def _read_json(path: Path, needed: set[str], remedy: str) -> Content:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON ({error}); write it with: {remedy}") from None
    missing = needed - set(content) if isinstance(content, dict) else needed
    if missing:
        raise InputFileError(f"{path}: lacks {', '.join(sorted(missing))}; write it with: {remedy}")
    return dict(content)


def _of_this_file(path: Path, content: Content, package: ModelPackage, remedy: str) -> Content:
    sha256 = str(content["model_sha256"])
    if sha256 != package.sha256:
        raise InputFileError(
            f"{path}: figures of another model file (sha256 {sha256[:12]}) than {package.path} "
            f"({package.sha256[:12]}); measure this one with: {remedy}"
        )
    return content


def chain_of(paths: Sequence[Path], package: ModelPackage) -> list[Record]:
    """Read the records of the runs behind the model, the first one first."""
    records = [read_record(path) for path in paths]
    if not records:
        return []
    spec, last = package.spec, records[-1]
    steps = spec.metrics.get("training", {}).get("steps")
    of_model, of_record = (spec.system, spec.params, steps), (last.family, last.parameters, last.steps)
    if of_model != of_record:
        raise InputFileError(
            f"{paths[-1]}: of another model: {_run_in_words(*of_record)}; "
            f"{package.path} is {_run_in_words(*of_model)}. "
            f"Make the record of its run with: python -m train runs --add RUN --name {last.name}; "
            "or the model file of this one with: python -m train export"
        )
    sets = {training_set(line).name for line in spec.data}
    before: Record | None = None
    for path, record in zip(paths, records, strict=True):
        if record.init is not None and (before is None or record.init not in _names(before)):
            raise InputFileError(
                f"{path}: its weights came from the run '{record.init}': give the record of that run "
                "before it; 'python -m train runs --add RUN' makes one"
            )
        if record.init is None and before is not None:
            raise InputFileError(
                f"{path}: it began with new weights, not with those of '{before.name}': leave out its record"
            )
        if missing := [name for name, _ in record.data if name not in sets]:
            raise InputFileError(
                f"{path}: it was trained on {', '.join(missing[:4])}, which {package.path} does not list: "
                "its licence would be wrong; export it again with python -m train export"
            )
        before = record
    return records


def _run_in_words(family: str | None, parameters: int | None, steps: int | None) -> str:
    of = ["an unknown number of" if value is None else f"{value:,}" for value in (parameters, steps)]
    return f"'{family}' with {of[0]} parameters after {of[1]} steps"


def _names(record: Record) -> set[str]:
    # A later run may refer to this run by its record, its folder or a model file.
    folder = re.search(r"--run[ =](\S+)", record.command or "")
    files = {f"{name}.pt" for name in (record.name, *(score["model"] for score in record.scores))}
    return {record.name, *([folder[1]] if folder else []), *files}


def prose_of(path: Path) -> tuple[str, str]:
    """Read the introduction, and the section on sound and failures."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"{path}: cannot be read ({error}); it should contain the prose of the card"
        ) from None
    wanted = f"an introduction without a heading, then '## {SOUND}'"
    introduction, *sections = re.split(r"^(?=#)", text, flags=re.MULTILINE)
    for section in sections:
        heading = section.splitlines()[0].strip()
        if heading != f"## {SOUND}":
            raise InputFileError(f"{path}: '{heading}' is not a heading of a card's prose: {wanted}")
    if len(sections) != 1:
        raise InputFileError(f"{path}: '## {SOUND}' stands in it {len(sections)} times; wanted is {wanted}")
    sound = sections[0].partition("\n")[2].strip()
    if not introduction.strip() or not sound:
        raise InputFileError(f"{path}: a part of it is empty; wanted is {wanted}")
    return introduction.strip(), sound
