"""Archives of strangers: what they declare is checked before it is believed, in linear time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from fakes.manifest_files import sealed
from fakes.tiny_describer import soft_picture
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.guard.column_table import COLUMNS, most_text
from kinpack.archive.segments.guard.parquet_limits import prefix_bytes
from kinpack.archive.segments.segment import Index
from kinpack.archive.segments.segment_entry import MOST_ROWS, SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.segments.segment_tail import Tail
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.codec.classic.avif import rebuild
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import ArchiveError, ImageError, PayloadError
from kinpack.integrations.unpacking import file_names, unpack
from kinpack.limits import DEEPEST
from tests.archive_checks import make

ENTRY = SegmentEntry(
    name="0" * 32,
    bytes=10_000,
    rows=100,
    payload_bytes=900,
    sha256="0" * 64,
    index_offset=1000,
    index_crc32=0,
)


def manifest(**values: Any) -> bytes:
    body = {
        "format": 1,
        "archive": "a" * 32,
        "number": 1,
        "parent": None,
        "created": "now",
        "kinpack": "0",
        "change": {},
        "metadata": {},
        "codec": {"sha256": "0" * 64, "bytes": 1},
        "segments": [ENTRY.to_dict()],
        **values,
    }
    return sealed(body)


def refused(data: bytes) -> str:
    with pytest.raises(ArchiveError) as error:
        Record.from_bytes(data, where="m.json")
    assert "\n" not in str(error.value)
    return str(error.value)


def soon(function: Callable[[], Any], seconds: float) -> Any:
    """What a function gives, which it must within some seconds of processor time."""
    began = time.process_time()
    given = function()
    assert time.process_time() - began < seconds
    return given


# Manifests


@pytest.mark.parametrize("rows", [2251, MOST_ROWS + 1, 1 << 40, 1 << 60])
def test_more_rows_than_the_bytes_hold_are_refused(rows: int) -> None:
    entry = {**ENTRY.to_dict(), "rows": rows}
    assert "rows" in refused(manifest(segments=[entry]))
    if rows > MOST_ROWS:
        huge = {**entry, "bytes": 1 << 59}
        assert "rows" in refused(manifest(segments=[huge]))


def test_rows_that_are_claimed_only_take_no_memory(tmp_path: Path) -> None:
    entries = tuple(
        SegmentEntry.from_dict(
            {**ENTRY.to_dict(), "name": f"{n:032x}", "bytes": 1 << 40, "rows": MOST_ROWS}
            | {"deleted": [[0, 1]]}
        )
        for n in range(2000)
    )
    revision = Manifest(1, "a" * 32, None, "now", "0", "0" * 64, 1, entries)
    snapshot = Snapshot(FolderStore(tmp_path), revision)
    assert len(snapshot) == 2000 * (MOST_ROWS - 1)
    for n, (_, rows) in enumerate(snapshot.parts()):  # 16 GB, were they all kept
        assert rows is not None
        assert len(rows) == MOST_ROWS - 1
        if n == 5:
            break
    with pytest.raises(ArchiveError, match=r"\.parquet"):
        snapshot.entry(3)
    assert not any(segment.is_read for segment in snapshot.segments)


def test_an_id_that_is_there_twice_is_found(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    (file,) = (path / "segments").iterdir()
    shutil.copyfile(file, file.with_stem("f" * 32))
    first = path / "manifests" / "0000000001.json"
    body = json.loads(first.read_bytes())
    del body["checksum"]
    body["segments"] += [{**body["segments"][0], "name": "f" * 32}]
    first.write_bytes(sealed(body))
    problems = verify(path).problems
    assert len(problems) == 10
    assert all("is there 2 times" in problem for problem in problems)


@pytest.mark.parametrize("field", ["change", "metadata"])
def test_deep_values_are_refused(field: str) -> None:
    value: Any = {}
    for _ in range(DEEPEST - 2):
        value = {"a": [value]} if isinstance(value, dict) and not value else {"a": value}
    Record.from_bytes(manifest(**{field: {"a": 1}}), where="m")
    for _ in range(300):
        value = {"a": value}
    assert "nested deeper" in refused(manifest(**{field: value}))
    with pytest.raises(ArchiveError, match="nested deeper"):
        Manifest.unborn("0" * 64, 1, value)
    text = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    assert "no JSON" in refused(text)


def test_huge_numbers_are_refused() -> None:
    for number in ("1" * 4000, "1" * 5000, "1e999", "-1e999", "NaN"):
        data = manifest().replace(b'"number":1', f'"number":{number}'.encode())
        assert refused(data)


@pytest.mark.slow
def test_many_runs_are_read_in_linear_time(tmp_path: Path) -> None:
    runs = [[8 * n, 8 * n + 4] for n in range(MOST_ROWS // 8)]
    entry = {**ENTRY.to_dict(), "rows": MOST_ROWS, "bytes": 1 << 40, "deleted": runs}
    data = manifest(segments=[entry, {**entry, "name": "1" * 32}])
    record = soon(lambda: Record.from_bytes(data, where="m"), 8)
    revision = record.on(None, where="m")
    snapshot = soon(lambda: Snapshot(FolderStore(tmp_path), revision), 2)
    assert len(snapshot) == MOST_ROWS
    with pytest.raises(ArchiveError):
        soon(lambda: snapshot.entry(7), 5)


def test_many_segments_are_read_in_linear_time(tmp_path: Path) -> None:
    entries = [{**ENTRY.to_dict(), "name": f"{n:032x}"} for n in range(5_000)]
    data = manifest(segments=entries)
    revision = soon(lambda: Record.from_bytes(data, where="m").on(None, where="m"), 8)
    later = revision.following((*revision.segments, ENTRY), {})
    soon(lambda: later.to_bytes(), 4)
    soon(
        lambda: Snapshot(FolderStore(tmp_path), later, Snapshot(FolderStore(tmp_path), revision)), 4
    )


# Segments


def written(ids: list[str], labels: list[str | None], **options: Any) -> bytes:
    """A segment's Parquet file as a stranger may write it, of empty payloads."""
    rows = len(ids)
    small = {"width": "uint16", "height": "uint16", "channels": "uint8", "quality": "uint8"}
    columns = {
        "payload": pa.array([b""] * rows, pa.binary()),
        "id": pa.array(ids, pa.string()),
        "label": pa.array(labels, pa.string()),
        "length": pa.array([0] * rows, pa.int32()),
        **{name: pa.array([1] * rows, kind) for name, kind in (small | {"kind": "uint8"}).items()},
        "checksum": pa.array([0] * rows, pa.uint32()),
    }
    schema = pa.schema(
        [pa.field(name, array.type, nullable=name == "label") for name, array in columns.items()]
    )
    sink = io.BytesIO()
    encoding = {
        "payload": "DELTA_LENGTH_BYTE_ARRAY",
        "id": "DELTA_BYTE_ARRAY",
        "length": "DELTA_BINARY_PACKED",
        "checksum": "PLAIN",
    }
    by_dictionary = [name for name in columns if name not in encoding]
    chosen = {
        "use_dictionary": by_dictionary,
        "column_encoding": encoding,
        "compression": "ZSTD",
        "write_statistics": False,
        "store_schema": False,
        "data_page_size": 1 << 30,
        "dictionary_pagesize_limit": 1 << 30,
        "max_rows_per_page": rows,
        **options,
    }
    groups = chosen.pop("groups", rows)
    try:
        pq.write_table(pa.table(columns, schema=schema), sink, row_group_size=groups, **chosen)
    except TypeError:  # an older pyarrow, which does not cut pages by rows
        del chosen["max_rows_per_page"]
        pq.write_table(pa.table(columns, schema=schema), sink, row_group_size=groups, **chosen)
    return sink.getvalue()


