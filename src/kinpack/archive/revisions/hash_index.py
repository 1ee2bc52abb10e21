"""Hash indices: which of many numbered things has a given hash, held in a few bytes for each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """The hashes of some neighbours, sorted, each with its place among them."""

    first: int
    hashes: NDArray[np.int64]
    places: NDArray[np.unsignedinteger]
    sorted: memoryview

    @classmethod
    def of(cls, first: int, hashes: NDArray[np.int64]) -> _Layer:
        """A layer of hashes in the order of their numbers, of which ``first`` is the lowest."""
        order = np.argsort(hashes, kind="stable").astype(np.min_scalar_type(len(hashes)))
        ascending = hashes[order]
        return cls(first, ascending, order, memoryview(ascending))

    def in_order(self) -> NDArray[np.int64]:
        """The hashes in the order of their numbers."""
        hashes = np.empty_like(self.hashes)
        hashes[self.places] = self.hashes
        return hashes


class HashIndex:
    """Numbers from 0 on, found by the hash of what each stands for; about 12 bytes for each.

    Nothing of it ever changes: ``extended`` gives another one, which shares what it can. The hashes
    lie in sorted layers, and a layer is put together with one that is no smaller: so however they
    are added, each is copied a logarithm of times, and there is a logarithm of layers.
    """

    __slots__ = ("_count", "_layers")

    def __init__(self) -> None:
        self._layers: tuple[_Layer, ...] = ()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extended(self, hashes: NDArray[np.int64]) -> HashIndex:
        """An index with further numbers.

        Args:
            hashes: of the next numbers, int64, shape (numbers,).
        """
        made = HashIndex()
        made._count = self._count + len(hashes)
        layers = list(self._layers)
        while layers and len(layers[-1].hashes) <= len(hashes):
            hashes = np.concatenate([layers.pop().in_order(), hashes])
        if len(hashes):
            layers.append(_Layer.of(made._count - len(hashes), hashes))
        made._layers = tuple(layers)
        return made

    def numbers(self, value: int) -> Iterator[int]:
        """The numbers of what has a hash, the highest first."""
        for layer in reversed(self._layers):
            hashes = layer.sorted
            at = bisect_left(hashes, value)
            stop = at
            while stop < len(hashes) and hashes[stop] == value:
                stop += 1
            for place in reversed(layer.places[at:stop].tolist() if at < stop else ()):
                yield layer.first + place

    def holds(self, hashes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of many hashes which are there.

        Args:
            hashes: int64, shape (hashes,).

        Returns:
            Bool, of the same shape.
        """
        found = np.zeros(len(hashes), bool)
        for layer in self._layers:
            at = np.minimum(np.searchsorted(layer.hashes, hashes), len(layer.hashes) - 1)
            found |= layer.hashes[at] == hashes
        return found
