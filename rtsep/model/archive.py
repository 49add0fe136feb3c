"""Reading of an untrusted zip archive: complete and within limits, or refused.

The archive's directory is not trusted. Its sizes are first compared with the limits, then the bytes are
counted during reading: an understated size ends the reading, too.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from rtsep.errors import ModelError

MAX_BYTES = 256 << 20
"""Maximum bytes of a model file, and of all its unpacked entries."""

MAX_ENTRIES = 4096

MAX_NAME = 240  # characters

MAX_RATIO = 100
"""Maximum ratio of an entry's size to its packed size. The code of a program has a ratio of about 5."""

_SMALL = 1 << 16  # bytes that any entry may have, whatever its packed size

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_ENCRYPTED = 0x1

_OF_DIRECTORY = b"PK\1\2"
"""Beginning of each entry of an archive's directory."""


def opened(content: bytes) -> zipfile.ZipFile:
    """Open an archive; raise `ModelError` for too many entries, and the errors of `zipfile` for damage.

    `zipfile` makes an object of 500 bytes for each entry, of a directory that takes 46 bytes for it. Archives
    inside this one, and chance, count too; they are allowed as many again.
    """
    if (count := content.count(_OF_DIRECTORY)) > 2 * MAX_ENTRIES:
        raise ModelError(_too_many(count))
    return zipfile.ZipFile(io.BytesIO(content))


def read_entries(content: bytes, max_bytes: int = MAX_BYTES, max_ratio: int = MAX_RATIO) -> dict[str, bytes]:
    """Return the content of each entry of an archive by its name, in the archive's order.

    Raise `ModelError` for names, counts and sizes out of bounds, and the errors of `zipfile` for damage.
    """
    entries: dict[str, bytes] = {}
    total = 0
    with opened(content) as archive:
        listed = archive.infolist()
        if len(listed) > MAX_ENTRIES:
            raise ModelError(_too_many(len(listed)))
        claimed = sum(entry.file_size for entry in listed)
        if claimed > max_bytes:
            raise ModelError(_too_large(claimed, max_bytes))
        seen: set[str] = set()
        for entry in listed:
            _check_entry(entry, seen, max_ratio)
        for entry in listed:
            with archive.open(entry) as stream:
                data = stream.read(max_bytes - total + 1)
            total += len(data)
            if total > max_bytes:
                raise ModelError(_too_large(total, max_bytes))
            if len(data) != entry.file_size:
                raise ModelError(
                    f"its entry {_shown(entry.filename)} has another size than its directory states; "
                    "fetch or export it again"
                )
            entries[entry.filename] = data
    return entries


def write_entries(entries: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed archive of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _check_entry(entry: zipfile.ZipInfo, seen: set[str], max_ratio: int) -> None:
    name = entry.orig_filename  # zipfile cuts `filename` at a zero byte
    parts = name.split("/")
    plain = name.isascii() and name.isprintable() and "\\" not in name and ":" not in name
    if not plain or len(name) > MAX_NAME or any(part in ("", ".", "..") for part in parts):
        raise ModelError(f"its entry {_shown(name)} has a name that no model has; fetch or export it again")
    if name.lower() in seen:
        raise ModelError(f"its entry {_shown(name)} occurs twice; fetch or export it again")
    seen.add(name.lower())
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
        raise ModelError(f"its entry {_shown(name)} is encrypted or packed in a way that no model is; "
                         "fetch or export it again")  # fmt: skip
    if entry.file_size > _SMALL and entry.file_size > max_ratio * entry.compress_size:
        raise ModelError(
            f"its entry {_shown(name)} unpacks to more than {max_ratio} times its size (a zip bomb); "
            "delete the file"
        )


def _too_many(count: int) -> str:
    return f"{count} entries; at most {MAX_ENTRIES} are accepted; fetch or export it again"


def _too_large(size: int, limit: int) -> str:
    return f"unpacks to at least {size / 2**20:,.0f} MB; at most {limit / 2**20:.0f} MB are accepted"


def _shown(name: str) -> str:
    return repr(name[:60])
