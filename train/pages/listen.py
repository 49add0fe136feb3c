"""`listen`: write a page with players and pictures of a model's outputs: mixture, stems and mask."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from rtsep.limits import DEVICES
from rtsep.model.package import read_package
from rtsep.model.remote import load
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE, whole_file
from train.data.effects import Wave
from train.data.output import write_audio
from train.data.readers.base import is_audio
from train.data.tracks import Track, find_tracks, is_stems, read_song, select_tracks
from train.pages.page import Excerpt, Lane, page
from train.pages.pictures import RANGE_DB, Picture, mask_picture, paint, sound_picture
from train.score.evaluate import as_live, card, names_of, score_stems, separate

SECONDS = 30.0
MAX_TRACKS = 12

LEAD_IN_S = 5.0
"""Length of the music before an excerpt, for the state of the model; its output is not kept."""


class Watched(ModelRunner):
    """A model runner that keeps its masks."""

    def __init__(self, model: ModelRunner) -> None:
        self._model = model
        self.spec, self.column, self.mask = model.spec, model.column, model.mask
        self.masks: list[NDArray[np.float16]] = []  # of the first channel: [bins] a step

    def step(self) -> None:
        """Step the model and keep its mask."""
        self._model.step()
        self.masks.append(self.mask[0].astype(np.float16))

    def reset(self) -> None:
        """Reset the model and drop its masks."""
        self._model.reset()
        self.masks = []


@dataclass(frozen=True)
class Played:
    """An excerpt with the outputs of the model, [2, n] each."""

    start_s: float
    mix: Wave
    vocals: Wave
    instrumental: Wave
    reference: tuple[Wave, Wave] | None
    mask: Picture  # nan if the estimate is silent


def listen(
    model: Path,
    data: Path | Sequence[Path],
    out: Path,
    *,
    tracks: Sequence[str] = (),
    seconds: float = SECONDS,
    max_tracks: int = MAX_TRACKS,
    device: str = "cpu",
) -> Path:
    """Write `out`/index.html, with sounds and pictures beside it, and return its path.

    `data` are data sets, folders of tracks, tracks or recordings. The page has the `seconds` of each track
    with most voice. Broken tracks are listed and skipped; `InputFileError` if none is left.
    """
    check_excerpts(seconds, max_tracks)
    package = read_package(model)
    paths = find_songs([data] if isinstance(data, Path) else data)
    if tracks:
        paths = select_tracks(paths, tracks)
    elif len(paths) > max_tracks:
        print(f"the first {max_tracks} of {len(paths)} tracks; select others with --max-tracks or --tracks")
        paths = paths[:max_tracks]
    runner = load(package, device)
    for folder in (out, out / "sounds", out / "pictures"):
        make_folder(folder)
    excerpts: list[Excerpt] = []
    skipped: list[str] = []
    named: list[str] = []  # the same without folders, for a page that is passed on
    for path in tqdm(paths, unit="track", desc="listen"):
        try:
            track = read_song(path)
        except InputFileError as error:
            skipped.append(str(error))
            named.append(str(error).replace(f"{path.parent}/", ""))
            continue
        played = play(runner, track, seconds)
        excerpts.append(_write(track, played, out, _file_name(track.name, len(excerpts))))
    for line in skipped:
        print(f"skipped: {line}")
    if not excerpts:
        raise InputFileError(f"none of {len(paths)} tracks could be read; first: {skipped[0]}")
    target = out / "index.html"
    with whole_file(target) as file:
        file.write(page(card(package), excerpts, named).encode())
    print(f"{target}: {len(excerpts)} tracks, {len(skipped)} skipped; open it in a browser")
    return target


def find_songs(data: Sequence[Path]) -> list[Path]:
    """Return the paths of tracks with stems and of plain recordings in each of `data`."""
    found: list[Path] = []
    for path in data:
        if not path.exists():
            raise InputFileError(f"{path}: no such file or folder")
        if path.is_file() and not is_stems(path):
            found.append(path)
            continue
        loose = [] if is_stems(path) or not path.is_dir() else sorted(path.iterdir())
        songs = [f for f in loose if is_audio(f.name) and f.is_file()]
        try:
            found += find_tracks([path])
        except InputFileError:
            if not songs:
                raise InputFileError(f"{path}: no stems and no recordings in it") from None
        found += songs
    return list(dict.fromkeys(found))


def play(model: ModelRunner, track: Track, seconds: float) -> Played:
    """Separate the part of `track` with most voice, as in a live session."""
    frames = min(track.mix.shape[1], int(seconds * RATE))
    vocals = track.stems[0] if track.stems else None
    if vocals is None and frames < track.mix.shape[1]:  # the position of the voice, by the model
        with as_live():
            vocals = separate(model, track.mix)[0]
    start = 0 if vocals is None else loudest(vocals, frames)
    lead_in = min(start, int(LEAD_IN_S * RATE))
    watched = Watched(model)
    with as_live():
        found = separate(watched, track.mix[:, start - lead_in : start + frames])
    here = slice(start, start + frames)
    masks = np.stack(watched.masks)
    return Played(
        start / RATE,
        track.mix[:, here],
        found[0][:, lead_in:],
        found[1][:, lead_in:],
        (track.stems[0][:, here], track.stems[1][:, here]) if track.stems else None,
        mask_picture(masks, model.spec, lead_in / RATE, frames / RATE),
    )


def loudest(wave: Wave, frames: int) -> int:
    """Return the first of the `frames` of `wave` [2, n] with most energy, to 0.1 s."""
    sums = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64).sum(0))])
    starts = np.arange(0, max(1, wave.shape[1] - frames + 1), RATE // 10)
    return int(starts[np.argmax(sums[starts + frames] - sums[starts])])


def _write(track: Track, played: Played, out: Path, name: str) -> Excerpt:
    sounds = {"mixture": played.mix, "vocals": played.vocals, "instrumental": played.instrumental}
    if played.reference:
        sounds["reference"] = played.reference[0]
    titles = {
        "mixture": ("Mixture", "input"),
        "vocals": ("Vocals", "by the model"),
        "instrumental": ("Instrumental", "by the model: mixture - vocals"),
        "reference": ("Vocals as recorded", "the ideal result"),
    }
    peak = max(float(np.abs(wave).max()) for wave in sounds.values())
    gain = min(1.0, 0.99 / peak) if peak > 0 else 1.0
    pictures = {kind: sound_picture(wave) for kind, wave in sounds.items()}
    top = float(pictures["mixture"].max())
    lanes = []
    for kind, wave in sounds.items():
        sound = write_sound(out / "sounds" / f"{name}-{kind}", wave * gain)
        picture = out / "pictures" / f"{name}-{kind}.png"
        paint(picture, pictures[kind], top - RANGE_DB, top, "magma")
        title, note = titles[kind]
        lanes.append(Lane(title, f"pictures/{picture.name}", f"sounds/{sound.name}", note))
    picture = out / "pictures" / f"{name}-mask.png"
    paint(picture, played.mask, 0.0, 1.0, "cividis")
    lanes.append(Lane("Mask", f"pictures/{picture.name}", None, "share of each frequency taken for voice"))
    scores: dict[str, dict[str, float]] = {}
    if played.reference:
        scores, _ = score_stems(played.reference, (played.vocals, played.instrumental))
    length = played.mix.shape[1] / RATE
    return Excerpt(track.name, played.start_s, length, track.seconds, tuple(lanes), scores)


def write_sound(stem: Path, wave: Wave) -> Path:
    """Write [2, n] as `stem`.mp3, which all browsers play, or as .flac if libsndfile is too old.

    The bit rate is constant, because browsers seek exactly in such files only.
    """
    mp3 = "MP3" in soundfile.available_formats()
    path = stem.with_name(stem.name + (".mp3" if mp3 else ".flac"))
    how: dict[str, Any] = {"subtype": "PCM_16"}
    if mp3:
        how = {"subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
        how["compression_level"] = 0.4  # 192 kbit/s
    write_audio(path, wave.T, **how)
    return path


def _file_name(name: str, number: int) -> str:
    # Numbered, because two names may give the same file name.
    return f"{number + 1:02d}-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model file")
    add_excerpt_arguments(parser, SECONDS)


def check_excerpts(seconds: float, max_tracks: int) -> None:
    """Raise `UsageError` if a page cannot have excerpts of `seconds` of so many tracks."""
    if not 1 <= seconds < math.inf or max_tracks < 1:
        raise UsageError(
            f"--seconds {seconds:g} --max-tracks {max_tracks}: both must be at least 1, and finite"
        )


def add_excerpt_arguments(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add the options that choose excerpts for a page; `seconds` is the default length of one."""
    parser.add_argument(
        "--data", type=Path, nargs="+", action="extend", required=True, metavar="PATH",
        help="stems or recordings: data sets, folders or files",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for index.html")
    parser.add_argument(
        "--tracks",
        type=names_of,
        default=(),
        metavar="NAME,...",
        help="only tracks whose names begin so (default: all)",
    )
    parser.add_argument("--seconds", type=float, default=seconds, help="length of each excerpt (%(default)g)")
    parser.add_argument(
        "--max-tracks",
        "--most",
        type=int,
        default=MAX_TRACKS,
        metavar="N",
        help="maximum number of tracks on the page (%(default)s)",
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    listen(
        options.model,
        options.data,
        options.out,
        tracks=options.tracks,
        seconds=options.seconds,
        max_tracks=options.max_tracks,
        device=options.device,
    )
