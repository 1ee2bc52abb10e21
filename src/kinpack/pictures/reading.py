"""How pictures are read, and what reading one found missing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kinpack.arguments import whole_number
from kinpack.errors import ImageError, KinpackError

Damaged: TypeAlias = Literal["keep", "refuse"]
"""What is done with a picture of which a part is missing."""

Size: TypeAlias = int | tuple[int, int] | str
"""What a picture is reduced to: its longest side, ``(width, height)`` of a box that holds it, or
"short:N" for its shortest side, in pixels; one that is no larger stays."""

SampleRange: TypeAlias = Literal["auto"] | tuple[float, float]
"""What is black and what is white among samples of more than 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a picture becomes an image.

    Attributes:
        size: what larger pictures are reduced to.
        damaged: whether of a picture that is cut short the part that is there is taken.
        sample_range: the grey samples of more than 8 bits that become black and white; ``auto``
            goes by the file's own word, or else by the samples.
    """

    size: Size | None = None
    damaged: Damaged = "refuse"
    sample_range: SampleRange = "auto"

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(self.size, ImageError)
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


_SHORT = "short:"


def check_size(size: Size, error: type[KinpackError]) -> None:
    """See that a value is what pictures may be reduced to.

    Raises:
        KinpackError: it is none, as ``error``.
    """
    if isinstance(size, str):
        number = size.removeprefix(_SHORT)
        if size.startswith(_SHORT) and number.isascii() and number.isdigit() and int(number):
            return
    elif isinstance(size, (tuple, list)) and len(size) == 2:
        for side in size:
            whole_number(side, "a side of size", error)
        return
    else:
        whole_number(size, "size", error)
        return
    raise error(f"size is {size!r}; it is a whole number of pixels, (width, height), or 'short:N'")


def reduced(width: int, height: int, size: Size | None) -> tuple[int, int] | None:
    """Width and height to which a picture is reduced, each at least 1; ``None`` if it stays."""
    if size is None:
        return None
    if isinstance(size, str):
        new, old = int(size.removeprefix(_SHORT)), min(width, height)
    elif isinstance(size, (tuple, list)):
        wide = size[0] * height <= size[1] * width  # whether the width is what does not fit
        new, old = (size[0], width) if wide else (size[1], height)
    else:
        new, old = int(size), max(width, height)
    if old <= new:
        return None
    across, down = ((2 * side * new + old) // (2 * old) for side in (width, height))
    return max(1, across), max(1, down)


def doubled(size: Size | None) -> Size | None:
    """A size that is twice as large."""
    if isinstance(size, str):
        return f"{_SHORT}{2 * int(size.removeprefix(_SHORT))}"
    if isinstance(size, (tuple, list)):
        return 2 * size[0], 2 * size[1]
    return None if size is None else 2 * size


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
