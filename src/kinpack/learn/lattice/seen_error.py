"""Errors of pictures as they are seen: luma before chroma, and structure."""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_WINDOW, _STRIDE = 8, 4
_C1, _C2 = 0.01**2, 0.03**2


def luma_and_chroma(picture: Tensor) -> Tensor:
    """Y, Cb and Cr of BT.601, (n, 3, H, W), of RGB of the same range; chroma is about 0."""
    red, green, blue = picture.unbind(1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return torch.stack([luma, (blue - luma) / 1.772, (red - luma) / 1.402], 1)


def squared_error(drawn: Tensor, picture: Tensor, chroma: tuple[float, float]) -> Tensor:
    """Weighted squared error of each picture on the 8-bit scale, (n,).

    Args:
        drawn: (n, 3, H, W), in −0.5..0.5.
        picture: the same of what it stands for.
        chroma: weights of the mean squared errors of Cb and Cr; that of Y has 1.
    """
    each = (255 * luma_and_chroma(drawn - picture)).square().mean((2, 3))
    return each[:, 0] + chroma[0] * each[:, 1] + chroma[1] * each[:, 2]


def structure_error(drawn: Tensor, picture: Tensor, *, scales: int = 2) -> Tensor:
    """1 − SSIM of the luma, the mean over some scales, (n,).

    Windows are 8×8 boxes every 4 pixels, which is fast; figures are not to be compared with those
    of Gaussian windows.

    Args:
        drawn: (n, 3, H, W), in −0.5..0.5, sides of 8 pixels or more at the last scale.
        picture: the same of what it stands for.
        scales: how many, each of half the resolution of the one before.
    """
    a, b = (luma_and_chroma(x)[:, :1] + 0.5 for x in (drawn, picture))
    errors = []
    for scale in range(scales):
        if scale:
            a, b = (torch.nn.functional.avg_pool2d(x, 2) for x in (a, b))
        errors.append(1 - _ssim(a, b).mean((1, 2, 3)))
    return torch.stack(errors).mean(0)


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each window of two planes in 0..1."""
    moments = torch.cat([a, b, a * a, b * b, a * b], 1)
    boxes = torch.nn.functional.avg_pool2d(moments, _WINDOW, _STRIDE)
    mean_a, mean_b, aa, bb, ab = torch.tensor_split(boxes, 5, 1)
    var_a, var_b = (aa - mean_a**2).clamp_min(0), (bb - mean_b**2).clamp_min(0)
    both = ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure: Tensor = (2 * both + _C2) / (var_a + var_b + _C2)
    return luminance * structure
