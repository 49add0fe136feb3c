"""`fetch`: extract the listed instrumentals from their Debian packages, one package after the other.

Somebody listened to all files of the list; it names members of zip archives, too. These files and the
copyright file of each package are kept as `OUT/PACKAGE/...`; the package itself is deleted. The same command
continues.
"""

from __future__ import annotations

import argparse
import errno
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tqdm import tqdm

from rtsep.errors import InputFileError, OutputError, UsageError, suggest
from rtsep.files.sndfile import brief_look
from train.data.prepare import LISTED
from train.data.readers.base import audio_files
from train.data.readers.table import listed_instrumentals

COPYRIGHT = "copyright"
_MEMBER_OF = (".pk3/", ".zip/")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # RuntimeError: an encrypted member
_UNPACKED = 3.5  # disk space needed to unpack a package, in sizes of its archive


class PackageError(Exception):
    """A package that cannot be fetched; the message has the remedy."""


def fetch(
    data: Path, out: Path, packages: Sequence[str] = (), minutes: float | None = None
) -> dict[str, float]:
    """Fetch `packages` (names, or their number; all if empty) until there are `minutes` of music.

    Returns the minutes of audio of each package in `out`. Raises `UsageError` for unknown names,
    `OutputError` if the disk is full or this system has no apt, and `InputFileError` at the end if some
    packages cannot be fetched.
    """
    table = data if data.is_file() else data / LISTED
    listed = listed_instrumentals(table)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise OutputError(
            "no apt-get and dpkg-deb here: fetch on Debian (in a container, for example) and copy the folder"
        )
    sizes = _sizes(list(listed))
    wanted = _wanted(packages, listed, sizes)
    have: dict[str, float] = {}
    failed: dict[str, str] = {}
    with tqdm(wanted, unit="package", desc="fetch") as bar:
        for name in bar:
            if minutes is not None and sum(have.values()) >= minutes:
                break
            bar.set_postfix_str(f"{name}, {sum(have.values()):.0f} min so far")
            try:
                if not (out / name).is_dir():
                    for line in _fetch_package(name, listed[name], out, sizes.get(name, 0)):
                        bar.write(line)
                have[name] = _minutes(out / name)
            except PackageError as error:
                failed[name] = str(error)
                bar.write(f"{name}: {error}")
    print(f"{len(have)} packages, {sum(have.values()):.0f} min of music in {out}, {len(failed)} failed")
    if failed:
        of = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise InputFileError(
            f"{len(failed)} of {len(wanted)} packages failed ({of}); repeat the command to continue"
        )
    return have


def _wanted(packages: Sequence[str], listed: dict[str, tuple[str, ...]], sizes: dict[str, int]) -> list[str]:
    """Return package names in the order of fetching: as given, else by tracks for their size."""
    order = sorted(listed, key=lambda name: sizes.get(name, 1 << 40) / len(listed[name]))
    if not packages:
        return order
    if len(packages) == 1 and packages[0].isdigit():
        return order[: int(packages[0])]
    for name in packages:
        if name not in listed:
            raise UsageError(f"--packages {name}: not in the list{suggest(name, listed)}")
    return list(dict.fromkeys(packages))


def _sizes(names: list[str]) -> dict[str, int]:
    """Return the size in bytes of each package's archive, if apt's lists have it."""
    command = ["apt-cache", "show", "--no-all-versions", "--", *names]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    sizes, name = {}, ""
    for line in shown.splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif key == "Size" and name:
            sizes[name] = int(value)
    return sizes


