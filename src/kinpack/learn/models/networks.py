"""Networks of the learned codec: analysis, synthesis, context and code.

```
 picture (3, H, W) ─▶ Analysis ─▶ y (latent, H/8, W/8) ─▶ integers ─▶ ŷ ─▶ Synthesis ─▶ picture
        │                                     ▲ mean and deviation of each latent
        └─▶ 32×32 ──▶ CodeNetwork ──▶ z ──▶ product code ──▶ ContextNetwork, step by step
```
All convolutions pad with zeros; all non-linearities are ReLU, so that integer arithmetic can
follow.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from kinpack.learn.models.config import NetworkConfig


class TransformSizes(Protocol):
    """Sizes of the transforms, as `NetworkConfig` describes them."""

    @property
    def latent(self) -> int:
        """Channels of the latent."""

    @property
    def wide(self) -> int:
        """Channels at a half of the picture's resolution."""

    @property
    def mid(self) -> int:
        """Channels at a quarter."""

    @property
    def deep(self) -> int:
        """Channels of the synthesis at an eighth."""

    @property
    def bottleneck_wide(self) -> int:
        """Inner channels of the residual blocks at a half."""

    @property
    def bottleneck_mid(self) -> int:
        """Inner channels of those at a quarter and an eighth."""


class Residual(nn.Module):
    """Two 3×3 convolutions about a narrower middle, added to the input."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, inner, 3, padding=1)
        self.up = nn.Conv2d(inner, channels, 3, padding=1)
        # Starting as the identity lets deep stacks train from the first step.
        start_at_zero(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        change: Tensor = self.up(torch.relu(self.down(torch.relu(x))))
        return x + change


class Analysis(nn.Module):
    """Picture to latent: a linear block transform plus a convolutional trunk.

    The linear part starts as the principal components of 8×8 blocks, so that training starts from
    a good transform coder; the trunk, the papers' three stride-2 layers with residual blocks
    between, starts at zero and learns what a linear transform cannot do.

    Input (n, 4, H, W): RGB in −0.5..0.5 and a constant plane of the quality, (q − 50)/20.
    Output (n, latent, H/8, W/8), before the constant gain.

    Args:
        config: sizes.
        more: further blocks of the trunk, at a quarter of the picture's resolution.
    """

    def __init__(self, config: TransformSizes, *more: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Conv2d(4, config.latent, 8, stride=8)
        self.trunk = nn.Sequential(
            nn.Conv2d(4, config.wide, 4, stride=2, padding=1),
            Residual(config.wide, config.bottleneck_wide),
            nn.ReLU(),
            nn.Conv2d(config.wide, config.mid, 4, stride=2, padding=1),
            Residual(config.mid, config.bottleneck_mid),
            *more,
            nn.ReLU(),
        )
        self.last = nn.Conv2d(config.mid, config.latent, 3, stride=2, padding=1)
        start_at_zero(self.last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 4, H, W) to (n, latent, H/8, W/8)."""
        trunk = self.trunk(x)
        # In float32: bfloat16 would round large latents by a good part of a step.
        with torch.autocast(x.device.type, enabled=False):
            y: Tensor = self.linear(x.float()) + self.last(trunk.float())
        return y


class Synthesis(nn.Module):
    """Latent to picture: the linear block transform undone, plus a convolutional trunk.

    Input (n, latent + 1, h, w): ŷ divided by the constant gain, and the plane of the quality.
    Output (n, 3, 8h, 8w): RGB in −0.5..0.5, not clipped.
    """

    def __init__(self, config: TransformSizes) -> None:
        super().__init__()
        self.linear = nn.Conv2d(config.latent + 1, 3 * 8 * 8, 1)
        self.blocks = nn.PixelShuffle(8)
        self.trunk = nn.Sequential(
            nn.Conv2d(config.latent + 1, config.deep, 1),
            Residual(config.deep, config.bottleneck_mid),
            nn.Conv2d(config.deep, 4 * config.mid, 1),
            nn.PixelShuffle(2),
            Residual(config.mid, config.bottleneck_mid),
            Residual(config.mid, config.bottleneck_mid),
            nn.Conv2d(config.mid, 4 * config.wide, 1),
            nn.PixelShuffle(2),
            Residual(config.wide, config.bottleneck_wide),
            nn.ReLU(),
        )
        self.last = nn.Conv2d(config.wide, 12, 3, padding=1)
        self.up = nn.PixelShuffle(2)
        start_at_zero(self.last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, latent + 1, h, w) to (n, 3, 8h, 8w)."""
        trunk = self.trunk(x)
        with torch.autocast(x.device.type, enabled=False):
            linear: Tensor = self.blocks(self.linear(x.float()))
            picture: Tensor = linear + self.up(self.last(trunk.float()))
        return picture


BLOCK_STEP = 0.155
"""Quantiser step of an orthonormal block transform at quality 50, in pictures of range 1.

