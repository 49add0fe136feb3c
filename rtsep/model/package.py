"""The model file as an archive: a TorchScript program with a sealed spec and golden frames inside.

Reading needs no torch, so that listing and checking models is instant. Entries beside the program:
`extra/golden.npz` (columns and the masks they must give), `extra/spec.json` (`ModelSpec` and the SHA-256 of
every other entry, so that a flipped byte is found before a sample plays), and what else whoever wrote the
file wants to find there again; the runtime does not look at that.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec


@dataclass(frozen=True)
class Golden:
    """Consecutive steps from a zero state and what they must give."""

    columns: NDArray[np.float32]  # [steps, channels, bins, 2]
    masks: NDArray[np.float32]  # [steps, channels, bins]


@dataclass(frozen=True)
class ModelPackage:
    """A verified model file, not yet loaded into torch."""

    path: Path
    spec: ModelSpec
    golden: Golden
    sha256: str  # of the whole file, hexadecimal


def _digest(archive: zipfile.ZipFile, spec_entry: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(archive.namelist()):
        if name != spec_entry:
            digest.update(name.encode() + b"\0" + archive.read(name))
    return digest.hexdigest()


def write_package(
    path: Path, program: bytes, spec: ModelSpec, golden: Golden, also: Mapping[str, bytes] | None = None
) -> None:
    """Seal `program` (the bytes of `torch.jit.save`) with its spec and golden frames into `path`.

    `also` are further entries by name, for `read_entry`.
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
        sealed = {"spec": json.loads(spec.to_json()), "content_sha256": _digest(archive, spec_entry)}
        archive.writestr(spec_entry, json.dumps(sealed, indent=2, sort_keys=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)  # a reader never sees half a file


def read_package(path: Path) -> ModelPackage:
    """Read and verify a model file: archive, schema, seal, shapes of the golden frames.

    Raises `ModelError` naming the file and the reason.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; 'rtsep models' lists those that are here") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        spec, golden = _open(content)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,  # of a file whose method of compression is the damage
        EOFError,
        KeyError,
        ValueError,
        OSError,
        RuntimeError,  # "encrypted", by a flipped bit; NotImplementedError is one
    ) as error:
        reason = str(error) or type(error).__name__
        raise ModelError(
            f"{path}: not a model file, or a truncated one ({reason}); fetch or export it again"
        ) from None
    return ModelPackage(path, spec, golden, hashlib.sha256(content).hexdigest())


def read_entry(path: Path, name: str) -> bytes | None:
    """A further entry of the model file at `path`; None where it has none of that name, or is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = next((entry for entry in archive.namelist() if entry.endswith(f"/extra/{name}")), None)
            return archive.read(found) if found else None
    except (OSError, zipfile.BadZipFile):
        return None


def _open(content: bytes) -> tuple[ModelSpec, Golden]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        specs = [name for name in archive.namelist() if name.endswith("/extra/spec.json")]
        if not specs:
            raise ModelError(
                "an archive without a model spec, or a truncated one; export it with 'python -m train export'"
            )
        sealed = json.loads(archive.read(specs[0]))
        if not isinstance(sealed, dict) or not isinstance(sealed.get("spec"), dict):
            raise ModelError("its spec is of an unknown form; export the model again")
        spec = ModelSpec.from_json(json.dumps(sealed["spec"]))
        if sealed.get("content_sha256") != _digest(archive, specs[0]):
            raise ModelError("its content does not match its checksum; fetch or export it again")
        root = specs[0].split("/")[0]
        with np.load(io.BytesIO(archive.read(f"{root}/extra/golden.npz"))) as frames:
            golden = Golden(frames["columns"], frames["masks"])
    steps = golden.columns.shape[0] if golden.columns.ndim else 0
    if steps == 0 or golden.columns.shape != (steps, spec.channels, spec.bins, 2):
        raise ModelError(f"golden columns have shape {golden.columns.shape}, which its spec does not allow")
    if golden.masks.shape != (steps, spec.channels, spec.bins):
        raise ModelError(f"golden masks have shape {golden.masks.shape}, which its spec does not allow")
    return spec, golden
