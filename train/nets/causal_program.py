"""The `causal` net as it is played: one column at a time, matrix products only, state in one flat tensor.

`step` and `offline` follow the model contract (`rtsep.model.contract`). A convolution over one column is
twice as slow as the same sum written as a matrix product, hence the encoder's weights are laid out so that
the state, read as it lies, is their other factor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from train.nets.causal import FEATURES, MASKS, POWER_FLOOR, Block, CausalNet


class BlockProgram(nn.Module):
    """One block on one step's bands [K, D], its recurrent state [K, E] advanced in place."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.dim = block.back.out_features
        self.width = block.back.in_features
        parts = {
            "time_scale": block.norm_time.weight,
            "time_shift": block.norm_time.bias,
            "gates": block.gates.weight.t(),  # [D, 3E]
            "gates_bias": block.gates.bias,
            "back": block.back.weight.t(),  # [E, D]
            "back_bias": block.back.bias,
            "bands_scale": block.norm_bands.weight,
            "bands_shift": block.norm_bands.bias,
            "spread": block.spread.weight,  # [2K, K]
            "spread_bias": block.spread.bias[:, None],
            "gather": block.gather.weight,  # [K, 2K]
            "gather_bias": block.gather.bias[:, None],
        }
        for name, value in parts.items():
            self.register_buffer(name, value.detach().clone().contiguous())

    def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
        """One step: h [K, D] -> [K, D], hidden [K, E] in place."""
        # As few operations as can be: called once a hop, each costs some 5 us of cold caches alone.
        n = layer_norm(h, [self.dim], self.time_scale, self.time_shift)
        forget, candidate, gate = torch.addmm(self.gates_bias, n, self.gates).split(self.width, 1)
        torch.lerp(candidate, hidden, torch.sigmoid(forget), out=hidden)
        h = torch.addmm(h, hidden * silu(gate), self.back).add_(self.back_bias)
        n = layer_norm(h, [self.dim], self.bands_scale, self.bands_shift)
        mixed = torch.addmm(self.spread_bias, self.spread, n).relu_()  # [2K, D]
        return torch.addmm(h, self.gather, mixed).add_(self.gather_bias)

    @torch.jit.export
    def offline(self, h: Tensor) -> Tensor:
        """All steps at once from a zero state: [K, T, D] -> [K, T, D]."""
        bands, steps = h.shape[0], h.shape[1]
        n = layer_norm(h, [self.dim], self.time_scale, self.time_shift)
        pre = torch.matmul(n, self.gates) + self.gates_bias
        forget = torch.sigmoid(pre[:, :, : self.width])
        new = (1 - forget) * pre[:, :, self.width : 2 * self.width]
        hidden = h.new_zeros(bands, self.width)
        memory = h.new_empty(bands, steps, self.width)
        for t in range(steps):
            hidden = torch.addcmul(new[:, t], forget[:, t], hidden)
            memory[:, t] = hidden
        out = memory * silu(pre[:, :, 2 * self.width :])
        h = h + torch.matmul(out, self.back) + self.back_bias
        n = layer_norm(h, [self.dim], self.bands_scale, self.bands_shift).flatten(1)
        mixed = torch.addmm(self.spread_bias, self.spread, n).relu_()
        return h + torch.addmm(self.gather_bias, self.gather, mixed).view(bands, steps, self.dim)


