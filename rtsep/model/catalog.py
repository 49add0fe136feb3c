"""Which models there are: shipped with the package, and found in the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from rtsep import folders
from rtsep.errors import ModelError, suggest

DEFAULT_MODEL = "live"
SUFFIX = ".pt"


def shipped_folder() -> Path:
    """Where the package keeps its models."""
    return Path(str(resources.files("rtsep"))) / "assets" / "models"


def shipped_files() -> list[Path]:
    """Return the files of the shipped models, the default one first."""
    return sorted(shipped_folder().glob(f"*{SUFFIX}"), key=lambda path: (path.stem != DEFAULT_MODEL, path))


PURPOSES = {
    "live": "to sing and play along: hardly any delay, on any machine",
    "stage": "monitors on a stage: the shortest delay",
    "studio": "mixing and practice: cleaner; you hear the delay if you play along",
    "wide": "listening and karaoke: the cleanest, where a delay does no harm",
    "open": "like 'live', and free for any use, paid work included",
}
"""What each shipped model is for, in a musician's words."""


def purpose_of(path: Path) -> str:
    """Return what the model of this file is for, "" for one that is not shipped."""
    return PURPOSES.get(path.stem, "") if path.parent == shipped_folder() else ""


def user_folder() -> Path:
    """Where a user's own models are found by name."""
    return folders.data() / "models"


def model_files() -> Iterator[tuple[str, Path]]:
    """Yield name and path of every model, the shipped ones first."""
    for folder in (shipped_folder(), user_folder()):
        if folder.is_dir():
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                yield path.stem, path


def find_model(name: str) -> Path:
    """Return the file that `name` means: a model's name, or a path. Raises `ModelError`."""
    files = dict(reversed(list(model_files())))  # a shipped model keeps its name
    if name in files:
        return files[name]
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # "~nobody/x.pt", where no such home is known
        path = Path(name)
    try:
        is_pipe, is_there = path.is_fifo(), path.exists()
    except OSError:  # a name that no file can have
        is_pipe = is_there = False
    if is_pipe:  # it would wait for what writes to it
        raise ModelError(f"{name}: a pipe, no model file; save the model in a file first")
    if is_there:
        return path
    if path.suffix == SUFFIX or "/" in name or "\\" in name:
        raise ModelError(f"{name}: no such model file; 'rtsep models' lists those that are here")
    raise ModelError(
        f"no model is called '{name}'{suggest(name, files)}; here are: {', '.join(files) or 'none'} "
        f"(your own go to {user_folder()})"
    )
