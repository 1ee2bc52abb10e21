"""A column that the table of columns gains is written, read, guarded, copied and handed on."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.repairing import repair
from kinpack.archive.segments.guard.column_table import COLUMNS, Column
from kinpack.archive.segments.segment import Index
from kinpack.archive.segments.segment_tail import Tail
from kinpack.errors import ArchiveError
from kinpack.integrations.exporting import export
from kinpack.integrations.unpacking import unpack
from kinpack.sources.items import Item
from tests.archive_checks import CODEC, make, reopened
from tests.cli_runs import ask

NEW = {
    "taken": Column("taken", "int64", "DELTA_BINARY_PACKED", optional=True),
    "rating": Column("rating", "float32", "PLAIN", packed=False, optional=True),
    "stars": Column("stars", "uint8", "DICTIONARY", optional=True),
    "place": Column("place", "string", "DICTIONARY", optional=True, limit=100),
    "note": Column("note", "string", "PLAIN", optional=True, limit=1000),
}


@pytest.fixture
def more_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, column in NEW.items():
        monkeypatch.setitem(COLUMNS, name, column)


def known(number: int) -> dict[str, Any]:
    """What is known of an image beside its label; of every second one only a part."""
    values = {
        "taken": -(1 << 40) + number,
        "rating": number / 4,
        "stars": number % 6,
        "place": f"Lübeck {number % 3}",
        "note": "x" * number,
    }
    return values if number % 2 else {name: values[name] for name in list(values)[: number % 5]}


def expected(number: int, label: str | None) -> dict[str, Any]:
    return {"label": label, **dict.fromkeys(NEW), **known(number)}


def items(count: int, first: int = 0) -> list[Item]:
    return [
        replace(item, columns=known(first + place))
        for place, item in enumerate(pictures(count, first=first))
    ]


def check(path: Path | str, count: int) -> None:
    """See that the first images of an archive have what is known of them."""
    with reopened(path) as archive:
        assert archive.verify().ok
        entries = list(archive.entries())
        assert len(entries) == count
        for number, (entry, item) in enumerate(zip(entries, items(count), strict=True)):
            assert entry.columns == expected(number, item.label)
            assert archive.entry(entry.id) == entry
            assert entry.label == item.label


@pytest.mark.usefixtures("more_columns")
def test_new_columns_are_written_read_and_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer=None) as archive:
        archive.add(items(12))
        archive.add(items(6, first=12))
        archive.add(pictures(1, first=99))
        archive.remove(["set/00099"])
        check(path, 18)
        archive.compact()
    check(path, 18)
    with reopened(path) as archive:
        copy(archive, tmp_path / "copy.kin")
        merge([archive], tmp_path / "merged.kin")
        unpack(archive, tmp_path / "files")
        export(archive, tmp_path / "tars", "webdataset")
        export(archive, tmp_path / "parquet", "parquet")
    repair(path, tmp_path / "repaired.kin", codec=CODEC)
    for name in ("copy", "merged", "repaired"):
        check(tmp_path / f"{name}.kin", 18)
    labels = [item.label for item in items(18)]
    for listed in ask("ls", path), pq.read_table(tmp_path / "parquet").to_pylist():
        assert [{name: row[name] for name in NEW} for row in listed] == [
            {name: expected(n, None)[name] for name in NEW} for n in range(18)
        ]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "files" / "labels.csv").read_text())))
    assert [row["place"] for row in rows] == [known(n).get("place", "") for n in range(18)]
    with tarfile.open(tmp_path / "tars" / "shard-000000.tar") as tar:
        about = json.load(tar.extractfile("000000007.json") or io.BytesIO())
    assert about == {"id": "set/00007", **expected(7, labels[7])}


def test_segments_without_a_new_column_are_read_and_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin", pictures(7))
    before = list(reopened(path).entries())
    for name, column in NEW.items():
        monkeypatch.setitem(COLUMNS, name, column)
    with reopened(path) as archive:
        archive.add(items(3, first=7))
        entries = list(archive.entries())
        assert [entry.id for entry in entries[:7]] == [entry.id for entry in before]
        for old, new in zip(before, entries, strict=False):
            assert new.columns == {"label": old.label, **dict.fromkeys(NEW)}
        assert [entry.columns["taken"] for entry in entries[7:]] == [
            known(n).get("taken") for n in (7, 8, 9)
        ]
        archive.compact()
        assert list(archive.entries()) == entries
    assert reopened(path).verify(deep=True).ok


@pytest.mark.usefixtures("more_columns")
@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"colour": ["red"]}, "has in 'colour' a list, which no column holds"),
        ({"taken": "yesterday"}, "'yesterday' is no taken, which is of type int64"),
        ({"taken": 1 << 63}, "no taken"),
        ({"taken": 1.5}, "no taken"),
        ({"stars": 256}, "no stars"),
        ({"stars": -1}, "no stars"),
        ({"stars": True}, "no stars"),
        ({"rating": "good"}, "no rating"),
        ({"place": 3}, "3 is no valid Unicode text"),
        ({"place": "x" * 101}, "takes at most 100: shorten it"),
        ({"note": "bad\udcff"}, "no valid Unicode text"),
    ],
)
def test_values_that_a_column_cannot_hold_are_refused(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    item = replace(next(iter(pictures(1))), columns=columns)
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        with pytest.raises(ArchiveError, match=told) as error:
            archive.add([item])
        assert "a.kin" in str(error.value)


def written(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table] = lambda table: table, **options: Any
) -> bytes:
    """A segment's file that a stranger has changed and written again."""
    path = tmp_path / "a.kin"
    if not path.exists():
        with Archive.create(path, CODEC, describer=None) as archive:
            archive.add(items(20))
    (file,) = (path / "segments").iterdir()
    table = change(pq.read_table(file))
    chosen: dict[str, Any] = {
        "use_dictionary": [c.name for c in COLUMNS.values() if c.encoding == "DICTIONARY"],
        "column_encoding": {
            c.name: c.encoding for c in COLUMNS.values() if c.encoding != "DICTIONARY"
        },
        "compression": "ZSTD",
        "write_statistics": False,
        "store_schema": False,
        "data_page_size": 1 << 30,
        "dictionary_pagesize_limit": 1 << 30,
        **options,
    }
    types = {field.name: str(field.type) for field in table.schema}
    chosen["column_encoding"] = {
        name: encoding if encoding[:12] != "DELTA_BINARY" or "int" in types[name] else "PLAIN"
        for name, encoding in chosen["column_encoding"].items()
        if name in types
    }
    sink = io.BytesIO()
    pq.write_table(table, sink, **chosen)
    return sink.getvalue()


