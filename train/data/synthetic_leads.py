"""`leads`: synthesise instrumentals with a lead instrument that resembles a voice.

Flutes, reeds, brass, strings and soft synths glide, swell and use vibrato as voices do; little free music has
such a lead. Each piece draws a key, a tempo and a chord progression. One or two instruments play phrases over
it, with or without accompaniment. FluidSynth renders it with a General MIDI sound font, without its choirs;
the licence of the font is the licence of the music. Equal seeds give equal pieces.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from rtsep.errors import InputFileError, OutputError, UsageError
from rtsep.files.audiofile import make_folder
from train.data.cache import RATE
from train.data.output import sole_use
from train.data.readers.table import TABLE, rows_to_extend, write_rows

TICKS = 480  # a beat
DRUMS = 9  # the channel that General MIDI keeps for them
_PIECE = re.compile(r"\d+-\d{3,}\.flac")  # seed and number
LOUDNESS = "0.6"  # of the synthesiser: loud pieces still end below full scale
BENT = 2.0  # range of the pitch wheel in semitones: General MIDI's default

LEADS: tuple[tuple[range, int, int], ...] = (
    # programs of General MIDI, counted from 0; lowest and highest note of their melodies
    (range(40, 42), 60, 88),  # violin, viola
    (range(42, 44), 43, 69),  # cello, contrabass
    (range(48, 52), 55, 84),  # string ensembles
    (range(56, 58), 52, 76),  # trumpet, trombone
    (range(59, 62), 50, 76),  # muted trumpet, horn, brass section
    (range(64, 68), 50, 79),  # saxophones
    (range(68, 70), 58, 84),  # oboe, cor anglais
    (range(71, 76), 60, 91),  # clarinet, piccolo, flute, recorder, pan pipes
    (range(76, 80), 60, 88),  # bottle, shakuhachi, whistle, ocarina
    (range(80, 85), 55, 84),  # synth leads; number 85 is called "voice"
    (range(109, 112), 57, 81),  # bagpipe, fiddle, shanai
    (range(21, 24), 55, 81),  # accordion, harmonica
    (range(29, 31), 50, 78),  # overdriven and distorted guitars
)
PADS = (*range(16, 21), *range(48, 52), 88, 89, 90, 92, 94, 95)
PLUCKED = (*range(0, 6), 11, 12, 24, 25, 26, 45, 46, 104, 107)
BASSES = (*range(32, 40), 43, 58)

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
RHYTHMS = (
    (1, 1, 2),
    (2, 1, 1),
    (1.5, 0.5, 2),
    (0.5, 0.5, 1, 2),
    (3, 1),
    (4,),
    (0.5,) * 4 + (2,),
    (1, 1, 1, 1),
)
"""Rhythms of a bar of four beats, in beats."""

EXPRESSION, VIBRATO, VOLUME, PAN, REVERB, CHORUS = 11, 1, 7, 10, 91, 93  # controllers


@dataclass
class Score:
    """Events of all channels on one clock, in ticks."""

    events: list[tuple[int, mido.Message]]

    def add(self, beat: float, kind: str, **values: int) -> None:
        """Add a message at a beat."""
        self.events.append((max(0, round(beat * TICKS)), mido.Message(kind, **values)))

    def note(self, channel: int, beat: float, beats: float, key: int, velocity: float) -> None:
        """Add a note of length `beats` at `beat`."""
        strength = int(np.clip(velocity, 1, 127))
        self.add(beat, "note_on", channel=channel, note=key, velocity=strength)
        self.add(beat + beats, "note_off", channel=channel, note=key)

    def control(self, channel: int, beat: float, control: int, value: float) -> None:
        """Add a controller value."""
        self.add(beat, "control_change", channel=channel, control=control, value=int(np.clip(value, 0, 127)))

    def save(self, path: Path, tempo_bpm: float) -> None:
        """Write the score as a MIDI file."""
        # If a note ends when another one of the same key begins, the end comes first.
        ordered = sorted(self.events, key=lambda event: (event[0], event[1].type != "note_off"))
        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo_bpm))])
        now = 0
        for at, message in ordered:
            track.append(message.copy(time=at - now))
            now = at
        mido.MidiFile(ticks_per_beat=TICKS, tracks=[track]).save(path)


@dataclass(frozen=True)
class Harmony:
    """A key, and a chord for each bar of four beats: the degree of its root in the scale."""

    tonic: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]

    def pitch(self, step: int) -> int:
        """Return the MIDI key of a scale step; step 0 is the tonic above middle C."""
        octave, degree = divmod(step, len(self.scale))
        return 60 + self.tonic + 12 * octave + self.scale[degree]

    def chord(self, bar: int) -> tuple[int, ...]:
        """Return the scale steps of the chord of a bar."""
        root = self.degrees[bar % len(self.degrees)]
        return root, root + 2, root + 4


def compose(rng: Generator, seconds: float) -> tuple[Score, float]:
    """Return a piece of about `seconds` and its tempo in beats a minute."""
    tempo_bpm = float(rng.uniform(56, 150))
    bars = max(2, round(seconds * tempo_bpm / 60 / 4))
    scale = SCALES[str(rng.choice(list(SCALES)))]
    degrees = (0, *(int(degree) for degree in rng.choice((0, 3, 4, 5, 1, 6), 3)))
    harmony, score = Harmony(int(rng.integers(-6, 6)), scale, degrees), Score([])
    alone = rng.random() < 0.15
    _lead(score, 0, harmony, bars, rng)
    if rng.random() < 0.3:
        _lead(score, 1, harmony, bars, rng)
    if not alone:
        for channel, part, share in (
            (2, _pad, 0.6),
            (3, _arpeggio, 0.6),
            (4, _bass, 0.65),
            (DRUMS, _drums, 0.45),
        ):
            if rng.random() < share:
                part(score, channel, harmony, bars, rng)
    return score, tempo_bpm


def _seat(score: Score, channel: int, program: int, volume: float, rng: Generator) -> None:
    # A player's place: instrument, level, side, room.
    score.add(0, "program_change", channel=channel, program=program)
    score.control(channel, 0, VOLUME, volume)
    score.control(channel, 0, PAN, rng.normal(64, 22))
    score.control(channel, 0, REVERB, rng.uniform(0, 110))
    score.control(channel, 0, CHORUS, rng.uniform(0, 60))


def _lead(score: Score, channel: int, harmony: Harmony, bars: int, rng: Generator) -> None:
    programs, low, high = LEADS[int(rng.integers(len(LEADS)))]
    _seat(score, channel, int(rng.choice(programs)), rng.uniform(85, 127), rng)
    vibrato, scoops, legato = rng.uniform(0, 110), rng.uniform(0, 0.6), rng.uniform(0.8, 1.05)
    step = int(rng.integers(0, 7))
    for bar in range(bars):
        if rng.random() < 0.15:
            continue  # a breath
        beat = 4.0 * bar
        for beats in RHYTHMS[int(rng.integers(len(RHYTHMS)))]:
            step += int(rng.choice((-4, -2, -1, -1, 0, 1, 1, 2, 4)))
            if beats >= 2:  # long notes rest in the harmony
                step = min(
                    (c + 7 * o for c in harmony.chord(bar) for o in (-2, -1, 0, 1, 2)),
                    key=lambda s: abs(s - step),
                )
            while harmony.pitch(step) > high:
                step -= 7
            while harmony.pitch(step) < low:
                step += 7
            _sung(
                score,
                channel,
                beat,
                float(beats),
                harmony.pitch(step),
                legato,
                vibrato,
                rng.random() < scoops,
                rng,
            )
            beat += beats


def _sung(
    score: Score, channel: int, beat: float, beats: float, key: int, legato: float, vibrato: float,
    scooped: bool, rng: Generator,
) -> None:  # fmt: skip
    """Add a note in the manner of a singer: approached from below, with a swell and vibrato."""
    score.note(channel, beat, beats * legato, key, rng.normal(92, 12))
    if scooped:
        depth, takes = rng.uniform(0.3, 1.6), min(0.4, beats / 2)
        for part in np.linspace(0, 1, 8):
            wheel = int(-8192 * depth / BENT * (1 - part))
            score.add(beat + takes * float(part), "pitchwheel", channel=channel, pitch=wheel)
    if beats >= 1:
        for part in np.linspace(0, 1, 6):
            at = beat + beats * 0.95 * float(part)
            score.control(channel, at, VIBRATO, vibrato * min(1.0, 2 * float(part)))
            score.control(channel, at, EXPRESSION, 90 + 37 * np.sin(np.pi * float(part)))


def _pad(score: Score, channel: int, harmony: Harmony, bars: int, rng: Generator) -> None:
    _seat(score, channel, int(rng.choice(PADS)), rng.uniform(50, 95), rng)
    for bar in range(bars):
        for step in harmony.chord(bar):
            score.note(channel, 4.0 * bar, 3.95, harmony.pitch(step), rng.normal(70, 8))


def _arpeggio(score: Score, channel: int, harmony: Harmony, bars: int, rng: Generator) -> None:
    _seat(score, channel, int(rng.choice(PLUCKED)), rng.uniform(60, 105), rng)
    order = [int(i) for i in rng.permutation(3)] + [1]
    length = float(rng.choice((0.25, 0.5, 0.5, 1.0)))
    for bar in range(bars):
        chord = harmony.chord(bar)
        for i in range(round(4 / length)):
            step = chord[order[i % 4]]
            score.note(channel, 4.0 * bar + i * length, length * 1.6, harmony.pitch(step), rng.normal(75, 12))


def _bass(score: Score, channel: int, harmony: Harmony, bars: int, rng: Generator) -> None:
    _seat(score, channel, int(rng.choice(BASSES)), rng.uniform(70, 110), rng)
    rhythm = RHYTHMS[int(rng.integers(len(RHYTHMS)))]
    for bar in range(bars):
        beat = 4.0 * bar
        for beats in rhythm:
            step = harmony.chord(bar)[0] - 14 + int(rng.choice((0, 0, 0, 4)))
            score.note(channel, beat, beats * 0.9, harmony.pitch(step), rng.normal(88, 8))
            beat += beats


def _drums(score: Score, channel: int, harmony: Harmony, bars: int, rng: Generator) -> None:
    del harmony
    score.control(channel, 0, VOLUME, rng.uniform(60, 105))
    kick, snare, hat = 36, int(rng.choice((37, 38, 40))), int(rng.choice((42, 46, 51, 54)))
    kicks = rng.random(8) < (1, 0.1, 0.2, 0.3, 0.7, 0.2, 0.3, 0.2)
    for bar in range(bars):
        for eighth in range(8):
            at = 4.0 * bar + eighth / 2
            if kicks[eighth]:
                score.note(channel, at, 0.3, kick, rng.normal(100, 8))
            if eighth in (2, 6):
                score.note(channel, at, 0.3, snare, rng.normal(95, 8))
            score.note(channel, at, 0.2, hat, rng.normal(70, 15))


def write_leads(font: Path, out: Path, pieces: int, seconds: float, seed: int, licence: str) -> None:
    """Write `pieces` as FLAC and their table to `out`, for `prepare`; pieces of other seeds and files stay.

    Raises `InputFileError` without the font, `OutputError` if FluidSynth is missing or fails, and
    `UsageError` if `out` has a table of something else.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be at least 0")
    if not font.is_file():
        raise InputFileError(
            f"{font}: no such sound font; Debian's fluid-soundfont-gm has one in /usr/share/sounds/sf2"
        )
    if not shutil.which("fluidsynth"):
        raise OutputError(
            "fluidsynth is not installed: apt-get install fluidsynth (macOS: brew install fluidsynth)"
        )
    if pieces < 1 or seconds < 4:
        raise UsageError("--pieces: 1 and more are accepted, --seconds: 4 and more")
    before = rows_to_extend(out / TABLE, lambda row: bool(_PIECE.fullmatch(row["path"])))
    rows = [row for row in before if not row["path"].startswith(f"{seed}-")]
    make_folder(out)
    with sole_use(out):
        for number in tqdm(range(pieces), unit="piece", desc="leads"):
            path = out / f"{seed}-{number:03}.flac"
            if not path.exists():
                score, tempo_bpm = compose(np.random.default_rng((seed, number)), seconds)
                with tempfile.TemporaryDirectory(dir=out) as work:
                    score.save(Path(work) / "score.mid", tempo_bpm)
                    _play(font, Path(work) / "score.mid", Path(work) / path.name)
                    (Path(work) / path.name).rename(path)
            rows.append({
                "split": "train", "set": out.resolve().name, "path": path.name,
                "role": "instrumental", "licence": licence,
            })  # fmt: skip
        write_rows(out / TABLE, rows)
    print(f"{out / TABLE}: {len(rows)} pieces")


def _play(font: Path, score: Path, audio: Path) -> None:
    command = [
        "fluidsynth",
        "-n",
        "-i",
        "-q",
        "-g",
        LOUDNESS,
        "-r",
        str(RATE),
        "-T",
        "flac",
        "-F",
        str(audio),
        str(font),
        str(score),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not audio.exists():
        raise OutputError(f"fluidsynth failed: {done.stderr.strip()[-300:] or done.returncode}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train leads`."""
    font = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
    parser.add_argument("--font", type=Path, default=font, metavar="SF2", help="sound font (%(default)s)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output: one file for each piece, and a table"
    )
    parser.add_argument("--pieces", type=int, default=150, metavar="N", help="number of pieces (%(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=40.0,
        metavar="S",
        help="approximate length of each piece (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed (%(default)s)")
    parser.add_argument("--licence", default="MIT", help="licence of the font, for model cards (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    write_leads(options.font, options.out, options.pieces, options.seconds, options.seed, options.licence)
