"""The adaptive binary coder: round trips, a decoder of plain integers, lengths, damage."""

from __future__ import annotations

import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kinpack.entropy.range_coder import LIMIT
from kinpack.errors import PayloadError
from papers.smic.coders.binary_coder import decode_binary, encode_binary

pytestmark = pytest.mark.slow

Matrix = NDArray[np.int64]

EXTREME = [LIMIT - 1, 1 - LIMIT, 0, 13, 14, 15, -14, -15, 16, 29, 30, 1 << 30]


class PlainDecoder:
    """Decodes as the module's docstring has it: one bin at a time, plain integers, no library."""

    def __init__(self, data: bytes) -> None:
        self.words = [
            int.from_bytes(data[i : i + 4].ljust(4, b"\0"), "big") for i in range(0, len(data), 4)
        ]
        self.lower, self.width = 0, (1 << 64) - 1
        self.point = self._word() << 32 | self._word()
        self.contexts: dict[tuple[object, ...], list[int]] = {}

    def _word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def _bin(self, chance: int) -> int:
        """A bin that is 1 with chance / 2^16."""
        bound = ((65_536 - chance) * ((1 << 24) - 2) >> 16) + 1
        scale = self.width >> 24
        one = ((self.point - self.lower) % (1 << 64)) // scale >= bound
        start, end = (bound, 1 << 24) if one else (0, bound)
        self.lower = (self.lower + scale * start) % (1 << 64)
        self.width = scale * (end - start)
        if self.width < 1 << 32:
            self.lower = (self.lower << 32) % (1 << 64)
            self.width <<= 32
            self.point = (self.point << 32 | self._word()) % (1 << 64)
        return int(one)

    def _adaptive(self, key: tuple[object, ...]) -> int:
        state = self.contexts.setdefault(key, [1 << 23, 1 << 23, 4 if "sign" in key else 0])
        one = self._bin((state[0] + state[1]) // 2 >> 8)
        target = (1 << 24) - 512 if one else 512
        for i, slowest in enumerate((1 << 10, 1 << 8)):
            rate = max(65_536 // (state[2] + 2), slowest)
            state[i] += (target - state[i]) * rate >> 16
        state[2] = min(state[2] + 1, 256)
        return one

    def matrix(self, items: int, lanes: int, neighbours: list[list[int]]) -> list[list[int]]:
        return [self._item(lanes, neighbours) for _ in range(items)]

    def _item(self, lanes: int, neighbours: list[list[int]]) -> list[int]:
        found = [0] * lanes
        near = [[i for i in row if i >= 0] for row in neighbours]
        for second in (False, True):
            mine = [lane for lane in range(lanes) if bool(near[lane]) == second]
            total = [sum(abs(found[i]) for i in near[lane]) for lane in range(lanes)]
            zone = [0 if t == 0 else 1 if t < 3 else 2 for t in total]
            alive = mine
            for flag in range(14):
                keys = {
                    lane: (lane, flag, zone[lane]) if flag < 2 else (lane, min(flag, 6))
                    for lane in alive
                }
                alive = [lane for lane in alive if self._adaptive(keys[lane])]
                for lane in alive:
                    found[lane] += 1
            for lane, rest in zip(alive, self._exp_golomb(len(alive)), strict=True):
                found[lane] += rest
            for lane in mine:
                if found[lane] and self._adaptive((lane, "sign")):
                    found[lane] *= -1
        return found

    def _exp_golomb(self, count: int) -> list[int]:
        widths, alive = [0] * count, list(range(count))
        for _ in range(30):
            alive = [i for i in alive if self._bin(32_768)]
            for i in alive:
                widths[i] += 1
        values = []
        for width in widths:
            value = 1
            for _ in range(width):
                value = 2 * value + self._bin(32_768)
            values.append(value - 1)
        return values


def matrices(items: int = 12, lanes: int = 6) -> st.SearchStrategy[Matrix]:
    symbol = st.one_of(st.integers(-3, 3), st.integers(-40, 40), st.integers(1 - LIMIT, LIMIT - 1))
    shape = st.tuples(st.integers(0, items), st.integers(0, lanes))
    return shape.flatmap(lambda s: hnp.arrays(np.int64, s, elements=symbol))


def in_pairs(lanes: int) -> Matrix:
    """Neighbours of which odd lanes name the even ones on both sides."""
    odd = np.arange(lanes) % 2 == 1
    sides = np.stack([np.arange(lanes) - 1, np.arange(lanes) + 1], 1)
    sides[sides >= lanes] = -1
    pairs: Matrix = np.where(odd[:, None], sides, -1)
    return pairs


def laplacian(
    rng: np.random.Generator, n: int, std: NDArray[np.float64] | float, lanes: int
) -> Matrix:
    """Rounded Laplacian symbols of a standard deviation, or of one for each symbol."""
    drawn: Matrix = np.rint(rng.laplace(0, 1, (n, lanes)) * std / np.sqrt(2)).astype(np.int64)
    return drawn


def entropy_bytes(symbols: Matrix) -> float:
    """Empirical entropy of each lane, items taken as independent; the sum over lanes."""
    bits = 0.0
    for lane in symbols.T:
        counts = np.unique(lane, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / len(lane))).sum())
    return bits / 8


