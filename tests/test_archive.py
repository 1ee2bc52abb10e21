"""Archives: what was added is there, whole; read, searched and described."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from kinpack.archive.adding.gathering import AddReport
from kinpack.archive.archive import Archive
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.codec.packets.packet import Kind
from kinpack.describers.describer import Describer
from kinpack.errors import ArchiveError, ImageError, NotFoundError
from kinpack.search.distances.distance import SearchError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_what_is_added_is_there(tmp_path: Path, count: int) -> None:
    source = pictures(count)
    done: list[int] = []
    with Archive.create(tmp_path / "a.kin", CODEC, metadata={"size": 6}, describer=None) as archive:
        report = archive.add(source, quality=70, batch=7, progress=done.append)
        assert len(archive) == count
    assert report == AddReport(added=count)
    files = [file for file in (tmp_path / "a.kin").rglob("*.*") if file.suffix != ".kinc"]
    assert (report.images, report.bytes) == (count, sum(file.stat().st_size for file in files))
    assert sum(done) == count
    with reopened(tmp_path / "a.kin") as archive:
        assert archive.ids == [name for name, *_ in source.images]
        assert archive.labels == [label for _, label, _ in source.images]
        assert archive.manifest.metadata == {"size": 6}
        for position, (name, label, image) in enumerate(source.images):
            assert name in archive
            assert archive.position(name) == position
            assert np.array_equal(archive.read(name), image)
            entry = archive.entry(name)
            assert (entry.label, entry.quality, entry.kind) == (label, 70, Kind.WEBP_LOSSLESS)
            assert (entry.height, entry.width, entry.channels) == image.shape
        assert "set/99999" not in archive
    assert content(tmp_path / "a.kin") == expected(source)


def test_the_layout_is_that_of_the_format(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    names = sorted(hashes(path))
    assert len(names) == 3
    assert names[0] == f"codecs/{CODEC.codec_id}.kinc"
    assert names[1] == "manifests/0000000001.json"
    assert names[2].startswith("segments/")
    assert (path / names[0]).read_bytes() == CODEC.to_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.kin"]


@pytest.mark.usefixtures("small_segments")
def test_adding_leaves_all_that_was_there_unchanged(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10))
    before = hashes(path)
    with reopened(path) as archive:
        positions = {name: archive.position(name) for name in archive.ids}
        for first in (10, 15, 16):
            archive.add(pictures(5 if first == 10 else 1, first=first))
        archive.add(FakeSource([]))
        assert archive.manifest.number == 4
        assert {name: archive.position(name) for name in positions} == positions
    after = hashes(path)
    assert {name: after[name] for name in before} == before
    assert len([name for name in after if name.startswith("segments/")]) == 3 + 2 + 1 + 1
    assert content(path) == expected(
        pictures(10), pictures(5, first=10), pictures(1, first=15), pictures(1, first=16)
    )
    with reopened(path, at=2) as archive:
        assert len(archive) == 15
        with pytest.raises(ArchiveError, match="opened at revision 2"):
            archive.add(pictures(1, first=90))


def test_an_empty_archive(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "a.kin", CODEC, describer="classic"):
        pass
    with reopened(tmp_path / "a.kin") as archive:
        assert len(archive) == 0
        assert archive.ids == []
        assert archive.codes_of("classic")[0].shape == (0, 8)
        assert not list(archive.entries())
        assert not list(archive.images())
        assert archive.search(np.zeros((3, 3, 1), np.uint8)) == []
        assert archive.info()["bytes_per_image"] == 0
        assert archive.verify(deep=True).ok
        archive.add(pictures(2))
    assert content(tmp_path / "a.kin") == expected(pictures(2))


def test_a_new_archive_appears_with_its_first_images(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    archive = Archive.create(path, CODEC, describer=None)
    with pytest.raises(ArchiveError, match="unfinished"):
        reopened(path)
    archive.add(pictures(2))
    assert len(reopened(path)) == 2
    archive.add(pictures(2, first=2))
    archive.close()
    assert content(path) == expected(pictures(2), pictures(2, first=2))


class Stop(BaseException):
    """Like Ctrl-C: no error that anybody expects."""


def stopping(count: int) -> Iterator[Any]:
    yield from pictures(count)
    raise Stop


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("stop", [Stop, ImageError])
def test_a_stopped_creation_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    source: Any = (
        stopping(9) if stop is Stop else FakeSource([*pictures(9).images, ("x", None, None)])
    )
    with pytest.raises(stop), Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        archive.add(source, batch=2)
    assert list(tmp_path.iterdir()) == []
    archive = Archive.create(tmp_path / "a.kin", CODEC, describer=None)
    with pytest.raises(ImageError):
        archive.add(FakeSource([("x", None, None)]))
    archive.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_segments")
def test_a_stopped_addition_leaves_the_former_state(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    before = hashes(path)
    with reopened(path) as archive:
        sources: list[tuple[Any, Any]] = [
            (stopping(20), Stop),
            (FakeSource([*pictures(9, first=20).images, ("x", None, None)]), ImageError),
            (FakeSource([*pictures(9, first=20).images, ("set/00000", None, None)]), ArchiveError),
        ]
        for source, error in sources:
            with pytest.raises(error):
                archive.add(
                    source, on_duplicate="error" if error is ArchiveError else "skip", batch=2
                )
            assert hashes(path) == before
        assert len(archive) == 10


def test_where_archives_cannot_be_made(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    (tmp_path / "file").write_text("x")
    (tmp_path / "full" / "letters").mkdir(parents=True)
    for target, text in [
        (path, "this path exists; use kinpack add"),
        (tmp_path / "file", "this path exists"),
        (tmp_path / "full", "this path exists"),
        (tmp_path / "none" / "a.kin", f"{tmp_path / 'none'} is no folder; make it first"),
        (tmp_path / "file" / "a.kin", f"{tmp_path / 'file'} is no folder; make it first"),
        (tmp_path / ("x" * 300), "the name is too long"),
        (Path("/"), "no name for an archive"),
    ]:
        with pytest.raises(ArchiveError, match=text) as caught:
            Archive.create(target, CODEC, describer=None)
        assert "\n" not in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.kin", "file", "full"]


def test_two_creators_of_one_path(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        with pytest.raises(ArchiveError, match="is writing"):
            Archive.create(tmp_path / "a.kin", CODEC, describer=None)
        archive.add(pictures(2))
    assert content(tmp_path / "a.kin") == expected(pictures(2))


def test_a_codec_that_is_not_its_bytes_is_refused(tmp_path: Path) -> None:
    codec = FakeCodec()
    codec.codec_id = "0" * 64
    with pytest.raises(ArchiveError, match="the codec calls itself"):
        Archive.create(tmp_path / "a.kin", codec)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    for path, text in [
        (tmp_path / "none.kin", "there is no such archive; check the path, or make one with"),
        (tmp_path / "file.txt", "is a file, no archive"),
        (tmp_path / "folder", "no kinpack archive: it has no manifests"),
    ]:
        with pytest.raises(ArchiveError, match=text) as caught:
            Archive.open(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path = make(tmp_path / "a.kin")
    with pytest.raises(ArchiveError, match="its codec is"):
        Archive.open(path, codec=FakeCodec(1))
    with pytest.raises(ArchiveError, match="there is no revision 7"):
        Archive.open(path, at=7)


def test_reading_many(tmp_path: Path) -> None:
    source = pictures(20)
    with reopened(make(tmp_path / "a.kin", source)) as archive:
        names = [source.images[number][0] for number in (7, 3, 3, 19)]
        for image, number in zip(archive.read_many(names), (7, 3, 3, 19), strict=True):
            assert np.array_equal(image, source.images[number][2])
        assert archive.read_many([]) == []
        with pytest.raises(NotFoundError, match="it holds no image 'x'"):
            archive.read_many(["x"])


CLASSIC = Describer.load("classic")


def nearest(codes: Any, query: Any, k: int) -> list[tuple[float, int]]:
    """Positions by (distance, position), in plain loops."""
    books = CLASSIC.quantiser.codebooks.astype(np.float64)
    parts = np.asarray(query, np.float64).reshape(16, -1)
    found = []
    for position, code in enumerate(codes):
        distance = sum(float(((parts[m] - books[m, code[m]]) ** 2).sum()) for m in range(16))
        found.append((distance, position))
    return sorted(found)[:k]


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_searching(tmp_path: Path, engine: Any) -> None:
    source = pictures(50)
    quantiser = CLASSIC.quantiser
    with reopened(make(tmp_path / "a.kin", source, describer="classic")) as archive:
        codes = quantiser.unpack(archive.codes_of("classic")[0])
        image = pictures(1, seed=5).images[0][2]
        descriptor = CLASSIC.describe([image])
        quantised = quantiser.decode(quantiser.encode(descriptor))[0]
        stored = quantiser.decode(codes[7:8])[0]
        cases: list[tuple[Any, Any, Any]] = [
            (image, "asymmetric", descriptor[0]),
            (image, "symmetric", quantised),
            ("set/00007", "asymmetric", stored),
            ("set/00007", "symmetric", stored),
        ]
        for query, mode, point in cases:
            hits = archive.search(query, 10, mode=mode, compare=0, engine=engine)
            wanted = nearest(codes, point, 10)
            assert [hit.distance for hit in hits] == pytest.approx([d for d, _ in wanted], rel=1e-5)
            assert [hit.position for hit in hits] == [position for _, position in wanted]
            for hit in hits:
                assert (hit.id, hit.label) == source.images[hit.position][:2]
        assert len(archive.search(image, 1000)) == 50
        archive.add(pictures(1, first=50))
        assert len(archive.search(image, 1000)) == 51
        with pytest.raises(NotFoundError):
            archive.search("nobody")
        with pytest.raises(SearchError, match="there is no mode"):
            archive.search(image, mode="other")


@pytest.mark.usefixtures("small_segments")
def test_info(tmp_path: Path) -> None:
    source = pictures(10)
    path = make(tmp_path / "a.kin", source, quality=55)
    with reopened(path) as archive:
        archive.remove(["set/00001"])
        info = archive.info()
        left = [image for *_, image in source.images[:1] + source.images[2:]]
        on_disk = sum(
            file.stat().st_size for file in path.rglob("*.*") if file.suffix != ".kinc"
        )  # fmt: skip
        payload = sum(entry.length for entry in archive.entries())
        pixels = sum(image.shape[0] * image.shape[1] for image in left)
        assert info["images"] == 9
        assert info["pixels"] == pixels
        assert info["codec_id"] == CODEC.codec_id
        assert info["codec_bytes"] == CODEC.n_bytes
        assert info["bytes_on_disk"] == on_disk
        assert info["payload_bytes"] == payload
        assert info["bytes_per_image"] == on_disk / 9
        assert info["bits_per_pixel"] == 8 * on_disk / pixels
        assert info["container_bytes_per_image"] == (on_disk - payload) / 9
        assert info["kinds"] == {"webp_lossless": 9}
        assert info["qualities"] == {"55": 9}
        assert info["labels"] == 2
        assert (info["segments"], info["deleted"], info["number"]) == (3, 1, 2)


def test_opening_reads_no_payload_and_no_codec(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    for file in path.glob("codecs/*"):
        file.unlink()
    with Archive.open(path) as archive:
        assert len(archive) == 10
        assert archive.packet("set/00004").quality == 60
        with pytest.raises(ArchiveError, match="is missing"):
            archive.read("set/00004")
