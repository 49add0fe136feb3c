import dataclasses
import errno
from pathlib import Path

import pytest
import torch

from rtsep.errors import OutputError
from rtsep.model.loader import load_model
from rtsep.model.package import read_package
from tests.train.conftest import SYSTEM
from train.learn.export import write_checked
from train.learn.gate import GateError
from train.learn.nets.causal_net import CausalNet
from train.learn.nets.causal_program import CausalProgram
from train.learn.nets.column_resnet import ColumnResNet


@pytest.fixture
def net():
    torch.manual_seed(4)
    net = CausalNet(SYSTEM).eval()
    net.fit_features(torch.randn(50, 4, SYSTEM.pooled) * 4 - 10)
    return net


def _refused(net, program, spec, path, reason):
    path.write_bytes(b"the last good model")
    with pytest.raises(GateError, match=reason):
        write_checked(net, program, spec, path)
    assert path.read_bytes() == b"the last good model"
    assert list(path.parent.iterdir()) == [path], "nothing else is left behind"


def test_a_sound_net_passes_and_plays(net, tmp_path):
    program = CausalProgram(net).eval()
    path = tmp_path / "m.pt"
    differences = write_checked(net, program, SYSTEM.spec(net, program, "tiny"), path)
    assert len(differences) >= 7 and max(differences.values()) < 1e-4
    assert read_package(path).golden.masks.shape == (6, 2, SYSTEM.framing.bins)
    assert load_model(path).golden_error < 1e-5


class LooksAhead(CausalNet):
    def masks(self, columns):
        return super().masks(torch.cat([columns[1:], columns[-1:]]))


class LooksAheadProgram(CausalProgram):
    def offline(self, columns):
        return super().offline(torch.cat([columns[1:], columns[-1:]]))


class Leaks(CausalProgram):
    """Keeps something beside the state."""

    def __init__(self, net):
        super().__init__(net)
        self.register_buffer("memory", torch.zeros(8))

    @torch.jit.export
    def step(self, column, state):
        mask = torch.clamp(self.memory.mean() + column[..., 0].sigmoid(), 0, 1)
        self.memory.copy_(self.memory * 0.5 + 0.1 * column.mean())
        return mask

    @torch.jit.export
    def offline(self, columns):
        masks: list[torch.Tensor] = []
        memory = torch.zeros(())
        for t in range(columns.shape[0]):
            masks.append(torch.clamp(memory + columns[t, ..., 0].sigmoid(), 0, 1))
            memory = memory * 0.5 + 0.1 * columns[t].mean()
        return torch.stack(masks)


class LeakingNet(CausalNet):
    def masks(self, columns):
        masks, memory = [], torch.zeros(())
        for column in columns:
            masks.append(torch.clamp(memory + column[..., 0].sigmoid(), 0, 1))
            memory = memory * 0.5 + 0.1 * column.mean()
        return torch.stack(masks)


class Loud(CausalProgram):
    @torch.jit.export
    def step(self, column, state):
        return column[..., 0] * 0 + 1.5

    @torch.jit.export
    def offline(self, columns):
        return columns[..., 0] * 0 + 1.5


class LoudNet(CausalNet):
    def masks(self, columns):
        return torch.full(columns.shape[:-1], 1.5)


def test_a_full_disk_is_one_line_and_leaves_no_half_model(net, tmp_path, monkeypatch):
    program = SYSTEM.program(net).eval()

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"m.pt: the disk is full .* make room"):
        write_checked(net, program, SYSTEM.spec(net, program, "tiny"), tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())


def test_refuses_a_net_that_was_trained_with_the_future(net, tmp_path):
    peeking = LooksAhead(SYSTEM).eval()
    peeking.load_state_dict(net.state_dict())
    program = CausalProgram(peeking).eval()
    _refused(peeking, program, SYSTEM.spec(net, program, "x"), tmp_path / "m.pt", "training form / offline")


def test_refuses_an_offline_form_that_looks_ahead(net, tmp_path):
    from train.learn.gate import _check_causality

    program = LooksAheadProgram(net).eval()
    columns = torch.randn(12, 2, SYSTEM.framing.bins, 2)
    with torch.no_grad(), pytest.raises(GateError, match="causality"):
        _check_causality("offline", program.offline, columns)


def test_refuses_memory_outside_the_state(net, tmp_path):
    leaking = LeakingNet(SYSTEM).eval()
    leaking.load_state_dict(net.state_dict())
    program = Leaks(leaking).eval()
    spec = dataclasses.replace(SYSTEM.spec(net, CausalProgram(net).eval(), "x"), macs_per_hop=0)
    _refused(leaking, program, spec, tmp_path / "m.pt", "two streams")


def test_refuses_masks_beyond_one(net, tmp_path):
    loud = LoudNet(SYSTEM).eval()
    program = Loud(net).eval()
    spec = dataclasses.replace(SYSTEM.spec(net, CausalProgram(net).eval(), "x"), macs_per_hop=0)
    _refused(loud, program, spec, tmp_path / "m.pt", "0..1")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"state_size": 7}, "floats of state"),
        ({"params": 7}, "parameters"),
        ({"macs_per_hop": 7}, "multiplications"),
    ],
)
def test_refuses_a_spec_that_is_not_true(net, tmp_path, wrong, reason):
    program = CausalProgram(net).eval()
    spec = dataclasses.replace(SYSTEM.spec(net, program, "x"), **wrong)
    _refused(net, program, spec, tmp_path / "m.pt", reason)


@pytest.mark.parametrize("declared", [6, 7, 8])
def test_refuses_a_window_longer_than_the_spec_says(declared, tmp_path):
    system = ColumnResNet(window=9)  # 8 past columns
    net = system.net().eval()
    program = system.program(net).eval()
    spec = dataclasses.replace(system.spec(net, program, "x"), context_hops=declared)
    if declared == system.context_hops:
        write_checked(net, program, spec, tmp_path / "m.pt")
    else:
        _refused(net, program, spec, tmp_path / "m.pt", f"context of {declared} hops")


def test_refuses_a_recurrent_net_with_a_bounded_context(net, tmp_path):
    program = CausalProgram(net).eval()
    spec = dataclasses.replace(SYSTEM.spec(net, program, "x"), context_hops=20)
    _refused(net, program, spec, tmp_path / "m.pt", "context of 20 hops")
