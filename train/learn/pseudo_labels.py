"""`label`: separate songs with another model, the teacher, to train on songs without stems.

The training songs in `tracks.tsv` that are plain mixtures become songs with two stems, the pseudo-labels.
They get a table of their own; `prepare` reads it beside the first one. Songs with almost no voice are left
out. The sample rate in the table states the band of the stems.

Pseudo-labels have errors. Two options reduce them: the mean of two estimates, and a second model that must
agree with the teacher about silence.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from rtsep.model.remote import load_model
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE
from train.data.effects import Wave, active_rms
from train.data.output import sole_use, write_audio
from train.data.readers.decode import AudioFile
from train.data.readers.table import TABLE, rows_of, rows_to_extend, write_rows
from train.data.tracks import Stems, read_wave
from train.score.evaluate import as_live, separate
from train.score.metrics import level_db
from train.score.peers import SPLEETER_BINS, SPLEETER_FFT, SPLEETER_HOP, Peer, load_peer

BAND_RATE = 2 * SPLEETER_BINS * RATE // SPLEETER_FFT
"""Sample rate with the band of the teacher's stems."""

SILENT_DB = -25.0
"""Maximum level of a voice, relative to the song, that counts as none."""

SOUNDING_DB = -12.0
"""Level of a voice, relative to the mixture of the same second, above which it certainly exists."""

SHORTEST_S = 6.0
"""Minimum length of a part of a song on which teacher and checking model agree."""

SHIFT = SPLEETER_HOP * 150 + SPLEETER_HOP // 2
"""Shift of the second estimate in samples, for other frames and other windows of frames."""

STEMS = ("vocals", "accompaniment")
ROLE = "+".join(STEMS)
STEMS_BY = ", stems by "
"""Text in the licence of a pseudo-label, between that of the song and the name of the teacher."""


@dataclass(frozen=True)
class Labelling:
    """Options of the pseudo-labels."""

    teacher: str = "spleeter"
    seconds: float | None = None  # of each song, the part with most voice; None: all of it
    averaged: bool = False  # the mean of two estimates: as it is, and shifted with swapped channels
    check: Path | None = None  # a model file that must agree with the teacher about silence

    def __post_init__(self) -> None:
        if self.seconds is not None and not SHORTEST_S <= self.seconds < math.inf:
            raise UsageError(f"--seconds {self.seconds:g}: {SHORTEST_S:g} and more are accepted")


def write_pseudo_labels(folder: Path, out: Path, how: Labelling = Labelling()) -> list[dict[str, str]]:
    """Write stems and table of the mixtures in `folder` to `out`; return the rows of the table.

    Songs with pseudo-labels are not changed, and rows of sets that `folder` does not list stay. Raises
    `InputFileError` if there are no mixtures, and `UsageError` without the teacher, or if `out` has a table
    of something else.
    """
    listed = rows_of(folder / TABLE)
    rows = [row for row in listed if row["role"] == "mixture" and row["split"] == "train"]
    if not rows:
        raise InputFileError(f"{folder / TABLE}: no training songs without stems")
    sets = {f"{row['set']}-{how.teacher}" for row in listed}
    written = [row for row in rows_to_extend(out / TABLE, _is_own) if row["set"] not in sets]
    make_folder(out)
    with sole_use(out):
        peer = load_peer(how.teacher)
        checker = load_model(how.check, "cpu") if how.check is not None else None
        songs, bar = 0, tqdm(rows, unit="song", desc="label")
        for row in bar:
            place = _place(out, row)
            if not place.exists() and (note := _label(place, folder / row["path"], peer, checker, how)):
                bar.write(note)
            pieces = sorted(path.parent for path in place.rglob(f"{STEMS[0]}.flac"))
            songs += bool(pieces)
            for piece in pieces:
                written.append({
                    "split": "train", "set": f"{row['set']}-{how.teacher}",
                    "path": piece.relative_to(out).as_posix(), "role": ROLE, "sample_rate": str(BAND_RATE),
                    "licence": f"{row['licence']}{STEMS_BY}{peer.title}",
                })  # fmt: skip
        write_rows(out / TABLE, written)
    print(f"{out / TABLE}: {songs} songs labelled of {len(rows)}")
    return written


def _is_own(row: dict[str, str]) -> bool:
    return row["role"] == ROLE and STEMS_BY in row["licence"]


def _place(out: Path, row: dict[str, str]) -> Path:
    """Return the folder of a song's labels: its path in the data, because two songs may have one name."""
    paths = Path(row["set"]), Path(row["path"])
    return out.joinpath(*(part for path in paths for part in path.parts if part not in (path.anchor, "..")))


