"""The learned codec as one trainable model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.models.bottlenecks import BOTTLENECKS, gaussian_bits, quantise_about
from kinpack.learn.models.config import NetworkConfig
from kinpack.learn.models.networks import (
    Analysis,
    CodeNetwork,
    CodePicture,
    ContextNetwork,
    Synthesis,
    parity_mask,
)

QUALITY_CENTRE = 50
"""Quality at which the quantiser step is 1."""
QUALITIES_PER_OCTAVE = 16
"""Rise in quality that halves the quantiser step."""


class Forward(NamedTuple):
    """What one pass of the model gives.

    Attributes:
        picture: (n, 3, H, W) reconstruction, −0.5..0.5, not clipped.
        bits: (n,) estimated payload bits an image.
        z: (n, M · code_dim) descriptors before quantisation.
        code_picture: (n, 3, 16, 16) drawn from the code alone.
        quantiser_loss: scalar of the product quantiser.
    """

    picture: Tensor
    bits: Tensor
    z: Tensor
    code_picture: Tensor
    quantiser_loss: Tensor


def quantiser_step(quality: Tensor) -> Tensor:
    """Quantiser step Δ(q) = 2^((50 − q)/16) in units of ``y``: one model serves all qualities."""
    return torch.exp2((QUALITY_CENTRE - quality) / QUALITIES_PER_OCTAVE)


def quality_plane(quality: Tensor, height: int, width: int) -> Tensor:
    """Constant planes (n, 1, height, width) that tell the networks the quality of each image."""
    plane = (quality.view(-1, 1, 1, 1) - QUALITY_CENTRE) / 20
    return plane.expand(-1, 1, height, width)


def pictures_of(patches: NDArray[np.uint8]) -> Tensor:
    """Pictures float32 (n, 3, H, W) in −0.5..0.5, channels last in memory, of uint8 patches."""
    picture = torch.from_numpy(patches).float() / 255 - 0.5
    return picture.contiguous(memory_format=torch.channels_last)


class TransformModel(nn.Module):
    """Analysis and synthesis: pictures to latents, and back.

    Attributes:
        analysis: maps pictures and a plane of the quality to latents.
        synthesis: maps latents and such a plane to pictures.
        gain: constant factor between the analysis network's output and ``y``.
    """

    def __init__(self, analysis: nn.Module, synthesis: nn.Module, gain: float) -> None:
        super().__init__()
        self.analysis, self.synthesis, self.gain = analysis, synthesis, gain

    def latent(self, picture: Tensor, quality: Tensor) -> Tensor:
        """Latent ``y``.

        Args:
            picture: (n, 3, H, W) in −0.5..0.5, sides multiples of 8.
            quality: (n,) float32.

        Returns:
            (n, latent, H/8, W/8) float32.
        """
        plane = quality_plane(quality, picture.shape[2], picture.shape[3])
        x = torch.cat([picture, plane], 1).contiguous(memory_format=torch.channels_last)
        y: Tensor = self.analysis(x) * self.gain
        return y

    def draw(self, y_hat: Tensor, quality: Tensor) -> Tensor:
        """Picture of quantised latents, (n, 3, H, W) in −0.5..0.5, not clipped."""
        plane = quality_plane(quality, y_hat.shape[2], y_hat.shape[3])
        y_hat = torch.cat([y_hat / self.gain, plane], 1)
        picture: Tensor = self.synthesis(y_hat.contiguous(memory_format=torch.channels_last))
        return picture


class CodecModel(TransformModel):
    """Analysis, product code, context model and synthesis."""

    analysis: Analysis
    synthesis: Synthesis

    def __init__(self, config: NetworkConfig, *, beta: float = 0.25) -> None:
        super().__init__(Analysis(config), Synthesis(config), config.gain)
        self.config = config
        self.code_network = CodeNetwork(config)
        if config.bottleneck not in BOTTLENECKS:
            raise CodecError(
                f"there is no bottleneck {config.bottleneck!r}; use one of {', '.join(BOTTLENECKS)}"
            )
        make = BOTTLENECKS[config.bottleneck]
        self.product = make(config.M, config.K, config.code_dim, beta)
        self.code_context = nn.Linear(config.M * config.code_dim, config.code_context)
        self.code_picture = CodePicture(config)
        self.context = nn.ModuleList(
            ContextNetwork(
                step.stop + config.code_context + 1, config.context, 2 * (step.stop - step.start)
            )
            for step in config.steps
        )

    def descriptor(self, reduction: Tensor) -> Tensor:
        """Descriptors (n, M · code_dim) of (n, 3, 32, 32) reductions in −0.5..0.5."""
        z: Tensor = self.code_network(reduction)
        return z.float()

    def predict(
        self, index: int, y_hat: Tensor, e: Tensor, quality: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log2 deviation of the latents of one step.

        Args:
            index: of the step.
            y_hat: (n, latent, h, w), 0 where not yet decoded.
            e: (n, code_context), the code's contribution.
            quality: (n,).

        Returns:
            Two tensors of (n, stop − start, h, w), in units of ``y``.
        """
        step = self.config.steps[index]
        h, w = y_hat.shape[2:]
        planes = [
            y_hat[:, : step.stop].clamp(-64, 64) / 8,
            e[:, :, None, None].expand(-1, -1, h, w),
            quality_plane(quality, h, w),
        ]
        mean, log2_scale = self.context[index](torch.cat(planes, 1)).chunk(2, 1)
        return 8 * mean, log2_scale

    def forward(self, picture: Tensor, quality: Tensor) -> Forward:
        """Run the whole codec with training's stand-ins for rounding.

        Args:
            picture: (n, 3, H, W) in −0.5..0.5, sides multiples of 32.
            quality: (n,) float32.

        Returns:
            The reconstruction, the bits, and what the losses need.
        """
        y = self.latent(picture, quality)
        z = self.descriptor(reduced_to_32(picture))
        with torch.autocast("cpu", enabled=False):
            quantised = self.product(z)
            e = self.code_context(quantised.z_q)
            drawn = self.code_picture(quantised.z_q).view(-1, 3, 16, 16)
            y_hat, bits = self.code(y, e, quality)
        return Forward(self.draw(y_hat, quality), bits, z, drawn, quantised.loss)

    def code(self, y: Tensor, e: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise latents step by step.

        Args:
            y: (n, latent, h, w).
            e: (n, code_context), the code's contribution.
            quality: (n,).

        Returns:
            ŷ, like ``y``, and bits (n,).
        """
        delta = quantiser_step(quality).view(-1, 1, 1, 1)
        y_hat = torch.zeros_like(y)
        bits = y.new_zeros(y.shape[0])
        for index, step in enumerate(self.config.steps):
            mask = parity_mask(step.parity, y)
            mean, log2_scale = self.predict(index, y_hat, e, quality)
            part = y[:, step.start : step.stop]
            coded = quantise_about(part, mean, log2_scale, delta) * mask
            bits = bits + (gaussian_bits(part, mean, log2_scale, delta) * mask).sum((1, 2, 3))
            own = y_hat[:, step.start : step.stop] + coded
            y_hat = torch.cat([y_hat[:, : step.start], own, y_hat[:, step.stop :]], 1)
        return y_hat, bits


def reduced_to_32(picture: Tensor) -> Tensor:
    """Area reduction (n, 3, 32, 32) of square pictures whose side is a multiple of 32."""
    n, channels, side, _ = picture.shape
    f = side // 32
    return picture.view(n, channels, 32, f, 32, f).mean((3, 5)) if f > 1 else picture
