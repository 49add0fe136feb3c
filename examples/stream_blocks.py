"""Stream a song block by block and change a control meanwhile, like a host with its own audio.

Blocks of any size go in, stems of the same size come out, `separator.latency` frames late. In the second
half, the vocals fade by 30 dB. The result is written to a file: a song that becomes its own backing track.

    python examples/stream_blocks.py song.wav --out karaoke_from_half.wav
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

import rtsep
from rtsep.files.demo import demo_song

BLOCK = 480  # frames of one call of your host

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("song", nargs="?", type=Path, default=demo_song(), help="a file that soundfile can read")
parser.add_argument("--out", type=Path, default=Path("out/fade.wav"), help="output file")
parser.add_argument("--seconds", type=float, default=10.0, help="length of the processed beginning")
arguments = parser.parse_args()
arguments.out.parent.mkdir(parents=True, exist_ok=True)

with soundfile.SoundFile(arguments.song) as song:
    rate, channels = song.samplerate, song.channels
    frames = round(arguments.seconds * rate)
    separator = rtsep.Separator("live", rate=rate, channels=channels)
    print(f"stems come {separator.latency} frames ({1000 * separator.latency / rate:.1f} ms) late")

    with soundfile.SoundFile(arguments.out, "w", rate, channels, "PCM_24") as output:
        done = 0
        for block in song.blocks(BLOCK, frames=frames, dtype="float32", always_2d=True):
            # Controls can be changed at any time, from any thread; a change is ramped and does not click.
            past_half = max(0.0, done / frames - 0.5)
            separator.controls.vocals_gain = max(-30.0, -300.0 * past_half)  # dB

            vocals, instrumental = separator.process(block.T)  # one [channels, frames] in, two out

            output.write(np.clip(vocals + instrumental, -1, 1).T)
            done += len(block)

print(f"{arguments.out}: {done / rate:.1f} s, vocals at {separator.controls.vocals_gain:.0f} dB at the end")
