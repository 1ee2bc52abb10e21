"""One archive as a server gives it: its images, in other sizes and formats too, and its files."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kinpack.archive.archive import Archive
from kinpack.archive.revisions.stored_files import StoredFile, file_type
from kinpack.codec.classic.stored_file import whole_file
from kinpack.codec.packets.packet import Packet
from kinpack.errors import ArchiveError, KinpackError, NotFoundError, PayloadError
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.pictures.picture_writing import encode_image
from kinpack.web.site import name_of
from kinpack.web.views import View, view_data

Made: TypeAlias = Literal["png", "webp", "jpeg"]
"""Formats that pictures are coded into when they are asked for."""

FOLDERS = ("manifests/", "codecs/", "describers/", "segments/", "codes/")
"""Where the files of an archive lie; nothing else in its folder is served."""
_QUALITY: dict[Made, int | None] = {"png": None, "webp": 80, "jpeg": 85}
"""Of smaller copies; whole images are lossless, or nearly so."""
_MOST_KEPT = 64 << 20  # bytes of pictures that were made
_MOST_RANGE = 64 << 20  # bytes of one answer
_FRESH = 2.0  # seconds for which nobody looks whether there is a newer revision


class NoSuchRangeError(KinpackError):
    """A file has no such bytes, or too many are asked for."""


class Served:
    """An archive that is read by many at once.

    Args:
        archive: open; it its newest revision is shown, unless ``fixed``.
        name: what addresses call it.
        fixed: whether it stays as it is.

    Attributes:
        archive: as given.
        name: as given.
        title: what pages call it.
        is_near: whether it lies on a disk of this machine, so that reading one image is quick.
    """

    def __init__(self, archive: Archive, name: str, *, fixed: bool = False) -> None:
        self.archive, self.name, self._fixed = archive, name, fixed
        self.title = name_of(archive.where)
        self.is_near = isinstance(archive.path, Path)
        self._looked = time.monotonic()
        self._kept: OrderedDict[tuple[int, str, Made, int], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._keeping = threading.Lock()
        self._views: dict[View, tuple[int, bytes]] = {}
        self._viewing = threading.Lock()  # one is computed at a time

    def refresh(self) -> None:
        """Show the newest revision, looked for at most every other second."""
        now = time.monotonic()
        if self._fixed or now - self._looked < _FRESH:
            return
        self._looked = now
        self.archive.refresh()

    def told(self, error: Exception) -> str:
        """An error's text, the place of the archive left out."""
        return (
            str(error)
            .replace(self.archive.where, self.name)
            .replace(str(self.archive.path), self.name)
        )

    def packet(self, id: str) -> Packet:  # noqa: A002
        """An image as it is stored, of the newest revision.

        Raises:
            NotFoundError: the id is not there.
            PayloadError: the packet is damaged.
        """
        self.refresh()
        return self.archive.packet(id)

    @staticmethod
    def whole(packet: Packet) -> StoredFile | None:
        """The file that a packet is; ``None`` where a picture is to be drawn."""
        data = whole_file(packet)
        return None if data is None else StoredFile(file_type(packet), data)

    def known(self, id: object) -> None:  # noqa: A002
        """See that an id is one of the archive's; nothing is told of files of that name.

        Raises:
            NotFoundError: it is not.
        """
        if isinstance(id, str) and id not in self.archive:
            raise NotFoundError(f"{self.name}: there is no image {id!r}")

    def file(self, id: str, packet: Packet) -> StoredFile:  # noqa: A002
        """The file that a packet is, or a PNG that is drawn of it.

        Args:
            id: of the image, for messages.
            packet: what is stored of it.

        Raises:
            PayloadError: the payload is damaged.
        """
        found = self.whole(packet)
        if found is not None:
            return found
        data = encode_image(self._drawn(id, packet), format="png", where=f"image {id!r}")
        return StoredFile("image/png", data)

    def made(self, id: str, packet: Packet, form: Made, side: int) -> bytes:  # noqa: A002
        """An image in another format, its longer side reduced; the last ones are kept.

        Args:
            id: of the image, for messages.
            packet: what is stored of it.
            form: format of the picture.
            side: most pixels of the longer side, 0 for any.

        Raises:
            PayloadError: the payload is damaged.
        """
        key = (packet.checksum(), id, form, side)
        with self._keeping:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        image, quality = self._drawn(id, packet), None
        if side:
            image, quality = load_image(to_pil(image), size=side), _QUALITY[form]
        data = encode_image(image, format=form, quality=quality, where=f"image {id!r}")
        with self._keeping:
            if key not in self._kept:
                self._kept[key] = data
                self._kept_bytes += len(data)
            while self._kept_bytes > _MOST_KEPT:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return data

    def _drawn(self, id: str, packet: Packet) -> Image:  # noqa: A002
        try:
            return self.archive.codec.decode([packet])[0]
        except PayloadError as error:
            raise PayloadError(f"{self.name}: image {id!r}: {error}") from error

    def view(self, view: View) -> bytes:
        """The data of a view of the newest revision, computed at the first need."""
        with self._viewing:
            number = self.archive.manifest.number
            kept = self._views.get(view)
            if kept is None or kept[0] != number:
                kept = self._views[view] = (number, view_data(self.archive, view))
            return kept[1]

    def files(self) -> dict[str, int]:
        """The archive's files, and their bytes."""
        store = self.archive.store
        names = [name for folder in FOLDERS for name in store.list(folder)]
        sizes = {}
        for name in names:
            if "/." in name:
                continue  # of somebody who writes
            try:
                sizes[name] = store.size(name)
            except ArchiveError:
                continue  # it was collected meanwhile
        return sizes

    def part(self, name: str, asked: str | None) -> tuple[bytes, dict[str, Any]]:
        """Bytes of one of the archive's files, and the headers that go with them.

        Args:
            name: of the file.
            asked: the ``Range`` header, if there is one.

        Raises:
            NotFoundError: there is no such file.
            NoSuchRangeError: there is no such range, or it is too long.
        """
        if not name.startswith(FOLDERS) or ".." in name.split("/") or "/." in name or "\0" in name:
            raise NotFoundError(f"{self.name}: there is no file {name!r}")
        store = self.archive.store
        if not store.exists(name):
            raise NotFoundError(f"{self.name}: there is no file {name!r}")
        size = store.size(name)
        first, stop = _range(asked, size)
        if stop - first > _MOST_RANGE:
            raise NoSuchRangeError(f"{self.name}/{name}: ask for {_MOST_RANGE:,} bytes at most")
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{size:x}"'}  # a name is written once
        if asked is not None:
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        return store.read_range(name, first, stop - first), headers


def _range(asked: str | None, size: int) -> tuple[int, int]:
    """The first byte that is asked for, and the one behind the last."""
    if asked is None:
        return 0, size
    unit, _, span = asked.partition("=")
    first, dash, last = span.strip().partition("-")
    digits = all(part.isascii() and part.isdigit() for part in (first, last) if part)
    if unit.strip() == "bytes" and dash and digits and (first or last):
        begin = int(first[:18]) if first else max(0, size - int(last[:18]))
        stop = min(size, int(last[:18]) + 1) if first and last else size
        if begin < stop:
            return begin, stop
    raise NoSuchRangeError(f"there is no range {asked[:40]!r} of {size:,} bytes")
