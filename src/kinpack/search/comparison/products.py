"""Matrix products on one thread: for small ones other threads cost more than they bring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 1 << 18
"""Multiplications up to which OpenBLAS begins no threads, which wait for one another by turning."""


def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of matrices (m, k) and (k, n), float32 (m, n), block by block.

    Where another program keeps a core busy, threads took twenty times as long as one does.
    """
    (m, k), n = a.shape, b.shape[1]
    found = np.empty((m, n), np.float32)
    rows = max(1, min(m, MOST // max(1, k * min(n, 64))))
    columns = max(1, MOST // max(1, k * rows))
    for top in range(0, m, rows):
        for left in range(0, n, columns):
            some = slice(top, top + rows), slice(left, left + columns)
            np.matmul(a[some[0]], b[:, some[1]], out=found[some])
    return found
