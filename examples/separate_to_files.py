"""Separate a song into two files: the simplest use, a whole array in and two arrays out.

python examples/separate_to_files.py song.wav --out stems
python examples/separate_to_files.py --seconds 5          # the beginning of the demo song
"""

import argparse
from pathlib import Path

import soundfile

import rtsep
from rtsep.files.demo import demo_song

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("song", nargs="?", type=Path, default=demo_song(), help="a file that soundfile can read")
parser.add_argument("--out", type=Path, default=Path("out/stems"), help="folder for the stems")
parser.add_argument("--seconds", type=float, default=10.0, help="length of the separated beginning")
arguments = parser.parse_args()

# Floats, full scale is 1. soundfile gives [frames, channels], rtsep takes [channels, frames]: .T swaps them.
with soundfile.SoundFile(arguments.song) as file:
    rate = file.samplerate
    song = file.read(round(arguments.seconds * rate), dtype="float32", always_2d=True).T

# Any rate and any number of channels. The first start on a machine compiles for half a minute.
separator = rtsep.Separator("live", rate=rate, channels=song.shape[0])

# docs/controls.md has all controls. A low threshold removes remains of music between the words.
separator.controls.threshold = 0.2

# Both stems have the length of the song, are aligned with it, and add up to it.
stems = separator.separate(song)

arguments.out.mkdir(parents=True, exist_ok=True)
for name, stem in stems._asdict().items():
    path = arguments.out / f"{name}.wav"
    soundfile.write(path, stem.T, rate, subtype="FLOAT")
    print(f"{path}: {stem.shape[1] / rate:.1f} s, loudest sample {abs(stem).max():.2f}")
