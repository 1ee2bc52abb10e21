"""Pages of hits, thresholds and distinct hits, where longer codes and pictures order anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeSource
from kinpack import Archive, Hit
from kinpack.archive.searching.finer import ORDERED_ANEW
from kinpack.search.comparison.comparison import SAME
from kinpack.search.distances.distance import SearchError
from tests.archive_checks import CODEC, reopened
from tests.test_comparison import clouds
from tests.test_finer_codes import coarse_describer, coloured, plain

ASKED: list[dict[str, Any]] = [
    {"query": plain(10, 20, 30), "compare": 0},
    {"query": plain(10, 20, 30)},
    {"query": plain(200, 90, 5), "compare": 13},
    {"query": plain(200, 90, 5), "labels": "even"},
    {"query": "c/0003"},
    {"query": "c/0003", "compare": 4},
    {"query": "c/0003", "within": 9_000.0},
    {"query": plain(60, 60, 60), "distinct": True, "compare": 0},
    {"query": plain(60, 60, 60), "distinct": True, "within": 20_000.0, "labels": "odd"},
    {"query": ["c/0003", plain(9, 99, 9)], "unlike": "c/0009"},
    {"query": ["c/0003", plain(9, 99, 9)], "codes": "coarse:1,coarse-fine:2", "distinct": True},
    {"vector": [1.0, 2.0, 3.0], "distinct": True},
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    path = tmp_path_factory.mktemp("paged") / "a.kin"
    coarse = coarse_describer()
    images: list[tuple[str, str | None, Any]] = [
        (name, ("even", "odd")[n % 2], image)
        for n, (name, _, image) in enumerate(coloured(180, seed=2).images)
    ]
    columns = {"coarse": coarse, "coarse-fine": coarse.finer()}
    with Archive.create(path, CODEC, describer=columns) as made:
        made.add(FakeSource(images))
    with reopened(path) as opened:
        yield opened


@pytest.mark.parametrize("asked", ASKED, ids=range(len(ASKED)))
def test_pages_laid_together_are_the_whole(archive: Archive, asked: dict[str, Any]) -> None:
    whole = archive.search(k=500, **asked)
    assert whole
    assert len({hit.id for hit in whole}) == len(whole)
    pages: list[Hit] = []
    for offset in range(0, len(whole) + 41, 41):
        pages += archive.search(k=41, offset=offset, **asked)
    assert pages == whole
    assert archive.search(k=1, offset=len(whole), **asked) == []


@pytest.mark.parametrize("query", [plain(10, 20, 30), "c/0003"], ids=["picture", "id"])
def test_what_is_too_far_is_cut_by_the_distance_that_is_told(archive: Archive, query: Any) -> None:
    whole = archive.search(query, 500, compare=0)
    assert len(whole) > ORDERED_ANEW
    for within in (whole[4].distance, 6_000.0, 30_000.0, whole[-1].distance):
        near = [hit for hit in whole if hit.distance <= within]
        assert archive.search(query, 500, compare=0, within=within) == near
        assert archive.search(query, 9, compare=0, within=within) == near[:9]
    with pytest.raises(SearchError, match="0 or more"):
        archive.search(query, 9, within=-1)


def test_of_copies_the_first_alone_is_told(tmp_path: Any) -> None:
    photos = [clouds(seed, height=64, width=48) for seed in range(8)]
    images: list[tuple[str, str | None, Any]] = [
        (f"{seed}/{copy}", None, photo)
        for seed, photo in enumerate(photos)
        for copy in range(5 if seed == 2 else 1 + seed % 2)
    ]
    with Archive.create(tmp_path / "a.kin", CODEC, describer="classic") as made:
        made.add(FakeSource(images))
        for query in (photos[2], "2/3"):
            first = "2/0" if query is photos[2] else "2/3"
            hits = made.search(query, 8, distinct=True)
            assert hits[0].id == first
            assert sorted(hit.id[0] for hit in hits) == list("01234567")
            assert len(made.search(query, 3, distinct=True)) == 3
        assert made.search(photos[2], 1)[0].similarity >= SAME


def test_similarity_says_the_same_for_every_describer(tmp_path: Any) -> None:
    photos = [clouds(seed, height=64, width=48) for seed in range(12)]
    source = FakeSource([(f"{n:02}", None, photo) for n, photo in enumerate(photos)])
    columns = {"look": "look", "classic": "classic"}
    with Archive.create(tmp_path / "a.kin", CODEC, describer=columns) as made:
        made.add(source)
        for codes in ("look", "classic", "look:1,classic:1", "look:9,classic:0.1"):
            for name in ("03", "07"):
                hits = made.search(name, 12, codes=codes)
                assert (hits[0].id, hits[0].similarity) == (name, 1)
                assert all(hit.similarity < SAME for hit in hits[1:])
                assert not any(hit.compared for hit in hits)
                assert np.diff([hit.similarity for hit in hits]).max() <= 0
