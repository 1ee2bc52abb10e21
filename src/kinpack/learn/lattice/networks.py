"""Transforms of a codec with lattice context: a heavy analysis, a light synthesis.

Nothing of either works at a half of the picture's resolution, where most arithmetic of a
convolutional codec goes. Both have a linear block transform beside a trunk that starts at zero.
Only within residual blocks is there a ReLU: on the stream between them one can die, and did: all
it gave was 0 before the trunk's last layer, which starts at zero, had moved.
"""

from __future__ import annotations

from torch import nn

from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.models.networks import Analysis, Residual, Synthesis, start_at_zero


class LatticeAnalysis(Analysis):
    """Picture to latent.

    Input (n, 4, H, W): RGB in −0.5..0.5 and a plane of the quality. Output (n, latent, H/8, W/8),
    before the constant gain.
    """

    def __init__(self, config: LatticeConfig) -> None:
        nn.Module.__init__(self)  # of the same form, of other layers
        mid, deep = config.analysis, config.analysis_deep
        self.linear = nn.Conv2d(4, config.latent, 8, stride=8)
        self.trunk = nn.Sequential(
            nn.Conv2d(4, mid, 8, stride=4, padding=2),
            *(Residual(mid, config.analysis_inner) for _ in range(config.analysis_blocks)),
            nn.Conv2d(mid, deep, 4, stride=2, padding=1),
            *(Residual(deep, deep // 2) for _ in range(config.analysis_deep_blocks)),
        )
        self.last = nn.Conv2d(deep, config.latent, 1)
        start_at_zero(self.last)


class LatticeSynthesis(Synthesis):
    """Latent to picture.

    Input (n, latent + 1, h, w): ŷ divided by the constant gain, and the plane of the quality.
    Output (n, 3, 8h, 8w): RGB in −0.5..0.5, not clipped.
    """

    def __init__(self, config: LatticeConfig) -> None:
        nn.Module.__init__(self)  # of the same form, of other layers
        planes, deep, mid = config.latent + 1, config.deep, config.mid
        self.linear = nn.Conv2d(planes, 3 * 8 * 8, 1)
        self.blocks = nn.PixelShuffle(8)
        self.trunk = nn.Sequential(
            nn.Conv2d(planes, deep, 1),
            *(Residual(deep, config.deep_inner) for _ in range(config.deep_blocks)),
            nn.Conv2d(deep, 4 * mid, 1),
            nn.PixelShuffle(2),
            Residual(mid, config.mid_inner),
        )
        self.last = nn.Conv2d(mid, 3 * 4 * 4, 3, padding=1)
        self.up = nn.PixelShuffle(4)
        start_at_zero(self.last)
