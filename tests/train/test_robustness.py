import argparse
import json

import numpy as np
import pytest

from rtsep.errors import InputFileError, UsageError
from tests.models import PlainModel, make_model
from tests.train.recordings import music as noise_and_bass
from tests.train.recordings import voice as sung_voice
from tests.train.recordings import write_track
from train.data.cache import AUDIO, INDEX, INDEX_VERSION, RATE, AudioCache, Song, Stem, song_to_json
from train.data.effects import active_rms, rms
from train.data.tracks import read_track
from train.score import robustness_measures as measures
from train.score.evaluate import evaluate, separate
from train.score.measuring import Bench, Worker
from train.score.metrics import BssEval, over_frames
from train.score.robustness import add_arguments, robustness, run
from train.score.robustness_measures import speech_pairs
from train.score.scores import TARGETS

LOW_HZ, HIGH_HZ = 300, 6000
NAMES = ["silence", "silence after music", "leak", "dry voice", "speech", "level", "rate"]
NAMES += ["bass under vowels", "treble beside sibilants"]


@pytest.fixture(autouse=True)
def short_filters(monkeypatch):
    """Replace museval's long filters, whose cost is irrelevant here."""
    monkeypatch.setattr("train.score.metrics.TAPS", 32)


def tone(hz, seconds=1.5, amplitude=0.2):
    time = np.arange(int(seconds * RATE)) / RATE
    return np.tile(amplitude * np.sin(2 * np.pi * hz * time), (2, 1)).astype(np.float32)


def store(folder, *songs):
    """A cache of `songs`: (kind, source, group, {stem: wave}, what else of `Song` is not as usual)."""
    folder.mkdir()
    entries, start = [], 0
    with (folder / AUDIO).open("wb") as file:
        for kind, source, group, waves, *more in songs:
            stems = {}
            for name, wave in waves.items():
                file.write(np.round(wave.T * 32767).astype("<i2").tobytes())
                stems[name] = Stem(start, wave.shape[1], 2)
                start += wave.size
            facts = {"name": group, "split": "valid", "band_hz": 20000.0} | (more[0] if more else {})
            song = Song(source=source, kind=kind, licence="none", stems=stems, group=group, **facts)
            entries.append(song_to_json(song))
    (folder / INDEX).write_text(json.dumps({"version": INDEX_VERSION, "songs": entries}))
    return folder


def music(group, wave):
    return "music", "package", group, {"music": wave}


def voice(source, group, wave, **facts):
    return "voice", source, group, {"vocals": wave}, facts


def song(name, **facts):
    waves = {"vocals": sung_voice(1.2).T, "other": noise_and_bass(1.2).T}
    return "stems", "songs", name, waves, facts


class LowPass(PlainModel):
    """Takes all below 1 kHz for the voice, and nothing else."""

    def step(self):
        self.mask[:] = np.arange(self.spec.bins) * RATE / self.spec.n_fft < 1000


class Deaf(PlainModel):
    """Finds no voice in soft input."""

    def step(self):
        self.mask[:] = 1.0 if np.abs(self.column).max() > 0.02 else 0.3


class Heard(Worker):
    """Keeps what it is given to play."""

    def play(self, mix, rate=RATE):
        kept.append(mix)
        return super().play(mix, rate)


kept = []


def bench(folder, model, clips=(), worker=Worker):
    return Bench(worker(model, AudioCache(folder)), clips)


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory):
    """A cache with something for every measure."""
    return store(
        tmp_path_factory.mktemp("caches") / "all",
        music("piece", tone(HIGH_HZ)),
        voice("sight-singing", "singer", tone(LOW_HZ)),
        voice("set-speech", "set-speech/actor1", tone(HIGH_HZ)),
        voice("set-singing", "set-singing/actor1", tone(LOW_HZ)),
        song("a song"),
        song("a dull one", band_hz=8000.0),
    )


def test_all_as_voice_loses_nothing_and_leaks_everything(one_of_each):
    ones = bench(one_of_each, PlainModel("ones"))
    silence, after = measures.silence(ones), measures.silence_after_music(ones)
    assert silence.value == -np.inf and silence.met and silence.details == {"peak": 0.0}
    assert after.met and after.details["vocals_dbfs"] == after.value == -np.inf
    leak, dry = measures.leak(ones), measures.dry_voice(ones)
    assert leak.value == pytest.approx(0, abs=1e-3) and leak.met is False
    assert dry.value == pytest.approx(0, abs=1e-3) and dry.met is True


