"""`prepare`: decode recordings into the memory-mapped cache, and list the files that cannot be used.

The layout of each folder is recognised by its content (see `--form`). Test songs are never read.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from rtsep.files.audiofile import make_folder
from rtsep.files.names import printable
from train.data.cache import (
    AUDIO,
    INDEX,
    INDEX_VERSION,
    RATE,
    Song,
    Stem,
    default_cache,
    song_to_json,
    whole_file,
)
from train.data.output import sole_use
from train.data.readers import FORMS, Choice, Found, Plan, reader_for
from train.data.readers.decode import Decoded, decode_song
from train.data.readers.splits import VALIDATION_MIN, reconcile
from train.data.readers.table import listed_instrumentals

SKIPPED = "skipped.txt"
"""File in the cache: one line for each recording that was left out or padded, with the reason."""

LISTED = Path("instrumentals") / "tracks.tsv"
"""File in a data folder: files of packages that somebody listened to, without voice."""


def find(
    folders: Sequence[Path], form: str | None, music: Path | None, choice: Choice
) -> tuple[list[Plan], Found]:
    """Find the songs of all folders and print the recognised layouts.

    Returns the plans, and the findings for the counts. Raises the errors of `reader_for`.
    """
    total = Found()
    readers = [(folder, reader_for(folder, form)) for folder in folders]
    if music is not None:
        readers.append((music, reader_for(music, "instrumentals")))
    for folder, reader in readers:
        found = reader.find(folder, choice)
        valid = sum(plan.split == "valid" for plan in found.plans)
        counts = f"{len(found.plans)} songs ({valid} to validate)"
        counts += f", {len(found.test)} for scoring only" if found.test else ""
        counts += f", {len(found.skipped)} unusable" if found.skipped else ""
        print(f"{folder}: {reader.form}, {counts}")
        total.plans += found.plans
        total.skipped += found.skipped
        total.test += found.test
        total.test_tracks += found.test_tracks
    # Names are written to UTF-8 files: tables, pages and JSON. The files keep their names on disk.
    named = [
        replace(p, name=printable(p.name), source=printable(p.source), group=printable(p.group))
        for p in total.plans
    ]
    total.plans, total.test = named, [printable(name) for name in total.test]
    plans, left_out = reconcile(total.plans, total.test)
    if left_out:
        names = ", ".join(sorted(set(left_out)))
        print(f"kept out of training (test songs, demos, artists of the yardstick): {names}")
    if not plans:
        raise InputFileError(f"{', '.join(map(str, folders))}: no training material in it")
    return plans, total


def _decoded(plans: list[Plan], workers: int) -> Iterator[tuple[Plan, Decoded | InputFileError]]:
    # One more than `workers`, and none is kept after it was yielded: a song with stems needs 500 MB
    # while it is decoded.
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(plans)
        running: deque[tuple[Plan, Future[Decoded]]] = deque()
        while waiting or running:
            while waiting and len(running) <= workers:
                running.append((waiting[0], pool.submit(decode_song, waiting.popleft())))
            what, job = running.popleft()
            result = _result(job)
            del job
            yield what, result
            del result


def _result(job: Future[Decoded]) -> Decoded | InputFileError:
    try:
        return job.result()
    except InputFileError as error:
        return error


def default_workers() -> int:
    """Return the default number of songs decoded at a time; more need memory and save little time."""
    return min(4, os.cpu_count() or 1)


def prepare(
    data: Path | Sequence[Path],
    cache: Path,
    music: Path | None = None,
    workers: int = 2,
    validation_clips: int = VALIDATION_MIN,
    form: str | None = None,
    validation_share: float = 0.1,
) -> int:
    """Fill `cache` from the folders `data` (and packages of instrumentals in `music`).

    Returns the number of skipped recordings; `SKIPPED` in the cache lists them. Raises `InputFileError` for
    a folder of an unknown layout or without songs, and `OutputError` if the disk is full or another `prepare`
    fills the same cache.
    """
    if not 0 <= validation_share < 1:
        raise UsageError(f"--validation-share {validation_share:g}: 0 to below 1 is accepted")
    if workers < 1:
        raise UsageError(f"--workers {workers}: 1 and more are accepted")
    folders = [data] if isinstance(data, Path) else list(data)
    lists = [folder / LISTED for folder in folders if (folder / LISTED).is_file()]
    listed = {name: files for table in lists for name, files in listed_instrumentals(table).items()}
    choice = Choice(validation_share, validation_clips, listed)
    plans, found = find(folders, form, music, choice)
    if listed and not any(plan.kind == "music" for plan in plans):
        print(f"instrumentals are listed in {lists[0]}: 'python -m train fetch' gets them")
    make_folder(cache)
    with sole_use(cache):
        return _fill(cache, plans, found.skipped, workers)


def _fill(cache: Path, plans: list[Plan], unusable: Sequence[str], workers: int) -> int:
    """Write the files of `cache`; return the number of skipped recordings, `unusable` ones included."""
    songs: list[Song] = []
    skipped, padded = list(unusable), []
    position = 0
    with whole_file(cache / AUDIO) as file:
        for what, result in tqdm(_decoded(plans, workers), total=len(plans), unit="song", desc="decode"):
            if isinstance(result, InputFileError):
                skipped.append(str(result))
                continue
            if result.padded:
                padded.append(result.padded)
            stems = {}
            for stem, samples in result.stems.items():
                file.write(samples.data)
                stems[stem] = Stem(position, len(samples), samples.shape[1])
                position += samples.size
            facts = (what.name, what.source, what.split, what.kind, what.licence)
            songs.append(Song(*facts, result.band_hz, stems, what.group))
        if not songs:
            raise InputFileError(f"not one of {len(plans)} songs could be decoded; the first: {skipped[0]}")
        file.flush()
        # Else an interruption between the two would leave the old index beside the new audio.
        (cache / INDEX).unlink(missing_ok=True)
    with whole_file(cache / SKIPPED) as file:
        lines = [*(f"skipped: {line}" for line in skipped), *(f"padded: {line}" for line in padded)]
        file.write("".join(printable(line) + "\n" for line in lines).encode())
    with whole_file(cache / INDEX) as file:
        entries = [song_to_json(song) for song in songs]
        index = {"version": INDEX_VERSION, "values": position, "songs": entries}
        file.write(json.dumps(index, indent=1).encode())

    for line in lines:
        print(printable(line))
    hours = {s: sum(x.frames for x in songs if x.split == s) / RATE / 3600 for s in ("train", "valid")}
    print(
        f"{len(songs)} songs ({hours['train']:.2f} h to train, {hours['valid']:.2f} h to validate), "
        f"{len(skipped)} skipped, {len(padded)} padded, {position * 2 / 1e9:.2f} GB in {cache}"
    )
    return len(skipped)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train prepare`."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders of recordings",
    )
    parser.add_argument(
        "--form", metavar="NAME", help=f"layout of --data if it is not recognised: {', '.join(FORMS)}"
    )
    parser.add_argument(
        "--music",
        type=Path,
        metavar="DIR",
        help="instrumentals by 'fetch', or other unpacked packages",
    )
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.1,
        metavar="X",
        help="share of songs, singers and packages for validation, if the data names none (%(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="songs decoded at a time (%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Run `python -m train prepare`."""
    prepare(
        options.data,
        options.cache,
        options.music,
        options.workers,
        form=options.form,
        validation_share=options.validation_share,
    )
