"""Queries: whatever is asked, an archive answers it as plain loops over all of its images would."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import kinpack
from fakes.fake_codec import FakeSource
from fakes.tiny_describer import colour_describer, colour_parts
from kinpack import Hit, Query
from kinpack.archive.archive import Archive
from kinpack.archive.segments import segment_stream
from kinpack.describers.describer import Describer
from kinpack.errors import CodecError, KinpackError, NotFoundError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.search.distances.distance import SearchError
from kinpack.search.engines.engine import Registration
from kinpack.search.engines.numpy_scan import NumpyScan
from kinpack.search.engines.packed_codes import PackedCodes
from kinpack.search.engines.table import ENGINES
from kinpack.search.scale import strangers_apart
from tests.archive_checks import CODEC, reopened

IMAGES = 90
LABELS = (None, "red", "green", "ärgerlich")


def corner_describer() -> Describer:
    """The colours of four quarters, looked for in all turns; words are of whole numbers."""
    words = np.arange(0, 256, 17, dtype=np.float32)
    linear = {"side": 2, "contrast_floor": None, "unit_length": False}
    header = {"name": "corner", "version": 1, "side": 2, "descriptor": linear, "turned": True}
    arrays: dict[str, NDArray[Any]] = {
        "codebooks": np.broadcast_to(words[:, None], (12, 16, 1)).copy(),
        "descriptor_matrix": np.eye(12, dtype=np.int8),
        "descriptor_scale": np.ones(12, np.float32),
        "descriptor_offset": np.zeros(12, np.float32),
    }
    return Describer.from_container(Container(header, {}, arrays, kind=DESCRIBER_FILE))


def coarse_describer() -> Describer:
    """The mean colour in two steps each, so that many images have one code."""
    header, arrays = colour_parts()
    books = np.tile(np.array([64, 192], np.float32)[:, None], (3, 1, 1))
    parts = {**arrays, "codebooks": books}
    return Describer.from_container(
        Container({**header, "name": "coarse"}, {}, parts, kind=DESCRIBER_FILE)
    )


def quarters(seed: int) -> NDArray[np.uint8]:
    """A picture of four plain quarters, whose sums and means are exact in floating point."""
    rng = np.random.default_rng([seed, 3])
    colours = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    height, width = rng.integers(1, 5, 2)
    picture: NDArray[np.uint8] = colours.repeat(height, 0).repeat(width, 1)
    return picture


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Three columns of which one lacks some images, several segments, some images deleted."""
    path = tmp_path_factory.mktemp("asked") / "a.kin"
    columns = {"coarse": coarse_describer(), "colour": colour_describer()}
    images = [
        (f"{'ab'[n % 2]}/{n:03}", LABELS[n % len(LABELS)], quarters(n % 70)) for n in range(IMAGES)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_stream, "ROWS", 25)
        with Archive.create(path, CODEC, describer=columns) as made:
            made.add(FakeSource(images[:60]))
            made.embed(corner_describer())
            rng = np.random.default_rng(0)
            vectors = {name: rng.integers(0, 9, 8) for name, _, _ in images[:60]}
            made.embed_vectors(vectors, name="mine")
            made.add(FakeSource(images[60:]))
            made.remove([images[n][0] for n in (3, 24, 25, 61, 89)])
    with reopened(path) as opened:
        yield opened


