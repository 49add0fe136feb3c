"""Which models there are: shipped with the package, and found in the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import platformdirs

from rtsep.errors import ModelError, suggest

DEFAULT_MODEL = "live"
SUFFIX = ".pt"


def shipped_folder() -> Path:
    """Where the package keeps its models."""
    return Path(str(resources.files("rtsep"))) / "assets" / "models"


def user_folder() -> Path:
    """Where a user's own models are found by name."""
    return platformdirs.user_data_path("rtsep") / "models"


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
    path = Path(name).expanduser()
    if path.exists():
        return path
    if path.suffix == SUFFIX or "/" in name or "\\" in name:
        raise ModelError(f"{name}: no such model file; 'rtsep models' lists those that are here")
    raise ModelError(
        f"no model is called '{name}'{suggest(name, files)}; here are: {', '.join(files) or 'none'} "
        f"(your own go to {user_folder()})"
    )