def test_nothing_as_voice_leaks_nothing_and_loses_everything(one_of_each):
    zeros = bench(one_of_each, PlainModel("zeros"))
    assert measures.leak(zeros).value == pytest.approx(-120, abs=0.1) and measures.leak(zeros).met
    assert (
        measures.dry_voice(zeros).value == pytest.approx(-120, abs=0.1)
        and measures.dry_voice(zeros).met is False
    )
    assert measures.silence(zeros).met


@pytest.mark.parametrize(("hum", "bearable"), [(1e-7, True), (1e-5, False)])
def test_what_hums_is_not_silent(one_of_each, hum, bearable):
    class Humming(Worker):
        def play(self, mix, rate=RATE):
            vocals, others = super().play(mix, rate)
            return vocals + np.float32(hum), others

    humming = bench(one_of_each, PlainModel("zeros"), worker=Humming)
    silence, after = measures.silence(humming), measures.silence_after_music(humming)
    assert silence.met is False and silence.value == pytest.approx(20 * np.log10(hum), abs=0.1)
    assert after.met is bearable and after.value == pytest.approx(20 * np.log10(hum), abs=0.1)


def test_the_leak_is_the_mean_and_the_worst_are_named(tmp_path):
    pieces = {"low": tone(LOW_HZ), "high": tone(HIGH_HZ), "higher": tone(9000), "silent": tone(LOW_HZ) * 0}
    folder = store(tmp_path / "c", *(music(*piece) for piece in pieces.items()))
    leak = measures.leak(bench(folder, LowPass()))
    levels = {row["name"]: row["db"] for row in leak.details["excerpts"]}
    assert levels["low"] == pytest.approx(0, abs=0.1) and levels["higher"] < -40
    assert leak.value == np.mean(list(levels.values())) == leak.details["means_by_source"]["package"]
    assert leak.met and leak.details["median"] == np.median(list(levels.values())) < leak.value
    assert leak.details["se"] == pytest.approx(np.std(list(levels.values()), ddof=1) / np.sqrt(3))
    assert leak.details["worst"][0]["name"] == "low" and leak.details["left_out"] == ["silent"]


def test_the_middle_of_a_long_piece_is_used(tmp_path):
    wave = np.concatenate([tone(LOW_HZ, 3), tone(HIGH_HZ, measures.LEAK_SECONDS), tone(LOW_HZ, 3)], 1)
    assert measures.leak(bench(store(tmp_path / "c", music("long", wave)), LowPass())).value < -20


def test_a_dry_voice_is_measured_at_its_loudest_and_at_one_level(tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "DRY_SECONDS", 1)
    kept.clear()
    wave = np.concatenate([tone(HIGH_HZ, 1.7, 0.02), tone(LOW_HZ, 1.0), tone(HIGH_HZ, 1.0, 0.02)], 1)
    found = measures.dry_voice(bench(store(tmp_path / "c", voice("set", "x", wave)), LowPass(), worker=Heard))
    assert found.value > -0.1 and found.met
    assert [mix.shape for mix in kept] == [(2, RATE)] and rms(kept[0]) == pytest.approx(0.1, abs=1e-4)


def test_no_singer_and_no_speaker_is_drawn_more_often_than_others(tmp_path):
    takes = [voice("set", "singer", tone(LOW_HZ, 0.3), name=f"take {i}") for i in range(5)]
    others = [voice("set", "other", tone(HIGH_HZ, 0.3)), voice("set-speech", "actor", tone(LOW_HZ, 0.3))]
    dry = measures.dry_voice(bench(store(tmp_path / "c", *takes, *others), LowPass()))
    names = [row["name"] for row in dry.details["excerpts"]]
    assert sorted(names) == ["other", "take 0", "take 1", "take 2"]
    assert dry.details["worst"][0]["name"] == "other" and dry.details["worst"][0]["db"] < -20


def entry(source, group, name=None):
    return Song(name or group, source, "valid", "voice", "none", 20000.0, {}, group)