def read(data: bytes, rows: int) -> Any:
    """The index of a segment, read from where its payloads end."""
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    offset = group.column(1).dictionary_page_offset or group.column(1).data_page_offset
    return index_of(data[offset:], offset, rows)


def index_of(tail: bytes, offset: int, rows: int, payload_bytes: int = 0) -> Index:
    columns = Tail(tail, offset=offset, rows=rows).columns()
    return Index.of(columns, offset=offset, payload_bytes=payload_bytes)


def test_plain_segments_are_read() -> None:
    for rows in (1, 2, 127, 128, 129, 160, 161, 1000):
        ids = [f"class{n % 7}/{'x' * (n % 50)}{n:05d}.png" for n in range(rows)]
        labels = [None if n % 3 else f"l{n % 11}" for n in range(rows)]
        index = read(written(ids, labels), rows)
        assert index.ids.to_pylist() == ids
        assert index.optional["label"].to_pylist() == labels


def test_texts_that_grow_out_of_few_bytes_are_refused() -> None:
    long, rows = "x" * 20_000, 2000
    shared = written([long] * rows, [None] * rows)  # 40 MB of ids
    assert len(shared) < 60_000
    with pytest.raises(ValueError, match="ids are longer"):
        soon(lambda: read(shared, rows), 2)
    repeated = written([f"{n}" for n in range(rows)], [long] * rows)
    with pytest.raises(ValueError, match="labels are longer"):
        soon(lambda: read(repeated, rows), 2)
    most = written(["a", "b"], ["y" * most_text(2), None])
    assert read(most, 2).optional["label"].to_pylist()[1] is None


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": ["id"], "column_encoding": None},
        {"column_encoding": None, "use_dictionary": False},
        {"use_dictionary": ["checksum"], "column_encoding": None},
        {"compression": "SNAPPY"},
        {"compression": "GZIP"},
        {"data_page_version": "2.0"},
        {"groups": 2},
    ],
)
def test_other_layouts_are_refused(options: dict[str, Any]) -> None:
    data = written(["a", "b", "c"], ["l", None, "m"], **options)
    with pytest.raises(ValueError, match=r"column|page|rows"):
        read(data, 3)


