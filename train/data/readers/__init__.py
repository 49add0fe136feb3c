"""Readers: one small file for each layout of recordings on disk, and the recognition of layouts."""

from __future__ import annotations

from pathlib import Path

from rtsep.errors import InputFileError, UsageError, suggest
from train.data.readers.base import Choice, Found, Plan, Reader, audio_files
from train.data.readers.dsd100 import Dsd100
from train.data.readers.instrumentals import Instrumentals
from train.data.readers.karaoke import Karaoke
from train.data.readers.musdb18 import Musdb18, Musdb18Hq
from train.data.readers.shards import Shards
from train.data.readers.stems import Stems, has_plain_stems
from train.data.readers.table import Table
from train.data.readers.voices import Voices

__all__ = ["FORMS", "Choice", "Found", "Plan", "Reader", "reader_for"]

FORMS: dict[str, Reader] = {
    reader.form: reader
    # The order of the attempts: unmistakable layouts first.
    for reader in (
        Shards(), Table(), Musdb18(), Musdb18Hq(), Dsd100(), Karaoke(), Instrumentals(), Stems(), Voices(),
    )
}  # fmt: skip


def reader_for(folder: Path, form: str | None = None) -> Reader:
    """Return the reader of the layout `form`, or of the layout that `folder` has.

    Raises `UsageError` for an unknown name, and `InputFileError` if no layout fits.
    """
    if form is not None and form not in FORMS:
        known = ", ".join(FORMS)
        raise UsageError(f"--form {form}: unknown; one of {known}{suggest(form, FORMS)}")
    if not folder.is_dir():
        raise InputFileError(f"{folder}: no such folder")
    if form is not None:
        return FORMS[form]
    named = next((reader for reader in FORMS.values() if reader.is_named(folder)), None)
    for reader in FORMS.values():
        if not reader.recognises(folder):
            continue
        # A folder of music may contain a title such as "Voice of the Wind", which is no stem.
        if named is None or not isinstance(reader, Stems) or has_plain_stems(folder):
            return reader
    if named is not None:
        return named
    hint = "; give the layout with --form NAME"
    if audio_files(folder):
        hint = "; it contains audio: give --form voices or --form instrumentals"
    forms = "; ".join(f"{reader.form} ({reader.layout})" for reader in FORMS.values())
    raise InputFileError(f"{folder}: its layout is none of these: {forms}{hint}")
