"""Filters by expressions and by SQL pass what a plain loop passes, and hits are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.errors import KinpackError
from kinpack.search.distances.distance import SearchError
from kinpack.search.query import Query
from tests.archive_checks import CODEC
from tests.cli_runs import User, ask

COUNT = 60


def known(number: int) -> dict[str, Any]:
    """What is known of an image: nothing of every seventh."""
    if number % 7 == 0:
        return {}
    return {
        "n": number,
        "x": number / 8,
        "camera": None if number % 5 == 0 else f"X{number % 4}",
        "good": number % 3 == 0,
        "day": date(2020, 1 + number % 12, 1),
        "seen": datetime(2020, 1, 1, number % 24, tzinfo=UTC),
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two segments with columns and one without; some images deleted."""
    path = tmp_path_factory.mktemp("filters") / "a.kin"
    rng = np.random.default_rng(5)
    images = [
        (f"{number:03d}", (None, "cat")[number % 2], rng.integers(0, 256, (8, 9, 3), np.uint8))
        for number in range(COUNT + 10)
    ]
    with Archive.create(path, CODEC, describer="classic") as made:
        for first, stop in ((0, 25), (25, COUNT)):
            source = FakeSource(images[first:stop])
            made.add(
                [replace(item, columns=known(first + place)) for place, item in enumerate(source)]
            )
        made.add(FakeSource(images[COUNT:]))
        made.remove(["003", "030", "065"])
    return Archive.open(path, codec=CODEC)


def ids_where(archive: Archive, holds: Callable[[dict[str, Any]], bool | None]) -> list[str]:
    """The same by a plain loop; what is unknown does not pass."""
    found = []
    for entry in archive.entries():
        try:
            if holds({"id": entry.id, "label": entry.label, "width": entry.width, **entry.others}):
                found.append(entry.id)
        except TypeError:  # a comparison with None
            continue
    return found


PAIRS: list[tuple[Any, str, Callable[[dict[str, Any]], bool | None]]] = [
    (pc.field("n") > 40, "n > 40", lambda one: one["n"] > 40),
    (~(pc.field("n") > 40), "NOT n > 40", lambda one: not one["n"] > 40),
    (pc.field("camera") == "X1", "camera = 'X1'", lambda one: one["camera"] == "X1"),
    (pc.field("camera").is_null(), "camera IS NULL", lambda one: one["camera"] is None),
    (pc.field("good"), "good", lambda one: one["good"]),
    (
        (pc.field("day") >= date(2020, 6, 1)) & (pc.field("x") < 5),
        "day >= '2020-06-01' AND x < 5",
        lambda one: one["day"] >= date(2020, 6, 1) and one["x"] < 5,
    ),
    (
        pc.field("seen") < datetime(2020, 1, 1, 12, tzinfo=UTC),
        "seen < '2020-01-01 12:00:00'",
        lambda one: one["seen"] < datetime(2020, 1, 1, 12, tzinfo=UTC),
    ),
    (
        (pc.field("label") == "cat") | (pc.field("id") == "004"),
        "label = 'cat' OR id = '004'",
        lambda one: one["label"] == "cat" or one["id"] == "004",
    ),
    (pc.field("kind") != "avif", "kind <> 'avif'", lambda one: True),
    (pc.field("width") == 9, "width = 9", lambda one: one["width"] == 9),
]


@pytest.mark.parametrize("place", range(len(PAIRS)))
def test_expressions_and_sql_pass_what_a_loop_passes(archive: Archive, place: int) -> None:
    expression, sql, holds = PAIRS[place]
    expected = ids_where(archive, holds)
    assert expected
    assert [entry.id for entry in archive.entries(expression)] == expected
    pytest.importorskip("duckdb")
    assert [entry.id for entry in archive.entries(archive.sql_filter(sql))] == expected
    assert [one["id"] for one in ask("ls", archive.path, "--where", sql)] == expected


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_hits_are_the_nearest_of_those_that_pass(archive: Archive, data: st.DataObject) -> None:
    query = data.draw(st.sampled_from(archive.ids))
    expression, _, holds = data.draw(st.sampled_from(PAIRS))
    k = data.draw(st.integers(1, 12))
    passing = set(ids_where(archive, holds))
    everything = archive.search(query, k=len(archive))
    expected = [(hit.id, hit.distance) for hit in everything if hit.id in passing][:k]
    hits = archive.search(query, k=k, where=expression)
    assert [(hit.id, hit.distance) for hit in hits] == expected
    for hit in hits:
        assert hit.columns == archive.entry(hit.id).others


