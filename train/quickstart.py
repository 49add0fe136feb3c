"""`quickstart`: train a model from a folder of recordings, score it, and write a listening page.

The command prints a plan first: decode, train, export, score on unseen songs, listening page. You can stop it
at any time; the same command continues.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from rtsep.files.names import printable
from rtsep.files.sndfile import brief_look
from rtsep.terminal import plain_console
from train.data.cache import INDEX, RATE, AudioCache, Song, whole_file
from train.data.output import sole_use, write_audio
from train.data.prepare import default_workers, find, prepare
from train.data.readers import Choice, Plan
from train.data.readers.base import subfolders
from train.data.readers.decode import to_int16
from train.data.readers.stems import song_parts
from train.data.tracks import is_stems
from train.learn import checkpoint as checkpoints
from train.learn.export import export
from train.learn.fit import fit
from train.learn.fit_config import FIT_DEVICES, FitConfig
from train.learn.presets import preset
from train.pages.listen import listen
from train.score.evaluate import evaluate
from train.score.scores import read_scores

ANSWERS = "quickstart.json"
"""File in the folder of results: options of the command, checked when it continues."""

HELD_OUT = "held-out"
"""Folder for songs to score that are written from the cache; also their list among the answers."""

LISTS = ("songs", "files", "trained", HELD_OUT)
"""Names of songs, and files with size and time, among the answers; missing before they are known."""

NAME_CHARACTERS, NAME_BYTES = 80, 200
"""Maximum length of the name of a folder for a song; file systems take 255 bytes."""

MAX_SCORED = 5
"""Songs scored and put on the page; more say little more and take minutes each."""

MAX_SECONDS = 60
"""Length of the excerpt of a song that is scored from the cache."""

DECODED_PER_S = 60.0  # seconds of one stem that a core decodes in a second
SCORED_PER_S = 2.5  # seconds of a song that are separated and scored in a second


@dataclass(frozen=True)
class Job:
    """The options of a quickstart."""

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
        """The model file."""
        return self.out / f"{self.name}.pt"

    @property
    def held_out(self) -> Path:
        """Folder for songs to score that are written from the cache."""
        return self.out / HELD_OUT

    @property
    def scores(self) -> Path:
        """The scores."""
        return self.out / "scores.json"


def quickstart(job: Job, dry_run: bool = False) -> Path | None:
    """Start or continue `job`; return the model file, or None if it was stopped or only planned."""
    # Before an hour of decoding, because it refuses invalid options.
    config = FitConfig(
        job.cache, job.run, preset(job.system), job.minutes, device=job.device, threads=job.threads
    )
    _check(job)
    answers = _answers(job)
    plans, found = find(job.data, job.form, None, Choice())
    songs = [plan for plan in plans if plan.kind in ("stems", "pair")]
    if not songs:
        raise InputFileError(
            f"{', '.join(map(str, job.data))}: no song with separate voice and music; "
            "add a folder with SONG/vocals.wav beside the other stems"
        )
    names = sorted(f"{plan.source}/{plan.name}" for plan in plans)
    files = _files(plans)
    decoded = (job.cache / INDEX).exists()
    # An earlier version did not store the files.
    repaired = len(set(files) - set(answers["files"])) if answers.get("files") else 0
    changed = decoded and (answers.get("songs") != names or repaired > 0)
    trained_min = _trained_min(job)
    _announce(job, plans, decoded and not changed, trained_min)
    if changed:
        known = set(answers.get("songs", ()))
        added, gone = len(set(names) - known), len(known - set(names))
        then = "the run continues"
        if trained_min >= job.minutes:
            then = f"the training is finished; --minutes above {job.minutes:g} trains on them"
        what = (
            f"{added} songs were added and {gone} removed" if added or gone else f"{repaired} files changed"
        )
        print(f"{what}: all are decoded again, and {then}")
    if dry_run:
        return None

    make_folder(job.out)
    with sole_use(job.out):
        _write(job, answers)
        if changed or not decoded:
            prepare(job.data, job.cache, workers=default_workers(), form=job.form)
            job.scores.unlink(missing_ok=True)  # the scored songs may have changed
            answers |= {"songs": names, "files": files}
        elif not answers.get("files"):
            answers["files"] = files
        cache = AudioCache(job.cache)
        trained = {*answers.get("trained", ()), *(_key(song) for song in _songs(cache, "train"))}
        answers["trained"] = sorted(trained)
        _write(job, answers)
        # Before an hour of training, because it fails if no song can be scored.
        scored, unseen = songs_to_score(job, answers, cache, plans, found.test_tracks)
        return _trained(job, config, scored, unseen)


def _trained(job: Job, config: FitConfig, scored: Sequence[Path], unseen: bool) -> Path | None:
    """Train, export, score and write the page as far as needed; return the model, None if it was stopped."""
    state = fit(config)
    if config.progress(state) < 1:
        print(
            f"stopped after {state.elapsed_s / 60:.1f} of {job.minutes:g} minutes; "
            "repeat the command to continue"
        )
        return None
    weights = job.run / checkpoints.FILE
    stale = not job.model.exists() or job.model.stat().st_mtime < weights.stat().st_mtime
    if stale:
        job.scores.unlink(missing_ok=True)  # of the older model, if the scoring is interrupted
        export(job.run, job.model, job.name)
    if stale or not job.scores.exists():
        summary = evaluate(job.model, scored, job.scores)
    else:
        summary = read_scores(job.scores)["summary"]
    page = listen(job.model, scored, job.out / "listen")
    where = "not used in the training" if unseen else "of the training, so the scores are too high: add songs"
    vocals, music = (summary.get(f"model_{target}_sdr_mean") for target in ("vocals", "accompaniment"))
    count = "1 song" if len(scored) == 1 else f"{len(scored)} songs"
    if vocals is not None and music is not None:
        print(f"{vocals:.1f} dB vocals, {music:.1f} dB accompaniment (SDR), mean over {count} {where}")
    print(f"listen:  {page}\nplay:    rtsep live --model {job.model}")
    return job.model


def songs_to_score(
    job: Job, answers: dict[str, Any], cache: AudioCache, plans: Sequence[Plan], test: Sequence[Path]
) -> tuple[list[Path], bool]:
    """Return at most `MAX_SCORED` tracks to score, and whether they are unseen in training.

    They come from the test part of the data, else from validation songs that never trained, else from all
    songs. Songs that are no tracks on disk (karaoke in two channels, shards) are written from the cache, and
    listed in `answers`. Raises `InputFileError` if no song could be decoded.
    """
    if tracks := [path for path in test if path.exists() and is_stems(path)]:
        return tracks[:MAX_SCORED], True
    valid = _songs(cache, "valid")
    unseen = [song for song in valid if _key(song) not in answers["trained"]]
    chosen = (unseen or valid or _songs(cache, "train"))[:MAX_SCORED]
    if not chosen:
        raise InputFileError(
            f"{', '.join(map(str, job.data))}: no song with voice and music could be decoded"
        )
    before = answers.pop(HELD_OUT, ())
    for folder in subfolders(job.held_out):
        if folder.name in before:
            shutil.rmtree(folder, ignore_errors=True)
    tracks_of = {f"{plan.source}/{plan.name}": _track(plan) for plan in plans}
    places = [tracks_of.get(_key(song)) for song in chosen]
    times = Counter(path.name for path in places if path is not None)  # equal names are ambiguous
    found = [
        path
        if path is not None and times[path.name] == 1
        else _written(cache, song, _new_place(job, answers, song))
        for song, path in zip(chosen, places, strict=True)
    ]
    if written := sum(path.is_relative_to(job.held_out) for path in found):
        where = f"up to {MAX_SECONDS} s of each are written to {job.held_out}"
        print(f"{written} songs to score have no folder of stems: {where}")
    return found, bool(unseen)


def _songs(cache: AudioCache, split: str) -> list[Song]:
    """Return the songs that can be scored."""
    return cache.select(split, "stems", "pair")


def _key(song: Song) -> str:
    """Return a name of a song that is unique among all sets."""
    return f"{song.source}/{song.name}"


def _track(plan: Plan) -> Path | None:
    """Return the path of a song as a track with its own name, if there is one."""
    paths = {source.path for sources in plan.files.values() for source in sources}
    places = paths if len(paths) == 1 else {path.parent for path in paths}
    path = places.pop()
    if places or not path.exists() or not is_stems(path):
        return None
    whole = path.resolve()
    # The page shows the name of the folder: "Song/stems" would become "stems".
    named = not path.is_dir() or song_parts(Path(whole.anchor), whole)[-1] == whole.name
    return path if named else None


def _new_place(job: Job, answers: dict[str, Any], song: Song) -> Path:
    """Return a folder for a song to score, which is listed before it exists: the next call removes it."""
    kept = re.sub(r"[^\w .,()&'-]+", "-", song.name).strip(" .-")[:NAME_CHARACTERS]
    stem = kept.encode()[:NAME_BYTES].decode(errors="ignore").rstrip(" .-") or "song"
    numbered = (f"{stem} {number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain([stem], numbered) if not (job.held_out / name).exists())
    answers.setdefault(HELD_OUT, []).append(name)
    _write(job, answers)
    return job.held_out / name


def _written(cache: AudioCache, song: Song, folder: Path) -> Path:
    """Write the middle of a song as a new folder of stems; returns the folder."""
    folder.mkdir(parents=True)
    frames = min(song.frames, MAX_SECONDS * RATE)
    start = (song.frames - frames) // 2
    waves = {stem: cache.read(song, stem, start, frames) for stem in song.stems}
    vocals = waves.pop("vocals")
    music = np.sum(list(waves.values()), 0)
    gain = 1.0 / max(1.0, float(np.abs(vocals).max()), float(np.abs(music).max()))
    for stem, wave in (("vocals", vocals), ("accompaniment", music)):
        write_audio(folder / f"{stem}.wav", to_int16(wave.T, gain))
    return folder


def _check(job: Job) -> None:
    """Refuse to write among the recordings, or over files of the user."""
    for folder in job.data:
        if job.out.resolve().is_relative_to(folder.resolve()):  # its output would be read as songs
            raise UsageError(f"--out {job.out}: is inside --data {folder}; give a folder outside of it")
    held = [] if (job.out / ANSWERS).exists() or not job.out.is_dir() else sorted(job.out.iterdir())
    begun = (ANSWERS + ".part", "lost+found")  # of a first call that was killed; of a new disk
    if other := [path.name for path in held if not path.name.startswith(".") and path.name not in begun]:
        raise UsageError(
            f"--out {job.out}: holds other files ({other[0]}), no quickstart; give a new or an empty folder"
        )


def _asked(job: Job) -> dict[str, Any]:
    folders = sorted(str(folder.resolve()) for folder in job.data)
    return {"data": folders, "system": job.system, "form": job.form}


def _answers(job: Job) -> dict[str, Any]:
    """Return the answers of earlier calls in this folder; another job in it is refused."""
    path, asked = job.out / ANSWERS, _asked(job)
    if not path.exists():
        return asked
    try:
        held = json.loads(path.read_text())
        known = {name: held[name] for name in asked}
        lists = {name: [str(song) for song in held.get(name, ())] for name in LISTS}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path}: damaged; remove the folder {job.out}, or give another --out") from None
    if known != asked:
        raise UsageError(f"{path} is of another quickstart; give another --out, or remove {job.out}")
    return held | lists


def _write(job: Job, answers: dict[str, Any]) -> None:
    with whole_file(job.out / ANSWERS) as file:
        file.write(json.dumps(answers, indent=1).encode())


def _files(plans: Sequence[Plan]) -> list[str]:
    """Return each file of the plans with its size in bytes and the time of its change in ns."""
    paths = {source.path for plan in plans for sources in plan.files.values() for source in sources}
    lines = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):  # a missing file is skipped when it is decoded
            about = path.stat()
            lines.append(f"{printable(path.resolve())} {about.st_size} {about.st_mtime_ns}")
    return lines


def _trained_min(job: Job) -> float:
    """Return the minutes of training so far."""
    if not (job.run / checkpoints.FILE).exists():
        return 0.0
    return checkpoints.load(job.run).elapsed_s / 60


def _announce(job: Job, plans: Sequence[Plan], decoded: bool, trained_min: float) -> None:
    """Print the plan."""
    seconds = [_length(plan) for plan in plans]
    stems_s = sum(length * len(plan.files) for plan, length in zip(plans, seconds, strict=True))
    disk_gb = stems_s * RATE * 4 / 1e9
    hours = sum(seconds) / 3600
    songs = [x for plan, x in zip(plans, seconds, strict=True) if plan.kind in ("stems", "pair")]
    scoring = sum(sorted(songs)[-MAX_SCORED:]) / SCORED_PER_S / 60
    decoding = stems_s / DECODED_PER_S / default_workers() / 60
    done = {"decode": decoded, "score": decoded and job.scores.exists()}
    left = f"{job.minutes - trained_min:.0f} min" if trained_min < job.minutes else "done"
    rows = (
        ("decode", "done" if done["decode"] else f"{max(1.0, decoding):.0f} min",
         f"{hours:.2f} h of music, {disk_gb:.1f} GB in {job.cache}"),
        ("train", left, f"'{job.system}', {trained_min:.0f} min done"),
        ("export", "1 min", f"every check, then {job.model}"),
        ("score, listen", "done" if done["score"] else f"{max(1.0, scoring):.0f} min",
         f"at most {MAX_SCORED} songs, then {job.out / 'listen' / 'index.html'}"),
    )  # fmt: skip
    table = Table("step", "about", "what", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = plain_console(soft_wrap=True)
    console.print(table)
    console.print("Ctrl-C stops the command at any moment; repeat it to continue.")


def _length(plan: Plan) -> float:
    """Return the seconds of a song by the first header that states them; 4 minutes if none does."""
    for source in next(iter(plan.files.values())):
        about = brief_look(source.path)
        if about and about[0] > 0 and about[2] > 0:
            return about[2] / about[0]
    return 240.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train quickstart`."""
    job = {field.name: field.default for field in dataclasses.fields(Job)}
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of songs with stems"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("my-model"), metavar="DIR", help="output folder (%(default)s)"
    )
    parser.add_argument("--name", default=job["name"], help="name of the model (%(default)s)")
    parser.add_argument(
        "--system", default=job["system"], metavar="PRESET", help="system by name (%(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=job["minutes"], help="length of the training (%(default)s)"
    )
    parser.add_argument("--device", choices=FIT_DEVICES, default=job["device"],
                        help="compute of the training; auto: a GPU, if found (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="CPU threads of torch (%(default)s)"
    )
    parser.add_argument("--form", help="layout of --data if it is not recognised")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train quickstart`."""
    names = [field.name for field in dataclasses.fields(Job)]
    values = {name: getattr(options, name) for name in names}
    quickstart(Job(**(values | {"data": tuple(options.data)})), options.dry_run)
