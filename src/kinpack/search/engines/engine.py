"""The engine: what finds the nearest of packed codes; each is registered in ``engines.table``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import DistanceTable
from kinpack.search.engines.packed_codes import PackedCodes

Found: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distances in whole steps, int32 (h,), and positions, int64 (h,), nearest first, h ≤ k."""


class Engine(Protocol):
    """Codes ready to be searched, which were given when the engine was built."""

    def search(
        self,
        tables: Sequence[DistanceTable],
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> Sequence[Found | None]:
        """Find the k codes nearest to each of some queries; exact, equal distances by position.

        Args:
            tables: the queries'.
            k: number of hits wanted, at least 1.
            threads: most that work at a time.
            mask: bool (n,), true for the rows that may be found; None for all.

        Returns:
            What was found for each; None where numpy's scan is the better way to the answer.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """An engine's line in the table.

    Attributes:
        build: makes it of packed codes and their books; raises ``MissingExtraError`` where a
            package is not installed.
        from_codes: fewest codes for which ``auto`` takes it.
        after_scanned: codes that an index must have scanned with numpy before ``auto`` takes it.
    """

    build: Callable[[PackedCodes, ProductQuantiser], Engine]
    from_codes: int = 0
    after_scanned: int = 0