class Loops:
    """An archive's answers, by plain loops over its images."""

    def __init__(self, archive: Archive) -> None:
        self.entries = list(archive.entries())
        self.describers = archive.describers
        self.codes: dict[str, dict[int, list[float]]] = {}
        self.apart: dict[str, float] = {}
        for name, describer in self.describers.items():
            packed, positions = archive.codes_of(name)
            words = describer.searched.decode(describer.quantiser.unpack(packed))
            self.codes[name] = {
                at: [float(number) for number in word]
                for at, word in zip(positions.tolist(), words, strict=True)
            }
            self.apart[name] = strangers_apart(
                PackedCodes([packed], packed.shape[1]), describer.searched
            )

    def position(self, name: str) -> int:
        return [entry.id for entry in self.entries].index(name)

    def poses(self, example: NDArray[np.uint8] | str, name: str, mode: str) -> list[list[float]]:
        describer = self.describers[name]
        if isinstance(example, str):
            return [self.codes[name][self.position(example)]]
        faces = [example]
        if describer.turned:
            faces = [np.rot90(face, k) for face in (example, example[:, ::-1]) for k in range(4)]
        vectors = describer.describe([np.ascontiguousarray(face) for face in faces])
        if mode == "symmetric":
            vectors = describer.quantiser.decode(describer.quantiser.encode(vectors))
        return [[float(number) for number in vector] for vector in vectors]

    def far(self, poses: list[list[float]], code: list[float]) -> float:
        found = []
        for number, pose in enumerate(poses):
            total = 0.0
            for a, b in zip(pose, code, strict=True):
                total += (a - b) ** 2
            found.append(total * (1.25 if number else 1))
        return min(found)

    def passes(self, entry: Any, query: Query) -> bool:
        return (
            (query.labels is None or entry.label in query.labels)
            and (query.id_prefix is None or entry.id.startswith(query.id_prefix))
            and (query.min_width is None or entry.width >= query.min_width)
            and (query.max_width is None or entry.width <= query.max_width)
            and (query.min_height is None or entry.height >= query.min_height)
            and (query.max_height is None or entry.height <= query.max_height)
        )

    def answer(self, query: Query) -> list[tuple[str, float]] | None:
        """Ids and distances, ``None`` where no image passes the filters."""
        several = isinstance(query.codes, dict)
        weights = query.codes if isinstance(query.codes, dict) else {str(query.codes): 1.0}
        factors = {
            name: weight / self.apart[name] if several else weight
            for name, weight in weights.items()
        }
        if not any(self.passes(entry, query) for entry in self.entries):
            return None
        poses = {
            (name, sort, number): self.poses(example, name, query.mode)
            for name in weights
            for sort, examples in (("like", query.liked), ("unlike", query.unliked))
            for number, example in enumerate(examples)
        }
        found = []
        for position, entry in enumerate(self.entries):
            if not self.passes(entry, query):
                continue
            if any(position not in self.codes[name] for name in weights):
                continue
            total = 0.0
            for name, factor in factors.items():
                code = self.codes[name][position]
                liked = [
                    self.far(poses[name, "like", number], code)
                    for number in range(len(query.liked))
                ]
                distance = liked[0]
                for more in liked[1:]:
                    distance += more
                distance /= len(liked)
                near = [
                    max(0.0, self.apart[name] - self.far(poses[name, "unlike", number], code))
                    for number in range(len(query.unliked))
                ]
                if near:
                    distance += 0.25 * (sum(near) / len(near))
                total += factor * distance
            found.append((total, position))
        found.sort()
        if not several and len(query.liked) == 1 and not query.unliked:
            (asked,) = query.liked
            if isinstance(asked, str):  # the image itself before those of its code
                own = self.position(asked)
                found.sort(key=lambda one: one[1] != own)
        if query.within is not None:
            found = [one for one in found if np.float32(one[0]) <= query.within]
        if query.distinct:
            found = self.distinct(found, factors)
        page = found[int(query.offset) : int(query.offset) + int(query.k)]
        return [(self.entries[at].id, float(np.float32(total))) for total, at in page]

    def distinct(
        self, found: list[tuple[float, int]], factors: dict[str, float]
    ) -> list[tuple[float, int]]:
        kept: list[tuple[float, int]] = []
        limit = 0.0
        for name, factor in factors.items():
            limit += 0.1 * self.apart[name] * factor
        for one in found:
            for _, other in kept:
                apart = 0.0
                for name, factor in factors.items():
                    apart += factor * self.far([self.codes[name][one[1]]], self.codes[name][other])
                if apart <= limit:
                    break
            else:
                kept.append(one)
        return kept


@pytest.fixture(scope="module")
def loops(archive: Archive) -> Loops:
    return Loops(archive)


