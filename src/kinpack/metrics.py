"""Figures of merit: PSNR and BD-rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinpack.errors import KinpackError, MissingExtraError

EXACT_PSNR = 60.0
"""PSNR, in dB, that an exact image counts; nothing counts more, so that means stay finite."""


class MetricError(KinpackError, ValueError):
    """Numbers that a metric is not defined on."""


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two images in dB, 10·log10(255² / MSE).

    The mean squared error is taken over all pixels and channels. Identical images count 60 dB;
    an error so small that it would give more counts 60 dB as well.

    Args:
        a: uint8, any shape with at least one number.
        b: uint8 of the same shape.

    Raises:
        MetricError: type or shape differ, or there are no pixels.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise MetricError(f"PSNR is of 8-bit images, not of {a.dtype} and {b.dtype}")
    if a.shape != b.shape or a.size == 0:
        raise MetricError(f"PSNR needs two images of one size, not {a.shape} and {b.shape}")
    difference = a.astype(np.int64) - b
    squares = int((difference * difference).sum())
    if squares == 0:
        return EXACT_PSNR
    return min(EXACT_PSNR, float(10.0 * np.log10(255.0**2 * a.size / squares)))


def bd_rate(
    rates_a: ArrayLike,
    psnr_a: ArrayLike,
    rates_b: ArrayLike,
    psnr_b: ArrayLike,
    *,
    low: float,
    high: float,
) -> float:
    """Bjøntegaard rate of b against a: mean difference of rate at equal PSNR, as a fraction.

    The mean of log(rate_b) − log(rate_a) over PSNR from ``low`` to ``high``, each curve drawn by
    PCHIP through its points, then exp(mean) − 1: −0.25 says that b needs 25 % fewer bits.

    Args:
        rates_a: (n,) rates of codec a, above 0, n ≥ 5, in any order.
        psnr_a: (n,) PSNR in dB of the same points, all different.
        rates_b: (m,) rates of codec b, m ≥ 5.
        psnr_b: (m,) PSNR in dB of the same points, all different.
        low: lower end of the range of PSNR in dB, within both curves.
        high: upper end, above ``low``, within both curves.

    Raises:
        MetricError: fewer than five points, a rate not above 0, equal PSNRs within a curve, or a
            curve that does not cover the range: nothing is extrapolated.
        MissingExtraError: scipy is not installed.
    """
    if not low < high:
        raise MetricError(f"the range of PSNR goes from low to high, not from {low} to {high} dB")
    areas = [
        _log_rate_area(np.asarray(r, dtype=float), np.asarray(q, dtype=float), low, high, name)
        for r, q, name in ((rates_a, psnr_a, "a"), (rates_b, psnr_b, "b"))
    ]
    return float(np.expm1((areas[1] - areas[0]) / (high - low)))


def _log_rate_area(
    rates: NDArray[np.float64], quality: NDArray[np.float64], low: float, high: float, name: str
) -> float:
    """Integral of log rate over PSNR from ``low`` to ``high``."""
    if rates.ndim != 1 or rates.shape != quality.shape or len(rates) < 5:
        raise MetricError(
            f"curve {name} has {rates.size} rates and {quality.size} PSNRs: "
            "BD-rate needs five points or more"
        )
    if not (np.isfinite(rates).all() and np.isfinite(quality).all() and (rates > 0).all()):
        raise MetricError(f"curve {name} holds a rate that is not above 0, or no finite number")
    order = np.argsort(quality)
    x, y = quality[order], np.log(rates[order])
    if (np.diff(x) <= 0).any():
        raise MetricError(f"curve {name} has two points of one PSNR: keep the cheaper one")
    if x[0] > low or x[-1] < high:
        raise MetricError(
            f"curve {name} covers {x[0]:g} to {x[-1]:g} dB, not {low:g} to {high:g}: "
            "measure further points, nothing is extrapolated"
        )
    try:
        from scipy.interpolate import PchipInterpolator
    except ImportError as error:
        raise MissingExtraError(
            'BD-rate needs scipy; install the extra: pip install "kinpack[learn]"'
        ) from error
    return float(PchipInterpolator(x, y).integrate(low, high))
