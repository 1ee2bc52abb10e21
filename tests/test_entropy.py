"""The entropy coder: round trips, lengths, the reference decoder, golden streams, damage."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.entropy.range_coder import LIMIT, RangeReader, RangeWriter
from kinpack.entropy.tables import PRECISION, FrequencyTables
from kinpack.errors import CodecError, PayloadError

TABLES = FrequencyTables.from_lists(
    [[1, 1], [5, 1, 1], [1, 60, 700, 65_536, 650, 40, 2], [3] * 40 + [1]], [0, -1, -3, 10]
)


HALF_WORD = [k << 8 for k in range((1 << 16) + 1)]


class ReferenceReader:
    """Range decoder in plain integers: words of 32 bits, a state of 64, probabilities of 24.

    Written from the description in ``docs/format.md``, without the library that the package uses.
    """

    def __init__(self, data: bytes, tables: FrequencyTables) -> None:
        self.words = [
            int.from_bytes(data[i : i + 4].ljust(4, b"\0"), "big") for i in range(0, len(data), 4)
        ]
        self.tables = tables
        self.lower, self.width = 0, (1 << 64) - 1
        self.point = self._word() << 32 | self._word()

    def _word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def _step(self, bounds: list[int]) -> int:
        scale = self.width >> PRECISION
        quantile = ((self.point - self.lower) % (1 << 64)) // scale
        entry = bisect_right(bounds, quantile, hi=len(bounds) - 1) - 1
        self.lower = (self.lower + scale * bounds[entry]) % (1 << 64)
        self.width = scale * (bounds[entry + 1] - bounds[entry])
        if self.width < 1 << 32:
            self.lower = (self.lower << 32) % (1 << 64)
            self.width <<= 32
            self.point = (self.point << 32 | self._word()) % (1 << 64)
        return entry

    def pull(self, contexts: list[int]) -> list[int]:
        order = sorted(range(len(contexts)), key=lambda i: contexts[i])
        found: dict[int, int | None] = {}
        for i in order:
            counts = [int(c) for c in self.tables.table(contexts[i])]
            total, n = sum(counts), len(counts)
            scale = float((1 << PRECISION) - n) / float(total)
            bounds = [int(float(sum(counts[:j])) * scale) + j for j in range(n)]
            entry = self._step([*bounds, 1 << PRECISION])
            low = int(self.tables.lows[contexts[i]])
            found[i] = None if entry == n - 1 else entry + low
        for i in order:
            if found[i] is None:
                high, rest = self._step(HALF_WORD), self._step(HALF_WORD)
                found[i] = (high << 16 | rest) - LIMIT
        return [value for i in range(len(contexts)) if (value := found[i]) is not None]


def write(parts: list[tuple[list[int], list[int]]]) -> bytes:
    writer = RangeWriter(TABLES)
    for symbols, contexts in parts:
        writer.push(np.array(symbols, dtype=np.int64), np.array(contexts, dtype=np.int64))
    return writer.finish()


symbols_and_contexts = st.lists(
    st.tuples(
        st.one_of(st.integers(-4, 50), st.integers(-LIMIT + 1, LIMIT - 1)), st.integers(0, 3)
    ),
    max_size=60,
).map(lambda pairs: ([s for s, _ in pairs], [c for _, c in pairs]))


@given(st.lists(symbols_and_contexts, max_size=4))
def test_round_trip_and_length(parts: list[tuple[list[int], list[int]]]) -> None:
    data = write(parts)
    reader = RangeReader(data, TABLES)
    bits = 0.0
    for symbols, contexts in parts:
        assert reader.pull(np.array(contexts, dtype=np.int64)).tolist() == symbols
        bits += TABLES.cross_entropy(np.array(symbols, np.int64), np.array(contexts, np.int64))
    # Law: real bytes within 0.1 % + 3 of the tables' cross-entropy.
    assert len(data) <= bits / 8 * 1.001 + 3


def test_long_message_length(rng: np.random.Generator) -> None:
    contexts = rng.integers(0, 4, 200_000)
    drawn = [rng.choice(len(t), 200_000, p=t / t.sum()) for t in map(TABLES.table, range(4))]
    symbols = np.choose(contexts, drawn) + TABLES.lows[contexts]
    data = write([(symbols.tolist(), contexts.tolist())])
    bits = TABLES.cross_entropy(symbols, contexts)
    assert bits / 8 * 0.999 - 3 <= len(data) <= bits / 8 * 1.001 + 3
    assert (RangeReader(data, TABLES).pull(contexts) == symbols).all()


@settings(max_examples=30)
@given(symbols_and_contexts)
def test_reference_decoder_agrees(part: tuple[list[int], list[int]]) -> None:
    symbols, contexts = part
    assert ReferenceReader(write([part]), TABLES).pull(contexts) == symbols


def test_cross_entropy_against_plain_loop() -> None:
    symbols, contexts = [0, -1, 0, 12, 99], [0, 1, 2, 3, 3]
    bits = 0.0
    for symbol, t in zip(symbols, contexts, strict=True):
        counts = TABLES.table(t)
        entry = symbol - TABLES.lows[t]
        escaped = not 0 <= entry < len(counts) - 1
        share = counts[-1 if escaped else entry] / counts.sum()
        bits += -np.log2(share) + (32 if escaped else 0)
    found = TABLES.cross_entropy(np.array(symbols), np.array(contexts))
    assert found == pytest.approx(bits, rel=1e-4)


def test_nothing_costs_nothing() -> None:
    assert write([]) == b""
    assert write([([], [])]) == b""
    assert RangeReader(b"", TABLES).pull(np.zeros(0, dtype=np.int64)).tolist() == []


# A change of these bytes is a change of the format: decide it, never regenerate them.
GOLDEN = [
    (([0], [0]), ""),
    (([0, -1, 0, 12, 99, 0, 1], [0, 1, 2, 3, 3, 2, 1]), "4f96e2c529b15228c7c1"),
]


@pytest.mark.parametrize(("part", "stream"), GOLDEN)
def test_golden_streams(part: tuple[list[int], list[int]], stream: str) -> None:
    assert write([part]).hex() == stream
    assert RangeReader(bytes.fromhex(stream), TABLES).pull(np.array(part[1])).tolist() == part[0]


def test_damaged_streams_never_crash(rng: np.random.Generator) -> None:
    contexts = rng.integers(0, 4, 300)
    symbols = TABLES.lows[contexts] + rng.integers(0, 2, 300)
    data = write([(symbols.tolist(), contexts.tolist())])
    for _ in range(200):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        cut = bytes(broken[: rng.integers(1, len(data) + 1)])
        with suppress(PayloadError):
            assert len(RangeReader(cut, TABLES).pull(contexts)) == 300


def test_symbols_beyond_the_coder_are_refused() -> None:
    with pytest.raises(PayloadError, match="lower the quality"):
        write([([LIMIT], [0])])


@pytest.mark.parametrize(
    ("counts", "starts", "lows"),
    [
        ([1, 2], [0, 1], [0]),
        ([1, 2], [0, 3], [0]),
        ([1, 2], [0, 2], [0, 1]),
        ([1, 0], [0, 2], [0]),
        ([1, 1 << 17], [0, 2], [0]),
        ([], [0], []),
    ],
)
def test_faulty_tables_are_refused(counts: list[int], starts: list[int], lows: list[int]) -> None:
    with pytest.raises(CodecError, match="damaged"):
        FrequencyTables(*(np.array(part, dtype=np.int64) for part in (counts, starts, lows)))
