"""Identity: who has an archive open that was replaced meanwhile is told so, and harms nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest import Manifest, manifest_file
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.errors import ArchiveError
from kinpack.sources.items import Item
from tests.archive_checks import CODEC, content, expected, hashes, make, renewed, reopened
from tests.object_backends import Backend, backend

CHANGES: dict[str, Callable[[Archive], object]] = {
    "add": lambda archive: archive.add(pictures(1, first=50)),
    "remove": lambda archive: archive.remove(["set/00000"]),
    "compact": lambda archive: archive.compact(),
    "gc": lambda archive: archive.gc(min_age=0),
    "refresh": lambda archive: archive.refresh(),
}


@dataclass
class Ground:
    """Where archives lie: below a folder, or in an object store."""

    folder: Path
    bucket: Backend | None

    def place(self, name: str) -> Any:
        return self.bucket.address(name) if self.bucket else self.folder / name

    def files(self, name: str) -> dict[str, bytes]:
        """All files of an archive."""
        if self.bucket:
            return self.bucket.objects(self.bucket.address(name))
        root = self.folder / name
        return {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file()
        }

    def put(self, name: str, files: dict[str, bytes]) -> None:
        """Put other files in the place of an archive's, in the same folder."""
        for old in self.files(name):
            if self.bucket:
                self.bucket.delete(self.bucket.address(name), old)
            else:
                (self.folder / name / old).unlink()
        for new, data in files.items():
            if self.bucket:
                self.bucket.put(self.bucket.address(name), new, data)
            else:
                (self.folder / name / new).parent.mkdir(exist_ok=True)
                (self.folder / name / new).write_bytes(data)


