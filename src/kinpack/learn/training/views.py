"""Changed views of pictures: tones, blur, noise, bars, framing and turns, in batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TURN, CROP, STRETCH = 12.0, 0.58, 0.08
"""Largest turn in degrees, smallest share of a side that is kept, largest stretch."""


def sometimes(n: int, chance: float) -> Tensor:
    """1 with a chance, else 0, (n, 1, 1, 1)."""
    return (torch.rand(n, 1, 1, 1) < chance).float()


def framed(x: Tensor) -> Tensor:
    """Turn, crop, stretch and letterbox some of pictures (n, C, S, S); black lies outside."""
    n = len(x)
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
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, padding_mode="zeros", align_corners=False)


def toned(x: Tensor) -> Tensor:
    """Change gamma, gain, offset and contrast of pictures (n, C, S, S), all channels alike."""
    n = len(x)

    def drawn(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1)

    changed = x.clamp_min(1e-4) ** torch.exp(drawn(-0.7, 0.7) * sometimes(n, 0.6))
    middle = changed.mean((2, 3), keepdim=True)
    changed = middle + (changed - middle) * drawn(0.6, 1.5)
    return (changed * drawn(0.6, 1.4) + drawn(-0.15, 0.15)).clamp(0, 1)


def blurred(x: Tensor) -> Tensor:
    """Blur some of pictures (n, C, S, S) a little, a few strongly."""
    chances = torch.rand(len(x))
    for low, high, sigma in ((0.6, 0.76, 1.0), (0.76, 0.92, 2.0), (0.92, 1.0, 4.0)):
        rows = torch.nonzero((chances > low) & (chances <= high)).flatten()
        if len(rows):
            reach = math.ceil(2.5 * sigma)
            taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
            taps = taps / taps.sum()
            padded = nn.functional.pad(x[rows], (reach,) * 4, mode="replicate").flatten(0, 1)
            across = nn.functional.conv2d(padded[:, None], taps.view(1, 1, 1, -1))
            down = nn.functional.conv2d(across, taps.view(1, 1, -1, 1))
            x = x.index_copy(0, rows, down.view(len(rows), *x.shape[1:]))
    return x


def barred(x: Tensor) -> Tensor:
    """Lay a black bar with specks of light over an edge of some of pictures (n, C, S, S)."""
    n, side = len(x), x.shape[2]
    place = torch.arange(side).view(1, 1, side, 1) / side
    high = 0.06 + 0.14 * torch.rand(n, 1, 1, 1)
    bar = ((place > 1 - high).float() * sometimes(n, 0.15)).expand(-1, -1, -1, side)
    specks = (torch.rand(n, 1, side, side) < 0.25).float() * sometimes(n, 0.7)
    return x * (1 - bar) + bar * specks
