"""Huffman's codes: optimal, complete, canonical; streams that come back, and damaged ones."""

from __future__ import annotations

import heapq
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.entropy.range_coder import LIMIT
from kinpack.entropy.tables import ESCAPE_BITS, MAX_COUNT, FrequencyTables
from kinpack.errors import CodecError, PayloadError
from papers.smic.coders import huffman
from papers.smic.coders.huffman import HuffmanCodes, code_lengths, decode_huffman, encode_huffman

pytestmark = pytest.mark.slow

TABLES = FrequencyTables.from_lists(
    [[1, 1], [5, 1, 1], [1, 60, 700, 65_536, 650, 40, 2], [3] * 40 + [1]], [0, -1, -3, 10]
)

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]


def ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def least_bits(counts: list[int]) -> int:
    """Bits that an optimal prefix code takes for a text of these counts: a heap, nothing else."""
    heap, bits = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        bits += both
        heapq.heappush(heap, both)
    return bits


def plain_decode(data: bytes, contexts: list[int], tables: FrequencyTables) -> list[int]:
    """Decode a message of one strand by looking up codes bit by bit, as the docstring has it."""
    books = []
    for t in range(len(tables)):
        lengths = code_lengths(tables.table(t)).tolist()
        code, book, last = 0, {}, 0
        for length, entry in sorted((n, i) for i, n in enumerate(lengths)):
            code <<= length - last
            book[length, code] = entry
            code, last = code + 1, length
        books.append(book)
    bits = "".join(f"{byte:08b}" for byte in data)
    place, entries = 0, []
    for t in contexts:
        end = place + 1
        while (end - place, int(bits[place:end], 2)) not in books[t]:
            end += 1
        entries.append(books[t][end - place, int(bits[place:end], 2)])
        place = end
    tail = data[-(-place // 8) :]
    symbols = []
    for entry, t in zip(entries, contexts, strict=True):
        if entry == len(tables.table(t)) - 1:
            symbols.append(int.from_bytes(tail[:4], "big") - LIMIT)
            tail = tail[4:]
        else:
            symbols.append(entry + int(tables.lows[t]))
    assert not tail
    return symbols


parts = st.lists(
    st.tuples(
        st.one_of(st.integers(-4, 50), st.integers(-LIMIT + 1, LIMIT - 1)), st.integers(0, 3)
    ),
    max_size=60,
).map(lambda pairs: (ints([s for s, _ in pairs]), ints([c for _, c in pairs])))


@given(st.lists(st.integers(1, MAX_COUNT), min_size=2, max_size=80))
def test_lengths_are_optimal_and_complete(counts: list[int]) -> None:
    lengths = code_lengths(ints(counts)).tolist()
    assert sum(c * n for c, n in zip(counts, lengths, strict=True)) == least_bits(counts)
    assert sum(2.0**-n for n in lengths) == 1.0  # Kraft's inequality, with nothing left over
    assert min(lengths) >= 1


@given(st.lists(st.integers(1, MAX_COUNT), min_size=2, max_size=32), st.integers(5, 8))
def test_lengths_keep_their_limit(counts: list[int], max_bits: int) -> None:
    lengths = code_lengths(ints(counts), max_bits=max_bits)
    assert lengths.max() <= max_bits
    assert (2.0**-lengths).sum() == 1.0
    ranked = np.argsort(counts, kind="stable")
    assert (np.diff(lengths[ranked]) <= 0).all()  # no rarer entry has a shorter code


def test_counts_of_fibonacci_meet_the_limit() -> None:
    counts = [1, 1]
    while counts[-1] + counts[-2] <= MAX_COUNT:
        counts.append(counts[-1] + counts[-2])
    assert code_lengths(ints(counts), max_bits=99).max() == len(counts) - 1 == 23
    counts += [MAX_COUNT] * 20
    assert code_lengths(ints(counts), max_bits=99).max() > huffman.MAX_BITS
    assert code_lengths(ints(counts)).max() <= huffman.MAX_BITS


def test_more_entries_than_codes_are_refused() -> None:
    with pytest.raises(CodecError, match="entries"):
        code_lengths(np.ones(5, dtype=np.int64), max_bits=2)


def test_codes_are_canonical() -> None:
    codes = HuffmanCodes.from_tables(TABLES)
    assert codes.lengths[:5].tolist() == [1, 1, 1, 2, 2]
    assert codes.codes[:5].tolist() == [0, 1, 0, 2, 3]
    for t in range(len(TABLES)):
        mine = slice(TABLES.starts[t], TABLES.starts[t + 1])
        spelled = [
            f"{c:0{n}b}" for c, n in zip(codes.codes[mine], codes.lengths[mine], strict=True)
        ]
        ranked = sorted(spelled, key=lambda code: (len(code), code))
        assert ranked == sorted(spelled)
        assert not any(b.startswith(a) for a, b in pairwise(ranked))
        order = codes.ranked[mine] - TABLES.starts[t]
        assert [spelled[i] for i in order] == ranked


@given(parts)
def test_round_trip_and_length(part: tuple[Ints, Ints]) -> None:
    symbols, contexts = part
    data = encode_huffman(symbols, contexts, TABLES)
    assert decode_huffman(data, contexts, TABLES).tolist() == symbols.tolist()
    assert plain_decode(data, contexts.tolist(), TABLES) == symbols.tolist()
    assert len(data) == whole_bytes(symbols, contexts)


def whole_bytes(symbols: Ints, contexts: Ints) -> int:
    index = TABLES.indices(symbols, contexts)
    bits = HuffmanCodes.from_tables(TABLES).lengths[TABLES.starts[contexts] + index].sum()
    escapes = (index == TABLES.starts[contexts + 1] - TABLES.starts[contexts] - 1).sum()
    return int(-(-bits // 8) + ESCAPE_BITS // 8 * escapes)


@settings(max_examples=60)
@given(parts, st.integers(1, 9))
def test_round_trip_in_strands(part: tuple[Ints, Ints], strand: int) -> None:
    symbols, contexts = part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huffman, "STRAND", strand)
        data = encode_huffman(symbols, contexts, TABLES)
        assert decode_huffman(data, contexts, TABLES).tolist() == symbols.tolist()
        for end in range(len(data)):
            with pytest.raises(PayloadError, match="damaged"):
                decode_huffman(data[:end], contexts, TABLES)


@pytest.mark.parametrize("n", [1, 8191, 8192, 8193, 50_000])
def test_long_messages(n: int, rng: np.random.Generator) -> None:
    contexts = rng.integers(0, 4, n)
    drawn = [rng.choice(len(t), n, p=t / t.sum()) for t in map(TABLES.table, range(4))]
    symbols = np.choose(contexts, drawn) + TABLES.lows[contexts]
    data = encode_huffman(symbols, contexts, TABLES)
    assert (decode_huffman(data, contexts, TABLES) == symbols).all()
    strands = -(-n // huffman.STRAND)
    assert len(data) <= whole_bytes(symbols, contexts) + 3 * (strands - 1)


def test_a_certain_symbol_costs_one_bit() -> None:
    tables = FrequencyTables.from_lists([[MAX_COUNT, 1]], [7])
    data = encode_huffman(np.full(800, 7), np.zeros(800, dtype=np.int64), tables)
    assert data == bytes(100)


def test_nothing_costs_nothing() -> None:
    none = ints([])
    assert encode_huffman(none, none, TABLES) == b""
    assert decode_huffman(b"", none, TABLES).tolist() == []
    with pytest.raises(PayloadError, match="bytes follow"):
        decode_huffman(b"\0", none, TABLES)


# A change of these bytes is a change of the format: decide it, never regenerate them.
GOLDEN = [
    (([0], [0]), "00"),
    (([0, -1, 0, 12, 99, 0, 1], [0, 1, 2, 3, 3, 2, 1]), "187ec08000006380000001"),
]


@pytest.mark.parametrize(("part", "stream"), GOLDEN)
def test_golden_streams(part: tuple[list[int], list[int]], stream: str) -> None:
    symbols, contexts = map(ints, part)
    assert encode_huffman(symbols, contexts, TABLES).hex() == stream
    assert decode_huffman(bytes.fromhex(stream), contexts, TABLES).tolist() == part[0]


def test_a_golden_stream_of_strands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huffman, "STRAND", 40)
    symbols, contexts = np.arange(100) % 3 - 1, np.arange(100) % 2 + 1
    symbols[::20] = 60
    data = encode_huffman(symbols, contexts, TABLES)
    stream = (
        "494add63ac758eb1d63ac778eb1d63adbac758eb1d63ac758e8000003c8000000180000001800000"
        "018000003c8000000180000001800000018000003c8000000180000001800000018000003c800000"
        "0180000001800000018000003c800000018000000180000001"
    )
    assert data.hex() == stream
    assert (decode_huffman(data, contexts, TABLES) == symbols).all()


def test_damaged_streams_never_crash(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huffman, "STRAND", 64)
    n = 150
    contexts = rng.integers(0, 4, n)
    symbols = TABLES.lows[contexts] + rng.integers(0, 3, n)
    data = encode_huffman(symbols, contexts, TABLES)
    for place in rng.choice(8 * len(data), 200, replace=False):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << int(place % 8)
        with suppress(PayloadError):
            assert len(decode_huffman(bytes(broken), contexts, TABLES)) == n
    for _ in range(100):
        noise = rng.bytes(int(rng.integers(len(data) * 2)))
        with suppress(PayloadError):
            assert len(decode_huffman(noise, contexts, TABLES)) == n
    with pytest.raises(PayloadError, match="damaged"):
        decode_huffman(b"\xff" * 20, contexts, TABLES)
    with pytest.raises(PayloadError, match="end"):
        decode_huffman(data + b"\0", contexts, TABLES)


@pytest.mark.parametrize("symbol", [LIMIT, -LIMIT, -(1 << 63), (1 << 63) - 1])
def test_symbols_beyond_the_coder_are_refused(symbol: int) -> None:
    with pytest.raises(PayloadError, match="lower the quality"):
        encode_huffman(ints([symbol]), ints([2]), TABLES)
