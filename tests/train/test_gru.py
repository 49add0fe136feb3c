"""The system `gru`: its inputs, the equality of all its forms, and its learning."""

import dataclasses

import pytest
import torch
from torch import nn

from rtsep.dsp.windows import PROFILES
from rtsep.errors import UsageError
from tests.train.conftest import FRAMING, SYSTEM
from tests.train.recordings import swelling_tone
from train.learn.gate import check, load_program, run_steps, script
from train.learn.nets.causal import Causal
from train.learn.nets.gru import Gru, GruNet
from train.learn.system import Training, count_macs

SMALL = Gru(
    framing=FRAMING, hidden=20, layers=3, objective=SYSTEM.objective,
    training=Training(batch=2, hops=128, learning_rate=3e-3),
)  # fmt: skip


def _net(system=SMALL, seed=0):
    """A net whose masks depend on input and memory: with new weights they are near one half."""
    torch.manual_seed(seed)
    net = system.net().eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.GRU | nn.LayerNorm):
                for weight in layer.parameters():
                    # Larger ones make a chaos of the recurrence, where rounding alone moves a mask.
                    inputs = weight.shape[-1] if weight.dim() > 1 else 16
                    weight.add_(inputs**-0.5 * torch.randn_like(weight))
    net.fit_features(torch.randn(50, 2, system.inputs) * 4 - 7)
    return net


