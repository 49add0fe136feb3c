"""The folder that hosts load the plugin from: build, installation, check, removal.

| file | content |
| --- | --- |
| `manifest.ttl`, `rtsep.ttl`, `presets.ttl` | descriptions for hosts; a preset for each model |
| `rtsep.so` | the plugin |
| `engine` | the command that starts the engine, one word per line |
| `models` | a line for each model and rate: tabs separate name, SHA-256, rate, longest hop, stream delay |
| `version` | version of rtsep and protocol of the shared memory |

"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from rtsep import folders
from rtsep.errors import ModelError, OutputError, RtsepError
from rtsep.model import catalog
from rtsep.model.catalog import DEFAULT_MODEL, find_model, model_files, purpose_of
from rtsep.model.package import ModelPackage, read_package
from rtsep.plugin import ttl
from rtsep.plugin.layout import PROTOCOL

NAME = "rtsep.lv2"
RATES = (22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
"""Rates with latencies in the bundle. At others, the plugin waits until its engine reports the latency."""

_MARK = "version"
_FLAGS = ("-O2", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden")


def user_folder() -> Path:
    """Return the folder in which hosts search for a user's LV2 plugins."""
    if sys.platform == "darwin":
        return Path.home() / "Library/Audio/Plug-Ins/LV2"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home()) / "LV2"
    return Path.home() / ".lv2"


def source_folder() -> Path:
    """Return the folder of the C sources: in the package, or beside it in a checkout. Raise `OutputError`."""
    package = Path(str(resources.files("rtsep")))
    for folder in (package / "assets" / "plugin", package.parent / "plugin"):
        if (folder / "core.c").is_file():
            return folder
    raise OutputError("the sources of the plugin are not part of this installation; install rtsep again")


def sources(system: str = "posix") -> list[str]:
    """Return the names of the C files for "posix" or "windows"."""
    own = [f"{part}_{system}.c" for part in ("engine_process", "shared", "system")]
    return ["bundle.c", "core.c", "link.c", "lv2.c", "lv2_model.c", "transport.c", *own]


def built_plugin() -> Path | None:
    """Return the compiled plugin in a wheel, None if none loads here."""
    path = Path(str(resources.files("rtsep"))) / "assets" / "plugin" / ttl.BINARY
    return path if path.is_file() and not library_fault(path) else None


def compile_plugin(target: Path, flags: Sequence[str] = ()) -> None:
    """Compile the plugin to the file `target`, with the compiler in CC.

    Raise `OutputError` with the remedy.
    """
    if sys.platform == "win32":
        raise OutputError("on Windows, CMake builds the plugin: see docs/plugin.md")
    compiler = os.environ.get("CC") or "cc"
    source = source_folder()
    with tempfile.TemporaryDirectory(prefix="rtsep-plugin-") as name:
        ttl.write_headers(Path(name))
        command = [
            *compiler.split(), *_FLAGS, *flags, f"-I{name}", f"-I{source}",
            *(str(source / file) for file in sources()), "-o", str(target), "-lpthread", "-lm",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except OSError as error:
            raise OutputError(
                f"{compiler}: {error.strerror}; the plugin is compiled here: install a C compiler "
                "(Debian, Ubuntu: apt-get install gcc libc6-dev lv2-dev)"
            ) from None
    if done.returncode:
        if "lv2/" in done.stderr and "No such file" in done.stderr:
            raise OutputError("the headers of LV2 are missing (Debian, Ubuntu: apt-get install lv2-dev)")
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no reason given")
        raise OutputError(f"{compiler} does not compile the plugin ({first.strip()})")


def packages(first: str = DEFAULT_MODEL) -> list[ModelPackage]:
    """Return the playable models, the one called `first` before the others; unreadable ones are left out."""
    found: dict[str, ModelPackage] = {}
    for name, path in model_files():
        if name not in found:
            try:
                found[name] = read_package(path)
            except ModelError:
                continue
    return sorted(found.values(), key=lambda package: package.path.stem != first)


def model_lines(of: Sequence[ModelPackage], rates: Sequence[int] = RATES) -> str:
    """Return the content of the file `models`."""
    from rtsep.plugin.hops import latency_of  # compiles: only where it is of use

    lines = []
    for package in of:
        for rate in rates:
            max_hop, delay = latency_of(package.spec, rate)
            lines.append(f"{package.path.stem}\t{package.sha256}\t{rate}\t{max_hop}\t{delay}\n")
    return "".join(lines)


def write_bundle(
    folder: Path, engine: Sequence[str], flags: Sequence[str] = (), of: Sequence[ModelPackage] | None = None
) -> None:
    """Write all files of the bundle to the empty `folder`. Raise `OutputError`.

    A new instance plays the first model in `of`; None: all playable ones, the default model first.
    """
    of = packages() if of is None else of
    models = [ttl.Model(p.path.stem, p.sha256, purpose_of(p.path)) for p in of]
    if (built := built_plugin()) and not flags:
        shutil.copy(built, folder / ttl.BINARY)
    else:
        compile_plugin(folder / ttl.BINARY, flags)
    (folder / "manifest.ttl").write_text(ttl.manifest_ttl(models))
    (folder / "rtsep.ttl").write_text(ttl.plugin_ttl(version("rtsep")))
    (folder / "presets.ttl").write_text(ttl.presets_ttl(models))
    (folder / "models").write_text(model_lines(of))
    if of:
        _compile_engine(of[0])
    (folder / "engine").write_text("".join(f"{word}\n" for word in engine))
    (folder / _MARK).write_text(f"{version('rtsep')} {PROTOCOL}\n")


def _compile_engine(package: ModelPackage) -> None:
    """Put the engine's compiled code into the cache, so that the first instance need not wait for it."""
    from rtsep.plugin.hops import compile_loop
    from rtsep.realtime.mask_exchange import MaskExchange

    shared = MaskExchange.create(package.spec.channels, package.spec.bins)
    try:
        compile_loop(package.spec, 48000, shared.exchange)
    finally:
        shared.close()


def install(where: Path, engine: Sequence[str], model: str = DEFAULT_MODEL) -> Path:
    """Build the bundle and put it in the folder `where`, replacing an older one; return its path.

    `engine` is the command that the plugin starts, `model` the name of the model that a new instance plays.
    Raise `OutputError`, and `ModelError` for a model that cannot be played or is not known by name.
    """
    target = where / NAME
    _refuse_others(target)
    of = packages(model)
    if model != DEFAULT_MODEL and not any(package.path.stem == model for package in of):
        path = read_package(find_model(model)).path
        raise ModelError(f"{path}: name a model of the folder {catalog.user_folder()}; copy this one there")
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".rtsep-", dir=where) as name:
            made = Path(name) / NAME
            made.mkdir()
            write_bundle(made, engine, of=of)
            if target.exists():  # a host that has loaded it keeps the old file
                target.rename(Path(name) / "old")
            made.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({folders.reason(target, error)})") from None
    return target


