"""What each column of a segment costs beyond payload and code, and what other layouts would cost.

Made-up thumbnails: ids test/00000, test/00001, …; ten labels in random order; payload lengths of
mean 150 and deviation 50; one kind in ten another. Prints a table of bytes an image.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.segments.guard.column_table import COLUMNS
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.codec.packets.packet import Kind, Packet

CODEC = "00" * 32

LAYOUTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "payload PLAIN": ({"payload": "PLAIN"}, {}),
    "id PLAIN": ({"id": "PLAIN"}, {}),
    "id DELTA_LENGTH_BYTE_ARRAY": ({"id": "DELTA_LENGTH_BYTE_ARRAY"}, {}),
    "id not compressed": ({}, {"id": "NONE"}),
    "label not compressed": ({}, {"label": "NONE"}),
    "length PLAIN": ({"length": "PLAIN"}, {}),
    "length BYTE_STREAM_SPLIT": ({"length": "BYTE_STREAM_SPLIT"}, {}),
    "length not compressed": ({}, {"length": "NONE"}),
}
"""Encodings and compressions in which a layout differs from the format."""

ENCODINGS = {
    column.name: column.encoding for column in COLUMNS.values() if column.encoding != "DICTIONARY"
}
BARE = [column.name for column in COLUMNS.values() if not column.packed]


def thumbnails(count: int) -> tuple[bytes, int]:
    """Make a segment of thumbnails, and the bytes of its manifest."""
    rng = np.random.default_rng(0)
    stream = SegmentStream(FolderStore(Path("made-up thumbnails")), CODEC)
    lengths = np.clip(rng.normal(150, 50, count), 1, None).astype(int)
    for number, length in enumerate(lengths.tolist()):
        kind = Kind.AVIF if rng.integers(10) == 0 else Kind.LEARNED
        packet = Packet(32, 32, 3, kind, 60, rng.bytes(length))
        stream.add(f"test/{number:05d}", {"label": f"class {rng.integers(10)}"}, packet)
    data, entry, _ = stream.finish()
    change = {"verb": "add", "added": count, "replaced": 0, "quality": 60}
    unborn = Manifest.unborn(CODEC, 1_000_000, {"quality": 60, "size": None})
    return bytes(data), len(unborn.following((entry,), change).to_bytes())


def costs(data: bytes) -> dict[str, float]:
    """Bytes an image of each column, payloads themselves left out, and of the footer."""
    table = pq.read_table(io.BytesIO(data), columns=["length"])
    free = {"payload": sum(table["length"].to_pylist())}
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    found = {
        chunk.path_in_schema: chunk.total_compressed_size - free.get(chunk.path_in_schema, 0)
        for chunk in chunks
    }
    found["footer"] = len(data) - sum(chunk.total_compressed_size for chunk in chunks)
    return {name: n_bytes / len(table) for name, n_bytes in found.items()}


def laid_out(table: pa.Table, encodings: dict[str, str], compressions: dict[str, str]) -> bytes:
    """Write a segment's columns as the format does, but for some of them."""
    encoding = ENCODINGS | encodings
    compression = {name: "NONE" if name in BARE else "ZSTD" for name in table.column_names}
    compression |= compressions
    options: dict[str, Any] = {"max_rows_per_page": len(table), "data_page_size": 1 << 30}
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=len(table),
        use_dictionary=[name for name in table.column_names if name not in encoding],
        column_encoding=encoding,
        compression=compression,
        compression_level={name: 19 for name, kind in compression.items() if kind == "ZSTD"},
        write_statistics=False,
        store_schema=False,
        **options,
    )
    return sink.getvalue()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    data, manifest_bytes = thumbnails(count)
    found = costs(data) | {"manifest": manifest_bytes / count}
    for name, cost in found.items():
        print(f"{name:28} {cost:7.4f}")
    print(f"{'all':28} {sum(found.values()):7.4f}\n")
    table = pq.read_table(io.BytesIO(data))
    for name, (encodings, compressions) in LAYOUTS.items():
        column = name.partition(" ")[0]
        cost = costs(laid_out(table, encodings, compressions))[column]
        print(f"{name:28} {cost:7.4f}  instead of {found[column]:.4f}")


if __name__ == "__main__":
    main()
