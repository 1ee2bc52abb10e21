"""Manifests: canonical JSON of which no byte can change unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinpack.archive.manifest import (
    FORMAT,
    Manifest,
    SegmentEntry,
    load_manifest,
    manifest_file,
    manifest_number,
)
from kinpack.archive.store import FolderStore
from kinpack.errors import ArchiveError

ENTRY = SegmentEntry(
    name="0123456789abcdef" * 2,
    bytes=5000,
    rows=20,
    payload_bytes=4000,
    sha256="ab" * 32,
    index_offset=4100,
    index_crc32=0xFFFFFFFF,
    deleted=((0, 2), (5, 6)),
)
UNBORN = Manifest.unborn("cd" * 32, 321, {"quality": 60, "source": "Bäume 😀", "scale": 0.1})
FIRST = UNBORN.following((ENTRY,), {"verb": "add", "added": 20})


def read(data: bytes) -> Manifest:
    return Manifest.from_bytes(data, where="x.json")


def sealed(body: dict[str, Any]) -> bytes:
    """The bytes of any JSON, with a checksum that holds."""

    def canonical(value: Any) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    checksum = hashlib.sha256(canonical(body)).hexdigest()
    return canonical({**body, "checksum": checksum}) + b"\n"


def test_round_trip() -> None:
    assert read(FIRST.to_bytes()) == FIRST
    second = FIRST.following((ENTRY, replace(ENTRY, name="f" * 32, deleted=())), {"verb": "add"})
    assert read(second.to_bytes()) == second
    assert (FIRST.number, FIRST.parent, second.number, second.parent) == (1, None, 2, 1)
    assert (FIRST.images, second.images) == (17, 37)


def test_the_form_is_that_of_the_format() -> None:
    assert FIRST.to_bytes() == sealed(FIRST.to_dict())
    assert FIRST.to_bytes().isascii()


texts = st.text(max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_any_metadata_round_trips(metadata: dict[str, Any]) -> None:
    manifest = Manifest.unborn("cd" * 32, 1, metadata).following((), {})
    assert read(manifest.to_bytes()).metadata == metadata


@pytest.mark.parametrize("metadata", [{"a": {1, 2}}, {"a": float("nan")}, {"a": b"x"}])
def test_metadata_must_be_json(metadata: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError, match="metadata of an archive must be JSON values"):
        Manifest.unborn("cd" * 32, 1, metadata)


def test_every_changed_byte_is_found() -> None:
    data = FIRST.to_bytes()
    for position in range(len(data)):
        for change in (1, 2, 16, 32, 128, 255):
            damaged = bytearray(data)
            damaged[position] ^= change
            with pytest.raises(ArchiveError, match=r"x\.json"):
                read(bytes(damaged))


def test_every_truncation_and_extension_is_found() -> None:
    data = FIRST.to_bytes()
    for length in range(len(data)):
        with pytest.raises(ArchiveError, match=r"x\.json: damaged manifest"):
            read(data[:length])
    for more in (b"\n", b" ", b"x", data):
        with pytest.raises(ArchiveError, match=r"x\.json: damaged manifest"):
            read(data + more)


def test_other_spellings_of_the_same_json_are_refused() -> None:
    value = json.loads(FIRST.to_bytes())
    for data in (json.dumps(value), json.dumps(value, indent=1, sort_keys=True)):
        with pytest.raises(ArchiveError, match="not canonical"):
            read(data.encode())


def test_a_newer_format_is_refused_clearly() -> None:
    with pytest.raises(ArchiveError, match=rf"format {FORMAT + 1} is newer.*install a newer"):
        read(sealed({**FIRST.to_dict(), "format": FORMAT + 1, "novelty": []}))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"format":%s}' % (b"9" * 5000)],
)
def test_other_content_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"x\.json"):
        read(data)


def body(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**FIRST.to_dict(), **changes}))  # type: ignore[no-any-return]


def entry(**changes: Any) -> dict[str, Any]:
    return body(segments=[{**ENTRY.to_dict(), **changes}])


HOSTILE: list[Callable[[], dict[str, Any]]] = [
    lambda: body(format=0),
    lambda: body(format="1"),
    lambda: body(format=True),
    lambda: body(number=0),
    lambda: body(number=1.0),
    lambda: body(number=10**10),
    lambda: body(parent=1),
    lambda: body(parent=-1),
    lambda: body(created=5),
    lambda: body(codec=None),
    lambda: body(codec={"sha256": "../../etc/passwd", "bytes": 1}),
    lambda: body(codec={"sha256": "cd" * 32, "bytes": -1}),
    lambda: body(segments={}),
    lambda: body(segments=[1]),
    lambda: body(metadata=[]),
    lambda: body(extra=1),
    lambda: {key: value for key, value in body().items() if key != "change"},
    lambda: entry(name="../../../x"),
    lambda: entry(name="0123456789ABCDEF" * 2),
    lambda: entry(name="0123456789abcdef" * 2 + "\n"),
    lambda: entry(bytes=1 << 70),
    lambda: entry(bytes=True),
    lambda: entry(rows=0),
    lambda: entry(index_offset=5000),
    lambda: entry(payload_bytes=4097),
    lambda: entry(index_crc32=1 << 32),
    lambda: entry(sha256="ab"),
    lambda: entry(extra=1),
    lambda: entry(deleted=[[0, 21]]),
    lambda: entry(deleted=[[2, 2]]),
    lambda: entry(deleted=[[5, 6], [0, 1]]),
    lambda: entry(deleted=[[0, 1], [1, 2]]),
    lambda: entry(deleted=[[-1, 1]]),
    lambda: entry(deleted=[[0, 1, 2]]),
    lambda: entry(deleted=[0]),
    lambda: entry(deleted=None),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_values_with_a_good_checksum_are_refused(
    make: Callable[[], dict[str, Any]],
) -> None:
    with pytest.raises(ArchiveError, match=r"x\.json: damaged manifest"):
        read(sealed(make()))


@given(
    st.integers(1, 40).flatmap(
        lambda rows: st.tuples(
            st.just(rows), st.lists(st.sets(st.integers(0, rows - 1)), max_size=4)
        )
    )
)
def test_deleting_rows(case: tuple[int, list[set[int]]]) -> None:
    rows, steps = case
    entry = replace(ENTRY, rows=rows, deleted=())
    dead: set[int] = set()
    for step in steps:
        entry = entry.without(step)
        dead |= step
        assert {row for run in entry.deleted for row in range(*run)} == dead
        assert entry.live == rows - len(dead)
        assert SegmentEntry.from_dict(json.loads(json.dumps(entry.to_dict()))) == entry


def test_segments_without_a_living_row_are_dropped() -> None:
    empty = ENTRY.without(range(20))
    assert empty.live == 0
    assert FIRST.following((empty,), {}).segments == ()


def test_names() -> None:
    assert manifest_file(7) == "manifests/0000000007.json"
    assert manifest_number("manifests/0000000007.json") == 7
    for name in ("manifests/7.json", "manifests/0000000007.json~", "0000000007.json"):
        assert manifest_number(name) is None


def test_loading(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(ArchiveError, match=f"{tmp_path}: no kinpack archive"):
        load_manifest(store)
    second = FIRST.following(FIRST.segments, {})
    store.create(FIRST.file, FIRST.to_bytes())
    store.create(second.file, second.to_bytes())
    store.create("manifests/notes.txt", b"x")
    assert load_manifest(store) == second
    assert load_manifest(store, 1) == FIRST
    with pytest.raises(ArchiveError, match="there is no state 3; it has 1 to 2"):
        load_manifest(store, 3)
    store.create(manifest_file(3), FIRST.to_bytes())
    with pytest.raises(ArchiveError, match="manifest 1 under a wrong name"):
        load_manifest(store)
