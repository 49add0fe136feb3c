"""DSD100: `Mixtures/{Dev,Test}/TRACK/mixture.wav`, `Sources/{Dev,Test}/TRACK/{bass,drums,other,vocals}.wav`.

Dev is for training and validation, Test for scoring. All hundred songs are in MUSDB18, too, with another
split.
"""

from __future__ import annotations

from pathlib import Path

from train.data.readers.base import Choice, Found, Plan, Reader, subfolders
from train.data.readers.decode import AudioFile
from train.data.readers.splits import assign_songs

STEMS = ("vocals", "drums", "bass", "other")
LICENCE = "academic purposes only (DSD100)"


class Dsd100(Reader):
    """Songs of `Sources/Dev`."""

    form = "dsd100"
    layout = "Mixtures/{Dev,Test} and Sources/{Dev,Test}/TRACK/{bass,drums,other,vocals}.wav"

    def recognises(self, folder: Path) -> bool:
        """As `Reader.recognises`."""
        return (folder / "Sources" / "Dev").is_dir()

    def find(self, folder: Path, choice: Choice) -> Found:
        """As `Reader.find`. Validation uses the list of MUSDB18 for its songs, else the artist."""
        tracks = subfolders(folder / "Sources" / "Dev")
        splits = assign_songs([track.name for track in tracks], [""] * len(tracks), choice)
        plans = []
        for track, (split, group) in zip(tracks, splits, strict=True):
            files = {stem: (AudioFile(track / f"{stem}.wav"),) for stem in STEMS}
            plans.append(Plan(track.name, "dsd100", split, "stems", LICENCE, files, group))
        tracks = subfolders(folder / "Sources" / "Test")
        kinds = ("Sources", "Mixtures")
        test = {track.name for kind in kinds for track in subfolders(folder / kind / "Test")}
        return Found(plans, test=sorted(test), test_tracks=tracks)
