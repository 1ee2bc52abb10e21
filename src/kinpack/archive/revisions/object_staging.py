"""Staging in an object store: a new archive is there as soon as its first manifest is."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from kinpack.archive.revisions.commit import remove_leftovers
from kinpack.archive.stores.format import FOLDER
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.archive.stores.system_errors import existing
from kinpack.errors import ArchiveError

_OURS = ("segments/", "codes/", "codecs/", "describers/")


class ObjectStaging:
    """A new archive that grows below its prefix; nobody sees one there before its first manifest.

    Of several that make an archive at the same place, the first manifest decides. What a killed
    one leaves is removed by ``gc``, once there is an archive.

    Args:
        address: where the archive is to lie.

    Attributes:
        target: the address.
        store: the store below it.

    Raises:
        ArchiveError: there is an archive already, or the store cannot be written.
        MissingExtraError: obstore is not installed.
    """

    def __init__(self, address: str) -> None:
        self.target = address
        self.store = ObjectStore(address)
        if self.store.list(FOLDER):
            raise existing(self.store.where(""))
        self._writing = ExitStack()
        self._writing.enter_context(self.store.writing(lambda: None))

    def publish(self) -> None:
        """Let others clean up again; the first manifest has made the archive."""
        self._writing.close()

    def discard(self) -> None:
        """Remove what no archive needs, unless there may be one, or somebody else writes."""
        self._writing.close()
        if self.store.unclear:
            return
        with suppress(ArchiveError), self.store.alone():
            if self.store.list(FOLDER):  # somebody else was faster
                remove_leftovers(self.store)
            else:
                names = self.store.list()
                self.store.delete(*(name for name in names if name.startswith(_OURS)))
