"""`evaluate`: score a model file on whole tracks, through the signal path of live playing.

The figures are those of museval (v4, frames of 1 s): the median over the frames of a track, then mean and
median over tracks; and the scale-invariant SDR over whole tracks. The table compares the model with the
unprocessed mixture (a lower bound), with oracle masks at the model's window, rate and channels (an upper
bound), and with another separator if one is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError, suggest
from rtsep.limits import DEVICES
from rtsep.model.contract import ModelSpec
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.remote import load_model
from rtsep.model.runner import ModelRunner
from rtsep.offline.separator import Separator
from rtsep.pipeline import model_rate_for
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import Stems, Track, find_tracks, read_track, select_tracks
from train.score.metrics import BSS_METRICS, BssEval, level_db, over_frames, si_sdr
from train.score.oracle import MASKS, Oracle
from train.score.peers import Peer, latency_ms, load_peer
from train.score.processes import ignore_interrupts, interruptible, open_workers
from train.score.scores import (
    MODEL,
    TARGETS,
    check_writable,
    plot_scores,
    print_scores,
    summarise,
    write_scores,
)

BLOCK = 4096  # frames handed over at a time; the result does not depend on it
REFERENCES = ("mixture", "oracle")


class Timed(ModelRunner):
    """A model runner that records the duration of each step."""

    def __init__(self, model: ModelRunner) -> None:
        self._model = model
        self.spec, self.column, self.mask = model.spec, model.column, model.mask
        self.step_ms: list[float] = []

    def step(self) -> None:
        """Step the model and record the duration."""
        started = time.perf_counter()
        self._model.step()
        self.step_ms.append(1000 * (time.perf_counter() - started))

    def reset(self) -> None:
        """Reset the model; the recorded durations stay."""
        self._model.reset()


def separate(model: ModelRunner, mix: Wave, rate: int = RATE) -> Stems:
    """Return voice and accompaniment [2, n] of `mix` [2, n] as in a live session, latency removed."""
    separator = Separator(model, rate, 2)
    padded = np.pad(mix, ((0, 0), (0, separator.latency + BLOCK)))
    blocks = [separator.process(padded[:, i : i + BLOCK]) for i in range(0, padded.shape[1], BLOCK)]
    stems = np.concatenate(blocks, 2)[:, :, separator.latency : separator.latency + mix.shape[1]]
    return stems[0], stems[1]


@contextlib.contextmanager
def as_live() -> Iterator[None]:
    """Run torch as in the model process of a live session, with one thread and no denormals."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Scoring:
    """The models and references to score on each track; it is sent to each worker."""

    model: Path
    references: tuple[str, ...]
    peers: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class Skipped:
    """A track that cannot be scored, with the reason."""

    path: Path
    reason: str


