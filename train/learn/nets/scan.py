"""The gated linear recurrence over time, forward and backward as one compiled pass each.

    f = sigmoid(a),  h[t] = f h[t-1] + (1 - f) c,  y = h * g * sigmoid(g)

after T. Lei et al., "Simple recurrent units for highly parallelizable recurrence", EMNLP 2018, without the
dependence of the gate on h: everything heavy stays a matrix product over all steps, and only this remains.
Layout is band-major, [bands, steps, batch, 3 * width] with a, c, g side by side in the last axis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _forward(pre: Array, forget: Array, gate: Array, hidden: Array, out: Array) -> None:
    # forget, gate: the sigmoids of a and g, [K, T, B, E] like hidden and out; pre [K, T, B, 3E]
    bands, steps, batch, width = forget.shape
    for k in range(bands):
        for t in range(steps):
            for b in range(batch):
                p, f, s, h, y = pre[k, t, b], forget[k, t, b], gate[k, t, b], hidden[k, t, b], out[k, t, b]
                if t == 0:
                    for e in range(width):
                        h[e] = (1 - f[e]) * p[width + e]
                        y[e] = h[e] * p[2 * width + e] * s[e]
                else:
                    last = hidden[k, t - 1, b]
                    for e in range(width):
                        h[e] = p[width + e] + f[e] * (last[e] - p[width + e])
                        y[e] = h[e] * p[2 * width + e] * s[e]


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _backward(pre: Array, forget: Array, gate: Array, hidden: Array, grad: Array, out: Array) -> None:
    # grad: of y [K, T, B, E]; out: of pre [K, T, B, 3E]
    # Several short loops instead of one: with fewer arrays in each, LLVM can rule out overlap and vectorise.
    bands, steps, batch, width = forget.shape
    carry = np.empty((batch, width), np.float32)  # gradient of h[t] that step t + 1 sends back
    back = np.empty(width, np.float32)  # gradient of h[t]
    origin = np.zeros(width, np.float32)
    for k in range(bands):
        carry[:] = 0
        for t in range(steps - 1, -1, -1):
            for b in range(batch):
                f, s, h, y, r = forget[k, t, b], gate[k, t, b], hidden[k, t, b], grad[k, t, b], carry[b]
                c, g = pre[k, t, b, width : 2 * width], pre[k, t, b, 2 * width :]
                last = hidden[k, max(t - 1, 0), b]
                if t == 0:
                    last = origin
                o = out[k, t, b]
                to_a, to_c, to_g = o[:width], o[width : 2 * width], o[2 * width :]
                for e in range(width):
                    back[e] = y[e] * g[e] * s[e] + r[e]
                for e in range(width):
                    to_c[e] = back[e] * (1 - f[e])
                for e in range(width):
                    r[e] = back[e] * f[e]
                for e in range(width):
                    to_a[e] = to_c[e] * f[e] * (last[e] - c[e])
                for e in range(width):
                    to_g[e] = y[e] * h[e] * s[e] * (1 + g[e] * (1 - s[e]))


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor) -> Tensor:
        width = pre.shape[-1] // 3
        pre = pre.contiguous()
        forget = torch.sigmoid(pre[..., :width])
        gate = torch.sigmoid(pre[..., 2 * width :])
        hidden, out = torch.empty_like(forget), torch.empty_like(forget)
        _forward(pre.numpy(), forget.numpy(), gate.numpy(), hidden.numpy(), out.numpy())
        ctx.save_for_backward(pre, forget, gate, hidden)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        pre, forget, gate, hidden = ctx.saved_tensors
        out = torch.empty_like(pre)
        grad = grads[0].contiguous().numpy()
        _backward(pre.numpy(), forget.numpy(), gate.numpy(), hidden.numpy(), grad, out.numpy())
        return out


def gated_scan(pre: Tensor) -> Tensor:
    """Run the recurrence from a zero state: [K, T, B, 3E] -> [K, T, B, E], float32, on any device."""
    if pre.device.type == "cpu":
        result: Tensor = _GatedScan.apply(pre)
        return result
    return _on_gpu()(pre)


@functools.cache
def _on_gpu() -> Callable[[Tensor], Tensor]:
    """One kernel where Triton is there, as it is wherever torch has CUDA on Linux."""
    try:
        from train.learn.nets.scan_gpu import gated_scan
    except ImportError:
        return gated_scan_parallel
    return gated_scan


def gated_scan_parallel(pre: Tensor) -> Tensor:
    """Compute the same in log2(T) passes over the whole sequence, for GPUs without Triton.

    h[t] = f[t] h[t-1] + b[t] composes: after the pass of span s, (f, b)[t] stand for the last 2 s steps
    (W. D. Hillis and G. L. Steele, "Data parallel algorithms", CACM 1986).
    """
    a, c, g = pre.chunk(3, -1)
    forget = torch.sigmoid(a)
    hidden = (1 - forget) * c
    span, steps = 1, pre.shape[1]
    while span < steps:
        hidden = torch.cat([hidden[:, :span], hidden[:, span:] + forget[:, span:] * hidden[:, :-span]], 1)
        forget = torch.cat([forget[:, :span], forget[:, span:] * forget[:, :-span]], 1)
        span *= 2
    return hidden * torch.nn.functional.silu(g)


def gated_scan_reference(pre: Tensor) -> Tensor:
    """The plain twin of all, for autograd; slow."""
    a, c, g = pre.chunk(3, -1)
    forget = torch.sigmoid(a)
    hidden = torch.zeros_like(c[:, 0])
    outputs = []
    for t in range(pre.shape[1]):
        hidden = forget[:, t] * hidden + (1 - forget[:, t]) * c[:, t]
        outputs.append(hidden * torch.nn.functional.silu(g[:, t]))
    return torch.stack(outputs, 1)