def read(data: bytes) -> Index:
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    offset = metadata.row_group(0).column(1).data_page_offset
    first = metadata.row_group(0).column(0)
    lengths = pq.read_table(io.BytesIO(data), columns=["length"])["length"].to_pylist()
    assert first.data_page_offset == 4
    tail = Tail(data[offset:], offset=offset, rows=metadata.num_rows)
    return Index.of(tail.columns(), offset=offset, payload_bytes=sum(lengths))


def replaced(name: str, array: pa.Array, *, nullable: bool = True) -> Any:
    def change(table: pa.Table) -> pa.Table:
        field = pa.field(name, array.type, nullable=nullable)
        return table.set_column(table.column_names.index(name), field, array)

    return change


def moved(table: pa.Table) -> pa.Table:
    return table.select(["payload", "taken", *table.column_names[1:10]])


HOSTILE: dict[str, Any] = {
    "of another type": replaced("taken", pa.array([1] * 20, pa.int32())),
    "a text for a number": replaced("taken", pa.array(["1"] * 20)),
    "signed in place of unsigned": replaced("stars", pa.array([1] * 20, pa.int8())),
    "a number for a text": replaced("place", pa.array([1] * 20, pa.int64())),
    "bytes for a text": replaced("place", pa.array([b"\xff"] * 20, pa.binary())),
    "never null": replaced("taken", pa.array([1] * 20, pa.int64()), nullable=False),
    "nested": replaced("taken", pa.array([[1]] * 20)),
    "elsewhere": moved,
    "of another name": lambda table: table.append_column("other", pa.array([1] * 20)),
    "twice": lambda table: table.append_column("note", pa.array(["y"] * 20)),
}