@pytest.fixture(params=["folder", "memory"])
def ground(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    if request.param == "folder":
        return Ground(tmp_path, None)
    return Ground(tmp_path, backend("memory", request, monkeypatch))


def refuse(archive: Archive, change: str) -> None:
    """Let an open archive change what lies at its place by now: it is refused in one line."""
    with pytest.raises(ArchiveError, match="open it again") as caught:
        CHANGES[change](archive)
    assert "\n" not in str(caught.value)
    assert "cannot" not in str(caught.value)


@pytest.mark.parametrize("verb", CHANGES)
def test_an_archive_that_was_emptied_is_gone(tmp_path: Path, verb: str) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        shutil.rmtree(path / "manifests")
        with pytest.raises(ArchiveError, match="open it again") as caught:
            CHANGES[verb](archive)
    assert "\n" not in str(caught.value)
    assert not list(path.glob("manifests/*"))


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("commits", [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_an_archive_that_was_rebuilt(ground: Ground, change: str, commits: tuple[int, int]) -> None:
    for name, number, seed in (("a.kin", commits[0], 0), ("b.kin", commits[1], 9)):
        make(ground.place(name), pictures(3, seed=seed))
        for first in range(1, number):
            with reopened(ground.place(name)) as archive:
                archive.add(pictures(1, first=10 * first, seed=seed))
    with reopened(ground.place("a.kin")) as service:
        wanted = ground.files("b.kin")
        ground.put("a.kin", wanted)
        refuse(service, change)
        assert ground.files("a.kin") == wanted
        service.close()
    assert len(content(ground.place("a.kin"))) == 2 + commits[1]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("left", [True, False])
def test_a_folder_that_was_moved(tmp_path: Path, change: str, left: bool) -> None:
    first, second = make(tmp_path / "a.kin", pictures(3)), make(tmp_path / "b.kin", renewed(1, 2))
    old, new = hashes(first), hashes(second)
    with reopened(first) as service:
        first.rename(tmp_path / "old.kin")
        if not left:
            second.rename(first)
        refuse(service, change)
    assert hashes(tmp_path / "old.kin") == old
    assert hashes(second if left else first) == new


@pytest.mark.parametrize("change", CHANGES)
def test_an_older_copy_that_was_restored(ground: Ground, change: str) -> None:
    place = make(ground.place("a.kin"), pictures(3))
    older = ground.files("a.kin")
    with reopened(place) as archive:
        archive.add(pictures(1, first=10))
    with reopened(place) as service:
        ground.put("a.kin", older)
        refuse(service, change)
        assert ground.files("a.kin") == older
        with reopened(place) as other:  # as many commits, but others
            other.add(pictures(1, first=20))
        now = ground.files("a.kin")
        refuse(service, change)
        with reopened(place) as other:
            other.add(pictures(1, first=30))
        refuse(service, change)
        ground.put("a.kin", now)
    assert content(place) == {**expected(pictures(3)), **expected(pictures(1, first=20))}


def test_two_copies_that_were_both_extended(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    shutil.copytree(path, tmp_path / "b.kin")
    with reopened(path) as service:
        service.add(pictures(1, first=10))
        with reopened(tmp_path / "b.kin") as other:
            other.add(pictures(1, first=20))
            other.compact()
            other.gc(min_age=0)  # nothing is left that both have
        for file in path.rglob("*.*"):
            file.unlink()
        shutil.copytree(tmp_path / "b.kin", path, dirs_exist_ok=True)
        before = hashes(path)
        with pytest.raises(ArchiveError, match="open it again"):
            service.add(pictures(1, first=30))
        assert hashes(path) == before


class Swapping(FakeSource):
    """A source that replaces the archive while its pictures are read."""

    def __init__(self, swap: Callable[[], None]) -> None:
        super().__init__(pictures(2, first=60).images)
        self._swap = swap

    def __iter__(self) -> Iterator[Item]:
        yield from super().__iter__()
        self._swap()


def test_an_archive_that_is_rebuilt_during_an_add(ground: Ground) -> None:
    place = make(ground.place("a.kin"), pictures(3))
    make(ground.place("b.kin"), renewed(1, 2, 3))
    wanted = ground.files("b.kin")
    with reopened(place) as service, pytest.raises(ArchiveError, match="open it again"):
        service.add(Swapping(lambda: ground.put("a.kin", wanted)))
    assert ground.files("a.kin") == wanted
    assert content(place) == expected(renewed(1, 2, 3))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_commit_that_arrives_late_is_taken_back(
    ground: Ground, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is on its way when the archive is replaced by one of so many commits."""
    place = make(ground.place("a.kin"), pictures(3))
    make(ground.place("b.kin"), renewed(1, 2, 3))
    for first in range(1, number):
        with reopened(ground.place("b.kin")) as archive:
            archive.add(renewed(10 + first))
    wanted = ground.files("b.kin")
    store = ObjectStore if ground.bucket else FolderStore
    create = store.create

    def late(self: Any, name: str, data: Any) -> bool:
        if name.startswith("manifests/"):
            monkeypatch.undo()
            ground.put("a.kin", wanted)
        return bool(create(self, name, data))

    with reopened(place) as service:
        monkeypatch.setattr(store, "create", late)
        with pytest.raises(ArchiveError, match="open it again"):
            service.remove(["set/00000"])
    assert ground.files("a.kin") == wanted


def test_a_first_commit_that_arrives_late_is_taken_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others made the archive meanwhile, and have forgotten its first commit already."""
    place = make(ground.place("b.kin"), pictures(3))
    with reopened(place) as archive:
        archive.add(pictures(1, first=10))
        archive.compact()
        archive.gc(min_age=0)
    wanted = ground.files("b.kin")
    store = ObjectStore if ground.bucket else FolderStore
    create = store.create

    def late(self: Any, name: str, data: Any) -> bool:
        if name.startswith("manifests/"):
            monkeypatch.undo()
            for file, content in wanted.items():
                create(self, file, content)
        return bool(create(self, name, data))

    monkeypatch.setattr(store, "create", late)
    with pytest.raises(ArchiveError, match="open it again"):
        make(ground.place("a.kin"), renewed(1))
    assert content(ground.place("a.kin")) == content(place)


def test_readers_follow_what_is_the_same_archive(ground: Ground) -> None:
    place = make(ground.place("a.kin"), pictures(3))
    with reopened(place) as reader, reopened(place) as writer:
        for first in (10, 20, 30):
            writer.add(pictures(1, first=first))
        reader.refresh()
        assert len(reader) == 6
        writer.add(pictures(1, first=40))
        writer.compact()
        writer.gc(min_age=0)  # what the reader shows is forgotten
        reader.refresh()
        assert len(reader) == 7
        reader.add(pictures(1, first=50))
        writer.refresh()
        assert len(writer) == 8


def test_a_relative_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.kin", pictures(3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.kin").symlink_to("a.kin")
    monkeypatch.chdir(tmp_path)
    with reopened(Path("link.kin")) as archive:
        monkeypatch.chdir(tmp_path / "elsewhere")
        archive.add(pictures(1, first=10))
        archive.refresh()
    assert len(content(tmp_path / "a.kin")) == 4


def test_a_sealed_file_that_was_replaced(tmp_path: Path) -> None:
    for name in "ab":
        seal(make(tmp_path / f"{name}.kin", pictures(3)), tmp_path / f"{name}.kin.zip")
    with reopened(tmp_path / "a.kin.zip") as reader:
        reader.refresh()
        (tmp_path / "b.kin.zip").rename(tmp_path / "a.kin.zip")
        with pytest.raises(ArchiveError, match="open it again"):
            reader.refresh()


def test_what_keeps_the_identity_and_what_makes_a_new_one(ground: Ground) -> None:
    def shown(place: Any) -> Manifest:
        with reopened(place) as archive:
            return archive.manifest

    place = make(ground.place("a.kin"), pictures(3))
    archive = shown(place).archive
    with reopened(place) as changed:
        changed.add(pictures(1, first=10))
        changed.remove(["set/00000"])
        changed.compact()
        changed.gc(min_age=0)
        assert changed.manifest.archive == archive
    sealed = ground.folder / "a.kin.zip"
    seal(place, sealed)
    assert (shown(sealed).archive, shown(sealed).number) == (archive, shown(place).number)
    made = [ground.place(f"{name}.kin") for name in ("unsealed", "copied", "merged", "repaired")]
    unseal(sealed, made[0])
    copy(place, made[1])
    merge([place], made[2])
    repair(place, made[3])
    found = [shown(one) for one in made]
    assert len({archive, *(manifest.archive for manifest in found)}) == 5
    for manifest in found:
        assert (manifest.number, manifest.parent) == (1, None)
        assert manifest.metadata == shown(place).metadata


def test_manifests_of_two_archives_do_not_go_together(tmp_path: Path) -> None:
    place = make(tmp_path / "a.kin", pictures(3))
    other = make(tmp_path / "b.kin", pictures(3))
    with reopened(other) as archive:
        archive.add(pictures(1, first=10))
    shutil.copy(other / manifest_file(2), place / manifest_file(2))
    problems = verify(place).problems
    assert any("follows another manifest 1" in problem for problem in problems)
    with pytest.raises(ArchiveError, match="follows another manifest 1"):
        Archive.open(place, codec=CODEC)
    assert len(reopened(place, at=1)) == 3
    (place / manifest_file(1)).write_bytes(b"damaged")  # nobody knows
    Archive.open(place, codec=CODEC).close()