def test_every_number_of_the_footer_may_be_absurd() -> None:
    data = written([f"{n}" for n in range(9)], ["l"] * 9)
    offset = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1).data_page_offset
    fine = 0
    for place in range(offset, min(len(data), offset + 400), 3):
        for new in (b"\xff\xff\xff\xff\x0f", b"\x7f", b"\0"):
            tail = data[offset:place] + new + data[place + 1 :]
            try:
                index = index_of(tail, offset, 9)
            except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
                continue
            assert len(index.ids) == 9
            fine += 1
    assert fine < 300


def test_lengths_of_prefixes_are_those_of_plain_loops(rng: np.random.Generator) -> None:
    for count in (1, 2, 33, 128, 130, 700):
        ids = sorted("".join(rng.choice(list("ab"), rng.integers(0, 40))) for _ in range(count))
        sink = io.BytesIO()
        table = pa.table({"id": pa.array(ids, pa.string())})
        pq.write_table(
            table, sink, use_dictionary=False, column_encoding={"id": "DELTA_BYTE_ARRAY"},
            compression="NONE", write_statistics=False, data_page_size=1 << 30,
        )  # fmt: skip
        column = pq.ParquetFile(sink).metadata.row_group(0).column(0)
        raw = sink.getvalue()[column.data_page_offset :]
        expected = sum(
            len(np.flatnonzero(np.cumprod([x == y for x, y in zip(a, b, strict=False)])))
            for a, b in pairwise(ids)
        )
        # The page's header is of unknown length: the values begin where they make sense.
        assert expected in set(sums(raw[:80], raw, count))


@pytest.mark.parametrize("longest", [1, 200, 30_000, 200_000])
def test_lengths_of_prefixes_of_every_width(rng: np.random.Generator, longest: int) -> None:
    lengths = rng.integers(0, longest + 1, 150).tolist()
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"id": pa.array(["x" * length for length in lengths], pa.string())}),
        sink, use_dictionary=False, column_encoding={"id": "DELTA_BYTE_ARRAY"},
        compression="NONE", write_statistics=False, data_page_size=1 << 30,
    )  # fmt: skip
    raw = sink.getvalue()[pq.ParquetFile(sink).metadata.row_group(0).column(0).data_page_offset :]
    assert sum(map(min, pairwise(lengths))) in set(sums(raw[:80], raw, len(lengths)))


def sums(head: bytes, raw: bytes, count: int) -> list[int]:
    found = []
    for start in range(len(head)):
        try:
            found.append(prefix_bytes(raw[start:], count))
        except ValueError:
            continue
    return found


def test_writers_refuse_what_readers_would(tmp_path: Path) -> None:
    packet = Packet(1, 1, 1, Kind.WEBP_LOSSLESS, 100, b"x")
    store = FolderStore(tmp_path)
    stream = SegmentStream(store, "0" * 64)
    longest = COLUMNS["id"].limit
    for text in ("x" * (longest + 1), "é" * (longest // 2 + 1)):
        with pytest.raises(ArchiveError, match="shorten it"):
            stream.add(text, {}, packet)
        with pytest.raises(ArchiveError, match="shorten it"):
            stream.add("a", {"label": text}, packet)
    rows = 0
    while not stream.segments:
        stream.add(f"{rows}".ljust(longest, "x"), {"label": "y" * longest}, packet)
        rows += 1
    (entry,) = stream.segments
    assert entry.rows == rows - 1
    tail = store.read(entry.file)[entry.index_offset :]
    index = index_of(tail, entry.index_offset, entry.rows, entry.rows)
    assert len(index.ids) == entry.rows > 5


# Packets


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sizes_beyond_the_limit_are_not_drawn(kind: Kind, channels: int) -> None:
    packet = Packet(65535, 65535, channels, kind, 50, bytes(20))
    with pytest.raises(PayloadError, match="KINPACK_MAX_PIXELS=4294836225"):
        soon(lambda: Codec.load("classic").decode([packet]), 1)


def test_the_limit_holds_for_encoding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, image = Codec.load("classic"), np.zeros((8, 9, 3), np.uint8)
    packets = codec.encode([image], quality=100)
    monkeypatch.setenv("KINPACK_MAX_PIXELS", "71")
    with pytest.raises(ImageError, match="9×8 pixels"):
        codec.encode([image])
    with pytest.raises(PayloadError, match="9×8 pixels"):
        codec.decode(packets)
    monkeypatch.setenv("KINPACK_MAX_PIXELS", "72")
    np.testing.assert_array_equal(codec.decode(packets)[0], image)


def test_payloads_of_another_size_are_refused() -> None:
    codec = Codec.load("classic")
    (packet,) = codec.encode([soft_picture(1, 24, 25)], quality=40)
    assert packet.kind is Kind.AVIF
    file = rebuild(packet.payload, width=packet.width, height=packet.height, channels=3)
    for width, height in ((12, 24), (24, 25), (4000, 4000)):
        whole = Packet(width, height, 3, Kind.AVIF, 40, b"\xc0" + file)
        with pytest.raises(PayloadError, match="it holds"):
            codec.decode([whole])


# Names


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "a/../../x", "/etc/x", "//server/share", "C:\\x", "C:x", "\\\\server\\x"),
        *("CON", "a/nul.txt", "CONIN$", "com¹", "LPT9 .txt", "a/b\0c", "...", ".. /x", "a/ . /x"),
        *("x" * 241, "é" * 121, "a/" * 65 + "x", ("y" * 200 + "/") * 16 + "x", "\ud800"),
    ],
)
def test_no_id_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ArchiveError, match="no safe path") as error:
        file_names(["fine", name], [".png"] * 2, where="a.kin")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1500


