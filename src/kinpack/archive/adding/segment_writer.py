"""Segment writers: items become packets, packets segments, in whatever process they are sent to."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinpack.archive.adding.picture_loading import AddOptions, Batch, Loaded, PictureLoader
from kinpack.archive.adding.repeats import sum_of
from kinpack.archive.adding.shard_names import digest_of, shard_name, way_of
from kinpack.archive.revisions.stored_codec import Codec, Threaded
from kinpack.archive.revisions.waiting import put_waiting, waiting_file
from kinpack.archive.segments.part import Part, eight_bytes, id_hash
from kinpack.archive.segments.segment import Index
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.opening import open_store
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.column_types import Schema, joined
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError
from kinpack.file_names import fault_of
from kinpack.pictures.images import as_image
from kinpack.progress import Progress
from kinpack.sources.items import Item

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer

Plan = Iterator[tuple[str, int]]
"""The ids of images, in their order, and the quality that each is to get."""


class SegmentWriter:
    """Codes images, and stores them in segments that no manifest names yet.

    It pickles, and writes from any process and any machine that reaches the archive's place. What
    it has written stays only if whoever holds the archive's job commits it.

    Args:
        place: path or address of the archive.
        codec: its codec.
        describers: that make codes of images, by the names of their columns.
        options: how images are added.
        schema: the types of the columns that users added, by their names.
        waits: whether a part that is done is noted, so that an interrupted job takes it up again.
        store: the archive's, in the process that has it open.
    """

    def __init__(
        self,
        place: Path | str,
        codec: Codec,
        describers: Mapping[str, Describer],
        options: AddOptions,
        *,
        schema: Schema,
        waits: bool = False,
        store: Store | None = None,
    ) -> None:
        self.options = options
        self.waits = waits
        self.schema = dict(schema)
        self.last_index: Index | None = None
        self._place = place.absolute() if isinstance(place, Path) else place
        self._codec, self._describers, self._store = codec, dict(describers), store
        self.way = way_of(codec, describers, options)

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process, which opens the archive's place anew."""
        return {**self.__dict__, "_store": None, "last_index": None}

    @property
    def column_bytes(self) -> dict[str, int]:
        """Bytes of a code in each column of codes, by its name."""
        return {name: one.code_bytes for name, one in self._describers.items()}

    @property
    def where(self) -> str:
        """What messages call the archive."""
        return self._opened.where("")

    @property
    def is_reachable(self) -> bool:
        """Whether other processes can write to the archive's place."""
        return not str(self._place).startswith("memory://")

    def try_out(self, item: Item) -> None:
        """Load and code one image, and store nothing.

        Raises:
            ImageError: the picture cannot be read.
        """
        image = as_image(item.load(), item.id)
        self._encoded([Loaded(0, item, image)], None)

    def widen(self, schema: Schema) -> None:
        """Take more columns from now on.

        Raises:
            ArchiveError: one is there already, of another type, or cannot be.
        """
        try:
            self.schema = joined(self.schema, schema)
        except ValueError as error:
            raise ArchiveError(f"{self._opened.where('')}: {error}") from error

    def single_threaded(self) -> SegmentWriter:
        """One that codes the same to the same bytes, for a process beside others of its kind."""
        options = replace(self.options, target=replace(self.options.target, threads=1))
        codec = self._codec
        return SegmentWriter(
            self._place,
            codec.with_threads(1) if isinstance(codec, Threaded) else codec,
            self._describers,
            options,
            schema=self.schema,
            waits=self.waits,
        )

    def write_segment(
        self, items: Iterable[Item], *, shard: str = "", progress: Progress | None = None
    ) -> Part:
        """Code images, and store them: in one segment, or in several where it would be too large.

        Whatever interrupts it leaves files that nobody sees, and that the archive's next writer, or
        ``gc``, removes. So it may be called again for the same images; what was returned counts.

        Args:
            items: the images, each with an id of its own.
            shard: what to call them together; a name that is committed tells a restarted job that
                they are there.
            progress: called with the number of images just done.

        Raises:
            ArchiveError: the archive cannot be written, or a column cannot hold a value.
            ImageError: a picture cannot be read, and is not to be left out.
        """
        parts = [*self.parts(items, progress)]
        columns: dict[str, str] = dict(self.schema)
        for part in parts:
            columns = joined(columns, part.schema)
        before, broken = 0, list[tuple[int, str, str]]()
        for part in parts:
            broken += ((before + place, name, why) for place, name, why in part.broken)
            before += part.items
        return Part(
            shard=shard,
            items=before,
            segments=tuple(entry for part in parts for entry in part.segments),
            schema=columns,
            ids=b"".join(part.ids for part in parts),
            sums=b"".join(part.sums for part in parts),
            psnr=b"".join(part.psnr for part in parts),
            broken=tuple(broken),
            damaged=tuple(one for part in parts for one in part.damaged),
            unsafe=tuple(name for part in parts for name in part.unsafe),
        )

    def parts(
        self, items: Iterable[Item], progress: Progress | None = None, plan: Plan | None = None
    ) -> Generator[Part]:
        """Code images, and store them; give a part whenever a segment is full, and a last one.

        Args:
            items: the images.
            progress: called with the number of images just done.
            plan: the quality that each is to get, in place of the target's.

        Raises:
            ArchiveError: as for ``write_segment``, or the images are others than those of the plan.
            ImageError: as for ``write_segment``.
        """
        loader = PictureLoader(self.options, self.schema)
        stream = SegmentStream(self._opened, self._codec.codec_id, self.schema)
        digests: list[bytes | None] = []
        noting = (lambda item: digests.append(digest_of(item))) if self.waits else None
        gathered, given, first = _Rows(), 0, 0

        def finished(stop: int) -> Part:
            """The part of the items from the first that is in none to one before ``stop``."""
            nonlocal gathered, given, first
            name = shard_name(self.way, digests[: stop - first]) if self.waits else None
            part = gathered.part(
                shard=name or "",
                items=stop - first,
                segments=tuple(stream.segments[given:]),
                schema=dict(stream.schema),
                broken=tuple(_before(loader.broken, stop, first)),
                damaged=tuple((i, share) for _, i, share in _before(loader.damaged, stop, first)),
            )
            if name and part.segments:
                put_waiting(self._opened, part)
            gathered, given, first = _Rows(), len(stream.segments), stop
            del digests[: part.items]
            return part

        try:
            for batch in loader.batches(items, progress, noting):
                made = self._encoded(batch, plan)
                for i, one in enumerate(batch):
                    stream.add_new(
                        one.item.id,
                        {"label": one.item.label, **one.item.columns},
                        made.packets[i],
                        {name: codes[i] for name, codes in made.codes.items()},
                    )
                    if len(stream.segments) > given:  # full without this one
                        yield finished(one.place)
                    gathered.take(one.item.id, made.packets[i], made.psnr[i : i + 1])
            if plan is not None and next(plan, None) is not None:
                raise self._changed()
            stream.flush()
            self.last_index = stream.last_index
            if loader.count > first:
                yield finished(loader.count)
        finally:
            with suppress(ArchiveError):  # what nobody was given
                self._opened.delete(
                    *(file for entry in stream.segments[given:] for file in entry.files)
                )

    def discard(self, parts: Iterable[Part]) -> None:
        """Delete what was stored, as far as the store allows; for parts in no manifest."""
        with suppress(ArchiveError):
            for part in parts:
                notes = [waiting_file(part.shard)] if self.waits and part.shard else []
                self._opened.delete(*notes, *part.files)

    @property
    def _opened(self) -> Store:
        if self._store is None:
            self._store = open_store(self._place)
        return self._store

    def _encoded(self, batch: Batch, plan: Plan | None) -> _Made:
        target = self.options.target
        images = [one.image for one in batch]
        psnr: list[float] = []
        if target.min_psnr is None and plan is None:
            packets = self._codec.encode(images, target)
        else:
            if plan is not None:
                target = replace(target, max_bytes=None, quality=self._planned(batch, plan))
            packets, measured = self._codec.encode_measured(images, target)
            psnr = measured.tolist()
        codes = {
            name: packed_codes(describer, images, threads=target.threads)
            for name, describer in self._describers.items()
        }
        return _Made(packets, psnr, codes)

    def _planned(self, batch: Batch, plan: Plan) -> list[int]:
        qualities = []
        for one in batch:
            name, quality = next(plan, ("", 0))
            if name != one.item.id:
                raise self._changed()
            qualities.append(quality)
        return qualities

    def _changed(self) -> ArchiveError:
        return ArchiveError(
            f"{self._opened.where('')}: the images were others when they were read again; leave "
            "them alone while they are packed"
        )


