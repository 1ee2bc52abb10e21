"""Thresholds: how near codes, and how alike pictures, count, measured on the pictures themselves.

Random pairs are strangers, changed copies are kin. Of similarities, which are correlations, the
Fisher transform has a tail that falls by about the same amount for each power of ten; so it tells
where so few strangers are left that no sample meets one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.search.comparison.comparison import SAME

FALSE = 1e-3
"""Share of images that may be taken for the same picture as a stranger, by the tail."""
ALIKE = 0.5
"""Least similarity of pictures that are told as alike."""
HIGHEST = 0.97
"""Most that is asked for: copies of less than that would hardly be any."""
COMPARED = 8.0
"""Most strangers that each image is compared with, on average."""

_WORK, _FEWEST = 2e4, 0.05  # strangers compared in a large archive, in all, and for each at least
_LOOSER = 100  # times as many strangers may be alike as are the same
_ENOUGH = 50  # pairs from which a tail is read
_MANY = 200  # images from which on a hundredth of pairs is more than duplicates
_KIN = 0.995  # of changed copies: what lies beyond is not looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """From where on images are compared, alike, and the same; and how that was found.

    Attributes:
        within: squared distance of codes up to which images are compared.
        same: similarity from which two images show the same picture.
        alike: similarity from which they are alike.
        kin: changed copies that were made of some images.
        kin_within: share of them that lie within.
        kin_same: share that are as similar as the same picture.
        strangers: random pairs whose pictures were compared.
        strangers_same: how many of them count as the same; duplicates among them, too.
        strangers_alike: how many count as alike, or the same.
        strangers_within: share of random pairs that lie within, by any way they are turned.
        expected_same: share of random pairs that are the same by the tail, ``None`` without one.
    """

    within: float
    same: float
    alike: float
    kin: int
    kin_within: float
    kin_same: float
    strangers: int
    strangers_same: int
    strangers_alike: int
    strangers_within: float
    expected_same: float | None

    def to_dict(self) -> dict[str, Any]:
        """The thresholds as JSON values."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def reach(
    strangers: NDArray[np.float32], kin: NDArray[np.float32], images: int, poses: int
) -> float:
    """The squared distance of codes within which images are compared.

    So far that each meets few strangers, and no farther than changed copies lie.

    Args:
        strangers: (s,) squared distances of random pairs.
        kin: (c,) those of changed copies.
        images: how many there are.
        poses: in how many ways each is looked for.
    """
    many = min(COMPARED, max(_WORK / images, _FEWEST))
    share = min(1.0, many / (images * poses))
    farthest = [float(np.quantile(kin, _KIN))] if len(kin) else []
    if len(strangers):
        farthest.append(float(np.quantile(strangers, share)))
    return min(farthest, default=0.0)


def similarities_wanted(strangers: NDArray[np.float32], images: int) -> tuple[float, float]:
    """The similarities from which pictures are the same, and alike.

    Args:
        strangers: (s,) similarities of random pairs.
        images: how many there are.
    """
    if len(strangers) < _ENOUGH:
        return SAME, ALIKE
    share = 2 * FALSE / images
    same = min(max(SAME, _beyond(strangers, share, images)), HIGHEST)
    alike = min(max(ALIKE, _beyond(strangers, _LOOSER * share, images)), same)
    return same, alike


def expected(strangers: NDArray[np.float32], similarity: float, images: int) -> float | None:
    """The share of random pairs that are as similar, by the tail; ``None`` without one."""
    if len(strangers) < _ENOUGH:
        return None
    start, decade = _tail(strangers, images)
    return float(0.1 * 10 ** min(1, (start - math.atanh(similarity)) / decade))


def _beyond(strangers: NDArray[np.float32], share: float, images: int) -> float:
    """The similarity that so small a share of strangers reaches."""
    start, decade = _tail(strangers, images)
    return math.tanh(start + decade * math.log10(0.1 / share))


def _tail(strangers: NDArray[np.float32], images: int) -> tuple[float, float]:
    """What a tenth reach, and how much more a tenth of these, in Fisher's transform.

    Duplicates among random pairs are far fewer than one in a hundred where there are many images.
    Where there are few, it is told from the half.
    """
    half, tenth, hundredth = np.arctanh(np.quantile(strangers, [0.5, 0.9, 0.99]).clip(0, 0.999999))
    decade = float(tenth - half) / math.log10(5)
    if images >= _MANY:
        decade = max(decade, float(hundredth - tenth))
    return float(tenth), max(decade, 0.01)