def test_speech_meets_the_singing_of_its_actor():
    spoken = [entry("a-speech", f"a-speech/{actor}") for actor in ("01", "02", "03")]
    sung = [entry("a-singing", f"a-singing/{actor}") for actor in ("03", "02", "04")]
    again = entry("a-singing", "a-singing/02", "another take")
    pairs = [(one.name, other.name) for one, other in speech_pairs([*spoken, *sung, again])]
    assert pairs == [("a-speech/02", "a-singing/02"), ("a-speech/03", "a-singing/03")]


def test_speech_without_names_in_common_meets_singing_in_order():
    songs = [entry("speech", "ann"), entry("speech", "ben"), entry("singing", "cleo"), entry("set", "dora")]
    assert [(a.name, b.name) for a, b in speech_pairs(songs)] == [("ann", "cleo")]
    assert speech_pairs([entry("b-speech", "x"), entry("a-singing", "x")]) == []


@pytest.mark.parametrize(("spoken_hz", "met"), [(HIGH_HZ, False), (LOW_HZ, True)])
def test_speech_is_compared_with_singing_over_the_same_music(tmp_path, spoken_hz, met):
    kept.clear()
    folder = store(
        tmp_path / "c",
        voice("set-speech", "set-speech/01", tone(spoken_hz, 1.5, 0.05)),
        voice("set-singing", "set-singing/01", tone(LOW_HZ, 2.5, 0.4)),
        music("one", tone(9000)),
        music("two", tone(8000, 3, 0.1)),
    )
    found = measures.speech(bench(folder, LowPass(), worker=Heard))
    row = found.details["pairs"][0]
    assert found.met is met and found.details["actors"] == 1 and found.details["pieces"] == 2
    assert row["speech"] == "set-speech/01" and row["singing"] == "set-singing/01" and row["piece"] == "one"
    assert row["speech_mixture_sdr"] == pytest.approx(0, abs=0.1), "voice and music are equally loud"
    assert found.details["unprocessed_mean"] == pytest.approx(0, abs=0.1)
    assert found.value == pytest.approx(row["singing_sdr"] - row["speech_sdr"], abs=1)
    assert (found.value > 20) if not met else abs(found.value) < 0.5
    assert {mix.shape for mix in kept} == {(2, int(1.5 * RATE))}, "excerpts of one length"
    levels = [active_rms(mix) for mix in kept]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


def test_speech_better_than_singing_meets_the_bar(tmp_path):
    speech = voice("speech", "speech/01", tone(LOW_HZ))
    singing = voice("singing", "singing/01", tone(HIGH_HZ))
    found = measures.speech(bench(store(tmp_path / "c", speech, singing, music("m", tone(9000))), LowPass()))
    assert found.met and found.value < -20


@pytest.fixture
def clip(tmp_path):
    return write_track(tmp_path / "clips/One - A", 1.2)


def test_level_and_rate_leave_a_linear_model_alone(one_of_each, clip):
    found = bench(one_of_each, PlainModel("half"), [clip])
    level, rate = measures.level(found), measures.rate(found)
    assert level.met and abs(level.value) < 1e-3 and level.details["clips"] == 1
    assert rate.met and 0 < abs(rate.value) < 0.2, "resampled twice"


def test_a_model_that_minds_the_level_is_found_out(one_of_each, clip):
    found = bench(one_of_each, Deaf(), [clip])
    level = measures.level(found)
    changes, medians = level.details["changes"], level.details["medians"]
    track = read_track(clip)
    soft = BssEval(track.stems, RATE).score((0.3 * track.mix, 0.7 * track.mix))["sdr"]
    for values, target in zip(soft, TARGETS, strict=True):
        assert medians[target]["-20 dB"] == pytest.approx(over_frames(values), abs=0.05)
        of_soft, of_loud = changes["-20 dB"][target], changes["+20 dB"][target]
        assert of_soft["of_median"] == medians[target]["-20 dB"] - medians[target]["as it is"]
        for paired in ("mean_paired", "median_paired"):
            assert of_soft[paired] == pytest.approx(of_soft["of_median"]), "of one clip"
        assert abs(of_loud["of_median"]) < 0.1
    assert level.value == max((changes["-20 dB"][t]["mean_paired"] for t in TARGETS), key=abs)
    assert level.met is False and abs(level.value) > 1


