"""Whole tracks for scores and listening pages: .stem.mp4 files, folders of stems, plain recordings.

`train.data.readers` lists the layouts: MUSDB18(-HQ), DSD100, or any folder of stems whose file names tell the
stem. Only the test part of a data set is scored, if it has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsep import folders
from rtsep.errors import InputFileError, NoSoundError, UsageError, suggest
from rtsep.files.folders import walk
from rtsep.files.names import printable
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.readers.base import Source, is_audio
from train.data.readers.decode import AudioFile, read_source
from train.data.readers.musdb18 import STEM_FILE, STEM_IDS, StemStream
from train.data.readers.stems import roles_in, song_parts, usable

Stems = tuple[Wave, Wave]
"""Vocals and accompaniment, [2 (left, right), n] at RATE each, of equal length."""

LENGTHS_DIFFER_S = 1.0
"""Maximum difference of length between mixture and stems. Beyond it, the mixture is another track or cut."""


@dataclass(frozen=True)
class Track:
    """One recording, with its stems if they are known."""

    name: str
    mix: Wave
    stems: Stems | None

    @property
    def seconds(self) -> float:
        """Length of the track in seconds."""
        return self.mix.shape[1] / RATE


def track_name(path: Path) -> str:
    """Return the name of the track at `path`."""
    if path.is_dir():
        whole = path.resolve()
        return printable(song_parts(Path(whole.anchor), whole)[-1])
    return printable(path.name.removesuffix(STEM_FILE) if path.name.endswith(STEM_FILE) else path.stem)


def read_wave(source: Source) -> Wave:
    """Read `source` as stereo at RATE; mono is doubled."""
    samples, _ = read_source(source)
    return np.ascontiguousarray(np.broadcast_to(samples.T, (2, len(samples))), np.float32)


def _read_stem(source: Source) -> Wave:
    """Read one stem of several; an empty file is a silent stem."""
    try:
        return read_wave(source)
    except NoSoundError:
        return np.zeros((2, 0), np.float32)


def is_stems(path: Path) -> bool:
    """Return whether `path` is a .stem.mp4, or a folder with a voice and an accompaniment."""
    if path.is_dir():
        return usable(_roles(path))
    return path.name.endswith(STEM_FILE)


def read_track(path: Path) -> Track:
    """Read a .stem.mp4 or a folder of stems; `InputFileError` names the fault.

    The mixture is the recorded one if there is one, else the sum of the stems.
    """
    if not path.is_dir():
        streams = {"mixture": 0} | STEM_IDS
        waves = {name: read_wave(StemStream(path, number)) for name, number in streams.items()}
        return _track(path, waves, ["vocals"], [name for name in STEM_IDS if name != "vocals"], ["mixture"])
    roles = _roles(path)
    if not is_stems(path):
        held = ", ".join(roles) or "no audio"
        raise InputFileError(f"{path}: needs a voice (vocals.*) and its accompaniment; found {held}")
    # A file with the whole accompaniment already includes further stems.
    parts = [name for role in roles if role not in ("vocals", "mixture") for name in roles[role]]
    others = roles["accompaniment"][:1] if "accompaniment" in roles else parts
    mixture = roles.get("mixture", [])[:1]
    files = [*roles["vocals"], *others, *mixture]
    return _track(
        path, {name: _read_stem(AudioFile(path / name)) for name in files}, roles["vocals"], others, mixture
    )


def read_song(path: Path) -> Track:
    """Read the stems at `path` if it has them, else a recording without references."""
    if path.is_dir() or is_stems(path):
        return read_track(path)
    return Track(track_name(path), read_wave(AudioFile(path)), None)


def find_tracks(data: Iterable[Path]) -> list[Path]:
    """Return the paths of the tracks in each of `data`: data sets, folders or tracks.

    Folders of audio without stems are listed, too; the error of reading them names the missing stems.
    """
    found: list[Path] = []
    for path in data:
        inside = [path] if is_stems(path) else _tracks_in(_test_part(path))
        if not any(is_stems(track) for track in inside):
            raise InputFileError(
                f"{path}: neither .stem.mp4 files nor folders of stems; "
                "a folder of stems holds vocals.wav and others"
                if path.exists()
                else f"{path}: no such file or folder"
            )
        found += inside
    return list(dict.fromkeys(found))


def select_tracks(paths: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Return the `paths` named in `names`, in that order; a unique beginning of a name is enough."""
    by_name = {track_name(path): path for path in paths}
    chosen = []
    for name in names:
        near = [full for full in by_name if full.lower().startswith(name.lower())]
        exact = [full for full in near if full.lower() == name.lower()]
        if len(exact or near) != 1:
            reason = f"{len(near)} tracks begin so" if near else "no such track" + suggest(name, by_name)
            raise UsageError(f"--tracks '{name}': {reason}")
        chosen.append(by_name[(exact or near)[0]])
    return chosen


def _roles(folder: Path) -> dict[str, list[str]]:
    # A broken link counts: without its stem the track would be another one.
    return roles_in([path.name for path in folder.iterdir() if not folders.is_reachable_folder(path)])


def _test_part(folder: Path) -> Path:
    for place in (folder / "Sources", folder):  # DSD100, and all others
        inside = sorted(place.iterdir()) if place.is_dir() else []
        tests = [path for path in inside if path.name.lower() == "test" and path.is_dir()]
        if tests:
            return tests[0]
    return folder


def _tracks_in(folder: Path) -> list[Path]:
    found = []
    for place, names in walk(folder):
        found += [place / name for name in names if name.endswith(STEM_FILE) and not name.startswith(".")]
        if place != folder and any(is_audio(name) for name in names):
            found.append(place)
    return found


def _track(path: Path, waves: dict[str, Wave], voices: list[str], others: list[str], mix: list[str]) -> Track:
    frames = max(waves[name].shape[1] for name in [*voices, *others])
    if not frames:
        raise NoSoundError(f"{path}: no sound in any of its stems")
    for name in mix:  # a stem may end early, the mixture may not
        mixed = waves[name].shape[1]
        if abs(mixed - frames) > LENGTHS_DIFFER_S * RATE:
            short = name if mixed < frames else "the longest stem"
            raise InputFileError(
                f"{path}: {name} of {mixed / RATE:.1f} s, stems of {frames / RATE:.1f} s; is {short} cut off?"
            )
        frames = min(frames, mixed)

    def summed(names: list[str]) -> Wave:
        out = np.zeros((2, frames), np.float32)
        for name in names:
            wave = waves[name][:, :frames]
            out[:, : wave.shape[1]] += wave  # shorter stems are padded with silence
        return out

    stems = summed(voices), summed(others)
    return Track(track_name(path), summed(mix) if mix else stems[0] + stems[1], stems)
