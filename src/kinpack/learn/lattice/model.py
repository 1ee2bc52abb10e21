"""The codec with lattice context as one trainable model; it knows no product code."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.lattice.context import LatticeContext
from kinpack.learn.models.bottlenecks import gaussian_bits, quantise_about
from kinpack.learn.models.model import TransformModel, quality_plane, quantiser_step
from kinpack.learn.models.networks import (
    Analysis,
    ContextNetwork,
    Residual,
    Synthesis,
    parity_mask,
)


class LatticeForward(NamedTuple):
    """What one pass of the model gives.

    Attributes:
        picture: (n, 3, H, W) reconstruction, −0.5..0.5, not clipped.
        bits: (n, 1 + groups) estimated payload bits of an image: of the lattice, of each group.
        y_hat: (n, latent, H/8, W/8) latents as the decoder knows them.
    """

    picture: Tensor
    bits: Tensor
    y_hat: Tensor


class LatticeModel(TransformModel):
    """Analysis, context and synthesis."""

    analysis: Analysis
    synthesis: Synthesis

    def __init__(self, config: LatticeConfig) -> None:
        blocks = (
            Residual(config.mid, config.analysis_inner) for _ in range(config.analysis_blocks)
        )
        super().__init__(Analysis(config, *blocks), Synthesis(config), config.gain)
        self.config = config
        self.lattice = LatticeContext(config.low, config.level)
        self.context = nn.ModuleList(
            ContextNetwork(group.known + 1, config.context, 2 * (group.stop - group.start))
            for group in config.groups
            for _ in range(2 if group.halves else 1)
        )

    def forward(self, picture: Tensor, quality: Tensor) -> LatticeForward:
        """Run the whole codec with training's stand-ins for rounding.

        Args:
            picture: (n, 3, H, W) in −0.5..0.5, sides multiples of 8.
            quality: (n,) float32.
        """
        y = self.latent(picture, quality)
        with torch.autocast(y.device.type, enabled=False):
            y_hat, bits = self.code(y, quality)
        return LatticeForward(self.draw(y_hat, quality), bits, y_hat)

    def code(self, y: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise latents step by step.

        Args:
            y: (n, latent, h, w).
            quality: (n,).

        Returns:
            ŷ, like ``y``, and bits (n, 1 + groups).
        """
        step = quantiser_step(quality)
        plane = quality_plane(quality, y.shape[2], y.shape[3])
        y_hat, lattice_bits = self.lattice(y[:, : self.config.low], plane[:, 0, 0, 0], step)
        bits = [lattice_bits.sum(1)]
        networks = iter(self.context)
        for group in self.config.groups:
            part, own = y[:, group.start : group.stop], y_hat.new_zeros(())
            total = y.new_zeros(len(y))
            for parity in (0, 1) if group.halves else (-1,):
                mask = parity_mask(parity, y)
                known = torch.cat([y_hat, own.expand_as(part)], 1)[:, : group.known]
                x = torch.cat([known.clamp(-64, 64) / 8, plane], 1)
                mean, log2_scale = next(networks)(x).float().chunk(2, 1)
                mean, delta = 8 * mean, step.view(-1, 1, 1, 1)
                own = own + quantise_about(part, mean, log2_scale, delta) * mask
                total = total + (gaussian_bits(part, mean, log2_scale, delta) * mask).sum((1, 2, 3))
            y_hat = torch.cat([y_hat, own], 1)
            bits.append(total)
        return y_hat, torch.stack(bits, 1)
