"""Segments: plain Parquet whose payloads lie where the format says, and whose index is small."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.segments.guard.column_table import COLUMNS
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import ArchiveError, PayloadError

CODEC = "cd" * 32


class MemoryStore(FolderStore):
    """Files in memory that count what is read of them."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(Path("memory"))
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        data = self.data[offset : offset + length]
        if len(data) != length:
            raise ArchiveError(f"{name}: truncated")
        return data


Row = tuple[str, str | None, Packet]


def write(rows: list[Row]) -> tuple[bytes, SegmentEntry]:
    stream = SegmentStream(FolderStore(Path("x.kin")), CODEC)
    for name, label, packet in rows:
        stream.add(name, {"label": label}, packet)
    data, entry, _ = stream.finish()
    return bytes(data), entry


def random_rows(count: int, *, seed: int = 0, mean: int = 150) -> list[Row]:
    """Rows like those of a set of thumbnails: lengths of mean ± 50, ten labels in random order."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.normal(mean, 50, count), 1, None).astype(int)
    labels = [f"class {number}" for number in range(10)]
    return [
        (
            f"test/{number:05d}",
            labels[rng.integers(10)],
            Packet(32, 32, 3, Kind.LEARNED, 60, rng.bytes(int(length))),
        )
        for number, length in enumerate(lengths)
    ]


packets = st.builds(
    Packet,
    width=st.integers(1, 65535),
    height=st.integers(1, 65535),
    channels=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from(Kind),
    quality=st.integers(1, 100),
    payload=st.binary(max_size=300),
)
rows_of_any_kind = st.lists(
    st.tuples(st.text(min_size=1), st.none() | st.text(), packets), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(rows_of_any_kind)
def test_round_trip(rows: list[Row]) -> None:
    data, entry = write(rows)
    store = MemoryStore(data)
    segment = Segment(store, entry)
    expected = [
        ImageEntry(
            name, {"label": label}, p.width, p.height, p.channels, p.kind, p.quality, len(p.payload)
        )
        for name, label, p in rows
    ]  # fmt: skip
    assert list(segment.entries()) == expected
    assert [segment.entry(row) for row in range(len(rows))] == expected
    assert [segment.packet(row) for row in range(len(rows))] == [packet for *_, packet in rows]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 25_000])
def test_payloads_lie_where_the_format_says(count: int) -> None:
    rows = random_rows(count, mean=60)
    data, entry = write(rows)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert metadata.num_row_groups == 1
    names = [metadata.schema.column(i).name for i in range(metadata.num_columns)]
    assert names == list(COLUMNS)
    payload = metadata.row_group(0).column(0)
    payload_end = payload.data_page_offset + payload.total_compressed_size
    payloads = b"".join(packet.payload for *_, packet in rows)
    assert payload.data_page_offset == 4
    assert entry.index_offset == payload_end
    assert data[payload_end - len(payloads) : payload_end] == payloads
    assert payload.encodings == ("RLE", "DELTA_LENGTH_BYTE_ARRAY")
    assert payload.compression == "UNCOMPRESSED"
    assert not payload.is_stats_set
    assert not payload.has_dictionary_page
    assert metadata.metadata == {b"kinpack.format": b"1", b"kinpack.codec": CODEC.encode()}


def test_other_programs_read_it(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = random_rows(100)
    rows[3] = (rows[3][0], None, rows[3][2])
    path = tmp_path / "a.parquet"
    path.write_bytes(write(rows)[0])
    table = pq.read_table(path)
    frame = pandas.read_parquet(path)
    assert list(frame["id"]) == table["id"].to_pylist() == [name for name, *_ in rows]
    assert table["label"].to_pylist() == [label for _, label, _ in rows]
    assert frame["label"].isna().sum() == 1
    assert list(frame["payload"]) == [packet.payload for *_, packet in rows]
    assert list(frame["length"]) == [len(packet.payload) for *_, packet in rows]
    assert list(frame["checksum"]) == [packet.checksum() for *_, packet in rows]
    assert set(frame["width"]) == {32}
    assert table.schema.field("width").type == pa.uint16()
    assert table.schema.field("checksum").type == pa.uint32()
    assert [field.name for field in table.schema if field.nullable] == ["label"]


def test_container_of_ten_thousand_thumbnails_costs_at_most_8_bytes_an_image() -> None:
    rows = random_rows(10_000)
    data, entry = write(rows)
    manifest = Manifest.unborn(CODEC, 100_000, {"source": "cifar10", "quality": 60}).following(
        (entry,), {"verb": "add", "added": 10_000, "replaced": 0, "quality": 60}
    )
    payloads = sum(len(packet.payload) for *_, packet in rows)
    cost = (len(data) + len(manifest.to_bytes()) - payloads) / len(rows)
    assert cost <= 7.5


def test_one_read_for_the_index_and_one_for_an_image() -> None:
    rows = random_rows(500)
    data, entry = write(rows)
    store = MemoryStore(data)
    segment = Segment(store, entry)
    assert segment.packet(321) == rows[321][2]
    start = entry.index_offset - entry.payload_bytes
    start += sum(len(packet.payload) for *_, packet in rows[:321])
    assert store.reads == [
        (entry.index_offset, entry.bytes - entry.index_offset),
        (start, len(rows[321][2].payload)),
    ]


def test_every_changed_byte_is_found_or_harmless() -> None:
    rows = random_rows(5, mean=30)
    data, entry = write(rows)
    payload_begin = entry.index_offset - entry.payload_bytes
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        segment = Segment(MemoryStore(bytes(damaged)), entry)
        if position >= entry.index_offset:
            with pytest.raises(ArchiveError, match="index is damaged"):
                segment.packet(0)
            continue
        hit = 0
        for row, (name, _, packet) in enumerate(rows):
            try:
                assert segment.packet(row) == packet
            except PayloadError as error:
                assert "checksum does not hold" in str(error)  # noqa: PT017
                assert repr(name) in str(error)  # noqa: PT017
                hit += 1
        assert hit == (position >= payload_begin)


def test_every_truncation_is_found() -> None:
    rows = random_rows(3, mean=20)
    data, entry = write(rows)
    for length in range(len(data)):
        with pytest.raises(ArchiveError):
            Segment(MemoryStore(data[:length]), entry).packet(0)


def with_checksum(data: bytes, entry: SegmentEntry, **changes: Any) -> Segment:
    """A segment of foreign bytes whose index checksum holds."""
    import zlib
    from dataclasses import replace

    entry = replace(entry, **{"bytes": len(data), **changes})
    entry = replace(entry, index_crc32=zlib.crc32(data[entry.index_offset :]))
    return Segment(MemoryStore(data), entry)


def test_foreign_content_with_a_good_checksum_is_refused() -> None:
    rows = random_rows(20)
    data, entry = write(rows)
    other, other_entry = write(rows[:19])
    offset = entry.index_offset
    plain = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"] * 20}), plain)
    cases: list[tuple[bytes, dict[str, Any]]] = [
        (data[:offset] + b"no Parquet" * 10, {}),
        (data[:offset] + bytes(len(data) - offset), {}),
        (data, {"rows": 19}),
        (data, {"payload_bytes": entry.payload_bytes - 1}),
        (data, {"index_offset": len(data) - 1}),
        (other, {"index_offset": other_entry.index_offset}),
        (plain.getvalue(), {"index_offset": 4, "payload_bytes": 0}),
        (data[:-1], {}),
        (data + b"x", {}),
    ]
    for content, changes in cases:
        with pytest.raises(ArchiveError, match="no segment"):
            _ = with_checksum(content, entry, **changes).index
    for shift in (-1, 1):  # payloads elsewhere than stated: the packets' own checksums tell
        segment = with_checksum(data, entry, index_offset=offset + shift)
        with pytest.raises((ArchiveError, PayloadError)):
            segment.packet(0)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.data())
def test_damaged_indices_with_a_good_checksum_do_no_harm(data: st.DataObject) -> None:
    rows = random_rows(6, mean=20)
    content, entry = write(rows)
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(entry.index_offset, len(content) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    segment = with_checksum(bytes(damaged), entry)
    reads: list[Callable[[], object]] = [lambda: list(segment.entries())]
    reads += [partial(segment.packet, row) for row in range(len(rows))]
    for read in reads:
        try:
            read()
        except (ArchiveError, PayloadError) as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_a_segment_is_full_by_rows_or_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "ROWS", 3)
    monkeypatch.setattr(stream_module, "PAYLOAD_BYTES", 1000)
    stream = SegmentStream(FolderStore(tmp_path), CODEC)
    rows = random_rows(7)
    for name, label, packet in rows:
        stream.add(name, {"label": label}, packet)
    for name in ("large", "next"):
        stream.add(name, {}, Packet(1, 1, 1, Kind.AVIF, 1, bytes(1000)))
    stream.flush()
    stream.flush()
    assert [entry.rows for entry in stream.segments] == [3, 3, 2, 1]
    assert stream.rows == 9
    stored = [Segment(FolderStore(tmp_path), entry) for entry in stream.segments]
    names = [name for segment in stored for name in segment.ids.to_pylist()]
    assert names == [*(name for name, _, _ in rows), "large", "next"]
    assert stream.last_index is not None
    assert stream.last_index.ids.to_pylist() == ["next"]
    stream.discard()
    assert not any((tmp_path / entry.file).exists() for entry in stream.segments)


def test_what_cannot_be_written_is_refused() -> None:
    packet = random_rows(1)[0][2]
    writer = SegmentStream(FolderStore(Path("x.kin")), CODEC)
    with pytest.raises(ArchiveError, match=r"^x\.kin: .*without images"):
        writer.finish()
    with pytest.raises(ArchiveError, match="empty id"):
        writer.add("", {}, packet)
    with pytest.raises(ArchiveError, match="no valid Unicode"):
        writer.add("bad\udcff", {}, packet)
    with pytest.raises(ArchiveError, match="no valid Unicode"):
        writer.add("a", {"label": "bad\udcff"}, packet)
    writer.add("a", {}, packet, {"look": bytes(8)})
    with pytest.raises(ArchiveError, match=r"'look' has 3 bytes"):
        writer.add("b", {}, packet, {"look": b"abc"})
    assert writer.rows == 1


def test_a_library_that_cuts_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "ONE_PAGE", 1 << 10)
    with pytest.raises(ArchiveError, match="payloads in one page"):
        write(random_rows(3000))