For MSE = Δ²/12 at 3 samples a pixel, the slope lam(50) = 0.0167 asks for Δ = 39 of 255 levels.
"""


@torch.no_grad()
def start_from_components(
    analysis: Analysis, synthesis: Synthesis, pictures: Tensor, *, gain: float
) -> None:
    """Set the linear transforms to the principal components of 8×8 blocks.

    Args:
        analysis: whose linear part becomes the leading components, in falling order of variance.
        synthesis: whose linear part becomes their inverse.
        pictures: (n, 3, H, W) in −0.5..0.5, sides multiples of 8.
        gain: the codec's constant factor between analysis output and ``y``.
    """
    n, _, height, width = pictures.shape
    blocks = pictures.view(n, 3, height // 8, 8, width // 8, 8).permute(0, 2, 4, 1, 3, 5)
    blocks = blocks.reshape(-1, 192).double()
    mean = blocks.mean(0)
    _, components = torch.linalg.eigh((blocks - mean).T @ (blocks - mean))
    latent = analysis.linear.out_channels
    basis = components.flip(1)[:, :latent].T  # (latent, 192), orthonormal rows
    basis = basis * torch.sign(basis.sum(1, keepdim=True) + 1e-12)
    scale = 1 / (BLOCK_STEP * gain)
    analysis.linear.weight.zero_()
    analysis.linear.weight[:, :3] = (basis * scale).view(latent, 3, 8, 8).float()
    _set_bias(analysis.linear, -(basis @ mean) * scale)
    synthesis.linear.weight.zero_()
    synthesis.linear.weight[:, :latent, 0, 0] = (basis.T / scale).float()
    _set_bias(synthesis.linear, mean)


@torch.no_grad()
def start_at_zero(layer: nn.Conv2d) -> None:
    """Set weights and biases to zero."""
    layer.weight.zero_()
    _set_bias(layer, torch.zeros(layer.out_channels))


def _set_bias(layer: nn.Conv2d, values: Tensor) -> None:
    if layer.bias is not None:
        layer.bias.copy_(values)


class ContextNetwork(nn.Sequential):
    """Predicts mean and deviation of latents from all that is decoded so far.

    Input (n, inputs, h, w): ŷ/8 of the channels known (0 where not yet decoded), what the product
    code contributes if it does, the plane of the quality. Output (n, outputs, h, w): means/8 of
    half as many latent channels, then log2 of their deviations.
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inner, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1),
        )


class CodeNetwork(nn.Sequential):
    """32×32 reduction to the descriptor that the product code quantises.

    Input (n, 3, 32, 32) in −0.5..0.5; output (n, M · code_dim). Three 4×4 layers of stride 2, as in
    both papers, then a linear map.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(
            nn.Conv2d(3, 24, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 48, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, config.M * config.code_dim),
        )


class CodePicture(nn.Linear):
    """Draws a 16×16 reduction from the decoded code alone; used in training only."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config.M * config.code_dim, 3 * 16 * 16)


def parity_mask(parity: int, like: Tensor) -> Tensor:
    """Positions that are coded where `Step` has some parity.

    Args:
        parity: as there.
        like: latents (n, channels, h, w), of whose type and device the mask is.

    Returns:
        (1, 1, h, w), 1 where coded.
    """
    rows = torch.arange(like.shape[2], device=like.device)[:, None]
    columns = torch.arange(like.shape[3], device=like.device)
    coded = (rows + columns) % 2 == parity if parity >= 0 else torch.ones_like(rows + columns)
    return coded.to(like)[None, None]
