"""The range coder in plain Python, for machines where constriction cannot be installed.

It writes and reads the same bytes, some fifty times slower. It offers the part of constriction's
interface that kinpack uses; ``docs/format.md`` writes the arithmetic down.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import PayloadError

_PRECISION = 24
_WORD = 1 << 32
_STATE = 1 << 64


class Categorical:
    """Model of entries with given counts, or of rows of counts that come with the symbols.

    Args:
        counts: float64 (n,), whole numbers of at least 1; None where each symbol brings its own.
        perfect: as in constriction's signature; only False is known.
    """

    def __init__(self, counts: NDArray[np.float64] | None = None, *, perfect: bool) -> None:
        if perfect:
            raise NotImplementedError("the format knows the rule of perfect=False alone")
        self.bounds = None if counts is None else _bounds(counts[None])[0]

    def each(self, rows: NDArray[np.float64] | None, count: int) -> Iterator[list[int]]:
        """Bounds in units of 2^-24 for each of so many symbols.

        Args:
            rows: float64 (symbols, n), the counts of each symbol; None for a model with counts.
            count: of symbols.
        """
        if rows is not None:
            yield from _bounds(rows)
        elif self.bounds is not None:
            for _ in range(count):
                yield self.bounds


class Uniform(Categorical):
    """Model of entries that are all alike.

    Args:
        size: how many, a power of two of at most 2^24.
    """

    def __init__(self, size: int) -> None:
        self.bounds = list(range(0, (1 << _PRECISION) + 1, (1 << _PRECISION) // size))


class RangeEncoder:
    """Encodes one message.

    Attributes:
        words: of 32 bits, written so far.
        lower: start of the interval that is left, 64 bits after the words.
        width: of that interval.
    """

    def __init__(self) -> None:
        self.words: list[int] = []
        self.lower, self.width = 0, _STATE - 1

    def encode(
        self,
        symbols: NDArray[np.int32],
        model: Categorical,
        rows: NDArray[np.float64] | None = None,
    ) -> None:
        """Append entries, int32 (n,), under a model, or under its rows of counts."""
        each = model.each(rows, len(symbols))
        for symbol, bounds in zip(symbols.tolist(), each, strict=True):
            scale = self.width >> _PRECISION
            self.lower += scale * bounds[symbol]
            self.width = scale * (bounds[symbol + 1] - bounds[symbol])
            if self.lower >= _STATE:
                self.lower -= _STATE
                self._carry()
            if self.width < _WORD:
                self.words.append(self.lower >> 32)
                self.lower = self.lower << 32 & (_STATE - 1)
                self.width <<= 32

    def _carry(self) -> None:
        at = len(self.words) - 1
        while self.words[at] == _WORD - 1:
            self.words[at] = 0
            at -= 1
        self.words[at] += 1

    def pos(self) -> tuple[int, tuple[int, int]]:
        """Words written, and the interval (lower, width) that is left."""
        return len(self.words), (self.lower, self.width)

    def get_compressed(self) -> NDArray[np.uint32]:
        """Words, uint32 (n,), of a number within the interval: its start."""
        return np.array([*self.words, self.lower >> 32, self.lower % _WORD], np.uint32)


class RangeDecoder:
    """Decodes one message.

    Args:
        words: uint32 (n,) of the message; those past the end are zero.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._words = iter(words.tolist())
        self._lower, self._width = 0, _STATE - 1
        self._point = next(self._words, 0) << 32 | next(self._words, 0)

    def decode(self, model: Categorical, what: int | NDArray[np.float64] = 1) -> NDArray[np.int32]:
        """Read entries under a model.

        Args:
            model: of the entries.
            what: how many; or rows of counts, float64 (n, entries), one for each.

        Returns:
            int32 (n,).

        Raises:
            PayloadError: the words are no message of this model.
        """
        rows = None if isinstance(what, int) else what
        count = what if isinstance(what, int) else len(what)
        found = np.empty(count, np.int32)
        for at, bounds in enumerate(model.each(rows, count)):
            scale = self._width >> _PRECISION
            quantile = (self._point - self._lower) % _STATE // scale
            if quantile >= 1 << _PRECISION:
                raise PayloadError("an entropy-coded payload is damaged (no entry lies there)")
            entry = bisect_right(bounds, quantile) - 1
            found[at] = entry
            self._lower = (self._lower + scale * bounds[entry]) % _STATE
            self._width = scale * (bounds[entry + 1] - bounds[entry])
            if self._width < _WORD:
                self._lower = self._lower << 32 & (_STATE - 1)
                self._width <<= 32
                self._point = (self._point << 32 | next(self._words, 0)) & (_STATE - 1)
        return found


def _bounds(rows: NDArray[np.float64]) -> list[list[int]]:
    """Bounds of each row of counts in units of 2^-24, the end of the last entry among them."""
    size = rows.shape[1]
    sums = np.cumsum(rows, axis=1)
    scale = ((1 << _PRECISION) - size) / sums[:, -1:]
    before = np.concatenate([np.zeros((len(rows), 1)), sums[:, :-1]], axis=1)
    starts = np.floor(before * scale).astype(np.int64) + np.arange(size)
    ends = np.full((len(rows), 1), 1 << _PRECISION)
    bounds: list[list[int]] = np.concatenate([starts, ends], axis=1).tolist()
    return bounds
