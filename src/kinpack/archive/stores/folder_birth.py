"""Birth in a folder: a new archive grows under its own name, marked as unfinished.

A file whose name holds a random token is the mark; it is there, durably, before anything else is,
and goes when the first manifest is there. A marked folder that nobody has locked is what a dead
writer left: the next one of that name takes it over, and nothing else ever is.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

from kinpack.archive.stores.handles import (
    create_file,
    is_same,
    lock_alone,
    open_folder,
    release,
    system,
)
from kinpack.archive.stores.store import TEMPORARY, UNFINISHED
from kinpack.archive.stores.system_errors import existing, refusal
from kinpack.errors import ArchiveError, shown

_MARK = re.compile(re.escape(UNFINISHED) + "[0-9a-f]{32}")
_REST = re.compile(re.escape(TEMPORARY) + "[0-9a-f]{32}")
_MANIFESTS = "manifests"
_FILES = {
    "codecs": re.compile(r"[0-9a-f]{64}\.kinc"),
    "describers": re.compile(r"[0-9a-f]{64}\.kine"),
    "segments": re.compile(r"[0-9a-f]{32}\.parquet|[0-9a-f]{64}\.json"),
    "codes": re.compile(r"[0-9a-f]{32}\.[a-z0-9][a-z0-9_-]{0,31}\.bin"),
    _MANIFESTS: re.compile(r"(?!)"),  # a manifest is nothing that may be removed
}
_ATTEMPTS = 10


class FolderBirth:
    """A locked folder in which a new archive grows.

    The lock goes with its process, however that ends.

    Args:
        path: the archive's folder: a free name, an empty folder, or an unfinished archive that
            nobody is writing. Links on the way to it are followed, one of its name is not.
        keep: whether what an unfinished one has is kept.

    Attributes:
        handle: of the folder.

    Raises:
        ArchiveError: there is something else, somebody is writing it, or the system refuses.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self._path, self._keep = path, keep
        if not path.name or path.name == "..":
            raise ArchiveError(f"{shown(path)}: no name for an archive; name a new folder")
        try:
            self._parent = open_folder(path.parent)
        except OSError as error:
            if not os.path.isdir(path.parent):  # noqa: PTH112 (which never raises)
                raise ArchiveError(
                    f"{shown(path)}: cannot create the archive: {shown(path.parent)} is no folder; "
                    "make it first"
                ) from error
            raise refusal(error, shown(path), "create the archive") from error
        try:
            self.handle = self._begin()
        except OSError as error:
            release(self._parent)
            raise refusal(error, shown(path), "create the archive") from error
        except BaseException:
            release(self._parent)
            raise

    def born(self) -> None:
        """End it, where the first manifest is there, durably."""
        with suppress(OSError):  # the next writer removes what is left of the mark
            system.unlink(self._mark, dir_fd=self.handle)
        self.release()

    def undo(self) -> None:
        """End it, and remove what was made; an archive that has its first manifest stays.

        Where the system refuses, the mark stays too, for the next one to clean up. So it does where
        there is a manifest: nobody knows whether that is durable.
        """
        with suppress(OSError):
            _, ours, foreign = _look(self.handle)
            if not _is_archive(foreign):
                _clear(self.handle, ours)
                system.fsync(self.handle)  # without its mark nothing else may be there again
                system.unlink(self._mark, dir_fd=self.handle)
                if self._made and is_same(self.handle, self._path.name, self._parent):
                    system.rmdir(self._path.name, dir_fd=self._parent)
        self.release()

    def release(self) -> None:
        """Give up the lock; what was made stays for whoever begins again."""
        release(self.handle)
        release(self._parent)

    def _begin(self) -> int:
        """Make the folder, or take over a dead writer's; gives its locked, marked handle."""
        name = self._path.name
        for _ in range(_ATTEMPTS):
            try:
                system.mkdir(name, dir_fd=self._parent)
                self._made = True
            except FileExistsError:
                self._made = False
            try:
                handle = open_folder(name, self._parent)
            except FileNotFoundError:
                continue
            except OSError as error:
                if self._made:
                    raise
                raise existing(shown(self._path)) from error
            try:
                if self._claim(handle):
                    return handle
            except BaseException as error:
                if self._made and isinstance(error, OSError):
                    with suppress(OSError):
                        system.rmdir(name, dir_fd=self._parent)
                release(handle)
                raise
            release(handle)
        raise ArchiveError(f"{shown(self._path)}: other processes create and remove it; try again")

    def _claim(self, handle: int) -> bool:
        """Lock a folder and mark it; False if it has lost its name meanwhile."""
        locked = lock_alone(handle)
        if not is_same(handle, self._path.name, self._parent):
            return False
        if locked is False:
            with suppress(OSError):  # what is looked at may be going just now
                _look_for_free(handle, self._path, made=self._made)
            raise self._busy()
        marks, ours = _look_for_free(handle, self._path, made=self._made)
        if marks and not locked:
            raise self._busy()
        if marks:
            self._mark, self._made = marks[0], True
            if not self._keep:
                _clear(handle, ours)
        else:
            self._mark = UNFINISHED + uuid.uuid4().hex
            release(create_file(self._mark, handle))
        try:
            system.fsync(handle)
            system.fsync(self._parent)
            if not locked and _look(handle)[0] != [self._mark]:  # two began at once
                raise self._busy()
        except BaseException:
            if not marks:
                with suppress(OSError):
                    system.unlink(self._mark, dir_fd=handle)
            raise
        return True

    def _busy(self) -> ArchiveError:
        return ArchiveError(
            f"{shown(self._path)}: another process is writing this archive; wait for it, or remove "
            "the folder if there is none"
        )


