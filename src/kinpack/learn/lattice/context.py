"""Context of the low-frequency latents: a small network predicts each from what surrounds it.

The channels of lowest frequency carry most that neighbours tell of each other. They are coded on a
lattice (`kinpack.codec.learned.lattice`), level by level; a position is told what its twelve known
neighbours differ from the mean of the nearest four, and predicts its own difference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinpack.codec.learned.lattice import NEAREST, NEIGHBOURS, Level, order_of
from kinpack.codec.learned.lattice_contexts import SPACINGS, network_of
from kinpack.learn.models.bottlenecks import gaussian_bits, quantise_about

REACH = 64.0
"""Latents further from 0 than this are read as if they were there."""
_SCALE = 8.0


class LevelNetwork(nn.Sequential):
    """Predicts a position from its neighbours.

    Input (…, 12 · c + c + 12 + 2): differences of the neighbours from their mean, neighbour by
    neighbour, /8; the mean /8; which neighbours there are; quality and spacing. Output (…, 2c):
    differences of the position from that mean /8, then log2 of deviations.

    Args:
        channels: c, of the latents.
        inner: of the network.
    """

    def __init__(self, channels: int, inner: int) -> None:
        last = nn.Linear(inner, 2 * channels)
        super().__init__(
            nn.Linear((NEIGHBOURS + 1) * channels + NEIGHBOURS + 2, inner),
            nn.ReLU(),
            nn.Linear(inner, inner),
            nn.ReLU(),
            last,
        )
        with torch.no_grad():
            # To begin with the prediction is the mean of what is nearest.
            last.weight[:channels] = 0
            last.bias.zero_()


class LatticeContext(nn.Module):
    """Context networks of all levels.

    Args:
        channels: latents that are coded so.
        inner: width of each network.
    """

    def __init__(self, channels: int = 8, inner: int = 96) -> None:
        super().__init__()
        self.channels = channels
        self.networks = nn.ModuleList(
            LevelNetwork(channels, inner) for _ in range(1 + 2 * SPACINGS)
        )

    def forward(self, y: Tensor, quality_plane: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise latents level by level, with training's stand-ins for rounding.

        Args:
            y: (n, channels, h, w).
            quality_plane: (n,) what the networks are told of the quality.
            step: (n,) quantiser step.

        Returns:
            The latents as the decoder knows them, like ``y``, and bits (n, levels).
        """
        n, channels, h, w = y.shape
        order = order_of(h, w)
        places = torch.from_numpy(order.places)
        rows = y.flatten(2).mT.index_select(1, places)
        # The row in front stands for neighbours that are not there.
        known, bits, start = y.new_zeros(n, 1, channels), [], 0
        for level, count, neighbours in zip(
            order.levels, order.counts, order.neighbours, strict=True
        ):
            part = rows[:, start : start + count]
            mean, log2_scale = self.predict(
                level, known, torch.from_numpy(neighbours), quality_plane
            )
            delta = step.view(-1, 1, 1)
            coded = quantise_about(part, mean, log2_scale, delta)
            bits.append(gaussian_bits(part, mean, log2_scale, delta).sum((1, 2)))
            known, start = torch.cat([known, coded], 1), start + count
        ranked = known.index_select(1, 1 + torch.from_numpy(order.rank))
        return ranked.mT.reshape(n, channels, h, w), torch.stack(bits, 1)

    def predict(
        self, level: Level, known: Tensor, neighbours: Tensor, quality_plane: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Means and log2 deviations of the positions of a level.

        Args:
            level: which.
            known: (n, 1 + ranks, channels) decoded so far, 0 in the first row.
            neighbours: (p, 12) row of ``known`` of each neighbour, 0 for what is not there.
            quality_plane: (n,).

        Returns:
            Two tensors (n, p, channels) in units of ``y``.
        """
        n, p = len(known), len(neighbours)
        there = (neighbours > 0).to(known)
        around = known.index_select(1, neighbours.flatten()).view(n, p, NEIGHBOURS, -1)
        nearest = there[:, :NEAREST].sum(1).clamp_min(1)
        middle = around[:, :, :NEAREST].sum(2) / nearest[:, None]
        differences = (around - middle[:, :, None]) * there[:, :, None]
        spacing = level.spacing.bit_length()
        told = torch.stack([quality_plane, torch.full_like(quality_plane, (spacing - 4) / 2)], 1)
        x = torch.cat(
            [
                differences.flatten(2).clamp(-REACH, REACH) / _SCALE,
                middle.clamp(-REACH, REACH) / _SCALE,
                there.expand(n, -1, -1),
                told[:, None].expand(-1, p, -1),
            ],
            2,
        )
        offset, log2_scale = self.networks[network_of(level)](x).float().chunk(2, 2)
        return middle + _SCALE * offset, log2_scale