@given(matrices(), st.booleans())
def test_round_trip_and_plain_decoder(symbols: Matrix, paired: bool) -> None:
    items, lanes = symbols.shape
    neighbours = in_pairs(lanes) if paired else None
    data = encode_binary(symbols, neighbours=neighbours)
    found = decode_binary(data, items, lanes, neighbours=neighbours)
    assert found.dtype == np.int64
    assert found.tolist() == symbols.tolist()
    near = (neighbours if paired else np.full((lanes, 1), -1)).tolist()  # type: ignore[union-attr]
    assert PlainDecoder(data).matrix(items, lanes, near) == symbols.tolist()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_nothing_costs_nothing(shape: tuple[int, int]) -> None:
    assert encode_binary(np.zeros(shape, dtype=np.int64)) == b""
    assert decode_binary(b"", *shape).shape == shape


@pytest.mark.parametrize("shape", [(1, len(EXTREME)), (len(EXTREME), 1)])
def test_extreme_symbols(shape: tuple[int, int]) -> None:
    symbols = np.array(EXTREME, dtype=np.int64).reshape(shape)
    assert (decode_binary(encode_binary(symbols), *shape) == symbols).all()


@pytest.mark.parametrize("symbol", [LIMIT, -LIMIT, -(1 << 63)])
def test_symbols_beyond_the_coder_are_refused(symbol: int) -> None:
    with pytest.raises(PayloadError, match="lower the quality"):
        encode_binary(np.array([[0, symbol]]))


def test_zeros_cost_nothing() -> None:
    # The interval of zeros alone begins at 0, the number that needs no bytes.
    assert encode_binary(np.zeros((500, 16), dtype=np.int64)) == b""
    assert not decode_binary(b"", 500, 16).any()


def test_constant_lanes_cost_next_to_nothing() -> None:
    symbols = np.tile(np.array([[3, -1, 0, 1, -20, 0]]), (500, 1))
    data = encode_binary(symbols)
    # Contexts are learnt in some bits each; beyond them, −20 takes 5 bins of equal chances.
    assert len(data) <= 500 * 5 / 8 + 30
    assert (decode_binary(data, 500, 6) == symbols).all()


@pytest.mark.slow
@pytest.mark.parametrize(("std", "margin"), [(0.3, 1.022), (1.5, 1.013), (4.0, 1.015)])
def test_length_on_laplacian_lanes(std: float, margin: float, rng: np.random.Generator) -> None:
    symbols = laplacian(rng, 2000, std, 32)
    data = encode_binary(symbols)
    assert 0.99 * entropy_bytes(symbols) <= len(data) <= margin * entropy_bytes(symbols)
    assert (decode_binary(data, *symbols.shape) == symbols).all()


def test_length_with_few_items(rng: np.random.Generator) -> None:
    symbols = laplacian(rng, 200, 1.5, 64)
    assert len(encode_binary(symbols)) <= 1.055 * entropy_bytes(symbols)


