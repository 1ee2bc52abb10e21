"""Poses: one example of a query as it is compared with codes, as it is, turned and mirrored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.search.distances.distance import DistanceTable

TURNED = 1.25
"""How many times as far an image counts that is near to the query turned, or mirrored."""


@dataclass(frozen=True, eq=False)
class Poses:
    """The distance tables of one example; a code is as far from it as from the nearest pose.

    Attributes:
        tables: of the example as it is, then of its other poses.
    """

    tables: tuple[DistanceTable, ...]

    def distances(self, table: DistanceTable, steps: NDArray[np.int32]) -> NDArray[np.float64]:
        """Distances by one of the poses, exact, in the order of their steps.

        Args:
            table: of the pose.
            steps: int32 (n,), the table's.

        Returns:
            float64 (n,).
        """
        return steps.astype(np.float64) * (
            table.scale if table is self.tables[0] else table.scale * TURNED
        )

    def nearest(self, steps: Iterable[NDArray[np.int32]]) -> NDArray[np.float64]:
        """The distances (n,) of codes, of their steps (n,) by each table."""
        both = zip(self.tables, steps, strict=True)
        found: NDArray[np.float64] = np.min([self.distances(*one) for one in both], axis=0)
        return found

    def of_codes(self, indices: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The distances (n,) of codes, uint8 (n, M) sub-indices."""
        return self.nearest(table.steps(indices) for table in self.tables)
