"""Range coding of integers under frequency tables.

The arithmetic is constriction's range coder (words of 32 bits, a state of 64, probabilities of 24);
its version is pinned, and ``docs/format.md`` writes it down. What this module adds: grouping by
table, escapes, and an end that costs no more bytes than the message needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import PayloadError

LIMIT = 1 << 31
"""Symbols lie strictly between −LIMIT and LIMIT."""

Ints = NDArray[np.int64]


class RangeWriter:
    """Encodes one message, part by part.

    Args:
        tables: frequency tables of the contexts.
    """

    def __init__(self, tables: FrequencyTables) -> None:
        import constriction

        self._tables = tables
        self._coder = constriction.stream.queue.RangeEncoder()

    def push(self, symbols: Ints, contexts: Ints) -> None:
        """Append symbols, each under the table of its context.

        Within a call the symbols are coded table by table, in the order of the tables, those of
        one table in their own order; escapes follow at the end of the call.

        Args:
            symbols: (n,) int64.
            contexts: (n,) int64, table of each symbol.

        Raises:
            PayloadError: a symbol is outside the coder's range.
        """
        index = self._tables.indices(symbols, contexts)
        order, groups = _grouped(contexts)
        sorted_index = index[order].astype(np.int32)
        for t, first, last in groups:
            self._coder.encode(sorted_index[first:last], self._tables.model(t))
        lengths = self._tables.starts[contexts + 1] - self._tables.starts[contexts]
        escaped = symbols[order][(index == lengths - 1)[order]]
        if len(escaped):
            if np.abs(escaped).max() >= LIMIT:
                raise PayloadError(f"a symbol is outside ±{LIMIT}; lower the quality")
            value = escaped + LIMIT
            halves = np.stack([value >> 16, value & 0xFFFF], 1).ravel().astype(np.int32)
            self._coder.encode(halves, self._tables.half_word)

    def finish(self) -> bytes:
        """Return the message in the fewest bytes that still decode to it."""
        return trimmed(self._coder)


class RangeReader:
    """Decodes a message of ``RangeWriter``, part by part.

    Args:
        data: the message.
        tables: frequency tables of the contexts.
    """

    def __init__(self, data: bytes, tables: FrequencyTables) -> None:
        import constriction

        self._tables = tables
        padded = data + b"\0" * (-len(data) % 4)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def pull(self, contexts: Ints) -> Ints:
        """Decode the symbols that one call of ``push`` appended.

        Args:
            contexts: (n,) int64, table of each symbol.

        Returns:
            (n,) int64.

        Raises:
            PayloadError: the bytes are no message of these tables.
        """
        order, groups = _grouped(contexts)
        sorted_index = np.empty(len(contexts), dtype=np.int64)
        try:
            for t, first, last in groups:
                sorted_index[first:last] = self._coder.decode(self._tables.model(t), last - first)
            sorted_contexts = contexts[order]
            starts = self._tables.starts
            escape = starts[sorted_contexts + 1] - starts[sorted_contexts] - 1
            sorted_symbols = sorted_index + self._tables.lows[sorted_contexts]
            escaped = np.flatnonzero(sorted_index == escape)
            if len(escaped):
                halves = self._coder.decode(self._tables.half_word, 2 * len(escaped)).astype(
                    np.int64
                )
                sorted_symbols[escaped] = (halves[::2] << 16 | halves[1::2]) - LIMIT
        except AssertionError as error:
            raise PayloadError(f"an entropy-coded payload is damaged ({error})") from error
        symbols = np.empty_like(sorted_symbols)
        symbols[order] = sorted_symbols
        return symbols


def trimmed(coder: Any) -> bytes:
    """Return what a library's range encoder wrote, in the fewest bytes that still decode to it.

    Args:
        coder: the encoder; a reader takes the bytes that are missing as zero.
    """
    words, (lower, width) = coder.pos()
    if words == 0 and width == (1 << 64) - 1:
        return b""
    sealed: bytes = coder.get_compressed().astype(">u4").tobytes()
    total = 4 * (words + 2)
    value = int.from_bytes(sealed[:total].ljust(total, b"\0"), "big")
    # Any number of [low, low + width) decodes alike; the one with most trailing zero bytes is
    # stored without them.
    low = value - ((value - lower) % (1 << 64))
    for dropped in range(8, -1, -1):
        unit = 1 << (8 * dropped)
        candidate: int = -(-low // unit) * unit
        if candidate < low + width:
            break
    return candidate.to_bytes(total, "big").rstrip(b"\0")


def _grouped(contexts: Ints) -> tuple[Ints, list[tuple[int, int, int]]]:
    """Order by table, and (table, first, last) of each run in that order."""
    if not len(contexts):
        return np.zeros(0, dtype=np.int64), []
    order = np.argsort(contexts, kind="stable")
    ranked = contexts[order]
    cuts = np.flatnonzero(np.diff(ranked)) + 1
    firsts, lasts = [0, *cuts.tolist()], [*cuts.tolist(), len(ranked)]
    return order, [(int(ranked[a]), a, b) for a, b in zip(firsts, lasts, strict=True)]
