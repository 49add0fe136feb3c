"""The hop: by a clock that only the model and the wait advance, every figure is known beforehand."""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable

import numpy as np
import pytest

from rtsep.bench import hop
from rtsep.bench.hop import ON_GPU, STAGES, WARM_UP_S, paced_hops
from rtsep.cli.main import main
from rtsep.model import cuda
from tests.cli.program import rtsep
from tests.models import PlainModel, make_model

RATE, HOP = 44100, 256


class Clock:
    """Stands still but for sleep."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class TimedModel(PlainModel):
    """Takes `work_s(n)` for its step n, and keeps when each began."""

    def __init__(self, clock: Clock, work_s: Callable[[int], float]) -> None:
        super().__init__("half")
        self.began: list[float] = []
        self._clock, self._work_s = clock, work_s

    def step(self) -> None:
        self.began.append(self._clock.now)
        self._clock.now += self._work_s(len(self.began) - 1)
        super().step()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hop, "time", clock)
    return clock


def stages(took: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(STAGES, took.T, strict=True))


def test_the_time_of_the_model_is_in_its_stage_and_in_the_whole_and_no_call_is_left_out(clock):
    warm = int(WARM_UP_S * RATE / HOP)
    count = int(2.0 * RATE / HOP)
    work = np.where(np.arange(warm + count) % 50 == 49, 0.05, 0.003)  # some are late by far
    took = stages(paced_hops(TimedModel(clock, lambda n: work[n]), RATE, HOP, 2.0))
    assert len(took["model"]) == count
    np.testing.assert_allclose(took["model"], 1e6 * work[warm:], rtol=1e-6)
    np.testing.assert_allclose(
        took["whole"], took["model"], rtol=1e-6
    )  # the rest takes no time by this clock
    assert took["analysis"].max() < 1e-3 and took["synthesis"].max() < 1e-3
    assert np.isnan(took[ON_GPU]).all()


@pytest.mark.parametrize("captured", [True, False])
def test_time_on_the_gpu_is_told_of_a_graph_and_not_of_launches_with_gaps_between_them(clock, captured):
    model = TimedModel(clock, lambda n: 0.001)
    model.gpu = types.SimpleNamespace(captured=captured, device_us=123.0)
    took = paced_hops(model, RATE, HOP, 0.1)
    package = types.SimpleNamespace(spec=model.spec, sha256="aa")
    rows = {row["stage"]: row for row in hop._rows(package, took, RATE, HOP)}
    assert (ON_GPU in rows) == captured and set(rows) >= set(STAGES) - {ON_GPU}
    if captured:
        assert rows[ON_GPU]["median"] == rows[ON_GPU]["max"] == 123.0
        assert 0 < rows[ON_GPU]["hops"] <= len(took) / hop.CLOCKED + 1  # the clock takes time of its own
        assert rows["model"]["hops"] == len(took)


class GpuModel(TimedModel):
    """The result of `load` on a GPU that captures, or the reason why it does not."""

    def __init__(self, clock: Clock, order: list[str], captured: bool) -> None:
        super().__init__(clock, lambda n: 0.001)
        order.append("loaded")
        why = "" if captured else "it looks at its own results"
        self.gpu = types.SimpleNamespace(captured=captured, device_us=100.0, not_captured=why)


@pytest.mark.parametrize("captures", [True, False])
def test_on_a_gpu_models_are_loaded_before_the_thread_is_raised_and_what_was_not_captured_is_said(
    clock, monkeypatch, tmp_path, captures
):
    order: list[str] = []
    monkeypatch.setattr(
        hop, "load", lambda package, device, graph, own_thread: GpuModel(clock, order, graph and captures)
    )
    monkeypatch.setattr(hop, "is_shipped", lambda sha256: True)
    monkeypatch.setattr(hop, "raise_thread_priority", lambda _: order.append("raised"))
    monkeypatch.setattr(hop, "lock_memory", lambda: order.append("locked"))
    monkeypatch.setattr(hop, "gc", types.SimpleNamespace(collect=int, freeze=int, disable=int))
    monkeypatch.setattr(cuda, "gpu_here", lambda: ("Abacus G1", "12.4"))
    parser = argparse.ArgumentParser()
    hop.fill_parser(parser)
    half = make_model(tmp_path / "half.pt", "half", name="half")
    result = hop.run(parser.parse_args(["--compute", "cuda", "--seconds", "0.1", "--model", str(half)]))
    assert order == ["loaded", "loaded", "raised", "locked"]
    launches = {row["launch"] for row in result.rows}
    assert launches == ({"graph", "plain"} if captures else {"plain"})
    said = [note for note in result.notes if "captured" in note]
    assert said == ([] if captures else ["'half' cannot be captured as a graph: it looks at its own results"])
    assert result.machine["gpu"] == "Abacus G1" and result.machine["versions"]["CUDA"] == "12.4"


@pytest.mark.parametrize("block", [16, 100, HOP, 300, 1024])
def test_a_hop_is_done_when_the_block_with_its_last_frame_is_there(clock, block):
    model = TimedModel(clock, lambda n: 0.0)
    paced_hops(model, RATE, block, 0.5)
    blocks = np.ceil((np.arange(len(model.began)) + 1) * HOP / block)
    np.testing.assert_allclose(np.array(model.began) - 100.0, blocks * block / RATE, atol=1e-9)


def test_a_late_hop_delays_the_next_ones_until_they_have_caught_up(clock):
    period = HOP / RATE
    model = TimedModel(clock, lambda n: 2.5 * period if n == 10 else 0.1 * period)
    paced_hops(model, RATE, HOP, 0.2)
    began = (np.array(model.began) - 100.0) / period
    np.testing.assert_allclose(began[[10, 11, 12, 13]], [11, 13.5, 13.6, 14], atol=1e-6)


@pytest.mark.parametrize(("rate", "own"), [(48000, 48000), (96000, 48000), (22050, 44100), (32000, 44100)])
def test_at_any_rate_hops_come_as_often_as_the_model_runs(clock, rate, own):
    model = TimedModel(clock, lambda n: 0.0)
    took = paced_hops(model, rate, 64, 1.0)
    assert len(took) == int(own / HOP)
    every = (model.began[-1] - model.began[0]) / (len(model.began) - 1)
    assert every == pytest.approx(HOP / own, rel=0.01)


def test_it_runs_and_its_rows_are_whole(tmp_path):
    half = make_model(tmp_path / "half.pt", "half")
    options = ("--seconds", 0.3, "--rates", "44100,48000", "--blocks", "64,512", "--model", half)
    run = rtsep("bench", "hop", *options, "--json")
    assert run.code == 0, run.said
    (result,) = run.json
    assert len(result["rows"]) == 2 * 2 * 4
    for rate in (44100, 48000):
        for block in (64, 512):
            rows = {
                row["stage"]: row for row in result["rows"] if (row["rate"], row["block"]) == (rate, block)
            }
            assert list(rows) == ["analysis", "model", "synthesis", "whole"]
            assert {row["hops"] for row in rows.values()} == {int(0.3 * rate / HOP)}
            assert {row["hop_us"] for row in rows.values()} == {round(1e6 * HOP / rate, 1)}
            for name in ("analysis", "model", "synthesis"):
                assert 0 < rows[name]["median"] <= rows[name]["p99"] <= rows[name]["max"]
                assert rows[name]["median"] <= rows["whole"]["median"]
                assert rows[name]["max"] <= rows["whole"]["max"]
    assert result["settings"]["seconds"] == 0.3 and result["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seconds", "0"], "--seconds 0"),
        (["--seconds", "inf"], "--seconds inf"),
        (["--seconds", "1e9"], "at most 3600"),
        (["--blocks", "8"], "16 to 8192"),
        (["--rates", "1"], "8000 to 384000"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, options, said):
    assert main(["bench", "hop", *options]) == 2
    assert said in capsys.readouterr().err


def test_lists_and_names_that_are_none_are_refused(capsys):
    for options in (["--blocks", "a"], ["--rates", ""], ["--rates", "0"]):
        with pytest.raises(SystemExit) as left:
            main(["bench", "hop", *options])
        assert left.value.code == 2
        assert "whole numbers with commas" in capsys.readouterr().err


def test_a_core_that_is_not_there_is_named(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(
        hop, "os", types.SimpleNamespace(sched_setaffinity=refuse, sched_getaffinity=lambda _: {0, 3})
    )
    with pytest.raises(hop.UsageError, match="--core 77: this process may use 0, 3"):
        hop._quiet_thread(77)