class CausalProgram(nn.Module):
    """The whole net; `state_size` floats of state, all zeros at the start."""

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        c = net.config
        self.bins, self.columns, self.bands, self.dim, self.width = c.bins, c.columns, c.bands, c.dim, c.width
        # Floats of state that hold columns: [bins, columns, features]
        self.past = c.bins * c.columns * FEATURES
        self.state_size = self.past + c.layers * c.bands * c.width
        # TorchScript sees no globals.
        self.features_per_bin, self.masks, self.floor = FEATURES, MASKS, POWER_FLOOR
        self.counts: list[int] = [count for count, _ in c.groups]
        self.sizes: list[int] = [size for _, size in c.groups]
        self.spans: list[int] = [count * size * c.columns * FEATURES for count, size in c.groups]
        # A group of equal bands: encoder [count, size * columns * features, D],
        # decoder [count, D, masks * size]
        self.encoders: list[Tensor] = []
        self.decoders: list[Tensor] = []
        for (count, size), encoder, decoder in zip(c.groups, net.encoder, net.decoder, strict=True):
            taps = encoder.detach().view(count, c.columns, size, FEATURES, c.dim).permute(0, 2, 1, 3, 4)
            self.encoders.append(taps.reshape(count, size * c.columns * FEATURES, c.dim).contiguous())
            self.decoders.append(decoder.detach().clone().contiguous())
        self.register_buffer("encoder_bias", net.encoder_bias.detach().clone())
        self.register_buffer("norm_scale", net.norm.weight.detach().clone())
        self.register_buffer("norm_shift", net.norm.bias.detach().clone())
        # Left, right, mid and side from mid and side.
        self.register_buffer("listen", torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [0.0, 1.0]]))
        # [features, 1, bins]; half of the logarithm (of powers, not magnitudes) is part of the scale.
        self.register_buffer("feature_scale", (net.scale.detach() * 0.5).t()[:, None].contiguous())
        self.register_buffer(
            "feature_shift", -(net.mean.detach() * net.scale.detach()).t()[:, None].contiguous()
        )
        # Decoders give [band, mask, bin of the band], one group after another: where each bin of a mask lies
        # in that, Nyquist being its neighbour's.
        places, first = [], 0
        for count, size in c.groups:
            group = torch.arange(first, first + count * MASKS * size).view(count, MASKS, size)
            places.append(group.transpose(0, 1).reshape(MASKS, count * size))
            first += count * MASKS * size
        order = torch.cat(places, 1)
        bias = torch.empty(first)
        bias[order.flatten()] = net.decoder_bias.detach().flatten()
        self.register_buffer("decoder_bias", bias)
        self.register_buffer("order", torch.cat([order, order[:, -1:]], 1).flatten())
        self.blocks = nn.ModuleList(BlockProgram(block) for block in net.blocks)

    def features(self, columns: Tensor) -> Tensor:
        """Normalised log magnitudes [4, T, bins] of columns [2, T, bins, 2]."""
        steps = columns.shape[1]
        four = torch.mm(self.listen, columns.flatten(1)).view(self.features_per_bin, steps, self.bins, 2)
        powers = torch.addcmul(four[..., 0].square() + self.floor, four[..., 1], four[..., 1])
        return torch.addcmul(self.feature_shift, torch.log(powers), self.feature_scale)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins + 1] of a column [2, bins + 1, 2]; `state` [state_size] is advanced in place."""
        past = state[: self.past]
        history = past.view(self.bins, self.columns, self.features_per_bin)
        for age in range(self.columns - 1):
            history[:, age] = history[:, age + 1]
        newest = self.features(column[:, : self.bins].unsqueeze(1))  # [4, 1, bins]
        history[:, self.columns - 1] = newest.squeeze(1).t()

        encoded: list[Tensor] = []
        for group, weight in zip(past.split(self.spans), self.encoders):  # noqa: B905 - TorchScript
            encoded.append(torch.bmm(group.view(weight.shape[0], 1, weight.shape[1]), weight))
        h = torch.cat(encoded).view(self.bands, self.dim) + self.encoder_bias

        start, length = self.past, self.bands * self.width
        for block in self.blocks:
            h = block(h, state[start : start + length].view(self.bands, self.width))
            start += length
        h = layer_norm(h, [self.dim], self.norm_scale, self.norm_shift).view(self.bands, 1, self.dim)

        logits: list[Tensor] = []
        band = 0
        for count, weight in zip(self.counts, self.decoders):  # noqa: B905
            logits.append(torch.bmm(h[band : band + count], weight).flatten())
            band += count
        mask = torch.sigmoid(torch.cat(logits) + self.decoder_bias)
        return mask.index_select(0, self.order).view(self.masks, self.bins + 1)

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins + 1] of columns [T, 2, bins + 1, 2], from a zero state."""
        steps = columns.shape[0]
        features = self.features(columns[:, :, : self.bins].transpose(0, 1)).permute(1, 2, 0)  # [T, bins, 4]
        before = columns.new_zeros(self.columns - 1, self.bins, self.features_per_bin)
        history = torch.cat([before, features]).unfold(0, self.columns, 1)  # [T, bins, 4, columns]
        history = history.transpose(2, 3)  # [T, bins, columns, 4]
        encoded: list[Tensor] = []
        first = 0
        for count, size, weight in zip(self.counts, self.sizes, self.encoders):  # noqa: B905
            group = history[:, first : first + count * size].reshape(steps, count, -1)
            encoded.append(torch.bmm(group.transpose(0, 1), weight))
            first += count * size
        h = torch.cat(encoded) + self.encoder_bias.unsqueeze(1)  # [K, T, D]
        for block in self.blocks:
            h = block.offline(h)
        h = layer_norm(h, [self.dim], self.norm_scale, self.norm_shift)
        logits: list[Tensor] = []
        band = 0
        for count, weight in zip(self.counts, self.decoders):  # noqa: B905
            out = torch.bmm(h[band : band + count], weight)  # [count, T, masks * size]
            logits.append(out.transpose(0, 1).reshape(steps, -1))
            band += count
        masks = torch.sigmoid(torch.cat(logits, 1) + self.decoder_bias)
        return masks.index_select(1, self.order).view(steps, self.masks, self.bins + 1)
