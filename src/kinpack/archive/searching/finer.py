"""Longer codes: they order anew what is nearest by those that are scanned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Positions, int64 (h,), and distances, float64 (h,), nearest first."""

ORDERED_ANEW = 100
"""Hits that longer codes order anew, where there are some."""


def finer_column(name: str) -> str:
    """The column whose codes order anew what is nearest by another column."""
    return f"{name}-fine"


def ordered_anew(
    hits: Found,
    packed: Sequence[bytes | None],
    quantiser: ProductQuantiser,
    near: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
) -> Found:
    """Order the first hits by longer codes; those that have none keep their places.

    Args:
        hits: nearest first.
        packed: the longer codes of the first of them.
        quantiser: the books of longer codes.
        near: gives the distances (n,) of sub-indices uint8 (n, M).

    Returns:
        The hits; where a longer code is known, the distance is that of it.
    """
    positions, distances = hits[0].copy(), hits[1].copy()
    known = np.array([at for at, code in enumerate(packed) if code is not None], np.int64)
    if len(known):
        codes = np.frombuffer(b"".join(code for code in packed if code), np.uint8)
        found = near(quantiser.unpack(codes.reshape(len(known), -1)))
        order = np.argsort(found, kind="stable")
        positions[known], distances[known] = positions[known][order], found[order]
    return positions, distances
