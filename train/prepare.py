"""`prepare`: decode the training data once into the memory-mapped cache, naming every file that is no use.

The data folder holds a `tracks.tsv` (split, set, path, role, sample_rate, seconds, licence); test rows are
never read. Debian packages of vocal-free music may be added as unpacked folders.
"""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rtsep.errors import InputFileError
from train.cache import AUDIO, INDEX, INDEX_VERSION, RATE, Song, Stem, song_to_json

VALIDATION_MIN = 20
"""Clips of MUSDB18 kept for validation: its own list, and further ones until there are so many."""

HELD_OUT = ("ANiMAL - Clinic A", "hydrogen")
"""Neither trained on nor validated with: a song of a published comparison, and the demo song."""

SKIPPED_SETS = ("songs",)
"""Mixtures only: nothing to learn from without a teacher."""

MUSIC_SECONDS = 90.0
"""Taken from the middle of each instrumental: many pieces teach more than long ones."""


@dataclass(frozen=True)
class Plan:
    """One song to decode."""

    name: str
    source: str
    split: str
    kind: str
    licence: str
    sample_rate: int
    files: dict[str, Path]


def musdb_validation(names: list[str], minimum: int = VALIDATION_MIN) -> set[str]:
    """Choose validation clips among `names`: MUSDB18's own list, then others in a fixed order."""
    try:
        import musdb
        import yaml

        listed = yaml.safe_load((Path(musdb.__file__).parent / "configs" / "mus.yaml").read_text())
        official = set(listed["validation_tracks"])
    except ImportError:  # still a fixed split, only not the published one
        official = set()
    chosen = official & set(names)
    others = set(names) - chosen - set(HELD_OUT)
    rest = sorted(others, key=lambda name: hashlib.sha256(name.encode()).digest())
    return chosen | set(rest[: max(0, minimum - len(chosen))])


def plan(data: Path, validation_clips: int = VALIDATION_MIN) -> list[Plan]:
    """Read `tracks.tsv` and say what to decode, and into which split."""
    table = data / "tracks.tsv"
    try:
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] in ("train", "valid")]
    except (OSError, KeyError) as error:
        raise InputFileError(f"{table}: not a table of tracks ({error})") from None
    clips = [Path(row["path"]).name for row in rows if row["set"].startswith("musdb")]
    validation = musdb_validation(clips, validation_clips)
    plans = []
    for row in rows:
        path, role = data / row["path"], row["role"]
        name = path.name if path.suffix == "" else f"{row['set']}/{path.parent.name}/{path.stem}"
        if row["set"] in SKIPPED_SETS or name in HELD_OUT:
            continue
        split = "valid" if name in validation else row["split"]
        if role == "stems":
            files = {stem: path / f"{stem}.opus" for stem in ("vocals", "drums", "bass", "other")}
            kind = "stems"
        elif role == "vocals+accompaniment":
            files = {stem: path / f"{stem}.opus" for stem in ("vocals", "accompaniment")}
            kind = "pair"
        elif role in ("singing", "speech"):
            files, kind = {"vocals": path}, "voice"
        else:
            continue
        plans.append(Plan(name, row["set"], split, kind, row["licence"], int(row["sample_rate"]), files))
    return plans


