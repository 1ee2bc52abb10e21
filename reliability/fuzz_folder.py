"""Folders of strangers: an archive in which links, pipes, devices and sockets lie, and odd files.

A case changes a few places in the folder of a small archive, beside which lies one of somebody
else's, with other pictures under the same ids. Then it is verified, read and changed as a user who
may not read all: each verb does it or is refused in one line, every image that is read is right,
and what lies outside stays as it is.
"""

from __future__ import annotations

import codecs
import os
import random
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.stores.store import TEMPORARY, UNFINISHED
from kinpack.describers.describer import Describer
from kinpack.errors import KinpackError
from reliability.acts import CODEC, DESCRIBER, segments_of
from reliability.fuzz_seeds import repeatable

_NOBODY = 65534
_ARCHIVE, _OUTSIDE = "a.kin", "outside"
_ADDED = pictures(2, first=50)
_HUGE = 1 << 42  # bytes of a file that is a hole


# Whatever is loaded at its first need is loaded before: nobody may not see it.
import_module("_strptime")
import_module("http.client")
codecs.lookup("unicode_escape")
codecs.lookup("cp437")


class FolderError(Exception):
    """A verb did what it must not do."""


@dataclass(frozen=True)
class Scene:
    """A folder that holds an archive of ours and one of somebody else's.

    Attributes:
        folder: holds both.
    """

    folder: Path

    @property
    def archive(self) -> Path:
        """The archive that is changed."""
        return self.folder / _ARCHIVE

    @property
    def outside(self) -> Path:
        """Somebody else's archive, to which links lead."""
        return self.folder / _OUTSIDE / _ARCHIVE

    def twin(self, path: Path) -> Path:
        """What lies outside where a path lies in the archive, or the archive outside."""
        there = self.outside / path.relative_to(self.archive)
        return there if os.path.lexists(there) else self.outside


Change = Callable[[Scene, Path, random.Random], object]


def _device(minor: int) -> Change:
    def make(scene: Scene, path: Path, chance: random.Random) -> None:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            path.open("rb").close()  # it is refused in many a container
        except OSError:
            path.unlink(missing_ok=True)
            path.symlink_to({3: "/dev/null", 5: "/dev/zero", 7: "/dev/full"}[minor])

    return make


def _huge(scene: Scene, path: Path, chance: random.Random) -> None:
    path.touch()
    with suppress(OSError):  # no file system has every size
        os.truncate(path, _HUGE)


def _full(scene: Scene, path: Path, chance: random.Random) -> None:
    path.mkdir()
    (path / "kept").write_bytes(b"kept")


def _hard_link(scene: Scene, path: Path, chance: random.Random) -> None:
    twin = scene.twin(path)
    if twin.is_file():
        os.link(twin, path)
    else:
        shutil.copytree(twin, path)


def _other(scene: Scene, path: Path, chance: random.Random) -> None:
    """A link to another place of the archive itself."""
    path.symlink_to(chance.choice(_places(scene.archive)))


CHANGES: dict[str, Change] = {
    "nothing": lambda scene, path, chance: None,
    "an empty file": lambda scene, path, chance: path.touch(),
    "some bytes": lambda scene, path, chance: path.write_bytes(chance.randbytes(9)),
    "a huge file": _huge,
    "an empty folder": lambda scene, path, chance: path.mkdir(),
    "a full folder": _full,
    "a pipe": lambda scene, path, chance: os.mkfifo(path),
    "a socket": lambda scene, path, chance: os.mknod(path, stat.S_IFSOCK | 0o666),
    "/dev/null": _device(3),
    "/dev/zero": _device(5),
    "/dev/full": _device(7),
    "a link to zeros": lambda scene, path, chance: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda scene, path, chance: path.symlink_to("/dev/tty"),
    "a link to itself": lambda scene, path, chance: path.symlink_to(path.name),
    "a link to nothing": lambda scene, path, chance: path.symlink_to("../../nowhere"),
    "a link upward": lambda scene, path, chance: path.symlink_to(".."),
    "a link to the other's": lambda scene, path, chance: path.symlink_to(scene.twin(path)),
    "a link to all of the other's": lambda scene, path, chance: path.symlink_to(scene.outside),
    "a link to its own": _other,
    "a hard link": _hard_link,
}
"""What comes in place of a file, of a folder, or of nothing, by name."""

_MODES = (0o000, 0o200, 0o400, 0o500)
_NEW = (
    *("manifests/0000000006.json", "manifests/9999999999.json", "manifests/0000000005.json.bak"),
    *(f"segments/{'1' * 32}.parquet", f"segments/{TEMPORARY}{'2' * 32}", "segments/two\nlines"),
    *(f"{UNFINISHED}{'3' * 32}", "locks", "notes.txt", "codes", "describers", "\x1b[2J", "é\udcff"),
)


def _places(archive: Path) -> list[Path]:
    """The folder, and all that lies in it, links not followed."""
    found = [archive]
    for folder, folders, files in os.walk(archive):
        found += [Path(folder, name) for name in (*folders, *files)]
    return sorted(found)


