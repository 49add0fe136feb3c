"""`quickstart`: from a folder of recordings to a model that plays, a score and a page to listen to.

One command, which says beforehand what it will take, may be stopped at any moment and goes on where it was:
decode, train, export through the gate, score songs it never heard, write the listening page.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
from rich.console import Console
from rich.table import Table

from rtsep.errors import InputFileError, UsageError
from train.cache import INDEX, RATE, AudioCache
from train.evaluate import evaluate
from train.export import export
from train.fit import FitConfig, finished, fit
from train.listen import listen
from train.prepare import find, prepare
from train.presets import preset
from train.readers import Choice, Plan
from train.tracks import find_tracks, track_name

ANSWERS = "quickstart.json"
"""In the folder of results: what the command was asked for, so that it goes on with the same."""

MOST_SCORED = 5
"""Songs scored and put on the page; more say little more and take minutes each."""

DECODED_PER_S = 60.0  # seconds of one stem that a core decodes in a second
SCORED_PER_S = 2.5  # seconds of a song that are separated and scored in a second


@dataclass(frozen=True)
class Job:
    """What quickstart was asked for."""

    data: tuple[Path, ...]
    out: Path
    name: str = "mine"
    system: str = "causal"
    minutes: float = 60.0
    device: str = "auto"
    threads: int = 1
    form: str | None = None

    @property
    def cache(self) -> Path:
        """Decoded audio."""
        return self.out / "cache"

    @property
    def run(self) -> Path:
        """Checkpoint and history."""
        return self.out / "run"

    @property
    def model(self) -> Path:
        """The result."""
        return self.out / f"{self.name}.pt"

    @property
    def scores(self) -> Path:
        """What it scored."""
        return self.out / "scores.json"


def quickstart(job: Job, dry_run: bool = False) -> Path | None:
    """Go on with `job` up to its end; returns the model, or None where it was stopped or only planned."""
    system = preset(job.system)
    _remember(job)
    plans, found = find(job.data, job.form, None, Choice())
    songs = [plan for plan in plans if plan.kind in ("stems", "pair")]
    if not songs:
        raise InputFileError(
            f"{', '.join(map(str, job.data))}: no song whose voice and music are known apart; "
            "add a folder with SONG/vocals.wav beside the other stems"
        )
    _announce(job, plans)
    if dry_run:
        return None

    if not (job.cache / INDEX).exists():
        prepare(job.data, job.cache, workers=os.cpu_count() or 1, form=job.form)
    config = FitConfig(job.cache, job.run, system, job.minutes, device=job.device, threads=job.threads)
    state = fit(config)
    if not finished(state, config):
        print(
            f"stopped after {state.elapsed_s / 60:.1f} of {job.minutes:g} minutes; the same command goes on"
        )
        return None
    stale = not job.model.exists() or job.model.stat().st_mtime < (job.run / "checkpoint.pt").stat().st_mtime
    if stale:
        export(job.run, job.model, job.name)
    scored, unheard = songs_to_score(job, AudioCache(job.cache), found.test)
    if stale or not job.scores.exists():
        summary = evaluate(job.model, scored, job.scores)
    else:
        summary = json.loads(job.scores.read_text())["summary"]
    page = listen(job.model, scored, job.out / "listen")
    where = "songs it never heard" if unheard else "the songs it was trained on: add songs, this flatters"
    vocals, music = (summary.get(f"model_{target}_sdr_median") for target in ("vocals", "accompaniment"))
    if vocals is not None and music is not None:
        print(f"{vocals:.1f} dB vocals, {music:.1f} dB accompaniment (SDR) on {len(scored)} of {where}")
    print(f"listen:  {page}\nplay:    rtsep live --model {job.model}")
    return job.model


def songs_to_score(job: Job, cache: AudioCache, test: Sequence[str]) -> tuple[list[Path], bool]:
    """Tracks to score, at most `MOST_SCORED`, and whether training kept away from them.

    The data's own test part where it has one, else the songs that validate, else, of a single song, that.
    """
    tracks = find_tracks(job.data)
    for names in (test, [song.name for song in cache.select("valid", "stems", "pair")]):
        titles = {Path(name).name for name in names}  # a song's name may begin with its folders
        if chosen := [path for path in tracks if track_name(path) in titles]:
            return chosen[:MOST_SCORED], True
    return tracks[:MOST_SCORED], False


def _remember(job: Job) -> None:
    """Keep what was asked for; another job in the same folder is refused."""
    job.out.mkdir(parents=True, exist_ok=True)
    wanted = {
        "data": sorted(str(folder.resolve()) for folder in job.data),
        "system": job.system,
        "form": job.form,
    }
    answers = job.out / ANSWERS
    if answers.exists() and json.loads(answers.read_text()) != wanted:
        raise UsageError(f"{job.out} holds another quickstart ({answers}); take another --out, or remove it")
    answers.write_text(json.dumps(wanted, indent=1))


def _announce(job: Job, plans: Sequence[Plan]) -> None:
    """Say what it will take before it begins."""
    seconds = {plan.name: _length(plan) for plan in plans}
    stems_s = sum(seconds[plan.name] * len(plan.files) for plan in plans)
    disk_gb = stems_s * RATE * 4 / 1e9
    hours = sum(seconds.values()) / 3600
    cores = os.cpu_count() or 1
    longest = sorted(seconds[plan.name] for plan in plans if plan.kind in ("stems", "pair"))[-MOST_SCORED:]
    scoring = sum(longest) / SCORED_PER_S / 60
    done = {"decode": (job.cache / INDEX).exists(), "score": job.scores.exists()}
    trained = 0.0
    if (job.run / "checkpoint.pt").exists():
        from train import checkpoint

        trained = checkpoint.load(job.run).elapsed_s / 60
    rows = (
        ("decode", "done" if done["decode"] else f"{max(1, stems_s / DECODED_PER_S / cores / 60):.0f} min",
         f"{hours:.2f} h of music, {disk_gb:.1f} GB in {job.cache}"),
        ("train", f"{max(0.0, job.minutes - trained):.0f} min", f"'{job.system}', {trained:.0f} min done"),
        ("export", "1 min", f"every check, then {job.model}"),
        ("score, listen", "done" if done["score"] else f"{max(1.0, scoring):.0f} min",
         f"at most {MOST_SCORED} songs, then {job.out / 'listen' / 'index.html'}"),
    )  # fmt: skip
    table = Table("step", "about", "what", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print("Ctrl-C stops it at any moment; the same command goes on.")


def _length(plan: Plan) -> float:
    """Seconds of a song as its first file tells them without being decoded; 4 minutes where it does not."""
    for source in next(iter(plan.files.values())):
        try:
            return float(soundfile.info(str(source.path)).duration)
        except (RuntimeError, OSError):
            continue
    return 240.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train quickstart`."""
    job = {field.name: field.default for field in dataclasses.fields(Job)}
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="of songs as stems"
    )
    parser.add_argument("--out", type=Path, default=Path("my-model"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--name", default=job["name"], help="of the model (%(default)s)")
    parser.add_argument("--system", default=job["system"], metavar="PRESET", help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=job["minutes"], help="of training (%(default)s)")
    parser.add_argument("--device", default=job["device"], help="auto, cpu or cuda (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch (%(default)s)")
    parser.add_argument("--form", help="how --data lies on disk, where it is not recognised")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would take")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train quickstart`."""
    names = [field.name for field in dataclasses.fields(Job)]
    values = {name: getattr(options, name) for name in names}
    quickstart(Job(**(values | {"data": tuple(options.data)})), options.dry_run)
