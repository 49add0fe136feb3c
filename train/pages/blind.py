"""`blind`: write a page to compare models and other separators by ear, without their names.

A listener rates each sound from 0 to 100, and gets names and mean ratings at the end. Each excerpt has an
order of its own, and file names do not tell the system. The page contains the key, encoded; it needs no
server.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from rtsep.model.package import read_package
from rtsep.model.remote import load
from train.data.cache import RATE, whole_file
from train.data.effects import Wave
from train.data.tracks import Stems, Track, read_song, select_tracks
from train.pages.blind_page import Comparison, Sound, blind_page
from train.pages.listen import (
    LEAD_IN_S,
    MAX_TRACKS,
    add_excerpt_arguments,
    check_excerpts,
    find_songs,
    loudest,
    write_sound,
)
from train.score.evaluate import as_live, names_of, separate
from train.score.peers import load_peer
from train.score.scores import TARGETS

SECONDS = 15.0
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class System:
    """A separator under its name, which the page hides until the end."""

    name: str
    separate: Callable[[Wave], Stems]  # [2, n] at RATE to vocals and accompaniment, [2, n] each


def blind(
    models: Sequence[Path],
    data: Path | Sequence[Path],
    out: Path,
    *,
    peers: Sequence[str] = (),
    target: str = TARGETS[0],
    tracks: Sequence[str] = (),
    seconds: float = SECONDS,
    max_tracks: int = MAX_TRACKS,
    seed: int = 0,
    device: str = "cpu",
) -> Path:
    """Write `out`/index.html, with the sounds beside it, and return its path.

    `models` are model files, `peers` names of other separators; `target` is the stem to compare. The part of
    `seconds` with the most voice is taken from each track in `data`. `seed` decides the orders. Raises
    `UsageError` unless there are 2 to 8 systems, `InputFileError` if no track can be read.
    """
    if target not in TARGETS:
        raise UsageError(f"--stem {target}: {' or '.join(TARGETS)}")
    check_excerpts(seconds, max_tracks)
    count = len(models) + len(peers)
    if not 2 <= count <= len(LETTERS):
        raise UsageError(f"{count} systems: a comparison needs 2 to {len(LETTERS)} of --model and --peer")
    systems = [_of_model(path, device) for path in models]
    systems += [System(name, load_peer(name, device).separate) for name in peers]
    if len({system.name for system in systems}) < count:
        raise UsageError(
            "two models have the same file name; rename one, because the result shows these names"
        )
    paths = find_songs([data] if isinstance(data, Path) else data)
    paths = select_tracks(paths, tracks) if tracks else paths[:max_tracks]
    make_folder(out / "sounds")
    order = random.Random(seed)
    comparisons: list[Comparison] = []
    skipped: list[str] = []
    for path in tqdm(paths, unit="track", desc="blind"):
        try:
            track = read_song(path)
        except InputFileError as error:
            skipped.append(str(error))
            continue
        comparisons.append(
            _compare(track, systems, TARGETS.index(target), seconds, order, out, len(comparisons))
        )
    for line in skipped:
        print(f"skipped: {line}")
    if not comparisons:
        raise InputFileError(f"none of {len(paths)} tracks could be read; first: {skipped[0]}")
    key = [[systems[number].name for number in comparison.order] for comparison in comparisons]
    with whole_file(out / "index.html") as file:
        file.write(blind_page(comparisons, _hidden(key), target).encode())
    print(f"{out / 'index.html'}: {len(comparisons)} excerpts, {len(skipped)} skipped; open it in a browser")
    return out / "index.html"


def _of_model(path: Path, device: str) -> System:
    runner = load(read_package(path), device)

    def play(mix: Wave) -> Stems:
        with as_live():
            return separate(runner, mix)

    return System(path.stem, play)


def _compare(
    track: Track,
    systems: Sequence[System],
    target: int,
    seconds: float,
    order: random.Random,
    out: Path,
    number: int,
) -> Comparison:
    frames = min(track.mix.shape[1], int(seconds * RATE))
    by = track.stems[0] if track.stems else track.mix
    start = loudest(by, frames)
    lead_in = min(start, int(LEAD_IN_S * RATE))
    part = track.mix[:, start - lead_in : start + frames]
    found = [system.separate(part)[target][:, lead_in:] for system in systems]
    mixture = part[:, lead_in:]
    true = track.stems[target][:, start : start + frames] if track.stems else None
    waves = [mixture, *([true] if true is not None else []), *found]
    peak = max(float(np.abs(wave).max()) for wave in waves)
    gain = np.float32(min(1.0, 0.99 / peak) if peak > 0 else 1.0)

    def write(wave: Wave, word: str) -> str:
        return f"sounds/{write_sound(out / 'sounds' / f'{number + 1:02d}-{word}', wave * gain).name}"

    shuffled = order.sample(range(len(systems)), len(systems))
    sounds = [Sound("Mixture", write(mixture, "mixture"), rated=False)]
    if true is not None:
        sounds.append(Sound("As recorded", write(true, "recorded"), rated=False))
    for letter, system in zip(LETTERS, shuffled, strict=False):
        sounds.append(Sound(letter, write(found[system], letter.lower()), rated=True))
    return Comparison(track.name, mixture.shape[1] / RATE, tuple(sounds), tuple(shuffled))


def _hidden(key: list[list[str]]) -> str:
    """Return the key so that nobody reads it by accident in the source of the page."""
    return base64.b64encode(json.dumps(key).encode()).decode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="model files to compare, two or more",
    )
    parser.add_argument(
        "--peer", type=names_of, default=(), metavar="NAME", help="other separator to compare: spleeter"
    )
    add_excerpt_arguments(parser, SECONDS)
    parser.add_argument(
        "--stem", choices=TARGETS, default=TARGETS[0], help="the stem to compare (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the orders (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    blind(
        options.model, options.data, options.out, peers=options.peer, target=options.stem,
        tracks=options.tracks, seconds=options.seconds, max_tracks=options.max_tracks, seed=options.seed,
        device=options.device,
    )  # fmt: skip
