"""Measures a codec on a data set at settings that cover a range of PSNR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.measuring.data import Pictures
from benchmarks.rates.contenders import Contender
from benchmarks.rates.rate_curves import Row, choose_qualities

MARGIN = 0.4
"""How far, in dB, curves are meant to reach beyond the range on each side."""
STEP = 3
"""Qualities from one to the next where a curve falls short of the range after all."""
LEAST_POINTS = 5
"""Points that a BD-rate needs: a curve of steep steps is measured beyond its range to have them."""


@dataclass(frozen=True)
class Plan:
    """How a data set is measured.

    Attributes:
        low: lower end of the range of PSNR that every curve is to cover, in dB.
        high: its upper end.
        points: settings of each codec.
        sample: pictures that settings are chosen on.
    """

    low: float
    high: float
    points: int = 7
    sample: int = 60

    @property
    def targets(self) -> list[float]:
        """PSNRs wanted, in dB."""
        ends = self.low - MARGIN, self.high + MARGIN
        return [float(value) for value in np.linspace(*ends, self.points)]

    @property
    def close(self) -> float:
        """How far from them settings may be, in dB."""
        return (self.high - self.low) / self.points / 6


def measured_rows(
    contender: Contender, pictures: Pictures, plan: Plan, *, seed: int
) -> Iterator[Row]:
    """Measure a codec as planned, and further until the range is covered and a BD-rate is possible.

    Args:
        contender: the codec.
        pictures: the data set.
        plan: the range and the number of points.
        seed: of the sample that qualities are chosen on.

    Yields:
        Rows; a codec that cannot reach an end of the range stops at its last quality.
    """
    sample = pictures.sample(plan.sample, seed=seed).images
    lowest, highest = contender.qualities
    waiting = choose_qualities(
        lambda quality: contender.probe(sample, quality),
        contender.qualities,
        plan.targets,
        close=plan.close,
    )
    values: dict[int, float] = {}
    while waiting:
        quality = waiting.pop(0)
        rows = contender.rows(pictures, quality)
        values[quality] = rows[0]["psnr_mean"]
        yield from rows
        if not waiting:
            first, last = min(values), max(values)
            if values[first] > plan.low and first > lowest:
                waiting.append(max(lowest, first - STEP))
            elif last < highest and (values[last] < plan.high or len(values) < LEAST_POINTS):
                waiting.append(min(highest, last + STEP))
            elif first > lowest and len(values) < LEAST_POINTS:
                waiting.append(max(lowest, first - STEP))
