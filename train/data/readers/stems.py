"""Any folder of stems: one folder for each song, with files of one time axis.

The words of a file name tell the stem. Several voices are summed, as are accompanying files, into drums, bass
and other. If one file is the whole accompaniment, the song is a pair.
"""

from __future__ import annotations

import re
from pathlib import Path

from rtsep.errors import InputFileError
from rtsep.files.folders import walk
from train.data.readers.base import Choice, Found, Plan, Reader, Source, is_audio, licence_near, words
from train.data.readers.decode import AudioFile
from train.data.readers.splits import artist, assign_songs, given_split, without_splits

_ACCOMPANIMENT = re.compile(
    r"accomp|instrumental|karaoke|backing[ _-]?track"
    # not of "soprano vocals"
    r"|(?<![^\W\d_])(no[ _-]?voc|minus[ _-]?one)"
)
_MIXTURE = re.compile(r"\b(mix|mixture|mixdown|fullmix|master|original)\b")
_ROLES = (
    ("vocals", re.compile(r"vocal|voice|vox|choir|\bvoc\b|\bsing(er|ing)?\b|\brap\b|adlib|acap")),
    ("drums", re.compile(r"drum|perc|kick|snare|hi-?hat|cymbal|\btoms?\b|overhead")),
    ("bass", re.compile(r"bass(?!oon)|\b808\b")),
)

_INSIDE = {
    "audio", "audio files", "files", "flac", "mp3", "multitrack", "multitracks", "stem", "stems", "tracks",
    "wav", "wave", "wavs",
}  # fmt: skip
"""Names of folders inside the folder of a song, such as "stems"."""

_VOICE_WORDS = {
    "a", "acapella", "acappella", "adlib", "adlibs", "alto", "background", "backing", "bgv", "bv", "cappella",
    "choir", "double", "doubles", "dry", "dub", "female", "fx", "harmonies", "harmony", "l", "lead", "left",
    "lv", "main", "male", "mono", "r", "rap", "right", "sing", "singer", "singing", "soprano", "stem",
    "stereo", "take", "tenor", "track", "vocal", "vocals", "voc", "vox", "voice", "voices", "vx", "wet",
}  # fmt: skip
"""Words in the name of a voice's file that are no part of a title."""

_LOSSLESS = (".wav", ".flac", ".aif", ".aiff", ".w64")


def role_of(stem: str) -> str:
    """Return the stem of a file by its name: vocals, accompaniment, mixture, drums, bass or other."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).replace("_", " ").lower().strip()
    if _ACCOMPANIMENT.search(spaced):
        return "accompaniment"
    last = "mixture" if _MIXTURE.search(spaced) else "other"
    return next((role for role, pattern in _ROLES if pattern.search(spaced)), last)


def roles_in(names: list[str]) -> dict[str, list[str]]:
    """Return the audio files of a folder by stem; of several formats of a recording, the lossless one."""
    recordings: dict[str, str] = {}
    for name in sorted(filter(is_audio, names), key=lambda name: Path(name).suffix.lower() not in _LOSSLESS):
        recordings.setdefault(Path(name).stem, name)
    roles: dict[str, list[str]] = {}
    for stem, name in sorted(recordings.items()):
        roles.setdefault(role_of(stem), []).append(name)
    return roles


def _songs(folder: Path) -> list[tuple[Path, dict[str, list[str]]]]:
    found = []
    for path, names in walk(folder):
        if roles := roles_in(names):
            found.append((path, roles))
    return found


def usable(roles: dict[str, list[str]]) -> bool:
    """Return whether these stems make a song: a voice and an accompaniment."""
    return "vocals" in roles and bool(roles.keys() - {"vocals", "mixture"})


def has_plain_stems(folder: Path) -> bool:
    """Return whether a song's folder below `folder` has a file that is named as a voice and nothing else.

    The name of the song and numbers may stand beside it: "03 SONG - Lead Vocals.wav".
    """
    return any(
        song != folder and usable(roles) and any(_is_plain(song, name) for name in roles["vocals"])
        for song, roles in _songs(folder)
    )


def _is_plain(song: Path, name: str) -> bool:
    known = words(song.name) | words(song.parent.name) | _VOICE_WORDS
    return all(word in known or word.isdigit() for word in words(Path(name).stem))


class Stems(Reader):
    """One folder for each song, at any depth; folders train, valid and test above it tell the split."""

    form = "stems"
    layout = "SONG/vocals.* beside other stems, or beside accompaniment.*"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        songs = [roles for _, roles in _songs(folder)]
        voiced = sum("vocals" in roles for roles in songs)
        return any(usable(roles) for roles in songs) and 2 * voiced >= len(songs)

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`. A voice alone is a solo voice; audio without a voice is listed as skipped."""
        found, songs = Found(), []
        for song, roles in _songs(folder):
            if "vocals" in roles:
                songs.append((song, roles))
            else:
                found.skipped.append(f"{song}: no vocals.* among its audio files")
        if not songs:
            raise InputFileError(f"{folder}: no folder of stems in it ({self.layout})")
        names = ["/".join(song_parts(folder, song)) for song, _ in songs]
        given = [given_split(song.relative_to(folder) / "x") for song, _ in songs]
        splits = assign_songs(names, given, choice, _groups(names))
        for (song, roles), name, (split, group) in zip(songs, names, splits, strict=True):
            if split == "test":
                found.test.append(name)
                found.test_tracks.append(song)
                continue
            licence = licence_near(folder, song)
            kind, files = _files(song, roles)
            found.plans.append(Plan(name, folder.resolve().name, split, kind, licence, files, group))
        return found


def song_parts(folder: Path, song: Path) -> list[str]:
    """Return the name of the song in folder `song` below `folder`, after the folders around it.

    Folders of splits, and folders inside that of the song, are not part of it.
    """
    parts = without_splits(song.relative_to(folder).parts)
    while parts and parts[-1].lower() in _INSIDE:
        parts.pop()
    return parts or [folder.resolve().name]


def _groups(names: list[str]) -> list[str]:
    """Return the group of each song: the first folder around it, else the artist of "artist - song"."""
    paths = [name.lower().split("/") for name in names]
    # A common parent folder does not distinguish them.
    while all(len(path) > 1 for path in paths) and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return [path[0] if len(path) > 1 else artist(path[0]) for path in paths]


def _files(song: Path, roles: dict[str, list[str]]) -> tuple[str, dict[str, tuple[Source, ...]]]:
    def sources(role: str) -> tuple[Source, ...]:
        return tuple(AudioFile(song / name) for name in roles[role])

    if not usable(roles):
        return "voice", {"vocals": sources("vocals")}
    if "accompaniment" in roles:  # it already includes any further stems
        return "pair", {"vocals": sources("vocals"), "accompaniment": sources("accompaniment")[:1]}
    names = [role for role in ("vocals", "drums", "bass", "other") if role in roles]
    return "stems", {role: sources(role) for role in names}
