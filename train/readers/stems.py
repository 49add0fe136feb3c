"""Any folder of stems: a folder a song, with the voice and what else there is as files of one time axis.

What a file holds is told by the words of its name: several voices are summed, and so is what accompanies
them, into drums, bass and other. Where one file is the whole accompaniment, the song is a pair.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rtsep.errors import InputFileError
from train.readers.base import Choice, Found, Plan, Reader, Source, is_audio, licence_in
from train.readers.decode import AudioFile
from train.readers.splits import assign_songs, given_split

_ACCOMPANIMENT = re.compile(r"accomp|instrumental|karaoke|backing[ _-]?track|no[ _-]?voc|minus[ _-]?one")
_MIXTURE = re.compile(r"\b(mix|mixture|mixdown|fullmix|master|original)\b")
_ROLES = (
    ("vocals", re.compile(r"vocal|voice|vox|choir|\bvoc\b|\bsing(er|ing)?\b|\brap\b|adlib|acap")),
    ("drums", re.compile(r"drum|perc|kick|snare|hi-?hat|cymbal|\btoms?\b|overhead")),
    ("bass", re.compile(r"bass(?!oon)|\b808\b")),
)

_LOSSLESS = (".wav", ".flac", ".aif", ".aiff", ".w64")


def role_of(stem: str) -> str:
    """What a file of this name holds: vocals, accompaniment, mixture, drums, bass or other."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).replace("_", " ").lower().strip()
    if _ACCOMPANIMENT.search(spaced):
        return "accompaniment"
    last = "mixture" if _MIXTURE.search(spaced) else "other"
    return next((role for role, pattern in _ROLES if pattern.search(spaced)), last)


def roles_in(names: list[str]) -> dict[str, list[str]]:
    """Audio files of a folder, by role; of one recording in several formats the lossless one."""
    recordings: dict[str, str] = {}
    for name in sorted(filter(is_audio, names), key=lambda name: Path(name).suffix.lower() not in _LOSSLESS):
        recordings.setdefault(Path(name).stem, name)
    roles: dict[str, list[str]] = {}
    for stem, name in sorted(recordings.items()):
        roles.setdefault(role_of(stem), []).append(name)
    return roles


def _songs(folder: Path) -> list[tuple[Path, dict[str, list[str]]]]:
    found = []
    for path, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        if roles := roles_in(names):
            found.append((Path(path), roles))
    return found


def _usable(roles: dict[str, list[str]]) -> bool:
    return "vocals" in roles and bool(roles.keys() - {"vocals", "mixture"})


class Stems(Reader):
    """A folder a song, at any depth; folders called train, valid and test above it say the split."""

    form = "stems"
    layout = "SONG/vocals.* beside other stems, or beside accompaniment.*"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        songs = [roles for _, roles in _songs(folder)]
        voiced = sum("vocals" in roles for roles in songs)
        return any(_usable(roles) for roles in songs) and 2 * voiced >= len(songs)

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`; a voice with nothing beside it is a solo voice, audio without one is named."""
        found, songs = Found(), []
        for song, roles in _songs(folder):
            if "vocals" in roles:
                songs.append((song, roles))
            else:
                found.skipped.append(f"{song}: no vocals.* among its audio files")
        if not songs:
            raise InputFileError(f"{folder}: no folder of stems in it ({self.layout})")
        names = [_name(folder, song) for song, _ in songs]
        given = [given_split(song.relative_to(folder) / "x") for song, _ in songs]
        splits = assign_songs(names, given, choice)
        for (song, roles), name, (split, group) in zip(songs, names, splits, strict=True):
            if split == "test":
                found.test.append(name)
                continue
            licence = licence_in(song)
            if licence.startswith("unknown"):
                licence = licence_in(folder)
            kind, files = _files(song, roles)
            found.plans.append(Plan(name, folder.resolve().name, split, kind, licence, files, group))
        return found


def _name(folder: Path, song: Path) -> str:
    inside = song.relative_to(folder).as_posix()
    return folder.resolve().name if inside == "." else inside


def _files(song: Path, roles: dict[str, list[str]]) -> tuple[str, dict[str, tuple[Source, ...]]]:
    def sources(role: str) -> tuple[Source, ...]:
        return tuple(AudioFile(song / name) for name in roles[role])

    if not _usable(roles):
        return "voice", {"vocals": sources("vocals")}
    if "accompaniment" in roles:  # any further stems are in it already
        return "pair", {"vocals": sources("vocals"), "accompaniment": sources("accompaniment")[:1]}
    names = [role for role in ("vocals", "drums", "bass", "other") if role in roles]
    return "stems", {role: sources(role) for role in names}
