"""Search against a plain ranking: the same hits from both engines, ties and tombstones included."""

from __future__ import annotations

import builtins
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError, KinpackError, MissingExtraError
from kinpack.search.distances.distance import (
    DistanceTable,
    SearchError,
    asymmetric_table,
    asymmetric_tables,
    symmetric_table,
)
from kinpack.search.distances.poses import Poses
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.engine import Found, Registration
from kinpack.search.engines.fast_scan import FastScan
from kinpack.search.engines.packed_codes import PackedCodes
from kinpack.search.engines.table import ENGINES
from kinpack.search.index import Hits, Index
from tests.distance_tables import symmetric_tables


def top_k(codes: NDArray[np.uint8], table: DistanceTable, k: int, **options: Any) -> Hits:
    """Search packed codes, or sub-indices, once."""
    quantiser = table.quantiser
    if codes.ndim == 2 and codes.shape[1] == quantiser.M != quantiser.code_bytes:
        codes = quantiser.pack(codes)
    return Index(codes, quantiser).search(table, k, **options)


def quantiser_of(seed: int, M: int = 16, K: int = 16, d: int = 2) -> ProductQuantiser:
    rng = np.random.default_rng(seed)
    return ProductQuantiser(rng.normal(size=(M, K, d)).astype(np.float32))


def codes_of(seed: int, n: int, quantiser: ProductQuantiser) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, quantiser.K, (n, quantiser.M), dtype=np.uint8)


def plain_ranking(
    table: DistanceTable, indices: np.ndarray, k: int, mask: np.ndarray | None = None
) -> list[tuple[int, int]]:
    """Rank by Python's own integers: (steps, position), nearest first."""
    rows = []
    for position, code in enumerate(indices.tolist()):
        if mask is None or mask[position]:
            rows.append((sum(int(table.integers[m, w]) for m, w in enumerate(code)), position))
    return sorted(rows)[:k]


SHAPES = st.tuples(
    st.integers(0, 1000),
    st.integers(1, 17),
    st.sampled_from([1, 2, 9, 16, 17, 256]),
    st.integers(1, 4),
)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(0, 12))
def test_table_distance_is_that_of_the_decoded_vectors(
    shape: tuple[int, int, int, int], n: int
) -> None:
    quantiser = quantiser_of(*shape)
    indices = codes_of(n, n + 1, quantiser)
    query = np.random.default_rng(n).normal(size=quantiser.D).astype(np.float32)
    decoded = quantiser.decode(indices).astype(np.float64)
    asymmetric = asymmetric_table(quantiser, query)
    symmetric = symmetric_table(quantiser, indices[0])
    for table, point in ((asymmetric, query.astype(np.float64)), (symmetric, decoded[0])):
        expected = np.square(decoded - point).sum(axis=1)
        assert table.in_units(table.steps(indices)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert table.values.shape == table.integers.shape == (quantiser.M, quantiser.K)
    assert symmetric.in_units(symmetric.steps(indices[:1])).tolist() == [0.0]


@settings(deadline=None, max_examples=30)
@given(SHAPES)
def test_symmetric_tables_hold_the_distances_of_words(shape: tuple[int, int, int, int]) -> None:
    quantiser = quantiser_of(*shape)
    tables = symmetric_tables(quantiser)
    assert tables.dtype == np.float32
    assert tables.shape == (quantiser.M, quantiser.K, quantiser.K)
    assert np.array_equal(tables, tables.transpose(0, 2, 1))
    code = codes_of(1, 1, quantiser)[0]
    table = symmetric_table(quantiser, code)
    for m in range(quantiser.M):
        assert np.array_equal(table.values[m], tables[m, code[m]])
        assert tables[m, 0, 0] == 0


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e15])
def test_integer_form_is_fine_and_never_overflows(size: float) -> None:
    quantiser = ProductQuantiser(quantiser_of(1).codebooks * np.float32(size))
    table = asymmetric_table(quantiser, np.ones(32) * np.float32(size))
    largest = int(table.integers.max(axis=1).astype(np.int64).sum())
    total = float(table.values.max(axis=1).sum(dtype=np.float64))
    assert 0 <= largest < 2**31
    assert np.log2(table.scale) == round(np.log2(table.scale))
    if total > 0:
        assert largest > 2**28
        assert table.integers * table.scale == pytest.approx(
            table.values.astype(np.float64), abs=table.scale
        )


