"""Changed views of pictures: tones, blur, noise, bars, framing and turns, in batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kinpack.learn.look.networks import SIDE

TURN, CROP, STRETCH = 12.0, 0.58, 0.08
"""Largest turn in degrees, smallest share of a side that is kept, largest stretch."""


def clean_view(luma: Tensor) -> Tensor:
    """Pictures as they are: luma (n, 1, 2s, 2s), 0 to 1, to (n, 1, s, s), s = 32."""
    return nn.functional.avg_pool2d(luma, 2)


def changed_view(luma: Tensor) -> Tensor:
    """Views of pictures after changes that a copy may go through, drawn at random for each.

    Args:
        luma: (n, 1, 64, 64), 0 to 1.

    Returns:
        (n, 1, 32, 32), 0 to 1.
    """
    n = len(luma)
    x = _tones(_framed(luma), n)
    x = _blurred(x, n)
    x = nn.functional.avg_pool2d(_barred(x, n), 2)
    noise = 0.06 * torch.rand(n, 1, 1, 1) * _sometimes(n, 0.5) * torch.randn(n, 1, SIDE, SIDE)
    return (x + noise).clamp(0, 1)


def _sometimes(n: int, chance: float) -> Tensor:
    """1 with a chance, else 0, (n, 1, 1, 1)."""
    return (torch.rand(n, 1, 1, 1) < chance).float()


def _framed(luma: Tensor) -> Tensor:
    """Turn, crop, stretch and letterbox some; what lies outside is black."""
    n = len(luma)
    some = (torch.rand(n) < 0.7).float()
    angle = math.radians(TURN) * (2 * torch.rand(n) - 1) * some * (torch.rand(n) < 0.6)
    keep = 1 - (1 - CROP) * torch.rand(n) ** 1.5 * some
    stretch = 1 + STRETCH * (2 * torch.rand(n) - 1) * some
    wide, high = keep * stretch, keep / stretch
    high = torch.where(torch.rand(n) < 0.12, 1 + 0.45 * torch.rand(n), high)  # a letterbox
    room = torch.stack([(1 - wide).clamp_min(0), (1 - high).clamp_min(0)], 1)
    # About the centre, or anywhere that there is room: a corner may be cut off.
    shift = room * (2 * torch.rand(n, 2) - 1) * (torch.rand(n, 1) < 0.6)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([wide * cos, -high * sin, shift[:, 0]], 1),
            torch.stack([wide * sin, high * cos, shift[:, 1]], 1),
        ],
        1,
    )
    grid = nn.functional.affine_grid(theta, list(luma.shape), align_corners=False)
    return nn.functional.grid_sample(luma, grid, padding_mode="zeros", align_corners=False)


def _tones(x: Tensor, n: int) -> Tensor:
    """Change gamma, gain, offset and contrast."""

    def drawn(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1)

    changed = x.clamp_min(1e-4) ** torch.exp(drawn(-0.7, 0.7) * _sometimes(n, 0.6))
    middle = changed.mean((2, 3), keepdim=True)
    changed = middle + (changed - middle) * drawn(0.6, 1.5)
    return (changed * drawn(0.6, 1.4) + drawn(-0.15, 0.15)).clamp(0, 1)


def _blurred(x: Tensor, n: int) -> Tensor:
    """Blur some a little, a few strongly."""
    chances = torch.rand(n)
    for low, high, sigma in ((0.6, 0.76, 1.0), (0.76, 0.92, 2.0), (0.92, 1.0, 4.0)):
        rows = torch.nonzero((chances > low) & (chances <= high)).flatten()
        if len(rows):
            reach = math.ceil(2.5 * sigma)
            taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
            taps = taps / taps.sum()
            padded = nn.functional.pad(x[rows], (reach,) * 4, mode="replicate")
            across = nn.functional.conv2d(padded, taps.view(1, 1, 1, -1))
            x = x.index_copy(0, rows, nn.functional.conv2d(across, taps.view(1, 1, -1, 1)))
    return x


def _barred(x: Tensor, n: int) -> Tensor:
    """Lay a black bar with specks of light over an edge of some."""
    side = x.shape[2]
    place = torch.arange(side).view(1, 1, side, 1) / side
    high = 0.06 + 0.14 * torch.rand(n, 1, 1, 1)
    bar = ((place > 1 - high).float() * _sometimes(n, 0.15)).expand(-1, -1, -1, side)
    specks = (torch.rand(n, 1, side, side) < 0.25).float() * _sometimes(n, 0.7)
    return x * (1 - bar) + bar * specks
