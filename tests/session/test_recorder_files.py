"""The files of a take: what they hold to the last bit, and that any moment's cut of them can be read.

libsndfile is the reader that judges.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtsep.errors import OutputError
from rtsep.files.audiofile import StemWriter, make_folder
from rtsep.files.wavfile import BITS, HEADER_BYTES, WavFile, make_header, quantise
from tests.audio.bench import noise

ROOT = Path(__file__).resolve().parents[2]
STEMS = ("vocals", "instrumental", "mix")
SUBTYPES = tuple(BITS)
FULL = 1 - 2.0**-15  # what every format has a step for
unit = st.floats(-1, FULL, width=32)


def write(path, subtype: str, *blocks: np.ndarray) -> WavFile:
    """Write the blocks as a recorder does; leave the file open, as a killed process does."""
    file = WavFile(path, 44100, blocks[0].shape[1], subtype, replace=False)
    for block in blocks:
        file.append(block)
        file.update_header()
    return file


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


# --- what they hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("finished", [True, False])
def test_what_a_format_can_hold_comes_back_to_the_last_bit(tmp_path, subtype, channels, finished):
    sound = noise(1001, channels)
    sound[:4, 0] = (-1.0, 1.0, 0.0, -0.5)
    if subtype != "FLOAT":
        steps = 2.0 ** (BITS[subtype] - 1)
        sound = np.clip(np.rint(sound * steps) / steps, -1, 1 - 1 / steps).astype(np.float32)
    file = write(tmp_path / "a.wav", subtype, sound[:400], sound[400:])
    if finished:
        file.close()
        assert (tmp_path / "a.wav").stat().st_size % 2 == 0
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.format, info.subtype, info.samplerate) == ("WAV", subtype, 44100)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), sound)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@given(arrays(np.float32, (2, 50), elements=unit))
def test_the_stems_add_up_to_the_mix_within_one_step(subtype, sound):
    """Each of the three is off by half a step at most: by three halves together, of whole steps by one."""
    vocals = sound[0]
    mix = sound[1]
    instrumental = mix - vocals
    fits = (instrumental >= -1) & (instrumental <= FULL)
    bits = BITS[subtype]
    parts = [quantise(x[fits], bits) for x in (vocals, instrumental, mix)]
    assert np.abs(parts[0] + parts[1] - parts[2]).max(initial=0) <= 1


@pytest.mark.parametrize(("subtype", "steps"), [("PCM_16", 2**15), ("PCM_24", 2**23), ("FLOAT", 2**23)])
def test_the_law_holds_in_the_files(tmp_path, subtype, steps):
    vocals, mix = noise(200_000, seed=1), noise(200_000, seed=2)
    writer = StemWriter(tmp_path, STEMS, 44100, 2, subtype, replace=False)
    writer.write({"vocals": vocals, "instrumental": mix - vocals, "mix": mix})
    paths = writer.close()
    stems = {stem: soundfile.read(path, dtype="float64")[0] * steps for stem, path in paths.items()}
    off = np.abs(stems["vocals"] + stems["instrumental"] - stems["mix"])
    assert off.max() <= (1 if subtype != "FLOAT" else 0.5)
    assert np.abs(stems["mix"] - mix.astype(np.float64) * steps).max() <= 0.5


def test_clipped_samples_are_counted_and_clipped(tmp_path):
    writer = StemWriter(tmp_path, ("vocals",), 44100, 1, "PCM_24")
    writer.write({"vocals": np.array([[0.5], [1.5], [-2.0], [1.0]], np.float32)})
    writer.close()
    assert writer.clipped_samples == 2
    top = 1 - 2.0**-23
    np.testing.assert_array_equal(read(tmp_path / "vocals.wav")[:, 0], [0.5, top, -1.0, top])


# --- beyond four gigabytes ---------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("finished", [True, False])
def test_a_file_that_passes_4_gib_stays_readable(tmp_path, subtype, finished):
    """A hole stands for the hours between: it takes no room."""
    path = tmp_path / "long.wav"
    sound = noise(2000)
    file = write(path, subtype, sound[:1000])
    frame = file.frame_bytes
    short = 0xFFFFFFFF // frame - 600  # the next block ends below 4 GiB, the one after it beyond
    file.frames = short
    try:
        for block, form in ((sound[1000:1500], "WAV"), (sound[1500:], "RF64")):
            file.append(block)
            file.update_header()
            info = soundfile.info(path)
            assert (info.format, info.frames) == (form, file.frames)
        assert path.stat().st_size == HEADER_BYTES + (short + 1000) * frame > 2**32
        if finished:
            file.close()
        with soundfile.SoundFile(path) as reader:
            np.testing.assert_allclose(reader.read(1000), sound[:1000], atol=2**-15)
            reader.seek(short)
            np.testing.assert_allclose(reader.read(), sound[1000:], atol=2**-15)
        if not finished:
            file.cut(short)  # and back, as a disk that is full has it
            assert soundfile.info(path).format == "WAV"
    finally:
        file.abandon()
        path.unlink()


def test_the_header_changes_where_a_size_passes_32_bits():
    last = (0xFFFFFFFE - (HEADER_BYTES - 8)) // 4  # frames of 16-bit stereo
    assert make_header(44100, 2, "PCM_16", last)[:4] == b"RIFF"
    assert make_header(44100, 2, "PCM_16", last + 1)[:4] == b"RF64"
    sizes = {len(make_header(44100, 2, subtype, n)) for subtype in SUBTYPES for n in (0, last, 2**40)}
    assert sizes == {HEADER_BYTES}


# --- cut short ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_any_moment_of_the_writing_is_a_file_that_reads(tmp_path, monkeypatch, subtype):
    """Replay every write up to every byte of it that may be the last to arrive."""
    sound = noise(120, 1)
    writes: list[tuple[int, bytes]] = []
    write_at = WavFile._write_at

    def log(self, place, content):
        writes.append((place, content))
        write_at(self, place, content)

    monkeypatch.setattr(WavFile, "_write_at", log)
    write(tmp_path / "a.wav", subtype, sound[:40], sound[40:80], sound[80:]).close()
    kept = read(tmp_path / "a.wav")
    disk, sealed, cut = bytearray(), 0, tmp_path / "cut.wav"
    for number, (place, content) in enumerate(writes):
        # A header is within one page and goes over in one piece; samples may stop anywhere.
        for arrived in {len(content)} if place == 0 else range(0, len(content) + 1, 7):
            disk[place : place + arrived] = content[:arrived]
            if number == 0:
                continue  # the moment of its creation: no sound yet
            if place == 0:
                sealed = (int.from_bytes(content[-4:], "little")) * 8 // BITS[subtype]
            cut.write_bytes(disk)
            np.testing.assert_array_equal(read(cut), kept[:sealed])
        disk[place : place + len(content)] = content
    assert sealed == 120


def test_a_header_that_came_to_the_disk_before_its_samples_is_read_too(tmp_path):
    """After a power cut: the disk may have kept what was written last, and not what was written before."""
    sound = noise(1000)
    write(tmp_path / "a.wav", "PCM_24", sound).close()
    with (tmp_path / "a.wav").open("r+b") as file:
        file.truncate(HEADER_BYTES + 600 * 6 + 2)
    assert len(read(tmp_path / "a.wav")) == 600


WRITER = """
import sys
from pathlib import Path
import numpy as np
from rtsep.files.audiofile import StemWriter, make_folder
writer = StemWriter(Path(sys.argv[1]), ("vocals", "instrumental", "mix"), 44100, 2, "PCM_24", replace=False)
while True:
    frames = np.arange(writer.frames, writer.frames + 997) % 2**23
    ramp = np.stack([frames, -frames], axis=1).astype(np.float32) / 2**23
    writer.write({"vocals": ramp, "instrumental": -ramp, "mix": 0 * ramp})
    print(writer.frames, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_process_leaves_three_files_with_all_that_it_knew_written(tmp_path):
    luck = random.Random(0)
    for number in range(4):
        folder = tmp_path / str(number)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout
            said = os.read(process.stdout.fileno(), 1 << 16)
            until = luck.randrange(100, 20_000)
            while len(said) < until and select.select([process.stdout], [], [], 20)[0]:
                said += os.read(process.stdout.fileno(), luck.randrange(1, 4096))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.stdout
        said += process.stdout.read()
        process.stdout.close()
        known = int(said.rpartition(b"\n")[0].rpartition(b"\n")[2])
        lengths = set()
        for stem, sign in zip(STEMS, (1, -1, 0), strict=True):
            steps = read(folder / f"{stem}.wav")[:, 0] * 2**23
            lengths.add(len(steps))
            np.testing.assert_array_equal(steps, sign * (np.arange(len(steps)) % 2**23))
        assert min(lengths) >= known > 0
        assert max(lengths) - min(lengths) in (0, 997)


# --- a disk that refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize("calls", range(1, 10))
def test_whichever_write_finds_the_disk_full_the_files_are_of_one_length(tmp_path, monkeypatch, calls):
    sound = noise(300)
    writer = StemWriter(tmp_path, STEMS, 44100, 2, "PCM_16", replace=False)
    writer.write(dict.fromkeys(STEMS, sound[:100]))
    write_at, left = WavFile._write_at, itertools.count(calls, -1)

    def fill_up(self, place, content):
        # A full disk takes no byte behind the end, and of what fits still the first part.
        if next(left) <= 1 and place + len(content) > self._file.seek(0, os.SEEK_END):
            write_at(self, place, content[:33])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_at(self, place, content)

    monkeypatch.setattr(WavFile, "_write_at", fill_up)
    with pytest.raises(OutputError, match="No space left on device"):
        for start in (100, 200):
            writer.write(dict.fromkeys(STEMS, sound[start : start + 100]))
    kept = writer.frames
    assert kept == (100 if calls <= 3 else 200)
    writer.close()
    for stem in STEMS:
        np.testing.assert_allclose(read(tmp_path / f"{stem}.wav"), sound[:kept], atol=2**-16)
        assert (tmp_path / f"{stem}.wav").stat().st_size == HEADER_BYTES + 4 * kept


def test_a_replacement_takes_its_place_at_the_close_and_not_before(tmp_path):
    (tmp_path / "mix.wav").write_text("earlier")
    writer = StemWriter(tmp_path, ("mix",), 44100, 2, "FLOAT")
    writer.write({"mix": noise(10)})
    assert (tmp_path / "mix.wav").read_text() == "earlier"
    writer.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["mix.wav"]
    writer = StemWriter(tmp_path, ("mix",), 44100, 2, "FLOAT")
    writer.write({"mix": noise(10)})
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["mix.wav"]
    np.testing.assert_array_equal(read(tmp_path / "mix.wav"), noise(10))


def test_a_replacement_that_the_disk_refuses_at_the_end_leaves_the_earlier_files(tmp_path, monkeypatch):
    for stem in ("vocals", "instrumental"):
        (tmp_path / f"{stem}.wav").write_text("earlier")
    writer = StemWriter(tmp_path, ("vocals", "instrumental"), 44100, 2, "FLOAT")
    writer.write({"vocals": noise(10), "instrumental": noise(10)})

    def refuse():
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writer._files["instrumental"], "close", refuse)
    with pytest.raises(OutputError, match="still connected"):
        writer.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "vocals.wav": "earlier", "instrumental.wav": "earlier",
    }  # fmt: skip


def test_a_look_at_the_folder_follows_no_link_that_a_stranger_has_laid_there(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "takes").mkdir()
    (tmp_path / "takes" / ".rtsep-probe").symlink_to(victim)
    make_folder(tmp_path / "takes")
    assert victim.read_text() == "mine"
    assert [path.name for path in (tmp_path / "takes").iterdir()] == [".rtsep-probe"]
