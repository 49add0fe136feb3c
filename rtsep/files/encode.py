"""Stems in other formats than WAV, with the tags of their song.

ffmpeg encodes if it is installed. Without it libsndfile writes FLAC, with the tags that it supports.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import soundfile

from rtsep.errors import OutputError, UsageError, system_reason
from rtsep.files.ffmpeg import OWN_GROUP
from rtsep.files.names import handles_of
from rtsep.files.sndfile import encoded, open_sound, reason

WAV = "wav"
FORMATS = (WAV, "flac", "mp3", "opus")
MAX_CHANNELS = {"mp3": 2, "flac": 8, "opus": 8}
MAX_FLAC_RATE = 655_340  # Hz
_FINE_FLAC_RATES = 65535  # Hz; from here on, FLAC has multiples of 10 Hz
OPUS_KBITS = 80  # per channel

_SAMPLES = {"PCM_16": ("s16", "16"), "PCM_24": ("s32", "24")}  # ffmpeg's names for FLAC
_OPUS_LAYOUTS = {3: "3.0", 4: "quad"}
"""Layouts by number of channels; Opus lacks those that ffmpeg assumes for these."""

_BLOCK = 65536  # frames
_TECHNICAL = (
    "encoder", "encoded_by", "major_brand", "minor_version", "compatible_brands", "creation_time",
    "handler_name", "vendor_id", "language", "duration", "timecode",
)  # fmt: skip
"""Tags that describe the original file, not the song."""

_OF_THE_LEVEL = ("replaygain", "r128", "itunnorm", "itunsmpb", "mp3gain")
"""Prefixes of tags about the level or the padding of the whole song, which do not apply to a stem."""

MAX_TAG_BYTES = 1 << 20
"""Maximum size of all tags of a stem together, as UTF-8; FLAC has room for 16 MB, other programs for less."""


def check_format(form: str, subtype: str) -> None:
    """Raise `UsageError` if stems cannot be written as `form` with samples of `subtype`."""
    if form == "flac" and subtype not in _SAMPLES:
        raise UsageError(
            f"--subtype {subtype}: flac supports {' and '.join(_SAMPLES)}; use --format wav for it"
        )
    if form in ("mp3", "opus") and not shutil.which("ffmpeg"):
        raise UsageError(f"--format {form}: install ffmpeg, which encodes it, or use --format flac")


def check_sound(form: str, song: Path, channels: int, rate: int) -> None:
    """Raise `OutputError` if stems with this number of channels and rate in Hz cannot be `form`."""
    most = MAX_CHANNELS.get(form, channels)
    if channels > most:
        other = "flac" if form == "mp3" and channels <= MAX_CHANNELS["flac"] else WAV
        raise OutputError(
            f"{song}: it has {channels} channels, but {form} supports at most {most}; use --format {other}"
        )
    if form == "flac" and (rate > MAX_FLAC_RATE or (rate >= _FINE_FLAC_RATES and rate % 10)):
        raise OutputError(f"{song}: flac does not support its sample rate of {rate} Hz; use --format {WAV}")


def encode(wav: Path, target: Path, song: Path, subtype: str) -> str:
    """Write the audio of `wav` to `target` in the format of its suffix, with the tags of `song`.

    Return a line about tags that are left out, "" for none. Raise `OutputError`, and leave no file, if that
    fails.
    """
    form = target.suffix[1:]
    try:
        if shutil.which("ffmpeg"):
            tags, note = _fitting(tags_of(song))
            _by_ffmpeg(wav, target, tags, form, subtype)
        else:
            tags, note = _fitting(_tags_by_libsndfile(song))
            _by_libsndfile(wav, target, tags, subtype)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise OutputError(f"{target}: cannot be encoded ({system_reason(error)})") from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return note


def _fitting(tags: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the smallest tags that fit together, in their order, and a line about the others."""
    sizes = {name: len(name.encode(errors="replace")) + len(text.encode(errors="replace"))
             for name, text in tags.items()}  # fmt: skip
    kept, total = set(), 0
    for name in sorted(tags, key=lambda name: sizes[name]):
        total += sizes[name]
        if total > MAX_TAG_BYTES:
            break
        kept.add(name)
    left = [name for name in tags if name not in kept]
    note = ""
    if left:
        names = ", ".join(repr(name[:20]) for name in left[:3]) + (", ..." if len(left) > 3 else "")
        note = (
            f"the stems lack its largest tags ({names}): all together have at most {MAX_TAG_BYTES >> 20} MB"
        )
    return {name: text for name, text in tags.items() if name in kept}, note


