"""A folder with `tracks.tsv`: split, set, path, role, sample_rate, seconds, licence of every recording."""

from __future__ import annotations

import csv
from pathlib import Path

from rtsep.errors import InputFileError
from train.data.readers.base import Choice, Found, Plan, Reader, is_audio
from train.data.readers.decode import AudioFile, band_of
from train.data.readers.splits import musdb_validation

TABLE = "tracks.tsv"
_COLUMNS = {"split", "set", "path", "role", "licence"}
_LAYOUT = f"{TABLE} with the columns {', '.join(sorted(_COLUMNS))}"
_STEMS = {
    "stems": ("stems", ("vocals", "drums", "bass", "other")),
    "vocals+accompaniment": ("pair", ("vocals", "accompaniment")),
}
_VOICES = ("singing", "speech")
_MUSIC = "instrumental"


class Table(Reader):
    """The recordings of a table, with its splits. Some training clips of MUSDB18 are for validation.

    Mixtures without stems are left out.
    """

    form = "table"
    layout = _LAYOUT

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        try:
            with (folder / TABLE).open() as file:
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
            band_hz = band_of(int(row["sample_rate"])) if row.get("sample_rate", "").isdigit() else None
            found.plans.append(Plan(name, row["set"], split, kind, row["licence"], files, name, band_hz))
        return found


def rows_of(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of tracks. Raises `InputFileError`."""
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{table}: not a table of tracks ({error})") from None
    if rows and not set(rows[0]) >= _COLUMNS:
        raise InputFileError(f"{table}: not a table of tracks; needs {_LAYOUT}")
    return rows


def _stem_file(folder: Path, stem: str) -> Path:
    """Return the file of a stem in any format; Opus if there is none, for the message."""
    found = (path for path in sorted(folder.glob(f"{stem}.*")) if is_audio(path.name))
    return next(found, folder / f"{stem}.opus")


def listed_instrumentals(table: Path) -> dict[str, tuple[str, ...]]:
    """Return the files of each package from a table of package, file and member (of a zip archive, or empty).

    The path of a member begins with the name of its archive, as with `fetch`. Raises `InputFileError`.
    """
    listed: dict[str, tuple[str, ...]] = {}
    try:
        with table.open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                path = f"{row['file']}/{row['member']}" if row["member"] else row["file"]
                listed[row["package"]] = (*listed.get(row["package"], ()), path)
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise InputFileError(f"{table}: not a table of package, file, member ({error})") from None
    return listed
