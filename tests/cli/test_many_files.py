"""`rtsep file` with many inputs: folders, lists, several processes, what is finished, formats and tags."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, ModelError, UsageError
from rtsep.files.encode import encode, tags_of
from rtsep.files.folders import audio_files
from rtsep.offline.finished import LEDGER, Finished
from tests.cli.program import ROOT, Outcome, assert_refused, rtsep, separate_here
from tests.models import make_model
from tests.waiting import running, until

RATE = 44100
RTSEP = (sys.executable, "-m", "rtsep")
TAGS = {"title": "Ein Lied: über alles", "artist": "A & B", "album": "Whole", "date": "2003", "genre": "Jazz"}
FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")


@pytest.fixture(scope="module")
def half(model_folder) -> Path:
    return make_model(model_folder / "many-half.pt", "half")


def song(path: Path, seconds: float = 0.1, seed: int = 1, channels: int = 2, **tags: str) -> Path:
    """Write noise to `path`, peak 0.5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * RATE), channels))
    with soundfile.SoundFile(path, "w", RATE, channels, "PCM_16") as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(sound)
    return path


def separate(half: Path, *words: object) -> Outcome:
    """Run `rtsep file`, quick where no other process is needed."""
    return separate_here(*words, "--model", half, "--json")


def stems_of(outcome: Outcome) -> dict[str, dict[str, str]]:
    return {line["input"]: line["stems"] for line in outcome.json}


def test_two_inputs_of_one_name_are_kept_apart(half, tmp_path):
    first, second = song(tmp_path / "a" / "song.wav", seed=1), song(tmp_path / "b" / "song.flac", seed=2)
    out = tmp_path / "out"
    found = stems_of(separate(half, first, second, "-o", out))
    assert Path(found[str(first)]["vocals"]) == out / "song" / "vocals.wav"
    assert Path(found[str(second)]["vocals"]) == out / "song (2)" / "vocals.wav"
    for path in (first, second):
        mix = soundfile.read(path)[0]
        np.testing.assert_allclose(soundfile.read(found[str(path)]["vocals"])[0], mix / 2, atol=1e-4)
    # Each finds its own again, in another order too.
    assert stems_of(separate(half, second, first, "-o", out)) == found


def test_a_folder_is_its_audio_and_below_it_with_r(half, tmp_path):
    music, out = tmp_path / "music", tmp_path / "music" / "out"
    song(music / "one.wav")
    song(music / "deep" / "er" / "two.FLAC")
    song(music / ".hidden" / "three.wav")
    song(music / "._one.wav")
    (music / "notes.txt").write_text("no audio")
    flat = separate(half, music, "-o", out)
    assert [Path(line["input"]).name for line in flat.json] == ["one.wav"]
    deep = separate(half, "-r", music, "-o", out)
    assert [Path(line["input"]).name for line in deep.json] == ["one.wav", "two.FLAC"]  # and no stem in out
    assert deep.json[0]["skipped"]
    assert Path(deep.json[1]["stems"]["vocals"]) == out / "deep" / "er" / "two" / "vocals.wav"


