"""Columns that users add keep every value through all that an archive lives through."""

from __future__ import annotations

import io
import json
import runpy
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.revisions.manifest import canonical, digest
from kinpack.archive.revisions.record import Record
from kinpack.archive.segments.segment_tail import Tail
from kinpack.column_types import (
    LONGEST_NAME,
    RESERVED,
    TYPES,
    check_schema,
    joined,
    json_value,
    name_of,
    type_of,
)
from kinpack.errors import ArchiveError
from kinpack.sources.items import Item
from tests.archive_checks import CODEC, make, reopened
from tests.cli_runs import ask

second = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "reader.py"))

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ZONES = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "string": TEXTS,
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamp_utc": st.datetimes(
        datetime(1, 1, 2),
        datetime(9999, 12, 30),
        timezones=ZONES,
    ),
}
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=LONGEST_NAME
).filter(lambda name: name == name.strip(" ") and name.casefold() not in RESERVED)


def items(*known: Mapping[str, Any], first: int = 0) -> list[Item]:
    """Pictures, of each of which something is known."""
    images = pictures(len(known), first=first)
    return [replace(item, columns=dict(one)) for item, one in zip(images, known, strict=True)]


class Told(list[Item]):
    """One picture, and of what types is that which is known of it."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(items(known, first=1))
        self.columns = {name: str(type_of(value)) for name, value in known.items()}


def told(path: Path | str) -> list[dict[str, Any]]:
    """What an archive, verified, tells of each image, in the order of ids."""
    with reopened(path) as archive:
        report = archive.verify()
        assert report.ok, report.problems
        entries = sorted(archive.entries(), key=lambda entry: entry.id)
        assert all(archive.entry(entry.id) == entry for entry in entries)
        return [entry.others for entry in entries]


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other if one else repr(one) == repr(other))


@pytest.mark.parametrize("of", TYPES)
@given(data=st.data())
def test_values_come_back_as_they_were(of: str, data: st.DataObject) -> None:
    kind = TYPES[of]
    values = data.draw(st.lists(st.none() | VALUES[of], max_size=20))
    array = kind.array([kind.stored(value) for value in values])
    array.validate(full=True)
    kind.check(array)
    assert array.type == kind.arrow_type
    assert name_of(array.type) == of
    back = kind.values(array)
    assert back == values
    assert all(same(a, b) for a, b in zip(back, values, strict=True))
    assert all(value is None or type_of(value) == of for value in values)
    assert kind.values(array[1:]) == values[1:]
    assert array.to_pylist() == values  # as whoever reads Arrow sees them
    json.dumps([json_value(value) for value in back], allow_nan=False)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("bool", 1),
        ("bool", "true"),
        ("int64", True),
        ("int64", 1.0),
        ("int64", 1 << 63),
        ("float64", "1"),
        ("float64", True),
        ("float64", float("inf")),
        ("float64", (1 << 53) + 1),
        ("string", 1),
        ("string", b"x"),
        ("string", "x" * (1 << 16) + "y"),
        ("string", "\udcff"),
        ("date", datetime(2020, 1, 1)),
        ("date", "2020-01-01"),
        ("timestamp", date(2020, 1, 1)),
        ("timestamp", datetime(2020, 1, 1, tzinfo=UTC)),
        ("timestamp_utc", datetime(2020, 1, 1)),
        ("timestamp_utc", datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, of: str, value: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        TYPES[of].stored(value)
    good = {
        "bool": True,
        "int64": 1,
        "float64": 1.5,
        "string": "x",
        "date": date(2020, 1, 1),
        "timestamp": datetime(2020, 1, 1),
        "timestamp_utc": datetime(2020, 1, 1, tzinfo=UTC),
    }
    with pytest.raises(ArchiveError, match=r"a\.kin: image 'set/00001': its known"):
        make(tmp_path / "a.kin", items({"known": good[of]}, {"known": value}))


def test_a_number_that_is_none_is_no_value(tmp_path: Path) -> None:
    make(tmp_path / "a.kin", items({"x": 1.5}, {"x": float("nan")}, {"x": 2}))
    assert [one["x"] for one in told(tmp_path / "a.kin")] == [1.5, None, 2.0]


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_all_ways_of_an_archive_keep_them(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ways")
    names = data.draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.casefold))
    types = {name: data.draw(st.sampled_from(list(TYPES))) for name in names}
    known: list[dict[str, Any]] = []
    path = folder / "a.kin"
    with Archive.create(path, CODEC, describer=None) as archive:
        for _ in range(data.draw(st.integers(1, 3))):  # of each commit some columns
            some = data.draw(st.lists(st.sampled_from(names), unique=True))
            rows = [
                {name: data.draw(st.none() | VALUES[types[name]]) for name in some}
                for _ in range(data.draw(st.integers(1, 6)))
            ]
            archive.add(items(*rows, first=len(known)))
            known += rows
        schema = archive.columns
    seen = {name for row in known for name, value in row.items() if value is not None}
    assert schema == {name: types[name] for name in sorted(seen)}
    expected = [{name: row.get(name) for name in schema} for row in known]
    assert told(path) == expected
    gone = data.draw(st.sets(st.integers(0, len(known) - 1), max_size=len(known) - 1))
    seal(path, folder / "whole.kin.zip")
    with reopened(path) as archive:
        if gone:
            archive.remove([f"set/{number:05d}" for number in gone])
        left = [one for number, one in enumerate(expected) if number not in gone]
        assert told(path) == left
        copy(archive, folder / "copy.kin")
        seal(archive, folder / "sealed.kin.zip")
        archive.compact(purge=data.draw(st.booleans()))
        assert archive.columns == schema
        assert archive.table().select(["id", *schema]).to_pylist() == [
            {"id": f"set/{number:05d}", **one}
            for number, one in enumerate(expected)
            if number not in gone
        ]
    assert told(path) == left
    unseal(folder / "sealed.kin.zip", folder / "unsealed.kin")
    merge([path], folder / "merged.kin")
    repair(path, folder / "repaired.kin", codec=CODEC)
    for name in ("copy", "sealed.kin.zip", "unsealed", "merged", "repaired"):
        place = folder / (name if "." in name else f"{name}.kin")
        assert told(place) == left, name
        with reopened(place) as archive:
            assert archive.columns == schema
    assert told(folder / "whole.kin.zip") == expected
    for other in (second["Folder"](path), second["Sealed"](folder / "sealed.kin.zip")):
        listed = sorted(second["listed"](other), key=lambda one: str(one["id"]))
        assert [{name: one[name] for name in schema} for one in listed] == [
            {name: json_value(value) for name, value in one.items()} for one in left
        ]


def test_an_archive_without_them_is_what_it_was(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    for file in (path / "manifests").iterdir():
        assert "columns" not in json.loads(file.read_bytes())
    (file,) = (path / "segments").iterdir()
    assert pq.read_schema(file).names == [
        *("payload", "id", "label", "length", "width", "height", "channels", "quality", "kind"),
        "checksum",
    ]
    with reopened(path) as archive:
        assert archive.columns == {}
        assert archive.info()["columns"] == {}


def test_columns_come_later_and_commits_that_bring_none_say_only_what_changed(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "a.kin", pictures(4))
    with reopened(path) as archive, reopened(path) as other:
        for number in range(4, 12):
            archive.add(items({"n": number}, first=number))
        body = json.loads((path / archive.manifest.file).read_bytes())
        assert "base" in body
        assert "columns" not in body
        assert archive.columns == {"n": "int64"}
        other.refresh()
        assert [entry.columns["n"] for entry in other.entries()] == [None] * 4 + [*range(4, 12)]
        assert len(other.table()) == 12
    with Archive.open(path, at=2, codec=CODEC) as before:  # revision 1 is of the first commit
        assert before.columns in ({}, {"n": "int64"})
    assert [one["n"] for one in told(path)] == [None] * 4 + [*range(4, 12)]


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({"n": 1}, {"n": "one"}, "'n' is of the type int64 already, and these are of .* string"),
        ({"n": 1}, {"n": 1.5}, "'n' is of the type int64 already"),
        ({"day": date(2020, 1, 1)}, {"day": datetime(2020, 1, 1)}, "convert them, or rename"),
        ({"n": 1}, {"N": 1}, "two columns are called 'N' and 'n'"),
    ],
)
def test_another_type_under_the_same_name_is_refused(
    tmp_path: Path, first: dict[str, Any], then: dict[str, Any], message: str
) -> None:
    path = make(tmp_path / "a.kin", items(first))
    with reopened(path) as archive, pytest.raises(ArchiveError, match=message):
        archive.add(Told(then))
    assert told(path) == [first]
    make(tmp_path / "b.kin", items(then, first=1))
    with pytest.raises(ArchiveError, match=message):
        merge([path, tmp_path / "b.kin"], tmp_path / "both.kin")
    assert not (tmp_path / "both.kin").exists()


def test_integers_go_into_a_column_of_numbers_with_fractions(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", items({"x": 1.5}))
    with reopened(path) as archive:
        archive.add(items({"x": 2}, first=1))
    make(tmp_path / "b.kin", items({"x": 3}, first=2))
    merge([path, tmp_path / "b.kin"], tmp_path / "both.kin")
    assert [one["x"] for one in told(tmp_path / "both.kin")] == [1.5, 2.0, 3.0]


def test_two_writers_with_other_types_cannot_both_have_their_way(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(1))

    class Late(list[Item]):
        def __iter__(self) -> Any:
            with reopened(path) as other:
                other.add(items({"x": "text"}, first=5))
            return super().__iter__()

    with reopened(path) as archive, pytest.raises(ArchiveError, match="'x' is of the type string"):
        archive.add(Late(items({"x": 1}, first=1)))
    assert [one["x"] for one in told(path)] == [None, "text"]


@pytest.mark.parametrize(
    "name", [*sorted(RESERVED), "ID", "Label", "", " x", "x ", "a\nb", "x" * 101]
)
def test_names_that_no_column_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="column"):
        check_schema({name: "int64"})
    if name in ("id", "label"):
        return  # the item's own
    with pytest.raises(ArchiveError, match=r"a\.kin: "):
        make(tmp_path / "a.kin", items({name: 1}))


def test_there_are_not_more_columns_than_an_archive_takes() -> None:
    many = {f"c{number}": "bool" for number in range(257)}
    with pytest.raises(ValueError, match="257 columns"):
        joined({}, many)


def test_max_bytes_holds_with_them(tmp_path: Path) -> None:
    known = [{"note": f"{'word ' * 20}{number}"} for number in range(30)]
    path = tmp_path / "a.kin"
    with Archive.create(path, "classic", describer=None) as archive:
        archive.add(items(*known), max_bytes=14_000)
        assert archive.manifest.bytes_on_disk <= 14_000
        assert [entry.columns["note"] for entry in archive.entries()] == [
            one["note"] for one in known
        ]


def test_others_read_them_as_they_are(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    known = [{"n": n, "day": date(2020, 1, 1 + n), "good": n % 2 == 0} for n in range(6)]
    path = make(tmp_path / "a.kin", items(*known))
    with reopened(path) as archive:
        archive.add(pictures(2, first=50))
    files = f"{path}/segments/*.parquet"
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT id, n FROM read_parquet(?, union_by_name = true)"
            " WHERE good AND day > '2020-01-01' ORDER BY id",
            [files],
        ).fetchall()
    assert rows == [("set/00002", 2), ("set/00004", 4)]


def test_a_revision_that_cannot_be_read_loses_none(tmp_path: Path) -> None:
    known = [{"n": n, "s": f"s{n}"} for n in range(4)]
    path = make(tmp_path / "a.kin", items(*known))
    for file in (path / "manifests").iterdir():
        file.write_bytes(b"{}")
    repair(path, tmp_path / "repaired.kin", codec=CODEC)
    assert told(tmp_path / "repaired.kin") == known


# Hostile segments and manifests


KNOWN: list[dict[str, Any]] = [
    {"n": n, "s": f"text {n % 3}", "when": datetime(2020, 1, 1 + n), "b": True} for n in range(20)
]
SCHEMA = {"b": "bool", "n": "int64", "s": "string", "when": "timestamp"}


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    path = make(tmp_path_factory.mktemp("hostile") / "a.kin", items(*KNOWN))
    (file,) = (path / "segments").iterdir()
    return pq.read_table(file)


def rewritten(table: pa.Table, **options: Any) -> bytes:
    """A segment's file that a stranger wrote."""
    own = {"payload": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BYTE_ARRAY", "checksum": "PLAIN"}
    own["length"] = "DELTA_BINARY_PACKED"
    chosen: dict[str, Any] = {
        "use_dictionary": [name for name in table.column_names if name not in (*own, "b", "n")],
        "column_encoding": {
            **own,
            **{one: "PLAIN" for one in ("b", "n") if one in table.column_names},
        },
        "compression": {"payload": "NONE"}
        | {name: "ZSTD" for name in table.column_names if name not in ("payload", "checksum")},
        "write_statistics": False,
        "store_schema": False,
        "data_page_size": 1 << 30,
        "dictionary_pagesize_limit": 1 << 30,
        **options,
    }
    sink = io.BytesIO()
    pq.write_table(table, sink, **chosen)
    return sink.getvalue()


def read(data: bytes, schema: Mapping[str, str] = SCHEMA) -> dict[str, Any]:
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    offset = group.column(1).data_page_offset
    tail = Tail(data[offset:], offset=offset, rows=group.num_rows, schema=schema)
    return tail.columns()


def with_column(
    name: str, array: pa.Array, *, nullable: bool = True
) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        field = pa.field(name, array.type, nullable=nullable)
        return table.set_column(table.column_names.index(name), field, array)

    return change


FAR = pa.array([1 << 62] * 20, pa.int64()).cast(pa.timestamp("us"))
HOSTILE: dict[str, Callable[[pa.Table], pa.Table]] = {
    "not declared": lambda table: table.append_column("zz", pa.array([1] * 20)),
    "twice": lambda table: table.append_column("when", table["when"]),
    "out of order": lambda table: table.select([*table.column_names[:-2], "when", "s"]),
    "another number": with_column("n", pa.array([1] * 20, pa.int32())),
    "unsigned": with_column("n", pa.array([1] * 20, pa.uint64())),
    "bytes for a text": with_column("s", pa.array([b"\xff"] * 20, pa.binary())),
    "a zone": with_column("when", pa.array([1] * 20, pa.timestamp("us", tz="UTC"))),
    "milliseconds": with_column("when", pa.array([1] * 20, pa.timestamp("ms"))),
    "a plain number": with_column("when", pa.array([1] * 20, pa.int64())),
    "after the year 9999": with_column("when", FAR),
    "never null": with_column("n", pa.array([1] * 20, pa.int64()), nullable=False),
    "a list": with_column("n", pa.array([[1]] * 20)),
}


def test_segments_of_strangers_are_what_the_manifest_says(segment: pa.Table) -> None:
    assert read(rewritten(segment))["n"].to_pylist() == list(range(20))
    fewer = read(rewritten(segment.drop_columns(["n", "s"])))
    assert {"n", "s"}.isdisjoint(fewer)
    for name, change in HOSTILE.items():
        with pytest.raises((ValueError, OSError)):
            pytest.fail(f"{name}: {read(rewritten(change(segment)))}")
    with pytest.raises(ValueError, match="column"):
        read(rewritten(segment), {"n": "int64"})


def test_texts_that_grow_out_of_few_bytes_are_refused(segment: pa.Table) -> None:
    rows = 2000
    many = segment.take(pa.array([0] * rows))
    long = with_column("s", pa.array(["x" * 20_000] * rows))(many)
    data = rewritten(long, max_rows_per_page=rows)
    assert len(data) < 1_000_000
    with pytest.raises(ValueError, match="longer"):
        read(data)


@pytest.mark.parametrize(
    "options",
    [
        {"column_encoding": {"n": "DELTA_BINARY_PACKED"}},
        {"column_encoding": {"s": "DELTA_BYTE_ARRAY"}},
        {"compression": {"n": "SNAPPY"}},
        {"data_page_version": "2.0"},
    ],
)
def test_other_layouts_are_refused(segment: pa.Table, options: dict[str, Any]) -> None:
    if "column_encoding" in options:
        options = {"column_encoding": options["column_encoding"], "use_dictionary": False}
    with pytest.raises((ValueError, OSError)):
        read(rewritten(segment, **options))


def test_damaged_columns_do_no_harm(segment: pa.Table) -> None:
    data = rewritten(segment)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    group = metadata.row_group(0)
    offset, begin = group.column(1).data_page_offset, group.column(10).data_page_offset
    refused = 0
    for place in range(begin, len(data), 5):
        for new in (b"\xff", b"\0"):
            tail = data[offset:place] + new + data[place + 1 :]
            try:
                found = Tail(tail, offset=offset, rows=20, schema=SCHEMA).columns()
                for name, of in SCHEMA.items():
                    if name in found:
                        TYPES[of].values(found[name])
            except (ArithmeticError, LookupError, OSError, TypeError, ValueError):
                refused += 1
    assert refused > 50


def sealed(body: dict[str, Any]) -> bytes:
    body = {key: value for key, value in body.items() if key != "checksum"}
    return canonical({**body, "checksum": digest(body)}) + b"\n"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        [],
        "n",
        {"n": "int32"},
        {"n": 1},
        {"n": ["int64"]},
        {"id": "string"},
        {"Label": "string"},
        {"": "int64"},
        {" n": "int64"},
        {"a\u2028b": "int64"},
        {"a\ud800": "int64"},
        {"x" * 101: "int64"},
        {f"c{number}": "bool" for number in range(257)},
    ],
)
def test_manifests_with_other_columns_are_refused(tmp_path: Path, columns: Any) -> None:
    path = make(tmp_path / "a.kin", items({"n": 1}))
    with reopened(path) as archive:
        file = path / archive.manifest.file
    body = json.loads(file.read_bytes())
    assert body["columns"] == {"n": "int64"}
    Record.from_bytes(sealed(body), where="m")
    data = sealed({**body, "columns": columns})
    with pytest.raises(ArchiveError, match="damaged manifest"):
        Record.from_bytes(data, where="m")
    file.write_bytes(data)
    with pytest.raises(second["DamageError"]):
        list(second["listed"](second["Folder"](path)))


