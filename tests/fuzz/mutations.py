"""Start of fuzzing: valid samples, changed in the ways that find most faults."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from rtsep.errors import RtsepError

PATIENCE_S = 60
"""One example takes milliseconds, on a busy machine a second: what takes longer than this hangs."""

NUMBERS = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(8))
"""Bytes that stand for the ends of ranges."""

VALUES = (
    "nan", "-inf", "inf", "1e400", "-0.0", "0x7fffffffffffffff", "99999999999999999999", "-1", "true", "[]",
    "[[]]", "{}", '""', '"\\u0000"', '"\\ud800"', "''", "'''", '"""', "1979-05-27", "07:32:00", "[1, 2", "=",
    "#", "[", "]]", '"a', "\0", "\x1b[2J", "é", "\u2028", "null", "-9e999", "[" * 400, '{"a": ' * 300,
)  # fmt: skip
"""Words that stand for kinds of values, for other kinds of values, and for broken syntax."""

many = settings(max_examples=4 * settings.default.max_examples)
"""For what takes a millisecond: 100 examples, in `make test-long` 1600."""

T = TypeVar("T", bytes, str)


@contextlib.contextmanager
def promptly() -> Iterator[None]:
    """Fail where what is done within hangs."""

    def late(*_: Any) -> None:
        raise AssertionError(f"it hangs: no end after {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def in_order(*kinds: type[RtsepError]) -> Iterator[None]:
    """Let what is done within succeed, or fail with one clear line of one of `kinds` (none: of any of ours).

    Any other exception, and a hang, fails the test.
    """
    with promptly():
        try:
            yield
        except RtsepError as error:
            assert not kinds or isinstance(error, kinds), repr(error)
            assert 0 < error.exit_code < 10
            assert_a_line(str(error))


def assert_a_line(text: str) -> None:
    """Assert that a user can read it: one line, of some length, in words and not as Python's exception."""
    assert text.strip()
    assert len(text.splitlines()) == 1 or not set(text) & set("\n\r\v\f"), repr(text)
    assert "Traceback" not in text and "object at 0x" not in text, text


@st.composite
def _changed(draw: st.DrawFn, samples: Sequence[T], pieces: Sequence[T], join: T, max_changes: int) -> T:
    """One of the `samples` with up to `most` changes, each of some kind."""
    now = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, max_changes))):
        at = draw(st.integers(0, max(0, len(now))))
        size = draw(st.sampled_from((1, 1, 1, 2, 4, 8, 30, 200)))
        how = draw(st.sampled_from(("put", "put", "replace", "delete", "double", "splice", "cut")))
        if how in ("put", "replace"):
            piece = draw(st.sampled_from(pieces))
            gone = 0 if how == "put" else len(piece)
            now = now[:at] + piece + now[at + gone :]
        elif how == "delete":
            now = now[:at] + now[at + size :]
        elif how == "double":
            now = now[: at + size] + now[at:]
        elif how == "splice":
            other = draw(st.sampled_from(samples))
            start = draw(st.integers(0, len(other)))
            now = now[:at] + other[start : start + size] + now[at:]
        else:
            now = now[:at]
    return join + now


def changed_bytes(samples: Sequence[bytes], max_changes: int = 4) -> st.SearchStrategy[bytes]:
    """Return `samples` with up to `most` changes."""
    single = [bytes([value]) for value in range(0, 256, 5)]
    return _changed(samples, [*NUMBERS, *single], b"", max_changes)


def changed_text(
    samples: Sequence[str], words: Sequence[str] = (), max_changes: int = 4
) -> st.SearchStrategy[str]:
    """Return `samples` with up to `most` changes: VALUES, `words` and lines of samples put in."""
    lines = [f"{line}\n" for sample in samples for line in sample.splitlines()]
    return _changed(samples, [*VALUES, *words, *lines], "", max_changes)


@st.composite
def changed_values(draw: st.DrawFn, samples: Sequence[str], separator: str, words: Sequence[str] = ()) -> str:
    """One of the `samples` with some values, the words behind `separator`, in place of others."""
    lines = draw(st.sampled_from(samples)).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, len(lines) - 1))
        key, found, value = lines[number].partition(separator)
        if found:
            value = draw(st.sampled_from([*VALUES, *words, f"[{value}]", f"{value}, {value}"]))
            lines[number] = f"{key}{found}{value}"
    return "\n".join(lines)