COLUMNS = ("coarse", "colour", "corner")
ENGINE = st.sampled_from(["auto", "numpy", *(["faiss"] if find_spec("faiss") else [])])
EXAMPLE = st.one_of(
    st.integers(0, 99).map(quarters),
    st.sampled_from(["a/000", "b/001", "a/044", "b/059"]),
)
SIDE = st.none() | st.integers(1, 8)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Any question of the archive that makes sense, whether anything passes or not."""
    bounds: dict[str, Any] = {}
    for side in ("width", "height"):
        least, most = draw(SIDE), draw(SIDE)
        if least is None or most is None or least <= most:
            bounds |= {f"min_{side}": least, f"max_{side}": most}
    codes = draw(
        st.sampled_from(COLUMNS)
        | st.dictionaries(
            st.sampled_from(COLUMNS), st.sampled_from([0.25, 1.0, 1.7, 3.0]), min_size=1
        )
    )
    return Query(
        like=draw(st.lists(EXAMPLE, min_size=1, max_size=3)),
        unlike=draw(st.lists(EXAMPLE, max_size=2)),
        labels=draw(
            st.none() | st.sets(st.sampled_from(["red", "green", "ärgerlich", "no"]), min_size=1)
        ),
        id_prefix=draw(st.sampled_from([None, None, "a", "a/0", "b/01", ""])),
        within=draw(st.none() | st.sampled_from([0.0, 0.5, 2.0, 5_000.0, 20_000.0, math.inf])),
        k=draw(st.integers(1, 30) | st.just(200)),
        offset=draw(st.integers(0, 40)),
        distinct=draw(st.booleans()),
        codes=codes,
        mode=draw(st.sampled_from(["asymmetric", "symmetric"])),
        compare=None if draw(st.booleans()) else 0,
        **bounds,
    )


def told(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.distance) for hit in hits]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(query=queries(), engine=ENGINE)
def test_every_query_is_answered_as_by_loops(
    archive: Archive, loops: Loops, query: Query, engine: str
) -> None:
    if query.compare is None and isinstance(query.single, np.ndarray):
        query = Query(like=query.like, codes=query.codes, k=query.k, compare=0)
    wanted = loops.answer(query)
    if wanted is None:
        with pytest.raises(SearchError, match="no image"):
            archive.search(query, engine=engine)
        return
    hits = archive.search(query, engine=engine)
    assert told(hits) == wanted
    for hit in hits:
        entry = loops.entries[hit.position]
        assert (hit.id, hit.label, hit.compared) == (entry.id, entry.label, False)
        assert 0 <= hit.similarity <= 1
    for near, far in itertools.pairwise(hits):
        assert near.similarity >= far.similarity
        assert near.distance <= far.distance


@pytest.mark.parametrize("codes", ["mine", {"mine": 2}, {"mine": 1, "colour": 1}])
def test_images_that_lack_a_code_are_not_found(archive: Archive, loops: Loops, codes: Any) -> None:
    hits = archive.search(["a/040", "b/051"], 200, codes=codes)
    there = set(archive.codes_of("mine")[1].tolist())
    assert 0 < len(there) < len(archive)
    assert {hit.position for hit in hits} == there
    with pytest.raises(NotFoundError, match="has no code 'mine'"):
        archive.search("a/064", codes=codes)
    assert archive.search("a/040", codes=codes, labels=LABELS[1:])
    wanted = dict(loops.answer(Query(like=["a/040", "b/051"], k=200, codes=codes)) or [])
    assert {hit.id: hit.distance for hit in hits} == pytest.approx(wanted, rel=1e-5)


def test_an_example_alone_is_what_it_is_among_others_of_its_own(archive: Archive) -> None:
    picture = quarters(7)
    once = archive.search(picture, 20, codes="corner", compare=0)
    assert told(archive.search([picture], 20, codes="corner", compare=0)) == told(once)
    twice = archive.search([picture, picture], 20, codes="corner")
    assert told(twice) == told(once)


def test_what_is_unliked_goes_away(archive: Archive) -> None:
    picture = quarters(5)
    before = [hit.id for hit in archive.search(picture, 90, codes="colour", compare=0)]
    moved = []
    for place, unlike in enumerate(before[:20]):
        after = [hit.id for hit in archive.search(picture, 90, codes="colour", unlike=unlike)]
        assert sorted(after) == sorted(before)
        moved.append(after.index(unlike) - place)
    assert min(moved) >= 0
    assert max(moved) > 2


def test_a_query_is_given_whole_or_by_its_fields(archive: Archive) -> None:
    by_fields = archive.search("a/000", 4, labels="red", offset=1, codes="colour")
    query = Query(like="a/000", k=4, labels=["red"], offset=1, codes="colour")
    assert archive.search(query) == by_fields
    assert archive.search(k=4, like="a/000", labels="red", offset=1, codes="colour") == by_fields
    assert len(by_fields) == 4
    with pytest.raises(AttributeError):
        query.k = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        Query("a/000")  # type: ignore[call-arg]
    assert Query(like="x").labels is None
    assert kinpack.Query is Query


def test_a_distance_found_is_within_itself(archive: Archive) -> None:
    whole = archive.search(quarters(11), 90, codes="corner", compare=0)
    for at in (0, 5, 40):
        cut = archive.search(quarters(11), 90, codes="corner", compare=0, within=whole[at].distance)
        assert cut == [hit for hit in whole if hit.distance <= whole[at].distance]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, "k is 0; it is a whole number, 1 or more"),
        ({"k": 2.5}, "whole number"),
        ({"offset": -1}, "offset is -1; it is a whole number, 0 or more"),
        ({"within": math.nan}, "within is nan"),
        ({"within": "near"}, "a distance"),
        ({"labels": []}, "labels is empty"),
        ({"labels": 3}, "a label"),
        ({"labels": ["red", None]}, "a label"),
        (
            {"labels": "blue"},
            "no image has the label 'blue'; there are 'green', 'red', 'ärgerlich'",
        ),
        ({"labels": "red", "id_prefix": "zz"}, "no image passes labels=.*id_prefix='zz'"),
        ({"id_prefix": "\udc80"}, "no image passes"),
        ({"labels": "\udc80"}, "no image has the label"),
        ({"id_prefix": 7}, "a text"),
        ({"min_width": 0}, "1 or more"),
        ({"min_width": 9, "max_width": 3}, "min_width is 9, above max_width, which is 3"),
        ({"min_height": 9_999}, "no image passes min_height=9999"),
        ({"codes": "best"}, "no codes 'best', of others coarse, colour"),
        ({"codes": {"best": 1}}, "no codes 'best'"),
        ({"codes": {}}, "the name of some"),
        ({"codes": {"colour": -1}}, "a number above 0"),
        ({"codes": {"colour": math.nan}}, "a number above 0"),
        ({"codes": "colour:x"}, "NAME:WEIGHT"),
        ({"codes": "colour:1,colour:2"}, "twice"),
        ({"codes": "colour:inf"}, "a number above 0"),
        ({"mode": "best"}, "no mode 'best'"),
        ({"unlike": "nobody"}, "no image 'nobody'"),
        ({"unlike": 5}, "path of a picture"),
        ({"label": "red"}, "label is not known; give one of like, unlike"),
        ({"like": "b/001"}, "and like too"),
        ({"engine": "fast"}, "no engine"),
        ({"engine": "fast", "unlike": "b/001"}, "no engine"),
        ({"distinct": "yes"}, "distinct is 'yes'; it is True or False"),
        ({"compare": 4, "unlike": "b/001"}, "several examples are not one picture"),
    ],
)
def test_wrong_questions_are_refused_in_one_line(
    archive: Archive, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(KinpackError, match=said) as caught:
        archive.search("a/000", **asked)
    assert "\n" not in str(caught.value)


def test_questions_without_a_liked_example_are_refused(archive: Archive) -> None:
    with pytest.raises(SearchError, match="give one of them"):
        archive.search(unlike="a/000")
    with pytest.raises(SearchError, match="goes with examples"):
        archive.search(vector=[0.0] * 3, unlike="a/000", codes="colour")
    with pytest.raises(SearchError, match="name one"):
        archive.search(vector=[0.0] * 3, codes="colour:1,coarse:1")
    with pytest.raises(CodecError, match="do not fit"):
        archive.search(vector=[0.0] * 4, codes="colour")
    with pytest.raises(SearchError, match="k too; say all of it in the Query"):
        archive.search(Query(like="a/000"), 3)


def test_a_vector_may_be_asked_with_a_weight(archive: Archive, loops: Loops) -> None:
    plain = archive.search(vector=[10, 20, 30], codes="colour", k=5)
    weighed = archive.search(vector=[10, 20, 30], codes={"colour": 2.0}, k=5)
    assert [hit.id for hit in weighed] == [hit.id for hit in plain]
    for one, other in zip(plain, weighed, strict=True):
        assert other.distance == pytest.approx(2 * one.distance / loops.apart["colour"])
        assert other.similarity == one.similarity


class _Paused:
    """An engine that scans as numpy does, once it is let go on."""

    started, go_on = threading.Event(), threading.Event()

    def __init__(self, codes: PackedCodes, quantiser: Any) -> None:
        self._numpy = NumpyScan(codes, quantiser)

    def search(self, *arguments: Any, **options: Any) -> Any:
        self.started.set()
        assert self.go_on.wait(60)
        return self._numpy.search(*arguments, **options)


def test_a_search_ends_while_another_is_in_the_midst_of_a_scan(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "paused", Registration(build=_Paused, from_codes=1 << 40))
    found: list[list[Hit]] = []
    with reopened(archive.path) as opened:
        slow = threading.Thread(
            target=lambda: found.append(opened.search("a/000", 5, engine="paused", codes="colour"))
        )
        slow.start()
        try:
            assert _Paused.started.wait(60)
            quick: list[list[Hit]] = []
            other = threading.Thread(
                target=lambda: quick.append(
                    opened.search("a/000", 5, engine="numpy", codes="colour")
                )
            )
            other.start()
            other.join(60)
            assert quick
            assert not found
        finally:
            _Paused.go_on.set()
            slow.join(60)
    assert found == quick


def test_threads_find_what_one_finds(archive: Archive) -> None:
    columns: list[str | dict[str, float]] = ["corner", "colour", {"coarse": 1, "corner": 2}]
    asked = [
        Query(
            like=quarters(seed),
            codes=codes,
            labels=label,
            k=5,
            distinct=seed % 2 == 0,
            compare=0 if seed else 2,
        )
        for seed, codes, label in itertools.product(range(4), columns, (None, "red"))
    ]
    wanted = [archive.search(query) for query in asked]
    for engine in ("auto", "numpy"):
        assert archive.search_many(asked, engine=engine) == wanted
    assert archive.search_many(iter(["a/000", "b/001"]), 3) == [
        archive.search("a/000", 3),
        archive.search("b/001", 3),
    ]
    assert archive.search_many([]) == []
    for wrong in ("a/000", asked[0], 5):
        with pytest.raises(SearchError, match="list of queries"):
            archive.search_many(wrong)  # type: ignore[arg-type]
    with reopened(archive.path) as opened, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened.search, asked * 3)) == wanted * 3


def test_entries_are_given_in_the_order_that_is_asked_for(archive: Archive) -> None:
    asked = [50, 3, 84, 3, 0, 26, 24]
    entries = archive._snapshot.entries_at(asked)
    everything = list(archive.entries())
    assert entries == [everything[at] for at in asked]
    assert archive._snapshot.entries_at([]) == []
    told = archive._snapshot.told_at(np.array(asked))
    assert list(told) == ["id", "label"]
    assert told["id"] == [entry.id for entry in entries]
    assert told["label"] == [entry.label for entry in entries]
    pixels = archive._snapshot.pixels_at(np.array(asked))
    assert pixels.tolist() == [entry.width * entry.height for entry in entries]
    none = np.zeros(0, np.int64)
    assert archive._snapshot.told_at(none) == {"id": [], "label": []}
    assert archive._snapshot.pixels_at(none).tolist() == []


def test_strangers_are_apart_even_where_all_are_the_same() -> None:
    quantiser = colour_describer().quantiser
    same = np.zeros((50, quantiser.code_bytes), np.uint8)
    assert strangers_apart(PackedCodes([same], same.shape[1]), quantiser) > 0
    assert strangers_apart(PackedCodes([same[:1]], same[:1].shape[1]), quantiser) > 0
    assert strangers_apart(PackedCodes([same[:0]], same[:0].shape[1]), quantiser) > 0
    some = quantiser.pack(np.random.default_rng(1).integers(0, 16, (400, 3)).astype(np.uint8))
    words = quantiser.decode(quantiser.unpack(some)).astype(float)
    every = [((a - b) ** 2).sum() for a, b in itertools.combinations(words, 2)]
    assert strangers_apart(PackedCodes([some], some.shape[1]), quantiser) == pytest.approx(
        np.median(every), rel=0.1
    )
    assert strangers_apart(PackedCodes([some], some.shape[1]), quantiser) == strangers_apart(
        PackedCodes([some], some.shape[1]), quantiser
    )
