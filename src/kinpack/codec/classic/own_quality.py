"""The qualities of AVIF and WebP that come nearest to kinpack's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kinpack.codec.packets.target import aimed_psnr

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

_AVIF_AT_SLOPE = (
    (36, 29), (44, 38), (52, 46), (60, 55), (68, 65), (76, 75), (84, 85), (92, 94), (99, 100),
)  # fmt: skip
"""Kinpack's qualities, and AVIF's own whose bits are worth their error at each: the medians of some
forty photographs, grey pictures, drawings and pages of 64 to 256 pixels, which lie within ±2."""


def avif_quality_at_slope(quality: float) -> int:
    """AVIF's own quality, 0 to 100, of the slope of bits over error that a quality stands for.

    Finer than `avif_quality` in the middle, and much so at low qualities. With small pictures of
    much detail, such as CIFAR-10's, both say about the same.
    """
    (first, at_first), *_ = _AVIF_AT_SLOPE
    if quality < first:  # down to a setting of 0
        return round(at_first * quality / first)
    return _between(_AVIF_AT_SLOPE, quality)


def avif_quality(quality: float) -> int:
    """AVIF's own quality, 0 to 100, that comes nearest to what a quality aims at."""
    return _own_quality(_AVIF, quality)


def webp_quality(quality: float) -> int:
    """WebP's own quality, 0 to 100, that comes nearest to what a quality aims at."""
    return _own_quality(_WEBP, quality)


def _own_quality(curve: tuple[tuple[int, float], ...], quality: float) -> int:
    return _between([(psnr, own) for own, psnr in curve], aimed_psnr(quality))


def _between(points: Sequence[tuple[float, int]], at: float) -> int:
    """The second number of points, rising, where the first is ``at``; of the ends beyond them."""
    place = bisect_right(points, at, key=lambda point: point[0])
    if place in (0, len(points)):
        return points[min(place, len(points) - 1)][1]
    (low, at_low), (high, at_high) = points[place - 1], points[place]
    return round(at_low + (at_high - at_low) * (at - low) / (high - low))
