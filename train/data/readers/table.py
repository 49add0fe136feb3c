"""A folder with `tracks.tsv`: split, set, path, role, sample_rate, seconds, licence of every recording."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Set
from pathlib import Path

from rtsep.errors import InputFileError, UsageError
from rtsep.files.names import one_line
from train.data.cache import whole_file
from train.data.readers.base import Choice, Found, Plan, Reader, is_audio
from train.data.readers.decode import AudioFile, band_of
from train.data.readers.splits import musdb_validation

TABLE = "tracks.tsv"
_COLUMNS = {"split", "set", "path", "role", "licence"}
_WRITTEN = ("split", "set", "path", "role", "sample_rate", "licence")
_LAYOUT = f"{TABLE} with the columns {', '.join(sorted(_COLUMNS))}"
_STEMS = {
    "stems": ("stems", ("vocals", "drums", "bass", "other")),
    "vocals+accompaniment": ("pair", ("vocals", "accompaniment")),
}
_VOICES = ("singing", "speech")
_MUSIC = "instrumental"
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # apt would take "-o..." for an option
_NOT_STATED = f"unknown (no licence in {TABLE})"


class Table(Reader):
    """The recordings of a table, with its splits. Some training clips of MUSDB18 are for validation.

    Mixtures without stems are left out.
    """

    form = "table"
    layout = _LAYOUT

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        try:
            with (folder / TABLE).open(encoding="utf-8") as file:
                return set(file.readline().rstrip("\n").split("\t")) >= _COLUMNS
        except (OSError, UnicodeDecodeError):
            return False

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`. Test rows are listed, never read."""
        rows = rows_of(folder / TABLE)
        open_ = [row for row in rows if row["split"] in ("train", "valid")]
        clips = [Path(row["path"]).name for row in open_ if row["set"].startswith("musdb")]
        validation = musdb_validation(clips, choice.validation_clips)
        tests = [folder / row["path"] for row in rows if row["split"] == "test"]
        found = Found(test=[path.name.removesuffix(".stem.mp4") for path in tests], test_tracks=tests)
        for row in open_:
            path, role = folder / row["path"], row["role"]
            name = path.name if path.suffix == "" else f"{row['set']}/{path.parent.name}/{path.stem}"
            split = "valid" if name in validation else row["split"]
            if role in _STEMS:
                kind, stems = _STEMS[role]
                files = {stem: (AudioFile(_stem_file(path, stem)),) for stem in stems}
            elif role in _VOICES:
                kind, files = "voice", {"vocals": (AudioFile(path),)}
            elif role == _MUSIC:
                kind, files = "music", {"music": (AudioFile(path),)}
            elif role == "mixture":
                continue
            else:
                known = ", ".join((*_STEMS, *_VOICES, _MUSIC, "mixture"))
                found.skipped.append(f"{path}: unknown role '{role}' in {TABLE} (known: {known})")
                continue
            # An Opus file at 48 kHz may come from a file at 16 kHz: the rate in the table counts.
            rate = int(row["sample_rate"]) if row.get("sample_rate", "").isdecimal() else 0
            band_hz = band_of(rate) if rate else None
            found.plans.append(Plan(name, row["set"], split, kind, row["licence"], files, name, band_hz))
        return found


def rows_of(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of tracks. A licence may be missing: unknown. Raises `InputFileError`."""
    rows = _rows(table, _COLUMNS, _COLUMNS - {"licence"}, f"tracks; needs {_LAYOUT}")
    return [row | {"licence": row["licence"] or _NOT_STATED} for row in rows]


def rows_to_extend(table: Path, is_own: Callable[[dict[str, str]], bool]) -> list[dict[str, str]]:
    """Return the rows of a table that the command writes again; none if there is no table yet.

    Raises `UsageError` if the command did not write all of them.
    """
    rows = rows_of(table) if table.exists() else []
    if not all(map(is_own, rows)):
        raise UsageError(
            f"--out {table.parent}: its {TABLE} lists other recordings and would be lost; give another folder"
        )
    return rows


def write_rows(table: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write a table of tracks. Raises `OutputError`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _WRITTEN, restval="", extrasaction="ignore", delimiter="\t")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(table) as file:
        file.write(text.getvalue().encode())


def _rows(table: Path, columns: Set[str], filled: Set[str], what: str) -> list[dict[str, str]]:
    """Return the rows of a table, with all `columns`; those in `filled` are not empty."""
    rows = []
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            for row in reader:
                if not columns <= row.keys():
                    raise InputFileError(f"{table}: not a table of {what}")
                if empty := sorted(name for name in filled if not row[name]):
                    raise InputFileError(f"{table}: line {reader.line_num}: no {', '.join(empty)}")
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{table}: not a table of {what} ({error})") from None
    return rows


def _stem_file(folder: Path, stem: str) -> Path:
    """Return the file of a stem in any format; Opus if there is none, for the message."""
    found = (path for path in sorted(folder.glob(f"{stem}.*")) if is_audio(path.name))
    return next(found, folder / f"{stem}.opus")


def listed_instrumentals(table: Path) -> dict[str, tuple[str, ...]]:
    """Return the files of each package from a table of package, file and member (of a zip archive, or empty).

    The path of a member begins with the name of its archive, as with `fetch`. Raises `InputFileError`, also
    for a name that is none of a Debian package and for a path out of its package.
    """
    listed: dict[str, tuple[str, ...]] = {}
    for row in _rows(table, {"package", "file", "member"}, {"package", "file"}, "package, file, member"):
        package, file, member = row["package"], row["file"], row["member"]
        if not _PACKAGE.fullmatch(package):
            raise InputFileError(f"{table}: package '{one_line(package)}': not a name of a Debian package")
        for path in (file, member):
            if not _stays_inside(path):
                raise InputFileError(
                    f"{table}: package '{package}': '{one_line(path)}' leads out of the package; give a "
                    "relative path without '..'"
                )
        listed[package] = (*listed.get(package, ()), f"{file}/{member}" if member else file)
    return listed


def _stays_inside(path: str) -> bool:
    """Return whether a path of a list is below its folder, on every system."""
    parts = re.split(r"[/\\]", path)
    return ".." not in parts and not path.startswith(("/", "\\")) and "\0" not in path
