"""Odd values of options: one line with the accepted values, exit code 2, and no start."""

from __future__ import annotations

import pytest

from rtsep.cli.main import main
from rtsep.errors import UsageError
from tests.cli.program import Outcome, assert_refused, rtsep

LIVE = ("live", "--in", "demo", "--out-device", "virtual")
FILE = ("file", "demo")


def in_process(capfd, *arguments: str) -> Outcome:
    """Run the command line here: quick, and good for what is refused before anything begins."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out, said = capfd.readouterr()
    return Outcome(code, out.splitlines(), said.splitlines())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((*LIVE, "--rate", "7999"), ("--rate", "8000 to 384000")),
        ((*LIVE, "--rate", "fast"), ("--rate", "'fast'")),
        ((*LIVE, "--rate", "44100.5"), ("--rate", "whole number")),
        ((*LIVE, "--block", "8"), ("--block", "16 to 8192")),
        ((*LIVE, "--block", "-64"), ("--block",)),
        ((*LIVE, "--slack", "-1"), ("--slack",)),
        ((*LIVE, "--in-channels", "0"), ("--in-channels", "from 1 to 64")),
        ((*LIVE, "--in-channels", "1,1"), ("--in-channels", "twice")),
        ((*LIVE, "--in-channels", "left"), ("--in-channels", "1,2 or 3-6")),
        ((*LIVE, "--in-channels", "3,4"), ("--in-channels 3", "has only 2 channels")),
        ((*LIVE, "--in-channels", "1,65"), ("--in-channels",)),
        ((*LIVE, "--out", "both", "--out-channels", "1,2"), ("--out-channels 1,2", "4 channels")),
        ((*LIVE, "--out-channels", "1,,2"), ("--out-channels",)),
        ((*LIVE, "--out", "drums"), ("--out", "vocals")),
        ((*LIVE, "--seconds", "0"), ("--seconds", "more than 0")),
        ((*LIVE, "--seconds", "nan"), ("--seconds",)),
        ((*LIVE, "--seconds", "soon"), ("--seconds", "'soon'")),
        ((*LIVE, "--client-name", "a:b"), ("--client-name", "colon")),
        ((*LIVE, "--client-name", ""), ("--client-name",)),
        ((*LIVE, "--record", ""), ("--record", "an empty path")),
        ((*LIVE, "--map", ""), ("--map", "an empty path")),
        ((*FILE, "-o", ""), ("--output", "an empty path")),
        (("file", ""), ("INPUT", "an empty path")),
        ((*FILE, "--from", ""), ("--from", "an empty path")),
        ((*LIVE, "--subtype", "PCM_32"), ("--subtype", "PCM_24")),
        ((*LIVE, "--compute", "tpu"), ("--compute", "cpu")),
        ((*LIVE, "--device", "tpu"), ("--device", "cpu")),
        ((*LIVE, "--threshold", "1.5"), ("--threshold 1.5", "0 to 1")),
        ((*LIVE, "--threshold", "nan"), ("--threshold", "0 to 1")),
        ((*LIVE, "--threshold", "half"), ("--threshold 'half'", "0 to 1")),
        ((*FILE, "--gate", "2"), ("--gate", "0 to 1")),
        ((*FILE, "--smoothing", "101"), ("--smoothing", "0 to 100 ms")),
        ((*FILE, "--vocals-gain", "13"), ("--vocals-gain", "-inf to 12 dB")),
        ((*FILE, "--instrumental-gain", "loud"), ("--instrumental-gain 'loud'", "dB")),
        ((*FILE, "--blend", "inf"), ("--blend", "0 to 1")),
        ((*FILE, "--mask", "sof"), ("--mask 'sof'", "did you mean 'soft'?")),
        ((*FILE, "--block", "1e3"), ("--block",)),
        ((*FILE, "--vocals-gain", "-200dB"), ("--vocals-gain -200", "-inf to 12 dB")),
        ((*FILE, "--stem", "drums"), ("--stem", "instrumental")),
        ((*FILE, "--format", "aac"), ("--format", "opus")),
        ((*FILE, "--format", "flac", "--subtype", "FLOAT"), ("--subtype FLOAT", "PCM_24", "--format wav")),
        ((*FILE, "-j", "-1"), ("0 to 256",)),
        ((*FILE, "--no-such-option",), ("--no-such-option",)),
        (("file",), ("INPUT",)),
        (("play", "demo"), ("'play'", "live")),
        ((), ("COMMAND",)),
        (("models", "check"), ("models check FILE",)),
        (("models", "a", "b", "c"), ("models check FILE",)),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else None,
)  # fmt: skip
def test_one_line_says_what_is_accepted(capfd, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    assert_refused(in_process(capfd, *arguments), UsageError.exit_code, *parts)
    assert list(tmp_path.iterdir()) == []


def test_as_a_program_it_is_the_same():
    assert_refused(rtsep(*LIVE, "--threshold", "1.5"), UsageError.exit_code, "--threshold 1.5", "0 to 1")


@pytest.mark.parametrize("command", [(), ("live",), ("file",), ("devices",), ("models",)])
def test_help_is_there(capfd, command):
    outcome = in_process(capfd, *command, "--help")
    assert outcome.code == 0
    assert outcome.said == []
    assert outcome.out[0].startswith("usage: rtsep")
