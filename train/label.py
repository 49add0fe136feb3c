"""`label`: let a separator of others take whole songs apart, so that mixtures without stems can teach.

Of a folder with `tracks.tsv` the training songs that are mixtures alone become songs of two stems, with a
table of their own that `prepare` reads beside the first. What the teacher calls voice is no truth: songs in
which it hears next to none are left out, and the table's sample rate says where its stems end.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import soundfile
from tqdm import tqdm

from rtsep.errors import InputFileError
from rtsep.files.audiofile import make_folder
from train.cache import RATE
from train.effects import active_rms
from train.metrics import level_db
from train.peers import SPLEETER_BINS, SPLEETER_FFT, load_peer
from train.readers.decode import AudioFile
from train.readers.table import TABLE, rows_of
from train.tracks import read_wave

BAND_RATE = 2 * SPLEETER_BINS * RATE // SPLEETER_FFT
"""Sample rate whose band is what the teacher's stems hold."""

SILENT_DB = -25.0
"""A voice so far under the song is taken for none."""


def label(folder: Path, out: Path, teacher: str = "spleeter") -> list[dict[str, str]]:
    """Write stems and table of the mixtures in `folder` to `out`; returns the table's rows.

    Songs that are labelled already are left as they are. Raises `InputFileError` where nothing is to do and
    `UsageError` without the teacher.
    """
    rows = [row for row in rows_of(folder / TABLE) if row["role"] == "mixture" and row["split"] == "train"]
    if not rows:
        raise InputFileError(f"{folder / TABLE}: no training songs that are mixtures alone")
    make_folder(out)
    peer = load_peer(teacher)
    told, bar = [], tqdm(rows, unit="song", desc="label")
    for row in bar:
        name = Path(row["path"]).stem
        place = Path(row["set"]) / name
        files = {stem: out / place / f"{stem}.flac" for stem in ("vocals", "accompaniment")}
        if not all(path.exists() for path in files.values()):
            mix = read_wave(AudioFile(folder / row["path"]))
            stems = dict(zip(files, peer.separate(mix), strict=True))
            if active_rms(stems["vocals"]) == 0 or level_db(stems["vocals"], mix) < SILENT_DB:
                bar.write(f"left out: {name} (next to no voice by the teacher's ears)")
                continue
            make_folder(out / place)
            peak = max(1.0, *(abs(wave).max() for wave in stems.values()))  # integers end at 1
            for stem, path in files.items():
                soundfile.write(path, stems[stem].T / peak, RATE, subtype="PCM_16")
        licence = f"{row['licence']}, stems by {peer.title}"
        told.append({
            "split": "train", "set": f"{row['set']}-{teacher}", "path": place.as_posix(),
            "role": "vocals+accompaniment", "sample_rate": str(BAND_RATE), "licence": licence,
        })  # fmt: skip
    with (out / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(told[0]) if told else ["path"], delimiter="\t")
        writer.writeheader()
        writer.writerows(told)
    print(f"{out / TABLE}: {len(told)} songs labelled of {len(rows)}")
    return told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train label`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder with {TABLE}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="stems and their table")
    parser.add_argument("--teacher", default="spleeter", help="(%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    label(options.data, options.out, options.teacher)
