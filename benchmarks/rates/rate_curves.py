"""Curves of rate and quality: where to measure them, and what they say at equal quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.interpolate import PchipInterpolator

from benchmarks.measuring.measures import quality_of
from kinpack.metrics import MetricError, bd_rate

Row: TypeAlias = dict[str, Any]
"""One measurement: data, codec, setting, bytes, codec_bytes, pixels, images, psnr_mean, table …"""

Curve: TypeAlias = list[tuple[float, float]]
"""Pairs (quality, bits a pixel), the quality rising: mean PSNR in dB, or by another measure."""


def choose_qualities(
    probe: Callable[[int], float],
    qualities: tuple[int, int],
    targets: Sequence[float],
    *,
    close: float = 0.2,
) -> list[int]:
    """Find qualities that give about the PSNRs wanted, by interpolation between those tried.

    Args:
        probe: mean PSNR in dB at a quality, on a sample; (nearly) rising.
        qualities: the lowest and the highest.
        targets: PSNRs in dB.
        close: how far, in dB, a quality's PSNR may be from what is wanted.

    Returns:
        The qualities, rising, each once; the lowest or highest for a PSNR out of reach.
    """
    known = {quality: probe(quality) for quality in qualities}
    chosen = set()
    for target in targets:
        while True:
            left = max((q for q in known if known[q] <= target), default=qualities[0])
            right = min((q for q in known if q > left), default=left)
            nearest = min((left, right), key=lambda q: abs(known[q] - target))
            if right - left < 2 or abs(known[nearest] - target) < close:
                break
            share = (target - known[left]) / max(known[right] - known[left], 1e-9)
            guess = left + round(np.clip(share, 0, 1) * (right - left))
            guess = min(max(guess, left + 1), right - 1)
            known[guess] = probe(guess)
        chosen.add(nearest)
    return sorted(chosen)


def curve(rows: Iterable[Row], codec: str, measure: str = "psnr") -> Curve:
    """The curve of a codec; of points of one quality the cheapest is kept.

    Args:
        rows: measurements of one data set.
        codec: its name.
        measure: whose qualities are taken, as `quality_of` gives them.
    """
    points: dict[float, float] = {}
    for row in rows:
        quality = quality_of(row, measure) if row["codec"] == codec else None
        if quality is not None:
            rate = 8 * row["bytes"] / row["pixels"]
            points[quality] = min(rate, points.get(quality, math.inf))
    return sorted(points.items())


def rate_at(points: Curve, psnr: float) -> float | None:
    """Bits a pixel at a PSNR, by PCHIP of the logarithm of the rate over PSNR.

    Returns:
        The rate, or None outside what was measured (nothing is extrapolated) and of curves of
        fewer than three points.
    """
    if len(points) < 3 or not points[0][0] <= psnr <= points[-1][0]:
        return None
    x = np.array([value for value, _ in points])
    y = np.log([rate for _, rate in points])
    return math.exp(PchipInterpolator(x, y)(psnr))


def bd_rate_or_none(a: Curve, b: Curve, span: tuple[float, float]) -> float | None:
    """BD-rate of b against a as a fraction; None where a curve has too few points or is short."""
    (psnr_a, rates_a), (psnr_b, rates_b) = (
        ([value for value, _ in points], [rate for _, rate in points]) for points in (a, b)
    )
    try:
        return bd_rate(rates_a, psnr_a, rates_b, psnr_b, low=span[0], high=span[1])
    except MetricError:
        return None
