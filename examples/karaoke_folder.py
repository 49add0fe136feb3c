"""Make backing tracks of a whole folder: every song without its voice, the voice just a whisper if you like.

    python examples/karaoke_folder.py songs --out backing --guide -24
    python examples/karaoke_folder.py --seconds 5             # the demo song, if there is no folder at hand

One Separator serves all songs of one format: `separate` starts afresh with each.
"""

import argparse
from pathlib import Path

import soundfile

import rtsep
from rtsep.files.demo import demo_song

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("songs", nargs="?", type=Path, help="folder with songs; without one, the demo song")
parser.add_argument("--out", type=Path, default=Path("out/karaoke"), help="folder for the backing tracks")
parser.add_argument("--guide", type=float, help="leave the voice in, so many dB down (-24, say)")
parser.add_argument("--seconds", type=float, help="the beginning of each song only")
arguments = parser.parse_args()

if arguments.songs is None:
    songs = [demo_song()]
else:
    songs = sorted(path for path in arguments.songs.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not songs:
        raise SystemExit(f"{arguments.songs}: no songs in there ({', '.join(sorted(SUFFIXES))})")

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

    # The songs' own folders are kept: two of one name in two of them do not meet.
    inside = path.relative_to(arguments.songs) if arguments.songs else Path(path.name)
    target = (arguments.out / inside).with_suffix(".flac")
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, backing.T.clip(-1, 1), rate, subtype="PCM_24")
    print(f"{target}: {len(song) / rate:.0f} s")
