"""Rate–distortion curves: where to measure them, and what they say at equal quality."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.interpolate import PchipInterpolator

from kinpack.metrics import MetricError, bd_rate

Row: TypeAlias = dict[str, Any]
"""One measurement: data, codec, setting, bytes, codec_bytes, pixels, images, psnr_mean, table …"""

Curve: TypeAlias = list[tuple[float, float]]
"""Pairs (mean PSNR in dB, bits a pixel), the PSNR rising."""

AT = (28, 29, 30, 31, 32)
"""PSNR, in dB, at which codecs are compared."""
FILES = "webp-file"
"""The rival of the ratios."""
PAYLOADS = "avif-payload-s4"
"""The rival of the payloads' BD-rate."""


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


def curve(rows: Iterable[Row], codec: str, *, with_codec: bool = False) -> Curve:
    """The curve of a codec; of points of one PSNR the cheapest is kept.

    Args:
        rows: measurements of one data set.
        codec: its name.
        with_codec: whether the codec's own bytes are counted.
    """
    points: dict[float, float] = {}
    for row in rows:
        if row["codec"] == codec:
            total = row["bytes"] + (row["codec_bytes"] if with_codec else 0)
            rate = 8 * total / row["pixels"]
            points[row["psnr_mean"]] = min(rate, points.get(row["psnr_mean"], math.inf))
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


def ratio(a: float | None, b: float | None) -> float | None:
    """Quotient of two rates; None where one was not measured."""
    return None if a is None or b is None else a / b


def bd_rate_or_none(a: Curve, b: Curve, span: tuple[float, float]) -> float | None:
    """BD-rate of b against a as a fraction; None where a curve has too few points or is short."""
    (psnr_a, rates_a), (psnr_b, rates_b) = (
        ([value for value, _ in points], [rate for _, rate in points]) for points in (a, b)
    )
    try:
        return bd_rate(rates_a, psnr_a, rates_b, psnr_b, low=span[0], high=span[1])
    except MetricError:
        return None


def summarise(rows: Sequence[Row], span: tuple[float, float]) -> dict[str, Any]:
    """What the rows of one data set say at equal quality.

    Args:
        rows: measurements of one data set.
        span: range of PSNR, in dB, of the BD-rates.

    Returns:
        ``bits_per_pixel``: codec -> PSNR of ``AT`` -> rate; ``ratio_to_webp_file``: our codecs ->
        PSNR -> bytes over those of WebP files, also "with the codec" (its own bytes counted) and
        "without codes" (payloads bare); ``bd_rate_to_webp_file`` (disk) and
        ``bd_rate_to_avif_payload_s4`` (payloads), as fractions, over ``bd_range``. None stands
        for what was not measured.
    """
    codecs = list(dict.fromkeys(row["codec"] for row in rows))
    curves = {codec: curve(rows, codec) for codec in codecs}
    tables = {row["codec"]: row["table"] for row in rows}
    ours = [codec for codec in codecs if codec.startswith("kinpack")]
    compared = {codec: curves[codec] for codec in ours}
    for codec in ours:
        of_codec = [row for row in rows if row["codec"] == codec]
        if tables[codec] == "disk":
            compared[f"{codec}, with the codec"] = curve(of_codec, codec, with_codec=True)
        else:
            bare = [{**row, "bytes": row["payload_bytes"]} for row in of_codec]
            compared[f"{codec}, without codes"] = curve(bare, codec)
    files = curves.get(FILES, [])
    return {
        "bits_per_pixel": {
            codec: {str(psnr): rate_at(points, psnr) for psnr in AT}
            for codec, points in curves.items()
        },
        "ratio_to_webp_file": {
            name: {str(psnr): ratio(rate_at(points, psnr), rate_at(files, psnr)) for psnr in AT}
            for name, points in compared.items()
        },
        "bd_range": list(span),
        "bd_rate_to_webp_file": {
            codec: bd_rate_or_none(files, points, span)
            for codec, points in curves.items()
            if tables[codec] == "disk" and codec != FILES and len(points) > 1
        },
        "bd_rate_to_avif_payload_s4": {
            codec: bd_rate_or_none(curves[PAYLOADS], points, span)
            for codec, points in curves.items()
            if PAYLOADS in curves and tables[codec] == "payload" and codec != PAYLOADS
        },
    }
