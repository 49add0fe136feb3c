import dataclasses

import pytest
import torch

from rtsep.errors import UsageError
from rtsep.model.loader import load_model
from tests.train.recordings import swelling_tone
from train.learn.export import write_checked
from train.learn.gate import count_macs, run_steps
from train.learn.nets.column_resnet import ColumnResNet
from train.learn.nets.precision import multiplies_bfloat16
from train.learn.nets.targets import binary_mask, mel_weights, scaled_levels
from train.learn.system import Training

SMALL = ColumnResNet(width=4, n_fft=128, window=9, training=Training(hops=60))
TINY_18 = dataclasses.replace(SMALL, variant="resnet18", stride=5)
SYSTEMS = [
    SMALL,
    dataclasses.replace(SMALL, column="last", mel_weighting=True, power=3.0),
    TINY_18,
    dataclasses.replace(TINY_18, column="last", mel_weighting=True, power=3.0),
]
NAMES = ["small-centre", "small-last", "resnet18-centre", "resnet18-last"]


def _waves(system, batch=4):
    return swelling_tone(system, batch, period=5)


def _net(system):
    """A net with useful inputs: normalised, and with statistics of its batch norms."""
    torch.manual_seed(1)
    net, waves = system.net(), _waves(system)
    system.normalise(net, waves)
    with torch.no_grad():
        for _ in range(3):
            system.loss(net, waves)
    return net.eval()


def test_framing_and_windows():
    system = ColumnResNet()
    assert (system.rate, system.framing.n_fft, system.framing.hop, system.framing.bins) == (
        22050, 1024, 256, 513,
    )  # fmt: skip
    assert system.window == 25 and system.lookahead_hops == 12
    assert ColumnResNet(column="last").lookahead_hops == 0


def test_small_net_takes_25_columns_to_one():
    torch.manual_seed(0)
    system = ColumnResNet()
    net = system.net().eval()
    sizes = []
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] == 3]
    for layer in convolutions:
        assert layer.padding[0] == 0
        layer.register_forward_hook(lambda _layer, _in, out: sizes.append(tuple(out.shape[2:])))
    with torch.no_grad():
        assert net(torch.rand(1, 25, 513)).shape == (1, 1, 513)
    assert sizes == [(25 - 2 * (i + 1), 129) for i in range(12)]
    layers = 32 * 27 + 11 * 32 * 32 * 9 + 12 * 64
    assert sum(p.numel() for p in net.parameters()) == layers + 32 * 129 + 4 * 32 + 513 == 107_777


def test_small_net_costs_little_a_hop():
    torch.manual_seed(0)
    system = ColumnResNet()
    program = system.program(system.net().eval())
    found = count_macs(program, torch.zeros(1, 513, 2), program.state_size)
    assert found == 129 * (27 * 32 + 11 * 9 * 32 * 32 + 32 * 4) < 15e6