def test_a_column_that_the_manifest_does_not_name_is_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", items({"n": 1}))
    with reopened(path) as archive:
        file = path / archive.manifest.file
    body = json.loads(file.read_bytes())
    del body["columns"]
    file.write_bytes(sealed(body))
    with reopened(path) as archive:
        with pytest.raises(ArchiveError, match="other columns"):
            list(archive.entries())
        assert not archive.verify().ok
    with pytest.raises(second["DamageError"]):
        list(second["listed"](second["Folder"](path)))


def test_ls_and_info_tell_them(tmp_path: Path) -> None:
    known: list[dict[str, Any]] = [{"n": 1, "when": datetime(2020, 5, 1, 10, tzinfo=UTC)}, {}]
    path = make(tmp_path / "a.kin", items(*known))
    first, then = ask("ls", path)
    assert (first["n"], first["when"]) == (1, "2020-05-01T10:00:00Z")
    assert (then["n"], then["when"]) == (None, None)
    assert ask("info", path)["columns"] == {"n": "int64", "when": "timestamp_utc"}


def test_reading_them_imports_no_pandas(tmp_path: Path) -> None:
    import subprocess

    path = make(tmp_path / "a.kin", items({**KNOWN[0], "z": datetime.now(UTC)}))
    program = (
        "import sys; from kinpack.archive.archive import Archive; from fakes.fake_codec import "
        f"FakeCodec; a = Archive.open({str(path)!r}, codec=FakeCodec()); list(a.entries()); "
        "a.table(); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