def test_filters_of_all_sorts_go_together(archive: Archive) -> None:
    asked = Query(like="001", where=pc.field("n") > 20, labels="cat", max_width=9, k=100)
    assert {hit.id for hit in archive.search(asked)} == {
        entry.id
        for entry in archive.entries()
        if entry.label == "cat" and (entry.columns["n"] or 0) > 20
    }
    both = [archive.search("001", where=pc.field("n") > limit, k=3) for limit in (20, 40, 20)]
    assert both[0] == both[2] != both[1]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (pc.field("nosuch") > 1, r"nosuch.*columns are id, label, .*camera"),
        (pc.field("n"), "it gives int64, no bool"),
        (pc.field("camera") > 1, "cannot be applied"),
        (pc.field("n") > 1000, r"no image passes where=\(n > 1000\)"),
        ("n > 1", "a filter is a pyarrow expression"),
        (True, "a filter is a pyarrow expression"),
    ],
)
def test_filters_that_are_none_get_one_line(archive: Archive, where: Any, message: str) -> None:
    with pytest.raises(SearchError, match=message) as error:
        archive.search("001", where=where)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("nosuch = 1", r"nosuch.*columns are id, label, .*camera"),
        ("n >", "syntax error"),
        ("", "the condition is empty"),
        (" \n", "the condition is empty"),
        ("n > 1000", "no image passes 'n > 1000'; ask for less"),
        ("sum(n) > 1", "cannot be applied"),
        ("n > 1; DROP TABLE x", "cannot be applied"),
        ("n > 1) UNION SELECT id FROM x WHERE (true", "cannot be applied"),
        ("camera", "cannot be applied"),
        ("id IN (SELECT content FROM read_text('/etc/hostname'))", "cannot be applied"),
        ("id IN (SELECT file FROM glob('/*'))", "cannot be applied"),
        ("id IN (SELECT id FROM read_csv('https://127.0.0.1/x.csv'))", "cannot be applied"),
        ("id IN (SELECT id FROM archive)", "cannot be applied"),  # a variable of Python
    ],
)
def test_conditions_that_are_none_get_one_line(archive: Archive, sql: str, message: str) -> None:
    pytest.importorskip("duckdb")
    with pytest.raises(SearchError, match=message) as error:
        archive.sql_filter(sql)
    assert "\n" not in str(error.value)


def test_without_duckdb_the_extra_is_named(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(KinpackError, match=r"kinpack\[sql\]"):
        archive.sql_filter("n > 1")
    assert list(archive.entries(pc.field("n") > 40))


def test_the_table_is_what_entries_tell(archive: Archive) -> None:
    rows = archive.table().to_pylist()
    names = ["id", "label", "width", "height", "channels", "kind", "quality", "length"]
    assert list(rows[0]) == names + sorted(archive.columns)
    expected = [entry.to_dict() for entry in archive.entries()]
    assert [{**row, **dict.fromkeys(("day", "seen"))} for row in rows] == [
        {name: {**one, "day": None, "seen": None}[name] for name in rows[0]} for one in expected
    ]


def test_an_archive_of_nothing_has_a_table(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None):
        pass
    with Archive.open(tmp_path / "a.kin", codec=CODEC) as empty:
        assert empty.table().num_rows == 0
        assert empty.table().column_names[:2] == ["id", "label"]
        assert list(empty.entries(pc.field("width") > 1)) == []


def test_the_command_filters_a_search(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    words = ("search", archive.path, "id:001", "-k", "4", "--where", "n > 50 AND good")
    told = ask(*words)
    assert [one["id"] for one in told] == [
        hit.id for hit in archive.search("001", k=4, where=archive.sql_filter("n > 50 AND good"))
    ]
    assert all(one["n"] > 50 and one["good"] for one in told)
    told = User(tmp_path).fails("ls", archive.path, "--where", "nosuch > 1")
    assert "columns are id, label" in told
