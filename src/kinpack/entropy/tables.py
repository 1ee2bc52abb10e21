"""Frozen integer frequency tables: the only thing that entropy coding takes from a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.library import library
from kinpack.errors import CodecError

PRECISION = 24
"""Bits of a probability inside the range coder."""
MAX_COUNT = 1 << 16
"""Largest count of a symbol: sums of whole tables stay exact in float64 by far."""
MAX_LOW = 1 << 31
"""Bound on the smallest symbol of a table."""
ESCAPE_BITS = 32
"""Bits that spell out a symbol outside its table."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class FrequencyTables:
    """Tables of counts, one for each context.

    Table t describes the symbols ``lows[t]``, ``lows[t] + 1``, …; its last entry stands for the
    *escape*: any other integer, which is then spelled out.

    Attributes:
        counts: all tables one after the other, int64, each at least 1.
        starts: (T + 1,) int64; table t is ``counts[starts[t]:starts[t + 1]]``.
        lows: (T,) int64; smallest symbol of each table.
    """

    counts: Ints
    starts: Ints
    lows: Ints

    def __post_init__(self) -> None:
        starts = self.starts
        whole = (
            all(part.ndim == 1 for part in (self.counts, starts, self.lows))
            and all(part.dtype.kind in "iu" for part in (self.counts, starts, self.lows))
            and len(starts) == len(self.lows) + 1
            and len(starts) > 1
            and starts[0] == 0
            and starts[-1] == len(self.counts)
            # First within bounds: a difference of any two int64 might wrap around.
            and bool(((starts >= 0) & (starts <= len(self.counts))).all())
            and bool((np.diff(starts) >= 2).all())
            and bool(((self.lows >= -MAX_LOW) & (self.lows <= MAX_LOW)).all())
        )
        if not whole:
            raise CodecError(
                "the frequency tables do not fit their lengths: the codec file is damaged; "
                "fetch it again"
            )
        if self.counts.min() < 1 or self.counts.max() > MAX_COUNT:
            raise CodecError(
                f"a frequency table holds a count outside 1 to {MAX_COUNT}: the codec file is "
                "damaged; fetch it again"
            )

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self.lows)

    @classmethod
    def from_lists(cls, tables: Sequence[Sequence[int]], lows: Sequence[int]) -> FrequencyTables:
        """Build from one list of counts a table, the escape's count last.

        Args:
            tables: counts of each table.
            lows: smallest symbol of each table.
        """
        lengths = [len(table) for table in tables]
        return cls(
            counts=np.array([c for table in tables for c in table], dtype=np.int64),
            starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            lows=np.array(lows, dtype=np.int64),
        )

    def table(self, t: int) -> Ints:
        """Counts of table ``t``, the escape's last."""
        return self.counts[self.starts[t] : self.starts[t + 1]]

    @cached_property
    def escapes(self) -> Ints:
        """Position of the escape in each table, (T,)."""
        return np.diff(self.starts) - 1

    @cached_property
    def models(self) -> dict[int, Any]:
        """Library model of each table, made when it is first asked for."""
        return _Models(self)

    @cached_property
    def half_word(self) -> Any:
        """Library's uniform model of 16 bits, which spells out escapes."""
        return library().Uniform(1 << 16)

    def indices(self, symbols: Ints, contexts: Ints) -> Ints:
        """Position of each symbol in its table; the table's last one where it is an escape.

        Args:
            symbols: (n,) integers to code.
            contexts: (n,) table of each.

        Returns:
            (n,) int64.
        """
        escape = self.escapes[contexts]
        index = symbols - self.lows[contexts]
        return np.where((index < 0) | (index >= escape), escape, index)

    @cached_property
    def cumulative(self) -> Ints:
        """Left bounds, in units of 2^-24, that the range coder gives to each entry.

        Entry i of a table of n counts c starts at floor(C_i · s) + i, with C_i the sum of the
        counts before it and s = (2^24 − n) / Σc, both in float64: constriction's rule for
        categorical models that are not "perfect". The next table's bounds follow.
        """
        bounds = np.empty(len(self.counts), dtype=np.int64)
        for t in range(len(self)):
            table = self.table(t).astype(np.float64)
            scale = ((1 << PRECISION) - len(table)) / table.sum()
            before = np.concatenate([[0.0], np.cumsum(table)[:-1]])
            bounds[self.starts[t] : self.starts[t + 1]] = np.floor(before * scale) + np.arange(
                len(table)
            )
        return bounds

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """Cost in bits of each entry, as the range coder sees it; escapes without what follows."""
        upper = np.append(self.cumulative[1:], 1 << PRECISION)
        upper[self.starts[1:] - 1] = 1 << PRECISION
        return PRECISION - np.log2(upper - self.cumulative)

    def bits_of(self, symbols: Ints, contexts: Ints) -> NDArray[np.float64]:
        """Bits that the tables predict for each symbol, with those that spell out an escape.

        Args:
            symbols: (n,) integers.
            contexts: (n,) table of each.
        """
        index, starts = self.indices(symbols, contexts), self.starts[contexts]
        escape = index == self.starts[contexts + 1] - starts - 1
        bits: NDArray[np.float64] = self.bits[starts + index] + ESCAPE_BITS * escape
        return bits

    def cross_entropy(self, symbols: Ints, contexts: Ints) -> float:
        """Bits that the tables predict for all symbols (n,) under tables (n,)."""
        return float(self.bits_of(symbols, contexts).sum())

    def cheapest(
        self,
        distance: NDArray[np.float64],
        contexts: Ints,
        error_bits: NDArray[np.float64],
    ) -> Ints:
        """Symbols that cost least: the nearest, or one step nearer to 0 where bits outweigh error.

        Args:
            distance: what is coded, in steps of its quantiser, of any shape.
            contexts: table of each.
            error_bits: what one squared step of error is worth in bits, of a shape that goes with
                the others.

        Returns:
            int64 of the shape of ``distance``.
        """
        nearest: Ints = np.rint(distance).astype(np.int64)
        place = np.nonzero(nearest)
        if not len(place[0]):
            return nearest
        far, context = nearest[place], contexts[place]
        near = far - np.sign(far)
        wanted, weight = distance[place], np.broadcast_to(error_bits, distance.shape)[place]
        saved = self.bits_of(far, context) - self.bits_of(near, context)
        lost = weight * (np.square(wanted - near) - np.square(wanted - far))
        nearest[place] = np.where(saved > lost, near, far)
        return nearest


class _Models(dict[int, Any]):
    """Library models by their tables."""

    def __init__(self, tables: FrequencyTables) -> None:
        super().__init__()
        self._tables = tables

    def __missing__(self, t: int) -> Any:
        # float64: the same counts in float32 would give a different stream.
        counts = self._tables.table(t).astype(np.float64)
        self[t] = library().Categorical(counts, perfect=False)
        return self[t]
