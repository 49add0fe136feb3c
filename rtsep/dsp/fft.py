"""Real FFT of a power-of-two length in float32, without allocation: Stockham, radix 4.

It is written here because the hop loop may not allocate, and library FFTs for compiled code return new
arrays. Stockham's autosort form (P. N. Swarztrauber, "FFT algorithms for vector computers", Parallel
Computing 1, 1984) needs no bit reversal and keeps its inner loops contiguous. A real transform of n points is
a complex one of n/2 points and one pass of recombination. Tests compare it with scipy.fft in float64. Block:
n samples, stream delay 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class FftPlan(NamedTuple):
    """Twiddle factors and work space for one real length n; one plan per thread."""

    stage_re: NDArray[np.float32]  # [n/2] exp(-2 pi i k / (n/2))
    stage_im: NDArray[np.float32]  # [n/2]
    split_re: NDArray[np.float32]  # [n/4 + 1] exp(-2 pi i k / n)
    split_im: NDArray[np.float32]  # [n/4 + 1]
    work: NDArray[np.float32]  # [4, n/2] two complex buffers, with real and imaginary parts separate for SIMD


def plan_fft(n: int) -> FftPlan:
    """Return the plan of a real transform of `n` points, a power of two of at least 8."""
    if n < 8 or n & (n - 1):
        raise ValueError(f"FFT length {n}: must be a power of two of at least 8")
    stage = np.exp(-2j * np.pi * np.arange(n // 2) / (n // 2))
    split = np.exp(-2j * np.pi * np.arange(n // 4 + 1) / n)
    return FftPlan(
        stage_re=stage.real.astype(np.float32),
        stage_im=stage.imag.astype(np.float32),
        split_re=split.real.astype(np.float32),
        split_im=split.imag.astype(np.float32),
        work=np.zeros((4, n // 2), np.float32),
    )


@njit(cache=True, nogil=True)
def _complex_fft(plan: FftPlan) -> int:
    """Transform the complex buffer in work[0:2]; return the row where the result begins (0 or 2)."""
    total = plan.stage_re.size
    length, stride, source = total, 1, 0
    while length >= 4:
        quarter = length // 4
        target = 2 - source
        xr, xi = plan.work[source], plan.work[source + 1]
        yr, yi = plan.work[target], plan.work[target + 1]
        for p in range(quarter):
            w1r, w1i = plan.stage_re[p * stride], plan.stage_im[p * stride]
            w2r, w2i = plan.stage_re[2 * p * stride], plan.stage_im[2 * p * stride]
            w3r, w3i = plan.stage_re[3 * p * stride], plan.stage_im[3 * p * stride]
            i0, i1 = stride * p, stride * (p + quarter)
            i2, i3 = stride * (p + 2 * quarter), stride * (p + 3 * quarter)
            o = 4 * stride * p
            for q in range(stride):
                sum_ac_r, sum_ac_i = xr[i0 + q] + xr[i2 + q], xi[i0 + q] + xi[i2 + q]
                dif_ac_r, dif_ac_i = xr[i0 + q] - xr[i2 + q], xi[i0 + q] - xi[i2 + q]
                sum_bd_r, sum_bd_i = xr[i1 + q] + xr[i3 + q], xi[i1 + q] + xi[i3 + q]
                dif_bd_r, dif_bd_i = xr[i1 + q] - xr[i3 + q], xi[i1 + q] - xi[i3 + q]
                yr[o + q], yi[o + q] = sum_ac_r + sum_bd_r, sum_ac_i + sum_bd_i
                tr, ti = dif_ac_r + dif_bd_i, dif_ac_i - dif_bd_r  # minus i times (b - d)
                yr[o + stride + q], yi[o + stride + q] = tr * w1r - ti * w1i, tr * w1i + ti * w1r
                tr, ti = sum_ac_r - sum_bd_r, sum_ac_i - sum_bd_i
                yr[o + 2 * stride + q], yi[o + 2 * stride + q] = tr * w2r - ti * w2i, tr * w2i + ti * w2r
                tr, ti = dif_ac_r - dif_bd_i, dif_ac_i + dif_bd_r
                yr[o + 3 * stride + q], yi[o + 3 * stride + q] = tr * w3r - ti * w3i, tr * w3i + ti * w3r
        source = target
        length //= 4
        stride *= 4
    if length == 2:  # an odd power of two ends with one radix-2 stage
        target = 2 - source
        xr, xi = plan.work[source], plan.work[source + 1]
        yr, yi = plan.work[target], plan.work[target + 1]
        for q in range(stride):
            ar, ai, br, bi = xr[q], xi[q], xr[q + stride], xi[q + stride]
            yr[q], yi[q] = ar + br, ai + bi
            yr[q + stride], yi[q + stride] = ar - br, ai - bi
        source = target
    return source


@njit(cache=True, nogil=True)
def rfft(signal: np.ndarray, plan: FftPlan, spectrum: np.ndarray) -> None:
    """Write the transform of `signal` [n] to `spectrum` [n/2 + 1, 2] (real, imaginary)."""
    half = plan.stage_re.size
    for i in range(half):
        plan.work[0, i] = signal[2 * i]
        plan.work[1, i] = signal[2 * i + 1]
    row = _complex_fft(plan)
    zr, zi = plan.work[row], plan.work[row + 1]
    spectrum[0, 0], spectrum[0, 1] = zr[0] + zi[0], np.float32(0)
    spectrum[half, 0], spectrum[half, 1] = zr[0] - zi[0], np.float32(0)
    # Z[k] is even[k] + i odd[k]; X[k] = even[k] + exp(-2 pi i k / n) odd[k].
    for k in range(1, half // 2 + 1):
        m = half - k
        even_r, even_i = np.float32(0.5) * (zr[k] + zr[m]), np.float32(0.5) * (zi[k] - zi[m])
        odd_r, odd_i = np.float32(0.5) * (zi[k] + zi[m]), np.float32(0.5) * (zr[m] - zr[k])
        wr, wi = plan.split_re[k], plan.split_im[k]
        tr, ti = wr * odd_r - wi * odd_i, wr * odd_i + wi * odd_r
        spectrum[k, 0], spectrum[k, 1] = even_r + tr, even_i + ti
        spectrum[m, 0], spectrum[m, 1] = even_r - tr, ti - even_i


@njit(cache=True, nogil=True)
def irfft(spectrum: np.ndarray, plan: FftPlan, signal: np.ndarray) -> None:
    """Write the inverse (scaled by 1/n) of `spectrum` [n/2 + 1, 2] to `signal` [n].

    The imaginary parts of DC and Nyquist are taken as zero.
    """
    half = plan.stage_re.size
    zr, zi = plan.work[0], plan.work[1]
    # The forward transform gets conj(Z): conj(fft(conj(Z))) is the unscaled inverse.
    zr[0] = np.float32(0.5) * (spectrum[0, 0] + spectrum[half, 0])
    zi[0] = -np.float32(0.5) * (spectrum[0, 0] - spectrum[half, 0])
    for k in range(1, half // 2 + 1):
        m = half - k
        even_r = np.float32(0.5) * (spectrum[k, 0] + spectrum[m, 0])
        even_i = np.float32(0.5) * (spectrum[k, 1] - spectrum[m, 1])
        dr = np.float32(0.5) * (spectrum[k, 0] - spectrum[m, 0])
        di = np.float32(0.5) * (spectrum[k, 1] + spectrum[m, 1])
        wr, wi = plan.split_re[k], -plan.split_im[k]  # exp(+2 pi i k / n)
        odd_r, odd_i = wr * dr - wi * di, wr * di + wi * dr
        zr[k], zi[k] = even_r - odd_i, -(even_i + odd_r)
        zr[m], zi[m] = even_r + odd_i, even_i - odd_r
    row = _complex_fft(plan)
    scale = np.float32(1.0 / half)
    yr, yi = plan.work[row], plan.work[row + 1]
    for i in range(half):
        signal[2 * i] = yr[i] * scale
        signal[2 * i + 1] = -yi[i] * scale
