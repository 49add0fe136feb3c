"""Words of the command line, in any order and of any spelling: done, or refused by one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rtsep.cli.live import check_options
from rtsep.cli.main import COMMANDS, build_parser, main
from rtsep.errors import UsageError
from tests.fuzz.mutations import VALUES, assert_a_line, changed_text, in_order, many, promptly

WORDS = """
    --in mic demo last app:player --out both --out-device virtual --in-channels 1,2 --rate 48000 --block 64
    --slack 2 --model live --compute cuda --record takes --subtype FLOAT --seconds 3 --json --headless
    --device cpu --session stage --preset chorus --resume --no-limiter --vocals-gain -6dB -inf --threshold 0.4
    --mask binary --midi pad --midi-map midi.toml --bypass --no-bypass -- - --help --version
    save show check set unset delete edit -o -r -j 4 --from --format flac --stem vocals --track --why
    threshold vocals_gain threshold=0.4 model device bash
""".split()  # noqa: SIM905
ODD = ["\udcff", "=", "--=", "--x=" + 1000 * "x", "٣", "١٢", "1_000", "0x10", "1e3", " 5", "", ".", ".."]

RUN = ("attach", "completion", "config", "file", "get", "models", "presets", "set", "stop")
"""Commands that can be run with any words: in an empty folder they find nothing to play."""


def words_of(known: Sequence[str], max_words: int = 7) -> st.SearchStrategy[list[str]]:
    """Return lists of such words, of changed ones, and of any text that a shell can pass and no path is."""
    word = st.one_of(
        st.sampled_from(known),
        st.sampled_from(known),
        changed_text(list(known), max_changes=1),
        st.sampled_from(VALUES),
        st.text(st.characters(exclude_categories=()), max_size=12),
        st.sampled_from(ODD),
    )
    return st.lists(
        word.map(lambda text: text.translate({0: "x", ord("/"): "x", ord("~"): "x"})), max_size=max_words
    )


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in an empty folder, with folders of settings and state that nobody else has."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setenv("RTSEP_SOCKETS", str(tmp_path / "sockets"))


def assert_done_or_refused(code: object, said: str, lines: int | None = 1) -> None:
    """Assert that an exit code is 0, or one of ours with so many lines on standard error (None: some)."""
    assert code in range(10)
    if code:
        told = said.removesuffix("\n").split("\n")
        assert lines is None or len(told) == lines, told
        for line in told:
            assert line.startswith("rtsep")
            assert_a_line(line)


def code_of(action: Callable[[], object]) -> object:
    """Return the exit code of an action that may leave as a parser does; 0 where it returns nothing."""
    with promptly():
        try:
            return action() or 0
        except SystemExit as left:
            return left.code


@pytest.mark.parametrize("command", RUN)
@given(words=words_of(WORDS))
def test_any_words_are_done_or_refused_by_a_line(command, at_home, capfd, words):
    code = code_of(lambda: main([command, *words]))
    assert_done_or_refused(code, capfd.readouterr().err, None if command == "file" else 1)  # a line a file


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(RUN)))
@given(words=words_of(WORDS))
def test_any_words_are_parsed_or_refused_by_a_line(command, capfd, words):
    code = code_of(lambda: build_parser(command).parse_args([command, *words]) and None)
    assert_done_or_refused(code, capfd.readouterr().err)


@many
@given(words=words_of(WORDS))
@example(words=["--help"])
def test_options_of_live_are_taken_or_refused_by_a_line(at_home, capfd, words):
    with in_order(UsageError):
        code = code_of(lambda: check_options(words) and None)
        assert_done_or_refused(code, capfd.readouterr().err)


@given(
    words=st.lists(st.one_of(st.sampled_from(["--help", "--version", "-x"]), st.text(max_size=8)), max_size=3)
)
def test_without_a_command_any_words_are_refused_by_a_line(at_home, capfd, words):
    assume(not set(words) & set(COMMANDS))
    code = code_of(lambda: main(words))
    assert_done_or_refused(code, capfd.readouterr().err)
