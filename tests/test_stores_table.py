"""The table of stores: what one line in it makes of a scheme that nothing else knows."""

from __future__ import annotations

import builtins
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import kinpack
from kinpack.archive.archive import Archive
from kinpack.archive.stores.opening import place_of
from kinpack.archive.stores.store import FOLDER
from kinpack.archive.stores.table import STORES, Registration
from kinpack.errors import ArchiveError
from tests.cli_runs import ask, pictures, run, texture

SCHEME = "shelf"
Shelves = dict[str, dict[str, bytes]]


class Shelf:
    """A store in a dictionary: the least that the protocol asks."""

    def __init__(self, files: dict[str, bytes], address: str) -> None:
        self._files, self._address = files, address
        self._lock = threading.RLock()

    def where(self, name: str) -> str:
        return f"{self._address}/{name}" if name else self._address

    def read(self, name: str, most: int | None = None) -> bytes:
        del most
        if name not in self._files:
            raise ArchiveError(f"{self.where(name)}: this file is missing; restore it")
        return self._files[name]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        data = self.read(name)[offset : offset + length]
        if len(data) != length:
            raise ArchiveError(f"{self.where(name)}: truncated; restore it")
        return data

    def create(self, name: str, data: bytes | memoryview) -> bool:
        with self._lock:
            if name in self._files:
                return False
            self._files[name] = bytes(data)
            return True

    def size(self, name: str) -> int:
        return len(self.read(name))

    def exists(self, name: str) -> bool:
        return name in self._files

    def list(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self._files if name.startswith(prefix))

    def rename(self, name: str, other: str) -> bool:
        if name not in self._files:
            return False
        self._files[other] = self._files.pop(name)
        return True

    def delete(self, *names: str) -> None:
        for name in names:
            self._files.pop(name, None)

    @contextmanager
    def writing(self, tidy: Callable[[], None]) -> Iterator[None]:
        del tidy
        with self._lock:
            yield

    @contextmanager
    def alone(self) -> Iterator[float]:
        with self._lock:
            yield 0.0

    def ages(self) -> dict[str, float]:
        return dict.fromkeys(self._files, 0.0)

    def begin(self, *, keep: bool = False) -> bool:
        if self.list(FOLDER):
            raise ArchiveError(f"{self._address}: there is an archive; choose another name")
        return not keep

    def end(self, *, born: bool, keep: bool = False) -> None:
        if not born and not keep:
            self._files.clear()

    def faults(self) -> builtins.list[str]:
        return []

    def is_moved(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> Shelves:
    """What lies on the shelves, by address; one line in the table makes them known."""
    held: Shelves = {}

    def open_shelf(address: str) -> Shelf:
        return Shelf(held.setdefault(address, {}), address)

    monkeypatch.setitem(STORES, SCHEME, Registration(open=open_shelf, create=open_shelf))
    return held


def test_a_line_in_the_table_makes_archives_of_a_scheme(shelves: Shelves, tmp_path: Path) -> None:
    place = f"{SCHEME}://photos.kin"
    images = [texture(seed) for seed in range(4)]
    with kinpack.Archive.create(place, "classic") as archive:
        archive.add(images[:3], quality=100)
    with kinpack.Archive.open(place) as archive:
        assert archive.path == place
        archive.add([kinpack.Item("more", "late", lambda: images[3])], quality=100)
        assert [hit.id for hit in archive.search(images[1], 1)] == ["000001"]
        assert all(map(np.array_equal, archive.read_many(archive.ids), images))
        assert archive.verify(deep=True).ok
        with pickle.loads(pickle.dumps(archive)) as again:  # noqa: S301
            assert again.ids == archive.ids
        archive.remove(["more"])
        archive.compact()
        archive.gc(min_age=0)
    assert set(shelves) == {place}
    with pytest.raises(ArchiveError, match="there is an archive"):
        kinpack.Archive.create(place, "classic")

    kinpack.seal(place, tmp_path / "one.kin.zip")
    kinpack.unseal(tmp_path / "one.kin.zip", f"{SCHEME}://again.kin")
    kinpack.copy(place, tmp_path / "copy.kin")
    twice = [place, f"{SCHEME}://again.kin"]
    kinpack.merge(twice, f"{SCHEME}://merged.kin", on_duplicate="skip")
    for other in (f"{SCHEME}://again.kin", tmp_path / "copy.kin"):
        with kinpack.Archive.open(other) as archive:
            assert archive.ids == ["000000", "000001", "000002"]
    with kinpack.Archive.open(f"{SCHEME}://merged.kin") as archive:
        assert len(archive) == 3


def test_commands_know_it_too(shelves: Shelves, tmp_path: Path) -> None:
    place = f"{SCHEME.upper()}://photos.kin"
    pictures(tmp_path / "photos", 3)
    more = pictures(tmp_path / "more", 1, seed=7)
    run("pack", tmp_path / "photos", "-o", place, "--codec", "classic", "--quiet")
    run("add", place, more[0], "--quiet")
    assert ask("info", place)["images"] == 4
    assert run("ls", place).stdout.count("\n") == 4
    run("get", place, "beach/00.png", "-o", tmp_path / "one.png")
    assert (tmp_path / "one.png").is_file()
    assert len(ask("search", place, tmp_path / "one.png", "-k", "2")) > 0
    assert ask("verify", place, "--deep")["ok"]
    assert set(shelves) == {place}
    # Where only a local path will do, it is told from one.
    refused = run("seal", place, "-o", f"{SCHEME}:/sealed.kin.zip", code=2)
    assert "local path" in refused.stderr


def test_a_scheme_may_be_for_reading_alone(shelves: Shelves) -> None:
    place = f"{SCHEME}://photos.kin"
    with Archive.create(place, "classic") as archive:
        archive.add([texture(1)])
    STORES[SCHEME] = Registration(open=STORES[SCHEME].open)
    with pytest.raises(ArchiveError, match="can only be read"):
        Archive.create(f"{SCHEME}://other.kin", "classic")
    with Archive.open(place) as archive:
        assert len(archive) == 1
    assert set(shelves) == {place}


def test_what_is_no_address_of_the_table_is_a_path() -> None:
    for text in ("ftp://b/x", "shelf://x", "s3:/b/x", "/s3://x", "://x", "a/b.kin", ""):
        assert place_of(text) == Path(text)
    for text in ("s3://b/x", "HTTPS://host/x.kin.zip", "memory://x"):
        assert place_of(text) == text
    assert place_of(Path("s3://b")) == Path("s3://b")  # whoever says it is a path is right