def _label(place: Path, song: Path, peer: Peer, checker: ModelRunner | None, how: Labelling) -> str:
    """Write the labels of `song` to `place`, or nothing; return a note for the user, or nothing."""
    try:
        mix, stems = _estimated(read_wave(AudioFile(song)), peer, how)
    except InputFileError as error:
        return f"skipped: {error}"
    if active_rms(stems[0]) == 0 or not level_db(stems[0], mix) >= SILENT_DB:
        return f"left out: {song.stem} (almost no voice in the teacher's estimate)"
    if checker is None:
        _write(place, stems, {song.stem: (0, mix.shape[1])})
        return ""
    kept = {f"{song.stem}-{number}": part for number, part in enumerate(agreed(mix, stems[0], checker), 1)}
    if kept:
        _write(place, stems, kept)
    length_s = sum(end - start for start, end in kept.values()) / RATE
    return f"{song.stem}: {length_s:.0f} s kept of {mix.shape[1] / RATE:.0f}"


def _estimated(mix: Wave, peer: Peer, how: Labelling) -> tuple[Wave, Stems]:
    """Return the part of `mix` [2, n] to keep, and its stems by the teacher."""
    stems = peer.separate(mix)
    if how.seconds is not None:
        part = loudest_part(stems[0], round(how.seconds * RATE))
        mix, stems = mix[:, part], (stems[0][:, part], stems[1][:, part])
    if how.averaged:
        turned = peer.separate(np.pad(mix[::-1], ((0, 0), (SHIFT, 0))))
        vocals, others = (
            np.asarray((stem + other[::-1, SHIFT:]) / 2, np.float32)
            for stem, other in zip(stems, turned, strict=True)
        )
        stems = vocals, others
    return mix, stems


def loudest_part(voice: Wave, frames: int) -> slice:
    """Return the `frames` of `voice` [2, n] with most energy, to 0.1 s; all frames of a shorter one."""
    if voice.shape[1] <= frames:
        return slice(0, voice.shape[1])
    step = RATE // 10
    until = np.pad(np.cumsum(np.square(voice, dtype=np.float64).sum(0)), (1, 0))
    starts = np.arange(0, voice.shape[1] - frames + 1, step)
    start = int(starts[np.argmax(until[starts + frames] - until[starts])])
    return slice(start, start + frames)


def agreed(mix: Wave, voice: Wave, checker: ModelRunner) -> list[tuple[int, int]]:
    """Return parts [start, end) of `mix` [2, n], at least `SHORTEST_S` long, where both agree on silence.

    `voice` [2, n] is the teacher's. They disagree about a second in which one finds a voice of `SOUNDING_DB`
    and more where the other finds less than `SILENT_DB`, both against the mixture of that second.
    """
    with as_live():
        found = separate(checker, mix)[0]
    teacher_db, checker_db = (_levels(wave, mix) for wave in (voice, found))
    clash = (np.minimum(teacher_db, checker_db) < SILENT_DB) & (
        np.maximum(teacher_db, checker_db) > SOUNDING_DB
    )
    edges = [0, *(int(edge) for second in np.flatnonzero(clash) for edge in (second, second + 1)), len(clash)]
    stretches = [
        (start * RATE, min(end * RATE, mix.shape[1]))
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]
    return [(start, end) for start, end in stretches if end - start >= SHORTEST_S * RATE]


def _levels(wave: Wave, mix: Wave) -> NDArray[np.float64]:
    """Return the level of `wave` relative to `mix`, both [2, n], for each second in dB."""
    starts = np.arange(0, mix.shape[1], RATE)
    energy, whole = (np.add.reduceat(np.square(one, dtype=np.float64).sum(0), starts) for one in (wave, mix))
    # The floor, some -100 dBFS, makes silent seconds silent for both.
    return 10 * np.log10((energy + 1e-12) / (whole + RATE * 1e-10))


def _write(place: Path, stems: Stems, kept: Mapping[str, tuple[int, int]]) -> None:
    """Write the parts [start, end) of `stems` as folders in `place` by their names, all of them or none."""
    partial = place.with_name(place.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    peak = max(1.0, *(float(np.abs(stem).max()) for stem in stems))  # integers end at 1
    for part, (start, end) in kept.items():
        make_folder(partial / part)
        for name, stem in zip(STEMS, stems, strict=True):
            write_audio(partial / part / f"{name}.flac", stem[:, start:end].T / peak, subtype="PCM_16")
    partial.replace(place)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train label`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder with {TABLE}")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output: stems and their table"
    )
    parser.add_argument("--teacher", default="spleeter", help="separator that makes the stems (%(default)s)")
    parser.add_argument("--seconds", type=float, metavar="X",
                        help="length of the part with most voice to keep (default: whole songs)")  # fmt: skip
    parser.add_argument("--averaged", action="store_true",
                        help="mean of two estimates, one with shifted and swapped channels")  # fmt: skip
    parser.add_argument("--check", type=Path, metavar="FILE",
                        help="second model; parts where only one finds silence are left out")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    how = Labelling(options.teacher, options.seconds, options.averaged, options.check)
    write_pseudo_labels(options.data, options.out, how)
