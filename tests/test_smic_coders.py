"""The coders e′ of the sMIC experiment: exact round trips, and bytes beside what theory says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

pytest.importorskip("scipy")

from scipy.sparse.csgraph import minimum_spanning_tree

from papers.smic.coders import by_class, independent, karhunen_loeve, kin
from papers.smic.coders.coded import (
    LENGTH_BYTES,
    Coded,
    bits_for,
    pack_bits,
    pack_matrix,
    unpack_bits,
    unpack_matrix,
)
from papers.smic.coders.karhunen_loeve import Components, Factors, factorise
from papers.smic.coders.shape_tables import ShapeTables, fit, group_bits, symbol_bits

pytestmark = pytest.mark.slow

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CODERS: dict[str, tuple[Callable[[Ints, Ints], Coded], Callable[[Coded, int, int], Ints]]] = {
    "static": (lambda x, _: independent.encode_static(x), independent.decode_static),
    "huffman": (
        lambda x, _: independent.encode_with_huffman(x),
        independent.decode_with_huffman,
    ),
    "adaptive": (lambda x, _: independent.encode_adaptive(x), independent.decode_adaptive),
    "class": (by_class.encode_by_class, by_class.decode_by_class),
    "kin": (lambda x, _: kin.encode_from_kin(x), kin.decode_from_kin),
}
SYMBOL_PARTS = {
    "static": ["symbols"],
    "class": ["symbols"],
    "kin": ["symbols", "differences", "references", "follows"],
}
"""Parts whose bits ``item_bits`` tells."""
SLACK = 8
"""Bytes by which a part may exceed its bits: its last, cut word."""


def check_round_trip(name: str, symbols: Ints, labels: Ints) -> Coded:
    encode, decode = CODERS[name]
    coded = encode(symbols, labels)
    assert coded.n_bytes == sum(LENGTH_BYTES + len(part) for part in coded.parts.values())
    assert coded.n_bytes - coded.shared_bytes == LENGTH_BYTES + len(coded.parts["symbols"])
    # What the decoder is given: the bytes, and the size of the collection.
    back = decode(Coded(dict(coded.parts)), *symbols.shape)
    assert back.dtype == np.int64
    assert np.array_equal(back, symbols)
    if coded.item_bits is not None:
        assert coded.item_bits.shape == (len(symbols),)
    return coded


def drawn(kind: str, n: int, d: int, seed: int) -> Ints:
    rng = np.random.default_rng(seed)
    if kind == "constant":
        return np.full((n, d), rng.integers(-40, 41))
    if kind == "constant dimensions":
        return np.tile(rng.integers(-400, 401, d), (n, 1))
    if kind == "heavy tails":
        return np.clip(rng.standard_cauchy((n, d)) * 2, -300, 300).round().astype(np.int64)
    if kind == "kin":
        base = rng.normal(0, 30, (1, d)) + rng.normal(0, 1, (n, d))
        return base.round().astype(np.int64)
    if kind == "extremes":
        return rng.choice([-200, 0, 200], (n, d))
    return rng.normal(0, rng.choice([0.1, 1, 8]), (n, d)).round().astype(np.int64)


KINDS = ["constant", "constant dimensions", "heavy tails", "kin", "extremes", "noise"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODERS)
@settings(max_examples=12)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([0, 1, 2, 3, 7, 16]),
    st.sampled_from([1, 5, 16, 48]),
    st.integers(1, 4),
    st.integers(0, 1000),
)
@example("noise", 0, 16, 1, 0)
@example("noise", 1, 1, 1, 0)
@example("noise", 1, 48, 3, 0)
def test_round_trip(name: str, kind: str, n: int, d: int, classes: int, seed: int) -> None:
    symbols = drawn(kind, n, d, seed)
    check_round_trip(name, symbols, np.random.default_rng(seed).integers(0, classes, n))


@pytest.mark.parametrize("name", CODERS)
@settings(max_examples=12)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(0, 6), st.sampled_from([1, 2, 16])),
        elements=st.integers(-60, 60),
    ),
    st.data(),
)
def test_round_trip_of_any_matrix(name: str, symbols: Ints, data: st.DataObject) -> None:
    labels = data.draw(
        hnp.arrays(np.int64, len(symbols), elements=st.integers(0, 3)), label="labels"
    )
    check_round_trip(name, symbols, labels)


@pytest.mark.parametrize("name", CODERS)
def test_round_trip_of_outliers_and_of_large_constants(name: str) -> None:
    symbols = np.zeros((300, 2), dtype=np.int64)
    symbols[7, 0], symbols[9, 1], symbols[200, 0] = 9000, -7777, -9000
    check_round_trip(name, symbols, np.arange(300) % 2)
    check_round_trip(name, np.full((5, 3), 1 << 20), np.array([0, 1, 1, 0, 1]))


@pytest.mark.parametrize("labels", [[0] * 9, [7] * 9, [0, 2, 5] * 3, list(range(9))])
def test_labels_of_any_kind_come_through(labels: list[int]) -> None:
    symbols = drawn("noise", 9, 16, 1) + 9 * np.array(labels)[:, None]
    check_round_trip("class", symbols, np.array(labels))


def laplacian(n: int = 400, d: int = 48) -> Ints:
    """Dimensions of many scales and means, as latents are."""
    rng = np.random.default_rng(5)
    wide = np.geomspace(0.15, 20, d)
    return rng.laplace(rng.normal(0, wide), wide, (n, d)).round().astype(np.int64)


def near_duplicates() -> Ints:
    """Forty families of five, of which three entries in a hundred differ, by little."""
    rng = np.random.default_rng(6)
    symbols = np.repeat(rng.normal(0, 6, (40, 48)).round().astype(np.int64), 5, axis=0)
    symbols += (rng.random(symbols.shape) < 0.03) * rng.integers(-3, 4, symbols.shape)
    return symbols[rng.permutation(len(symbols))]


def with_class_means(strength: float) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, 400)
    means = rng.normal(0, strength, (4, 48))
    return (means[labels] + rng.normal(0, 3, (400, 48))).round().astype(np.int64), labels


@pytest.mark.parametrize("name", SYMBOL_PARTS)
@pytest.mark.parametrize("data", ["laplacian", "near duplicates", "class means", "outliers"])
def test_bytes_are_the_bits_of_the_items(name: str, data: str) -> None:
    labels = np.arange(400) % 3
    if data == "laplacian":
        symbols = laplacian()
    elif data == "near duplicates":
        symbols = near_duplicates()
    elif data == "class means":
        symbols, labels = with_class_means(10)
    else:
        symbols = laplacian(n=60)
        symbols[::7, 5] = 9000
    coded = check_round_trip(name, symbols, labels[: len(symbols)])
    assert coded.item_bits is not None
    found = sum(len(coded.parts[part]) for part in SYMBOL_PARTS[name])
    total = float(coded.item_bits.sum()) / 8
    # No shorter than the bits either, but for the end of a stream.
    assert abs(found - total) <= 0.001 * total + SLACK


def empirical_entropy(symbols: Ints) -> float:
    """Bits of all symbols under the histogram of each dimension, in a plain loop."""
    bits = 0.0
    for column in symbols.T.tolist():
        for value in set(column):
            count = column.count(value)
            bits -= count * math.log2(count / len(column))
    return bits


def test_static_and_huffman_beside_the_entropy() -> None:
    symbols = laplacian()
    static = check_round_trip("static", symbols, np.zeros(400, dtype=np.int64))
    huffman = check_round_trip("huffman", symbols, np.zeros(400, dtype=np.int64))
    entropy = empirical_entropy(symbols)
    # A histogram of 400 symbols knows more than three numbers can say; that is the 6 %.
    assert entropy / 8 <= len(static.parts["symbols"]) + SLACK
    assert len(static.parts["symbols"]) <= 1.06 * entropy / 8 + SLACK
    assert len(static.parts["tables"]) < 6 * 48
    assert huffman.parts["tables"] == static.parts["tables"]
    # Whole bits cost: some, but less than one a symbol.
    assert len(huffman.parts["symbols"]) > len(static.parts["symbols"])
    assert len(huffman.parts["symbols"]) < len(static.parts["symbols"]) + symbols.size / 8


def test_tables_that_a_caller_has_already_change_nothing() -> None:
    symbols, labels = with_class_means(2)
    tables = independent.fit_dimensions(symbols)
    for given_tables, found in (
        (independent.encode_static(symbols, tables), independent.encode_static(symbols)),
        (
            independent.encode_with_huffman(symbols, tables),
            independent.encode_with_huffman(symbols),
        ),
        (
            by_class.encode_by_class(symbols, labels, tables),
            by_class.encode_by_class(symbols, labels),
        ),
    ):
        assert given_tables.parts == found.parts


def test_huffman_spends_a_bit_where_a_range_coder_spends_none() -> None:
    symbols = np.full((500, 16), 3)
    none = np.zeros(500, dtype=np.int64)
    assert len(check_round_trip("huffman", symbols, none).parts["symbols"]) >= symbols.size / 8
    assert len(check_round_trip("static", symbols, none).parts["symbols"]) <= 8


def test_adaptive_coder_finds_what_the_tables_say() -> None:
    symbols = laplacian()
    none = np.zeros(400, dtype=np.int64)
    static, adaptive = (check_round_trip(name, symbols, none) for name in ("static", "adaptive"))
    assert adaptive.n_bytes == LENGTH_BYTES + len(adaptive.parts["symbols"])
    assert abs(adaptive.n_bytes / static.n_bytes - 1) < 0.12


def test_adaptive_coder_gains_from_neighbours() -> None:
    rng = np.random.default_rng(3)
    # A strength that the places of a channel share: flat items among busy ones.
    strength = np.repeat(np.exp(rng.normal(0, 2, (400, 2))), 16, axis=1)
    symbols = (strength * rng.laplace(0, 1, (400, 32))).round().astype(np.int64)
    none = np.zeros(400, dtype=np.int64)
    # One more dimension leaves no grid of 4×4, and so no neighbours.
    alone = np.column_stack([symbols, np.zeros(400, dtype=np.int64)])
    assert (independent.checkerboard_neighbours(33) == -1).all()
    near = check_round_trip("adaptive", symbols, none).n_bytes
    assert near < 0.97 * check_round_trip("adaptive", alone, none).n_bytes


def test_checkerboard() -> None:
    found = independent.checkerboard_neighbours(32)
    for place, near in enumerate(found.tolist()):
        channel, row, column = place // 16, place % 16 // 4, place % 4
        expected = set()
        if (row + column) % 2:
            for r in range(4):
                for c in range(4):
                    if abs(r - row) + abs(c - column) == 1:
                        expected.add(16 * channel + 4 * r + c)
        assert {p for p in near if p >= 0} == expected
        assert near.count(-1) == 4 - len(expected)


def test_class_tables_gain_where_classes_differ() -> None:
    symbols, labels = with_class_means(10)
    static = check_round_trip("static", symbols, labels)
    coded = check_round_trip("class", symbols, labels)
    # A Gaussian of variance 10² + 3² against one of 3²: up to log2(10.4 / 3) = 1.8 bits of 5 a
    # symbol, less what 400 items have to pay for 192 tables.
    assert coded.n_bytes < 0.8 * static.n_bytes
    shuffled = check_round_trip("class", symbols, np.random.default_rng(0).permutation(labels))
    assert shuffled.n_bytes > 1.2 * coded.n_bytes


@pytest.mark.parametrize("classes", [1, 4, 10])
def test_class_tables_lose_no_more_than_labels_and_framing(classes: int) -> None:
    symbols, _ = with_class_means(0)
    labels = np.random.default_rng(1).integers(0, classes, len(symbols))
    static = check_round_trip("static", symbols, labels)
    coded = check_round_trip("class", symbols, labels)
    assert coded.parts["tables"] == static.parts["tables"]
    framing = 3 * LENGTH_BYTES + len(coded.parts["counts"])
    # That no class has tables of its own is sent too: some bits a class for each of three columns.
    framing += 8 + 3 * classes
    labels_cost = len(labels) * math.log2(classes) / 8 + 2
    assert len(coded.parts["labels"]) <= labels_cost
    assert coded.n_bytes <= static.n_bytes + len(coded.parts["labels"]) + framing


def test_labels_cost_their_entropy() -> None:
    symbols = np.zeros((4000, 1), dtype=np.int64)
    labels = np.random.default_rng(2).choice(4, 4000, p=[0.7, 0.15, 0.1, 0.05])
    coded = check_round_trip("class", symbols, labels)
    assert len(coded.parts["labels"]) <= 1.002 * empirical_entropy(labels[:, None]) / 8 + SLACK


def test_kin_gain_on_near_duplicates() -> None:
    symbols = near_duplicates()
    none = np.zeros(len(symbols), dtype=np.int64)
    static, coded = (check_round_trip(name, symbols, none) for name in ("static", "kin"))
    # Of five alike one is coded whole, four cost a reference and what differs.
    assert coded.n_bytes < 0.4 * static.n_bytes
    follows = np.unpackbits(np.frombuffer(coded.parts["follows"], np.uint8), count=len(symbols))
    assert follows.sum() >= 160


def test_exact_duplicates_cost_a_reference() -> None:
    rng = np.random.default_rng(8)
    symbols = np.repeat(rng.normal(0, 6, (20, 48)).round().astype(np.int64), 10, axis=0)
    coded = check_round_trip("kin", symbols, np.zeros(200, dtype=np.int64))
    assert len(coded.parts["differences"]) <= 0.02 * 180 * 48 / 8 + SLACK
    assert len(coded.parts["references"]) == 180 * 8 / 8


@pytest.mark.parametrize("n", [1, 2, 200])
def test_kin_cost_little_on_noise(n: int) -> None:
    symbols = np.random.default_rng(9).normal(0, 9, (n, 48)).round().astype(np.int64)
    none = np.zeros(n, dtype=np.int64)
    static, coded = (check_round_trip(name, symbols, none) for name in ("static", "kin"))
    assert len(coded.parts["follows"]) == math.ceil(n / 8)
    extra = math.ceil(n / 8) + len(coded.parts["difference tables"]) + 4 * LENGTH_BYTES
    assert coded.n_bytes <= static.n_bytes + extra + SLACK
    assert len(coded.parts["difference tables"]) <= 5 * 48


@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=40)
def test_spanning_tree_is_the_least(n: int, d: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(n, d))
    parent = kin.spanning_tree(points)
    assert parent.shape == (n,)
    assert (parent < 0).sum() == min(n, 1)
    for i in range(n):
        seen, place = set(), i
        while parent[place] >= 0:
            assert place not in seen
            seen.add(place)
            place = int(parent[place])
    if n < 2:
        return
    root = int(np.flatnonzero(parent < 0)[0])
    assert root == np.linalg.norm(points - points.mean(0), axis=1).argmin()
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    others = np.flatnonzero(parent >= 0)
    found = distances[others, parent[others]].sum()
    assert found == pytest.approx(minimum_spanning_tree(distances).sum(), rel=1e-4)


def correlated(n: int = 300, d: int = 40) -> Floats:
    """Five directions hold everything but the mean."""
    rng = np.random.default_rng(10)
    mean = rng.normal(0, 3, d)
    coefficients = rng.normal(size=(n, 5)) * np.array([40.0, 25, 15, 10, 6])
    directions: Floats = np.linalg.qr(rng.normal(size=(d, 5)))[0].T
    latents: Floats = mean + coefficients @ directions
    return latents


def check_factors(factors: Factors, labels: Ints | None, n: int, d: int) -> Coded:
    coded = karhunen_loeve.encode_factors(factors, labels)
    back = karhunen_loeve.decode_factors(Coded(dict(coded.parts)), n, d)
    for part in ("mean", "basis", "exponents", "coefficients"):
        found, expected = getattr(back, part), getattr(factors, part)
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)
    assert np.array_equal(back.latents(0.37), factors.latents(0.37))
    assert coded.item_bits is not None
    assert coded.item_bits.shape == (n,)
    return coded


@settings(max_examples=25)
@given(
    st.sampled_from([0, 1, 2, 7, 33]),
    st.sampled_from([1, 5, 16, 48]),
    st.integers(0, 3),
    st.sampled_from([0.3, 2.0, 100.0]),
    st.booleans(),
    st.integers(0, 1000),
)
@example(0, 16, 0, 1.0, True, 0)
@example(33, 16, 0, 1.0, True, 0)
def test_transform_round_trip(
    n: int, d: int, rank: int, step: float, by_labels: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    latents = rng.normal(0, 5, (n, rank)) @ rng.normal(size=(rank, d)) + rng.normal(0, 3, d)
    factors = factorise(Components.of(latents), step)
    check_factors(factors, rng.integers(0, 3, n) if by_labels else None, n, d)


def test_transform_keeps_what_is_worth_its_bits() -> None:
    rng = np.random.default_rng(11)
    latents = correlated()
    noisy = latents + rng.normal(0, 0.02, latents.shape)
    factors = factorise(Components.of(noisy), 0.5)
    assert factors.coefficients.shape == (300, 5)
    assert factors.basis.shape == (5, 40)
    directions = factors.directions()
    assert np.abs(directions @ directions.T - np.eye(5)).max() < 0.01
    # The quantiser's noise in place of what lies below it: reverse water-filling.
    assert len(factorise(Components.of(noisy), 100.0).basis) < 5
    assert len(factorise(Components.of(noisy), 1e-3).basis) == 40


@pytest.mark.parametrize("step", [0.2, 1.0, 4.0])
def test_distortion_of_the_transform(step: float) -> None:
    latents = correlated()
    n, d = latents.shape
    factors = factorise(Components.of(latents), step)
    rank = len(factors.basis)
    assert rank == 5
    error = float(np.square(factors.latents(step) - latents).sum())
    # Of each kept component: a coefficient an item, and an entry a dimension, each a uniform
    # quantiser's step² / 12. And the mean, at a quarter of the step, in the dimensions left.
    uniform = step * step / 12
    expected = uniform * (rank * (n + d - rank) + n * (d - rank) / 16)
    assert error == pytest.approx(expected, rel=0.12)
    per_kept_dimension = error / (n * rank)
    assert 0.9 * uniform < per_kept_dimension < 1.8 * uniform


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_transform_gains_on_correlated_latents(step: float) -> None:
    latents = correlated()
    factors = factorise(Components.of(latents), step)
    coded = check_factors(factors, None, *latents.shape)
    static = independent.encode_static(np.rint(latents / step).astype(np.int64))
    assert coded.n_bytes < 0.5 * static.n_bytes
    # At an error that is no larger: static coding adds step² / 12 in every dimension.
    error = float(np.square(factors.latents(step) - latents).mean())
    assert error < step * step / 12
    assert coded.item_bits is not None
    total = float(coded.item_bits.sum()) / 8
    assert abs(len(coded.parts["symbols"]) - total) <= 0.001 * total + SLACK


def test_transform_under_class_tables_gains_where_classes_differ() -> None:
    rng = np.random.default_rng(12)
    labels = rng.integers(0, 3, 400)
    latents = rng.normal(0, 30, (3, 16))[labels] + rng.normal(0, 2, (400, 16))
    factors = factorise(Components.of(latents), 1.0)
    plain = check_factors(factors, None, 400, 16)
    informed = check_factors(factors, labels, 400, 16)
    assert informed.n_bytes < plain.n_bytes


def spent(symbols: Ints) -> tuple[float, ShapeTables]:
    """Bits a symbol under the table that is fitted."""
    groups = np.zeros(len(symbols), dtype=np.int64)
    tables = fit(symbols, groups, 1)
    return float(symbol_bits(tables.frequencies(), symbols, groups).mean()), tables


@pytest.mark.parametrize("density", ["laplace", "normal"])
@pytest.mark.parametrize(
    ("scale", "epsilon"),
    [
        # Where a table is narrow, few symbols decide; where it is wide, 20,000 symbols are few, and
        # their histogram knows more of them than their density does.
        (0.05, 0.05),
        (0.1, 0.05),
        (0.2, 0.05),
        (0.3, 0.02),
        (1.0, 0.02),
        (5.0, 0.02),
        (20.0, 0.02),
    ],
)
def test_fit_is_close_to_the_entropy(density: str, scale: float, epsilon: float) -> None:
    rng = np.random.default_rng(13)
    for centre in (0.3, -7.5):
        x = np.rint(getattr(rng, density)(centre, scale, 20_000)).astype(np.int64)
        bits, tables = spent(x)
        entropy = empirical_entropy(x[:, None]) / len(x)
        assert entropy - 1e-4 <= bits <= entropy + epsilon
        if scale >= 1:
            assert tables.centre[0] == pytest.approx(centre, abs=0.15 * scale)
            alpha = scale if density == "laplace" else scale * math.sqrt(2)
            assert tables.alpha[0] == pytest.approx(alpha, rel=0.15)


def test_fit_of_constants() -> None:
    for value in (0, 5, -1000, 1 << 20):
        assert spent(np.full(1000, value))[0] <= 0.001


def test_fit_of_a_rare_symbol() -> None:
    x = np.zeros(1000, dtype=np.int64)
    x[::100] = 1
    bits, _ = spent(x)
    assert bits <= empirical_entropy(x[:, None]) / 1000 + 0.05


def test_fit_of_many_groups_is_the_fit_of_each() -> None:
    symbols = laplacian(n=50, d=12)
    groups = np.tile(np.arange(12), 50)
    together = fit(symbols.ravel(), groups, 12).to_matrix()
    for j in range(12):
        alone = fit(symbols[:, j], np.zeros(50, dtype=np.int64), 1).to_matrix()
        assert np.array_equal(alone[0], together[j])


def test_tables_without_symbols_are_narrow() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    for tables in (fit(nothing, nothing, 3), fit(np.ones(5, dtype=np.int64), np.full(5, 1), 3)):
        assert tables.centre[[0, 2]].tolist() == [0, 0]
        assert (tables.alpha[[0, 2]] < 0.1).all()
        assert len(tables.frequencies()) == 3


def test_bits_of_symbols_are_those_of_a_plain_loop() -> None:
    symbols = laplacian(n=20, d=6)
    symbols[3, 2] = 4000
    groups = np.tile(np.arange(6), 20)
    tables = fit(laplacian(n=90, d=6).ravel(), np.tile(np.arange(6), 90), 6).frequencies()
    found = symbol_bits(tables, symbols.ravel(), groups)
    sums = [0.0] * 6
    for value, group, bits in zip(symbols.ravel().tolist(), groups.tolist(), found, strict=True):
        counts = tables.table(group).tolist()
        place = value - int(tables.lows[group])
        inside = 0 <= place < len(counts) - 1
        count = counts[place] if inside else counts[-1]
        expected = -math.log2(count / sum(counts)) + (0 if inside else 32)
        assert bits == pytest.approx(expected)
        sums[group] += expected
    assert group_bits(tables, symbols.ravel(), groups) == pytest.approx(sums)


def test_tables_come_back_from_their_numbers() -> None:
    tables = fit(laplacian().ravel(), np.tile(np.arange(48), 400), 48)
    back = ShapeTables.from_matrix(unpack_matrix(pack_matrix(tables.to_matrix())))
    first, second = tables.frequencies(), back.frequencies()
    for part in ("counts", "starts", "lows"):
        assert np.array_equal(getattr(first, part), getattr(second, part))


@given(
    hnp.arrays(
        np.int64,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
        elements=st.one_of(st.integers(-20, 20), st.integers(1 - (1 << 31), (1 << 31) - 1)),
    )
)
@settings(max_examples=50)
def test_packed_matrices_come_back(matrix: Ints) -> None:
    back = unpack_matrix(pack_matrix(matrix))
    assert back.shape == matrix.shape
    assert np.array_equal(back, matrix)


@given(st.lists(st.integers(0, 31), max_size=40), st.data())
@settings(max_examples=50)
def test_packed_bits_come_back(widths: list[int], data: st.DataObject) -> None:
    values = [data.draw(st.integers(0, (1 << width) - 1)) for width in widths]
    coded = pack_bits(np.array(values, dtype=np.int64), np.array(widths, dtype=np.int64))
    text = "".join(f"{v:0{w}b}" for v, w in zip(values, widths, strict=True) if w)
    assert len(coded) == math.ceil(len(text) / 8)
    assert "".join(f"{byte:08b}" for byte in coded) == text.ljust(8 * len(coded), "0")
    assert unpack_bits(coded, np.array(widths, dtype=np.int64)).tolist() == values


def test_bits_that_name_one_of_a_count() -> None:
    counts = [0, 1, 2, 3, 4, 5, 8, 9, 2000, 2048, 2049]
    assert bits_for(np.array(counts)).tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 11, 11, 12]
