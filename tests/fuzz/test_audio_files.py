"""Audio files in all states: chunks and pages doubled, lost, moved, cut, and bytes of any value."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader
from tests.files.tones import KINDS, RATE, tone
from tests.fuzz.mutations import assert_a_line, changed_bytes, in_order

CHUNKS = tuple(
    b"RIFF RF64 ds64 fmt_ data FORM COMM SSND OggS fLaC ID3\x04 TAG caff desc LIST bext .snd moov ftyp "
    b"\xff\xfb\x90".split()
)

SECONDS = 0.2


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A short file of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    rates = {".opus": 48000}
    return {kind: tone(folder / f"a{kind}", 440, SECONDS, rate=rates.get(kind, RATE)) for kind in KINDS}


@pytest.mark.parametrize("with_ffmpeg", [False, pytest.param(True, marks=pytest.mark.long)])
@settings(max_examples=3 * settings.default.max_examples)
@given(data=st.data())
def test_any_file_leads_to_sound_or_to_one_line(files, tmp_path, monkeypatch, with_ffmpeg, data):
    if not with_ffmpeg:  # it takes a process each
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    suffix = data.draw(st.sampled_from(sorted(files)))
    others = [files[suffix], *(b"" if not files[other] else files[other] for other in sorted(files))]
    samples = st.one_of(changed_bytes([files[suffix]]), changed_bytes(others, max_changes=2))
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(
        data.draw(samples).replace(b"\0\0\0\0", data.draw(st.sampled_from((bytes(4), *CHUNKS))), 1)
    )
    frames = 0
    with in_order(InputFileError), AudioReader(path) as reader:
        for note in reader.notes:
            assert_a_line(note)
        while len(block := reader.read(4096)):
            frames += len(block)
            assert frames < 1000 * RATE, "a file of kilobytes has no end"
