"""Before and after: both sides do the same, in turns, and the figures are of what was measured."""

import sys

import numpy as np
import pytest
import torch

from benchmarks import ab_worker, gains
from benchmarks.ab_worker import KINDS, TURN_WARM_UP_S, ABWorker, Paced, compiled_stft, durations, scipy_stft
from benchmarks.gains import GAINS, NAMES, Pairs, in_turns
from benchmarks.slow_forms import AllocatedCausal, ConvolvedCausal, WholeWindow
from rtsep.errors import ModelProcessError, UsageError
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.model.torchscript import without_warnings
from tests.train.conftest import SYSTEM
from train.learn.nets.causal_program import CausalProgram
from train.learn.nets.column_resnet import ColumnResNet
from train.learn.nets.column_resnet_small_program import SmallResNetProgram


def stepped(program, columns):
    with without_warnings():
        scripted = torch.jit.script(program)
    state = torch.zeros(int(scripted.state_size))
    with torch.inference_mode():
        return torch.stack([scripted.step(column, state) for column in columns])


@pytest.mark.parametrize(
    ("system", "before", "after"),
    [(SYSTEM, ConvolvedCausal, CausalProgram), (SYSTEM, AllocatedCausal, CausalProgram),
     (ColumnResNet(column="last", n_fft=256, width=6), WholeWindow, SmallResNetProgram)],
    ids=["causal, convolutions", "causal, products", "column-resnet"],
)  # fmt: skip
def test_both_forms_of_a_net_give_the_same_masks(system, before, after):
    torch.manual_seed(1)
    net = system.net().eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.1 * torch.randn_like(weight)
    columns = torch.randn(35, system.channels, system.framing.bins, 2) * 0.2
    slow, fast = stepped(before(net), columns), stepped(after(net), columns)
    assert slow.std() > 1e-3
    torch.testing.assert_close(slow, fast, atol=2e-5, rtol=0)


def test_both_transforms_do_the_same(monkeypatch):
    hop = np.random.default_rng(5).normal(0, 0.1, (2, 256)).astype(np.float32)
    monkeypatch.setattr(ab_worker, "_hop", lambda framing: hop)

    def played(make):
        step = make().step
        cells = dict(
            zip(step.__code__.co_freevars, (cell.cell_contents for cell in step.__closure__), strict=True)
        )
        sounds = []
        for _ in range(12):
            step()
            sounds.append(cells["done"].copy())
        return np.concatenate(sounds, 1)

    ours, scipys = played(compiled_stft), played(scipy_stft)
    np.testing.assert_allclose(ours, scipys, atol=1e-5)
    np.testing.assert_allclose(ours[:, -256:], hop, atol=1e-4, err_msg="a hop that comes over and over")


def test_every_step_but_those_of_the_warm_up_is_counted(monkeypatch):
    clock, steps = [0.0], []

    def step():
        steps.append(clock[0])
        clock[0] += 0.0301 if len(steps) == 60 else 0.001

    monkeypatch.setattr(ab_worker.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(ab_worker.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))
    took = durations(Paced(step, 0.01), 0.5)
    assert len(took) == 50 and len(steps) == 50 + int(TURN_WARM_UP_S / 0.01)
    assert sorted(took)[-2:] == [1000, 30100], "the worst one counts"
    np.testing.assert_allclose(steps[:50], 0.01 * np.arange(1, 51), err_msg="paced")
    assert steps[60] == pytest.approx(steps[59] + 0.0301), "what is late is caught up with at once"


def test_turns_alternate_and_ratios_are_of_what_was_measured():
    order = []
    turns = {"a": iter([[1.0] * 99 + [9.0], [2.0] * 100]), "b": iter([[1.0] * 100, [0.5] * 100])}

    def turn(name):
        order.append(name)
        return np.array(next(turns[name]))

    pairs = in_turns(lambda: turn("a"), lambda: turn("b"), 2)
    assert order == ["a", "b", "b", "a"]
    row = pairs.row()
    assert row["before_median"] == 2.0 and row["after_median"] == 0.8 and row["ratio"] == 0.4
    assert row["before_max"] == 9.0 and row["before_hops"] == row["after_hops"] == 200
    assert row["pairs"] == "0.25 - 1.00" and row["turns"] == 2
    with pytest.raises(ValueError):
        Pairs([np.ones(1)], []).row()


def test_every_gain_names_two_sides_that_exist():
    for gain in GAINS.values():
        for kind, options in (gain.before, gain.after):
            assert kind in KINDS and set(options) <= {"real_time", "tunables", "core"}
        assert gain.before != gain.after and gain.about


def test_a_side_is_a_process_that_answers(monkeypatch):
    with ABWorker("stft, scipy", real_time=False) as one:
        assert one.hop_us == pytest.approx(256 / 44100 * 1e6, abs=0.1)
        took = one.turn(0.1)
    assert len(took) == int(0.1 / (256 / 44100)) and (took > 0).all()
    with pytest.raises(ModelProcessError, match="its messages are above"), ABWorker("no such kind"):
        pass


def test_a_start_is_measured_with_and_without(monkeypatch):
    from rtsep.bench import start

    commands = []

    def started(options, environment=None):
        commands.append(start.rtsep_command("live")[3])
        ms = 3000.0 if "unprepared" in commands[-1] else 2000.0
        return start.Start({"sound": ms}, [])

    monkeypatch.setattr(start, "start_once", started)
    row = gains.of_starts(3)
    assert len(commands) == 8, "a first start of each fills the caches"
    assert (
        row["unit"] == "ms"
        and row["before_median"] == 3000
        and row["ratio"] == pytest.approx(2 / 3, abs=1e-3)
    )
    assert "before_p99" not in row, "three runs have no p99"


@pytest.mark.parametrize(("name", "plays"), [("fft", False), ("pages", True), ("start", True)])
def test_the_model_is_named_where_it_was_measured(monkeypatch, name, plays):
    shipped = read_package(find_model(DEFAULT_MODEL))
    pairs = Pairs([np.ones(3)], [np.ones(3)])
    monkeypatch.setattr(gains, "of_hops", lambda *_: pairs.row())
    monkeypatch.setattr(gains, "of_starts", lambda *_: pairs.row())
    settings = gains.gains([name], turns=1, seconds=1.0, starts=1).settings
    expected = {"model": shipped.spec.name, "model_sha256": shipped.sha256} if plays else {}
    assert {key: settings[key] for key in ("model", "model_sha256") if key in settings} == expected


def test_unprepared_is_rtsep_without_the_head_start(monkeypatch, capsys):
    from benchmarks import unprepared
    from rtsep.cli import main as cli
    from rtsep.model import launch

    prepared = []
    monkeypatch.setattr(launch, "prepare", lambda: prepared.append("a process"))
    monkeypatch.setattr(sys, "argv", ["rtsep", "live", "--no-such-option"])  # ends before anything plays
    for run, expected in ((unprepared.main, []), (cli.main, ["a process"])):
        assert run() == UsageError.exit_code
        assert prepared == expected and "--no-such-option" in capsys.readouterr().err


def test_options_that_make_no_sense_are_refused():
    for options, reason in (
        ({"names": ["fast"]}, "--only 'fast'"), ({"turns": 0}, "--turns 0"),
        ({"seconds": float("nan")}, "nan"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=reason):
            gains.gains(**({"names": NAMES} | options))