def _fetch_package(name: str, paths: Sequence[str], out: Path, size: int) -> list[str]:
    """Fetch one package to `out`/name, whole or not at all; return a line for each missing file."""
    work = out / f".{name}.part"
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        if shutil.disk_usage(out).free < _UNPACKED * size:
            raise OSError(errno.ENOSPC, "")
        archive = _download(name, work)
        _run(["dpkg-deb", "-x", str(archive), "unpacked"], work)
        archive.unlink()
        kept = work / "kept"
        kept.mkdir()
        missing = [path for path in paths if not _keep(work / "unpacked", path, kept)]
        _keep_copyright(work / "unpacked", name, kept)
        if len(missing) == len(paths):
            raise PackageError("this version holds none of the listed files; update the list")
        kept.rename(out / name)
        return [f"{name}: {path}: not in this version of the package" for path in missing]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(out).free / 1e9
            need = f"{name} needs {_UNPACKED * size / 1e9:.1f} GB to be unpacked, {free:.1f} GB are free"
            raise OutputError(
                f"{out}: the disk is full ({need}); make room, then repeat the command to continue"
            ) from None
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(name: str, work: Path) -> Path:
    _run(["apt-get", "download", "-q", "--", name], work)
    archives = list(work.glob("*.deb"))
    if not archives:
        raise PackageError("apt-get download wrote no package; try again")
    return archives[0]


def _run(command: list[str], work: Path) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    errors = done.stderr.strip()
    reason = next(
        (line for line in errors.splitlines() if line.startswith("E:")), errors[-200:] or "no reason given"
    )
    if "No space left" in errors or "enough free space" in errors:
        raise OSError(errno.ENOSPC, "")
    if "Unable to locate" in errors or "no candidate" in errors or "Can't find a source" in errors:
        raise PackageError(f"unknown to this system's apt ({reason}); run apt-get update, or use Debian 12")
    if command[0] == "apt-get":
        raise PackageError(f"no download ({reason}); check the network and apt's sources, then try again")
    raise PackageError(f"damaged ({reason}); try again")


def _keep(unpacked: Path, path: str, kept: Path) -> bool:
    """Copy one listed file, or member of an archive, out of a package; return False if it is missing."""
    archive, member = _split_member(path)
    source, target = (unpacked / archive).resolve(), kept / path
    # A link may point to a file of this system, outside the package.
    if not source.is_relative_to(unpacked.resolve()) or not source.is_file():
        return False
    if not target.resolve().is_relative_to(kept.resolve()):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if not member:
        shutil.copyfile(source, target)
        return True
    try:
        with zipfile.ZipFile(source) as held, held.open(member) as inside:
            return _written(inside, target)
    except (KeyError, *_DAMAGE):
        return False


def _written(inside: IO[bytes], target: Path) -> bool:
    """Write the member `inside` as the new file `target`; return False, without a file, if it is damaged."""
    with target.open("wb") as file:
        try:
            shutil.copyfileobj(inside, file)
        except _DAMAGE:
            target.unlink(missing_ok=True)
            return False
    return True


def _split_member(path: str) -> tuple[str, str]:
    """Return archive and member of a listed path; the member is empty for a plain file."""
    for mark in _MEMBER_OF:
        before, found, after = path.partition(mark)
        if found:
            return before + mark[:-1], after
    return path, ""


def _keep_copyright(unpacked: Path, name: str, kept: Path) -> None:
    places = [unpacked / "usr" / "share" / "doc" / name / COPYRIGHT]
    places += sorted(unpacked.glob(f"usr/share/doc/*/{COPYRIGHT}"))
    for place in places:
        if place.resolve().is_relative_to(unpacked.resolve()) and place.is_file():
            shutil.copyfile(place, kept / COPYRIGHT)
            return
    # Some packages link to the documents of another one.
    text = f"See the copyright file of the Debian package {name}: https://packages.debian.org/{name}\n"
    (kept / COPYRIGHT).write_text(text)


def _minutes(package: Path) -> float:
    seconds = 0.0
    for path in audio_files(package):
        if about := brief_look(path):  # `prepare` names broken files
            seconds += about[2] / about[0]
    return seconds / 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train fetch`."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"folder with {LISTED}, or a table of this kind",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output: one folder for each package"
    )
    parser.add_argument(
        "--packages",
        nargs="+",
        default=[],
        metavar="NAME",
        help="packages by name, or a number of packages: most tracks per MB first (default: all)",
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after this much music")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train fetch`."""
    fetch(options.data, options.out, options.packages, options.minutes)
