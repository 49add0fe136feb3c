"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

N. Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", ICLR 2025, algorithm 3. A gradient G [m,
n] is rotated by the eigenvectors of the running means of G G' and G' G before Adam's second moment. These
eigenvectors are updated now and then by a step of orthogonal iteration. Vectors (biases, gains) use plain
Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """SOAP with decoupled weight decay. A convolution [out, in, taps] is treated as [out, in * taps]."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        refresh: int = 10,
    ) -> None:
        """Optimise `params`; the eigenvectors are updated every `refresh` steps."""
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "refresh": refresh}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one step; matrices make none at the first, which only fills their statistics."""
        loss = closure() if closure else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    def _move(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        slope, state = grad.flatten(1) if grad.dim() > 1 else grad, self.state[weight]
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(slope), torch.zeros_like(slope)
            if slope.dim() == 2:
                state["rows"], state["columns"] = slope @ slope.T, slope.T @ slope
                for side, basis in (("rows", "left"), ("columns", "right")):
                    state[basis] = torch.linalg.eigh(state[side])[1].flip(1).contiguous()
                return  # in its own basis a gradient is zero nearly everywhere: no useful scale
        state["step"] += 1
        turned = _turned(slope, state)
        state["mean"].lerp_(slope, 1 - first)
        state["square"].lerp_(turned.square(), 1 - second)
        # Both means begin at zero: without this the first steps would be too long or too short.
        scale = (state["square"] / (1 - second ** state["step"])).sqrt() + group["eps"]
        move = _turned(state["mean"], state) / (1 - first ** state["step"]) / scale
        if slope.dim() == 2:
            move = state["left"] @ move @ state["right"].T
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(move.view_as(weight), alpha=-group["lr"])
        if slope.dim() == 2:
            state["rows"].lerp_(slope @ slope.T, 1 - second)
            state["columns"].lerp_(slope.T @ slope, 1 - second)
            if state["step"] % group["refresh"] == 0:
                for side, basis in (("rows", "left"), ("columns", "right")):
                    state[basis] = torch.linalg.qr(state[side] @ state[basis])[0]


def _turned(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    """Return `matrix` in the present eigenbases; a vector is returned unchanged."""
    return state["left"].T @ matrix @ state["right"] if matrix.dim() == 2 else matrix