@pytest.mark.usefixtures("more_columns")
def test_the_guard_takes_new_columns_and_refuses_their_hostile_forms(tmp_path: Path) -> None:
    index = read(written(tmp_path))
    assert index.optional["taken"].to_pylist() == [known(n).get("taken") for n in range(20)]
    assert index.optional["note"].to_pylist() == [known(n).get("note") for n in range(20)]
    without = read(written(tmp_path, lambda table: table.drop_columns(["taken", "place"])))
    assert without.optional["taken"].null_count == 20
    assert without.optional["note"].to_pylist() == index.optional["note"].to_pylist()
    for name, change in HOSTILE.items():
        with pytest.raises(ValueError, match=r"column|text|type"):
            pytest.fail(f"{name}: {read(written(tmp_path, change))}")
    required = [name for name, column in COLUMNS.items() if not column.optional]
    for name in set(required) - {"payload", "length"}:
        with pytest.raises(ValueError, match="column"):
            read(written(tmp_path, partial(pa.Table.drop_columns, columns=[name])))


@pytest.mark.usefixtures("more_columns")
@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": ["label", "note"]},
        {"use_dictionary": ["label", "taken"]},
        {"column_encoding": {"taken": "PLAIN"}, "use_dictionary": False},
        {"column_encoding": {"note": "DELTA_BYTE_ARRAY"}, "use_dictionary": False},
        {"compression": {"taken": "SNAPPY"}},
        {"data_page_version": "2.0"},
    ],
)
def test_other_layouts_of_new_columns_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    encodings = {c.name: c.encoding for c in COLUMNS.values() if c.encoding != "DICTIONARY"}
    chosen = dict(options)
    dictionary = chosen.get("use_dictionary") or []
    encodings |= chosen.get("column_encoding", {})
    chosen["column_encoding"] = {n: e for n, e in encodings.items() if n not in dictionary}
    chosen["use_dictionary"] = dictionary or [
        c.name for c in COLUMNS.values() if c.encoding == "DICTIONARY"
    ]
    data = written(tmp_path, **chosen)
    with pytest.raises(ValueError, match=r"column|page"):
        read(data)


@pytest.mark.usefixtures("more_columns")
def test_texts_of_a_new_column_that_grow_out_of_few_bytes_are_refused(tmp_path: Path) -> None:
    rows = 2000

    def many(table: pa.Table) -> pa.Table:
        repeated = table.take(pa.array(np.zeros(rows, np.int64)))
        places = pa.array(["x" * 20_000] * rows)  # 40 MB of texts
        field = pa.field("place", pa.string())
        return repeated.set_column(repeated.column_names.index("place"), field, places)

    data = written(tmp_path, many, max_rows_per_page=rows)
    assert len(data) < 3_000_000
    with pytest.raises(ValueError, match="places are longer"):
        read(data)


@pytest.mark.slow
@pytest.mark.usefixtures("more_columns")
def test_damaged_new_columns_do_no_harm(tmp_path: Path) -> None:
    data = written(tmp_path)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    offset = metadata.row_group(0).column(1).data_page_offset
    begin = metadata.row_group(0).column(11).data_page_offset
    payload_bytes = sum(pq.read_table(io.BytesIO(data), columns=["length"])["length"].to_pylist())
    refused = 0
    for place in range(begin, len(data), 3):
        for new in (b"\xff", b"\x7f", b"\0"):
            tail = data[offset:place] + new + data[place + 1 :]
            try:
                columns = Tail(tail, offset=offset, rows=20).columns()
                Index.of(columns, offset=offset, payload_bytes=payload_bytes)
            except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "values",
    [
        ("a", "bits", "PLAIN"),
        ("a", "string", "PLAIN"),
        ("a", "int64", "PLAIN", True, True, 9),
        ("a", "string", "DELTA_BYTE_ARRAY", True, True, 9),
        ("a", "binary", "PLAIN", True, True, 9),
    ],
)
def test_columns_that_the_guard_cannot_hold_are_no_columns(values: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"^a: "):
        Column(*values)


def test_the_table_is_the_page_s() -> None:
    page = (Path(__file__).parents[1] / "docs" / "format.md").read_text()
    section = page[page.index("Columns, in file order") :].split("\n\n")[1]
    named = [
        name.strip("` ")
        for line in section.splitlines()[2:]
        for name in line.split("|")[1].split(",")
    ]
    assert named == list(COLUMNS)
