"""Canonical Huffman coding of integers under frequency tables.

A message is cut into strands of STRAND symbols, which are decoded in step: the k-th symbol of all
strands at once. It holds, in this order:

1. the length in bits of each strand but the last, seven bits a byte, the lowest first, all bytes
   of a length but its last with their highest bit set;
2. the codes of all symbols, highest bit first, one strand straight after the other; the last byte
   is filled up with zeros;
3. for each escape, in the order of the symbols, the symbol + 2^31 in 32 bits, highest byte first.

A code has at least one bit, as Huffman's codes do: a symbol of probability near 1 costs 1 bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.range_coder import LIMIT
from kinpack.entropy.tables import FrequencyTables
from kinpack.entropy.varint import read_varint, write_varint
from kinpack.errors import CodecError, PayloadError

MAX_BITS = 24
"""Bits of the longest code."""
STRAND = 8192
"""Symbols of a strand; the last one may have fewer."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class HuffmanCodes:
    """Canonical codes of all tables.

    Attributes:
        lengths: (E,) int64; bits of the code of each entry, in the order of ``counts`` of the
            tables.
        codes: (E,) int64; code of each entry, its last bit in bit 0.
        ranked: (E,) int64; entries, table by table, by length and then by symbol: the order in
            which canonical codes count upwards.
        keys: (E,) int64; t · 2^24 + the code shifted to 24 bits, of each of ``ranked``; ascending.
    """

    lengths: Ints
    codes: Ints
    ranked: Ints
    keys: Ints

    @classmethod
    def from_tables(cls, tables: FrequencyTables) -> HuffmanCodes:
        """Derive the codes from the tables' counts alone.

        Args:
            tables: frequency tables.

        Raises:
            CodecError: a table has more entries than there are codes.
        """
        lengths = np.concatenate([code_lengths(tables.table(t)) for t in range(len(tables))])
        owner = np.repeat(np.arange(len(tables)), np.diff(tables.starts))
        ranked = np.lexsort((lengths, owner))
        # A code shifted to 24 bits is the sum of the shares 2^(24 - length) of those before it;
        # as those of a table add up to 2^24, one sum through all tables gives the keys.
        shares = 1 << (MAX_BITS - lengths[ranked])
        keys = np.cumsum(shares) - shares
        codes = np.empty_like(lengths)
        codes[ranked] = (keys & (1 << MAX_BITS) - 1) >> (MAX_BITS - lengths[ranked])
        return cls(lengths=lengths, codes=codes, ranked=ranked, keys=keys)


def code_lengths(counts: Ints, *, max_bits: int = MAX_BITS) -> Ints:
    """Lengths of Huffman's code.

    Where a code would be too long, all counts are halved, upwards, until none is.

    Args:
        counts: (n,) int64, count of each entry, each at least 1, at least two of them.
        max_bits: bits that a code may have.

    Returns:
        (n,) int64, bits of the code of each entry; their 2^-bits add up to 1.

    Raises:
        CodecError: there are more entries than codes.
    """
    if len(counts) > 1 << max_bits:
        raise CodecError(f"a frequency table has {len(counts)} entries; {1 << max_bits} can be")
    order = np.argsort(counts, kind="stable")
    weights = counts[order]
    lengths = np.empty_like(order)
    lengths[order] = depths = _depths(weights.tolist())
    while depths.max() > max_bits:
        weights = (weights + 1) >> 1
        lengths[order] = depths = _depths(weights.tolist())
    return lengths