def test_what_falls_silent_at_another_rate_is_no_missing_figure(one_of_each, clip):
    class Native(Worker):
        def play(self, mix, rate=RATE):
            vocals, others = separate(self.model, mix, rate)
            return vocals * np.float32(rate == RATE), others

    found = bench(one_of_each, PlainModel("half"), [clip], worker=Native)
    rate = measures.rate(found)
    assert rate.met is False and rate.value == -np.inf and rate.shown == "-inf dB"
    assert measures.level(found).met


def test_silent_clips_give_no_figure(one_of_each, clip):
    found = measures.level(bench(one_of_each, PlainModel("zeros"), [clip]))
    assert found.met is None and "silent" in found.reason


def test_all_measures_go_into_json_and_a_table(one_of_each, clip, tmp_path, capsys):
    (write_track(clip.parent / "Broken") / "other.wav").write_bytes(b"no audio")
    model = make_model(tmp_path / "half.pt", "half", params=12)
    content = robustness(model, one_of_each, clip.parent, tmp_path / "out/r.json")
    told = capsys.readouterr().out
    stored = json.loads((tmp_path / "out/r.json").read_text())
    assert stored["model"] == "test-half" and len(stored["model_sha256"]) == 64
    assert stored["card"]["params"] == 12 and stored["card"]["played_latency_samples"] == 512
    assert list(stored["measures"]) == list(content["measures"]) == NAMES
    for name, measure in stored["measures"].items():
        assert {"value", "unit", "bar", "met", "reason", "details", "shown"} <= set(measure)
        if name == "treble beside sibilants":  # the clip has no sibilants
            assert not measure["measured"] and measure["met"] is None and "enough frames" in measure["reason"]
            continue
        assert measure["measured"] and isinstance(measure["met"], bool) and not measure["reason"]
        assert name in told and measure["shown"] in told
    assert stored["measures"]["silence"]["value"] is None
    assert stored["measures"]["silence"]["shown"] == "-inf dBFS"
    assert stored["measures"]["dry voice"]["value"] == pytest.approx(-6.02, abs=0.01)
    assert stored["measures"]["bass under vowels"]["value"] == pytest.approx(-6.02, abs=0.2)
    assert stored["bars"] == {"met": 5, "missed": 3, "not_measured": 1}  # half of the bass is missing, too
    assert stored["clips_from"] == "tracks of --data" and "1 tracks of --data, 1 skipped" in told
    assert [row["clip"] for row in stored["clips"]] == ["One - A"]
    assert stored["skipped"][0]["track"] == "Broken" and "skipped: " in told
    # As a clip is, its figures are those that `evaluate` publishes.
    summary = evaluate(model, clip, references=())
    medians = stored["measures"]["level"]["details"]["medians"]
    assert medians["vocals"]["as it is"] == pytest.approx(summary["model_vocals_sdr_median"], abs=1e-3)
    assert medians["accompaniment"]["as it is"] == pytest.approx(
        summary["model_accompaniment_sdr_median"], abs=1e-3
    )


def test_without_tracks_the_validation_songs_serve(one_of_each, tmp_path, capsys):
    content = robustness(make_model(tmp_path / "half.pt", "half"), one_of_each)
    assert [row["clip"] for row in content["clips"]] == ["a song"], "the other holds nothing above 8 kHz"
    assert content["clips_from"] == "validation songs of the cache"
    assert "1 validation songs of the cache" in capsys.readouterr().out
    assert content["measures"]["level"]["met"] and content["measures"]["rate"]["met"]


@pytest.mark.long
def test_processes_find_what_one_finds(one_of_each, tmp_path):
    folder = store(
        tmp_path / "c", music("piece", tone(HIGH_HZ)), music("another", tone(LOW_HZ)),
        voice("set", "singer", tone(LOW_HZ)),
    )  # fmt: skip
    model = make_model(tmp_path / "half.pt", "half")
    one, two = (robustness(model, folder, workers=workers)["measures"] for workers in (1, 2))
    assert one == two and len(two["leak"]["details"]["excerpts"]) == 2