def _change(scene: Scene, chance: random.Random) -> None:
    """Change one place in the archive's folder; where the folder's own name leads is the user's."""
    there = _places(scene.archive)[1:]
    path = chance.choice([*there, *(scene.archive / name for name in _NEW)])
    if path in there and not path.is_symlink() and chance.randrange(6) == 0:
        path.chmod(chance.choice(_MODES))
        return
    aside = scene.folder / "aside"
    if os.path.lexists(path):
        path.rename(aside)
    try:
        CHANGES[chance.choice(list(CHANGES))](scene, path, chance)
    except OSError:
        pass  # what is to hold it has been changed before
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tree(folder: Path) -> dict[str, object]:
    """All that lies in a folder: rights, and content or where a link leads."""
    found: dict[str, object] = {}
    for path in _places(folder):
        mode = path.lstat().st_mode
        data: object = str(path.readlink()) if path.is_symlink() else None
        if stat.S_ISREG(mode):
            data = path.read_bytes()
        found[str(path)] = (mode, data)
    return found


@contextmanager
def _as_nobody(folder: Path) -> Iterator[None]:
    """Act as a user who owns a folder and may do no more than others: root may read everything."""
    if os.geteuid():
        yield
        return
    for path in (folder, *_places(folder)):
        os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _read(archive: Archive, known: Mapping[str, Sequence[Any]]) -> None:
    """Hold every image against what it may be."""
    ids = archive.ids
    if len(ids) != len(set(ids)) or not known.keys() >= set(ids):
        raise FolderError(f"it holds {ids}")
    refused: KinpackError | None = None
    for name in ids:
        try:
            image = archive.read(name)
        except KinpackError as error:
            refused = error
            continue
        if not any(np.array_equal(image, one) for one in known[name]):
            raise FolderError(f"{name}: other pixels")
    if refused:
        raise refused


VERBS: dict[str, Callable[[Archive, Path], object]] = {
    "search": lambda archive, folder: archive.search(archive.ids[0], 2),
    "add": lambda archive, folder: archive.add(_ADDED, on_duplicate="skip"),
    "rm": lambda archive, folder: archive.remove(archive.ids[:1]),
    "rm --purge": lambda archive, folder: archive.remove(archive.ids[:1], purge=True),
    "compact": lambda archive, folder: archive.compact(),
    "compact --purge": lambda archive, folder: archive.compact(purge=True),
    "gc": lambda archive, folder: archive.gc(min_age=0),
    "seal": lambda archive, folder: seal(archive, folder / "made.zip"),
    "copy": lambda archive, folder: copy(archive, folder / "made.kin"),
}
"""What is done to an archive, given as open, beside reading."""


def _tried(
    scene: Scene,
    chance: random.Random,
    known: Mapping[str, Sequence[Any]],
    saved: Mapping[str, Sequence[Any]],
) -> list[KinpackError]:
    """Verify, read, change and read again; gives what was refused.

    Args:
        scene: the archive, and another one outside.
        chance: draws what is done.
        known: what each image may be.
        saved: what it may be in an archive that repair has made.
    """
    refused: list[KinpackError] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except KinpackError as error:
            refused.append(error)

    def opened(place: Path, work: Callable[[Archive], object]) -> None:
        with Archive.open(place, codec=CODEC) as archive:
            work(archive)

    def verified() -> None:
        for problem in verify(scene.archive).problems:
            if "\n" in problem:
                raise FolderError(f"several lines: {problem}")

    attempt(verified)
    attempt(lambda: opened(scene.archive, lambda archive: _read(archive, known)))
    verb = VERBS[chance.choice(list(VERBS))]
    attempt(lambda: opened(scene.archive, lambda archive: verb(archive, scene.folder)))
    if chance.randrange(3) == 0:
        attempt(lambda: repair(scene.archive, scene.folder / "repaired.kin", codec=CODEC))
    made = [(place, known) for place in (scene.archive, *scene.folder.glob("made*"))]
    made += [(place, saved) for place in scene.folder.glob("repaired*")]
    for place, may in made:
        attempt(lambda place=place, may=may: opened(place, lambda archive: _read(archive, may)))  # type: ignore[misc]
    return refused


def _archive(path: Path, source: FakeSource) -> None:
    """An archive of several segments and revisions, an image deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with segments_of(2), Archive.create(path, CODEC, describer=DESCRIBER) as archive:
        archive.add(FakeSource(source.images[:5]))
        archive.add(FakeSource(source.images[5:]))
        archive.remove([source.images[1][0]])
        archive.compact()


def folder_case(kept: Path) -> Callable[[random.Random], None]:
    """What makes a case by chance, and tries it.

    Args:
        kept: an empty folder, which holds what cases begin with.

    Returns:
        Tries a case. It raises a ``KinpackError`` where something was refused, and
        ``FolderError`` where something is wrong.
    """
    ours, others = pictures(7), pictures(7, seed=5)
    with repeatable():
        _archive(kept / _ARCHIVE, ours)
        _archive(kept / _OUTSIDE / _ARCHIVE, others)
    known = {name: [image] for name, _, image in (*ours.images, *_ADDED.images)}
    # Repair saves what lies among the segments, though it be another archive's: nothing tells.
    saved = known | {name: [*known[name], image] for name, _, image in others.images}
    Describer.load("classic")  # what this imports, nobody may read

    def case(chance: random.Random) -> None:
        with tempfile.TemporaryDirectory() as name:
            scene = Scene(Path(name) / "scene")
            shutil.copytree(kept, scene.folder)
            Path(name).chmod(0o755)
            for _ in range(chance.choice((1, 1, 2, 3))):
                _change(scene, chance)
            before = _tree(scene.outside)
            with _as_nobody(scene.folder):
                refused = _tried(scene, chance, known, saved)
            if _tree(scene.outside) != before:
                raise FolderError("what lies outside has changed")
        for error in refused:
            raise error

    return case