def _depths(weights: list[int]) -> Ints:
    """Depth of each leaf of Huffman's tree; the weights ascend.

    Two queues suffice (van Leeuwen 1976): merged nodes come about in ascending order. A leaf goes
    before a merged node of the same weight, which keeps the tree low.
    """
    n = len(weights)
    nodes = [*weights, *[0] * (n - 1)]
    parent = [0] * (2 * n - 1)
    leaf, inner = 0, n
    for made in range(n, 2 * n - 1):
        for _ in range(2):
            if leaf < n and (inner >= made or nodes[leaf] <= nodes[inner]):
                least, leaf = leaf, leaf + 1
            else:
                least, inner = inner, inner + 1
            nodes[made] += nodes[least]
            parent[least] = made
    depth = [0] * (2 * n - 1)
    for node in range(2 * n - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    return np.array(depth[:n], dtype=np.int64)


def encode_huffman(symbols: Ints, contexts: Ints, tables: FrequencyTables) -> bytes:
    """Encode integers.

    Args:
        symbols: (n,) int64.
        contexts: (n,) int64, table of each symbol.
        tables: frequency tables.

    Returns:
        The message.

    Raises:
        CodecError: a table has more entries than there are codes.
        PayloadError: a symbol is outside the coder's range.
    """
    if not len(symbols):
        return b""
    huffman = HuffmanCodes.from_tables(tables)
    index = tables.indices(symbols, contexts)
    escaped = symbols[index == tables.starts[contexts + 1] - tables.starts[contexts] - 1]
    if len(escaped) and (escaped.min() <= -LIMIT or escaped.max() >= LIMIT):
        raise PayloadError(f"a symbol is outside ±{LIMIT}; lower the quality")
    entries = tables.starts[contexts] + index
    lengths = huffman.lengths[entries]
    ends = np.cumsum(lengths)
    bounds = np.concatenate([[0], ends[STRAND - 1 : -1 : STRAND]])
    head = b"".join(write_varint(bits) for bits in np.diff(bounds).tolist())
    codes = _packed(huffman.codes[entries], ends - lengths, ends)
    spelled: bytes = (escaped + LIMIT).astype(">u4").tobytes()
    return head + codes + spelled


def decode_huffman(data: bytes, contexts: Ints, tables: FrequencyTables) -> Ints:
    """Decode a message of ``encode_huffman``.

    Args:
        data: the message.
        contexts: (n,) int64, table of each symbol.
        tables: frequency tables.

    Returns:
        (n,) int64.

    Raises:
        CodecError: a table has more entries than there are codes.
        PayloadError: the bytes are no message of these tables; a message cut short never is.
    """
    n = len(contexts)
    if not n:
        if data:
            raise _damaged("bytes follow its end")
        return np.zeros(0, dtype=np.int64)
    strands = -(-n // STRAND)
    lengths, place = _read_varints(data, strands - 1)
    codes = data[place:]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if starts[-1] > 8 * len(codes):
        raise _damaged("a part of it is longer than the whole")
    huffman = HuffmanCodes.from_tables(tables)
    entries, ends = _followed(codes, starts, contexts, huffman)
    index = entries - tables.starts[contexts]
    symbols = index + tables.lows[contexts]
    escaped = np.flatnonzero(entries == tables.starts[contexts + 1] - 1)
    last = -(-int(ends[-1]) // 8)
    if (ends[:-1] != starts[1:]).any() or last + 4 * len(escaped) != len(codes):
        raise _damaged("it does not end where it should")
    values = np.frombuffer(codes, dtype=">u4", count=len(escaped), offset=last)
    symbols[escaped] = values.astype(np.int64) - LIMIT
    return symbols


def _packed(codes: Ints, firsts: Ints, ends: Ints) -> bytes:
    """Bytes of codes, each in its bits firsts … ends − 1, which join without gaps."""
    # A code touches one word of 32 bits or two. No two codes share a bit, so that sums are unions,
    # and those of 32 bits are exact in the float64 of bincount.
    word = firsts >> 5
    pair = codes.astype(np.uint64) << (64 - (firsts & 31) - (ends - firsts)).astype(np.uint64)
    count = int(word[-1]) + 2
    words = np.bincount(word, pair >> np.uint64(32), count)
    words += np.bincount(word + 1, pair & np.uint64(0xFFFFFFFF), count)
    return words.astype(">u4").tobytes()[: -(-int(ends[-1]) // 8)]


def _followed(
    data: bytes, starts: Ints, contexts: Ints, huffman: HuffmanCodes
) -> tuple[Ints, Ints]:
    """Decode all strands in step.

    Args:
        data: the bytes with the codes; what follows them counts as zeros.
        starts: (S,) int64, bit at which each strand starts.
        contexts: (n,) int64, table of each symbol.
        huffman: the codes.

    Returns:
        (n,) int64, entry of each symbol; (S,) int64, bit at which each strand ends.
    """
    n, strands = len(contexts), len(starts)
    steps = min(n, STRAND)
    words = np.frombuffer(data.ljust(-(-len(data) // 4) * 4 + 8, b"\0"), ">u4").astype(np.int64)
    pairs = words[:-1] << 32 | words[1:]
    beyond = len(pairs) - 1
    floors = np.zeros(strands * steps, dtype=np.int64)
    floors[:n] = contexts << MAX_BITS
    floors = np.ascontiguousarray(floors.reshape(strands, steps).T)
    ranks = np.zeros_like(floors)
    ranked_lengths = huffman.lengths[huffman.ranked]
    place = starts
    finished = starts[:0]
    shorter = n - (strands - 1) * steps
    for k in range(steps):
        if k == shorter:
            finished = place[-1:]
            place = place[:-1]
        window = pairs[np.minimum(place >> 5, beyond)] >> (64 - MAX_BITS) - (place & 31)
        keys = floors[k, : len(place)] + (window & (1 << MAX_BITS) - 1)
        rank = huffman.keys.searchsorted(keys, side="right") - 1
        ranks[k, : len(place)] = rank
        place = place + ranked_lengths[rank]
    return huffman.ranked[ranks.T.ravel()[:n]], np.concatenate([place, finished])


def _read_varints(data: bytes, count: int) -> tuple[Ints, int]:
    """Integers at the start of ``data``, and the place that follows them."""
    numbers, place = [], 0
    for _ in range(count):
        number, place = read_varint(data, place)
        numbers.append(number)
    return np.array(numbers, dtype=np.int64), place


def _damaged(how: str) -> PayloadError:
    return PayloadError(f"a Huffman-coded payload is damaged: {how}; restore the archive")
