"""Reading: the images of one revision of an archive, by id, by position and by kin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import (
    Codec,
    described_column,
    load_codec,
    load_describer,
)
from kinpack.archive.revisions.stored_files import StoredFile, stored_files
from kinpack.archive.searching.filtering import holding
from kinpack.archive.searching.index_table import table_of
from kinpack.archive.searching.searched import Searched
from kinpack.archive.searching.searcher import Searcher
from kinpack.archive.searching.sought import code_of
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import Store
from kinpack.arguments import whole_number
from kinpack.codec.packets.packet import Packet
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError, NotFoundError, PayloadError, PositionError, counted
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import SearchError
from kinpack.search.hit import Hit
from kinpack.search.query import Examples, Query

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

    from kinpack.describers.describer import Describer

Made = TypeVar("Made")


class Reader:
    """What can be read of an archive's revision; ``Archive`` adds opening and writing.

    Its methods may be called from many threads.

    Args:
        store: where the archive lies.
        manifest: the revision.
        codec: the archive's codec, if it is loaded already.
        describers: those of the archive's describers that are loaded already, by their SHA-256.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        codec: Codec | None = None,
        describers: Mapping[str, Describer] | None = None,
    ) -> None:
        self._store = store
        self._snapshot = Snapshot(store, manifest)
        self._codec = codec
        self._loaded = dict(describers or {})
        self._asked: tuple[Snapshot, Searcher] | None = None

    @property
    def codec(self) -> Codec:
        """The codec that all payloads depend on, loaded at the first need.

        Raises:
            ArchiveError: its file is missing or damaged.
            CodecError: this version cannot read it.
        """
        if self._codec is None:
            self._codec = load_codec(self._store, self._snapshot.manifest)
        return self._codec

    @property
    def describer(self) -> Describer | None:
        """What makes the codes that are usually searched, ``None`` where there are none.

        Raises:
            ArchiveError: its file is missing or damaged, or does not fit the codes.
            CodecError: this version cannot read it.
        """
        entries = self._snapshot.manifest.describers
        return self._described(self._snapshot.manifest, entries[0].name) if entries else None

    @property
    def describers(self) -> dict[str, Describer]:
        """What makes the codes for searching, by the names of their columns, the usual one first.

        Raises:
            ArchiveError: a file is missing or damaged, or does not fit the codes.
            CodecError: this version cannot read one.
        """
        manifest = self._snapshot.manifest
        return {entry.name: self._described(manifest, entry.name) for entry in manifest.describers}

    def _described(self, manifest: Manifest, name: str) -> Describer:
        """The describer of a column of codes, loaded at the first need."""
        entry = manifest.describer(name)
        if entry is None or entry.sha256 not in self._loaded:
            found = load_describer(self._store, manifest, name)
            self._loaded[found.describer_id] = found
            return found
        return self._loaded[entry.sha256]

    @property
    def manifest(self) -> Manifest:
        """The commit whose revision is shown."""
        return self._snapshot.manifest

    @property
    def snapshot(self) -> Snapshot:
        """The revision that is shown, image by image."""
        return self._snapshot

    @property
    def store(self) -> Store:
        """Where the archive's files lie."""
        return self._store

    @property
    def where(self) -> str:
        """What messages call the archive."""
        return self._store.where("")

    def __len__(self) -> int:
        return len(self._snapshot)

    def __contains__(self, name: object) -> bool:
        return name in self._snapshot

    def __iter__(self) -> Iterator[Image]:
        """All images, uint8 (H, W, C), in the order of positions, in bounded memory."""
        return (image for _, image in self.images())

    @overload
    def __getitem__(self, at: SupportsIndex | str) -> Image: ...
    @overload
    def __getitem__(self, at: slice) -> list[Image]: ...
    def __getitem__(self, at: SupportsIndex | str | slice) -> Image | list[Image]:
        """An image by its position or its id, or a list of images by a slice of positions.

        Args:
            at: a position, from the end where it is negative; an id; or a slice, whose images are
                decoded at once.

        Raises:
            PositionError: there is no such position; an ``IndexError`` as well.
            NotFoundError: the id is not there.
            PayloadError: a packet is damaged.
            ArchiveError: a segment, or the codec, is missing or damaged.
        """
        if isinstance(at, str):
            return self.read(at)
        snapshot = self._snapshot
        images = self._images(snapshot, self._positions(snapshot, at))
        return images if isinstance(at, slice) else images[0]

    def __getitems__(self, positions: Sequence[SupportsIndex]) -> list[Image]:
        """Images by their positions, decoded at once, as a ``DataLoader`` asks for a batch."""
        snapshot = self._snapshot
        return self._images(snapshot, [self._positions(snapshot, at)[0] for at in positions])

    def __repr__(self) -> str:
        n, segments = len(self), len(self.manifest.segments)
        what = f"{counted(n, 'image')} in {counted(segments, 'segment')}"
        what += f", revision {self.manifest.number:,}"
        return f"<{type(self).__name__} {self.where}: {what}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first two dozen images, as a page that stands by itself."""
        from kinpack.archive.revisions.contact_sheet import contact_sheet

        return contact_sheet(repr(self), self._snapshot, self.__getitem__)

    @property
    def ids(self) -> list[str]:
        """All ids, in the order of positions, which is that of adding."""
        return list(self._snapshot.ids())

    @property
    def labels(self) -> list[str | None]:
        """The label of every image, in the order of positions."""
        return list(self._snapshot.labels())

    @property
    def columns(self) -> Schema:
        """The types of the columns that were added, by their names: ``int64``, ``string`` …."""
        return dict(self._snapshot.manifest.columns)

    def table(self) -> pa.Table:
        """What is known of every image, without its payload, a row each in the order of positions.

        Returns:
            An Arrow table of the columns ``id``, ``label``, ``width``, ``height``, ``channels``,
            ``kind`` (a text), ``quality``, ``length`` (bytes of the payload), and those that were
            added.

        Raises:
            ArchiveError: a segment is missing or damaged.
        """
        return table_of(self._snapshot)

    def codes_of(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The codes of a column, as far as images have one.

        Args:
            name: of the column.

        Returns:
            Packed codes, uint8 (n, bytes of a code), and int64 (n,), the positions of their images.

        Raises:
            SearchError: there is no such column.
            ArchiveError: a file of codes is missing or damaged.
        """
        described_column(self.manifest, name, self.where)
        codes, positions = self._snapshot.codes_of(name)
        return codes.whole(), np.arange(len(codes)) if positions is None else positions

    def bits_used(self, name: str) -> float:
        """Bits that the codes of a column use: the entropy of each book's words, added up.

        A code has ``M log2 K`` of them; where few are used, it tells few images apart.

        Raises:
            SearchError: there is no such column.
            ArchiveError: the describer's file, or one of codes, is missing or damaged.
            CodecError: this version cannot read the describer.
        """
        describer = self._described(self.manifest, name)
        packed, _ = self.codes_of(name)
        return describer.bits_used(describer.quantiser.unpack(packed)) if len(packed) else 0.0

    def parts(self) -> Iterator[tuple[Segment, NDArray[np.int64] | None]]:
        """Every segment with its live rows, ascending, int64; ``None`` where all are."""
        return self._snapshot.parts()

    def entries(self, where: pc.Expression | None = None) -> Iterator[ImageEntry]:
        """What is known of every image without its payload, in the order of positions.

        Args:
            where: only of images for which this holds, an expression as for ``Query``.

        Raises:
            SearchError: it cannot be evaluated.
            ArchiveError: a segment is missing or damaged.
        """
        snapshot = self._snapshot
        if where is None:
            return snapshot.entries()
        return compress(snapshot.entries(), holding(snapshot, where).tolist())

    def sql_filter(self, condition: str) -> pc.Expression:
        """Make an expression of a condition in SQL: it holds for the images that pass now.

        DuckDB runs it, which the extra ``sql`` brings, over the columns of ``table``; it can
        reach neither files nor the network. It is for what you write yourself: of strangers make
        expressions of pyarrow.

        Args:
            condition: what would follow WHERE, as ``camera = 'X70' AND date >= '2020-01-01'``.

        Raises:
            SearchError: it is no condition, a column is not there, or no image passes.
            MissingExtraError: DuckDB is not installed.
            ArchiveError: a segment is missing or damaged.
        """
        from kinpack.archive.searching.sql import sql_filter

        return sql_filter(self._snapshot, condition)

    def entry(self, id: str) -> ImageEntry:  # noqa: A002
        """What is known of one image without its payload.

        Raises:
            NotFoundError: the id is not there.
            ArchiveError: its segment is missing or damaged.
        """
        snapshot = self._snapshot
        return snapshot.entry(snapshot.position(id))

    def position(self, id: str) -> int:  # noqa: A002
        """The position of an image: its place in ``ids``, ``labels`` and ``codes``.

        Positions keep while images are added, and close up when some are removed.

        Raises:
            NotFoundError: the id is not there.
        """
        return self._snapshot.position(id)

    def packet(self, id: str) -> Packet:  # noqa: A002
        """One image as it is stored, its checksum verified.

        Raises:
            NotFoundError: the id is not there.
            PayloadError: the packet is damaged.
            ArchiveError: its segment is missing or damaged.
        """
        snapshot = self._snapshot
        segment, row = snapshot.locate(snapshot.position(id))
        return segment.packet(row)

    def read(self, id: str) -> Image:  # noqa: A002
        """One image, uint8, shape (height, width, channels).

        Raises:
            NotFoundError: the id is not there.
            PayloadError: the packet is damaged.
            ArchiveError: its segment, or the codec, is missing or damaged.
        """
        snapshot = self._snapshot
        return self._images(snapshot, [snapshot.position(id)])[0]

    def read_many(self, ids: Iterable[str], *, threads: int | None = None) -> list[Image]:
        """Several images, in the order of ``ids``.

        Args:
            ids: of the images.
            threads: for decoding; by default as many as suit the machine.

        Raises:
            NotFoundError: an id is not there.
            PayloadError: a packet is damaged.
            ArchiveError: a segment, or the codec, is missing or damaged.
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise NotFoundError(f"{self.where}: read_many takes a list of ids; one is read(ID)")
        snapshot = self._snapshot
        return self._images(snapshot, [snapshot.position(name) for name in ids], threads)

    def file(self, id: str) -> StoredFile:  # noqa: A002
        """One image as a file: AVIF or WebP as it is stored, else PNG.

        A payload of AVIF or WebP gets its head back, and nothing is coded anew; PNG is written of
        those that are lossless, learned, or have alpha.

        Returns:
            The file's media type, as ``image/avif``, and its bytes.

        Raises:
            NotFoundError: the id is not there.
            PayloadError: the packet is damaged.
            ArchiveError: its segment, or the codec, is missing or damaged.
        """
        snapshot = self._snapshot
        position = snapshot.position(id)
        segment, row = snapshot.locate(position)
        return self._files([segment.packet(row)], lambda _: snapshot.entry(position), None)[0]

    def files(
        self, *, batch: int = 256, threads: int | None = None
    ) -> Iterator[tuple[ImageEntry, StoredFile]]:
        """All images as files, as ``file`` gives each, with what is known of them.

        Args:
            batch: images read at a time.
            threads: for decoding those that are written as PNG; by default as many as suit the
                machine.

        Raises:
            PayloadError: a packet is damaged.
            ArchiveError: a segment, or the codec, is missing or damaged.
        """
        return self._batches(batch, partial(self._files, threads=threads))

    def images(
        self, *, batch: int = 256, threads: int | None = None
    ) -> Iterator[tuple[ImageEntry, Image]]:
        """All images with what is known of them, in the order of positions, in bounded memory.

        Args:
            batch: images decoded at a time.
            threads: for decoding; by default as many as suit the machine.

        Raises:
            PayloadError: a packet is damaged.
            ArchiveError: a segment, or the codec, is missing or damaged.
        """
        return self._batches(batch, partial(self._decode, threads=threads))

    def search(
        self,
        query: Query | Examples | None = None,
        k: SupportsIndex | None = None,
        *,
        engine: str = "auto",
        threads: SupportsIndex = 1,
        **asked: Any,
    ) -> list[Hit]:
        """The images nearest to what is sought, nearest first, equal distances by their positions.

        An image that is asked for by its id comes before others that have the same code.

        With one picture the first hits are drawn and compared with it; those that show the same
        picture, changed, come before all others.

        Several threads may search at once.

        Args:
            query: a ``Query``; or what is liked, its field ``like``: a picture or an id, or a list
                of several.
            k: how many hits, by default 10; all images if there are no more.
            engine: ``numpy``, ``faiss``, or ``auto``; the hits are the same.
            threads: for the scan.
            asked: in place of a ``Query`` its fields, as ``vector=[...]``, ``words="ship"``,
                ``labels="beach"``, ``within=0.5`` or ``codes="photo"``.

        Raises:
            NotFoundError: an id is not there.
            ImageError: an example is no image.
            SearchError: a field of the query is not known or makes no sense, no image passes its
                filters, the engine is not valid, or the archive has no such codes.
            UnknownWordError: the describer does not know the word.
            CodecError: the describer knows no words, describes no pictures, or a vector is not of
                its size.
            MissingExtraError: faiss is asked for and not installed.
            ArchiveError: a segment, the codec or the describer is missing or damaged.
        """
        threads = whole_number(threads, "threads", SearchError)
        asked |= {} if k is None else {"k": k}
        (hits,) = self._searcher().search([Query.of(query, asked)], engine=engine, threads=threads)
        return hits

    def search_many(
        self,
        queries: Iterable[Query | Examples],
        k: SupportsIndex | None = None,
        *,
        engine: str = "auto",
        threads: SupportsIndex = 1,
        **asked: Any,
    ) -> list[list[Hit]]:
        """The hits of several queries, each as ``search`` gives them, in less time than one by one.

        Those that look for as many hits among the same codes, by one example or vector each, are
        answered in one scan.

        Args:
            queries: each a ``Query``, or what is liked.
            k: as for ``search``, and so is all else; it raises as that does.
            engine: the same for all.
            threads: for the scan.
            asked: in place of a ``Query`` its fields, the same for all.
        """
        threads = whole_number(threads, "threads", SearchError)
        if isinstance(queries, (str, Query)) or not isinstance(queries, Iterable):
            raise SearchError("search_many takes a list of queries; one is search(QUERY)")
        asked |= {} if k is None else {"k": k}
        all_of_them = [Query.of(query, asked) for query in queries]
        return self._searcher().search(all_of_them, engine=engine, threads=threads)

    def placeholder(self, id: str, *, codes: str = "auto") -> NDArray[np.uint8]:  # noqa: A002
        """Draw an image from its code alone, blurred; its payload is not read.

        Args:
            id: of the image.
            codes: the column, whose describer has a decoder; ``"auto"`` is the first.

        Returns:
            uint8 (16, 16, 3): the whole image, squeezed to a square.

        Raises:
            NotFoundError: the id is not there, or has no such code.
            SearchError: the archive has no such codes.
            CodecError: the describer draws no placeholders.
            ArchiveError: a segment or the describer is missing or damaged.
        """
        snapshot = self._snapshot
        name = self._searcher().usual if codes == "auto" else codes
        describer = self._described(snapshot.manifest, name)
        code = code_of(id, name, describer, snapshot)
        drawn: NDArray[np.uint8] = describer.placeholder(code[None])[0]
        return drawn

    def _searcher(self) -> Searcher:
        """What answers queries of the revision that is shown."""
        snapshot, asked = self._snapshot, self._asked
        if asked is None or asked[0] is not snapshot:
            manifest = snapshot.manifest
            searched = Searched(
                rows=snapshot,
                columns=tuple(entry.name for entry in manifest.describers),
                described=partial(self._described, manifest),
                draw=lambda position: self._images(snapshot, [position], threads=1)[0],
            )
            asked = self._asked = snapshot, Searcher(searched)
        return asked[1]

    def _positions(self, snapshot: Snapshot, at: SupportsIndex | slice) -> range:
        """The positions that an index means."""
        try:
            if isinstance(at, slice):
                return range(len(snapshot))[at]
            position = range(len(snapshot))[at]
        except IndexError:
            raise PositionError(
                f"{self.where}: there is no image {at!r}; it holds {len(snapshot):,}, from 0 on"
            ) from None
        except (TypeError, ValueError):
            raise ArchiveError(
                f"{self.where}: an index is a position, a slice or an id, no {type(at).__name__}; "
                "several images by their ids are read_many(IDS)"
            ) from None
        return range(position, position + 1)

    def _images(
        self, snapshot: Snapshot, positions: Sequence[int], threads: int | None = None
    ) -> list[Image]:
        """Images by their positions; neighbours are read together."""
        places = [snapshot.locate(position) for position in positions]
        packets = [
            packet
            for segment, rows in groupby(places, key=itemgetter(0))
            for packet in segment.packets([row for _, row in rows])
        ]
        return self._decode(packets, lambda i: snapshot.entry(positions[i]), threads)

    def _batches(
        self,
        batch: int,
        make: Callable[[Sequence[Packet], Callable[[int], ImageEntry]], list[Made]],
    ) -> Iterator[tuple[ImageEntry, Made]]:
        """All entries with what is made of their packets, some at a time."""
        whole_number(batch, "batch", ArchiveError)
        for chunk in self._snapshot.batches(batch):
            entries = [entry for entry, _ in chunk]
            made = make([packet for _, packet in chunk], entries.__getitem__)
            yield from zip(entries, made, strict=True)

    def _files(
        self,
        packets: Sequence[Packet],
        entry: Callable[[int], ImageEntry],
        threads: int | None,
    ) -> list[StoredFile]:
        """The files of packets; an error names the image, of which ``entry`` gives the entry."""

        def draw(places: Sequence[int]) -> list[Image]:
            some = [packets[at] for at in places]
            return self._decode(some, lambda i: entry(places[i]), threads)

        return stored_files(packets, draw, lambda at: f"{self.where}: image {entry(at).id!r}")

    def _decode(
        self,
        packets: Sequence[Packet],
        entry: Callable[[int], ImageEntry],
        threads: int | None,
    ) -> list[Image]:
        """Draw packets; an error names the image, of which ``entry`` gives what is known."""
        try:
            return self.codec.decode(packets, threads=threads)
        except PayloadError as error:
            for i, packet in enumerate(packets):
                try:
                    self.codec.decode([packet])
                except PayloadError as cause:
                    raise PayloadError(f"{self.where}: image {entry(i).id!r}: {cause}") from cause
            raise PayloadError(f"{self.where}: {error}") from error
