"""The `causal` net as it is played: one column at a time, matrix products only, state in one flat tensor.

`step` and `offline` follow the model contract (`rtsep.model.contract`). Weights of norms are folded into the
matrices behind them: called once a hop, each operation costs some 5 us of cold caches alone.
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
        gates = block.gates.weight.t()  # [D, 3E]
        parts = {
            "gates": block.norm_time.weight[:, None] * gates,
            "gates_bias": block.gates.bias + block.norm_time.bias @ gates,
            "back": block.back.weight.t(),  # [E, D]
            "spread": block.spread.weight,  # [M, K]
            "spread_bias": block.spread.bias[:, None],
            "gather": block.gather.weight,  # [K, M]
        }
        for name, value in parts.items():
            self.register_buffer(name, value.detach().clone().contiguous())

    def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
        """One step: h [K, D] -> [K, D], hidden [K, E] in place."""
        pre = torch.addmm(self.gates_bias, layer_norm(h, [self.dim]), self.gates)
        forget, candidate, gate = pre.split(self.width, 1)
        torch.lerp(candidate, hidden, torch.sigmoid(forget), out=hidden)
        h = torch.addmm(h, hidden * silu(gate), self.back)
        mixed = torch.addmm(self.spread_bias, self.spread, layer_norm(h, [self.dim])).relu_()  # [M, D]
        return torch.addmm(h, self.gather, mixed)

    @torch.jit.export
    def offline(self, h: Tensor) -> Tensor:
        """All steps at once from a zero state: [K, T, D] -> [K, T, D]."""
        bands, steps = h.shape[0], h.shape[1]
        pre = torch.matmul(layer_norm(h, [self.dim]), self.gates) + self.gates_bias
        forget = torch.sigmoid(pre[:, :, : self.width])
        new = (1 - forget) * pre[:, :, self.width : 2 * self.width]
        hidden = h.new_zeros(bands, self.width)
        memory = h.new_empty(bands, steps, self.width)
        for t in range(steps):
            hidden = torch.addcmul(new[:, t], forget[:, t], hidden)
            memory[:, t] = hidden
        h = h + torch.matmul(memory * silu(pre[:, :, 2 * self.width :]), self.back)
        n = layer_norm(h, [self.dim]).flatten(1)
        mixed = torch.addmm(self.spread_bias, self.spread, n).relu_()
        return h + torch.mm(self.gather, mixed).view(bands, steps, self.dim)


class CausalProgram(nn.Module):
    """The whole net; `state_size` floats of state, all zeros at the start."""

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        c = net.system
        self.bins, self.bands, self.band, self.dim, self.width = (
            c.framing.bins,
            c.bands,
            c.band,
            c.dim,
            c.width,
        )
        self.state_size = c.layers * c.bands * c.width
        # TorchScript sees no globals.
        self.features_per_bin, self.masks, self.floor = FEATURES, MASKS, POWER_FLOOR
        self.pool: list[tuple[int, int]] = [(bins, factor) for bins, factor in c.pool]
        # Left, right, mid and side from mid and side.
        self.register_buffer("listen", torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [0.0, 1.0]]))
        # [features, 1, pooled]
        self.register_buffer("feature_scale", net.scale.detach().t()[:, None].contiguous())
        shift = -(net.mean.detach() * net.scale.detach())
        self.register_buffer("feature_shift", shift.t()[:, None].contiguous())
        # The training form has features side by side for each bin; here each feature has its bins.
        encoder = net.encoder.detach().view(c.bands, c.band, FEATURES, c.dim).transpose(1, 2)
        self.register_buffer("encoder", encoder.reshape(c.bands, FEATURES * c.band, c.dim).contiguous())
        self.register_buffer("encoder_bias", net.encoder_bias.detach().clone())
        scale, shift = net.norm.weight.detach(), net.norm.bias.detach()
        decoder = net.decoder.detach()  # [K, D, masks * band]
        self.register_buffer("decoder", (scale[None, :, None] * decoder).contiguous())
        self.register_buffer("decoder_bias", net.decoder_bias.detach() + (shift @ decoder)[:, None])
        # Where each bin of a mask lies among [band, mask, bin of the band].
        place = torch.tensor(c.place)
        first = place // c.band * (MASKS * c.band) + place % c.band
        order = torch.stack([first + mask * c.band for mask in range(MASKS)])
        self.register_buffer("order", order.flatten())
        self.blocks = nn.ModuleList(BlockProgram(block) for block in net.blocks)

    def features(self, columns: Tensor) -> Tensor:
        """Normalised log powers [4, T, pooled] of columns [2, T, bins, 2]."""
        steps = columns.shape[1]
        four = torch.mm(self.listen, columns.flatten(1)).view(self.features_per_bin, steps, self.bins, 2)
        powers = torch.addcmul(four[..., 0].square(), four[..., 1], four[..., 1])
        parts: list[Tensor] = []
        first = 0
        for bins, factor in self.pool:
            part = powers[:, :, first : first + bins]
            parts.append(part if factor == 1 else part.unflatten(2, [-1, factor]).mean(3))
            first += bins
        pooled = torch.cat(parts, 2).add_(self.floor).log_()
        return torch.addcmul(self.feature_shift, pooled, self.feature_scale)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        features = self.features(column.unsqueeze(1)).view(self.features_per_bin, self.bands, self.band)
        of_band = features.transpose(0, 1).reshape(self.bands, 1, -1)
        h = torch.baddbmm(self.encoder_bias, of_band, self.encoder).squeeze(1)
        hidden = state.view(-1, self.bands, self.width)
        layer = 0
        for block in self.blocks:
            h = block(h, hidden[layer])
            layer += 1  # noqa: SIM113 TorchScript cannot enumerate modules
        n = layer_norm(h, [self.dim]).unsqueeze(1)
        masks = torch.sigmoid(torch.baddbmm(self.decoder_bias, n, self.decoder))  # [K, 1, masks * band]
        return masks.flatten().index_select(0, self.order).view(self.masks, self.bins)

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of columns [T, 2, bins, 2], from a zero state."""
        steps = columns.shape[0]
        features = self.features(columns.transpose(0, 1))  # [4, T, pooled]
        of_band = features.view(self.features_per_bin, steps, self.bands, self.band).permute(2, 1, 0, 3)
        h = torch.baddbmm(self.encoder_bias, of_band.reshape(self.bands, steps, -1), self.encoder)
        for block in self.blocks:
            h = block.offline(h)
        masks = torch.sigmoid(torch.baddbmm(self.decoder_bias, layer_norm(h, [self.dim]), self.decoder))
        masks = masks.transpose(0, 1).reshape(steps, -1)
        return masks.index_select(1, self.order).view(steps, self.masks, self.bins)
