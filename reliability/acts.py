"""Acts: every sort of commit, done to a small archive, and what must hold whatever befell it."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from fakes.tiny_describer import colour_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest import codec_file, manifest_file
from kinpack.archive.revisions.manifest_chain import load_record, manifest_numbers
from kinpack.archive.segments import segment_stream
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.describers.describing import packed_codes
from kinpack.pictures.images import to_pil

CODEC = FakeCodec()
DESCRIBER = colour_describer()
ARCHIVE, SEALED, COPY = "a.kin", "a.kin.zip", "b.kin"

_BEFORE = (pictures(4), pictures(1, first=4), pictures(2, first=5))
_ADDED = FakeSource(pictures(5, first=10).images + pictures(5, seed=9).images[4:])
_NEXT = pictures(1, first=90)
_ALL = pictures(7)

Content: TypeAlias = dict[str, tuple[str | None, bytes]]
"""By id: the label, and the pixels behind their shape."""

State: TypeAlias = dict[str, Content]
"""Content of every archive in a folder, by its name."""


@dataclass(frozen=True)
class Outcomes:
    """What an act may leave.

    Attributes:
        before: the state before it.
        after: the state after it.
        mark: what ``Act.mark`` gives after it.
        between: the state after the first commit of an act that makes two, else that before it.
    """

    before: State
    after: State
    mark: object
    between: State


class BrokenPromiseError(Exception):
    """An archive is not as it must be."""


@contextmanager
def segments_of(rows: int) -> Iterator[None]:
    """Let segments be full with so many images, so that few images make several."""
    before, segment_stream.ROWS = segment_stream.ROWS, rows
    try:
        yield
    finally:
        segment_stream.ROWS = before


def content_of(source: FakeSource) -> Content:
    """What an archive of a source holds."""
    return {
        name: (label, repr(image.shape).encode() + image.tobytes())
        for name, label, image in source.images
    }


def content(path: Path, at: int | None = None) -> Content:
    """All images of an archive.

    Args:
        path: of the archive.
        at: number of a revision, ``None`` for the newest.

    Raises:
        BrokenPromiseError: an id is there twice, or an image has not its code in every column.
        KinpackError: it cannot be opened, or an image is damaged.
    """
    with Archive.open(path, at=at, codec=CODEC) as archive:
        found = {
            entry.id: (entry.label, repr(image.shape).encode() + image.tobytes())
            for entry, image in archive.images()
        }
        if len(found) != len(archive):
            raise BrokenPromiseError(f"{path.name}: an id is there twice")
        _check_codes(path.name, archive)
        return found


def _check_codes(name: str, archive: Archive) -> None:
    images = [image for _, image in archive.images()]
    for column, describer in archive.describers.items():
        codes, positions = archive.codes_of(column)
        if positions.tolist() != list(range(len(images))):
            raise BrokenPromiseError(f"{name}: images have no code {column!r}")
        if [code.tobytes() for code in codes] != packed_codes(describer, images):
            raise BrokenPromiseError(f"{name}: codes {column!r} are not those of the images")


def is_there(path: Path) -> bool:
    """Whether there is an archive: a file, or a folder with a manifest."""
    return path.is_file() or bool([*path.glob("manifests/*.json")])


def state(folder: Path) -> State:
    """The content of all archives in a folder.

    Raises:
        BrokenPromiseError: one is damaged.
        KinpackError: one cannot be opened.
    """
    return {
        name: content(folder / name) for name in (ARCHIVE, SEALED, COPY) if is_there(folder / name)
    }


def check_whole(folder: Path) -> None:
    """Verify every byte of all archives in a folder.

    Raises:
        BrokenPromiseError: one is damaged.
        KinpackError: one cannot be opened.
    """
    for name in (ARCHIVE, SEALED, COPY):
        if is_there(folder / name):
            report = verify(folder / name)
            if report.problems:
                raise BrokenPromiseError(report.problems[0])


def check_clean(folder: Path) -> None:
    """Make sure that nothing lies in a folder but files that belong to an archive.

    Raises:
        BrokenPromiseError: something else is there.
        KinpackError: a manifest is damaged.
    """
    belong = {SEALED}
    for name in (ARCHIVE, COPY):
        store = FolderStore(folder / name)
        for number in manifest_numbers(store):
            record = load_record(store, number)
            files = [manifest_file(number)]
            files += [file for entry in record.segments for file in entry.files]
            if record.base is None:
                files.append(codec_file(record.codec))
                files += [entry.file for entry in record.describers]
            belong.update(f"{name}/{file}" for file in files)
    folders = {ARCHIVE, COPY}
    folders |= {
        f"{name}/{part}"
        for name in folders
        for part in ("codecs", "codes", "describers", "manifests", "segments")
    }
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in (folders if path.is_dir() else belong):
            raise BrokenPromiseError(f"{name} is left over")


def check_purged(folder: Path, ids: Collection[str]) -> None:
    """Make sure that nothing is in an archive's files of images that it held at first.

    Raises:
        BrokenPromiseError: something is.
    """
    gone = {name: CODEC.encode([image])[0].payload for name, _, image in _ALL.images if name in ids}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found = [name for name, payload in gone.items() if name.encode() in data or payload in data]
        if path.suffix == ".parquet":
            found += gone.keys() & set(pq.read_table(io.BytesIO(data))["id"].to_pylist())
        if found:
            raise BrokenPromiseError(f"{path.name} holds something of {found[0]}, which is purged")


@dataclass(frozen=True)
class Act:
    """One sort of commit.

    Attributes:
        name: of the command.
        target: name of the archive that it makes or changes.
        change: does it to the open archive ``a.kin``; done twice it does no more than once.
        makes: whether it makes ``target`` anew.
        purged: ids of which nothing is to be left.
        resumes: whether the same act goes on with what an interrupted one has finished.
        syncs: whether it makes two commits, and done again does what is left to be done.
    """

    name: str
    target: str
    change: Callable[[Archive], object]
    makes: bool = False
    purged: frozenset[str] = frozenset()
    resumes: bool = False
    syncs: bool = False

    @property
    def creates(self) -> bool:
        """Whether it makes the archive that others change."""
        return self.makes and self.target == ARCHIVE

    def prepare(self, folder: Path) -> None:
        """Make what is there before, in an empty folder."""
        if self.creates:
            return
        with Archive.create(folder / ARCHIVE, CODEC, describer=DESCRIBER) as archive:
            if self.syncs:
                archive.sync(photos()[0])
                return
            for source in _BEFORE:
                archive.add(source)
            archive.remove(["set/00001"])
            if self.name == "gc":
                archive.compact()

    def run(self, folder: Path) -> None:
        """Do it, from opening the archive on."""
        if self.creates:
            with Archive.create(
                folder / ARCHIVE, CODEC, describer=DESCRIBER, resume=self.resumes
            ) as archive:
                self.change(archive)
        else:
            with Archive.open(folder / ARCHIVE, codec=CODEC) as archive:
                self.change(archive)

    def follow(self, folder: Path) -> None:
        """Do what the next writer does: it cleans up behind a dead one."""
        if self.makes:
            if is_there(folder / self.target):
                _remove(folder / self.target)
            self.run(folder)
        if self.name == "gc" or self.purged or self.syncs or (self.resumes and not self.makes):
            self.run(folder)
        with Archive.open(folder / ARCHIVE, codec=CODEC) as archive:
            archive.add(_NEXT, on_duplicate="replace")

    def mark(self, folder: Path) -> object:
        """What tells that it was done where the images stay the same."""
        if self.name == "gc" or self.purged:
            return len(list((folder / ARCHIVE / "manifests").iterdir()))
        if self.name in ("compact", "embed", "describer-rm"):
            with Archive.open(folder / ARCHIVE, codec=CODEC) as archive:
                manifest = archive.manifest
                return len(manifest.segments), [entry.name for entry in manifest.describers]
        return None

    def outcomes(self, folder: Path) -> Outcomes:
        """What it may leave; in an empty folder, which is empty again afterwards."""
        self.prepare(folder)
        before = state(folder)
        self.run(folder)
        between = {ARCHIVE: content(folder / ARCHIVE, at=2)} if self.syncs else before
        outcomes = Outcomes(before, state(folder), self.mark(folder), between)
        for name in (ARCHIVE, SEALED, COPY):
            _remove(folder / name)
        return outcomes


def check(act: Act, folder: Path, outcomes: Outcomes, *, acknowledged: bool) -> bool:
    """Make sure that a folder is as an act may leave it, and that the next writer cleans up.

    Args:
        act: what was done.
        folder: where; it is changed.
        outcomes: what it may leave.
        acknowledged: whether the act has come to its end.

    Returns:
        Whether the state is the new one.

    Raises:
        BrokenPromiseError: it is not.
        KinpackError: an archive cannot be opened.
    """
    check_whole(folder)
    found = state(folder)
    new = found == outcomes.after and act.mark(folder) == outcomes.mark
    halfway = act.purged and found == outcomes.after  # deleted, and not yet purged
    known = (outcomes.before, outcomes.between)
    if not new and (acknowledged or (found not in known and not halfway)):
        what = {name: sorted(images) for name, images in found.items()}
        raise BrokenPromiseError(f"acknowledged: {acknowledged}; it holds {what}")
    if acknowledged:
        check_purged(folder / ARCHIVE, act.purged)
    act.follow(folder)
    check_purged(folder / ARCHIVE, act.purged)
    done = act.makes or act.purged or act.resumes or act.syncs
    wanted = dict(outcomes.after if done else found)
    wanted[ARCHIVE] = {**wanted[ARCHIVE], **content_of(_NEXT)}
    if state(folder) != wanted:
        raise BrokenPromiseError("what the next writer adds to it is not all there")
    check_clean(folder)
    return new


def _add(archive: Archive) -> None:
    archive.add(_ADDED, on_duplicate="replace", batch=3)


def _add_resumed(archive: Archive) -> None:
    archive.add(_ADDED, on_duplicate="replace", batch=3, resume=True)


def _remove_images(archive: Archive) -> None:
    archive.refresh()
    archive.remove([name for name in ("set/00000", "set/00005") if name in archive])


def _purge_images(archive: Archive) -> None:
    archive.remove(["set/00000", "set/00005"], purge=True)


def _rename(archive: Archive) -> None:
    archive.refresh()
    if "set/00005" in archive:  # its new name is there before as after
        archive.rename({"set/00000": "moved", "set/00005": "set/00000"}, label=("dog", "wolf"))


def _sync(archive: Archive) -> None:
    archive.sync(photos()[1], delete=True)


@cache
def photos() -> tuple[Path, Path]:
    """A folder of pictures before changes and after them, outside of what is tried.

    Of a and b one was changed; c and d exchanged their names, e was moved, f is gone, g has another
    time, and h is new.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(_remove, folder)
    images = [image for _, _, image in pictures(10, first=20).images]
    before, after = folder / "before", folder / "after"
    for place, files in (
        (before, {name: (at, 0) for at, name in enumerate("abcdefg")}),
        (after, {"a": (0, 0), "b": (8, 1), "c": (3, 0), "d": (2, 0), "g": (6, 1), "h": (9, 0)}),
    ):
        moved = {"moved/e": (4, 0)} if place == after else {}
        for name, (number, time) in {**files, **moved}.items():
            path = place / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            to_pil(images[number]).save(path)
            os.utime(path, ns=(0, (number + 100 * time) * 10**9))
    return before, after