def test_resnet18_has_18_layers_at_a_quarter_of_the_width():
    torch.manual_seed(0)
    system = ColumnResNet(variant="resnet18", width=16)
    net = system.net().eval()
    shapes = []
    net.stem.register_forward_hook(lambda _layer, _in, out: shapes.append(tuple(out.shape[1:])))
    for block in net.blocks:
        block.register_forward_hook(lambda _layer, _in, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        assert net(torch.rand(1, 25, 513)).shape == (1, 513)
    stages = [(16, 129, 7), (32, 65, 4), (64, 33, 2), (128, 17, 1)]
    assert shapes == [(16, 257, 13)] + [stage for stage in stages for _ in range(2)]
    skips = sum(len(block.skip) > 0 for block in net.blocks)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert (len(layers) - skips, skips) == (18, 3)
    assert sum(p.numel() for p in net.parameters()) == 1_522_417
    program = system.program(net)
    assert count_macs(program, torch.zeros(1, 513, 2), program.state_size) == 33_127_504 < 40e6


@pytest.mark.parametrize("system", SYSTEMS, ids=NAMES)
def test_program_passes_the_gate_and_plays(system, tmp_path):
    net, path = _net(system), tmp_path / "m.pt"
    program = system.program(net)
    spec = system.spec(net, program, "tiny")
    assert spec.band_above == "follow" and spec.context_hops == 8
    differences = write_checked(net, program, spec, path, system.golden_steps)
    assert max(differences.values()) < 1e-4
    assert load_model(path).golden_error < 1e-5


@pytest.mark.parametrize("system", SYSTEMS, ids=NAMES)
def test_mask_belongs_to_its_column(system):
    """A step gives the mask that the loss compares with the target: the net on the window of a column."""
    net, program = _net(system), system.program(_net(system))
    columns = torch.randn(40, 1, 65, 2) * 0.1
    magnitude = torch.linalg.vector_norm(columns[:, 0], dim=-1)
    with torch.no_grad():
        masks = run_steps(program, columns, program.state_size)
        for step in (8, 20, 39):
            window = magnitude[None, step - 8 : step + 1]
            wanted = torch.sigmoid(net(window)).flatten()
            torch.testing.assert_close(masks[step, 0], wanted, atol=1e-5, rtol=0)
    asked = []

    def spy(windows):
        asked.append(windows)
        return torch.zeros(*windows.shape[:1], *((53,) if system.variant == "small" else ()), 65)

    waves = _waves(system, batch=1)
    voice, mix = system.spectra(waves)[0, :, 0]
    wanted = binary_mask(voice, mix - voice)
    every = dataclasses.replace(system, stride=1)
    late = 4 if system.column == "centre" else 0
    targets = wanted[8 - late : 61 - late]  # of the windows that end with columns 8, 9, .. 60
    assert 0.05 < targets.mean() < 0.95
    torch.testing.assert_close(every.loss(spy, waves), torch.tensor(2.0).log())
    right = (targets * 2 - 1) * 50
    assert (
        float(every.loss(lambda _windows: right[None] if system.variant == "small" else right, waves)) < 1e-6
    )


@pytest.mark.parametrize("system", SYSTEMS[::2], ids=NAMES[::2])
def test_long_recordings_are_masked_in_parts(system):
    net, program = _net(system), system.program(_net(system))
    columns = torch.randn(530, 1, 65, 2) * 0.1  # more than are computed at once
    with torch.no_grad():
        torch.testing.assert_close(program.offline(columns), net.masks(columns), atol=1e-5, rtol=0)


@pytest.mark.parametrize("system", SYSTEMS[::2], ids=NAMES[::2])
def test_state_of_zeros_is_silence(system):
    program = system.program(_net(system))
    state = torch.zeros(program.state_size)
    with torch.no_grad():
        first = program.step(torch.zeros(1, 65, 2), state).clone()
        for _ in range(2 * system.window):
            last = program.step(torch.zeros(1, 65, 2), state)
    torch.testing.assert_close(last, first, atol=1e-6, rtol=0)
    assert float(state.abs().max()) < 1e-5


def test_small_nets_do_not_compute_a_window_again():
    """A column's mask costs the same however long the window is, but for the layers that lengthen it."""
    costs = []
    for window in (9, 13):
        system = dataclasses.replace(SMALL, window=window)
        program = system.program(system.net().eval())
        costs.append(count_macs(program, torch.zeros(1, 65, 2), program.state_size))
    assert costs[1] - costs[0] == 2 * 17 * 9 * 4 * 4  # one block of two convolutions


def test_level_does_not_matter_to_resnet18():
    net, columns = _net(TINY_18), torch.randn(30, 1, 65, 2) * 0.1
    with torch.no_grad():
        for factor in (0.1, 10.0):
            torch.testing.assert_close(net.masks(columns * factor), net.masks(columns), atol=1e-5, rtol=0)


@pytest.mark.parametrize("system", SYSTEMS, ids=NAMES)
def test_learns(system):
    torch.manual_seed(4)
    net, waves = system.net(), _waves(system)
    system.normalise(net, waves)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = system.loss(net, waves)
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters())
        optimiser.step()
        losses.append(loss.detach())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.skipif(not multiplies_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16")
@pytest.mark.parametrize("variant", ["small", "resnet18"])
def test_gradients_of_bfloat16_are_those_of_float32(variant):
    gradients = []
    for half in (False, True):
        torch.manual_seed(5)
        system = ColumnResNet(
            variant=variant, width=8, stride=6, bfloat16=half, training=Training(hops=36)
        )  # the real window and bins
        net, waves = system.net(), _waves(system, batch=2)
        system.normalise(net, waves)
        torch.manual_seed(6)
        system.loss(net, waves).backward()
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    exact, rounded = gradients
    for name in exact:  # a kernel that leaves garbage anywhere is off by much more
        assert 0.5 < rounded[name].norm() / exact[name].norm() < 2, name
    whole = [torch.cat([gradient.flatten() for gradient in each.values()]) for each in gradients]
    assert torch.nn.functional.cosine_similarity(*whole, 0) > 0.9


def test_stride_thins_the_windows_of_the_loss():
    batches = []

    def spy(windows):
        batches.append(windows)
        return torch.zeros(windows.shape[0], 65)

    waves = _waves(TINY_18, batch=2)  # 61 columns: 53 windows
    torch.manual_seed(0)
    for _ in range(20):
        TINY_18.loss(spy, waves)
    counts = {windows.shape[0] for windows in batches}
    assert counts == {2 * 10, 2 * 11}, "every fifth, from any of the first five on"
    firsts = {float(windows[0, 0].sum()) for windows in batches}
    assert len(firsts) == 5
    mix = TINY_18.spectra(waves[:, 1])[0, 0].abs()
    first = [k for k in range(5) if torch.equal(mix[k : k + 9], batches[0][0])]
    assert len(first) == 1
    torch.testing.assert_close(batches[0][1], mix[first[0] + 5 : first[0] + 14])


def test_levels_run_from_silence_to_full_scale():
    magnitude = torch.tensor([0.0, 10 ** (-45 / 20), 1.0])
    plain, cubed = (scaled_levels(magnitude, 90.0, power) for power in (1.0, 3.0))
    torch.testing.assert_close(plain, torch.tensor([0.0, 0.5, 1.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(cubed, plain**3)


def test_mel_weights_are_the_slope_of_the_mel_scale():
    weights, frequency = mel_weights(513, 22050), torch.linspace(0, 11025, 513, dtype=torch.float64)
    mel = 2595 * torch.log10(1 + frequency / 700)
    slope = (mel[2:] - mel[:-2]) / (frequency[2:] - frequency[:-2])
    at_1_khz = 2595 / (1700 * torch.tensor(10.0, dtype=torch.float64).log())
    torch.testing.assert_close(weights[1:-1].double(), slope / at_1_khz, atol=2e-3, rtol=0)


@pytest.mark.parametrize("variant", ["small", "resnet18"])
@pytest.mark.parametrize("choice", [{"mel_weighting": True}, {"power": 3.0}])
def test_input_options_change_the_input(variant, choice):
    plain = dataclasses.replace(SMALL, variant=variant)
    magnitude = torch.rand(1, 9, 65, generator=torch.Generator().manual_seed(1)) ** 4
    inputs = [s.net().levels(magnitude) for s in (plain,)]
    changed = dataclasses.replace(plain, **choice).net()
    inputs.append(changed.levels(changed.levels.weighted(magnitude)))
    assert not torch.allclose(inputs[0], inputs[1], atol=0.05)


def test_bad_choices_are_named():
    with pytest.raises(UsageError, match=r"variant 'smal'.*did you mean 'small'"):
        ColumnResNet(variant="smal")
    with pytest.raises(UsageError, match="column 'first'"):
        ColumnResNet(column="first")
    with pytest.raises(UsageError, match="window 24"):
        ColumnResNet(window=24)
    with pytest.raises(UsageError, match="above 0"):
        ColumnResNet(stride=0)
    with pytest.raises(UsageError, match="take at least 12"):
        TINY_18.loss(TINY_18.net(), _waves(dataclasses.replace(TINY_18, training=Training(hops=7))))
