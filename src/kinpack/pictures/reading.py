"""How pictures are read, and what reading one found missing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kinpack.arguments import whole_number
from kinpack.errors import ImageError

Damaged: TypeAlias = Literal["keep", "refuse"]
"""What is done with a picture of which a part is missing."""

SampleRange: TypeAlias = Literal["auto"] | tuple[float, float]
"""What is black and what is white among samples of more than 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a picture becomes an image.

    Attributes:
        size: the longest side in pixels that the image may have; larger pictures are reduced.
        damaged: whether of a JPEG or PNG that is cut short the part that is there is taken.
        sample_range: the grey samples of more than 8 bits that become black and white; ``auto``
            goes by the file's own word, or else by the samples.
    """

    size: int | None = None
    damaged: Damaged = "refuse"
    sample_range: SampleRange = "auto"

    def __post_init__(self) -> None:
        if self.size is not None:
            whole_number(self.size, "size", ImageError)
        if self.damaged not in ("keep", "refuse"):
            raise ImageError(f"damaged is {self.damaged!r}; it is keep or refuse")
        if self.sample_range != "auto":
            try:
                low, high = map(float, self.sample_range)
                usable = math.isfinite(low) and math.isfinite(high) and low < high
            except (TypeError, ValueError):
                usable = False
            if not usable:
                raise ImageError(
                    f"sample_range is {self.sample_range!r}; it is auto, or the samples that are "
                    "black and white, as (0, 4095)"
                )


_missing: ContextVar[list[float] | None] = ContextVar("kinpack_missing", default=None)


@contextmanager
def missing_noted() -> Iterator[list[float]]:
    """Collect, inside a block, what share of each picture was missing that was taken all the same.

    Yields:
        A list that gets a number from 0 to 1 for each such picture that this thread reads.
    """
    found: list[float] = []
    token = _missing.set(found)
    try:
        yield found
    finally:
        _missing.reset(token)


def note_missing(share: float) -> None:
    """Tell whoever collects it that a share of the picture is missing, 0 to 1."""
    found = _missing.get()
    if found is not None:
        found.append(share)