class Scorer:
    """A scorer of tracks; it loads the models once."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._model = load_model(scoring.model, scoring.device)
        self.peers: dict[str, Peer] = {name: load_peer(name, scoring.device) for name in scoring.peers}
        with as_live():
            separate(self._model, np.zeros((2, BLOCK), np.float32))  # compiles the path, untimed

    @property
    def latency(self) -> int:
        """Latency of the stems in frames at RATE, resampling included."""
        return Separator(self._model, RATE, 2).latency

    def score(self, path: Path) -> dict[str, Any] | Skipped:
        """Return all figures of one track."""
        try:
            track = read_track(path)
        except InputFileError as error:
            return Skipped(path, str(error))
        assert track.stems is not None
        timed = Timed(self._model)
        started = time.perf_counter()
        with as_live():
            found = separate(timed, track.mix)
        separation_s = time.perf_counter() - started
        row: dict[str, Any] = {
            "clip": track.name,
            "seconds": track.seconds,
            "separation_s": separation_s,
            "step_ms": float(np.median(timed.step_ms)),
            "voice_level_db": level_db(track.stems[0], track.mix),
            "error_level_db": level_db(found[0] - track.stems[0], track.mix),
            "scores": {},
            "frames": {},
        }
        bss = BssEval(track.stems, RATE)
        for system, stems in self._systems(track, found):
            row["scores"][system], row["frames"][system] = score_stems(track.stems, stems, bss)
        return row

    def _systems(self, track: Track, found: Stems) -> Iterator[tuple[str, Stems]]:
        assert track.stems is not None
        yield MODEL, found
        if "mixture" in self._scoring.references:
            yield "mixture", (track.mix, track.mix)
        if "oracle" in self._scoring.references:
            for mask in MASKS:
                yield f"oracle_{mask}", separate(Oracle(self._model.spec, track.stems, RATE, mask), track.mix)
        for name, peer in self.peers.items():
            yield name, peer.separate(track.mix)


def score_stems(
    references: Stems, estimates: Stems, bss: BssEval | None = None
) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    """Return the figures of each target over a whole track, and its SDR in each frame of 1 s (nan: silence).

    `bss` is the state of BSS Eval for the references, to share among several estimates.
    """
    values = (bss or BssEval(references, RATE)).score(estimates)
    scores = {
        target: {metric: over_frames(values[metric][i]) for metric in BSS_METRICS}
        | {"si_sdr": si_sdr(references[i], estimates[i])}
        for i, target in enumerate(TARGETS)
    }
    return scores, {target: values["sdr"][i].tolist() for i, target in enumerate(TARGETS)}


_in_worker: list[Scorer] = []  # of this process, where it is a worker


def _start_worker(scoring: Scoring) -> None:
    ignore_interrupts()
    _in_worker.append(Scorer(scoring))


def _score_in_worker(path: Path) -> dict[str, Any] | Skipped:
    with interruptible():
        return _in_worker[0].score(path)


def _score_all(
    scorer: Scorer, scoring: Scoring, paths: list[Path], count: int
) -> list[dict[str, Any] | Skipped]:
    bar = tqdm(total=len(paths), unit="track", desc="score")
    results = []
    with bar, contextlib.ExitStack() as stack:
        if count > 1 and len(paths) > 1:
            pool = stack.enter_context(open_workers(count, _start_worker, (scoring,)))
            scored: Iterator[dict[str, Any] | Skipped] = pool.map(_score_in_worker, scorer.score, paths)
        else:
            scored = map(scorer.score, paths)
        for result in scored:
            if isinstance(result, Skipped):
                bar.write(f"skipped: {result.reason}")
            results.append(result)
            bar.update()
    return results


def evaluate(
    model: Path,
    data: Path | Sequence[Path],
    json_path: Path | None = None,
    workers: int = 1,
    *,
    references: Sequence[str] = REFERENCES,
    peers: Sequence[str] = (),
    tracks: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, float | None]:
    """Score `model` on the tracks in `data` (all, or those named), print tables, return the summary.

    All figures go to `json_path`, and a plot beside it. Broken tracks are listed and skipped;
    `InputFileError` if none is left.
    """
    for name in references:
        if name not in REFERENCES:
            known = ", ".join(REFERENCES)
            raise UsageError(f"--references '{name}': one of {known}, or none{suggest(name, REFERENCES)}")
    if json_path is not None:
        check_writable(json_path)
    package = read_package(model)
    paths = find_tracks([data] if isinstance(data, Path) else data)
    if tracks:
        paths = select_tracks(paths, tracks)
    scoring = Scoring(model, tuple(references), tuple(peers), device)
    scorer = Scorer(scoring)  # before any worker, so that an error of the model or a peer is one clear line
    results = _score_all(scorer, scoring, paths, workers)
    rows = [result for result in results if not isinstance(result, Skipped)]
    skipped = [result for result in results if isinstance(result, Skipped)]
    if not rows:
        raise InputFileError(f"none of {len(paths)} tracks could be scored; first: {skipped[0].reason}")
    summary = summarise(rows) | {"clips": len(rows), "skipped": len(skipped)}
    content = {
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "model": package.spec.name,
        "model_sha256": package.sha256,
        "card": card(package) | {"played_latency_samples": scorer.latency, "played_rate": RATE},
        "systems": _describe(package.spec, rows, scorer.peers),
        "cost": _cost(package.spec, rows, device),
        "summary": summary,
        "clips": rows,
        "skipped": [{"track": result.path.name, "reason": result.reason} for result in skipped],
    }
    print_scores(content)
    if json_path is not None:
        write_scores(content, json_path)
        plot_scores(content, json_path.with_suffix(".png"))
    return summary


def card(package: ModelPackage) -> dict[str, Any]:
    """Return the facts on a model for tables and pages."""
    spec = package.spec
    return {
        "name": spec.name,
        "system": spec.system,
        "description": spec.description,
        "rates": list(spec.rates),
        "n_fft": spec.n_fft,
        "synthesis": spec.synthesis,
        "hop": spec.hop,
        "channels": spec.channels,
        "lookahead_hops": spec.lookahead_hops,
        "latency_samples": spec.algorithmic_latency,
        "latency_ms": 1000 * spec.algorithmic_latency / model_rate_for(spec, RATE),
        "params": spec.params,
        "macs_per_hop": spec.macs_per_hop,
        "training": spec.metrics.get("training", {}),
        "data": list(spec.data),
        "licence": spec.licence,
        "sha256": package.sha256,
    }


def _describe(spec: ModelSpec, rows: list[dict[str, Any]], peers: dict[str, Peer]) -> dict[str, Any]:
    # One entry a scored system: its title and its row of the table.
    window = f"{spec.n_fft} -> {spec.synthesis}, hop {spec.hop}, {model_rate_for(spec, RATE) / 1000:g} kHz"
    sides = "mid and side" if spec.channels == 2 and spec.stereo == "mid-side" else "left and right"
    sides = "mid only" if spec.channels == 1 else sides
    known: dict[str, dict[str, Any]] = {MODEL: {"title": spec.name}}
    known["mixture"] = {"title": "unprocessed mixture"}
    for mask in MASKS:
        about = {"title": f"oracle {mask} mask", "formula": MASKS[mask], "window": f"{window}, {sides}"}
        known[f"oracle_{mask}"] = about
    for name, peer in peers.items():
        known[name] = {
            "title": peer.title,
            "params": peer.params,
            "latency_samples": peer.latency_samples,
            "latency_ms": latency_ms(peer),
            "licence": peer.licence,
        }
    return {system: known[system] for system in rows[0]["scores"]}


def _cost(spec: ModelSpec, rows: list[dict[str, Any]], device: str) -> dict[str, Any]:
    return {
        "step_ms": float(np.median([row["step_ms"] for row in rows])),
        "hop_ms": 1000 * spec.hop / model_rate_for(spec, RATE),
        "realtime_factor": sum(row["separation_s"] for row in rows) / sum(row["seconds"] for row in rows),
        "device": device,
        "threads": 1,
        "machine": _machine(device),
        "note": "indicative: median over the steps of whole tracks, without pauses, other load possible",
    }


def _machine(device: str) -> str:
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux names the processor here
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


def names_of(text: str) -> tuple[str, ...]:
    """Parse the comma-separated list of an option; "none" and "" are empty."""
    return tuple(name.strip() for name in text.split(",") if name.strip() not in ("", "none"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model file")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH",
        help="MUSDB18(-HQ), DSD100, a folder of .stem.mp4 files or of folders of stems, or one track; "
             "may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--tracks",
        type=names_of,
        default=(),
        metavar="NAME,...",
        help="only tracks with these beginnings of their names (default: all)",
    )
    parser.add_argument("--references", type=names_of, default=REFERENCES, metavar="NAME,...",
                        help=f"references: {','.join(REFERENCES)}, or none (default: all)")  # fmt: skip
    parser.add_argument("--peer", type=names_of, default=(), metavar="NAME",
                        help="other separator to score: spleeter")  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="output: all figures, with a plot (.png) beside it"
    )
    parser.add_argument("--workers", type=int, default=1, help="tracks scored at a time (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    evaluate(
        options.model,
        options.data,
        options.json,
        options.workers,
        references=options.references,
        peers=options.peer,
        tracks=options.tracks,
        device=options.device,
    )
