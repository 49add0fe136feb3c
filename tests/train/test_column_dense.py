"""The system `column-dense`: its sizes, and that what is kept from hop to hop is what windows would give."""

import dataclasses

import pytest
import torch
from torch import nn

from rtsep.errors import UsageError
from train.learn.gate import FORM_TOLERANCE, check, load_program, run_steps, script
from train.learn.nets.column_dense import ColumnDense
from train.learn.nets.column_dense_net import levels
from train.learn.system import Training

SMALL = ColumnDense(
    n_fft=64, window=37, filters=(6, 5, 7, 4), hidden=24, stride=4,
    training=Training(batch=2, hops=47, optimiser="adam", learning_rate=3e-3),
)  # fmt: skip


def _net(system, seed=0):
    """A net whose masks depend on all of its window: new weights leave masks near one half."""
    torch.manual_seed(seed)
    net = system.net().eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, 0, 1.8 / layer.weight[0].numel() ** 0.5)
                nn.init.normal_(layer.bias, 0, 0.5)
    return net


def _columns(system, steps, seed=1):
    """Loud and quiet columns, a rest, digital silence at first."""
    rng = torch.Generator().manual_seed(seed)
    columns = torch.randn(steps, 1, system.framing.bins, 2, generator=rng)
    columns *= 10 ** (torch.rand(steps, 1, 1, 1, generator=rng) * 5 - 4)
    columns[:3] = 0
    columns[steps // 2 : steps // 2 + system.window + 9] = 0
    return columns


def test_full_size_is_that_of_the_documents():
    system = ColumnDense()
    net = system.net()
    assert sum(p.numel() for p in net.parameters()) == 5_378_465
    each = [sum(p.numel() for p in layer.parameters()) for layer in (*net.convolutions, net.hidden, net.mask)]
    assert each == [320, 4624, 9280, 9232, 5_091_584, 263_425]
    shapes = []
    for layer in (*net.convolutions, net.hidden, net.mask):
        layer.register_forward_hook(lambda _layer, _given, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        net(torch.zeros(1, 1, 1025, 100))
    assert shapes == [(32, 1025, 100), (16, 1025, 100), (64, 341, 33), (16, 341, 33), (256,), (1025,)]
    assert net.hidden.in_features == 16 * 113 * 11
    assert (system.framing.bins, system.framing.hop, system.rate, system.channels) == (1025, 512, 44100, 1)


def test_layers_come_in_the_order_of_the_documents():
    net = _net(SMALL)
    plain = nn.Sequential()
    for first, second in (net.convolutions[:2], net.convolutions[2:]):
        plain += nn.Sequential(first, nn.LeakyReLU(0.01), second, nn.LeakyReLU(0.01), nn.MaxPool2d(3))
    plain += nn.Sequential(nn.Flatten(), net.hidden, nn.LeakyReLU(0.01), net.mask)
    windows = torch.rand(3, 1, SMALL.framing.bins, SMALL.window) * 5
    with torch.no_grad():
        torch.testing.assert_close(net(windows), plain(windows), atol=1e-5, rtol=0)


def test_masks_are_those_of_the_last_columns_window():
    net, columns = _net(SMALL), _columns(SMALL, 60)
    inputs = levels(columns[:, 0].square().sum(-1).sqrt(), SMALL.n_fft)
    with torch.no_grad():
        masks = net.masks(columns)
        whole = inputs[50 - SMALL.window + 1 : 51].t()[None, None]
        torch.testing.assert_close(masks[50, 0], net(whole)[0].sigmoid(), atol=1e-5, rtol=0)
        begun = torch.zeros_like(whole)
        begun[..., -6:] = inputs[:6].t()
        torch.testing.assert_close(masks[5, 0], net(begun)[0].sigmoid(), atol=1e-5, rtol=0)
    assert masks.std(0).mean() > 0.02, "a mask that never moves proves nothing"


@pytest.mark.parametrize("window", [28, 37, 46])
@pytest.mark.parametrize("n_fft", [32, 64, 128])  # 17, 33, 65 bins: each remainder of both poolings
def test_steps_are_the_windows(window, n_fft):
    system = dataclasses.replace(SMALL, window=window, n_fft=n_fft)
    net = _net(system)
    program = system.program(net).eval()
    columns = _columns(system, 5 * window + 20)
    with torch.no_grad():
        wanted = net.masks(columns)
        stepped = run_steps(program, columns, program.state_size)
        torch.testing.assert_close(stepped, wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(program.offline(columns), wanted, atol=1e-5, rtol=0)


def test_steps_are_the_windows_at_full_size():
    system = ColumnDense()
    net = _net(system)
    program = system.program(net).eval()
    columns = _columns(system, 270)
    some = [0, 1, 2, 7, 40, 98, 99, 100, 134, 135, 180, 243, 244, 250, 269]
    with torch.no_grad():
        stepped = run_steps(program, columns, program.state_size)
        padded = torch.cat([columns.new_zeros(99, 1, 1025, 2), columns])
        for step in some:
            inputs = levels(padded[step : step + 100, 0].square().sum(-1).sqrt(), system.n_fft)
            wanted = net(inputs.t()[None, None]).sigmoid()
            torch.testing.assert_close(stepped[step], wanted, atol=FORM_TOLERANCE, rtol=0)
    assert stepped[some].std(0).mean() > 0.02


def test_silence_played_is_silence_before_the_stream():
    net = _net(SMALL)
    program = SMALL.program(net).eval()
    state = torch.zeros(program.state_size)
    silence = torch.zeros(1, SMALL.framing.bins, 2)
    with torch.no_grad():
        masks = torch.stack([program.step(silence, state) for _ in range(3 * SMALL.window)])
    torch.testing.assert_close(masks, masks[:1].expand_as(masks), atol=1e-6, rtol=0)
    assert state[:-1].abs().max() < 1e-5


@pytest.mark.parametrize("column", ["last", "centre"])
def test_passes_the_gate(column):
    system = dataclasses.replace(
        SMALL, column=column, n_fft=512, window=28
    )  # several windows in half a second
    net = _net(system)
    program = system.program(net).eval()
    spec = system.spec(net, program, "small")
    assert spec.lookahead_hops == (0 if column == "last" else 13)
    assert spec.context_hops == 27 and spec.macs_per_hop > 0
    assert max(check(net, program, spec).differences.values()) < 1e-4


def test_the_saved_program_plays_several_streams_over_several_windows():
    net = _net(SMALL)
    program = SMALL.program(net).eval()
    loaded = load_program(script(program))
    streams = [_columns(SMALL, 150, seed) for seed in (1, 2)]
    states = [torch.zeros(program.state_size) for _ in streams]
    played = [[], []]
    with torch.no_grad():
        for step in range(150):
            for stream, state, masks in zip(streams, states, played, strict=True):
                masks.append(loaded.step(stream[step], state).clone())
        for stream, masks in zip(streams, played, strict=True):
            torch.testing.assert_close(torch.stack(masks), net.masks(stream), atol=1e-5, rtol=0)
            torch.testing.assert_close(loaded.offline(stream), net.masks(stream), atol=1e-5, rtol=0)


def test_a_mask_knows_its_window_and_nothing_else():
    net = _net(SMALL)
    program = SMALL.program(net).eval()
    columns = _columns(SMALL, 120)
    other = columns.clone()
    other[80:] = 1.0
    with torch.no_grad():
        masks, changed = (run_steps(program, c, program.state_size) for c in (columns, other))
        assert torch.equal(masks[:80], changed[:80]) and not torch.equal(masks[80], changed[80])
        other = columns.clone()
        other[:40] = float("nan")  # leaves the state with the window, for good
        forgotten = run_steps(program, other, program.state_size)
    assert forgotten[40 + SMALL.window - 2].isnan().any()
    torch.testing.assert_close(forgotten[40 + SMALL.window - 1 :], masks[40 + SMALL.window - 1 :])


@pytest.mark.parametrize(("column", "own"), [("last", 36), ("centre", 18)])
def test_the_target_is_the_mask_of_the_windows_own_column(column, own):
    system = dataclasses.replace(SMALL, column=column, bfloat16=False, stride=1)
    waves = torch.randn(2, 2, 2, system.frames) * 0.1
    voice, mix = system.spectra(waves)[:, :, 0].unbind(1)
    wanted = (voice.abs() > (mix - voice).abs()).float()  # [B, T, bins]
    given = []

    def knows(windows):
        given.append(windows)
        return (wanted[:, own : own + 12].flatten(0, 1) - 0.5) * 60

    assert system.loss(knows, waves) < 1e-6
    inputs = levels(mix.abs(), system.n_fft)
    assert given[0].shape == (24, 1, system.framing.bins, system.window)
    torch.testing.assert_close(given[0][5, 0], inputs[0, 5:42].t())
    torch.testing.assert_close(given[0][12, 0], inputs[1, :37].t())


def test_windows_lie_a_stride_apart_from_a_random_first_one():
    system = dataclasses.replace(SMALL, bfloat16=False)
    waves = torch.randn(1, 2, 2, system.frames) * 0.1
    inputs = levels(system.spectra(waves)[0, 1, 0].abs(), system.n_fft)
    firsts = set()

    def net(windows):
        assert windows.shape[0] == 3  # 48 columns: windows of 37 every 4
        first = next(f for f in range(4) if torch.equal(windows[0, 0], inputs[f : f + 37].t()))
        for place, window in enumerate(windows):
            assert torch.equal(window[0], inputs[first + 4 * place :][:37].t())
        firsts.add(first)
        return torch.zeros(3, system.framing.bins)

    torch.manual_seed(0)
    for _ in range(40):
        system.loss(net, waves)
    assert firsts == {0, 1, 2, 3}


def test_some_steps_of_training_learn():
    torch.manual_seed(0)
    net = SMALL.net().train()
    time = torch.arange(SMALL.frames) / SMALL.rate
    rng = torch.Generator().manual_seed(3)
    optimiser = torch.optim.Adam(net.parameters(), SMALL.training.learning_rate)
    losses = []
    for _ in range(60):
        pitch = 3000 + 4000 * torch.rand(4, 1, 1, generator=rng)  # a voice of one tone, music of noise
        voice = 0.3 * torch.sin(2 * torch.pi * pitch * time).expand(-1, 2, -1)
        mix = voice + 0.02 * torch.randn(4, 1, SMALL.frames, generator=rng)
        optimiser.zero_grad()
        loss = SMALL.loss(net, torch.stack([voice, mix], 1))
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:3]) / 3 * 10


def test_everything_stays_on_the_device_of_its_input():
    net = SMALL.net().eval().to("meta")  # a device that computes shapes, and refuses tensors of another
    program = SMALL.program(SMALL.net()).to("meta")
    columns = torch.zeros(3, 1, SMALL.framing.bins, 2, device="meta")
    assert net.masks(columns).shape == program.offline(columns).shape == columns.shape[:-1]
    assert program.offline(columns).is_meta


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"column": "first"}, "must be last or centre"),
        ({"window": 99}, "28, 37"),
        ({"stride": 0}, "at least 1"),
        ({"leak": -0.1}, "within 0..1"),
        ({"filters": (32, 16)}, "four"),
    ],
)
def test_impossible_choices_are_refused(wrong, reason):
    with pytest.raises(UsageError, match=reason):
        dataclasses.replace(SMALL, **wrong)


def test_excerpts_shorter_than_a_window_are_refused():
    with pytest.raises(UsageError, match="take at least 39"):
        SMALL.loss(SMALL.net(), torch.zeros(1, 2, 2, 64 + 38 * 16))
    SMALL.loss(SMALL.net(), torch.zeros(1, 2, 2, 64 + 39 * 16))
