"""Range coding of integers under frequency tables.

The arithmetic is constriction's range coder (words of 32 bits, a state of 64, probabilities of 24);
its version is pinned, and ``docs/format.md`` writes it down. What this module adds: grouping by
table, escapes, and an end that costs no more bytes than the message needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.library import library
from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import PayloadError

LIMIT = 1 << 31
"""Symbols lie strictly between −LIMIT and LIMIT."""

Ints = NDArray[np.int64]


class RangeWriter:
    """Encodes one message, part by part.

    Args:
        tables: frequency tables of the contexts.

    Attributes:
        tables: frequency tables of the contexts.
        coder: the library's encoder.
    """

    def __init__(self, tables: FrequencyTables) -> None:
        self.tables = tables
        self.coder: Any = library().RangeEncoder()

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
        push_all([self], symbols[None], contexts[None])

    def finish(self) -> bytes:
        """Return the message in the fewest bytes that still decode to it."""
        return trimmed(self.coder)


class RangeReader:
    """Decodes a message of ``RangeWriter``, part by part.

    Args:
        data: the message.
        tables: frequency tables of the contexts.

    Attributes:
        tables: frequency tables of the contexts.
        coder: the library's decoder.
    """

    def __init__(self, data: bytes, tables: FrequencyTables) -> None:
        self.tables = tables
        self.coder = decoder_of(data)

    def pull(self, contexts: Ints) -> Ints:
        """Decode the symbols that one call of ``push`` appended.

        Args:
            contexts: (n,) int64, table of each symbol.

        Returns:
            (n,) int64.

        Raises:
            PayloadError: the bytes are no message of these tables.
        """
        symbols: Ints = pull_all([self], contexts[None])[0]
        return symbols


def push_all(writers: Sequence[RangeWriter], symbols: Ints, contexts: Ints) -> None:
    """Append a row of symbols to each of several messages, as ``RangeWriter.push`` does one.

    Args:
        writers: of messages under the same tables.
        symbols: (messages, n) int64.
        contexts: (messages, n) int64, table of each symbol.

    Raises:
        PayloadError: a symbol is outside the coder's range.
    """
    if not symbols.size:
        return
    tables = writers[0].tables
    order, ranked, runs = _runs(contexts, len(tables.lows))
    flat = symbols.ravel()[order]
    index = tables.indices(flat, ranked)
    escapes = index == tables.escapes[ranked]
    small = index.astype(np.int32)
    models, coders = tables.models, [writer.coder.encode for writer in writers]
    for row, t, first, last in runs:
        coders[row](small[first:last], models[t])
    for row, places in _by_row(escapes, contexts.shape):
        escaped = flat[places]
        if np.abs(escaped).max() >= LIMIT:
            raise PayloadError(f"a symbol is outside ±{LIMIT}; lower the quality")
        value = escaped + LIMIT
        halves = np.stack([value >> 16, value & 0xFFFF], 1).ravel().astype(np.int32)
        writers[row].coder.encode(halves, tables.half_word)


def pull_all(readers: Sequence[RangeReader], contexts: Ints) -> Ints:
    """Decode the row of symbols that one call of ``push_all`` appended to each message.

    Args:
        readers: of messages under the same tables.
        contexts: (messages, n) int64, table of each symbol.

    Returns:
        (messages, n) int64.

    Raises:
        PayloadError: the bytes are no message of these tables.
    """
    symbols = np.empty(contexts.size, dtype=np.int64)
    if not contexts.size:
        return symbols.reshape(contexts.shape)
    tables = readers[0].tables
    order, ranked, runs = _runs(contexts, len(tables.lows))
    index = np.empty(contexts.size, dtype=np.int32)
    try:
        models, coders = tables.models, [reader.coder.decode for reader in readers]
        for row, t, first, last in runs:
            index[first:last] = coders[row](models[t], last - first)
        found = index + tables.lows[ranked]
        for row, places in _by_row(index == tables.escapes[ranked], contexts.shape):
            halves = readers[row].coder.decode(tables.half_word, 2 * len(places)).astype(np.int64)
            found[places] = (halves[::2] << 16 | halves[1::2]) - LIMIT
    except AssertionError as error:
        raise PayloadError(f"an entropy-coded payload is damaged ({error})") from error
    symbols[order] = found
    return symbols.reshape(contexts.shape)


def decoder_of(data: bytes) -> Any:
    """The library's range decoder of a message that ``trimmed`` has given."""
    padded = data + b"\0" * (-len(data) % 4)
    words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
    return library().RangeDecoder(words)


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


def _by_row(escapes: NDArray[np.bool_], shape: tuple[int, ...]) -> Iterator[tuple[int, Ints]]:
    """Each row of some (rows, n) that has escapes, and their places over all rows."""
    places = np.flatnonzero(escapes)
    rows = places // shape[1]
    for row in sorted(set(rows.tolist())):
        yield row, places[rows == row]


def _runs(contexts: Ints, count: int) -> tuple[Ints, Ints, list[tuple[int, int, int, int]]]:
    """Order of rows by table, the tables in that order, and the runs of one table.

    Places are counted over all rows; of ``count`` tables. A run is (row, table, first, last).
    """
    rows, n = contexts.shape
    keys = contexts.ravel()
    if rows > 1:
        keys = keys + np.repeat(np.arange(0, rows * count, count), n)
    # Radix sorting of small integers is several times as fast.
    small = keys.astype(np.uint16) if rows * count <= 1 << 16 else keys
    order = small.argsort(kind="stable")
    ranked = keys[order]
    starts = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    firsts = [0, *starts.tolist()]
    numbers = ranked[firsts].tolist()
    runs = [
        (key // count, key % count, first, last)
        for key, first, last in zip(numbers, firsts, [*firsts[1:], len(keys)], strict=True)
    ]
    return order, ranked % count if rows > 1 else ranked, runs
