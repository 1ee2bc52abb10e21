"""Folder store: the files of an archive in a local folder, written durably and locked."""

from __future__ import annotations

import builtins
import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinpack.archive.stores.folder_birth import FolderBirth
from kinpack.archive.stores.handles import (
    check_regular,
    leads_to,
    lock_alone,
    lock_shared,
    open_file,
    open_folder,
    publish_file,
    read_at,
    release,
    synchronise,
    system,
    write_synchronised,
)
from kinpack.archive.stores.store import FOLDER, TEMPORARY, UNFINISHED
from kinpack.archive.stores.system_errors import closed, missing, refusal, too_large, truncated
from kinpack.errors import ArchiveError, shown
from kinpack.mapped_memory import map_file

KEPT_OPEN = 128
"""Files that stay open between reads."""
_gone = suppress(FileNotFoundError)
_NOT_ABOVE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOTSUP})


class FolderStore:
    """A store in a local folder.

    The folder is opened once, at the first need, and stays the one that is read and written,
    whatever becomes of its name. Files are written under a temporary name, synchronised, given
    their final name if it is free, and the folder is synchronised. No link is followed to a folder
    in it, nor to a file that is written or removed. Reads are positioned, on descriptors that are
    kept open, and may come from many threads.

    Attributes:
        root: the folder; links to it are followed, but none to a new archive.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._handle: int | None = None
        self._path = root
        self._birth: FolderBirth | None = None
        self._held: int | None = None  # what is locked for as long as somebody writes here
        self._descriptors: dict[str, int] = {}
        self._anchored: set[str] = set()
        self._changed = False
        self._closed = False

    def __del__(self) -> None:
        self.close()

    def where(self, name: str) -> str:
        """The path of a file, or of the folder for an empty name."""
        return shown(self.root / name if name else self.root)

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole content of a file, of so many bytes at most."""
        try:
            with self._within(name) as (handle, last):
                descriptor = open_file(last, handle)
            try:
                size = os.fstat(descriptor).st_size
                if most is not None and size > most:
                    raise too_large(self.where(name), most)
                return read_at(descriptor, 0, size)
            finally:
                release(descriptor)
        except OSError as error:
            raise self._reading(error, name) from error

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file from byte ``offset`` on."""
        try:
            if (descriptor := self._descriptors.get(name)) is not None:
                data = read_at(descriptor, offset, length)
            else:
                data = self._open_and_read(name, offset, length)
        except OSError as error:
            raise self._reading(error, name) from error
        if len(data) != length:
            raise truncated(self.where(name), offset, offset + length)
        return data

    def mapped(self, name: str) -> memoryview | None:
        """The whole content of a file, mapped into memory, if that can be."""
        try:
            with self._within(name) as (handle, last):
                descriptor = open_file(last, handle)
            try:
                size = os.fstat(descriptor).st_size
                return map_file(descriptor, 0, size) if size else None
            finally:
                release(descriptor)
        except OSError as error:
            raise self._reading(error, name) from error

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a file, whole and durably, only if nothing has that name; False if it was taken."""
        temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            self._anchor(name.rpartition("/")[0])
            with self._within(name) as (handle, last):
                try:
                    write_synchronised(temporary, data, handle)
                    try:
                        created = publish_file(temporary, last, handle, self._held)
                    except FileNotFoundError:  # others took it for a dead writer's, but are done
                        write_synchronised(temporary, data, handle)
                        created = publish_file(temporary, last, handle, self._held)
                finally:
                    with suppress(OSError):  # else the next writer cleans up
                        system.unlink(temporary, dir_fd=handle)
                if created:
                    system.fsync(handle)
                    self._changed = True
        except OSError as error:
            raise refusal(error, self.where(name), "write") from error
        return created

    def size(self, name: str) -> int:
        """Bytes of a file."""
        try:
            with self._within(name) as (handle, last):
                found = system.stat(last, dir_fd=handle)
                check_regular(found, last)
                return found.st_size
        except OSError as error:
            raise self._reading(error, name) from error

    def exists(self, name: str) -> bool:
        """Whether something has that name."""
        try:
            with self._within(name) as (handle, last):
                system.lstat(last, dir_fd=handle)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._reading(error, name) from error
        return True

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names of all files below ``prefix``, temporary ones and links included.

        Args:
            prefix: the begin of the names; up to its last slash it names a folder.
        """
        names: list[str] = []
        folders = [prefix.rpartition("/")[0]]
        with self._told(prefix, "read the folder"):
            while folders:
                folder = folders.pop()
                before = f"{folder}/" if folder else ""
                with suppress(FileNotFoundError):
                    # No Path for each file: an archive may have many.
                    for name, below in self._entries(folder):
                        (folders if below else names).append(before + name)
        return sorted(name for name in names if name.startswith(prefix))

    def rename(self, name: str, other: str) -> bool:
        """Give a file another name in its folder; False where it is not there."""
        to = other.rpartition("/")[2]
        self._let_go(name)
        with self._told(name, "rename"), _gone, self._within(name) as (handle, last):
            system.rename(last, to, src_dir_fd=handle, dst_dir_fd=handle)
            return True
        return False

    def delete(self, *names: str) -> None:
        """Remove files in this order; one that is not there is no error."""
        for name in names:
            self._let_go(name)
            with self._told(name, "delete"), _gone, self._within(name) as (handle, last):
                system.unlink(last, dir_fd=handle)
            if name.startswith(FOLDER):  # a power cut must not take one before those before it
                self._synchronise(FOLDER)
        for folder in dict.fromkeys(name.rpartition("/")[0] + "/" for name in names):
            if folder != FOLDER:
                self._synchronise(folder)

    def _let_go(self, name: str) -> None:
        """Close a file that is held open to be read again: what is removed must free its room."""
        with self._lock:
            if (descriptor := self._descriptors.pop(name, None)) is not None:
                release(descriptor)

    def _synchronise(self, folder: str) -> None:
        """Make the names in a folder durable; one that is not there has none."""
        with self._told(folder, "synchronise"), _gone, self._within(folder) as (handle, _):
            system.fsync(handle)

    @contextmanager
    def writing(self, tidy: Callable[[], None]) -> Iterator[None]:
        """Hold a shared lock on the folder, as every writer does.

        A block that writes nothing, for it finds all there already, makes durable what is there.

        Args:
            tidy: called first, under an exclusive lock, if no other writer holds one. Where the
                file system has no locks nothing is known of others, and it is not called.
        """
        if self._held is not None:  # locked already
            yield
            return
        with self._opened() as descriptor:
            try:
                alone = lock_alone(descriptor)
                if alone:
                    names = os.listdir(descriptor)  # noqa: PTH208 (a handle is no path)
                    if any(name.startswith(UNFINISHED) for name in names):
                        self._settle()  # before its mark is cleaned up, it must be there for good
                    tidy()
                if alone is not None:
                    lock_shared(descriptor)
            except OSError as error:
                raise refusal(error, self.where(""), "lock") from error
            self._changed = False
            yield
            if not self._changed:
                self._settle()

    @contextmanager
    def alone(self) -> Iterator[float]:
        """Hold an exclusive lock on the folder, all that is in it made durable first.

        Else a power cut could take the newest revision, which a dead writer left, when what only
        older ones need is removed already.

        Raises:
            ArchiveError: somebody holds another, the file system has no locks, or the folder
                cannot be opened, locked or synchronised.
        """
        with self._opened() as descriptor:
            with self._told("", "lock"):
                alone = lock_alone(descriptor)
            if not alone:
                raise ArchiveError(
                    f"{self.where('')}: somebody is writing to the archive, or the file system "
                    "cannot tell; try again later, or write a clean one with: kinpack copy"
                )
            self._settle()
            yield 0.0

    def ages(self) -> dict[str, float]:
        """Seconds since each file was written, as the system noted it.

        Raises:
            ArchiveError: the folder cannot be read.
        """
        now, written = time.time(), {}
        for name in self.list():
            with self._told(name, "read"), _gone, self._within(name) as (handle, last):
                written[name] = system.lstat(last, dir_fd=handle).st_mtime
        return {name: max(0.0, now - then) for name, then in written.items()}

    def begin(self, *, keep: bool = False) -> bool:
        """Make the folder, locked and marked, or take over what a dead writer left of it."""
        birth = FolderBirth(self.root, keep=keep)
        try:
            self._path = self.root.absolute()
            self._handle = open_folder(".", birth.handle)
        except OSError as error:
            birth.undo()
            raise refusal(error, self.where(""), "create the archive") from error
        self._birth, self._held = birth, birth.handle
        self._anchored = {""}
        return True

    def end(self, *, born: bool, keep: bool = False) -> None:
        """Take the mark away where the archive is born, else remove what was made of it."""
        birth, self._birth, self._held = self._birth, None, None
        if birth is not None:
            birth.born() if born else birth.release() if keep else birth.undo()

    def faults(self) -> builtins.list[str]:
        """Nothing: a folder is what its files are."""
        return []

    def is_moved(self) -> bool:
        """Whether another folder has its name by now, or none."""
        return self._handle is not None and not leads_to(self._path, self._handle)

    def close(self) -> None:
        """Close the descriptors that were kept open."""
        with self._lock:
            self._closed = True
            handles = [] if self._handle is None else [self._handle]
            for descriptor in (*self._descriptors.values(), *handles):
                release(descriptor)
            self._descriptors.clear()
            self._handle = None
            if self._birth is not None:
                self._birth.release()
                self._birth = None

    @contextmanager
    def _within(self, name: str) -> Iterator[tuple[int, str]]:
        """Handle of a file's folder, reached without following a link, and its name there.

        Raises:
            ArchiveError: the store is closed.
            OSError: there is none, a link is in the way, or the system refuses.
        """
        folder, _, last = name.rpartition("/")
        opened = []
        try:
            with self._lock:
                if self._closed:
                    raise closed(self.where(""))
                if self._handle is None:
                    self._path = self.root.absolute()  # whoever goes elsewhere does not move it
                    self._handle = open_folder(self.root)
                handle = self._handle
            for part in folder.split("/") if folder else ():
                handle = open_folder(part, handle)
                opened.append(handle)
            yield handle, last
        finally:
            for one in opened:
                release(one)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, to lock it by; whatever lock it holds ends with the block."""
        try:
            with self._within("") as (handle, _):
                descriptor = open_folder(".", handle)
        except OSError as error:
            raise refusal(error, self.where(""), "open") from error
        try:
            self._held = descriptor
            yield descriptor
        finally:
            self._held = None
            release(descriptor)

    def _entries(self, folder: str) -> builtins.list[tuple[str, bool]]:
        """Names in a folder, each with whether it is a folder itself.

        The store's own is opened anew: who reads a folder moves the place up to which its handle
        is read.
        """
        within = self._within(f"{folder}/" if folder else "./")
        with within as (handle, _), system.scandir(handle) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]

    def _open_and_read(self, name: str, offset: int, length: int) -> bytes:
        with self._lock:
            if (descriptor := self._descriptors.get(name)) is None:
                with self._within(name) as (handle, last):
                    descriptor = open_file(last, handle)
                if len(self._descriptors) < KEPT_OPEN:
                    self._descriptors[name] = descriptor
            kept = name in self._descriptors
        try:
            return read_at(descriptor, offset, length)
        finally:
            if not kept:
                release(descriptor)

    def _anchor(self, folder: str) -> None:
        """Make a folder of the store, and make it and the store itself durable, once.

        They may be there and not be durable yet: whoever made them may have died.
        """
        if folder in self._anchored:
            return
        with self._within("") as (handle, _):
            if folder:
                with suppress(FileExistsError):
                    system.mkdir(folder, dir_fd=handle)
                system.fsync(handle)
            if "" not in self._anchored:
                try:
                    synchronise("..", handle)
                except OSError as error:
                    if error.errno not in _NOT_ABOVE:
                        raise
        self._anchored |= {"", folder}

    def _settle(self) -> None:
        """Make the names of all files durable: a writer that died may not have come to it."""
        with self._told("", "synchronise"):
            folders = [name for name, below in self._entries("") if below]
            with self._within("") as (handle, _):
                for folder in [*folders, "."]:
                    synchronise(folder, handle)
            self._anchored.update(folders)
            self._anchor("")

    @contextmanager
    def _told(self, name: str, action: str) -> Iterator[None]:
        """A block in which a refusal of the system is told in one line."""
        try:
            yield
        except OSError as error:
            raise refusal(error, self.where(name), action) from error

    def _reading(self, error: OSError, name: str) -> ArchiveError:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return missing(self.where(name))
        return refusal(error, self.where(name), "read")
