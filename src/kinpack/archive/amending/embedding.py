"""Embedding: codes of a describer for the images that an archive holds, payloads untouched."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import Manifest, describer_entry
from kinpack.archive.revisions.snapshot import Snapshot, live_rows
from kinpack.archive.revisions.stored_codec import Codec, described_column
from kinpack.archive.segments.code_file import CodeFile, code_file
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import create_new
from kinpack.archive.stores.store import Store
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError
from kinpack.limits import batches
from kinpack.progress import Progress

_BATCH = 64
_LEARNED_FROM = 1 << 15  # images, at most

Coding = Callable[[Segment, Sequence[int]], dict[int, bytes]]
"""Gives packed codes of rows of a segment, by the row; one that has none is left out."""


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """What came of embedding.

    Attributes:
        name: of the column of codes.
        coded: images that were given a code now.
        images: images of the archive that have one.
    """

    name: str
    coded: int
    images: int


class Embedding:
    """A column of codes on its way into an archive: files in the store, in no manifest yet.

    Args:
        store: where the archive lies.
        name: of the column.
        describer: whose codes they are.
        coding: makes them.
        complete: whether segments that have codes of the very describer keep them.
    """

    def __init__(
        self, store: Store, name: str, describer: Describer, coding: Coding, *, complete: bool
    ) -> None:
        self._store, self._name, self._describer = store, name, describer
        self._coding, self._complete = coding, complete
        self._entry = describer_entry(name, describer.to_bytes())
        self._made: dict[str, tuple[CodeFile | None, int]] = {}
        self._offered = False

    def following(self, base: Snapshot) -> tuple[Manifest | None, EmbedReport]:
        """The manifest that gives a revision the codes, made where they are not yet.

        Args:
            base: the revision.

        Returns:
            The manifest, ``None`` if nothing would change; and what would come of it.

        Raises:
            ArchiveError: a segment is missing or damaged, or the store cannot be written.
            PayloadError: a packet is damaged.
        """
        manifest = base.manifest
        same = self._complete and manifest.describer(self._name) == self._entry
        entries, coded = [], 0
        for segment in base.segments:
            entry = segment.manifest_entry
            if not (same and entry.codes_of(self._name)):
                made, count = self._codes(segment)
                entry, coded = _with(entry, self._name, made), coded + count
            entries.append(entry)
        described = {one.name: one for one in manifest.describers} | {self._name: self._entry}
        describers = tuple(described.values())
        images = sum(entry.live for entry in entries if entry.codes_of(self._name))
        report = EmbedReport(self._name, coded, images)
        self._offered = tuple(entries) != manifest.segments or describers != manifest.describers
        if not self._offered:
            return None, report
        self._store.create(self._entry.file, self._describer.to_bytes())
        change = {"verb": "embed", "codes": self._name, "coded": coded}
        return manifest.following(tuple(entries), change, describers=describers), report

    def discard(self) -> None:
        """Delete the files, unless a manifest that names them may exist."""
        if not self._offered:
            self._store.delete(*(made.file for made, _ in self._made.values() if made))

    def _codes(self, segment: Segment) -> tuple[CodeFile | None, int]:
        """The file of a segment's codes, stored once; and how many images have one."""
        entry = segment.manifest_entry
        if entry.sha256 not in self._made:
            rows = live_rows(entry).tolist()
            codes = self._coding(segment, rows)
            made = None
            if len(codes) == len(rows):
                nothing = bytes(self._describer.code_bytes)
                data = b"".join(codes.get(row, nothing) for row in range(entry.rows))
                made = code_file(self._name, uuid.uuid4().hex, data)
                create_new(self._store, made.file, data)
            self._made[entry.sha256] = made, len(codes) if made else 0
        return self._made[entry.sha256]


def by_drawing(
    codec: Codec, describer: Describer, progress: Progress | None, threads: int | None
) -> Coding:
    """Codes of images as they are drawn.

    Args:
        codec: draws them.
        describer: describes them.
        progress: called with the number of images just described.
        threads: that work at a time; ``None`` for as many as there are cores.
    """

    def coding(segment: Segment, rows: Sequence[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        numbered = zip(rows, segment.packets(rows), strict=True)
        for batch in batches(numbered, _BATCH, n_bytes=lambda one: one[1].pixel_bytes):
            images = codec.decode([packet for _, packet in batch], threads=threads)
            codes = packed_codes(describer, images, threads=threads)
            found.update(zip((row for row, _ in batch), codes, strict=True))
            if progress:
                progress(len(batch))
        return found

    return coding


def latents_of(
    snapshot: Snapshot,
    codec: Codec,
    describer: Describer,
    progress: Progress | None,
    threads: int | None,
) -> NDArray[np.float32]:
    """What a describer gives of a revision's images, to learn books of: float32 (n, E).

    Of many images every so manyth is taken.

    Args:
        snapshot: the revision.
        codec: draws them.
        describer: describes them.
        progress: called with the number of images just described.
        threads: that work at a time; ``None`` for as many as there are cores.

    Raises:
        ArchiveError: a segment is missing or damaged.
        PayloadError: a packet is damaged.
    """
    chosen = range(0, len(snapshot), 1 + (len(snapshot) - 1) // _LEARNED_FROM)
    places = (snapshot.locate(position) for position in chosen)
    packets = (segment.packet(row) for segment, row in places)
    made = []
    for batch in batches(packets, _BATCH, n_bytes=lambda one: one.pixel_bytes):
        images = codec.decode(batch, threads=threads)
        made.append(describer.latents(images, threads=threads))
        if progress:
            progress(len(batch))
    return np.concatenate(made) if made else np.zeros((0, 1), np.float32)


def by_vectors(describer: Describer, vectors: Mapping[str, NDArray[np.float32]]) -> Coding:
    """Codes of vectors that were made elsewhere, by the images' ids.

    Raises:
        ArchiveError: when codes are made, an image has no vector.
    """

    def coding(segment: Segment, rows: Sequence[int]) -> dict[int, bytes]:
        ids = segment.ids.to_pylist()
        for row in rows:
            if ids[row] not in vectors:
                raise ArchiveError(
                    f"{segment.where}: there is no vector of image {ids[row]!r}; give one for each"
                )
        if not rows:
            return {}
        given = np.stack([vectors[ids[row]] for row in rows])
        packed = describer.quantiser.pack(describer.quantiser.encode(describer.projected(given)))
        return {row: code.tobytes() for row, code in zip(rows, packed, strict=True)}

    return coding


def without_column(base: Snapshot, name: str, where: str) -> Manifest:
    """The revision after one, without a column of codes.

    Args:
        base: the revision.
        name: of the column.
        where: the archive's name for messages.

    Raises:
        SearchError: there is no such column.
    """
    manifest = base.manifest
    described_column(manifest, name, where)
    segments = tuple(_with(entry, name, None) for entry in manifest.segments)
    describers = tuple(one for one in manifest.describers if one.name != name)
    change = {"verb": "remove codes", "codes": name}
    return manifest.following(segments, change, describers=describers)


def _with(entry: SegmentEntry, name: str, codes: CodeFile | None) -> SegmentEntry:
    """What a manifest says of a segment with other codes in a column, or with none."""
    kept = [one for one in entry.codes if one.column != name]
    return replace(entry, codes=tuple([*kept, codes] if codes else kept))