def test_what_cannot_be_measured_is_named_with_the_reason(tmp_path, clip, capsys):
    folder = store(tmp_path / "c", voice("set", "singer", tone(LOW_HZ), split="train"))
    model = make_model(tmp_path / "ones.pt")
    content = robustness(model, folder, json_path=tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_text())["measures"]
    assert list(stored) == NAMES and stored["silence"]["met"] and not stored["silence"]["reason"]
    reasons = {"silence after music": "instrumentals", "leak": "instrumentals", "dry voice": "singing",
               "speech": "speech", "level": "give --data", "rate": "give --data"}  # fmt: skip
    told = capsys.readouterr().out
    for name, reason in reasons.items():
        assert not stored[name]["measured"] and stored[name]["met"] is stored[name]["value"] is None
        assert reason in stored[name]["reason"] and f"{name}: not measured: {stored[name]['reason']}" in told
    assert content["bars"] == {"met": 1, "missed": 0, "not_measured": 8}

    (clip / "other.wav").write_bytes(b"no audio")
    level = robustness(model, folder, clip.parent)["measures"]["level"]
    assert level["met"] is None and "none of 1 clips can be read" in level["reason"]


def test_speech_asks_for_voices_and_music_that_sound(tmp_path):
    actors = [voice("speech", "speech/1", tone(LOW_HZ)), voice("singing", "singing/1", tone(LOW_HZ))]
    alone = measures.speech(bench(store(tmp_path / "alone", *actors), LowPass()))
    assert alone.met is None and "instrumentals" in alone.reason
    silent = store(tmp_path / "silent", *actors, music("m", tone(LOW_HZ) * 0))
    assert "silent" in measures.speech(bench(silent, LowPass())).reason
    brief = [voice("speech", "speech/1", tone(LOW_HZ, 0.03)), voice("singing", "singing/1", tone(LOW_HZ))]
    short = store(tmp_path / "short", *brief, music("m", tone(9000)))
    assert "shorter than 1 s" in measures.speech(bench(short, LowPass())).reason
    assert "all of 1 excerpts are silent" in measures.leak(bench(silent, LowPass())).reason


def test_the_command_line_gives_what_the_function_takes(one_of_each, tmp_path, clip, monkeypatch):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    model = make_model(tmp_path / "ones.pt")
    words = ["--model", str(model), "--cache", str(tmp_path / "no cache"), "--json", str(tmp_path / "r.json")]
    with pytest.raises(InputFileError, match="no training cache"):
        run(parser.parse_args(words))
    words[3] = str(one_of_each)
    with pytest.raises(InputFileError, match="no such file or folder"):
        run(parser.parse_args([*words, "--data", str(tmp_path / "nothing")]))
    assert not (tmp_path / "r.json").exists()
    monkeypatch.setattr("train.score.robustness.MEASURES", (measures.silence, measures.level))
    monkeypatch.setattr("sys.argv", ["train", "robustness", *words])
    run(parser.parse_args([*words, "--data", str(clip), "--workers", "1"]))
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored["command"].startswith("python -m train robustness --model ")
    assert list(stored["measures"]) == ["silence", "level"]


def test_some_measures_alone_are_added_to_a_file_of_the_same_model(one_of_each, tmp_path):
    model, other, target = (
        make_model(tmp_path / "ones.pt"),
        make_model(tmp_path / "b.pt"),
        tmp_path / "r.json",
    )
    first = robustness(model, one_of_each, json_path=target, only=["silence", "leak"])
    assert list(first["measures"]) == ["silence", "leak"] and first["bars"]["met"] == 1
    added = robustness(model, one_of_each, json_path=target, only=["silence after music"])
    assert list(added["measures"]) == ["silence", "leak", "silence after music"]
    assert added["bars"] == {"met": 2, "missed": 1, "not_measured": 0}
    assert (
        added["command"].count("python -m train") == 2
        and json.loads(target.read_text())["bars"] == added["bars"]
    )
    with pytest.raises(UsageError, match="did you mean 'leak'"):
        robustness(model, one_of_each, only=["leek"])
    target.write_text(target.read_text().replace(added["model_sha256"], "0" * 64))
    with pytest.raises(InputFileError, match="another model file"):
        robustness(model, one_of_each, json_path=target, only=["silence"])
    target.write_text("[]")
    with pytest.raises(InputFileError, match="no JSON of 'robustness'"):
        robustness(other, one_of_each, json_path=target, only=["silence"])
