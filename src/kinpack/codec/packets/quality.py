"""The scale of qualities, shared by classic and learned payloads.

Quality q aims at 30 + 0.375 · (q − 50) dB on 32×32 thumbnails such as CIFAR-10's, and weighs a unit
of mean squared error as `lam` says. Other pictures come out better or worse at the same slope.
"""

from __future__ import annotations

import math
from bisect import bisect_right

_CENTRE = 50
_CENTRE_PSNR = 30.0
_PSNR_STEP = 0.375

# Mean PSNR in dB of the encoders at some of their own qualities: first 150 CIFAR-10 train images,
# 4:4:4, Pillow 13.0 with libavif 1.4.2 and libwebp 1.6.0.
_AVIF = (
    (0, 19.67), (5, 21.68), (10, 23.10), (20, 25.86), (30, 28.10), (40, 30.40), (50, 32.82),
    (60, 35.65), (70, 37.60), (80, 39.77), (85, 41.75), (90, 43.69), (95, 45.99), (98, 47.97),
    (100, 49.59),
)  # fmt: skip
_WEBP = (
    (0, 21.43), (5, 24.63), (10, 25.57), (20, 26.91), (30, 27.90), (40, 28.89), (50, 29.73),
    (60, 30.42), (70, 31.15), (80, 32.73), (85, 33.95), (90, 35.42), (95, 36.95), (98, 37.69),
    (100, 37.93),
)  # fmt: skip


def lam(quality: float) -> float:
    """Lagrange weight of squared error at a quality.

    Args:
        quality: 1 to 100.

    Returns:
        Bits per pixel that one unit of mean squared error (over channels, 8-bit scale) is worth.
    """
    return 0.0167 * math.exp2((quality - _CENTRE) / 8)


def aimed_psnr(quality: float) -> float:
    """PSNR in dB that a quality aims at on CIFAR-10 thumbnails."""
    return _CENTRE_PSNR + _PSNR_STEP * (quality - _CENTRE)


def quality_for_psnr(psnr: float) -> float:
    """Quality that aims at a PSNR in dB; beyond 1 to 100 for one that none aims at."""
    return _CENTRE + (psnr - _CENTRE_PSNR) / _PSNR_STEP


def avif_quality(quality: float) -> int:
    """AVIF's own quality, 0 to 100, that comes nearest to what a quality aims at."""
    return _own_quality(_AVIF, quality)


def webp_quality(quality: float) -> int:
    """WebP's own quality, 0 to 100, that comes nearest to what a quality aims at."""
    return _own_quality(_WEBP, quality)


def _own_quality(curve: tuple[tuple[int, float], ...], quality: float) -> int:
    target = aimed_psnr(quality)
    place = bisect_right(curve, target, key=lambda point: point[1])
    if place in (0, len(curve)):
        return curve[min(place, len(curve) - 1)][0]
    (low, at_low), (high, at_high) = curve[place - 1], curve[place]
    return round(low + (high - low) * (target - at_low) / (at_high - at_low))
