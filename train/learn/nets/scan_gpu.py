"""The gated linear recurrence of `train.learn.nets.scan` on a GPU: one Triton kernel forward, one backward.

Each program of a kernel walks all steps for some channels of one band, so every value is read and written
once. Composed in parallel instead (`gated_scan_parallel`), each of log2(T) passes goes over all of them.
Triton comes with torch where torch has CUDA; import this only there.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 64
"""Channels that a program walks: few, as what counts is how many programs wait for memory at once."""


@triton.jit
def _forward(pre, hidden, out, steps, channels, width, lanes: tl.constexpr):  # type: ignore[no-untyped-def]
    # pre [K, T, B, 3E]; hidden, out [K, T, B, E]; channels = B E
    band, lane = tl.program_id(0).to(tl.int64), tl.program_id(1) * lanes + tl.arange(0, lanes)
    there = lane < channels
    at = pre + band * steps * channels * 3 + lane // width * (3 * width) + lane % width
    to = band * steps * channels + lane
    h = tl.zeros([lanes], tl.float32)
    for _ in range(steps):
        forget = tl.sigmoid(tl.load(at, there, 0.0))
        c = tl.load(at + width, there, 0.0)
        g = tl.load(at + 2 * width, there, 0.0)
        h = c + forget * (h - c)
        tl.store(hidden + to, h, there)
        tl.store(out + to, h * g * tl.sigmoid(g), there)
        at += channels * 3
        to += channels


@triton.jit
def _backward(pre, hidden, grad, out, steps, channels, width, lanes: tl.constexpr):  # type: ignore[no-untyped-def]
    # grad: of y [K, T, B, E]; out: of pre [K, T, B, 3E]
    band, lane = tl.program_id(0).to(tl.int64), tl.program_id(1) * lanes + tl.arange(0, lanes)
    there = lane < channels
    at = (band + 1) * steps * channels * 3 + lane // width * (3 * width) + lane % width
    to = (band + 1) * steps * channels + lane
    carry = tl.zeros([lanes], tl.float32)  # gradient of h[t] that step t + 1 sends back
    h = tl.load(hidden + to - channels, there, 0.0)
    for t in range(steps):
        at -= channels * 3
        to -= channels
        last = tl.load(hidden + to - channels, there & (t < steps - 1), 0.0)
        forget = tl.sigmoid(tl.load(pre + at, there, 0.0))
        c = tl.load(pre + at + width, there, 0.0)
        g = tl.load(pre + at + 2 * width, there, 0.0)
        y = tl.load(grad + to, there, 0.0)
        open_ = tl.sigmoid(g)
        back = y * g * open_ + carry
        to_c = back * (1 - forget)
        tl.store(out + at, to_c * forget * (last - c), there)
        tl.store(out + at + width, to_c, there)
        tl.store(out + at + 2 * width, y * h * open_ * (1 + g * (1 - open_)), there)
        carry = back * forget
        h = last


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor) -> Tensor:
        bands, steps, batch, triple = pre.shape
        width = triple // 3
        pre = pre.contiguous()
        hidden = pre.new_empty(bands, steps, batch, width)
        out = torch.empty_like(hidden)
        channels = batch * width
        grid = (bands, triton.cdiv(channels, LANES))
        _forward[grid](pre, hidden, out, steps, channels, width, LANES, num_warps=LANES // 32)
        ctx.save_for_backward(pre, hidden)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        pre, hidden = ctx.saved_tensors
        bands, steps, batch, width = hidden.shape
        out = torch.empty_like(pre)
        channels = batch * width
        grid = (bands, triton.cdiv(channels, LANES))
        grad = grads[0].contiguous()
        _backward[grid](pre, hidden, grad, out, steps, channels, width, LANES, num_warps=LANES // 32)
        return out


def gated_scan(pre: Tensor) -> Tensor:
    """Run the recurrence from a zero state: [K, T, B, 3E] -> [K, T, B, E], float32, on a GPU."""
    result: Tensor = _GatedScan.apply(pre)
    return result