def test_a_folder_without_audio_is_told_and_the_others_are_done(half, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = separate(half, tmp_path / "empty", song(tmp_path / "one.wav"), "-o", tmp_path / "out")
    assert outcome.code == InputFileError.exit_code
    assert len(outcome.json) == 1
    assert "without audio files; -r" in outcome.said[0]


def test_lists_of_inputs(half, tmp_path):
    paths = [song(tmp_path / name, seed=n) for n, name in enumerate(["a b.wav", "#c.wav", "d.wav"])]
    lines, nuls = tmp_path / "lines.txt", tmp_path / "nuls.txt"
    lines.write_text(f"{paths[0]}\r\n\n{paths[1]}\n")
    nuls.write_bytes(b"\0".join(os.fsencode(path) for path in paths) + b"\0")
    outcome = separate(half, "--from", lines, "--from", nuls, "-o", tmp_path / "out")
    assert [line["input"] for line in outcome.json] == [str(path) for path in paths]  # each once


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_of_an_editor_that_writes_a_mark_first(half, tmp_path, encoding):
    path, names = song(tmp_path / "öne.wav"), tmp_path / "names.txt"
    names.write_text(f"{path}\r\n", encoding=encoding)
    outcome = separate(half, "--from", names, "-o", tmp_path / "out", "--json")
    assert (outcome.code, outcome.said) == (0, [])
    assert [line["input"] for line in outcome.json] == [str(path)]


def test_a_list_on_standard_input(half, tmp_path):
    path = song(tmp_path / "one.wav")
    run = subprocess.run(
        [*RTSEP, "file", "--from", "-", "-o", tmp_path / "out", "--model", half, "--json"],
        input=f"{path}\n", capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert json.loads(run.stdout)["input"] == str(path)


@pytest.mark.parametrize(("text", "part"), [("", "empty"), (None, "cannot read this list")])
def test_a_list_that_is_none(half, tmp_path, text, part):
    path = tmp_path / "list.txt"
    if text is not None:
        path.write_text(text)
    code = UsageError.exit_code if text is not None else InputFileError.exit_code
    assert_refused(separate(half, "--from", path, "-o", tmp_path / "out"), code, str(path), part)


def test_what_is_finished_is_not_done_again(half, tmp_path):
    path, out = song(tmp_path / "one.wav"), tmp_path / "out"
    vocals = out / "one" / "vocals.wav"
    separate(half, path, "-o", out)
    made = vocals.stat().st_mtime_ns

    def again(*words: object) -> bool:
        """Return whether the stems were made again."""
        nonlocal made
        (line,) = separate(half, path, "-o", out, *words).json
        before, made = made, vocals.stat().st_mtime_ns
        assert line.get("skipped", False) == (made == before)
        return made != before

    assert not again()
    assert not again("--stem", "vocals")
    assert again("--overwrite")
    assert again("--vocals-gain", "-6dB")
    assert not again("--vocals-gain", "-6 dB")
    assert again("--subtype", "FLOAT", "--stem", "vocals")
    assert again()  # the instrumental is finished, the vocals are others now
    song(path, seed=7)
    assert again()
    vocals.unlink()
    separate(half, path, "-o", out)
    assert vocals.exists()


def test_an_input_that_changes_while_it_is_read_is_done_again(half, tmp_path):
    path, out = song(tmp_path / "one.wav"), tmp_path / "out"
    mine = Finished(out / "one", path)
    path.write_bytes(path.read_bytes() + bytes(100))  # another program still writes
    mine.note({}, {"vocals": out / "one" / "vocals.wav"})
    (out / "one" / "vocals.wav").touch()
    assert mine.stems({}) is not None
    assert Finished(out / "one", path).stems({}) is None


def test_another_model_is_another_result(half, tmp_path):
    path, out = song(tmp_path / "one.wav"), tmp_path / "out"
    separate(half, path, "-o", out)
    ones = make_model(tmp_path / "ones.pt", "ones")
    (line,) = separate(ones, path, "-o", out).json
    assert "skipped" not in line


def test_a_run_that_was_interrupted_goes_on(half, tmp_path):
    path, out = song(tmp_path / "one.wav"), tmp_path / "out"
    mine = Finished(out / "one", path)  # as a killed run leaves it
    assert mine.stems({}) is None
    (line,) = separate(half, path, "-o", out).json
    assert Path(line["stems"]["vocals"]).parent == out / "one"


def test_one_stem_only(half, tmp_path):
    (line,) = separate(
        half, song(tmp_path / "one.wav"), "-o", tmp_path / "out", "--stem", "instrumental"
    ).json
    assert list(line["stems"]) == ["instrumental"]
    assert {path.name for path in (tmp_path / "out" / "one").iterdir()} == {"instrumental.wav", LEDGER}


def test_a_gain_with_its_unit(half, tmp_path):
    path = song(tmp_path / "one.wav")
    (line,) = separate(half, path, "-o", tmp_path / "out", "--vocals-gain", "-6.0206dB").json
    mix, vocals = soundfile.read(path)[0], soundfile.read(line["stems"]["vocals"])[0]
    np.testing.assert_allclose(vocals, mix / 4, atol=1e-4)


@pytest.mark.long
def test_several_processes_make_the_same_stems(half, tmp_path):
    inputs = [song(tmp_path / f"{n}.wav", 0.2, seed=n) for n in range(5)]
    (tmp_path / "bad.wav").write_text("no music")
    for jobs in (1, 2):
        outcome = rtsep("file", *inputs, tmp_path / "bad.wav", "-o", tmp_path / str(jobs), "--model", half,
                        "-j", jobs, "--json")  # fmt: skip
        assert outcome.code == InputFileError.exit_code
        assert len(outcome.said) == 1
        assert {line["input"] for line in outcome.json} == {str(path) for path in inputs}
    for path in inputs:
        for stem in ("vocals.wav", "instrumental.wav"):
            one, two = (tmp_path / jobs / path.stem / stem for jobs in ("1", "2"))
            assert one.read_bytes() == two.read_bytes()


def test_a_bad_model_fails_once_for_all(tmp_path):
    inputs = [song(tmp_path / f"{n}.wav", seed=n) for n in range(3)]
    (tmp_path / "bad.pt").write_text("no model")
    outcome = rtsep("file", *inputs, "-o", tmp_path / "out", "--model", tmp_path / "bad.pt", "-j", "2")
    assert_refused(outcome, ModelError.exit_code, "bad.pt")


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for child processes in /proc")
def test_a_process_that_dies_costs_its_file_only_and_an_interrupt_leaves_none(half, tmp_path):
    long = [song(tmp_path / f"long{n}.wav", 600.0, seed=n, channels=1) for n in range(2)]
    last = song(tmp_path / "short.wav")
    run = subprocess.Popen(
        [*RTSEP, "file", *long, last, "-o", tmp_path / "out", "--model", half, "-j", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.stdout and run.stderr
    try:
        begun = [tmp_path / "out" / path.stem / "vocals.part.wav" for path in long]
        until(lambda: all(path.exists() for path in begun), "both should have begun", 120.0)
        workers = children(run.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        assert "short.wav" in run.stdout.readline()  # done by a new process in its place
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "the process that separated it ended with code -9" in said
    assert "Traceback" not in said
    assert not [pid for pid in workers if running(pid)]
    assert len([path for path in begun if path.exists()]) <= 1  # of the process that was killed


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started and that separate."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.long
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_ended_leaves_no_unfinished_file(half, tmp_path, number):
    long = song(tmp_path / "long.wav", 200.0, channels=1)
    run = subprocess.Popen(
        [*RTSEP, "file", long, "-o", tmp_path / "out", "--model", half],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        until((tmp_path / "out" / "long" / "vocals.part.wav").exists, "it should have begun", 120.0)
        run.send_signal(getattr(signal, number))
        out, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, out, said) == (130, "", "rtsep: interrupted\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_person_reads_how_many_there_are(half, tmp_path):
    inputs = [song(tmp_path / f"{n}.wav", seed=n) for n in range(3)]
    outcome = rtsep("file", *inputs, tmp_path / "none.wav", "-o", tmp_path / "out", "--model", half)
    assert outcome.code == InputFileError.exit_code
    assert [line.split(":")[0].split(",")[0] for line in outcome.out[:3]] == ["1 of 4", "2 of 4", "3 of 4"]
    assert "left: 0.wav: " in outcome.out[0]
    assert outcome.out[-1] == "3 separated, 1 refused"
    assert outcome.said == [f"rtsep: {tmp_path / 'none.wav'}: no such file"]
    assert rtsep("file", *inputs, "-o", tmp_path / "out", "--model", half).out[-1] == "3 finished before"


@FFMPEG
@pytest.mark.parametrize("form", ["flac", "mp3", "opus"])
@pytest.mark.parametrize("source", ["mp3", "m4a", "ogg", "flac"])
def test_tags_come_along(half, tmp_path, form, source):
    path = tmp_path / f"one.{source}"
    tags = [word for name, text in TAGS.items() for word in ("-metadata", f"{name}={text}")]
    tags += ["-metadata", "replaygain_track_gain=-9 dB"]
    codec = ["-c:a", "libvorbis"] if source == "ogg" else []
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", song(tmp_path / "s.wav", 0.5), *tags, *codec, path], check=True
    )
    outcome = separate(half, path, "-o", tmp_path / "out", "--format", form)
    assert outcome.said == []
    for stem, file in outcome.json[0]["stems"].items():
        assert file == str(tmp_path / "out" / "one" / f"{stem}.{form}")
        assert tags_of(Path(file)) == TAGS
    assert {path.name for path in (tmp_path / "out" / "one").iterdir()} == {
        LEDGER, f"vocals.{form}", f"instrumental.{form}",
    }  # fmt: skip


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_has_the_samples_of_wav(half, tmp_path, subtype):
    path = song(tmp_path / "one.wav", channels=3)
    read = {}
    for form in ("wav", "flac"):
        words = ("-o", tmp_path / form, "--format", form, "--subtype", subtype)
        (line,) = separate(half, path, *words).json
        info = soundfile.info(line["stems"]["vocals"])
        assert (info.format, info.subtype, info.samplerate) == (form.upper(), subtype, RATE)
        read[form] = soundfile.read(line["stems"]["vocals"])[0]
    assert np.array_equal(read["wav"], read["flac"])


@pytest.mark.parametrize("name", ["one.flac", "one.raw"])
def test_without_ffmpeg_flac_keeps_what_libsndfile_knows(tmp_path, monkeypatch, name):
    source = song(tmp_path / "one.flac", title="One", artist="A & B").rename(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    encode(song(tmp_path / "stem.wav"), tmp_path / "stem.flac", source, "PCM_16")
    with soundfile.SoundFile(tmp_path / "stem.flac") as file:
        assert (file.title, file.artist, file.frames) == ("One", "A & B", round(0.1 * RATE))


def test_without_ffmpeg_mp3_is_refused_before_anything_begins(half, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = separate(half, "demo", "-o", tmp_path / "out", "--format", "mp3")
    assert_refused(outcome, UsageError.exit_code, "--format mp3", "install ffmpeg")
    assert not (tmp_path / "out").exists()


@FFMPEG
def test_mp3_of_many_channels_is_refused(half, tmp_path):
    path = song(tmp_path / "five.wav", channels=5)
    outcome = separate(half, path, "-o", tmp_path / "out", "--format", "mp3")
    assert_refused(outcome, 6, "5 channels", "--format flac")
    assert list((tmp_path / "out").iterdir()) == []


def test_folders_that_share_a_place_do_not_take_each_others(tmp_path):
    sources = [song(tmp_path / f"{n}.wav") for n in range(3)]
    folders = [Finished(tmp_path / "out" / "x", source).folder.name for source in sources]
    assert folders == ["x", "x (2)", "x (3)"]
    assert [Finished(tmp_path / "out" / "x", source).folder.name for source in reversed(sources)] == folders[
        ::-1
    ]
    assert [path.name for path in (tmp_path / "out" / "x").iterdir()] == [LEDGER]


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputFileError, match="Permission denied"):
        audio_files(tmp_path, True, tmp_path / "out")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals of this kind here")
def test_on_a_terminal_a_bar_is_shown_and_the_results_stay_on_standard_output(half, tmp_path):
    inputs = [song(tmp_path / f"{n}.wav", seed=n) for n in range(2)]
    terminal, end = os.openpty()
    run = subprocess.Popen(
        [*RTSEP, "file", *inputs, "-o", tmp_path / "out", "--model", half],
        stdout=subprocess.PIPE, stderr=end, text=True, cwd=ROOT, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert run.stdout
    lines = run.stdout.read().splitlines()
    run.stdout.close()
    assert run.wait(60) == 0
    assert [line.split(": ")[-2].split()[-1] for line in lines[:2]] == ["0.wav", "1.wav"]
    assert lines[2:] == ["2 separated"]
    assert b"1 of 2 0.wav" in shown
    assert b"2 of 2 1.wav" in shown
    assert b"times as fast" not in shown
