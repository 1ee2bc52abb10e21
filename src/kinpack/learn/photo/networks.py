"""Network of the describer `photo`: what a picture shows, as lite0 tells it, of smaller pictures.

Convolutions and residual blocks at ever smaller sides, then the mean over places:

```
 (3, 64, 64) ─▶ 32 @ 32² ─▶ 64 @ 16² + block ─▶ 128 @ 8² + 2 blocks ─▶ 224 @ 4² + 2 blocks ─▶ 128
```
"""

from __future__ import annotations

from torch import Tensor, nn

from kinpack.describers.fitting import Fitting

SIDE = 64
"""Side of the pictures that the network sees."""
FITTING = Fitting(enlarge="smooth")
LATENTS = 128
"""Numbers of the latents: those of lite0."""
_STEM = 32
_STAGES = ((64, 1), (128, 2), (224, 2))
"""Channels, and blocks, of each side that is half the one before."""


def _halved(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Block(nn.Module):
    """Two convolutions beside what goes in (He, Zhang, Ren and Sun, 2016, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.relu(x + self.layers(x))
        return out


class PhotoNetwork(nn.Module):
    """Maps pictures (n, 3, 64, 64), 0 to 1, to latents (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_halved(3, _STEM)]
        before = _STEM
        for channels, blocks in _STAGES:
            layers += [_halved(before, channels), *(_Block(channels) for _ in range(blocks))]
            before = channels
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Linear(before, LATENTS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Give the latents."""
        latents: Tensor = self.last(self.trunk(2 * pictures - 1).mean((2, 3)))
        return latents
