"""Completion and the man page, made from the parser: as the shells and `man` read them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.cli.bench import BENCHES
from rtsep.cli.main import COMMANDS
from tests.cli.program import ROOT, assert_refused, rtsep

# The function that `complete` names is called as an interactive bash calls it.
IN_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
[[ $(complete -p rtsep) =~ -F\\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" rtsep "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    found = {shell: folder / f"rtsep.{shell}" for shell in ("bash", "zsh", "fish")}
    for shell, path in found.items():
        outcome = rtsep("completion", shell)
        assert outcome.code == 0
        assert outcome.said == []
        path.write_text("\n".join(outcome.out) + "\n")
    return found


def bash(script: Path, *words: str, cwd: Path = ROOT) -> set[str]:
    """Return what bash offers after these words, the last of which is being written."""
    run = subprocess.run(
        ["bash", "--norc", "-c", IN_BASH, "bash", script, *words],
        cwd=cwd, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    return {line.rstrip("/ ") for line in run.stdout.splitlines()} - {""}


@needs("bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("rtsep", ""), set(COMMANDS)),
        (("rtsep", "li"), {"live"}),
        (("rtsep", "live", "--out-"), {"--out-device", "--out-channels"}),
        (("rtsep", "live", "--out", ""), {"vocals", "instrumental", "mix", "both"}),
        (("rtsep", "live", "--threshold", "0.4", "--subtype", "PCM"), {"PCM_16", "PCM_24"}),
        (("rtsep", "bench", ""), set(BENCHES)),
        (("rtsep", "bench", "hop", "--js"), {"--json"}),
        (("rtsep", "presets", "s"), {"save", "show"}),
        (("rtsep", "config", "set"), {"set"}),
        (("rtsep", "completion", ""), {"bash", "zsh", "fish"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",  # a set has no order
)
def test_bash_completes(scripts, words, offered):
    general = {"-h", "--help", "--version", "--json", "--why"} - offered
    assert bash(scripts["bash"], *words) - general == offered


@needs("bash")
def test_bash_completes_files_where_they_are_meant(scripts, tmp_path):
    (tmp_path / "songs").mkdir()
    (tmp_path / "song.wav").write_bytes(b"")
    assert bash(scripts["bash"], "rtsep", "live", "--record", "so", cwd=tmp_path) == {"songs"}
    assert {"songs", "song.wav"} <= bash(scripts["bash"], "rtsep", "file", "so", cwd=tmp_path)
    assert {"song.wav"} <= bash(scripts["bash"], "rtsep", "live", "--in", "song", cwd=tmp_path)


@needs("fish")
def test_fish_completes(scripts, tmp_path):
    def fish(line: str) -> set[str]:
        run = subprocess.run(
            ["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', scripts["fish"], line],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {words.split("\t")[0] for words in run.stdout.splitlines()}

    assert fish("rtsep li") == {"live"}
    assert fish("rtsep live --out-") == {"--out-device", "--out-channels"}


@needs("zsh")
def test_zsh_reads_it(scripts):
    subprocess.run(["zsh", "-f", "-n", scripts["zsh"]], check=True)
    assert scripts["zsh"].read_text().startswith("#compdef rtsep\n")


def test_another_shell_is_refused():
    assert_refused(rtsep("completion", "csh"), 2, "bash", "zsh", "fish")


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("make") is None, reason="no make here")
def test_the_man_page_has_every_command_and_option(tmp_path):
    page = tmp_path / "rtsep.1"
    programs = f"BIN={Path(sys.executable).parent}"
    subprocess.run(["make", "-s", "man", f"MAN={page}", "-o", ".venv/.dev", programs], cwd=ROOT, check=True)
    text = page.read_text().replace("\\-", "-")
    assert text.startswith(".TH RTSEP")
    for command in COMMANDS:
        assert f"COMMAND 'rtsep {command}'" in text.replace("\\(aq", "'").replace("\\fI\\,", "")
    for option in ("--vocals-gain", "--out-device", "--no-resume", "--subtype"):
        assert option in text
    if shutil.which("man"):
        shown = subprocess.run(
            ["man", "--warnings", "-l", page],
            env={"MANPAGER": "cat", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=True,
        )
        assert b"not defined" not in shown.stderr
