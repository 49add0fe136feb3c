"""`evaluate`: score a model file on whole clips, through the very path that plays it live.

Figures are museval's (v4, frames of 1 s): median over the frames of a clip, then over clips, as the field
reports them; and the scale-invariant SDR over whole clips. The unprocessed mixture stands beside them as
the zero line.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table
from tqdm import tqdm

from rtsep.errors import InputFileError
from rtsep.model.loader import Stepper, load_model
from rtsep.model.package import read_package
from rtsep.separator import Separator
from train.cache import RATE
from train.metrics import level_db, si_sdr

Wave = NDArray[np.float32]
BLOCK = 4096  # frames handed over at a time; the result does not depend on it
SYSTEMS = ("model", "mixture")
TARGETS = ("vocals", "accompaniment")


@dataclass(frozen=True)
class Clip:
    """A test clip: [2, n] each."""

    name: str
    mix: Wave
    vocals: Wave
    accompaniment: Wave


def _ffmpeg(path: Path, stream: int = 0) -> Wave:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", f"0:a:{stream}"]
    command += ["-f", "f32le", "-ac", "2", "-ar", str(RATE), "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no audio in it"]
        raise InputFileError(f"{path}: {reason[-1]}")
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 2).T


def read_clip(path: Path) -> Clip:
    """Read a MUSDB18 .stem.mp4 (mix, drums, bass, other, vocals) or a folder of stems."""
    if path.is_dir():
        stems = {file.stem: _ffmpeg(file) for file in sorted(path.iterdir()) if file.is_file()}
        if "vocals" not in stems or len(stems) < 2:
            raise InputFileError(f"{path}: no folder of stems (vocals and others)")
        frames = min(stem.shape[1] for stem in stems.values())
        parts = {name: stem[:, :frames] for name, stem in stems.items() if name != "mixture"}
        mix = np.sum(list(parts.values()), 0)
    else:
        streams = [_ffmpeg(path, stream) for stream in range(5)]
        frames = min(stream.shape[1] for stream in streams)
        mix, *rest = (stream[:, :frames] for stream in streams)
        parts = dict(zip(("drums", "bass", "other", "vocals"), rest, strict=True))
    music = np.sum([part for name, part in parts.items() if name != "vocals"], 0)
    return Clip(path.name.removesuffix(".stem.mp4"), np.ascontiguousarray(mix), parts["vocals"], music)


def find_clips(data: Path) -> list[Path]:
    """The clips of a folder, by name."""
    inside = sorted(data.iterdir()) if data.is_dir() else []
    found = [path for path in inside if path.name.endswith(".stem.mp4") or path.is_dir()]
    if not found:
        raise InputFileError(f"{data}: neither .stem.mp4 files nor folders of stems")
    return found


def separate(model: Stepper, mix: Wave, rate: int = RATE) -> tuple[Wave, Wave]:
    """Voice and accompaniment [2, n] of `mix` [2, n] as a live session gives them, latency removed."""
    separator = Separator(model, rate, 2)
    padded = np.pad(mix, ((0, 0), (0, separator.latency + BLOCK)))
    blocks = [separator.process(padded[:, i : i + BLOCK]) for i in range(0, padded.shape[1], BLOCK)]
    stems = np.concatenate(blocks, 2)[:, :, separator.latency : separator.latency + mix.shape[1]]
    return stems[0], stems[1]


def museval_frames(clip: Clip, vocals: Wave, accompaniment: Wave) -> dict[str, list[float]]:
    """SDR of each target in each frame of 1 s, by museval v4; nan where a reference is silent."""
    import museval

    references = np.stack([clip.vocals.T, clip.accompaniment.T])
    estimates = np.stack([vocals.T, accompaniment.T])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdr, *_ = museval.evaluate(references, estimates, win=RATE, hop=RATE, mode="v4")
    return {target: [float(value) for value in row] for target, row in zip(TARGETS, sdr, strict=True)}


def score_clip(model_path: Path, path: Path) -> dict[str, object]:
    """All figures of one clip."""
    clip = read_clip(path)
    vocals, accompaniment = separate(load_model(model_path), clip.mix)
    row: dict[str, object] = {"clip": clip.name, "seconds": clip.mix.shape[1] / RATE}
    for system, stems in (("model", (vocals, accompaniment)), ("mixture", (clip.mix, clip.mix))):
        frames = museval_frames(clip, *stems)
        for target, reference, stem in zip(TARGETS, (clip.vocals, clip.accompaniment), stems, strict=True):
            values = np.asarray(frames[target])
            median = float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")
            row[f"{system}_{target}_sdr"] = median
            row[f"{system}_{target}_si_sdr"] = si_sdr(reference, stem)
            row[f"{system}_{target}_frames"] = frames[target]
    row["voice_level_db"] = level_db(clip.vocals, clip.mix)
    row["error_level_db"] = level_db(vocals - clip.vocals, clip.mix)
    return row


def summarise(rows: list[dict[str, object]]) -> dict[str, float]:
    """Median and mean over clips of each clip's figures."""
    summary: dict[str, float] = {}
    for key in (f"{s}_{t}_{m}" for s in SYSTEMS for t in TARGETS for m in ("sdr", "si_sdr")):
        values = np.asarray([row[key] for row in rows], np.float64)
        summary[f"{key}_median"] = round(float(np.nanmedian(values)), 3)
        summary[f"{key}_mean"] = round(float(np.nanmean(values)), 3)
    summary["clips"] = len(rows)
    return summary


def _print_table(rows: list[dict[str, object]], summary: dict[str, float]) -> None:
    table = Table(Column("clip", no_wrap=True), *(f"{t} {m}" for t in TARGETS for m in ("SDR", "SI-SDR")))
    keys = [f"model_{t}_{m}" for t in TARGETS for m in ("sdr", "si_sdr")]
    for row in rows:
        table.add_row(str(row["clip"]), *(f"{row[key]:.2f}" for key in keys))
    table.add_section()
    for system in SYSTEMS:
        for kind in ("median", "mean"):
            names = (f"{system}_{t}_{m}_{kind}" for t in TARGETS for m in ("sdr", "si_sdr"))
            table.add_row(f"{system}, {kind}", *(f"{summary[name]:.2f}" for name in names))
    Console().print(table)


def evaluate(model: Path, data: Path, json_path: Path | None = None, workers: int = 1) -> dict[str, float]:
    """Score `model` on every clip in `data`, print a table, write all to `json_path`; returns the summary."""
    package = read_package(model)
    paths = find_clips(data)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            scored = pool.map(score_clip, [model] * len(paths), paths)
            rows = list(tqdm(scored, total=len(paths), unit="clip"))
    else:
        rows = [score_clip(model, path) for path in tqdm(paths, unit="clip")]
    summary = summarise(rows)
    _print_table(rows, summary)
    if json_path is not None:
        command = "python -m train " + shlex.join(sys.argv[1:])
        of_model = {"model": package.spec.name, "model_sha256": package.sha256}
        content = {"command": command, **of_model, "summary": summary, "clips": rows}
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(content, indent=1))
    return summary
