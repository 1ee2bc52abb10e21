"""The engine: what finds the nearest of packed codes; each is registered in ``engines.table``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import DistanceTable

Found: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distances in whole steps, int32 (h,), and positions, int64 (h,), nearest first, h ≤ k."""


class Engine(Protocol):
    """Codes ready to be searched, which were given when the engine was built."""

    def search(
        self,
        table: DistanceTable,
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> Found | None:
        """Find the k nearest codes; exact, equal distances ordered by position.

        Args:
            table: the query's.
            k: number of hits wanted, at least 1.
            threads: most that work at a time.
            mask: bool (n,), true for the rows that may be found; None for all.

        Returns:
            What was found; None where numpy's scan is the better way to the answer.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """An engine's line in the table.

    Attributes:
        build: makes it of packed codes, uint8 (n, bytes), and their books; raises
            ``MissingExtraError`` where a package is not installed.
        from_codes: fewest codes for which ``auto`` takes it.
        after_scanned: codes that an index must have scanned with numpy before ``auto`` takes it.
    """

    build: Callable[[NDArray[np.uint8], ProductQuantiser], Engine]
    from_codes: int = 0
    after_scanned: int = 0