def test_names_that_windows_takes_for_one_are_told_apart() -> None:
    names = ["a", "A", "a.", "a ", "b./x", "B/x", "b /x", "c.png", "c..png"]
    files = [file or "" for file in file_names(names, [".png"] * len(names), where="a.kin")]
    keys = ["/".join(p.rstrip(" .") for p in file.casefold().split("/")) for file in files]
    assert len(set(keys)) == len(names)


def test_many_equal_ids_take_linear_time() -> None:
    for ids in (["x"] * 10_000, ["X" if n % 2 else "x" for n in range(10_000)]):
        files = soon(partial(file_names, ids, [".png"] * len(ids), where="a.kin"), 5)
        assert len({file.casefold() for file in files}) == len(ids)


def test_links_in_the_target_are_not_followed(tmp_path: Path) -> None:
    source = FakeSource([(name, None, image) for name, (_, _, image) in zip(
        ("a/x", "b/c/y", "z"), pictures(3, side=4).images, strict=True)])  # fmt: skip
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(source)
        outside, out = tmp_path / "outside", tmp_path / "out"
        outside.mkdir()
        for n, (link, to) in enumerate(
            (("a", outside), ("b", tmp_path / "nowhere"), ("a", Path("a")), ("b/c", outside))
        ):
            target = out / str(n)
            (target / link).parent.mkdir(parents=True)
            (target / link).symlink_to(to)
            with pytest.raises(ArchiveError, match=r"link|loop|cannot unpack") as error:
                unpack(archive, target, force=True)
            assert "\n" not in str(error.value)
    assert not list(outside.iterdir())
    assert not (tmp_path / "nowhere").exists()


# Whole archives


def test_a_segment_of_a_stranger_is_found_by_verify(tmp_path: Path) -> None:
    """All checksums hold; what lies behind them is absurd."""
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(FakeSource(pictures(3, side=4).images))
        entry = archive.manifest.segments[0]
        number = archive.manifest.number
    file = tmp_path / "a.kin" / entry.file
    data = written(["x" * 12_000] * 3000, [None] * 3000, compression="NONE")
    offset = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1).data_page_offset
    file.write_bytes(data)
    path = tmp_path / "a.kin" / f"manifests/{number:010d}.json"
    body = json.loads(path.read_text())
    del body["checksum"]
    body["segments"][0].update(
        {"bytes": len(data), "rows": 3000, "payload_bytes": 0, "index_offset": offset}
        | {"sha256": hashlib.sha256(data).hexdigest(), "index_crc32": zlib.crc32(data[offset:])}
    )
    path.write_bytes(sealed(body))
    problems = verify(tmp_path / "a.kin").problems
    assert any("its ids are longer" in problem for problem in problems)
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize("folder", ["codecs", "describers"])
def test_a_huge_codec_that_no_manifest_names_is_not_read(tmp_path: Path, folder: str) -> None:
    path = make(tmp_path / "a.kin", pictures(2))
    suffix = {"codecs": "kinc", "describers": "kine"}[folder]
    huge = path / folder / f"{'a' * 64}.{suffix}"
    huge.parent.mkdir(exist_ok=True)
    huge.touch()
    os.truncate(huge, 1 << 42)  # a hole, which would take an hour
    assert "too many for a codec" in " ".join(verify(path).problems)
