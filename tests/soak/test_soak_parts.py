"""The parts of a soak that need no server: its plan, its bars, its page."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.soak.__main__ import main
from tests.soak.faults import HOW
from tests.soak.page import write_page
from tests.soak.plan import JACK, KINDS, LAST_S, PIPEWIRE, plan
from tests.soak.readings import Row, read_process, row_of, write_rows
from tests.soak.verdict import WARM_UP_S, growth, judge

LATENCY = 1500


@pytest.mark.parametrize("server", [JACK, PIPEWIRE])
def test_a_plan_follows_from_its_seed_and_has_all_kinds(server):
    faults = plan(17, 3600, server)
    assert faults == plan(17, 3600, server) != plan(18, 3600, server)
    assert {fault.kind for fault in faults} == {
        kind for kind, (servers, _, _) in KINDS.items() if server in servers
    }
    assert len(faults) > 100
    assert all(a.at < b.at for a, b in itertools.pairwise(faults))
    assert faults[-1].at <= 3600 - LAST_S
    assert plan(17, 600, server) == faults[: len(plan(17, 600, server))]


def test_a_plan_can_have_some_kinds_only():
    chosen = {"MIDI flood", "model killed"}
    assert {fault.kind for fault in plan(17, 600, JACK, chosen)} == chosen


@pytest.mark.parametrize(
    ("faults", "why"), [("moon", "'moon'"), ("MIDI flood", "cannot be made on pipewire")]
)
def test_kinds_that_there_are_not_are_refused(faults, why, capsys):
    with pytest.raises(SystemExit):
        main(["--faults", faults, "--server", PIPEWIRE, "--plan"])
    assert why in capsys.readouterr().err


def test_each_kind_of_fault_can_be_made():
    assert set(HOW) == set(KINDS)


def rows(count: int = 3600, every_s: float = 2.0) -> list[Row]:
    """Readings of a session that keeps all its bars."""
    return [
        Row(
            t=number * every_s, calm=number % 5 > 1, state="playing", session_kb=300_000 + number % 7,
            session_threads=12 + (number % 11 == 0), session_handles=40, model_pid=7, model_kb=200_000,
            model_threads=3, model_handles=9, hops=300 * number, late_masks=0, underruns=number // 5,
            overruns=0, device_xruns=0, restarts=0, latency=LATENCY, rate=44100, block=64, least=LATENCY,
            most=LATENCY, heard=number, missing=0, click_xruns=0, click_skipped=0, plain_xruns=0,
            plain_skipped=0, plain_gap_ms=1.5,
        )
        for number in range(count)
    ]  # fmt: skip


def met(found: list[Row], trouble: tuple[str, ...] = ()) -> list[bool | None]:
    return [bar.met for bar in judge(found, trouble)]


def changed(number: int, **values: object) -> list[Row]:
    return [row if row.t < 2 * number else dataclasses.replace(row, **values) for row in rows()]


def test_what_keeps_all_bars_meets_them():
    # An underrun each ten seconds is a fault's: the reading after it is not calm.
    assert met(rows()) == [True] * 6


def test_a_block_that_was_changed_may_keep_less_than_a_block_more_ready():
    more = {
        frames: changed(3000, latency=LATENCY + frames, least=LATENCY + frames, most=LATENCY + frames)
        for frames in (32, 64)
    }
    told = [judge(more[frames], [], faults)[4].met for frames in more for faults in ((), ("period changed",))]
    assert told == [False, True, False, False]


@pytest.mark.parametrize(
    ("wrong", "bar"),
    [
        ([dataclasses.replace(row, session_kb=300_000 + round(row.t * 1100 / 3600)) for row in rows()], 1),
        ([dataclasses.replace(row, model_kb=200_000 + round(row.t * 1100 / 3600)) for row in rows()], 2),
        (changed(3000, session_threads=13), 3),
        (changed(3000, model_handles=10), 3),
        (changed(2000, most=LATENCY + 1), 4),
        (changed(3000, latency=LATENCY + 64, least=LATENCY + 64, most=LATENCY + 64), 4),
        ([dataclasses.replace(row, overruns=int(row.t > 1994)) for row in rows()], 5),
    ],
    ids=["memory", "model memory", "threads", "handles", "delay", "latency", "losses"],
)
def test_a_bar_that_is_not_met_is_told(wrong, bar):
    verdicts = met(wrong)
    assert verdicts.pop(bar) is False
    assert verdicts == [True] * 5


def test_a_session_that_does_not_come_back_meets_no_bar_of_it():
    assert met(rows(), ("after 'model killed': waited",))[0] is False


def test_losses_of_the_machine_are_those_of_the_plain_client_too():
    lossy = [dataclasses.replace(row, underruns=int(row.t), plain_xruns=int(row.t)) for row in rows()]
    assert met(lossy)[5] is True


def test_a_short_soak_judges_no_memory():
    assert growth(rows(200), "session_kb") is None
    assert met(rows(200))[1:3] == [None, None]
    late = [row for row in rows() if row.t > WARM_UP_S]
    assert growth(late, "session_kb") == pytest.approx(0, abs=1)


def test_a_process_is_read():
    found = read_process(os.getpid())
    assert found and found.resident_kb > 10_000 and found.threads >= 1 and found.handles >= 3
    assert read_process(2**22 + 1) is None


def test_a_page_tells_of_all_pieces(tmp_path):
    for number, server in enumerate((JACK, PIPEWIRE)):
        found = rows(900)
        events = [{"t": 30.0 * k, "over": 30.0 * k + 4, "kind": f"kind {k % 4}", "how": {}, "said": []}
                  for k in range(1, 50)]  # fmt: skip
        piece = {
            "server": server, "seed": number, "seconds": 1800, "machine": "here", "notes": ["a note"],
            "events": events, "trouble": [], "again": f"make soak SERVER={server}",
            "bars": [asdict(bar) for bar in judge(found, [])], "rows": [asdict(row) for row in found],
        }  # fmt: skip
        (tmp_path / f"{number}-{server}.json").write_text(json.dumps(piece))
    page = write_page(tmp_path)
    text = page.read_text()
    assert "2 pieces, 1.00 hours, 98 faults" in text
    for name in ("0-jack", "1-pipewire"):
        assert f"## {name}" in text and (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert text.count("- met: latency, equal to the sample") == 2


def test_rows_are_kept(tmp_path: Path):
    found = rows(3)
    write_rows(found, tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert len(lines) == 4 and lines[0].startswith("t,calm,state,session_kb")
    assert [row_of(asdict(row)) for row in found] == found
