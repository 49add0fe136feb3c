import dataclasses
import math
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from rtsep.dsp.windows import Framing
from rtsep.model.torchscript import without_warnings
from tests.gpu import NEEDS_GPU
from tests.train.conftest import FRAMING, SYSTEM
from train.learn.gate import load_program, run_steps, script
from train.learn.loss import LossConfig, masked_loss, masked_loss_reference, target_of
from train.learn.nets.causal import Causal
from train.learn.nets.causal_net import CausalNet
from train.learn.nets.causal_program import CausalProgram
from train.learn.nets.relative import FLOOR, level_of_late
from train.learn.nets.scan import gated_scan, gated_scan_parallel, gated_scan_reference
from train.learn.nets.workspace import lay_out, windows_of_rows
from train.learn.stft import analyse, frames_of, left_right, mid_side, played_columns, synthesise, windows
from train.learn.system import count_macs


def test_scans_are_their_twin_forward_and_backward():
    torch.manual_seed(0)
    pre = torch.randn(3, 9, 2, 15, requires_grad=True)
    weight = torch.randn(3, 9, 2, 5)
    results = []
    for scan in (gated_scan, gated_scan_parallel, gated_scan_reference):
        pre.grad = None
        out = scan(pre)
        (out * weight).sum().backward()
        results.append((out.detach(), pre.grad.clone()))
    torch.testing.assert_close(results[0], results[2], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(results[1], results[2], atol=2e-6, rtol=1e-5)


@NEEDS_GPU
@pytest.mark.parametrize("shape", [(3, 9, 2, 15), (44, 516, 5, 288), (2, 1, 1, 3)])
def test_scans_on_a_gpu_are_their_twin_forward_and_backward(shape):
    torch.manual_seed(0)
    pre = torch.randn(shape)
    weight = torch.randn(*shape[:3], shape[3] // 3)
    results = []
    for place, scan in (("cpu", gated_scan), ("cuda", gated_scan), ("cuda", gated_scan_parallel)):
        given = pre.to(place, copy=True).requires_grad_()
        out = scan(given)
        (out * weight.to(place)).sum().backward()
        results.append((out.detach().cpu(), given.grad.cpu()))
    torch.testing.assert_close(results[1], results[0], atol=5e-6, rtol=1e-4)
    torch.testing.assert_close(results[2], results[0], atol=5e-6, rtol=1e-4)


@NEEDS_GPU
def test_loss_and_gradients_on_a_gpu_are_those_of_the_processor():
    torch.manual_seed(2)
    net = SYSTEM.net().eval()  # in training it is half as precise, on purpose
    waves = 0.1 * torch.randn(2, 2, 2, SYSTEM.frames)
    waves[:, 1] += waves[:, 0]
    found = []
    for place in ("cpu", "cuda"):
        net.to(place).zero_grad()
        loss = SYSTEM.loss(net, waves.to(place))
        loss.backward()
        grads = torch.cat([weight.grad.flatten().cpu() for weight in net.parameters()])
        found.append((float(loss.detach()), grads))
    (here, slopes_here), (there, slopes_there) = found
    assert there == pytest.approx(here, rel=1e-3)
    assert float((slopes_there - slopes_here).norm() / slopes_here.norm()) < 1e-2


@pytest.mark.parametrize("steps", [1, 2, 7, 64, 101])
def test_level_is_the_mean_of_past_columns_with_falling_weights(steps):
    torch.manual_seed(1)
    power, keep = torch.rand(steps, 2), 0.9
    found = level_of_late(power, keep)
    for t in range(steps):
        weights = keep ** torch.arange(t, -1, -1, dtype=torch.float64)
        expected = (weights[:, None] * power[: t + 1]).sum(0) / weights.sum()
        torch.testing.assert_close(found[t].double(), expected, atol=0, rtol=1e-6)


@pytest.mark.parametrize("framing", [FRAMING, Framing(256, 256, 64)])
def test_loss_is_its_twin_forward_and_backward(framing):
    torch.manual_seed(1)
    config = LossConfig(segment_hops=8)
    analysis, synthesis = windows(framing)
    waves = torch.randn(2, 2, 2, framing.n_fft + 20 * framing.hop) * 0.1
    waves[:, 1] += waves[:, 0]
    waves[1, 0] = 0  # no voice
    target = target_of(waves, framing, analysis, config)
    logits = torch.randn(target.mix.shape[-2], 2, 2, framing.bins - 1, requires_grad=True)
    results = []
    for loss in (masked_loss, masked_loss_reference):
        logits.grad = None
        total, value = loss(logits, target, framing, synthesis, config)
        (2 * total).backward()
        results.append((total.detach(), value.detach(), logits.grad.clone()))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)
    steps, batch, channels, bins = logits.shape
    for shape in (
        (steps, batch, channels, bins + 1),
        (batch, steps, channels, bins),
        (steps, batch, 1, bins),
    ):
        with pytest.raises(ValueError, match="mask logits have shape"):
            masked_loss(torch.zeros(shape), target, framing, synthesis, config)


def test_loss_has_a_slope_where_a_mask_is_all_or_nothing():
    config = LossConfig(segment_hops=8)
    analysis, synthesis = windows(FRAMING)
    waves = torch.randn(1, 2, 2, FRAMING.n_fft + 20 * FRAMING.hop)
    target = target_of(waves, FRAMING, analysis, config)
    shape = (target.mix.shape[-2], 1, 2, FRAMING.bins - 1)
    for level in (17.0, -17.0, 110.0, -110.0):
        slopes = []
        for loss in (masked_loss, masked_loss_reference):
            logits = torch.full(shape, level, requires_grad=True)
            loss(logits, target, FRAMING, synthesis, config)[0].backward()
            slopes.append(logits.grad)
        assert torch.isfinite(slopes[0]).all() and torch.isfinite(slopes[1]).all()
        torch.testing.assert_close(slopes[0], slopes[1], atol=1e-5, rtol=1e-3)


def test_loss_stops_paying_for_easy_silence():
    config = LossConfig(segment_hops=8)
    analysis, synthesis = windows(FRAMING)
    waves = torch.randn(1, 2, 2, FRAMING.n_fft + 20 * FRAMING.hop)
    waves[:, 0] = 0
    target = target_of(waves, FRAMING, analysis, config)
    shape = (target.mix.shape[-2], 1, 2, FRAMING.bins - 1)
    logits = [torch.full(shape, level) for level in (-4.0, -6.0, -12.0)]
    losses = [masked_loss(each, target, FRAMING, synthesis, config)[1] for each in logits]
    assert losses[0] - losses[1] > 2 * (losses[1] - losses[2]) > 0
    assert losses[2] == pytest.approx(-25.2, abs=0.3)


def test_stft_gives_the_signal_back_late_by_the_latency():
    analysis, synthesis = windows(FRAMING)
    wave = torch.randn(2, 3001)
    columns = played_columns(mid_side(wave), FRAMING, analysis)
    played = left_right(synthesise(columns, FRAMING, synthesis))
    lag = FRAMING.stream_delay
    torch.testing.assert_close(played[:, lag : lag + 3001], wave, atol=1e-5, rtol=1e-5)
    assert analyse(wave, FRAMING, analysis).shape[-2] == frames_of(3001, FRAMING)


@pytest.mark.parametrize(
    "changes",
    [{}, {"taps": 1}, {"channels_down": (8,)}, {"pool": ((16, 1), (112, 2)), "layers": 1}],
    ids=["as it is", "one column", "halved once", "other pools"],
)
def test_program_equals_training_form(changes):
    torch.manual_seed(2)
    system = dataclasses.replace(SYSTEM, **changes)
    net = CausalNet(system).eval()
    net.fit_features(torch.randn(50, 4, system.pooled) * 4 - 10)
    with torch.no_grad():
        for weight in net.parameters():  # places and norms begin as zeros and ones
            weight += 0.1 * torch.randn_like(weight)
    program = CausalProgram(net).eval()
    columns = torch.randn(40, 2, FRAMING.bins, 2) * torch.logspace(-4, 1, 40)[:, None, None, None]
    with torch.no_grad():
        wanted = net.masks(columns)
        torch.testing.assert_close(program.offline(columns), wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(run_steps(program, columns, program.state_size), wanted, atol=1e-5, rtol=0)


class MadeAnew(TorchDispatchMode):
    """Counts operations whose results are neither views nor in a given output."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view and not func._schema.is_mutable:
            self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


def test_a_step_writes_where_it_is_told_to():
    torch.manual_seed(2)
    columns = torch.randn(30, 2, FRAMING.bins, 2)
    net = CausalNet(SYSTEM).eval()
    program = CausalProgram(net).eval()
    with torch.no_grad():
        wanted = run_steps(program, columns, program.state_size)
    assert not program.space.any() and not program.ears.space.any(), "what was computed would be saved"
    loaded = load_program(script(program))
    assert loaded.laid is None and loaded.ears.laid is None
    state, masks = torch.zeros(program.state_size), []
    for t, column in enumerate(columns):  # laid out in one mode, used in all
        with torch.inference_mode() if t % 3 == 0 else torch.no_grad() if t % 3 == 1 else nullcontext():
            masks.append(loaded.step(column, state))
    torch.testing.assert_close(torch.stack(masks), wanted, atol=1e-6, rtol=0)
    assert loaded.laid is not None and loaded.ears.laid is not None
    with torch.no_grad(), MadeAnew() as made:
        loaded.step(columns[0], state)
    assert made.counts == {"aten::native_layer_norm": 2 * SYSTEM.layers + 1, "aten::index_select": 1}
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        loaded.step(columns[0], state)
    counts = {row.key: row.count for row in profiled.key_averages()}
    assert not {"aten::resize_", "aten::zero_"} & counts.keys(), "laid out again"
    assert "aten::mm" not in counts, "TorchScript has taken products and sums apart"
    assert counts["aten::addmm"] == 2 + 3 * len(SYSTEM.channels_down) + 4 * SYSTEM.layers


@pytest.mark.parametrize("scripted", [False, True], ids=["Python", "scripted"])
def test_memory_of_a_program_is_laid_out_line_by_line(scripted):
    with without_warnings():
        form = torch.jit.script(lay_out) if scripted else lay_out
    space = torch.ones(0)
    shapes = [[3, 5], [1], [2, 2, 8], [0, 4], [16]]
    laid = form(space, shapes)
    assert [list(part.shape) for part in laid] == shapes
    assert all((part.data_ptr() - laid[0].data_ptr()) % 64 == 0 for part in laid)
    for value, part in enumerate(laid):
        assert not part.any()
        part.fill_(value + 1)
    assert all(bool((part == value + 1).all()) for value, part in enumerate(laid))
    assert space.shape == (16 + 16 + 32 + 0 + 16,)
    assert (laid[0].data_ptr() == space.data_ptr()) == (form is not lay_out)


def test_windows_of_rows_are_the_rows_side_by_side():
    rows = torch.randn(9, 4)[2:]
    torch.testing.assert_close(windows_of_rows(rows, 3), torch.cat([rows[:-2], rows[1:-1], rows[2:]], 1))


def test_masks_know_nothing_of_the_future():
    torch.manual_seed(3)
    net = CausalNet(SYSTEM).eval()
    columns = torch.randn(20, 2, FRAMING.bins, 2)
    changed = columns.clone()
    changed[11:] = float("nan")
    with torch.no_grad():
        assert torch.equal(net.masks(columns)[:11], net.masks(changed)[:11])


def test_default_net_is_of_the_size_it_was_designed_for():
    net = CausalNet(Causal())
    program = CausalProgram(net.eval())
    assert 0.1e6 < sum(p.numel() for p in net.parameters()) < 0.2e6
    assert 8e6 < net.macs < 8.5e6
    column = torch.zeros(2, net.system.framing.bins, 2)
    assert count_macs(program, column, program.state_size) == pytest.approx(net.macs, rel=0.01)


def test_sizes_must_fit_each_other():
    with pytest.raises(ValueError, match="pool covers 32 bins of 1024"):
        Causal(pool=((32, 1),))
    with pytest.raises(ValueError, match="352 pooled bins cannot be halved 6 times"):
        Causal(channels_down=(4, 4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match="taps"):
        Causal(taps=0)


def test_how_loud_it_is_played_makes_no_difference():
    torch.manual_seed(4)
    net = CausalNet(SYSTEM).eval()
    columns = 0.01 * torch.randn(40, 2, FRAMING.bins, 2) * torch.rand(40, 1, 1, 1)
    with torch.no_grad():
        masks = net.masks(columns)
        for gain in (0.1, 10.0):
            torch.testing.assert_close(net.masks(gain * columns), masks, atol=1e-3, rtol=0)


def test_level_is_the_mean_of_recent_columns():
    power = torch.rand(50, 2)
    weights = SYSTEM.keep ** torch.arange(50.0).flip(0)
    expected = [
        (power[: t + 1] * weights[-t - 1 :, None]).sum(0) / weights[-t - 1 :].sum() for t in range(50)
    ]
    torch.testing.assert_close(SYSTEM.level(power), torch.stack(expected))
    per_second = SYSTEM.rate / FRAMING.hop
    assert SYSTEM.keep ** (per_second * SYSTEM.level_s) == pytest.approx(math.exp(-1))


def test_lookahead_delays_masks_not_what_they_are_compared_with():
    torch.manual_seed(5)
    waves = 0.1 * torch.randn(2, 2, 2, FRAMING.n_fft + 70 * FRAMING.hop)
    late = dataclasses.replace(SYSTEM, lookahead=3)
    logits = torch.randn(71, 2, 2, SYSTEM.pooled)
    prompt = SYSTEM.loss(lambda _: logits[3:], waves[..., : -3 * FRAMING.hop])
    assert float(late.loss(lambda _: logits, waves)) == pytest.approx(float(prompt), rel=1e-6)
    assert late.lookahead_hops == 3


def test_pooled_bins_share_their_power_and_their_mask():
    mix = torch.randn(1, 2, 3, FRAMING.bins, dtype=torch.complex64)
    left = (mix[0, 0] + mix[0, 1]).abs().square()
    right = (mix[0, 0] - mix[0, 1]).abs().square()
    level = SYSTEM.level((left + right).mean(1) / 2)[:, None]
    features = (SYSTEM.features(mix)[:, 0, 0].exp() - FLOOR) * level
    torch.testing.assert_close(features[:, 5], left[:, 5], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(features[:, 34], left[:, 36:38].mean(1), rtol=1e-3, atol=1e-4)
    masks = SYSTEM.unpool(torch.arange(SYSTEM.pooled)[None].float())[0]
    assert masks.tolist() == SYSTEM.place[:-1] and SYSTEM.place[-1] == SYSTEM.pooled - 1
