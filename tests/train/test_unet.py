import dataclasses

import pytest
import torch

from rtsep.errors import UsageError
from rtsep.model.loader import load_model
from rtsep.model.package import read_package
from tests.train.recordings import swelling_tone
from train.learn.export import write_checked
from train.learn.gate import run_steps
from train.learn.nets.unet import UNet
from train.learn.system import Training

SMALL = UNet(bins=64, columns=32, width=2, levels=4, training=Training(hops=63))
"""Patches of 64 x 32, down to 16 channels of 4 x 2."""


def _net(system=SMALL):
    torch.manual_seed(1)
    net = system.net()
    with torch.no_grad():  # running statistics that are not their defaults
        for _ in range(3):
            net(torch.rand(4, 1, system.bins, system.columns))
    return net.eval()


def _waves(system, batch=2):
    return swelling_tone(system, batch, period=20)


@pytest.fixture(scope="module")
def paper():
    """The net as the paper has it."""
    torch.manual_seed(0)
    return UNet().net().eval()


def test_framing_is_the_papers():
    system = UNet()
    assert (system.rate, system.framing.n_fft, system.framing.hop, system.framing.bins) == (
        8192, 1024, 768, 513,
    )  # fmt: skip
    assert system.lookahead_hops == 127
    patch_s = (1024 + system.training.hops * 768) / 8192
    assert system.training.hops == 127 and patch_s == pytest.approx(12.03, abs=0.01)


