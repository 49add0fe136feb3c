"""The model file as an archive: a program with a sealed spec and golden frames.

Reading needs no library that runs models, so that listing models is fast. Entries beside the program:
`extra/golden.npz` (columns and their expected masks), `extra/spec.json` (`ModelSpec` and the SHA-256 of every
other entry, so that a flipped byte is found before any playback), and further entries of the author, which
the runtime ignores.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import lzma
import math
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import ModelError, without_controls
from rtsep.model.archive import MAX_BYTES, opened, read_entries
from rtsep.model.contract import ModelSpec

MAX_SPEC = 1 << 20
"""Maximum bytes of a spec. The longest one shipped has 9 kB."""

MAX_GOLDEN = 64 << 20
"""Maximum bytes of unpacked golden frames."""

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f4', 'fortran_order': (?P<columns_first>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,100})\), \} *\n",
    re.DOTALL,
)
"""Header of a .npy file of float32 (format version 1.0)."""


@dataclass(frozen=True)
class Golden:
    """Consecutive steps from a zero state, with the expected masks."""

    columns: NDArray[np.float32]  # [steps, channels, bins, 2]
    masks: NDArray[np.float32]  # [steps, channels, bins]


@dataclass(frozen=True)
class ModelPackage:
    """Verified model file, not yet loaded. `content` is loaded; the file is not read again."""

    path: Path
    spec: ModelSpec
    golden: Golden
    sha256: str  # of the whole file, hexadecimal
    content: bytes = field(repr=False, compare=False)  # the whole file

    def entry(self, name: str) -> bytes | None:
        """Return the further entry `name`; None if the file has none of that name."""
        entries = read_entries(self.content)
        found = _entry_name(entries, name)
        return entries[found] if found else None


def _digest(entries: Mapping[str, bytes], spec_entry: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(entries):
        if name != spec_entry:
            digest.update(name.encode() + b"\0" + entries[name])
    return digest.hexdigest()


def write_package(
    path: Path, program: bytes, spec: ModelSpec, golden: Golden, also: Mapping[str, bytes] | None = None
) -> None:
    """Seal `program` with its spec and golden frames, and write it to `path`.

    `program` is a zip archive with one root folder, as `torch.jit.save` writes it; `also` are further entries
    by name, for `ModelPackage.entry`. Raise `OSError` if the file cannot be written.
    """
    buffer = io.BytesIO(program)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        root = archive.namelist()[0].split("/")[0]
        frames = io.BytesIO()
        np.savez_compressed(frames, columns=golden.columns, masks=golden.masks)
        archive.writestr(f"{root}/extra/golden.npz", frames.getvalue())
        for name, content in (also or {}).items():
            archive.writestr(f"{root}/extra/{name}", content)
    spec_entry = f"{root}/extra/spec.json"
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
        sealed = {"spec": json.loads(spec.to_json()), "content_sha256": _digest(entries, spec_entry)}
        archive.writestr(spec_entry, json.dumps(sealed, indent=2, sort_keys=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)  # readers never see an incomplete file
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read_package(path: Path, sha256: str | None = None) -> ModelPackage:
    """Read and verify a model file: archive, schema, seal, shapes of the golden frames.

    `sha256` comes from another process that has verified the file: only the same bytes are accepted, and the
    seal is not computed again. Raise `ModelError` with the file and the reason.
    """
    content = _read_file(path)
    found = hashlib.sha256(content).hexdigest()
    with _damage_of(path):
        spec, golden = _open(content, sealed=found == sha256)
    if sha256 is not None and found != sha256:
        raise ModelError(f"{path}: was changed after its check; choose it again")
    return ModelPackage(path=path, spec=spec, golden=golden, sha256=found, content=content)


def read_spec(path: Path) -> ModelSpec:
    """Read the spec of a model file and nothing else of it: some kB instead of the whole file.

    The seal is not verified: for estimates only. Raise `ModelError` with the file and the reason.
    """
    with (
        _opened(path) as file,
        _damage_of(path),
        zipfile.ZipFile(file) as archive,
        archive.open(_spec_entry(archive)) as entry,
    ):
        return _parse_seal(entry.read(MAX_SPEC + 1))[0]


def has_entry(path: Path, name: str) -> bool:
    """Return whether the file at `path` is an archive with the further entry `name`; verify nothing."""
    try:
        with _opened(path) as file, _damage_of(path), zipfile.ZipFile(file) as archive:
            return _entry_name(archive.namelist(), name) is not None
    except ModelError:
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):  # a device may be endless
                raise ModelError(f"{path}: not a file; save the model in a file first")
            if found.st_size > MAX_BYTES:
                raise ModelError(f"{path}: larger than {MAX_BYTES >> 20} MB, the maximum for a model file")
            yield file
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; 'rtsep models' lists the available ones") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_file(path: Path) -> bytes:
    with _opened(path) as file:
        # `read` allocates what it is asked for, and a live session locks all of that in memory
        return file.read(os.fstat(file.fileno()).st_size)


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Turn what `zipfile` and `json` raise for the file at `path` into `ModelError`."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,  # raised if the damage looks like this compression method
        EOFError,
        KeyError,
        ValueError,
        OSError,
        MemoryError,
        ArithmeticError,  # a place beyond 63 bits
        RuntimeError,  # "encrypted", by a flipped bit; includes NotImplementedError and RecursionError
    ) as error:
        reason = without_controls(str(error)[:200]) or type(error).__name__
        raise ModelError(
            f"{path}: not a model file, or a truncated one ({reason}); fetch or export it again"
        ) from None


def _entry_name(names: Iterable[str], name: str) -> str | None:
    return next((entry for entry in names if entry.endswith(f"/extra/{name}")), None)


def _open(content: bytes, sealed: bool) -> tuple[ModelSpec, Golden]:
    """Return the content of the archive `content`; `sealed`: its seal was already verified."""
    with opened(content) as archive:
        spec_entry = _spec_entry(archive)
    entries = read_entries(content)
    spec, digest = _parse_seal(entries[spec_entry])
    if not sealed and digest != _digest(entries, spec_entry):
        raise ModelError("its content does not match its checksum; fetch or export it again")
    root = spec_entry.split("/")[0]
    golden = _read_golden(entries[f"{root}/extra/golden.npz"])
    steps = golden.columns.shape[0] if golden.columns.ndim else 0
    if steps == 0 or golden.columns.shape != (steps, spec.channels, spec.bins, 2):
        raise ModelError(f"golden columns have shape {golden.columns.shape}, which its spec does not allow")
    if golden.masks.shape != (steps, spec.channels, spec.bins):
        raise ModelError(f"golden masks have shape {golden.masks.shape}, which its spec does not allow")
    return spec, golden


def _spec_entry(archive: zipfile.ZipFile) -> str:
    found = _entry_name(archive.namelist(), "spec.json")
    if found is None:  # a file cut behind the golden frames is still an archive, that of the frames
        raise ModelError(
            "an archive without a model spec, or a truncated one; export it with 'python -m train export'"
        )
    return found


def _parse_seal(content: bytes) -> tuple[ModelSpec, object]:
    """Return the spec, and the SHA-256 of all other entries as stated beside it."""
    if len(content) > MAX_SPEC:
        raise ModelError(f"its spec has more than {MAX_SPEC:,} bytes; export the model again")
    seal = json.loads(content)
    if not isinstance(seal, dict) or not isinstance(seal.get("spec"), dict):
        raise ModelError("its spec has an unknown form; export the model again")
    return ModelSpec.from_json(json.dumps(seal["spec"])), seal.get("content_sha256")


def _read_golden(content: bytes) -> Golden:
    """Return golden frames from the bytes of their .npz file; ignore other content."""
    # masks of zeros have the best possible compression
    arrays = read_entries(content, MAX_GOLDEN, max_ratio=2000)
    return Golden(_read_array(arrays["columns.npy"]), _read_array(arrays["masks.npy"]))


def _read_array(content: bytes) -> NDArray[np.float32]:
    """Return an array from the bytes of its .npy file, as `numpy.savez` writes float32.

    numpy itself would evaluate the header and allocate any size stated there.
    """
    header = _HEADER.match(content)
    if header is None:
        raise ValueError("golden frames that are not arrays of float32")
    shape = tuple(int(size) for size in header["shape"].split(b",") if size.strip())
    data = content[header.end() :]
    if 4 * math.prod(shape) != len(data):
        raise ValueError("golden frames of another size than stated")
    order: Literal["C", "F"] = "F" if header["columns_first"] == b"True" else "C"
    return np.array(np.frombuffer(data, np.float32).reshape(shape, order=order), order="C")
