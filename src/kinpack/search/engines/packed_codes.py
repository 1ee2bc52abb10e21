"""Packed codes that lie in pieces, as in files mapped into memory: never copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from kinpack.mapped_memory import let_go

LARGE = 1 << 14
"""Bytes from which a piece is left where it lies; smaller neighbours are joined."""


class PackedCodes:
    """Packed codes, a row each, in one piece or in several.

    Args:
        parts: uint8 (rows, bytes of a code) each, in their order; not to be changed.
        code_bytes: of one code.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8]], code_bytes: int) -> None:
        self.code_bytes = code_bytes
        self._parts = _joined(parts) or [np.zeros((0, code_bytes), np.uint8)]
        ends = list(accumulate(map(len, self._parts)))
        self._starts = np.array([0, *ends], np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some codes, uint8 (r, bytes), of rows (r,) in any order."""
        if len(self._parts) == 1:
            return self._parts[0][rows]
        found = np.empty((len(rows), self.code_bytes), np.uint8)
        order = None if len(rows) < 2 or (rows[1:] >= rows[:-1]).all() else np.argsort(rows)
        rising = rows if order is None else rows[order]
        bounds = np.searchsorted(rising, self._starts).tolist()
        for at, (first, stop) in enumerate(pairwise(bounds)):
            if first < stop:
                inside = rising[first:stop] - self._starts[at]
                place = slice(first, stop) if order is None else order[first:stop]
                found[place] = self._parts[at][inside]
        return found

    def chunks(
        self, most: int, first: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Rows one run after the other, each with the number of its first.

        Args:
            most: rows in a run.
            first: of the rows that are wanted.
            stop: one past the last; ``None`` for all that follow.
        """
        stop = len(self) if stop is None else stop
        for start, part in zip(self._starts.tolist(), self._parts, strict=False):
            begin, end = max(first - start, 0), min(stop - start, len(part))
            for at in range(begin, end, most):
                yield start + at, part[at : min(at + most, end)]

    def whole(self) -> NDArray[np.uint8]:
        """All codes in one piece, uint8 (n, bytes), not to be changed."""
        one = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        one = one.view()
        one.setflags(write=False)
        return one

    def let_go(self) -> None:
        """Give back the memory of mapped pages, which are read again when they are needed."""
        for part in self._parts:
            let_go(part)


def _joined(parts: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Parts that are not empty, small neighbours joined."""
    found: list[NDArray[np.uint8]] = []
    small: list[NDArray[np.uint8]] = []
    for part in parts:
        if 0 < part.nbytes < LARGE:
            small.append(part)
        elif part.nbytes:
            if small:
                found.append(np.concatenate(small))
                small = []
            found.append(part)
    if small:
        found.append(small[0] if len(small) == 1 else np.concatenate(small))
    return found