def test_layers_have_the_papers_shapes(paper):
    shapes = []
    for layer in (*paper.encoder, *paper.decoder):
        layer.register_forward_hook(lambda _layer, _in, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert paper(torch.rand(1, 1, 512, 128)).shape == (1, 1, 512, 128)
    down = [(16, 256, 64), (32, 128, 32), (64, 64, 16), (128, 32, 8), (256, 16, 4), (512, 8, 2)]
    assert shapes == [*down, *reversed(down[:-1]), (1, 512, 128)]


def test_layers_are_the_papers(paper):
    kinds = [[type(part).__name__ for part in layer] for layer in paper.encoder]
    assert kinds == [["Conv2d", "BatchNorm2d", "LeakyReLU"]] * 6
    assert {layer[2].negative_slope for layer in paper.encoder} == {0.2}
    kinds = [[type(part).__name__ for part in layer] for layer in paper.decoder]
    up = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert kinds == [[*up, "Dropout"]] * 3 + [up] * 2 + [["ConvTranspose2d"]]
    for layer in (*paper.encoder, *paper.decoder):
        assert layer[0].kernel_size == (5, 5) and layer[0].stride == (2, 2)
    channels = [layer[0].in_channels for layer in paper.decoder]
    assert channels == [512, 512, 256, 128, 64, 32]  # all but the first: beside the encoder's
    weights = 25 * (16 + sum(4**k * 512 for k in range(5)) + 512 * 256 + sum(4**k * 1024 for k in range(4)))
    weights += 25 * 512 * 128 - 25 * 1024 * 64 + 25 * 32  # the last layers' own sizes
    norms = 2 * (16 + 32 + 64 + 128 + 256 + 512) + 2 * (256 + 128 + 64 + 32 + 16)
    assert sum(p.numel() for p in paper.parameters()) == 9_821_809
    assert sum(layer[0].weight.numel() for layer in (*paper.encoder, *paper.decoder)) == 9_821_809 - norms - 1


def test_cost_of_a_patch(paper):
    system = UNet()
    spec = system.spec(paper, system.program(paper), "full")
    down = 256 * 64 * 25 * 16 + 5 * 128 * 32 * 25 * 16 * 32  # each further layer costs the same
    up = 8 * 2 * 25 * 512 * 256 + 4 * 16 * 4 * 25 * 512 * 128 + 256 * 64 * 25 * 32
    assert spec.macs_per_hop * 128 == down + up == 753_664_000
    assert spec.band_above == "follow" and spec.context_hops == 254


@pytest.mark.parametrize("target", ["vocals", "instrumental"])
def test_program_passes_the_gate_and_plays(target, tmp_path):
    system = dataclasses.replace(SMALL, target=target)
    net, path = _net(system), tmp_path / "m.pt"
    program = system.program(net)
    write_checked(net, program, system.spec(net, program, "tiny"), path, system.golden_steps)
    assert load_model(path).golden_error < 1e-5
    golden = read_package(path).golden.masks
    late = system.lookahead_hops
    assert not golden[:late].any() and golden[late:].std() > 1e-3, "masks of a patch, and none before"


def test_masks_are_those_of_their_patches():
    net, program = _net(), SMALL.program(_net())
    columns = torch.randn(70, 1, 65, 2)
    late = SMALL.lookahead_hops
    with torch.no_grad():
        masks = run_steps(program, columns, program.state_size)
        for first in (0, 32):
            patch = torch.linalg.vector_norm(columns[first : first + 32, 0, :64], dim=-1).t()
            wanted = net((patch / patch.max())[None, None])[0, 0].t()
            until = min(first + 32, 70 - late)
            found = masks[first + late : until + late, 0]
            torch.testing.assert_close(found[:, :64], wanted[: until - first], atol=1e-5, rtol=0)
            assert torch.equal(found[:, 64], found[:, 63]), "Nyquist takes its neighbour's"


def test_long_recordings_are_masked_in_parts():
    net, program = _net(), SMALL.program(_net())
    columns = torch.randn(10 * SMALL.columns + 5, 1, 65, 2)  # more patches than are computed at once
    with torch.no_grad():
        torch.testing.assert_close(program.offline(columns), net.masks(columns), atol=1e-5, rtol=0)


def test_level_does_not_matter():
    net = _net()
    columns = torch.randn(64, 1, 65, 2)
    with torch.no_grad():
        for factor in (0.1, 10.0):
            torch.testing.assert_close(net.masks(columns * factor), net.masks(columns), atol=1e-5, rtol=0)


def test_a_recording_shorter_than_a_patch_has_no_masks():
    program = SMALL.program(_net())
    columns = torch.randn(SMALL.lookahead_hops, 1, 65, 2)
    assert not _net().masks(columns).any() and not program.offline(columns).any()


def test_instrumental_net_gives_the_rest_to_the_voice():
    torch.manual_seed(3)
    vocal = _net()
    other = dataclasses.replace(SMALL, target="instrumental").net().eval()
    other.load_state_dict(vocal.state_dict())
    columns = torch.randn(64, 1, 65, 2)
    with torch.no_grad():
        late = SMALL.lookahead_hops
        total = vocal.masks(columns)[late:] + other.masks(columns)[late:]
    torch.testing.assert_close(total, torch.ones_like(total))


def test_losses_are_mean_and_sum_of_the_same_errors():
    net, waves = _net(), _waves(SMALL)
    mean = SMALL.loss(net, waves)
    total = dataclasses.replace(SMALL, loss_form="l11").loss(net, waves)
    torch.testing.assert_close(total, mean * 64 * 32)


@pytest.mark.parametrize(("target", "mask"), [("vocals", 0.0), ("instrumental", 1.0)])
def test_loss_is_nothing_for_the_right_mask(target, mask):
    system, waves = dataclasses.replace(SMALL, target=target), _waves(SMALL)
    waves[:, 0] = 0  # no voice
    assert float(system.loss(lambda patches: torch.full_like(patches, mask), waves)) < 1e-7
    assert float(system.loss(lambda patches: torch.full_like(patches, 1 - mask), waves)) > 1e-3


@pytest.mark.parametrize("target", ["vocals", "instrumental"])
def test_learns(target):
    torch.manual_seed(4)
    system = dataclasses.replace(SMALL, target=target)
    net, waves = system.net(), _waves(SMALL)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = system.loss(net, waves)
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters())
        optimiser.step()
        losses.append(loss.detach())
    assert losses[-1] < 0.7 * losses[0]


def test_bad_choices_are_named():
    with pytest.raises(UsageError, match=r"target 'vocal'.*did you mean 'vocals'"):
        UNet(target="vocal")
    with pytest.raises(UsageError, match="loss_form 'l2'"):
        UNet(loss_form="l2")
    with pytest.raises(UsageError, match="multiples of 64"):
        UNet(columns=100)
    with pytest.raises(UsageError, match="take at least 31"):
        short = dataclasses.replace(SMALL, training=Training(hops=20))
        short.loss(short.net(), _waves(short))