def test_all_distances_zero() -> None:
    quantiser = ProductQuantiser(np.ones((4, 2, 3), np.float32))
    table = asymmetric_table(quantiser, np.ones(12))
    codes = quantiser.pack(codes_of(0, 5, quantiser))
    for engine in engines():
        positions, distances = top_k(codes, table, 3, engine=engine)
        assert positions.tolist() == [0, 1, 2]
        assert distances.tolist() == [0, 0, 0]


def engines() -> list[str]:
    try:
        import faiss  # noqa: F401
    except ImportError:
        return ["auto", "numpy"]
    return ["auto", "numpy", "faiss"]


@settings(deadline=None, max_examples=60)
@given(
    SHAPES,
    st.integers(0, 60),
    st.integers(0, 70),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.booleans(),
)
def test_top_k_is_the_plain_ranking(
    shape: tuple[int, int, int, int],
    n: int,
    k: int,
    symmetric: bool,
    masked: bool,
    threads: int,
    packed: bool,
) -> None:
    quantiser = quantiser_of(*shape)
    # Few different codes, so that ties are many.
    indices = codes_of(n, 4, quantiser)[np.random.default_rng(n).integers(0, 4, n)]
    query = np.random.default_rng(n).normal(size=quantiser.D)
    table = (
        symmetric_table(quantiser, codes_of(7, 1, quantiser)[0])
        if symmetric
        else asymmetric_table(quantiser, query)
    )
    mask = np.random.default_rng(n).random(n) < 0.6 if masked else None
    expected = plain_ranking(table, indices, k, mask)
    codes = quantiser.pack(indices) if packed else indices
    for engine in engines():
        positions, distances = top_k(codes, table, k, engine=engine, threads=threads, mask=mask)
        assert positions.dtype == np.int64
        assert distances.dtype == np.float32
        assert positions.tolist() == [position for _, position in expected]
        assert (
            distances.tolist()
            == table.in_units(np.array([steps for steps, _ in expected], np.int32)).tolist()
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("M", "K", "n"), [(16, 16, 50_000), (15, 11, 40_000), (8, 256, 40_000), (16, 16, 16_384)]
)
def test_engines_agree_on_many_codes(M: int, K: int, n: int, rng: np.random.Generator) -> None:
    quantiser = quantiser_of(2, M, K)
    # Near one another as real codes are, each many times over.
    indices = codes_of(3, 300, quantiser)[rng.integers(0, 300, n)]
    changed = rng.random((n, M)) < 0.1
    indices[changed] = codes_of(4, n, quantiser)[changed]
    index = Index(quantiser.pack(indices), quantiser)
    mask = rng.random(n) < 0.5
    for query in (indices[17], indices[4], codes_of(9, 1, quantiser)[0]):
        table = symmetric_table(quantiser, query)
        steps = table.steps(indices).astype(np.int64)
        order = np.lexsort((np.arange(n), steps))
        alive = order[mask[order]]
        for k in (1, 10, 1000, 3000):
            for engine in engines():
                for threads in (1, 2):
                    got = index.search(table, k, engine=engine, threads=threads)
                    assert np.array_equal(got[0], order[:k])
                    got = index.search(table, k, engine=engine, threads=threads, mask=mask)
                    assert np.array_equal(got[0], alive[:k])