def _look_for_free(handle: int, path: Path, *, made: bool) -> tuple[list[str], list[str]]:
    """See that a folder may become a new archive: it is empty, or a dead writer's.

    Returns:
        The marks in it, and what else a writer has made.

    Raises:
        ArchiveError: it is anything else.
        OSError: the system refuses.
    """
    marks, ours, foreign = _look(handle)
    us = os.geteuid() if hasattr(os, "geteuid") else None
    stranger = not made and us is not None and system.fstat(handle).st_uid != us
    if stranger or _is_archive(foreign) or (not marks and (ours or foreign)):
        raise existing(shown(path))
    if foreign:
        raise ArchiveError(
            f"{shown(path)}: the unfinished start of an archive, and {shown(foreign[0])} in it is "
            "not of kinpack's making; move that elsewhere, or choose another name"
        )
    return marks, ours


def _look(handle: int) -> tuple[list[str], list[str], list[str]]:
    """Names in a folder: marks, what else a writer of an archive makes, and all other things.

    Links, pipes and the like are other things, and so is a manifest.
    """
    marks: list[str] = []
    ours: list[str] = []
    foreign: list[str] = []
    for folder in ("", *_FILES):
        if folder and folder not in ours:
            continue
        inner = open_folder(folder or ".", handle)
        try:
            with system.scandir(inner) as entries:
                for entry in entries:
                    name, is_file = entry.name, entry.is_file(follow_symlinks=False)
                    if is_file and not folder and _MARK.fullmatch(name):
                        marks.append(name)
                    elif is_file and (_REST.fullmatch(name) or _made_in(folder, name)):
                        ours.append(f"{folder}/{name}" if folder else name)
                    elif not folder and name in _FILES and entry.is_dir(follow_symlinks=False):
                        ours.append(name)
                    else:
                        foreign.append(f"{folder}/{name}" if folder else name)
        finally:
            release(inner)
    return marks, ours, foreign


def _made_in(folder: str, name: str) -> bool:
    return folder in _FILES and bool(_FILES[folder].fullmatch(name))


def _is_archive(foreign: list[str]) -> bool:
    """Whether something lies where manifests do that is no temporary file."""
    return any(name.split("/")[0] == _MANIFESTS for name in foreign)


def _clear(handle: int, ours: list[str]) -> None:
    """Remove what a writer has made; a folder goes after what is in it."""
    for name in sorted(ours, key=lambda name: "/" not in name):
        folder, _, last = name.rpartition("/")
        inner = open_folder(folder or ".", handle)
        try:
            (system.rmdir if name in _FILES else system.unlink)(last, dir_fd=inner)
        finally:
            release(inner)
