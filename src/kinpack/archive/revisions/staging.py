"""Staging: a new archive is built beside its final name, and appears there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kinpack.archive.stores.buckets import is_object_address
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.locks import is_same, lock_alone, release
from kinpack.archive.stores.noreplace import publish_folder
from kinpack.archive.stores.opening import check_place, is_address
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.synchronised import synchronise_folder
from kinpack.archive.stores.system_errors import existing, refusal
from kinpack.errors import ArchiveError

if TYPE_CHECKING:
    from kinpack.archive.revisions.object_staging import ObjectStaging

_OURS = frozenset({"codecs", "describers", "segments", "codes", "manifests"})
_ATTEMPTS = 10


class Staging:
    """A locked folder ``.<name>.partial`` beside the target, in which a new archive grows.

    The lock goes with its process, however that ends, and the next one cleans up behind it.

    Args:
        target: the archive's final path.

    Attributes:
        target: the archive's final path.
        folder: the folder beside it.
        store: the store in that folder.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.parent / f".{target.name}.partial"
        if not target.name or target.name in (".", ".."):
            raise ArchiveError(f"{target}: no name for an archive; name a new folder")
        try:
            self._lock = self._begin()
        except OSError as error:
            if not os.path.isdir(target.parent):  # noqa: PTH112 (which never raises)
                raise ArchiveError(
                    f"{target}: cannot create the archive: {target.parent} is no folder; "
                    "make it first"
                ) from error
            raise refusal(error, target, "create the archive") from error
        self.store = FolderStore(self.folder, owned=True, called=target)

    def publish(self) -> None:
        """Give the finished archive its name, durably; the store lies there afterwards.

        Raises:
            ArchiveError: something has taken the name meanwhile, or the system refuses.
        """
        try:
            synchronise_folder(self.folder)
            if not publish_folder(self.folder, self.target):
                raise existing(str(self.target))
            self.store.root, self.store.owned = self.target, False
            synchronise_folder(self.target.parent)
        except OSError as error:
            raise refusal(error, self.target, "create the archive") from error
        release(self._lock)

    def discard(self) -> None:
        """Remove the unfinished archive; one that has its final name already stays."""
        if is_same(self._lock, self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        release(self._lock)

    def _begin(self) -> int:
        """Make the folder, or take over a dead writer's; gives its locked descriptor."""
        for _ in range(_ATTEMPTS):
            if os.path.lexists(self.target):
                raise existing(str(self.target))
            self.folder.mkdir(exist_ok=True)
            try:
                descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                locked = lock_alone(descriptor)
                names = set(os.listdir(descriptor))  # noqa: PTH208 (the folder that was opened)
                if locked is False or (locked is None and names):
                    raise ArchiveError(
                        f"{self.target}: another process is writing this archive; wait for it, or "
                        f"remove {self.folder} if there is none"
                    )
                if not names <= _OURS:
                    raise ArchiveError(
                        f"{self.folder}: this folder is in the way and not of kinpack's making; "
                        "move it elsewhere"
                    )
                if is_same(descriptor, self.folder):  # else its owner was quicker
                    for name in names:
                        shutil.rmtree(self.folder / name)
                    return descriptor
            except BaseException:
                release(descriptor)
                raise
            release(descriptor)
        raise ArchiveError(f"{self.target}: other processes create and remove it; try again")


def stage(target: str | os.PathLike[str]) -> Staging | ObjectStaging:
    """Begin a new archive, in a folder or in an object store.

    Args:
        target: the archive's final path or address.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    check_place(target)
    if isinstance(target, str) and is_object_address(target):
        from kinpack.archive.revisions.object_staging import ObjectStaging

        return ObjectStaging(target)
    if isinstance(target, str) and is_address(target):
        raise ArchiveError(f"{target}: a web server cannot be written to; name a folder")
    return Staging(Path(target))


@contextmanager
def building(target: str | os.PathLike[str]) -> Iterator[Store]:
    """A store in which a new archive is made, and which gets its name at the end of the block.

    Args:
        target: the archive's final path or address.

    Yields:
        The store; whatever leaves the block as an error leaves no archive.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    staging = stage(target)
    try:
        yield staging.store
        staging.publish()
    except BaseException:
        staging.discard()
        raise
    finally:
        staging.store.close()
