"""Results of all benchmarks: complete figures, a table that fits, and JSON with the same content."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from rtsep.bench import hop, stress
from rtsep.bench.result import PACKAGES, SPREAD, Column, Result, spread


def test_the_spread_is_that_of_all_values():
    values = np.random.default_rng(1).exponential(500, 20_000)
    values[7] = 1e6  # the audible one
    told = spread(values, share_of=2000.0)
    for name, share in (("median", 50), ("p99", 99), ("p99.9", 99.9), ("max", 100)):
        assert told[name] == pytest.approx(np.percentile(values, share), abs=0.051)
    assert told["p99_share"] == pytest.approx(np.percentile(values, 99) / 2000, abs=1e-4)
    assert told["p99.9_share"] == pytest.approx(np.percentile(values, 99.9) / 2000, abs=1e-4)
    assert told["max"] == 1e6
    assert "p99_share" not in spread(values)


COLUMNS = (Column("model", "model", setting=True), Column("rate", "rate", setting=True, unit="Hz"),
           Column("what", "us"), *SPREAD)  # fmt: skip


def shown(result: Result, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    result.show(console)
    return console.export_text().splitlines()


def test_what_all_rows_share_is_said_once_and_what_differs_stands_in_its_row():
    rows = [
        {"model": "live", "rate": rate, "what": "whole", **spread([1, 2, 3], 10)} for rate in (44100, 48000)
    ]
    text = "\n".join(shown(Result("x", "a title", COLUMNS, rows, notes=["[a note]"])))
    assert "model live\n" in text.replace(" \n", "\n").replace("  ", "")
    assert "44100" in text and "48000" in text and "[a note]" in text
    same = "\n".join(shown(Result("x", "a title", COLUMNS, rows[:1])))
    assert "model live, rate 44100 Hz" in same and "p99.9" in same


def test_the_largest_table_fits_into_80_columns():
    row = {"launch": "plain", "stage": "synthesis", **spread([12345.0] * 3, 5805)}
    rows = [
        {"model": model, "rate": rate, "block": block, **row}
        for model in ("live", "studio") for rate in (44100, 96000) for block in (32, 8192)
    ]  # fmt: skip
    lines = shown(Result("hop", "one hop", hop.COLUMNS, rows))
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert sum("synthesis" in line and "12345" in line for line in lines) == len(rows)


def test_no_figure_of_the_widest_row_of_stress_is_cut_in_80_columns():
    row = {
        "load": "python+heap+disk", "client": "rtsep", "hops": 20671, "late_masks": 1234, "underruns": 5678,
        "overruns": 901, "device_xruns": 234, "gap_ms": 567.8, "p50": 9012.0, "p99": 34567.0,
        "p99.9": 40960.0, "max": 345678.9, "p99_share": 5.954,
    }  # fmt: skip
    lines = shown(Result("stress", "live", stress.COLUMNS, [row, {"load": "quiet", "client": "plain C"}]))
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    (figures,) = (line.split() for line in lines if "345679" in line)
    expected = "rtsep 20671 1234 5678 901 234 567.8 9012 34567 40960 345679 595.4%"
    assert figures[-12:] == expected.split()


def test_a_cell_without_a_value_is_a_dash_and_zero_is_zero():
    column = Column("gap", "gap", "{:.1f}")
    assert (column.text({}), column.text({"gap": None}), column.text({"gap": 0})) == ("-", "-", "0.0")


def test_json_holds_rows_settings_machine_and_versions(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/x/rtsep", "bench", "hop", "--model", "my model.pt"])
    result = Result("hop", "title", COLUMNS, [{"what": "whole", "max": 3.0}], {"seconds": 1}, ["note"])
    told = json.loads(json.dumps(result.to_json()))
    assert told["rows"] == [{"what": "whole", "max": 3.0}] and told["settings"] == {"seconds": 1}
    assert told["command"] == "rtsep bench hop --model 'my model.pt'"
    assert told["notes"] == ["note"]
    assert told["machine"]["cores"] >= 1 and told["machine"]["versions"].keys() == set(PACKAGES)