def _embed(archive: Archive) -> None:
    archive.embed(DESCRIBER, name="more")


def _remove_codes(archive: Archive) -> None:
    archive.refresh()
    if archive.manifest.describer(DESCRIBER.name):
        archive.remove_codes(DESCRIBER.name)


def _seal(archive: Archive) -> None:
    seal(archive, Path(archive.path).with_name(SEALED))


def _copy(archive: Archive) -> None:
    copy(archive, Path(archive.path).with_name(COPY))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


ACTS = {
    act.name: act
    for act in (
        Act("create", ARCHIVE, lambda archive: archive.add(_BEFORE[0], batch=3), makes=True),
        Act("add", ARCHIVE, _add),
        Act(
            "create-resumed",
            ARCHIVE,
            lambda archive: archive.add(_ALL, batch=3, resume=True),
            makes=True,
            resumes=True,
        ),
        Act("add-resumed", ARCHIVE, _add_resumed, resumes=True),
        Act("rm", ARCHIVE, _remove_images),
        Act("compact", ARCHIVE, lambda archive: archive.compact()),
        Act(
            "rm-purge",
            ARCHIVE,
            _purge_images,
            purged=frozenset({"set/00000", "set/00001", "set/00005"}),
        ),
        Act(
            "compact-purge",
            ARCHIVE,
            lambda archive: archive.compact(purge=True),
            purged=frozenset({"set/00001"}),
        ),
        Act("mv", ARCHIVE, _rename),
        Act("sync", ARCHIVE, _sync, syncs=True),
        Act("embed", ARCHIVE, _embed),
        Act("describer-rm", ARCHIVE, _remove_codes),
        Act("gc", ARCHIVE, lambda archive: archive.gc(min_age=0)),
        Act("seal", SEALED, _seal, makes=True),
        Act("copy", COPY, _copy, makes=True),
    )
}
"""Every sort of commit by its name."""
