"""A session at 64 frames with faults at random, for as long as one likes: `make soak`.

    python -m tests.soak --seconds 7200 --seed 17 --server jack

    --seconds 7200      how long
    --seed 17           which faults come when (the default: another one each time; it is printed)
    --server jack       or pipewire; each a private one
    --faults "MIDI flood,model killed"   only these (all that the server can have)
    --folder out/soak   where the readings are kept; the page there tells of all pieces in it
    --plan              print the faults of this seed, and make none

The exit code is 1 if a bar is not met.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.soak.beside import Beside, build_all
from tests.soak.faults import make
from tests.soak.page import write_page
from tests.soak.plan import JACK, KINDS, PIPEWIRE, Fault, plan
from tests.soak.readings import Row, read_process, write_rows
from tests.soak.rigs import PERIOD, RATE, RIGS
from tests.soak.session import CLICKS, Soaked
from tests.soak.verdict import Bar, judge

EVERY_S = 2.0
SETTLE_S = 4.0
"""After a fault: what was lost by it has been counted, and clicks that it hit are over."""


class Reader:
    """Takes a row of readings every EVERY_S, on a thread."""

    def __init__(self, soaked: Soaked, plain: Beside) -> None:
        self._soaked, self._plain = soaked, plain
        self.rows: list[Row] = []
        self.began = time.monotonic()
        self._faulty = 0  # faults at work
        self._calm_from = self.began
        self._changing = threading.Lock()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readings", daemon=True)
        self._thread.start()

    @property
    def now(self) -> float:
        """Seconds from the first reading."""
        return time.monotonic() - self.began

    def fault(self, begins: bool) -> None:
        """Take note that a fault begins or ends."""
        with self._changing:
            self._faulty += 1 if begins else -1
            self._calm_from = time.monotonic() + SETTLE_S

    def close(self) -> None:
        """Take the last row."""
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        before = self.began
        while True:
            over = self._leaving.wait(max(0.0, before + EVERY_S - time.monotonic()))
            if over:
                return
            now = time.monotonic()
            with self._changing:
                calm = self._faulty == 0 and before >= self._calm_from
            row = self._read(now - self.began, calm)
            with self._changing:  # a fault may have begun meanwhile
                row.calm = calm and self._faulty == 0
            self.rows.append(row)
            self._soaked.trim()
            before = now

    def _read(self, t: float, calm: bool) -> Row:
        line = self._soaked.line
        model = line.get("model", {})
        row = Row(t=round(t, 2), calm=calm, state=line.get("state", ""), model_pid=model.get("pid"))
        for name in ("hops", "late_masks", "underruns", "overruns", "device_xruns", "rate", "block"):
            setattr(row, name, line.get(name))
        row.latency, row.restarts = line.get("latency_samples"), model.get("restarts")
        for name, pid in (("session", self._soaked.live.pid), ("model", model.get("pid") or 0)):
            if found := read_process(pid):
                setattr(row, f"{name}_kb", found.resident_kb)
                setattr(row, f"{name}_threads", found.threads)
                setattr(row, f"{name}_handles", found.handles)
        if clicks := self._soaked.clicks.ask():
            row.heard, row.missing = clicks["heard"], clicks["missing"]
            row.click_xruns, row.click_skipped = clicks["xruns"], clicks["skipped"]
            if clicks["least"] >= 0:
                row.least, row.most = clicks["least"], clicks["most"]
        if plain := self._plain.ask():
            row.plain_xruns, row.plain_skipped = plain["xruns"], plain["skipped"]
            row.plain_gap_ms = plain["gap_ms"]
        return row


def soak(
    server: str, seed: int, seconds: float, folder: Path, faults: Sequence[Fault]
) -> tuple[dict[str, Any], list[Row], list[Bar]]:
    """Play for `seconds`; return what is known of the piece, its rows and its bars."""
    events: list[dict[str, Any]] = []
    trouble: list[str] = []
    with ExitStack() as stack:
        rig = RIGS[server]()
        stack.callback(rig.close)
        clicks_command, plain_command, notes = build_all(folder)
        for note in notes:
            print(note, flush=True)
        clicks = Beside([*clicks_command, CLICKS] if clicks_command else [], rig.beside)
        stack.callback(clicks.close)
        plain = Beside([*plain_command, "plain"] if plain_command else [], rig.beside)
        stack.callback(plain.close)
        soaked = Soaked(rig, clicks, folder)
        stack.callback(soaked.live.kill)
        soaked.start()
        reader = Reader(soaked, plain)
        try:
            for fault in faults:
                time.sleep(max(0.0, fault.at - reader.now))
                events.append(_made(soaked, reader, fault))
            time.sleep(max(0.0, seconds - reader.now))
        except AssertionError as error:
            trouble.append(" ".join(str(error).split())[:2000])
        finally:
            reader.close()
        if not trouble:
            try:
                soaked.live.end()
            except AssertionError as error:
                trouble.append(str(error))
    about = {
        "server": server, "seed": seed, "seconds": seconds, "period": PERIOD, "rate": RATE,
        "machine": platform.platform(), "notes": notes, "events": events, "trouble": trouble,
    }  # fmt: skip
    return about, reader.rows, judge(reader.rows, trouble, {fault.kind for fault in faults})


def _made(soaked: Soaked, reader: Reader, fault: Fault) -> dict[str, Any]:
    began = reader.now
    reader.fault(begins=True)
    try:
        said = make(soaked, fault)
    except AssertionError as error:
        raise AssertionError(f"after '{fault}' at {began:.0f} s: {error}") from None
    finally:
        reader.fault(begins=False)
    event = {
        "t": round(began, 2),
        "over": round(reader.now, 2),
        "kind": fault.kind,
        "how": fault.how,
        "said": said,
    }
    print(f"{began:8.1f} s  {fault}{'; said: ' + ' | '.join(said) if said else ''}", flush=True)
    return event


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"no fault is called {unknown[0]!r}; there are: {', '.join(KINDS)}")
    return kinds


def main(words: Sequence[str] | None = None) -> int:
    """Soak, tell, and write the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=7200.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--server", choices=(JACK, PIPEWIRE), default=JACK)
    parser.add_argument("--folder", type=Path, default=Path("out/soak"))
    parser.add_argument("--faults", type=_kinds, default=[])
    parser.add_argument("--plan", action="store_true")
    options = parser.parse_args(words)
    for kind in options.faults:
        if options.server not in KINDS[kind][0]:
            parser.error(f"'{kind}' cannot be made on {options.server}")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    again = f"make soak SECONDS={options.seconds:g} SEED={seed} SERVER={options.server}"
    if options.faults:
        again += f' FAULTS="{",".join(options.faults)}"'
    print(f"seed {seed}; again: {again}", flush=True)
    faults = plan(seed, options.seconds, options.server, options.faults)
    if options.plan:
        for fault in faults:
            print(f"{fault.at:8.1f} s  {fault}")
        return 0
    with tempfile.TemporaryDirectory(prefix="rtsep-soak-") as temporary:
        about, rows, bars = soak(options.server, seed, options.seconds, Path(temporary), faults)
    options.folder.mkdir(parents=True, exist_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{options.server}-{seed}"
    write_rows(rows, options.folder / f"{name}.csv")
    whole = {
        **about,
        "again": again,
        "bars": [asdict(bar) for bar in bars],
        "rows": [asdict(row) for row in rows],
    }
    (options.folder / f"{name}.json").write_text(json.dumps(whole))
    for bar in bars:
        print(bar)
    print(f"readings: {options.folder / name}.csv; page: {write_page(options.folder)}")
    return int(any(bar.met is False for bar in bars))


if __name__ == "__main__":
    sys.exit(main())