@settings(deadline=None, max_examples=40)
@given(
    SHAPES,
    st.lists(st.integers(0, 9000), max_size=6),
    st.lists(st.integers(0, 1 << 30), max_size=40),
    st.integers(1, 5000),
)
def test_codes_in_pieces_are_those_in_one(
    shape: tuple[int, int, int, int], sizes: list[int], asked: list[int], most: int
) -> None:
    quantiser = quantiser_of(*shape)
    whole = quantiser.pack(codes_of(3, sum(sizes), quantiser))
    parts = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
    codes = PackedCodes(parts, quantiser.code_bytes)
    assert len(codes) == len(whole)
    assert np.array_equal(codes.whole(), whole)
    rows = np.array([at % len(whole) for at in asked] if len(whole) else [], np.int64)
    assert np.array_equal(codes.rows(rows), whole[rows])
    first, stop = sorted((most % (len(whole) + 1), len(asked) * 997 % (len(whole) + 1)))
    runs = list(codes.chunks(most, first, stop))
    assert all(0 < len(run) <= most for _, run in runs)
    assert [at for start, run in runs for at in range(start, start + len(run))] == [
        *range(first, stop)
    ]
    joined = [run for _, run in runs] or [whole[:0]]
    assert np.array_equal(np.concatenate(joined), whole[first:stop])


@settings(deadline=None, max_examples=25)
@given(SHAPES, st.integers(0, 200), st.integers(0, 20), st.integers(0, 40), st.booleans())
def test_several_queries_at_once_find_what_each_finds(
    shape: tuple[int, int, int, int], n: int, many: int, k: int, masked: bool
) -> None:
    quantiser, rng = quantiser_of(*shape), np.random.default_rng(n)
    indices = codes_of(n, 4, quantiser)[rng.integers(0, 4, n)]
    packed = quantiser.pack(indices)
    mask = rng.random(n) < 0.6 if masked else None
    index = Index(PackedCodes(np.array_split(packed, 3), quantiser.code_bytes), quantiser)
    points = rng.normal(size=(many, quantiser.D)).astype(np.float32)
    tables = [asymmetric_table(quantiser, point) for point in points]
    for made, table in zip(asymmetric_tables(quantiser, points), tables, strict=True):
        assert made.scale == table.scale
        assert np.array_equal(made.integers, table.integers)
        assert np.array_equal(made.values, table.values)
    queries = [point if at % 2 else tables[at] for at, point in enumerate(points)]
    for engine in engines():
        found = index.search_many(queries, k, engine=engine, mask=mask)
        assert len(found) == many
        for table, (positions, distances) in zip(tables, found, strict=True):
            expected = plain_ranking(table, indices, k, mask)
            assert positions.tolist() == [position for _, position in expected]
            steps = np.array([steps for steps, _ in expected], np.int32)
            assert distances.tolist() == table.in_units(steps).tolist()


@pytest.mark.parametrize("M", [16, 7, 300])
def test_faiss_ranks_many_near_codes_of_several_queries(M: int, rng: np.random.Generator) -> None:
    """More codes than are put into fast scan at a time, so near that many are proposed in vain."""
    pytest.importorskip("faiss")
    quantiser = quantiser_of(2, M)
    indices = codes_of(3, 200, quantiser)[rng.integers(0, 200, 70_000)]
    changed = rng.random(indices.shape) < 2 / M
    indices[changed] = codes_of(4, len(indices), quantiser)[changed]
    index = Index(quantiser.pack(indices), quantiser)
    tables = [symmetric_table(quantiser, indices[at]) for at in (0, 69_999, 12_345)]
    mask = rng.random(len(indices)) < 0.4
    for k in (1, 10, 900):
        for passing in (None, mask):
            found = index.search_many(tables, k, engine="faiss", mask=passing)
            for table, (positions, _) in zip(tables, found, strict=True):
                order = np.argsort(table.steps(indices), kind="stable")
                order = order if passing is None else order[passing[order]]
                assert np.array_equal(positions, order[:k])


