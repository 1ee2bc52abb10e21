"""An archive as a sequence of images, as a line of text, in a notebook, and in another process."""

from __future__ import annotations

import base64
import copy
import io
import multiprocessing
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fakes.fake_codec import FakeSource, pictures
from fakes.tiny_describer import GOLDEN
from kinpack import Archive, Codec, Describer, KinpackError
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.errors import NotFoundError
from tests.archive_checks import CODEC, make, reopened

SOURCE = pictures(23)
IMAGES: list[Any] = [image for _, _, image in SOURCE.images]
REAL = np.random.default_rng(3).integers(0, 256, (40, 12, 10, 3), np.uint8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Images in three segments, of which some are deleted."""
    place = tmp_path_factory.mktemp("sequence") / "a.kin"
    make(place, FakeSource(SOURCE.images[:9]))
    with reopened(place) as opened:
        extra = pictures(4, seed=5, first=900)
        opened.add(FakeSource([*extra.images, *SOURCE.images[9:12]]))
        opened.add(FakeSource(SOURCE.images[12:]))
        opened.remove([name for name, _, _ in extra.images])
        yield opened


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a codec that ships, lossless."""
    place = tmp_path_factory.mktemp("real") / "r.kin"
    with Archive.create(place, "classic") as opened:
        opened.add(REAL, quality=100)
    return place


def same(got: Any, expected: Any) -> bool:
    return len(got) == len(expected) and all(map(np.array_equal, got, expected))


def test_positions_are_those_of_a_list(archive: Archive) -> None:
    n = len(archive)
    assert n == len(IMAGES)
    for at in range(-n, n):
        assert np.array_equal(archive[at], IMAGES[at])
    assert np.array_equal(archive[np.int16(-3)], IMAGES[-3])
    assert archive[0].dtype == np.uint8
    assert archive[0].ndim == 3
    for wrong in (n, -n - 1, np.int64(10**12)):
        with pytest.raises(IndexError) as caught:
            archive[wrong]
        assert isinstance(caught.value, KinpackError)


def test_slices_are_lists(archive: Archive) -> None:
    for first in (None, 0, 3, -7, 99):
        for last in (None, 0, 14, -1, 99):
            for step in (None, 1, 4, -1, -5):
                at = slice(first, last, step)
                assert same(archive[at], IMAGES[at])


def test_a_batch_is_decoded_at_once_in_the_order_asked_for(archive: Archive) -> None:
    wanted = [5, 0, 22, -1, 5, 13]
    assert same(archive.__getitems__(wanted), [IMAGES[at] for at in wanted])


def test_iteration_length_and_ids(archive: Archive) -> None:
    assert same(list(archive), IMAGES)
    assert same(list(reversed(archive)), IMAGES[::-1])
    for position, name in enumerate(archive.ids):
        assert name in archive
        assert np.array_equal(archive[name], IMAGES[position])
    assert "set/00900" not in archive
    assert 3 not in archive
    with pytest.raises(NotFoundError):
        archive["set/00900"]


@pytest.mark.parametrize("at", [1.5, None, [0, 1], (0, 1), slice("a", None), slice(0, 9, 0)])
def test_what_is_no_index_is_refused(archive: Archive, at: Any) -> None:
    with pytest.raises(KinpackError, match="position, a slice or an id"):
        archive[at]


def test_a_line_tells_what_it_is(tmp_path: Path, archive: Archive) -> None:
    line = repr(archive)
    assert "\n" not in line
    assert "23 images" in line
    assert f"revision {archive.manifest.number}" in line
    assert str(archive.path) in line
    with Archive.create(tmp_path / "odd\nname.kin", CODEC, describer=None) as unborn:
        assert "0 images" in repr(unborn)
        assert "\n" not in repr(unborn)
    for name in ("default", "classic"):
        codec = Codec.load(name)
        assert name in repr(codec)
        assert codec.codec_id[:8] in repr(codec)
    assert "bytes" in repr(Describer.load(GOLDEN))


def thumbnails(html: str) -> list[PIL.Image.Image]:
    data = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', html)
    return [PIL.Image.open(io.BytesIO(base64.b64decode(one))) for one in data]


def test_a_notebook_shows_the_first_two_dozen(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    read_range = FolderStore.read_range

    def counted(store: FolderStore, name: str, offset: int, length: int) -> bytes:
        read.append(length)
        return read_range(store, name, offset, length)

    with Archive.open(real, codec="classic") as archive:
        monkeypatch.setattr(FolderStore, "read_range", counted)
        html = archive._repr_html_()
        entries = [archive.entry(name) for name in archive.ids]
        index = archive.manifest.segments[0].bytes - archive.manifest.segments[0].index_offset
    assert sum(read) == index + sum(entry.length for entry in entries[:24])
    shown = thumbnails(html)
    assert len(shown) == 24
    assert "16 more" in html
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", html)
    for small, image in zip(shown, REAL, strict=False):
        assert np.abs(np.asarray(small, np.int16) - image).mean() < 12


def test_names_and_errors_cannot_leave_their_place_in_the_page(tmp_path: Path) -> None:
    nasty = '"><script>alert(1)</script>'
    image = np.zeros((5, 300, 3), np.uint8)
    with Archive.create(tmp_path / "<b>.kin", CODEC, describer=None) as archive:
        archive.add(FakeSource([(nasty, nasty, image), ("b", None, image)]))
        html = archive._repr_html_()
        assert "<script" not in html
        assert "<b>" not in html
        assert [small.size for small in thumbnails(html)] == [(96, 2)] * 2
        (segment,) = (tmp_path / "<b>.kin" / "segments").iterdir()
        data = bytearray(segment.read_bytes())
        entry = archive.manifest.segments[0]
        data[entry.index_offset - entry.payload_bytes] ^= 255  # the first image's first byte
        segment.write_bytes(data)
        html = archive._repr_html_()
        assert len(thumbnails(html)) == 1
        assert "checksum" in html
        assert "<script" not in html


def test_large_images_are_not_decoded_by_the_dozen(tmp_path: Path) -> None:
    image = np.zeros((2000, 3000, 1), np.uint8)
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        archive.add([image] * 3)
        assert len(thumbnails(archive._repr_html_())) == 1


def test_an_archive_pickles_as_path_and_revision(tmp_path: Path) -> None:
    make(tmp_path / "a.kin", SOURCE)
    with Archive.open(tmp_path / "a.kin") as archive:
        data = pickle.dumps(archive)
        assert len(data) < 1000
        archive.remove(archive.ids[:3])
        with pickle.loads(data) as first, pickle.loads(pickle.dumps(archive)) as second:  # noqa: S301
            assert (len(first), len(second)) == (23, 20)
            assert first.ids == [name for name, _, _ in SOURCE.images]
            with pytest.raises(KinpackError, match="which stays"):
                first.refresh()
        with copy.copy(archive) as third:
            assert third.manifest == archive.manifest


def test_another_archive_in_its_place_is_noticed(tmp_path: Path) -> None:
    make(tmp_path / "a.kin")
    with reopened(tmp_path / "a.kin") as archive:
        data = pickle.dumps(archive)
    (tmp_path / "a.kin").rename(tmp_path / "b.kin")
    with pytest.raises(KinpackError, match="no such archive"):
        pickle.loads(data)  # noqa: S301
    make(tmp_path / "a.kin", pictures(10, seed=77))
    with pytest.raises(KinpackError, match="another"):
        pickle.loads(data)  # noqa: S301


def test_what_is_being_written_does_not_pickle(tmp_path: Path) -> None:
    class Sending(FakeSource):
        def __iter__(self) -> Any:
            yield from super().__iter__()
            with pytest.raises(KinpackError, match="being written"):
                pickle.dumps(archive)

    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        with pytest.raises(KinpackError, match="being written"):
            pickle.dumps(archive)
        archive.add(Sending(SOURCE.images))
        with pickle.loads(pickle.dumps(archive)) as sent:  # noqa: S301
            assert len(sent) == 23


@pytest.mark.parametrize("name", ["default", "classic"])
def test_codecs_pickle_as_their_bytes(name: str) -> None:
    codec = Codec.load(name, threads=1)
    packets = codec.encode(REAL[:2])
    again = pickle.loads(pickle.dumps(codec))  # noqa: S301
    assert again.to_bytes() == codec.to_bytes()
    assert again.codec_id == codec.codec_id
    assert same(again.decode(packets), codec.decode(packets))


def test_describers_pickle_as_their_bytes() -> None:
    describer = Describer.load(GOLDEN)
    again = pickle.loads(pickle.dumps(describer))  # noqa: S301
    assert again.to_bytes() == describer.to_bytes()
    assert np.array_equal(again.describe(REAL[:3]), describer.describe(REAL[:3]))


def read_some(archive: Archive, positions: list[int]) -> list[Any]:
    return archive.__getitems__(positions)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_of_every_kind_read_the_same(real: Path, method: str) -> None:
    with Archive.open(real) as archive:
        assert np.array_equal(archive[7], REAL[7])  # descriptors are open before it forks
        with multiprocessing.get_context(method).Pool(2) as pool:
            parts = [list(range(start, 40, 4)) for start in range(4)]
            for part, images in zip(
                parts, pool.starmap(read_some, [(archive, part) for part in parts]), strict=True
            ):
                assert same(images, REAL[part])