class ShardCoding:
    """The work of other processes: shards become parts.

    Args:
        writer: codes and stores them.
    """

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer

    def __call__(self, things: Sequence[Item], progress: Progress) -> list[Part]:
        """Code and store a shard; raises as ``SegmentWriter.parts``, and leaves nothing then."""
        parts: list[Part] = []
        try:
            for part in self._writer.parts(things, progress):
                parts.append(part)  # noqa: PERF402 (what was given is known after an error)
        except BaseException:
            if not self._writer.waits:
                self._writer.discard(parts)
            raise
        return parts


@dataclass(frozen=True, slots=True)
class _Made:
    """What a batch was coded to: packets, the PSNR of each where it was measured, and codes."""

    packets: list[Packet]
    psnr: list[float]
    codes: dict[str, list[bytes]]


@dataclass(slots=True)
class _Rows:
    """What is noted of the rows of a part."""

    ids: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)

    def take(self, name: str, packet: Packet, psnr: list[float]) -> None:
        self.ids.append(id_hash(name))
        self.sums.append(sum_of(packet.checksum(), len(packet.payload)))
        self.psnr += psnr
        if fault_of(name):
            self.unsafe.append(name)

    def part(self, **known: Any) -> Part:
        return Part(
            ids=eight_bytes(self.ids, "u"),
            sums=eight_bytes(self.sums, "u"),
            psnr=eight_bytes(self.psnr, "f"),
            unsafe=tuple(self.unsafe),
            **known,
        )


def _before(found: Any, stop: int, first: int) -> Iterator[Any]:
    """Take what was noted of places before one; places count from the first on."""
    while found and found[0][0] < stop:
        place, *rest = found.popleft()
        yield (place - first, *rest)
