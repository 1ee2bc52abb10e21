"""Columns of codes that come and go: made of what an archive holds, or of vectors given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.fake_codec import FakeSource, pictures
from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError, CodecError, KinpackError, NotFoundError
from kinpack.search.distances.distance import SearchError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened
from tests.describer_checks import by_id, soft


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


def codes_in(archive: Archive, name: str) -> list[bytes]:
    return [code.tobytes() for code in archive.codes_of(name)[0]]


def test_codes_are_added_in_one_commit_and_nothing_else_changes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(10))
    before = hashes(path)
    done: list[int] = []
    with reopened(path) as archive:
        archive.remove(["set/00003"])
        report = archive.embed(tiny_describer(), progress=done.append)
        assert (report.name, report.coded, report.images) == ("tiny", 9, 9)
        assert sum(done) == 9
        assert archive.manifest.number == 3
        images = [by_id(soft(10))[name] for name in archive.ids]
        assert codes_in(archive, "tiny") == packed_codes(tiny_describer(), images)
        query = soft_picture(5)
        assert archive.search(query, 3, compare=0) == archive.search(
            query, 3, compare=0, codes="tiny"
        )
    after = hashes(path)
    assert {name: after[name] for name in before} == before
    assert verify(path).ok
    wanted = {name: one for name, one in expected(soft(10)).items() if name != "set/00003"}
    assert content(path) == wanted
    with reopened(path, at=2) as old, pytest.raises(SearchError, match="kinpack embed"):
        old.search(soft_picture(5))


def test_without_arguments_it_completes_the_usual_codes_whatever_they_are_called(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "a.kin", soft(3))
    with reopened(path) as archive:
        archive.embed(tiny_describer(), name="form")
        assert archive.embed().name == "form"
        assert list(archive.describers) == ["form"]


def test_one_describer_may_make_the_codes_of_two_columns(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(3))
    with reopened(path) as archive:
        for name in ("one", "two"):
            archive.embed(tiny_describer(), name=name)
        seal(archive, tmp_path / "a.zip")
        copy(archive, tmp_path / "b.kin")
        archive.remove_codes("one")
        assert archive.search(soft_picture(1), 1, codes="two")[0].id == "set/00001"
    for made in ("a.zip", "b.kin"):
        assert verify(tmp_path / made).ok
        with reopened(tmp_path / made) as archive:
            assert codes_in(archive, "one") == codes_in(archive, "two")


def test_what_is_added_later_gets_the_codes_and_the_rest_is_completed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(6))
    with reopened(path) as stale, reopened(path) as archive:
        archive.embed(tiny_describer())
        stale.add(soft(2, first=6))  # it takes up the newest revision first
        assert stale.embed().coded == 0
        assert len(codes_in(stale, "tiny")) == 8
        number = stale.manifest.number
        assert stale.embed(tiny_describer()).images == 8
        assert stale.manifest.number == number


def test_a_column_is_replaced_and_removed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(9), describer="classic")
    with reopened(path) as archive:
        archive.embed(tiny_describer(), name="form")
        assert list(archive.describers) == ["classic", "form"]
        before = codes_in(archive, "form")
        archive.embed("classic", name="form")
        assert codes_in(archive, "form") == codes_in(archive, "classic") != before
        archive.remove_codes("classic")
        assert list(archive.describers) == ["form"]
        with pytest.raises(SearchError, match="of others form"):
            archive.remove_codes("classic")
        archive.gc(min_age=0)
        left = {file.name.split(".")[1] for file in path.glob("codes/*")}
        assert left == {"form"}
        assert len(list(path.glob("describers/*"))) == 1
        archive.remove_codes("form")
        archive.gc(min_age=0)
    assert not list(path.glob("codes/*"))
    assert not list(path.glob("describers/*"))
    assert content(path) == expected(soft(9))


@pytest.mark.parametrize("name", ["", "A", "auto", "a b", "../x", "x" * 33, "-x", "ü"])
def test_names_that_no_file_may_have_are_refused(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "a.kin", soft(2))
    before = hashes(path)
    with reopened(path) as archive, pytest.raises(ArchiveError, match="no name of a column"):
        archive.embed_vectors({i: [1.0, 2.0] for i in archive.ids}, name=name)
    assert hashes(path) == before


def test_given_vectors_find_by_id_and_by_vector(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = make(tmp_path / "a.kin", pictures(40), describer="classic")
    with reopened(path) as archive:
        vectors = {name: rng.normal(size=96) for name in archive.ids}
        report = archive.embed_vectors(vectors, name="model", note="of a test")
        assert (report.coded, report.images) == (40, 40)
        for name in archive.ids[::7]:
            assert archive.search(name, 1, codes="model")[0].id == name
            hits = archive.search(vector=vectors[name], k=3, codes="model")
            assert hits[0].id == name
            # A weaker copy of it still points there.
            near = vectors[name] + 0.1 * rng.normal(size=96)
            assert archive.search(vector=near, k=1, codes="model")[0].id == name
        with pytest.raises(CodecError, match="which are of 96"):
            archive.search(vector=np.zeros(95), codes="model")
        with pytest.raises(CodecError, match="describes no pictures"):
            archive.search(soft_picture(1), codes="model")
        archive.add(pictures(2, first=40))
        assert len(codes_in(archive, "model")) == 40
        assert len(codes_in(archive, "classic")) == 42
        with pytest.raises(NotFoundError, match="has no code 'model' yet"):
            archive.search("set/00041", codes="model")
        assert "set/00041" not in [hit.id for hit in archive.search("set/00001", 99, codes="model")]
        with pytest.raises(ArchiveError, match="no vector of image 'set/00040'"):
            archive.embed_vectors(vectors, name="model")
        more = vectors | {name: rng.normal(size=96) for name in archive.ids[40:]}
        assert archive.embed_vectors(more, name="model").images == 42
        assert archive.info()["describers"]["model"]["images"] == 42
    assert verify(path).ok


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "by a query"),
        ({"query": "set/00001", "vector": [1.0]}, "by a query"),
        ({"vector": "text"}, "no list of numbers"),
        ({"vector": [[1.0] * 8]}, "of shape"),
        ({"vector": [float("nan")] * 8}, "finite"),
        ({"vector": [0.0] * 8, "compare": 3}, "no picture"),
    ],
)
def test_searches_that_make_no_sense_are_refused(
    tmp_path: Path, asked: dict[str, object], said: str
) -> None:
    with reopened(make(tmp_path / "a.kin", soft(3), describer="classic")) as archive:
        with pytest.raises(KinpackError, match=said) as refused:
            archive.search(**asked)  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)


def test_vectors_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(3))
    before = hashes(path)
    with reopened(path) as archive:
        ids = archive.ids
        for vectors in (
            {},
            {ids[0]: [1.0, 2.0], ids[1]: [1.0], ids[2]: [0.0, 0.0]},
            {name: [1.0, float("inf")] for name in ids},
            {name: [[1.0], [2.0]] for name in ids},
        ):
            with pytest.raises(KinpackError):
                archive.embed_vectors(vectors, name="model")  # type: ignore[arg-type]
        with pytest.raises(KinpackError):
            archive.embed()
    assert hashes(path) == before


def test_columns_follow_their_images(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(9), describer="classic")
    other = make(tmp_path / "b.kin", soft(5, first=9), describer="classic")
    for one in (path, other):
        with reopened(one) as archive:
            archive.embed(tiny_describer())
    with reopened(path) as archive, reopened(other) as more:
        copy(archive, tmp_path / "copy.kin")
        merge([archive, more], tmp_path / "both.kin")
        archive.remove(["set/00002"])
        seal(archive, tmp_path / "a.kin.zip")
        archive.compact()
        wanted = codes_in(archive, "tiny"), codes_in(archive, "classic")
        hits = archive.search("set/00004", 5, codes="tiny")
    with reopened(tmp_path / "a.kin.zip") as sealed:
        assert (codes_in(sealed, "tiny"), codes_in(sealed, "classic")) == wanted
        assert sealed.search("set/00004", 5, codes="tiny") == hits
    with reopened(tmp_path / "both.kin") as archive:
        images = [by_id(soft(14))[name] for name in archive.ids]
        assert codes_in(archive, "tiny") == packed_codes(tiny_describer(), images)
        classic = packed_codes(Describer.load("classic"), images)
        assert codes_in(archive, "classic") == classic
    for name in ("copy.kin", "both.kin", "a.kin.zip", "a.kin"):
        assert verify(tmp_path / name).ok


def test_many_commits_after_a_column_build_on_whole_manifests(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", FakeSource([]))
    with reopened(path) as archive:
        for n in range(6):
            archive.add(soft(1, first=n))
        archive.embed(tiny_describer())
        assert archive.manifest.base is None
        for n in range(6, 12):
            archive.add(soft(1, first=n))
        archive.remove_codes("tiny")
        archive.add(soft(1, first=12))
    with Archive.open(path, codec=CODEC) as archive:
        assert len(archive) == 13
        assert archive.describers == {}
    for number in (8, 13):
        with reopened(path, at=number) as archive:
            assert len(codes_in(archive, "tiny")) == len(archive)


def test_a_placeholder_is_drawn_of_the_code_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(4), describer="classic")
    with reopened(path) as archive:
        archive.embed("look")
        packed, positions = archive.codes_of("look")
        describer = Describer.load("look")
        drawn = describer.placeholder(describer.quantiser.unpack(packed))
        for row, position in enumerate(positions.tolist()):
            name = archive.ids[position]
            assert (archive.placeholder(name, codes="look") == drawn[row]).all()
        with pytest.raises(CodecError, match="draws no placeholders"):
            archive.placeholder(archive.ids[0])
        with pytest.raises(NotFoundError):
            archive.placeholder("nobody", codes="look")
        archive.add(pictures(1, first=4))
        assert archive.placeholder("set/00004", codes="look").shape == (16, 16, 3)


def test_the_next_writer_removes_a_describer_that_no_revision_names(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", soft(3))
    with reopened(path) as archive:
        archive.embed(tiny_describer())
    left = path / "describers" / f"{'a' * 64}.kine"
    left.write_bytes(b"of a writer that was killed")
    with reopened(path) as archive:
        archive.add(soft(1, first=8))
    assert not left.exists()
    assert len([*path.glob("describers/*.kine")]) == 1
    assert verify(path).ok


def test_a_commit_whose_describer_was_taken_away_meanwhile_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin", soft(3))
    with reopened(path) as archive:
        create = archive.store.create

        def taken_away(name: str, data: bytes) -> bool:
            created = create(name, data)
            if name.startswith("describers/"):
                (path / name).unlink()  # by somebody who took this writer for dead
            return created

        monkeypatch.setattr(archive.store, "create", taken_away)
        with pytest.raises(ArchiveError, match="the commit was undone, try again"):
            archive.embed(tiny_describer())
    assert verify(path).ok
    with reopened(path) as archive:
        assert not archive.manifest.describers
        assert archive.embed(tiny_describer()).coded == 3
