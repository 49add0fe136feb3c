import pytest
import torch

from train.learn.soap import Soap


def _descend(optimiser, weight, loss, steps, last_rate=1.0):
    first = optimiser.param_groups[0]["lr"]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = first * (1 + (last_rate - 1) * step / steps)
        optimiser.zero_grad()
        loss(weight).backward()
        optimiser.step()
    return float(loss(weight).detach())


def _valley(turn):
    """A quadratic [8, 6] whose narrow directions lie across the axes by `turn`."""
    steep = torch.logspace(0, -3, 8)[:, None] * torch.logspace(0, -2, 6)[None, :]
    return lambda weight: (steep * (turn @ weight - 1)).square().sum()


@pytest.mark.parametrize("seed", range(3))
def test_a_valley_across_the_axes_is_descended_faster_than_by_adam(seed):
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(seed)))[0]
    ends = []
    for kind, betas in ((Soap, (0.95, 0.95)), (torch.optim.AdamW, (0.9, 0.99))):
        weight = torch.zeros(8, 6, requires_grad=True)
        optimiser = kind([weight], lr=0.02, betas=betas, weight_decay=0.0)
        ends.append(_descend(optimiser, weight, _valley(turn), 200, last_rate=0.01))
    assert ends[0] < 0.5 * ends[1]


def test_a_steady_gradient_moves_each_of_its_directions_by_the_rate():
    start = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    slope = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    weight = start.clone().requires_grad_()
    optimiser = Soap([weight], lr=0.1, weight_decay=0.5, eps=1e-3)  # what is but rounding stays small
    weight.grad = slope
    optimiser.step()
    assert torch.equal(weight, start), "the first gradient measures the bases"
    optimiser.step()
    moved = start * (1 - 0.1 * 0.5) - weight.detach()
    left, _, right = torch.linalg.svd(slope.flatten(1), full_matrices=False)
    torch.testing.assert_close(moved.flatten(1), 0.1 * left @ right, rtol=0.01, atol=1e-3)


def test_vectors_go_as_with_adam():
    weights = [torch.linspace(-1, 1, 8).requires_grad_() for _ in range(2)]
    optimisers = [
        kind([weight], lr=0.05, betas=(0.9, 0.95), weight_decay=0.1)
        for kind, weight in zip((Soap, torch.optim.AdamW), weights, strict=True)
    ]
    for optimiser, weight in zip(optimisers, weights, strict=True):
        _descend(optimiser, weight, lambda w: (w.square() * torch.arange(1, 9)).sum(), 20)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


def test_a_run_that_is_stored_goes_on_as_it_would_have():
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(9)))[0]
    whole = torch.zeros(8, 6, requires_grad=True)
    _descend(Soap([whole], lr=0.02), whole, _valley(turn), 24)
    first = torch.zeros(8, 6, requires_grad=True)
    before = Soap([first], lr=0.02)
    _descend(before, first, _valley(turn), 13)
    second = first.detach().clone().requires_grad_()
    after = Soap([second], lr=0.02)
    after.load_state_dict(before.state_dict())
    _descend(after, second, _valley(turn), 11)
    assert torch.equal(whole, second)
