"""A share of the JACK tests that a signal ends is repeated once, with a line."""

from __future__ import annotations

import signal

import pytest

from tests.e2e import in_shares


@pytest.mark.parametrize(
    ("ends", "code"),
    [([0], 0), ([1], 1), ([-signal.SIGSEGV, 0], 0), ([-signal.SIGSEGV, -signal.SIGSEGV], -signal.SIGSEGV)],
    ids=["passed", "failed", "killed once", "killed twice"],
)
def test_only_a_killed_share_is_repeated_and_only_once(ends, code, monkeypatch, capsys):
    left = list(ends)
    monkeypatch.setattr(in_shares, "run_share", lambda *_: left.pop(0))
    assert in_shares.run_again_if_killed(3, 5, []) == code
    assert not left
    assert ("3| signal 11 ended this share" in capsys.readouterr().out) == (ends[0] < 0)
