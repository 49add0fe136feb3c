"""The available models: shipped with the package, or in the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from rtsep import folders
from rtsep.errors import ModelError, suggest

DEFAULT_MODEL = "live"
SUFFIX = ".pt"


def shipped_folder() -> Path:
    """Return the package's folder of models."""
    return Path(str(resources.files("rtsep"))) / "assets" / "models"


def shipped_files() -> list[Path]:
    """Return the files of the shipped models, the default one first."""
    return sorted(shipped_folder().glob(f"*{SUFFIX}"), key=lambda path: (path.stem != DEFAULT_MODEL, path))


PURPOSES = {
    "live": "to sing and play along: hardly any delay",
    "light": "like 'live', for slow machines: less clean, a third of its time",
    "stage": "monitors on a stage: the shortest delay",
    "studio": "mixing and practice: cleaner, but the delay is audible if you play along",
    "wide": "listening and karaoke: the cleanest, if delay does not matter",
    "open": "like 'live', but free for any use, including paid work",
}
"""Purpose of each shipped model, for musicians."""


def purpose_of(path: Path) -> str:
    """Return the purpose of the model in this file, "" for one that is not shipped."""
    return PURPOSES.get(path.stem, "") if path.parent == shipped_folder() else ""


def user_folder() -> Path:
    """Return the folder in which a user's own models are found by name."""
    return folders.data() / "models"


def model_files() -> Iterator[tuple[str, Path]]:
    """Yield name and path of every model, the shipped ones first."""
    for folder in (shipped_folder(), user_folder()):
        if folders.is_reachable_folder(folder):
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                yield path.stem, path


def find_model(name: str) -> Path:
    """Return the file of `name`, a model's name or a path. Raise `ModelError` if there is none."""
    files = dict(reversed(list(model_files())))  # a shipped model takes precedence
    if name in files:
        return files[name]
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # "~nobody/x.pt" without such a home
        path = Path(name)
    try:
        is_pipe, is_there = path.is_fifo(), bool(name) and path.exists()  # "" would be the current folder
    except OSError:  # not a valid file name
        is_pipe = is_there = False
    if is_pipe:  # reading it would wait for a writer
        raise ModelError(f"{name}: a pipe, not a model file; save the model in a file first")
    if is_there:
        return path
    if path.suffix == SUFFIX or "/" in name or "\\" in name:
        raise ModelError(f"{name}: no such model file; 'rtsep models' lists the available ones")
    raise ModelError(
        f"no model is called '{name}'{suggest(name, files)}; the models are {', '.join(files) or 'none'} "
        f"(put your own into {user_folder()})"
    )
