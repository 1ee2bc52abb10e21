"""The latent format: numbers of the codec file that fix how latents become integers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from kinpack.errors import CodecError

MAX_CHANNELS = 1024
"""Most latent channels that a codec file may state."""
MAX_STEPS = 64
"""Most steps of the context model."""
MAX_UNIT = 1024
"""Most integer units in one unit of ``y``."""
MAX_LIMIT = 1 << 20
"""Integers of the format stay below this, so that float32 holds them and their sums exactly."""


@dataclass(frozen=True, kw_only=True)
class LatentNumbers(ABC):
    """Numbers that fix how latents become integers; part of the codec file's header.

    Attributes:
        unit: integer units in one unit of ``y``.
        limit: dequantised latents are clipped to ±limit units.
        gain: constant factor between analysis output and ``y``.

    Raises:
        CodecError: the numbers are out of range.
    """

    unit: int
    limit: int
    gain: float

    def __post_init__(self) -> None:
        numbers = 0 < self.unit <= MAX_UNIT and 0 < self.limit < MAX_LIMIT
        if not (numbers and 0 < self.gain < math.inf and self._fits()):
            raise CodecError("the codec's latent format is out of range; make it anew")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from ``to_dict``'s values.

        Raises:
            CodecError: the values do not fit together.
        """
        try:
            return cls(
                unit=int(values["unit"]),
                limit=int(values["limit"]),
                gain=float(values["gain"]),
                **cls._others(values),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CodecError(
                f"the codec's latent format is unreadable ({error}); make it anew"
            ) from error

    @staticmethod
    @abstractmethod
    def _others(values: Mapping[str, Any]) -> dict[str, Any]:
        """What is built beside these numbers."""

    @abstractmethod
    def _fits(self) -> bool:
        """Whether the others are in range."""


@dataclass(frozen=True, kw_only=True)
class LatentFormat(LatentNumbers):
    """Numbers of latents that are coded in steps.

    Attributes:
        channels: latent channels.
        steps: (start, stop, parity) of each step, in the order of coding; parity 0 codes positions
            whose row + column is even, 1 the odd ones, −1 all.
    """

    channels: int
    steps: tuple[tuple[int, int, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    @staticmethod
    def _others(values: Mapping[str, Any]) -> dict[str, Any]:
        steps = tuple((int(a), int(b), int(p)) for a, b, p in values["steps"])
        return {"channels": int(values["channels"]), "steps": steps}

    def _fits(self) -> bool:
        if not (
            0 < self.channels <= MAX_CHANNELS
            and len(self.steps) <= MAX_STEPS
            and all(0 <= a < b <= self.channels and -1 <= p <= 1 for a, b, p in self.steps)
        ):
            return False
        coded = sorted(
            (channel, parity)
            for start, stop, p in self.steps
            for channel in range(start, stop)
            for parity in ((0, 1) if p < 0 else (p,))
        )
        if coded != [(channel, parity) for channel in range(self.channels) for parity in (0, 1)]:
            raise CodecError("the codec's steps do not code each latent once; make it anew")
        return True