def tags_of(song: Path) -> dict[str, str]:
    """Return the tags of an audio file by ffprobe's names; none if it has none or ffprobe fails.

    A pipe has no tags left after its audio was read.
    """
    if not shutil.which("ffprobe") or not song.is_file():
        return {}
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "a:0", "-of", "json",
         "-show_entries", "format_tags:stream_tags", f"file:{song.absolute()}"],
        capture_output=True, process_group=OWN_GROUP, pass_fds=handles_of(song),
    )  # fmt: skip
    try:
        found = json.loads(probe.stdout.decode(errors="replace"))
    except ValueError:
        return {}
    tags: dict[str, str] = {}
    for part in (*found.get("streams", ())[:1], found.get("format", {})):
        for name, text in part.get("tags", {}).items():
            if name.lower() not in _TECHNICAL and not name.lower().startswith(_OF_THE_LEVEL):
                tags[name.lower()] = text
    return tags


def _by_ffmpeg(wav: Path, target: Path, tags: Mapping[str, str], form: str, subtype: str) -> None:
    channels = soundfile.info(encoded(wav)).channels
    if form == "flac":
        samples, bits = _SAMPLES[subtype]
        options = ["-c:a", "flac", "-sample_fmt", samples, "-bits_per_raw_sample", bits]
    elif form == "mp3":
        options = ["-c:a", "libmp3lame", "-q:a", "0", "-id3v2_version", "4"]
    else:
        options = ["-c:a", "libopus", "-b:a", f"{OPUS_KBITS * channels}k", *_opus_layout(channels)]
    # A tag may be longer than the system accepts as an argument. Without -xerror the code is 0 even if the
    # end of the file cannot be written.
    run = subprocess.run(
        ["ffmpeg", "-v", "error", "-xerror", "-nostdin", "-y", "-i", f"file:{wav.absolute()}",
         "-f", "ffmetadata", "-i", "pipe:0", "-map", "0:a", "-map_metadata", "1", *options,
         f"file:{target.absolute()}"],
        input=_as_ffmetadata(tags), capture_output=True, process_group=OWN_GROUP,
    )  # fmt: skip
    if run.returncode != 0:
        lines = run.stderr.decode(errors="replace").strip().splitlines()
        raise OutputError(f"{target}: ffmpeg cannot write it ({lines[-1] if lines else 'no reason given'})")


def _as_ffmetadata(tags: Mapping[str, str]) -> bytes:
    """Return a file of ffmpeg's format for tags, without NUL and without backslashes at the end of a text."""

    def escaped(text: str) -> str:
        # ffmpeg 5 takes the last backslash of a line for an escape of the line's end, even if it is escaped.
        return re.sub(r"([=;#\\\n\r])", r"\\\1", text.replace("\0", "").rstrip("\\"))

    # A key in brackets would begin a section.
    entries = {escaped(name.lstrip("[")): escaped(text) for name, text in tags.items()}
    lines = [";FFMETADATA1", *(f"{name}={text}" for name, text in entries.items() if name), ""]
    return "\n".join(lines).encode(errors="replace")


def _opus_layout(channels: int) -> list[str]:
    """Return the options of ffmpeg that keep each channel in its place."""
    if channels <= 2:
        return []
    options = ["-mapping_family", "1"]  # without it, ffmpeg exchanges the channels of 5.0 and 6.1
    if channels in _OPUS_LAYOUTS:
        numbers = "|".join(map(str, range(channels)))
        options += ["-af", f"channelmap=map={numbers}:channel_layout={_OPUS_LAYOUTS[channels]}"]
    return options


def _by_libsndfile(wav: Path, target: Path, tags: Mapping[str, str], subtype: str) -> None:
    try:
        with (
            soundfile.SoundFile(encoded(wav)) as source,
            soundfile.SoundFile(encoded(target), "w", source.samplerate, source.channels, subtype) as file,
        ):
            for name, text in tags.items():
                setattr(file, name, text)
            while len(block := source.read(_BLOCK, dtype="int32", always_2d=True)):
                file.write(block)
    except (soundfile.LibsndfileError, OSError) as error:
        raise OutputError(f"{target}: cannot be written ({reason(error)})") from None


def _tags_by_libsndfile(song: Path) -> dict[str, str]:
    if not song.is_file():
        return {}
    try:
        with song.open("rb") as source, open_sound(source, song) as file:
            found: dict[str, str] = file.copy_metadata()
    except (soundfile.LibsndfileError, OSError):
        return {}
    return {name: text for name, text in found.items() if name != "software"}
