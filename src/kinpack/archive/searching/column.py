"""A column of codes, made ready to be searched again and again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinpack.search.index import Index
from kinpack.search.scale import strangers_apart

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


class Column:
    """The codes of one describer.

    Args:
        name: of the column.
        describer: what made them.
        packed: uint8 (n, bytes of a code).
        positions: int64 (n,), of their images, ascending.
        images: how many the revision has.

    Attributes:
        name: of the column.
        describer: what made them.
        positions: int64 (n,), of the images that have a code, ascending.
        index: of the codes, whose rows go with ``positions``.
    """

    def __init__(
        self,
        name: str,
        describer: Describer,
        packed: NDArray[np.uint8],
        positions: NDArray[np.int64],
        images: int,
    ) -> None:
        self.name, self.describer, self.positions = name, describer, positions
        if not len(packed):
            packed = np.zeros((0, describer.code_bytes), np.uint8)
        self.packed = packed
        self.index = Index(packed, describer.searched)
        self._images = images

    @cached_property
    def apart(self) -> float:
        """What two strangers lie apart by these codes: the median."""
        return strangers_apart(self.packed, self.describer.searched)

    def passing(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Of a mask of all images the part of those that have a code; ``None`` for all."""
        if mask is None or len(self.positions) == self._images:
            return mask
        return mask[self.positions]

    def rows_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of images that have a code."""
        return np.searchsorted(self.positions, positions)

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the codes of images (h,) that have one stand for, float32 (h, D)."""
        quantiser = self.describer.searched
        return quantiser.decode(quantiser.unpack(self.packed[self.rows_of(positions)]))
