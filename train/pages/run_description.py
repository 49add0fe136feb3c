"""From the folder of a run to its record."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from rtsep.errors import InputFileError, UsageError
from train.commandline import last_part, without_paths
from train.learn import checkpoint as checkpoints
from train.learn.presets import PRESETS, to_plain
from train.pages.record import Record, is_figure, record_text, thinned
from train.score.scores import MODEL, TARGETS, read_scores

CURVE_ROWS = 60
"""Maximum number of validations in a record; a long run has hundreds."""

MACHINE_PATH = re.compile(r"(?<![\w.)\]/:])(?:~?/[\w.-]+/[\w.-]|[A-Za-z]:\\)")
"""Pattern of an absolute path of two parts or more in a text."""


def describe(folder: Path, name: str, note: str, scores: Sequence[Path] = ()) -> Record:
    """Make the record of the run in `folder`; `scores` are JSONs that `evaluate` wrote of its models.

    Raises `InputFileError` for a folder without a run, and `UsageError` for scores of another model or a text
    with paths of this machine.
    """
    about, history = _described(folder), _history(folder / "history.jsonl")
    state = _state(folder / checkpoints.FILE)
    if not about and not history and not state:
        raise InputFileError(
            f"{folder}: no run in it (run.json, history.jsonl, {checkpoints.FILE}); give a folder "
            "written by 'python -m train fit --run'"
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
    if found := MACHINE_PATH.search(record_text(record)):
        text = record_text(record)[found.start() : found.start() + 40].splitlines()[0]
        raise UsageError(
            f"'{text}...' is a path of this machine: which a record must not contain; change --note"
        )
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
        raise InputFileError(f"{path}: not a file of 'python -m train fit'")
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
            raise InputFileError(
                f"{path}: line {number} is not a validation; remove it if a crash cut it off"
            )
        entries.append({key: value for key, value in entry.items() if is_figure(value)})
    return entries


def _state(path: Path) -> dict[str, Any]:
    # Unchecked entries, because `checkpoints.load` refuses older versions. Tensors stay on the disk.
    if not path.exists():
        return {}
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types for a broken file
        print(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); the record is made from the history only"
        )
        return {}
    return raw if isinstance(raw, dict) else {}


def _songs(path: Path) -> dict[str, list[float | None]]:
    """Read voice and music of each song at the last validation; old runs have none."""
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [_rounded(value) for value in of] for name, of in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputFileError(f"{path}: not the scores of validation songs ({error})") from None


def _evaluations(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the summaries of evaluations, largest first, and the cards of the models, by path."""
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
    # The first format had one system, and its options were called "config".
    return {"family": "causal", "options": state["config"]} if "config" in state else {}


def _todays_names(options: dict[str, Any]) -> dict[str, Any]:
    training = options.get("training", {})
    if "rate" in training:
        training["learning_rate"] = training.pop("rate")
    return options


def _preset(command: str | None, family: str | None) -> str | None:
    """Return the preset in a command, else the first of its family."""
    named = re.search(r"--system[ =](\S+)", command or "")
    if named and named[1] in PRESETS and PRESETS[named[1]].family == family:
        return named[1]
    return next((name for name, system in PRESETS.items() if system.family == family), None)


def _compared(options: dict[str, Any], preset: str | None) -> tuple[list[str], list[str]]:
    """Return options that differ from a preset as NAME=VALUE, and the names of missing ones."""
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
    """Return [set, minutes] for each set in lines "set: minutes min, licence"."""
    minutes: dict[str, float] = {}
    for line in lines:
        if found := re.match(r"(.+): (\d+(?:\.\d+)?) min, ", line):
            minutes[found[1]] = minutes.get(found[1], 0.0) + float(found[2])
    return [[name, round(sum_, 1)] for name, sum_ in minutes.items()]


def _rounded(value: float | None) -> float | None:
    """Round to three decimals, or to three digits below 1; None if there is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.3g}")