def _columns(steps, system=SMALL, seed=1):
    """Loud and quiet columns, a rest, digital silence at first."""
    rng = torch.Generator().manual_seed(seed)
    columns = torch.randn(steps, 2, system.framing.bins, 2, generator=rng)
    columns *= 10 ** (torch.rand(steps, 1, 1, 1, generator=rng) * 4 - 3)
    columns[:3] = 0
    columns[steps // 2 : steps // 2 + steps // 8] = 0
    return columns


def test_full_size():
    net = GruNet()
    system, inputs, bins = net.system, 743, 1024
    assert system.framing == PROFILES["light"] and system.rates == (44100, 48000)
    assert (system.inputs, system.lookahead_hops, system.context_hops) == (inputs, 0, None)
    cell = 3 * 256 * 2 * 256
    products = 2 * inputs * 256 + 2 * cell + 512 * 256 + 256 * 2 * bins
    gains = 2 * 2 * 256 + 2 * 2 * 3 * 256 + 2 * bins  # of norms, of the GRU, of the masks
    assert sum(p.numel() for p in net.parameters()) == products + gains == 1_828_352
    program = system.program(net.eval())
    assert count_macs(program, torch.zeros(2, 1025, 2), program.state_size) == products


def test_its_inputs_are_those_of_causal_of_mid_and_side_up_to_16_khz():
    plain = Causal(framing=FRAMING, pool=((128, 1),), channels_down=(4,))
    mix = torch.randn(2, 2, 30, FRAMING.bins, dtype=torch.complex64) * torch.rand(2, 1, 30, 1)
    assert SMALL.inputs == 93 and 16000 - 100 < SMALL.inputs * 44100 / 256 < 16000 + 100
    torch.testing.assert_close(SMALL.features(mix), plain.features(mix)[:, :, 2:, :93], rtol=1e-4, atol=1e-4)


def test_program_equals_training_form():
    net, columns = _net(), _columns(90)
    program = SMALL.program(net).eval()
    with torch.no_grad():
        wanted = net.masks(columns)
        torch.testing.assert_close(program.offline(columns), wanted, atol=2e-5, rtol=0)
        torch.testing.assert_close(run_steps(program, columns, program.state_size), wanted, atol=2e-5, rtol=0)
    assert wanted.std(0).mean() > 0.1, "a mask that never moves proves nothing"


def test_passes_the_gate():
    net = _net()
    program = SMALL.program(net).eval()
    assert max(check(net, program, SMALL.spec(net, program, "small")).differences.values()) < 1e-4


def test_the_saved_program_plays_several_streams():
    net = _net()
    program = SMALL.program(net).eval()
    loaded = load_program(script(program))
    streams = [_columns(60, seed=seed) for seed in (1, 2)]
    states = [torch.zeros(program.state_size) for _ in streams]
    played = [[], []]
    with torch.no_grad():
        for step in range(60):
            for stream, state, masks in zip(streams, states, played, strict=True):
                masks.append(loaded.step(stream[step], state).clone())
        for stream, masks in zip(streams, played, strict=True):
            torch.testing.assert_close(torch.stack(masks), net.masks(stream), atol=2e-5, rtol=0)


def test_masks_know_nothing_of_the_future_and_all_of_the_past():
    net, columns = _net(), _columns(40)
    later, before = columns.clone(), columns.clone()
    later[25:] = float("nan")
    before[10] *= -3  # 15 hops before the last mask compared
    with torch.no_grad():
        masks = net.masks(columns)
        assert torch.equal(masks[:25], net.masks(later)[:25])
        changed = (net.masks(before) - masks).abs().amax((1, 2))
    assert not changed[:10].any() and changed[25] > 1e-5


def test_mixtures_of_a_batch_know_nothing_of_each_other():
    net = _net()
    features = torch.randn(30, 3, 2, SMALL.inputs)
    with torch.no_grad():
        together = net(features)
        for index in range(3):
            torch.testing.assert_close(together[:, index], net(features[:, index : index + 1])[:, 0])


def test_how_loud_it_is_played_makes_no_difference():
    net = _net()
    columns = 0.01 * torch.randn(40, 2, FRAMING.bins, 2) * torch.rand(40, 1, 1, 1)
    with torch.no_grad():
        masks = net.masks(columns)
        for gain in (0.1, 10.0):
            torch.testing.assert_close(net.masks(gain * columns), masks, atol=1e-3, rtol=0)


def test_inputs_are_normalised_bin_by_bin():
    net = SMALL.net()
    waves = 0.1 * torch.randn(4, 2, 2, SMALL.frames)
    SMALL.normalise(net, waves)
    normal = (SMALL.features(SMALL.spectra(waves[:, 1])) - net.mean) * net.scale
    assert normal.mean((0, 1)).abs().max() < 1e-3
    torch.testing.assert_close(normal.std((0, 1)), torch.ones(2, SMALL.inputs), atol=0.02, rtol=0)


def test_calibrated_masks():
    net, columns = _net(), _columns(30)
    with torch.no_grad():
        plain = torch.logit(net.masks(columns).double())
        SMALL.calibrate(net, 0.7, -0.4)
        torch.testing.assert_close(
            net.masks(columns).double(), torch.sigmoid(0.7 * plain - 0.4), atol=1e-5, rtol=0
        )


def test_layers_are_dropped_out_of_in_training_alone():
    features = torch.randn(12, 1, 2, SMALL.inputs)
    for layers, dropout, differs in ((3, 0.5, True), (3, 0.0, False), (1, 0.5, False)):
        net = _net(dataclasses.replace(SMALL, layers=layers, dropout=dropout))
        with torch.no_grad():
            plain = net(features)
            assert torch.equal(net(features), plain)
            assert torch.allclose(net.train()(features), plain, atol=1e-5) != differs


def test_some_steps_of_training_learn():
    torch.manual_seed(4)
    net, waves = SMALL.net(), swelling_tone(SMALL, 2, period=20)
    SMALL.normalise(net, waves)
    optimiser = torch.optim.AdamW(net.parameters(), SMALL.training.learning_rate)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = SMALL.loss(net, waves)
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 3, "dB, for the most part"


def test_everything_stays_on_the_device_of_its_input():
    net = SMALL.net().eval().to("meta")  # a device that computes shapes, and refuses tensors of another
    program = SMALL.program(SMALL.net()).to("meta")
    columns = torch.zeros(3, 2, FRAMING.bins, 2, device="meta")
    assert net.masks(columns).shape == program.offline(columns).shape == columns.shape[:-1]
    assert program.step(columns[0], torch.zeros(program.state_size, device="meta")).is_meta


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"hidden": 0}, "at least 1"),
        ({"layers": 0}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
        ({"heard_hz": 30000.0}, "at most 22050"),
        ({"heard_hz": 20.0}, "must reach a bin"),
    ],
)
def test_impossible_choices_are_refused(wrong, reason):
    with pytest.raises(UsageError, match=reason):
        dataclasses.replace(SMALL, **wrong)
