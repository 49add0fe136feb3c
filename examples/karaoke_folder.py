"""Make backing tracks of a whole folder: every song without its voice, or with a soft voice as a guide.

    python examples/karaoke_folder.py songs --out backing --guide -24
    python examples/karaoke_folder.py --seconds 5             # without a folder: the demo song

One Separator is enough for all songs of one format: `separate` resets it for each song.
"""

import argparse
from pathlib import Path

import soundfile

import rtsep
from rtsep.files.demo import demo_song

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("songs", nargs="?", type=Path, help="folder with songs (default: the demo song)")
parser.add_argument("--out", type=Path, default=Path("out/karaoke"), help="folder for the backing tracks")
parser.add_argument("--guide", type=float, help="level of the voice in dB, such as -24 (default: no voice)")
parser.add_argument("--seconds", type=float, help="use only the beginning of each song")
arguments = parser.parse_args()

if arguments.songs is None:
    songs = [demo_song()]
else:
    songs = sorted(path for path in arguments.songs.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not songs:
        raise SystemExit(f"{arguments.songs}: no songs in this folder ({', '.join(sorted(SUFFIXES))})")

separators: dict[tuple[int, int], rtsep.Separator] = {}
for path in songs:
    try:
        with soundfile.SoundFile(path) as file:
            rate, channels = file.samplerate, file.channels
            frames = -1 if arguments.seconds is None else round(arguments.seconds * rate)
            song = file.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        print(f"{path}: left out ({error})")
        continue
    if (rate, channels) not in separators:
        separators[rate, channels] = rtsep.Separator("live", rate=rate, channels=channels)

    vocals, instrumental = separators[rate, channels].separate(song.T)

    backing = instrumental
    if arguments.guide is not None:
        backing = instrumental + 10 ** (arguments.guide / 20) * vocals

    # Keep the folders of the songs: two songs of one name stay apart.
    inside = path.relative_to(arguments.songs) if arguments.songs else Path(path.name)
    target = (arguments.out / inside).with_suffix(".flac")
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, backing.T.clip(-1, 1), rate, subtype="PCM_24")
    print(f"{target}: {len(song) / rate:.0f} s")