def remove(where: Path) -> Path | None:
    """Remove the bundle from the folder `where`; return its path, None if there was none.

    Raise `OutputError`.
    """
    target = where / NAME
    if not folders.is_reachable(target):
        return None
    _refuse_others(target)
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be removed ({folders.reason(target, error)})") from None
    return target


def _refuse_others(target: Path) -> None:
    if folders.is_reachable(target) and not (target / _MARK).is_file():
        raise OutputError(f"{target}: was not made by 'rtsep plugin install'; move it away first")


def installed() -> list[Path]:
    """Return the bundles in all folders that hosts search, in the order of loading."""
    path = os.environ.get("LV2_PATH")
    if path:
        places = [Path(place).expanduser() for place in path.split(os.pathsep) if place]
    else:
        places = [user_folder(), Path("/usr/local/lib/lv2"), Path("/usr/lib/lv2")]
    return [place / NAME for place in dict.fromkeys(places) if folders.is_reachable(place / NAME)]


def faults(bundle: Path) -> Iterator[str]:
    """Yield a line for each fault that keeps the bundle from playing like this version."""
    there = _read(bundle / _MARK).split()
    here = [version("rtsep"), str(PROTOCOL)]
    if there[:1] != here[:1]:
        yield f"it is of version {' '.join(there[:1]) or 'unknown'}, rtsep here is {here[0]}"
    elif there != here:
        yield "it speaks another protocol to its engine than rtsep here"
    words = _read(bundle / "engine").splitlines()
    if not words or shutil.which(words[0]) is None:
        yield f"its engine '{' '.join(words)}' cannot be started"
    if fault := library_fault(bundle / ttl.BINARY):
        yield fault
    noted = {tuple(line.split("\t")[:2]) for line in _read(bundle / "models").splitlines()}
    missing = [p.path.stem for p in packages() if (p.path.stem, p.sha256) not in noted]
    if missing:
        yield f"it has no preset for {', '.join(missing)}"


def library_fault(path: Path) -> str:
    """Return why the plugin's library `path` cannot be loaded, "" if it can."""
    try:
        library = ctypes.CDLL(str(path))
        library.lv2_descriptor.restype = ctypes.POINTER(ctypes.c_char_p)
        uri = library.lv2_descriptor(0)[0]
    except (OSError, AttributeError, ValueError) as error:
        return f"{path.name} cannot be loaded ({error})"
    return "" if uri == ttl.URI.encode() else f"{path.name} is another plugin"


def engine_version(bundle: Path) -> str:
    """Return the version of the bundle's engine. Raise `RtsepError` if it does not start."""
    words = _read(bundle / "engine").splitlines() or ["rtsep"]
    try:
        done = subprocess.run(
            [*words, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RtsepError(f"{words[0]} cannot be started ({error})") from None
    if done.returncode:
        raise RtsepError(f"'{' '.join(words)} --version' ended with code {done.returncode}")
    return done.stdout.strip().removeprefix("rtsep ")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
