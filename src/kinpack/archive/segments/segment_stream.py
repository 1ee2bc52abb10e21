"""Streams of packets into a store: as many segments as they need, in no manifest yet."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from kinpack.archive.segments.code_file import code_file
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_index import Index
from kinpack.archive.segments.segment_writer import SegmentWriter
from kinpack.codec.packets.packet import Packet
from kinpack.errors import ArchiveError


class Sink(Protocol):
    """The part of a ``Store`` that files are written to."""

    def where(self, name: str) -> str:
        """How messages call a file, or for an empty name the store itself."""
        ...

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a file, whole and durably, only if absent; False if the name was taken."""
        ...

    def delete(self, *names: str) -> None:
        """Remove files, durably; one that is not there is no error."""
        ...


class SegmentStream:
    """Gathers packets, and stores a segment whenever one is full.

    Nobody sees the segments before a manifest names them.

    Args:
        store: where to.
        codec: SHA-256 of the codec file, hexadecimal.

    Attributes:
        segments: what a manifest is to say of the segments that are stored, in order.
        last_index: of the last of them: who reads it next need not read the file.
        rows: images in all of them and in the one that is being gathered.
    """

    def __init__(self, store: Sink, codec: str) -> None:
        self.segments: list[SegmentEntry] = []
        self.last_index: Index | None = None
        self.rows = 0
        self._store = store
        self._codec = codec
        self._writer = SegmentWriter(codec, where=store.where(""))
        self._codes = bytearray()

    def add(
        self,
        id: str,  # noqa: A002
        columns: Mapping[str, Any],
        packet: Packet,
        code: bytes = b"",
    ) -> tuple[int, int]:
        """Append one image.

        Args:
            id: its name.
            columns: what else is known of it, by the column's name.
            packet: the image, coded.
            code: the describer's packed code of it; empty if the archive has no describer.

        Returns:
            The place of its segment in ``segments``, and its row there.

        Raises:
            ArchiveError: the image cannot be written, or the segment before it.
        """
        if self._writer.full:
            self.flush()
        place = len(self.segments), self._writer.rows
        if len(self._codes) != place[1] * len(code):
            raise ArchiveError(
                f"{self._store.where('')}: the describer's code of image {id!r} has {len(code)} "
                "bytes, those before it another size; one archive takes the codes of one describer"
            )
        self._writer.add(id, columns, packet)
        self._codes += code
        self.rows += 1
        return place

    def take(self, image: StoredImage) -> None:
        """Append one image that an archive keeps already; raises as ``add`` does."""
        self.add(image.id, image.columns, image.packet, image.code or b"")

    def flush(self) -> None:
        """Store what has been gathered, and begin another segment.

        Raises:
            ArchiveError: the store cannot be written.
        """
        if not self._writer.rows:
            return
        data, entry, self.last_index = self._writer.finish()
        self._writer = SegmentWriter(self._codec, where=self._store.where(""))
        codes, self._codes = bytes(self._codes), bytearray()
        if codes:
            entry = replace(entry, codes=code_file(entry.name, codes))
        self.segments.append(entry)
        contents: tuple[memoryview | bytes, ...] = (data, codes)
        for file, content in zip(entry.files, contents, strict=False):
            if not self._store.create(file, content):
                raise ArchiveError(
                    f"{self._store.where(file)}: this random name was taken; try again"
                )

    def discard(self) -> None:
        """Delete what was stored, as far as the store allows; for segments in no manifest."""
        with suppress(ArchiveError):
            self._store.delete(*(file for entry in self.segments for file in entry.files))