def plan_music(data: Path, unpacked: Path) -> list[Plan]:
    """Instrumentals of `instrumentals/tracks.tsv` whose packages lie unpacked in `unpacked`/PACKAGE.

    Members of zip archives are left out: the loose files of a few packages are plenty.
    Every tenth piece is for validation.
    """
    plans = []
    with (data / "instrumentals" / "tracks.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            path = unpacked / row["package"] / row["file"]
            if not row["member"] and (unpacked / row["package"]).is_dir():
                digest = hashlib.sha256(str(row["file"]).encode()).digest()
                split = "valid" if digest[0] % 10 == 0 else "train"
                name = f"{row['package']}/{Path(row['file']).stem}"
                licence = "per Debian package"
                plans.append(Plan(name, row["package"], split, "music", licence, RATE, {"music": path}))
    return plans


def decode(path: Path, channels: int, middle_seconds: float | None = None) -> NDArray[np.int16]:
    """Decode a file with ffmpeg to [frames, channels] at 44.1 kHz; `InputFileError` says why it cannot."""
    cut: list[str] = []
    if middle_seconds is not None:
        cut = ["-ss", f"{max(0.0, duration(path) - middle_seconds) / 2:.3f}", "-t", f"{middle_seconds:.3f}"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *cut, "-i", str(path), "-vn"]
    command += ["-f", "s16le", "-ac", str(channels), "-ar", str(RATE), "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no audio in it"]
        raise InputFileError(f"{path}: {reason[-1]}")
    return np.frombuffer(done.stdout, np.int16).reshape(-1, channels)


def duration(path: Path) -> float:
    """Length of an audio file in seconds, 0 where ffprobe cannot tell."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        return float(found)
    except ValueError:
        return 0.0


def decode_song(what: Plan) -> dict[str, NDArray[np.int16]]:
    """Decode all stems of a song; a song with one broken stem is broken."""
    mono = what.kind == "voice" and what.source != "msl"  # the msl voices are produced stereo
    middle = MUSIC_SECONDS if what.kind == "music" else None
    return {stem: decode(path, 1 if mono else 2, middle) for stem, path in what.files.items()}


Stems = dict[str, NDArray[np.int16]]


def _decoded(plans: list[Plan], workers: int) -> Iterator[tuple[Plan, Stems | InputFileError]]:
    # Few in flight at a time: a whole song of stems is 200 MB.
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(plans), 2 * workers):
            batch = plans[first : first + 2 * workers]
            for what, job in zip(batch, [pool.submit(decode_song, what) for what in batch], strict=True):
                try:
                    yield what, job.result()
                except InputFileError as error:
                    yield what, error


def prepare(
    data: Path,
    cache: Path,
    music: Path | None = None,
    workers: int = 2,
    validation_clips: int = VALIDATION_MIN,
) -> int:
    """Fill `cache` from `data` (and unpacked packages in `music`); returns how many songs were skipped."""
    plans = plan(data, validation_clips) + (plan_music(data, music) if music else [])
    cache.mkdir(parents=True, exist_ok=True)
    songs: list[Song] = []
    skipped: list[str] = []
    position = 0
    partial = cache / (AUDIO + ".part")
    with partial.open("wb") as file:
        for what, result in tqdm(_decoded(plans, workers), total=len(plans), unit="song", desc="decode"):
            if isinstance(result, InputFileError):
                skipped.append(str(result))
                continue
            stems = {}
            for stem, samples in result.items():
                file.write(samples.tobytes())
                stems[stem] = Stem(position, len(samples), samples.shape[1])
                position += samples.size
            # Opus carries 20 kHz at 48 kHz input; a 16 kHz file ends at 8 kHz, less the filter's slope.
            band_hz = 7600.0 if what.sample_rate == 16000 else RATE / 2
            songs.append(Song(what.name, what.source, what.split, what.kind, what.licence, band_hz, stems))
    partial.replace(cache / AUDIO)
    index = {"version": INDEX_VERSION, "songs": [song_to_json(song) for song in songs]}
    (cache / (INDEX + ".part")).write_text(json.dumps(index, indent=1))
    (cache / (INDEX + ".part")).replace(cache / INDEX)
    for line in skipped:
        print(f"skipped: {line}")
    hours = {"train": 0.0, "valid": 0.0}
    for song in songs:
        hours[song.split] += song.frames / RATE / 3600
    print(f"{len(songs)} songs ({hours['train']:.2f} h to train, {hours['valid']:.2f} h to validate), "
          f"{len(skipped)} skipped, {position * 2 / 1e9:.2f} GB in {cache}")  # fmt: skip
    return len(skipped)
