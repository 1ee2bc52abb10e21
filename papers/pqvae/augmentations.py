"""Random views of pictures, whole batches at a time, on any device.

The views of SimCLR (Chen et al. 2020, appendix A) for small pictures: a part of the picture of
random size and shape brought back to the full size, mirrored or not, its brightness, contrast,
saturation and hue changed, sometimes grey. Each picture of a batch has its own view.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma."""


@dataclass(frozen=True)
class Views:
    """How strongly pictures are changed.

    Attributes:
        least_area: smallest share of the picture's area that a view shows.
        jitter: probability that the colours change.
        strength: of these changes; brightness and contrast by up to this share, saturation
            likewise, hue by up to a quarter of it (in turns).
        grey: probability that the colours go.
        side: of a view, in pixels; 0 for that of the picture. A part that is shown smaller than
            it could be keeps the scale at which whole pictures are seen later (Touvron et al.
            2019), and costs less.
    """

    least_area: float = 0.2
    jitter: float = 0.8
    strength: float = 0.4
    grey: float = 0.2
    side: int = 0

    def draw(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw a view of each picture.

        Args:
            x: (n, 3, H, W), 0 to 1.
            generator: of the random numbers, on the device of ``x``.

        Returns:
            (n, 3, H, W), or (n, 3, side, side), 0 to 1.
        """
        return self._coloured(self._cropped(x, generator), generator)

    def _cropped(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n = len(x)
        area, aspect, left, top, mirror = _uniform(5, n, x, generator)
        area = self.least_area + (1 - self.least_area) * area
        # Aspect from 3:4 to 4:3, evenly in its logarithm.
        aspect = torch.exp((2 * aspect - 1) * 0.2877)
        width = (area * aspect).sqrt().clamp(max=1)
        height = (area / aspect).sqrt().clamp(max=1)
        theta = x.new_zeros(n, 2, 3)
        theta[:, 0, 0] = width * torch.where(mirror < 0.5, -1.0, 1.0)
        theta[:, 1, 1] = height
        theta[:, 0, 2] = (2 * left - 1) * (1 - width)
        theta[:, 1, 2] = (2 * top - 1) * (1 - height)
        shape = [n, 3, self.side, self.side] if self.side else list(x.shape)
        grid = affine_grid(theta, shape, align_corners=False)
        return grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    def _coloured(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n = len(x)
        bright, contrast, saturation, hue, changes, greys = _uniform(6, n, x, generator)
        luma = x.new_tensor(GREY).view(1, 3, 1, 1)
        s = self.strength
        scale = [
            torch.where(changes < self.jitter, 1 + s * (2 * v - 1), torch.ones_like(v)).view(
                n, 1, 1, 1
            )
            for v in (bright, contrast, saturation)
        ]
        y = x * scale[0]
        mean = (y * luma).sum(1, keepdim=True).mean(dim=(2, 3), keepdim=True)
        y = mean + (y - mean) * scale[1]
        grey = (y * luma).sum(1, keepdim=True)
        turn = torch.where(changes < self.jitter, (2 * hue - 1) * s / 4, torch.zeros_like(hue))
        chroma = _turned(y - grey, turn) * scale[2]
        chroma = torch.where((greys < self.grey).view(n, 1, 1, 1), torch.zeros_like(chroma), chroma)
        return (grey + chroma).clamp(0, 1)


def _turned(chroma: Tensor, turn: Tensor) -> Tensor:
    """Rotate colours about the grey axis: a hue of ``turn`` (n,) turns further on."""
    angle = 2 * torch.pi * turn
    cos, sin = torch.cos(angle), torch.sin(angle) / 3**0.5
    even = (1 - cos) / 3
    rows = [
        torch.stack([cos + even, even - sin, even + sin], 1),
        torch.stack([even + sin, cos + even, even - sin], 1),
        torch.stack([even - sin, even + sin, cos + even], 1),
    ]
    matrix = torch.stack(rows, 1).to(chroma)  # (n, 3, 3)
    return torch.einsum("nij,njhw->nihw", matrix, chroma)


def _uniform(count: int, n: int, like: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Independent numbers of 0 to 1, ``count`` vectors of n."""
    drawn = torch.rand(count, n, generator=generator, device=like.device)
    return list(drawn.to(like))
