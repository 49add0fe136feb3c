"""`worst`: list the worst seconds of a model in a data set, in words, for its card.

A mean hides the moments that a listener remembers. Each track counts with the second of the lowest vocals
SDR, among the seconds with an audible voice; the lowest of all tracks are kept. The words give the level of
the voice, the missing part of the voice, and the music that was taken for voice. The last two are the parts
of the error: the projection of the estimate on the true voice, and the rest (J. Le Roux et al., ICASSP 2019).
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from rtsep.limits import DEVICES
from rtsep.model.package import read_package
from rtsep.model.remote import load
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import find_tracks, read_track
from train.score.evaluate import as_live, card, separate
from train.score.metrics import level_db
from train.score.scores import Content, check_writable, write_scores

COUNT = 5
AUDIBLE_DB = -25.0
"""Level of the voice to the mixture, below which a second is left out."""

MISSING_DB = -3.0
"""Level of the voice in the estimate below which a card calls the voice missing."""

BANDS_HZ = ((0, 250, "bass"), (250, 1000, "low mids"), (1000, 4000, "mids"), (4000, RATE / 2, "treble"))


@dataclass(frozen=True)
class WorstSecond:
    """One second of a track and the faults of its estimate; levels in dB."""

    track: str
    start_s: int
    sdr: float
    voice_to_mix: float
    voice_found: float  # level of the voice in the estimate, to the true voice
    music_found: float  # level of everything else in the estimate, to the true voice
    band: str  # where most of the error is

    def words(self) -> str:
        """Return one sentence on this second."""
        voice = (
            f"the voice is {-self.voice_to_mix:.0f} dB below the mix"
            if self.voice_to_mix < 0
            else "voice alone"
        )
        if self.music_found > max(self.voice_found, MISSING_DB):
            fault = "more music than voice is taken for voice"
        elif self.voice_found < MISSING_DB:
            fault = f"the voice loses {-self.voice_found:.0f} dB"
        else:
            fault = f"music at {self.music_found:+.0f} dB to the voice is taken for voice"
        return f"*{self.track}*, second {self.start_s + 1}: {voice}; {fault}, most of it in the {self.band}"


def worst_second(track: str, mix: Wave, voice: Wave, estimate: Wave) -> WorstSecond | None:
    """Return the worst second of a track; None if no second has an audible voice. All are [2, n] at RATE."""
    places = []
    for start in range(0, voice.shape[1] - RATE + 1, RATE):
        second = slice(start, start + RATE)
        true, found, level = voice[:, second], estimate[:, second], level_db(voice[:, second], mix[:, second])
        if true.any() and level >= AUDIBLE_DB:
            places.append(_place(track, start // RATE, level, true, found))
    return min(places, key=lambda place: place.sdr, default=None)


def _place(track: str, second: int, level: float, true: Wave, found: Wave) -> WorstSecond:
    energy = float(np.vdot(true, true))
    share = float(np.vdot(found, true)) / energy
    error, rest = found - true, found - np.float32(share) * true
    power = np.square(np.abs(np.fft.rfft(error))).sum(0)
    hz = np.fft.rfftfreq(error.shape[1], 1 / RATE)
    band = max(BANDS_HZ, key=lambda band: power[(hz >= band[0]) & (hz < band[1])].sum())[2]
    return WorstSecond(
        track=track,
        start_s=second,
        sdr=_db(energy / max(float(np.vdot(error, error)), 1e-12)),
        voice_to_mix=level,
        voice_found=2 * _db(max(share, 1e-6)),
        music_found=_db(max(float(np.vdot(rest, rest)), 1e-12) / energy),
        band=band,
    )


def _db(power: float) -> float:
    return float(10 * np.log10(power))


def worst(
    model: Path,
    data: Sequence[Path],
    json_path: Path | None = None,
    *,
    count: int = COUNT,
    device: str = "cpu",
) -> Content:
    """Find the `count` worst places of `model` in the tracks of `data`; return the content of the JSON.

    Raises `ModelError` or `InputFileError` if the model or all of the tracks cannot be used.
    """
    if count < 1:
        raise UsageError(f"--count {count}: must be at least 1")
    if json_path is not None:
        check_writable(json_path)
    package = read_package(model)
    runner = load(package, device)
    places: list[WorstSecond] = []
    skipped: list[str] = []
    paths = find_tracks(data)
    for path in tqdm(paths, unit="track", desc="worst"):
        try:
            track = read_track(path)
        except InputFileError as error:
            skipped.append(str(error))
            continue
        assert track.stems is not None
        with as_live():
            estimate = separate(runner, track.mix)[0]
        place = worst_second(track.name, track.mix, track.stems[0], estimate)
        places += [place] if place else []
    if not places:
        raise InputFileError(f"none of {len(paths)} tracks has a second with an audible voice")
    places.sort(key=lambda place: place.sdr)
    content: Content = {
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "model_sha256": package.sha256,
        "card": card(package),
        "tracks": len(paths) - len(skipped),
        "places": [dataclasses.asdict(place) | {"words": place.words()} for place in places[:count]],
    }
    for place in places[:count]:
        print(f"{place.sdr:6.1f} dB  {place.words()}")
    for line in skipped:
        print(f"skipped: {line}")
    if json_path is not None:
        write_scores(content, json_path)
    return content


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model file")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH",
        help="tracks with stems, as for 'evaluate'; may be given several times",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=COUNT, help="number of seconds to list (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output: JSON for the card")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    worst(options.model, options.data, options.json, count=options.count, device=options.device)