def test_where_faiss_keeps_codes_in_another_way_the_codes_are_asked(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("faiss")
    quantiser = quantiser_of(2)
    codes = PackedCodes([quantiser.pack(codes_of(3, 5000, quantiser))], 8)
    table = asymmetric_table(quantiser, rng.normal(size=32))
    (expected,) = FastScan(codes, quantiser).search([table], 20)
    plain = FastScan._in_blocks
    monkeypatch.setattr(FastScan, "_in_blocks", lambda self, rows: plain(self, rows) ^ 1)
    (found,) = FastScan(codes, quantiser).search([table], 20)
    assert expected is not None
    assert found is not None
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_the_rows_of_the_last_mask_are_kept_only_of_one_that_cannot_change() -> None:
    quantiser = quantiser_of(2)
    indices = codes_of(3, 3000, quantiser)
    index = Index(quantiser.pack(indices), quantiser)
    table = asymmetric_table(quantiser, np.zeros(32))
    mask = np.zeros(3000, bool)
    for rows in ([5, 9, 700], [3, 2999], [7]):
        mask[:] = False
        mask[rows] = True
        kept = mask.copy()
        kept.setflags(write=False)
        for some in (mask, kept, kept):
            assert sorted(index.search(table, 10, mask=some)[0]) == rows


@pytest.mark.parametrize("K", [16, 256])
def test_faiss_serves_an_ordinary_search_itself(K: int, rng: np.random.Generator) -> None:
    pytest.importorskip("faiss")
    quantiser = quantiser_of(2, 16, K)
    indices = codes_of(3, 50_000, quantiser)
    table = asymmetric_table(quantiser, rng.normal(size=32))
    packed = PackedCodes([quantiser.pack(indices)], quantiser.code_bytes)
    (found,) = FastScan(packed, quantiser).search([table], 10)
    assert found is not None
    steps = table.steps(indices)
    order = np.argsort(steps, kind="stable")[:10]
    assert np.array_equal(found[0], steps[order])
    assert np.array_equal(found[1], order)


@pytest.mark.parametrize("share", [0.02, 0.099, 0.101, 0.6])
def test_masks_around_the_tenth_and_hits_around_the_first_candidates(
    share: float, rng: np.random.Generator
) -> None:
    n, quantiser = 6000, quantiser_of(5)
    indices = codes_of(3, 40, quantiser)[rng.integers(0, 40, n)]
    changed = rng.random((n, 16)) < 0.08
    indices[changed] = codes_of(4, n, quantiser)[changed]
    mask = rng.permutation(n) < share * n
    index = Index(quantiser.pack(indices), quantiser)
    poses = Poses(tuple(asymmetric_table(quantiser, rng.normal(size=32)) for _ in range(3)))
    first, *others = poses.tables
    steps = first.steps(indices).astype(np.int64)
    order = np.lexsort((np.arange(n), steps))
    every = np.min(
        [
            first.in_units(first.steps(indices)).astype(float),
            *(1.25 * table.in_units(table.steps(indices)).astype(float) for table in others),
        ],
        axis=0,
    )
    assert index.distances(poses) == pytest.approx(every, rel=1e-6)
    exact = index.distances(poses)
    of_poses = np.lexsort((np.arange(n), exact))
    for k in (1, 15, 16, 17, 120, 128, 300, 2000):
        for engine in engines():
            got, _ = index.search(first, k, engine=engine, mask=mask)
            assert np.array_equal(got, order[mask[order]][:k])
            got, _ = index.search(first, k, engine=engine)
            assert np.array_equal(got, order[:k])
            got, far = index.nearest(poses, k, engine=engine, mask=mask)
            assert np.array_equal(got, of_poses[mask[of_poses]][:k])
            assert np.array_equal(far, exact[got])


def test_hardly_anything_alive(rng: np.random.Generator) -> None:
    quantiser = quantiser_of(2)
    index = Index(quantiser.pack(codes_of(3, 40_000, quantiser)), quantiser)
    mask = np.zeros(40_000, bool)
    mask[[5, 39_999]] = True
    table = asymmetric_table(quantiser, rng.normal(size=32))
    for engine in engines():
        assert sorted(index.search(table, 9, engine=engine, mask=mask)[0]) == [5, 39_999]
        assert len(index.search(table, 9, engine=engine, mask=mask & False)[0]) == 0


def test_faiss_unpacks_sub_indices_as_we_pack_them(rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    for M in (16, 7):
        quantiser = quantiser_of(5, M)
        indices = codes_of(6, 100, quantiser)
        index = faiss.IndexPQ(quantiser.D, M, 4)
        faiss.copy_array_to_vector(quantiser.codebooks.ravel(), index.pq.centroids)
        index.is_trained = True
        assert index.sa_code_size() == quantiser.code_bytes
        index.add_sa_codes(quantiser.pack(indices))
        assert np.array_equal(index.reconstruct_n(0, 100), quantiser.decode(indices))
        # And its own codes of vectors are ours.
        x = rng.normal(size=(50, quantiser.D)).astype(np.float32)
        assert np.array_equal(index.sa_encode(x), quantiser.pack(quantiser.encode(x)))


def test_faiss_keeps_the_callers_threads() -> None:
    faiss = pytest.importorskip("faiss")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        quantiser = quantiser_of(5)
        codes = quantiser.pack(codes_of(1, 100, quantiser))
        top_k(codes, asymmetric_table(quantiser, np.zeros(32)), 3, engine="faiss")
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


@pytest.fixture
def no_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``import faiss`` fail, as where it is not installed."""
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "faiss":
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.usefixtures("no_faiss")
def test_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiser = quantiser_of(5)
    indices = codes_of(1, 50, quantiser)
    index = Index(quantiser.pack(indices), quantiser)
    table = asymmetric_table(quantiser, np.zeros(32))
    expected = [position for _, position in plain_ranking(table, indices, 5)]
    monkeypatch.setitem(ENGINES, "faiss", Registration(build=FastScan))
    for _ in range(2):
        assert index.search(table, 5)[0].tolist() == expected
    with pytest.raises(MissingExtraError, match=r'pip install "kinpack\[fast\]"'):
        index.search(table, 5, engine="faiss")


def test_auto_turns_to_faiss_once_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    built: list[int] = []

    class Counted(FastScan):
        def __init__(self, codes: PackedCodes, quantiser: ProductQuantiser) -> None:
            built.append(len(codes))
            super().__init__(codes, quantiser)

    counted = Registration(build=Counted, from_codes=50, after_scanned=150)
    monkeypatch.setitem(ENGINES, "faiss", counted)
    quantiser = quantiser_of(5)
    index = Index(quantiser.pack(codes_of(1, 60, quantiser)), quantiser)
    answers = []
    for search in range(6):
        answers.append(index.search(np.zeros(32), 5)[0].tolist())
        # Numpy has scanned 60, 120 and 180 codes after the first three.
        assert built == ([60] if search >= 3 else [])
    assert all(answer == answers[0] for answer in answers)


def test_a_registered_engine_is_searched_with(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards:
        """Looks at the codes from the last to the first, and leaves large k to numpy."""

        asked = 0

        def __init__(self, codes: PackedCodes, quantiser: ProductQuantiser) -> None:
            self.indices = quantiser.unpack(codes.whole())

        def search(
            self,
            tables: Sequence[DistanceTable],
            k: int,
            *,
            threads: int = 1,
            mask: np.ndarray | None = None,
        ) -> list[Found | None]:
            Backwards.asked += 1
            return [None if k > 5 else self.nearest(table, k, mask) for table in tables]

        def nearest(self, table: DistanceTable, k: int, mask: np.ndarray | None) -> Found:
            rows = np.arange(len(self.indices))[::-1]
            rows = rows if mask is None else rows[mask[rows]]
            steps = table.steps(self.indices[rows])
            order = np.lexsort((rows, steps))[:k]
            return steps[order], rows[order]

    monkeypatch.setitem(ENGINES, "backwards", Registration(build=Backwards, from_codes=100))
    quantiser = quantiser_of(8)
    table = asymmetric_table(quantiser, np.zeros(32))
    for n, k, own in ((60, 3, 0), (400, 3, 1), (400, 9, 1)):  # "auto" takes it from 100 codes on
        index = Index(quantiser.pack(codes_of(2, n, quantiser)), quantiser)
        mask = np.arange(n) % 3 > 0
        expected = index.search(table, k, engine="numpy", mask=mask)
        for engine, asked in (("auto", own), ("backwards", 1)):
            before = Backwards.asked
            found = index.search(table, k, engine=engine, mask=mask)
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])
            assert Backwards.asked - before == asked
    with pytest.raises(SearchError, match="backwards"):
        index.search(table, 3, engine="forwards")


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda q, c, t: top_k(c, t, -1), "k = -1"),
        (lambda q, c, t: top_k(c, t, 1, threads=0), "0 threads"),
        (lambda q, c, t: top_k(c[:, :5], t, 1), "8 bytes each"),
        (lambda q, c, t: top_k(c.astype(int), t, 1), "packed codes"),
        (lambda q, c, t: top_k(c, t, 1, engine=cast("Any", "brute")), "no engine 'brute'"),
        (lambda q, c, t: top_k(c, t, 1, mask=np.ones(3, bool)), "one bool for each"),
        (lambda q, c, t: top_k(c, t, 1, mask=cast("Any", np.ones(len(c)))), "one bool for each"),
        (lambda q, c, t: Index(c, quantiser_of(99)).search(t, 1), "other books"),
        (lambda q, c, t: asymmetric_table(q, np.zeros(31)), "archive's codec"),
        (lambda q, c, t: asymmetric_table(q, np.full(32, np.nan)), "finite"),
        (lambda q, c, t: asymmetric_table(q, np.full(32, 1e30)), "too far"),
        (lambda q, c, t: symmetric_table(q, np.full(16, 16, np.uint8)), "names no word"),
        (lambda q, c, t: symmetric_table(q, np.zeros(15, np.uint8)), r"\(n, 16\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(act: Any, says: str) -> None:
    quantiser = quantiser_of(1)
    codes = quantiser.pack(codes_of(2, 10, quantiser))
    table = asymmetric_table(quantiser, np.zeros(32))
    with pytest.raises(KinpackError, match=says) as caught:
        act(quantiser, codes, table)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, (SearchError, CodecError))


@pytest.mark.parametrize("K", [9, 200])
def test_codes_that_name_no_word_are_refused(K: int) -> None:
    quantiser = quantiser_of(1, 4, K)
    codes = np.full((3, quantiser.code_bytes), 0xF0, np.uint8)
    with pytest.raises(SearchError, match="verify"):
        top_k(codes, asymmetric_table(quantiser, np.zeros(8)), 1, engine="numpy")


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 35))
def test_nearest_is_a_prefix_of_the_order(steps: list[int], k: int) -> None:
    positions = np.arange(len(steps), dtype=np.int64) * 3
    kept = nearest(np.array(steps, np.int32), positions, k)
    assert list(kept[1]) == sorted(kept[1])
    got = ranked(*kept)
    expected = sorted(zip(steps, positions.tolist(), strict=True))[:k]
    assert list(zip(got[0].tolist(), got[1].tolist(), strict=True)) == expected


def test_packed_codes_may_be_read_only_or_strided() -> None:
    quantiser = quantiser_of(1)
    indices = codes_of(2, 40_000, quantiser)
    table = asymmetric_table(quantiser, np.zeros(32))
    packed = quantiser.pack(indices)
    packed.flags.writeable = False
    wide = np.zeros((40_000, 11), np.uint8)
    wide[:, 2:10] = packed
    for engine in engines():
        a, b = (top_k(codes, table, 20, engine=engine) for codes in (packed, wide[:, 2:10]))
        assert np.array_equal(a[0], b[0])
    assert np.array_equal(quantiser.unpack(wide[:, 2:10]), indices)


def test_ten_thousand_codes_take_under_ten_milliseconds() -> None:
    quantiser = quantiser_of(1)
    index = Index(quantiser.pack(codes_of(2, 10_000, quantiser)), quantiser)
    query = np.zeros(32)
    best = 1.0
    for _ in range(5):
        started = time.process_time()
        index.search(query, 10, engine="numpy")
        best = min(best, time.process_time() - started)
    assert best < 0.010


def test_searching_imports_no_faiss_unasked() -> None:
    program = (
        "import sys, numpy as np\n"
        "from kinpack.describers.product_code import ProductQuantiser\n"
        "from kinpack.search.index import Index\n"
        "q = ProductQuantiser(np.zeros((16, 16, 2), np.float32))\n"
        "Index(np.zeros((9, 8), np.uint8), q).search(np.ones(32), 3)\n"
        "assert not {'faiss', 'torch', 'pyarrow', 'scipy', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
