"""A column of codes, made ready to be searched again and again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinpack.search.engines.packed_codes import PackedCodes
from kinpack.search.index import Index
from kinpack.search.scale import strangers_apart

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


class Column:
    """The codes of one describer.

    Args:
        name: of the column.
        describer: what made them.
        packed: the codes.
        positions: int64 (n,), of their images, ascending; ``None`` where all images have one.
        images: how many the revision has.

    Attributes:
        name: of the column.
        describer: what made them.
        packed: the codes.
        index: of the codes.
    """

    def __init__(
        self,
        name: str,
        describer: Describer,
        packed: PackedCodes,
        positions: NDArray[np.int64] | None,
        images: int,
    ) -> None:
        self.name, self.describer, self._positions = name, describer, positions
        if not len(packed):
            packed = PackedCodes([], describer.code_bytes)
        self.packed = packed
        self.index = Index(packed, describer.searched)
        self._images = images

    @cached_property
    def apart(self) -> float:
        """What two strangers lie apart by these codes: the median."""
        return strangers_apart(self.packed, self.describer.searched)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Those of the images that have a code, int64 (n,), ascending."""
        return np.arange(self._images) if self._positions is None else self._positions

    def passing(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Of a mask of all images the part of those that have a code; ``None`` for all."""
        if mask is None or self._positions is None:
            return mask
        return mask[self._positions]

    def positions_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions of the images whose codes are in some rows."""
        return rows if self._positions is None else self._positions[rows]

    def rows_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of images that have a code."""
        if self._positions is None:
            return positions
        return np.searchsorted(self._positions, positions)

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the codes of images (h,) that have one stand for, float32 (h, D)."""
        quantiser = self.describer.searched
        return quantiser.decode(quantiser.unpack(self.packed.rows(self.rows_of(positions))))
