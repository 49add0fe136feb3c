"""Composed instrumentals: what is written is music, without a voice, and `prepare` reads it as such."""

import shutil
import stat

import mido
import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, OutputError, UsageError
from train.data.cache import RATE, AudioCache
from train.data.licences import is_open
from train.data.prepare import prepare
from train.data.readers.table import rows_of
from train.data.synthetic_leads import BASSES, DRUMS, LEADS, PADS, PLUCKED, compose, write_leads

VOICES = {52, 53, 54, 85, 91}
"""Programs of General MIDI that sing: choir aahs, voice oohs, synth voice, lead voice, choir pad."""


def score_of(tmp_path, seed, seconds=20.0):
    score, tempo_bpm = compose(np.random.default_rng(seed), seconds)
    score.save(tmp_path / "score.mid", tempo_bpm)
    return mido.MidiFile(tmp_path / "score.mid")


def test_no_instrument_is_a_voice():
    programs = {program for of, *_ in LEADS for program in of} | {*PADS, *PLUCKED, *BASSES}
    assert not programs & VOICES and programs <= set(range(128))


@pytest.mark.parametrize("seed", range(12))
def test_a_piece_is_as_long_as_asked_and_its_lead_stays_in_range(tmp_path, seed):
    file = score_of(tmp_path, seed)
    assert 10 < file.length < 32  # whole bars, of up to four seconds
    sounding, programs, lead = set(), {}, []
    for message in file.tracks[0]:
        if message.type == "program_change":
            programs[message.channel] = message.program
        if message.type == "note_on":
            sounding.add((message.channel, message.note))
            if message.channel == 0:
                lead.append(message.note)
        if message.type == "note_off":
            sounding.discard((message.channel, message.note))
    assert not sounding, "every note ends"
    ((low, high),) = {(low, high) for of, low, high in LEADS if programs[0] in of}
    assert len(set(lead)) > 3 and low <= min(lead) and max(lead) <= high
    assert DRUMS not in programs


def test_a_seed_is_a_piece(tmp_path):
    one, same, other = (score_of(tmp_path, seed).tracks[0] for seed in (3, 3, 4))
    assert list(one) == list(same) != list(other)


def test_without_a_font_or_the_synthesiser_the_remedy_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputFileError, match="fluid-soundfont-gm"):
        write_leads(tmp_path / "none.sf2", tmp_path / "out", 1, 10, 1, "MIT")
    (tmp_path / "font.sf2").touch()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(OutputError, match="apt-get install fluidsynth"):
        write_leads(tmp_path / "font.sf2", tmp_path / "out", 1, 10, 1, "MIT")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def synthesiser(tmp_path, monkeypatch):
    """A fluidsynth that plays a tone for each score, and notes its calls."""
    tone = 0.1 * np.sin(np.arange(2 * RATE) * 0.05)
    soundfile.write(tmp_path / "tone.flac", np.stack([tone, tone], 1), RATE)
    program = tmp_path / "bin" / "fluidsynth"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$*" >> {tmp_path}/calls
while [ "$1" != -F ]; do shift; done
cp {tmp_path}/tone.flac "$2"
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "font.sf2").touch()
    return tmp_path / "calls"


def test_what_is_played_is_music_to_learn_from_and_is_played_once(tmp_path, synthesiser):
    for _ in range(2):
        write_leads(tmp_path / "font.sf2", tmp_path / "flutes", 3, 10, 1, "MIT")
        assert len(synthesiser.read_text().splitlines()) == 3
    prepare(tmp_path / "flutes", tmp_path / "cache")
    songs = AudioCache(tmp_path / "cache").select("train")
    assert [(song.kind, song.source, list(song.stems)) for song in songs] == [
        ("music", "flutes", ["music"])
    ] * 3
    assert all(is_open(song.licence) for song in songs)


def test_a_second_seed_adds_pieces_and_a_table_of_the_user_stays(tmp_path, synthesiser):
    out = tmp_path / "flutes"
    for seed, pieces in ((1, 3), (2, 1), (1, 2)):
        write_leads(tmp_path / "font.sf2", out, pieces, 10, seed, "MIT")
    paths = [row["path"] for row in rows_of(out / "tracks.tsv")]
    assert paths == ["2-000.flac", "1-000.flac", "1-001.flac"]
    table = tmp_path / "mine" / "tracks.tsv"
    table.parent.mkdir()
    table.write_text("split\tset\tpath\trole\tlicence\ntrain\tmine\ta.wav\tinstrumental\tmine\n")
    before = table.read_bytes()
    with pytest.raises(UsageError, match=r"its tracks\.tsv lists other recordings"):
        write_leads(tmp_path / "font.sf2", table.parent, 1, 10, 1, "MIT")
    assert table.read_bytes() == before and list(table.parent.iterdir()) == [table]


def test_a_synthesiser_that_fails_leaves_no_piece(tmp_path, synthesiser):
    (tmp_path / "bin" / "fluidsynth").write_text("#!/bin/sh\necho broken font >&2; exit 1\n")
    with pytest.raises(OutputError, match="broken font"):
        write_leads(tmp_path / "font.sf2", tmp_path / "flutes", 1, 10, 1, "MIT")
    assert not list((tmp_path / "flutes").iterdir())
