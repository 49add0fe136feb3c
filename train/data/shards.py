"""`compact`: pack a cache into shards: numbered archives of less than 64 MiB, with checksums.

Opus at about 64 kbit/s a channel makes a cache ten times smaller. Over 30 songs of 13 sets, its coding noise
was 20 to 30 dB below the stems (median 23 for instruments, 28 for voices; down to 3 for noise like rain), as
in the lossy sets that they were made from. A mixture is the sum of its decoded stems, so that targets still
add up exactly. FLAC is lossless and halves the size.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from rtsep.errors import OutputError, UsageError
from train.data.cache import RATE, AudioCache, Song, default_cache, whole_file
from train.data.readers.shards import INDEX, VERSION
from train.data.readers.splits import fraction

MIB = 1 << 20
PIECE_MIB = 48
SECTION_S = 240
"""Maximum length of a member in seconds; uncompressed, it still fits into a shard."""

OPUS_RATE = 48000  # Hz; the codec does not support 44.1 kHz
OPUS_LEVEL = 0.75
"""Compression level of libsndfile: 0 is 256 kbit/s a channel, 1 is 6."""

CODECS = {"opus": ".ogg", "flac": ".flac"}
_BLOCK = OPUS_RATE  # frames handed to the encoder at a time
_OVERHEAD = 512  # bytes of archive directory a member, at most


def encode(samples: NDArray[np.int16], codec: str) -> list[bytes]:
    """Encode a stem [n, channels] into sections, each as a file."""
    rate, waves = RATE, samples
    if codec == "opus":
        rate = OPUS_RATE
        waves = soxr.resample(samples.astype(np.float32) / np.float32(32768), RATE, rate)
    sections = []
    for start in range(0, len(waves), SECTION_S * rate):
        section = waves[start : start + SECTION_S * rate]
        packed = io.BytesIO()
        how: dict[str, Any] = {"format": "FLAC", "subtype": "PCM_16"}
        if codec == "opus":
            how = {"format": "OGG", "subtype": "OPUS", "compression_level": OPUS_LEVEL}
        with soundfile.SoundFile(packed, "w", rate, section.shape[1], **how) as file:
            for first in range(0, len(section), _BLOCK):
                file.write(section[first : first + _BLOCK])
        sections.append(packed.getvalue())
    return sections


def choose(songs: list[Song], hours: float | None) -> list[Song]:
    """Return songs of `hours` in all, each from the set and split with the least music so far."""
    if hours is None:
        return songs
    queues: dict[tuple[str, str], list[Song]] = {}
    for song in sorted(songs, key=lambda song: fraction(f"{song.source}/{song.name}"), reverse=True):
        queues.setdefault((song.split, song.source), []).append(song)
    taken = dict.fromkeys(queues, 0)
    chosen: list[Song] = []
    frames_left = hours * 3600 * RATE
    while open_ := [key for key in queues if queues[key]]:
        key = min(open_, key=lambda key: taken[key] + queues[key][-1].frames)
        song = queues[key].pop()
        if song.frames <= frames_left:
            chosen.append(song)
            taken[key] += song.frames
            frames_left -= song.frames
    return chosen


@dataclass
class _Packer:
    """A writer of archives below a size limit."""

    out: Path
    limit: int  # bytes
    pieces: list[dict[str, Any]] = field(default_factory=list)
    _members: list[tuple[str, bytes]] = field(default_factory=list)
    _size: int = 0

    def add(self, member: str, content: bytes) -> str:
        """Put a member into the current shard or the next; return the name of the shard."""
        size = len(content) + _OVERHEAD
        if size > self.limit:
            raise UsageError(
                f"--piece-mib {self.limit // MIB}: too small for a member of {size // MIB + 1} MiB"
            )
        if self._size + size > self.limit:
            self.flush()
        self._members.append((member, content))
        self._size += size
        return self._name()

    def flush(self) -> None:
        """Write the current shard."""
        if not self._members:
            return
        name, held = self._name(), io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
            for member, content in self._members:
                archive.writestr(
                    zipfile.ZipInfo(member), content
                )  # no time stamps: equal caches give equal pieces
        with whole_file(self.out / name) as file:
            file.write(held.getbuffer())
        digest = hashlib.sha256(held.getbuffer()).hexdigest()
        self.pieces.append({"name": name, "bytes": len(held.getbuffer()), "sha256": digest})
        self._members, self._size = [], 0

    def _name(self) -> str:
        return f"piece-{len(self.pieces) + 1:04d}.zip"


def _encoded(
    cache: AudioCache, songs: list[Song], codec: str, workers: int
) -> Iterator[tuple[Song, dict[str, list[bytes]]]]:
    def whole(song: Song) -> dict[str, list[bytes]]:
        return {stem: encode(cache.stored(song, stem), codec) for stem in song.stems}

    with ThreadPoolExecutor(workers) as pool:  # the encoders run outside of Python
        for first in range(0, len(songs), 2 * workers):
            batch = songs[first : first + 2 * workers]
            yield from zip(batch, pool.map(whole, batch), strict=True)


def write_shards(
    cache: Path,
    out: Path,
    hours: float | None = None,
    codec: str = "opus",
    piece_mib: int = PIECE_MIB,
    workers: int = 2,
) -> list[Path]:
    """Pack the songs of `cache` (at most `hours`) into `out`; return the paths of the shards.

    Raises `OutputError` if `out` has shards already or the disk is full.
    """
    if hours is not None and hours <= 0:
        raise UsageError(f"--hours {hours:g}: more than 0 is accepted")
    if workers < 1:
        raise UsageError(f"--workers {workers}: 1 and more are accepted")
    if piece_mib < 1:
        raise UsageError(f"--piece-mib {piece_mib}: 1 and more are accepted")
    if (out / INDEX).exists():
        raise OutputError(f"{out}: holds pieces already; name another folder or remove them")
    source = AudioCache(cache)
    songs = choose(source.songs, hours)
    if not songs:
        raise UsageError(f"--hours {hours}: every song is longer; give more hours")
    for stale in out.glob("piece-*.zip"):  # left by an interrupted run
        stale.unlink()
    packer, entries = _Packer(out, piece_mib * MIB), []
    work = tqdm(_encoded(source, songs, codec, workers), total=len(songs), unit="song", desc="pack")
    for number, (song, stems) in enumerate(work):
        held = {}
        for stem, sections in stems.items():
            parts = []
            for section, content in enumerate(sections):
                member = f"{number:06d}-{stem}-{section:02d}{CODECS[codec]}"
                parts.append([packer.add(member, content), member])
            held[stem] = {"frames": song.stems[stem].frames, "parts": parts}
        facts = ("name", "source", "split", "kind", "licence", "band_hz", "group")
        entries.append({**{fact: getattr(song, fact) for fact in facts}, "stems": held})
    packer.flush()
    index = {"version": VERSION, "codec": codec, "pieces": packer.pieces, "songs": entries}
    with whole_file(out / INDEX) as file:  # written last: a folder without it is incomplete
        file.write(json.dumps(index, indent=1).encode())
    size, length = sum(piece["bytes"] for piece in packer.pieces), sum(song.frames for song in songs)
    pieces = f"{len(packer.pieces)} pieces, {size / 1e6:.0f} MB of {codec}"
    print(f"{len(songs)} songs ({length / RATE / 3600:.2f} h) in {pieces}, in {out}")
    print(f"on the other machine: python -m train prepare --data {out.name} --cache DIR")
    return [out / piece["name"] for piece in packer.pieces]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train compact`."""
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder of the shards")
    parser.add_argument(
        "--hours",
        type=float,
        metavar="H",
        help="maximum hours of music, shared among all sets (default: all)",
    )
    parser.add_argument(
        "--codec",
        choices=list(CODECS),
        default="opus",
        help="opus: lossy, 1/10 of the size; flac: lossless, 1/2 (%(default)s)",
    )
    parser.add_argument(
        "--piece-mib", type=int, default=PIECE_MIB, metavar="N", help="maximum size of a shard (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="songs packed at a time (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train compact`."""
    write_shards(options.cache, options.out, options.hours, options.codec, options.piece_mib, options.workers)
