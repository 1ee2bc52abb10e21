"""Finding names among many: an index of hashes, a few bytes for each, and a look through texts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 32
"""Texts by which it is judged where they differ."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """The hashes of some neighbours, sorted, each with its place among them."""

    first: int
    hashes: NDArray[np.int64]
    places: NDArray[np.unsignedinteger]
    sorted: memoryview


class HashIndex:
    """Numbers from 0 on, found by the hash of what each stands for; about 12 bytes for each.

    Nothing of it ever changes: ``extended`` gives another one, which shares what it can. The hashes
    lie in sorted layers, and a layer is put together with one that is no smaller: so however they
    are added, each is copied a logarithm of times, and there is a logarithm of layers.
    """

    __slots__ = ("_layers",)

    def __init__(self, layers: tuple[_Layer, ...] = ()) -> None:
        self._layers = layers

    def __len__(self) -> int:
        return self._layers[-1].first + len(self._layers[-1].hashes) if self._layers else 0

    def extended(self, hashes: NDArray[np.int64]) -> HashIndex:
        """An index with further numbers.

        Args:
            hashes: of the next numbers, int64, shape (numbers,).
        """
        stop = len(self) + len(hashes)
        layers = list(self._layers)
        while layers and len(layers[-1].hashes) <= len(hashes):
            last = layers.pop()
            in_order = np.empty_like(last.hashes)
            in_order[last.places] = last.hashes
            hashes = np.concatenate([in_order, hashes])
        if len(hashes):
            places = np.argsort(hashes, kind="stable").astype(np.min_scalar_type(len(hashes)))
            ascending = hashes[places]
            layers.append(_Layer(stop - len(hashes), ascending, places, memoryview(ascending)))
        return HashIndex(tuple(layers))

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


def rows_of(ids: Any, text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows of a text in an Arrow array of strings, ascending, int64.

    Args:
        ids: without nulls.
        text: its bytes, uint8.
    """
    ends = np.frombuffer(ids.buffers()[1], np.int32, len(ids) + 1, 4 * ids.offset)
    rows = np.flatnonzero(np.diff(ends) == len(text))
    if not len(text) or not len(rows):
        return rows
    data = np.frombuffer(ids.buffers()[2], np.uint8)
    starts = ends[rows].astype(np.int64)
    for place in _telling(data, starts, text):
        same = data[starts + place] == text[place]
        rows, starts = rows[same], starts[same]
        if not len(rows):
            break
    return rows


def _telling(
    data: NDArray[np.uint8], starts: NDArray[np.int64], text: NDArray[np.uint8]
) -> list[int]:
    """The places in a text, those first that tell it from others: paths begin and end alike."""
    some = starts[:: max(1, len(starts) // _SAMPLE)]
    alike = sum((data[start : start + len(text)] == text for start in some.tolist()), start=0)
    order: list[int] = np.argsort(alike, kind="stable").tolist()
    return order


def hashes_of(names: Sequence[str]) -> NDArray[np.int64]:
    """The hashes by which this process knows names; who chooses names cannot tell them."""
    return np.fromiter(map(hash, names), np.int64, len(names))
