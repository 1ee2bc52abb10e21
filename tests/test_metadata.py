"""What tables, data sets and files tell of pictures becomes columns, joined to the right ones."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kinpack
from kinpack.archive.archive import Archive
from kinpack.errors import ImageError, KinpackError, SourceError
from kinpack.pictures.exif import Shot, read_shot
from kinpack.sources.items import Item, Source, columns_of
from kinpack.sources.metadata import unmatched_of, with_metadata
from kinpack.sources.opening import open_source, subset
from tests.cli_runs import ask, run

NAMES = ["beach/00.png", "beach/01.png", "forest/02.png", "03.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8), 40 * number, np.uint8)).save(path)
    return tmp_path / "photos"


def told(source: Source) -> list[dict[str, Any]]:
    """What is known of each picture once it is loaded."""
    rows = []
    for item in source:
        item.load()
        rows.append({"id": item.id, "label": item.label, **item.columns})
    return rows


CSV = """\
path,taken by,stars,share,good,day,seen,zone,note
beach/00.png,Ann,3,0.5,true,2020-01-01,2020-01-01 10:00:00,2020-01-01T10:00:00Z,
./forest/02.png,"Bob, jr.",,1,false,,2020-01-01 10:00:00.250,,"two
lines"
{folder}/03.png,NA,-1,,,2021-12-31,,,007
gone.png,Eve,9,9,true,2020-01-01,,,x
"""


def test_a_table_is_joined_by_path_and_its_types_are_told_by_its_values(folder: Path) -> None:
    table = folder.parent / "x.csv"
    table.write_text(CSV.format(folder=folder))
    source = with_metadata(open_source(folder), table)
    assert columns_of(source) == {
        "taken by": "string",
        "stars": "int64",
        "share": "float64",
        "good": "bool",
        "day": "date",
        "seen": "timestamp",
        "zone": "timestamp_utc",
        "note": "string",
    }
    assert unmatched_of(source) == ["gone.png"]
    rows = {row["id"]: row for row in told(source)}
    assert list(rows) == sorted(NAMES)
    assert rows["beach/00.png"] == {
        "id": "beach/00.png",
        "label": "beach",
        "taken by": "Ann",
        "stars": 3,
        "share": 0.5,
        "good": True,
        "day": date(2020, 1, 1),
        "seen": datetime(2020, 1, 1, 10),
        "zone": datetime(2020, 1, 1, 10, tzinfo=UTC),
        "note": None,
    }
    assert rows["forest/02.png"]["seen"] == datetime(2020, 1, 1, 10, 0, 0, 250_000)
    assert rows["forest/02.png"]["note"] == "two\nlines"
    assert rows["forest/02.png"]["stars"] is None
    assert (rows["03.png"]["taken by"], rows["03.png"]["note"]) == ("NA", "007")
    assert rows["beach/01.png"] == {"id": "beach/01.png", "label": "beach"}


def test_ids_go_before_paths_and_labels_are_labels() -> None:
    source = open_source([np.zeros((2, 2), np.uint8)] * 3, labels=["a", "b", None])
    table = pa.table({"id": [2, 0], "label": ["z", None], "path": ["/x/y.png", "/x/z.png"]})
    with pytest.raises(SourceError, match="none of its 2 rows"):
        with_metadata(source, table)
    texts = table.set_column(0, "id", pa.array(["000002", "000000"]))
    rows = told(with_metadata(source, texts))
    assert [row["label"] for row in rows] == ["a", "b", "z"]
    assert [row.get("path") for row in rows] == ["/x/z.png", None, "/x/y.png"]


def test_the_table_of_an_unpacked_archive_is_one(folder: Path) -> None:
    table = pa.table({"id": NAMES, "n": list(range(len(NAMES)))})
    path = folder.parent / "a.kin"
    with Archive.create(path, "classic", describer=None) as archive:
        archive.add(with_metadata(open_source(folder), table))
        kinpack.unpack(archive, folder.parent / "files", format="webp")
    unpacked = folder.parent / "files"
    again = told(with_metadata(open_source(unpacked), unpacked / "labels.csv"))
    assert sorted((row["n"], row["label"]) for row in again) == [
        (0, "beach"),
        (1, "beach"),
        (2, "forest"),
        (3, None),
    ]


ARRAYS: dict[str, tuple[Any, str, list[Any]]] = {
    "int8": (pa.array([1, None], pa.int8()), "int64", [1, None]),
    "uint64": (pa.array([1, None], pa.uint64()), "int64", [1, None]),
    "float32": (pa.array([0.5, None], pa.float32()), "float64", [0.5, None]),
    "large_string": (pa.array(["a", None], pa.large_string()), "string", ["a", None]),
    "words": (pa.array(["a", None]).dictionary_encode(), "string", ["a", None]),
    "date64": (pa.array([date(2020, 1, 1), None], pa.date64()), "date", [date(2020, 1, 1), None]),
    "ns": (
        pa.array([1_577_872_800_000_001_999, None], pa.timestamp("ns")),
        "timestamp",
        [datetime(2020, 1, 1, 10, 0, 0, 1), None],
    ),
    "zone": (
        pa.array([1_577_872_800, None], pa.timestamp("s", "Europe/Berlin")),
        "timestamp_utc",
        [datetime(2020, 1, 1, 10, tzinfo=UTC), None],
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_types_of_tables_become_those_of_archives(tmp_path: Path, name: str) -> None:
    array, of, values = ARRAYS[name]
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": ["000000", "000001"], "it": array}), file)
    source = with_metadata(open_source([np.zeros((2, 2), np.uint8)] * 2), file)
    assert columns_of(source) == {"it": of}
    assert [row["it"] for row in told(source)] == values


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": ["x"]}, "no column id or path or file or file_name to go by, only name"),
        ({"id": ["x"]}, "none of its 1 rows is of a picture of .*: id is 'x' in one, and '03.png'"),
        ({"id": [None, "03.png"], "n": [1, 2]}, "row 1 has no id"),
        ({"id": ["03.png", "03.png"]}, "the id '03.png' comes twice"),
        ({"id": ["03.png"], "width": [1]}, "column of the archive's own is called 'width'"),
        ({"id": ["03.png"], "a": [1], "A": [2]}, "two columns are called 'A' and 'a'"),
        ({"id": ["03.png"], "n": [[1, 2]]}, "'n' is of the type list.*leave it out"),
        ({"id": ["03.png"], "n": [{"a": 1}]}, "'n' is of the type struct"),
        ({"id": ["03.png"], "n": [b"x"]}, "'n' is of the type binary"),
        ({"id": ["03.png"], "n": [2**63]}, "Integer value 9223372036854775808 not in range"),
        ({"id": [1.5], "n": [1]}, "column 'id' is no text"),
    ],
)
def test_tables_that_do_not_fit_get_one_line(
    folder: Path, table: dict[str, list[Any]], message: str
) -> None:
    arrays = {
        name: pa.array(column, pa.uint64()) if column == [2**63] else pa.array(column)
        for name, column in table.items()
    }
    with pytest.raises(SourceError, match=message) as error:
        with_metadata(open_source(folder), pa.table(arrays))
    assert "\n" not in str(error.value)


def test_files_that_are_no_tables_get_one_line(folder: Path) -> None:
    for name, content, message in (
        ("x.csv", b"id,n\n03.png,1,2\n", "cannot be read"),
        ("x.csv", b"id\n\xff\xfe\n", "cannot be read"),
        ("x.csv", b"", "cannot be read"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.json", b"{}", "are read from .csv, .tsv or .parquet"),
    ):
        (folder.parent / name).write_bytes(content)
        with pytest.raises(SourceError, match=message) as error:
            with_metadata(open_source(folder), folder.parent / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(SourceError, match=r"none\.csv"):
        with_metadata(open_source(folder), folder / "none.csv")


# Columns of files


def test_columns_of_files_are_exact(folder: Path) -> None:
    moment = 1_600_000_000_123_456_789
    os.utime(folder / NAMES[0], ns=(moment, moment))
    os.utime(folder / NAMES[3], ns=(-1, -1))  # before 1970
    rows = {row["id"]: row for row in told(open_source(folder, columns=["file", "hash"]))}
    for name in NAMES:
        path, row = folder / name, rows[name]
        assert row["path"] == name
        assert row["size"] == path.stat().st_size
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=path.stat().st_mtime_ns // 1000
        )
        assert row["modified"] == exact
    assert rows[NAMES[0]]["modified"].microsecond == 123_456
    assert rows[NAMES[3]]["modified"] == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path) -> None:
    source = open_source(folder / NAMES[0], columns=["file", "hash"])
    (item,) = source
    inner = item.load.args[0]  # type: ignore[attr-defined]

    def load() -> Any:
        image = inner()
        with (folder / NAMES[0]).open("ab") as file:
            file.write(b"more")
        return image

    files = item.load.func.__self__  # type: ignore[attr-defined]
    noted: dict[str, Any] = {}
    with pytest.raises(ImageError, match="changed while it was read"):
        files.load(load, str(folder / NAMES[0]), "x", noted)
    assert noted == {}
    (folder / NAMES[0]).unlink()
    with pytest.raises(ImageError):
        item.load()


def exif_of(changes: dict[str, dict[int, Any]]) -> bytes:
    exif = Image.Exif()
    for tag, value in changes.get("main", {}).items():
        exif[tag] = value
    for name, number in (("exif", 0x8769), ("gps", 0x8825)):
        exif.get_ifd(number).update(changes.get(name, {}))
    return exif.tobytes()


@pytest.mark.parametrize(
    ("changes", "shot"),
    [
        ({}, Shot()),
        ({"exif": {0x9003: "2020:05:01 10:11:12"}}, Shot(date=datetime(2020, 5, 1, 10, 11, 12))),
        ({"exif": {0x9004: "2020:05:01 10:11:12\0"}}, Shot(date=datetime(2020, 5, 1, 10, 11, 12))),
        ({"exif": {0x9003: "0000:00:00 00:00:00"}}, Shot()),
        ({"exif": {0x9003: "    :  :     :  :  "}}, Shot()),
        ({"main": {0x10F: "ACME", 0x110: "X70 \0"}}, Shot(camera="ACME X70")),
        ({"main": {0x10F: "ACME Corp.", 0x110: "Acme X70"}}, Shot(camera="Acme X70")),
        ({"main": {0x10F: "ACME"}}, Shot(camera="ACME")),
        (
            {"gps": {1: "N", 2: (53.0, 30.0, 36.0), 3: "W", 4: (10.0, 15.0, 0.0)}},
            Shot(latitude=53.51, longitude=-10.25),
        ),
        ({"gps": {1: "S", 2: (53.0, 30.0, 0.0)}}, Shot(latitude=-53.5)),
        ({"gps": {1: "N", 2: (99.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0)}}, Shot()),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_what_cameras_note(
    tmp_path: Path, changes: dict[str, dict[int, Any]], shot: Shot, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    Image.new("RGB", (8, 8)).save(path, exif=exif_of(changes))
    assert read_shot(path, "x") == shot
    (item,) = open_source(path, columns=["exif", "gps"])
    item.load()
    assert dict(item.columns) == {name: getattr(shot, name) for name in shot.__dataclass_fields__}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(data=st.data())
def test_broken_notes_do_no_harm(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = io.BytesIO()
    noted: dict[str, dict[int, Any]] = {"main": {0x110: "X"}, "gps": {1: "N", 2: (1.0, 2.0, 3.0)}}
    Image.new("L", (8, 8)).save(content, "JPEG", exif=exif_of(noted))
    raw = bytearray(content.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(2, 200))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "notes.jpg"
    path.write_bytes(raw)
    shot = read_shot(path, "x")
    assert shot.latitude is None or 0 <= shot.latitude <= 90


def test_what_nobody_can_tell_is_refused(folder: Path) -> None:
    for given_, columns, message in (
        (folder, ["exiv"], "files have no columns 'exiv'; ask for file, exif, gps, hash"),
        ([np.zeros((2, 2), np.uint8)], ["file"], "arrays have no columns"),
        (open_source(folder), ["file"], "is open already"),
    ):
        with pytest.raises(SourceError, match=message):
            open_source(given_, columns=columns)
    table = pa.table({"id": ["03.png"], "size": [1]})
    with pytest.raises(SourceError, match="'size' is one that the pictures have already"):
        with_metadata(open_source(folder, columns=["file"]), table)


# Data sets


def test_columns_of_a_data_set(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (4, 4), 9).save(content, "PNG")
    rows = 5
    table = pa.table(
        {
            "image": [{"bytes": content.getvalue(), "path": None}] * rows,
            "label": list(range(rows)),
            "artist": ["a", None, "c", "d", "e"],
            "year": pa.array([1900, 1901, None, 1903, 1904], pa.int16()),
            "boxes": [[1.0]] * rows,
        }
    )
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    source = open_source(tmp_path, columns=["artist", "year"])
    assert columns_of(source) == {"artist": "string", "year": "int64"}
    assert [(row["artist"], row["year"]) for row in told(source)] == list(
        zip(table["artist"].to_pylist(), table["year"].to_pylist(), strict=True)
    )
    part = subset(source, start=1, stop=3)
    assert columns_of(part) == columns_of(source)
    more = with_metadata(part, pa.table({"id": ["train/00001"], "n": [7]}))
    assert [row.get("n") for row in told(more)] == [7, None]
    with pytest.raises(SourceError, match="none of its 1 rows"):
        with_metadata(part, pa.table({"id": ["train/00000"], "n": [7]}))
    for name, message in (("none", "no column 'none'; there are image"), ("boxes", "type list")):
        with pytest.raises(SourceError, match=message):
            open_source(tmp_path, columns=[name])


# The command


def test_pack_and_add_keep_them(folder: Path) -> None:
    table = folder.parent / "x.csv"
    table.write_text("id,stars\nbeach/00.png,3\ngone.png,1\n")
    path = folder.parent / "a.kin"
    done = run(
        *("pack", folder, "-o", path, "--codec", "classic", "--describer", "none"),
        *("--columns", "file,hash", "--metadata", table),
    )
    assert "1 row is of no picture, as 'gone.png'" in done.stderr
    rows = {row["id"]: row for row in ask("ls", path)}
    assert rows["beach/00.png"]["stars"] == 3
    assert rows["03.png"]["path"] == "03.png"
    (folder / "beach" / "00.png").rename(folder / "new.png")
    run("add", path, folder / "new.png")
    (new,) = (row for row in ask("ls", path) if row["id"] == "new.png")
    assert new["sha256"] == rows["beach/00.png"]["sha256"]
    assert new["stars"] is None
    run("add", path, folder, "--columns", "none", "--on-duplicate", "replace")
    assert {row["sha256"] for row in ask("ls", path) if row["id"] == "03.png"} == {None}


def test_items_may_have_what_they_like(tmp_path: Path) -> None:
    image = np.zeros((2, 2), np.uint8)
    with Archive.create(tmp_path / "a.kin", "classic", describer=None) as archive:
        archive.add([Item("a", None, lambda: image, {"n": 1}), Item("b", None, lambda: image)])
        assert archive.columns == {"n": "int64"}
        with pytest.raises(KinpackError, match="a list, which no column holds"):
            archive.add([Item("c", None, lambda: image, {"tags": ["x"]})])
        assert archive.columns == {"n": "int64"}