def test_drifting_lanes_cost_less_than_their_static_entropy(rng: np.random.Generator) -> None:
    drift = np.exp(np.cumsum(rng.normal(0, 0.03, (2000, 32)), 0))
    symbols = laplacian(rng, 2000, 1.5 * drift, 32)
    assert len(encode_binary(symbols)) <= 0.99 * entropy_bytes(symbols)


def test_neighbours_that_tell_save_bits(rng: np.random.Generator) -> None:
    symbols = laplacian(rng, 1000, np.exp(rng.normal(0, 1, (1000, 1))), 32)
    neighbours = in_pairs(32)
    data = encode_binary(symbols, neighbours=neighbours)
    assert len(data) <= 0.98 * len(encode_binary(symbols))
    assert (decode_binary(data, 1000, 32, neighbours=neighbours) == symbols).all()


@pytest.mark.parametrize(
    "neighbours", [[[-1], [0]], [[-1], [0], [1]], [[-1], [0], [3]], [[-1], [0], [-2]], [0, 0, 0]]
)
def test_faulty_neighbours_are_refused(neighbours: list[list[int]]) -> None:
    given_neighbours = np.array(neighbours)
    with pytest.raises(ValueError, match="neighbour"):
        encode_binary(np.zeros((1, 3), dtype=np.int64), neighbours=given_neighbours)
    with pytest.raises(ValueError, match="neighbour"):
        decode_binary(b"", 1, 3, neighbours=given_neighbours)


# A change of these bytes is a change of the format: decide it, never regenerate them.
GOLDEN = [
    ([[0]], None, ""),
    ([[1, 0, -2], [2, 0, -1], [3, -1, -40]], None, "a9b6eee1cc62"),
    (
        [[1, 0, -2, 5], [2, 0, -1, -2147483647], [3, -1, -40, 14]],
        [[-1], [0], [-1], [2]],
        "d2f9bc7ba31c177cfffffa737e2f49bf",
    ),
]


@pytest.mark.parametrize(("rows", "near", "stream"), GOLDEN)
def test_golden_streams(rows: list[list[int]], near: list[list[int]] | None, stream: str) -> None:
    symbols, neighbours = np.array(rows), None if near is None else np.array(near)
    assert encode_binary(symbols, neighbours=neighbours).hex() == stream
    data = bytes.fromhex(stream)
    assert decode_binary(data, *symbols.shape, neighbours=neighbours).tolist() == rows


def test_a_long_golden_stream() -> None:
    # Long enough for states to settle; the symbols come from integers alone.
    place = np.arange(400 * 8, dtype=np.int64).reshape(400, 8)
    noise = (place * 2_654_435_761 >> 7) % 1024
    symbols = (noise - 512) ** 3 // (40_000_000 >> place % 8)
    data = encode_binary(symbols, neighbours=in_pairs(8))
    assert (len(data), zlib.crc32(data)) == (2595, 3814626096)
    assert (decode_binary(data, 400, 8, neighbours=in_pairs(8)) == symbols).all()


@settings(max_examples=40)
@given(st.binary(max_size=80), st.booleans())
def test_noise_never_crashes(data: bytes, paired: bool) -> None:
    with suppress(PayloadError):
        found = decode_binary(data, 9, 5, neighbours=in_pairs(5) if paired else None)
        assert found.shape == (9, 5)
        assert np.abs(found).max() < LIMIT


def test_damaged_streams_never_crash(rng: np.random.Generator) -> None:
    symbols = laplacian(rng, 40, 8.0, 12)
    data = encode_binary(symbols)
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        cut = bytes(broken[: rng.integers(len(data) + 1)])
        with suppress(PayloadError):
            assert decode_binary(cut, 40, 12).shape == (40, 12)


def test_a_symbol_out_of_range_is_refused() -> None:
    # All bins 1: 14 flags, then the longest Exp-Golomb code, whose value no encoder writes.
    with pytest.raises(PayloadError, match="damaged"):
        decode_binary(b"\xff" * 100, 1, 1)
