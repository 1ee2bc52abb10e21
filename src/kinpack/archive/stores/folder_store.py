"""Folder store: the files of an archive in a local folder, written durably and locked."""

from __future__ import annotations

import builtins
import errno
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinpack.archive.stores.locks import lock_alone, lock_shared, release
from kinpack.archive.stores.noreplace import publish_file
from kinpack.archive.stores.store import TEMPORARY
from kinpack.archive.stores.synchronised import synchronise_folder, write_synchronised
from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError, shown

_KEPT_OPEN = 128
_LARGE = 1 << 20
_NOT_ABOVE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOTSUP})


class FolderStore:
    """A store in a local folder.

    Files are written under a temporary name, synchronised, given their final name if it is free,
    and the folder is synchronised. Reads are positioned, on descriptors that are kept open, and
    may come from many threads.

    Attributes:
        root: the folder.
        owned: True while the folder is a private one that its owner has locked already;
            ``writing`` then takes no lock.
        called: what messages call the folder.
    """

    def __init__(self, root: Path, *, owned: bool = False, called: Path | None = None) -> None:
        self.root = root
        self.owned = owned
        self.called = called or root
        self._lock = threading.Lock()
        self._descriptors: dict[str, int] = {}
        self._anchored: set[str] = set()
        self._changed = False
        self._closed = False

    def where(self, name: str) -> str:
        """The path of a file, or of the folder for an empty name."""
        return shown(self.called / name if name else self.called)

    def read(self, name: str) -> bytes:
        """The whole content of a file.

        Raises:
            ArchiveError: it is missing or cannot be read.
        """
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise self._reading(error, name) from error

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file from byte ``offset`` on.

        Raises:
            ArchiveError: it is missing, shorter, or cannot be read.
        """
        try:
            descriptor = self._descriptors.get(name)
            if descriptor is not None:
                data = _read_at(descriptor, offset, length)
            else:
                data = self._open_and_read(name, offset, length)
        except OSError as error:
            raise self._reading(error, name) from error
        if len(data) != length:
            raise ArchiveError(
                f"{self.where(name)}: truncated: bytes {offset} to {offset + length} are not all "
                "there; restore the file from a copy"
            )
        return data

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a file, whole and durably, only if no file has that name.

        Returns:
            True if written, False if the name was taken.

        Raises:
            ArchiveError: the system refuses: a full disk, a read-only place, missing rights.
        """
        final = self.root / name
        temporary = final.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            self._anchor(name.rpartition("/")[0])
            try:
                write_synchronised(temporary, data)
                created = publish_file(temporary, final)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            if created:
                synchronise_folder(final.parent)
                self._changed = True
        except OSError as error:
            raise refusal(error, self.where(name), "write") from error
        return created

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            ArchiveError: it is missing or cannot be reached.
        """
        try:
            return (self.root / name).stat().st_size
        except OSError as error:
            raise self._reading(error, name) from error

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name.

        Raises:
            ArchiveError: the folder cannot be reached.
        """
        try:
            os.stat(self.root / name)  # noqa: PTH116 (Path.exists may hide errors)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._reading(error, name) from error
        return True

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names of all files below ``prefix``, temporary ones included.

        Args:
            prefix: the begin of the names; up to its last slash it names a folder.

        Raises:
            ArchiveError: the folder cannot be read.
        """
        start = self.root / prefix.rpartition("/")[0]

        def failed(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        names = []
        try:
            # No Path for each file: an archive may have many.
            for folder, _, files in os.walk(start, onerror=failed):
                inside = Path(folder).relative_to(self.root).as_posix()
                names += files if inside == "." else [f"{inside}/{file}" for file in files]
        except OSError as error:
            raise refusal(error, self.where(prefix), "read the folder") from error
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, *names: str) -> None:
        """Remove files in this order; one that is not there is no error.

        Raises:
            ArchiveError: the system refuses.
        """
        for name in names:
            with self._lock:
                descriptor = self._descriptors.pop(name, None)
                if descriptor is not None:
                    release(descriptor)
            try:
                (self.root / name).unlink(missing_ok=True)
            except OSError as error:
                raise refusal(error, self.where(name), "delete") from error
        for folder in dict.fromkeys((self.root / name).parent for name in names):
            try:
                synchronise_folder(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refusal(error, folder, "synchronise") from error

    @contextmanager
    def writing(self, tidy: Callable[[], None]) -> Iterator[None]:
        """Hold a shared lock on the folder, as every writer does.

        A block that writes nothing, for it finds all there already, makes durable what is there.

        Args:
            tidy: called first, under an exclusive lock, if no other writer holds one. Where the
                file system has no locks nothing is known of others, and it is not called.

        Raises:
            ArchiveError: the folder cannot be opened or locked.
        """
        if self.owned:
            yield
            return
        with self._opened() as descriptor:
            try:
                alone = lock_alone(descriptor)
                if alone:
                    tidy()
                if alone is not None:
                    lock_shared(descriptor)
            except OSError as error:
                raise refusal(error, self.called, "lock") from error
            self._changed = False
            yield
            if not self._changed:
                self._settle()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold an exclusive lock on the folder, all that is in it made durable first.

        Else a power cut could take the newest revision, which a dead writer left, when what only
        older ones need is removed already.

        Raises:
            ArchiveError: somebody holds another, the file system has no locks, or the folder
                cannot be opened, locked or synchronised.
        """
        with self._opened() as descriptor:
            try:
                alone = lock_alone(descriptor)
            except OSError as error:
                raise refusal(error, self.called, "lock") from error
            if not alone:
                raise ArchiveError(
                    f"{self.called}: somebody is writing to the archive, or the file system cannot "
                    "tell; try again later, or write a clean one with: kinpack copy"
                )
            self._settle()
            yield

    def faults(self) -> builtins.list[str]:
        """Nothing: a folder is what its files are."""
        return []

    def close(self) -> None:
        """Close the descriptors that were kept open."""
        with self._lock:
            self._closed = True
            for descriptor in self._descriptors.values():
                release(descriptor)
            self._descriptors.clear()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, to lock it by; whatever lock it holds ends with the block."""
        try:
            descriptor = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise refusal(error, self.called, "open") from error
        try:
            yield descriptor
        finally:
            release(descriptor)

    def _open_and_read(self, name: str, offset: int, length: int) -> bytes:
        with self._lock:
            if self._closed:
                raise ArchiveError(f"{self.where('')}: the archive is closed; open it again")
            descriptor = self._descriptors.get(name)
            if descriptor is None and len(self._descriptors) < _KEPT_OPEN:
                descriptor = os.open(self.root / name, os.O_RDONLY | os.O_CLOEXEC)
                self._descriptors[name] = descriptor
        if descriptor is not None:
            return _read_at(descriptor, offset, length)
        with (self.root / name).open("rb") as file:
            return _read_at(file.fileno(), offset, length)

    def _anchor(self, folder: str) -> None:
        """Make a folder of the store, and make it and the store itself durable, once.

        They may be there already and not be durable yet: whoever made them may have died, or may
        just be making them.
        """
        if folder in self._anchored:
            return
        if folder:
            (self.root / folder).mkdir(exist_ok=True)
            synchronise_folder(self.root)
        if not self.owned and "" not in self._anchored:
            try:
                synchronise_folder(self.root / "..")
            except OSError as error:
                if error.errno not in _NOT_ABOVE:
                    raise
            self._anchored.add("")
        self._anchored.add(folder)

    def _settle(self) -> None:
        """Make the names of all files durable: a writer that died may not have come to it."""
        try:
            folders = [entry.name for entry in list(os.scandir(self.root)) if entry.is_dir()]
            for folder in folders:
                synchronise_folder(self.root / folder)
            synchronise_folder(self.root)
            self._anchored.update(folders)
            self._anchor("")
        except OSError as error:
            raise refusal(error, self.called, "synchronise") from error

    def _reading(self, error: OSError, name: str) -> ArchiveError:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return ArchiveError(
                f"{self.where(name)}: this file of the archive is missing; open the archive again "
                "if it was cleaned up meanwhile, else restore the file from a copy"
            )
        return refusal(error, self.where(name), "read")


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    if length > _LARGE and os.fstat(descriptor).st_size < offset + length:
        return b""  # a length that a file only claims must not be allocated
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    done = len(data)
    while done < length and (part := os.pread(descriptor, length - done, offset + done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)
