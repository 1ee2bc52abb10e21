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

from kinpack.archive.revisions.manifest import Manifest, manifest_file, manifest_number
from kinpack.archive.revisions.manifest_chain import load_manifest
from kinpack.archive.revisions.record import Record
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.store import FORMAT
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


def read(data: bytes, base: Manifest | None = None) -> Manifest:
    return Record.from_bytes(data, where="x.json").on(base, where="x.json")


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
    assert (FIRST.number, FIRST.parent) == (1, None)
    assert (second.number, second.parent) == (2, FIRST.checksum)
    assert second.archive == FIRST.archive != Manifest.unborn("cd" * 32, 321).archive
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
    with pytest.raises(ArchiveError, match=r"metadata.*JSON"):
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
    lambda: body(parent="ab" * 32),
    lambda: body(number=2),
    lambda: body(number=2, parent=1),
    lambda: body(archive=None),
    lambda: body(archive="AB" * 16),
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
    with pytest.raises(ArchiveError, match=r"no revision 3.*1 to 2"):
        load_manifest(store, 3)
    store.create(manifest_file(3), FIRST.to_bytes())
    with pytest.raises(ArchiveError, match="under a wrong name"):
        load_manifest(store)


def entries(count: int, seed: int = 0) -> tuple[SegmentEntry, ...]:
    return tuple(
        replace(ENTRY, name=f"{seed:08x}{number:024x}", deleted=()) for number in range(count)
    )


def commits(count: int) -> list[Manifest]:
    """The revisions of an archive to which one segment was added at a time."""
    revisions = [UNBORN]
    for entry in entries(count):
        revisions.append(revisions[-1].following((*revisions[-1].segments, entry), {"verb": "add"}))
    return revisions[1:]


def chain(manifest: Manifest) -> list[int]:
    numbers = [manifest.number]
    while manifest.base is not None:
        manifest = manifest.base
        numbers.append(manifest.number)
    return numbers


def test_many_small_commits_write_few_bytes_and_read_few_files() -> None:
    revisions = commits(1100)
    sizes = [len(manifest.to_bytes()) for manifest in revisions]
    entry_bytes = (sizes[1023] - sizes[0]) / 1023
    whole = [manifest.number for manifest in revisions if manifest.base is None]
    assert whole == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert max(len(chain(manifest)) for manifest in revisions) <= 16
    # Each level of four commits writes every entry once; the whole ones add up to twice the last.
    assert sum(sizes) < 1100 * (600 + 6 * entry_bytes) + 2 * 1024 * entry_bytes
    assert chain(revisions[1099]) == [1100, 1096, 1092, 1088, 1024]
    assert chain(revisions[766]) == [
        767,
        766,
        765,
        764,
        760,
        756,
        752,
        736,
        720,
        704,
        640,
        576,
        512,
    ]


def test_a_state_is_the_same_whole_and_on_its_base(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    revisions = commits(70)
    for number, name in ((10, 3), (10, 5), (19, 60)):  # deletions, of old and of new segments
        segments = list(revisions[-1].segments)
        segments[name] = segments[name].without(range(number))
        revisions.append(revisions[-1].following(tuple(segments), {"verb": "remove"}))
        segments = [*revisions[-1].segments, *entries(1, seed=number + name)]
        revisions.append(revisions[-1].following(tuple(segments), {"verb": "add"}))
    for manifest in revisions:
        store.create(manifest.file, manifest.to_bytes())
    assert sum(manifest.base is None for manifest in revisions) < 12
    for manifest in revisions:
        loaded = load_manifest(store, manifest.number)
        assert loaded == manifest
        assert chain(loaded) == chain(manifest)
        assert loaded.to_bytes() == manifest.to_bytes()
        assert Record.from_bytes(manifest.to_bytes(), where="x").checksum == manifest.checksum
    known = load_manifest(store, 70)
    again = load_manifest(store, known=known)
    assert again == revisions[-1]
    assert again.segments[0] is known.segments[0]  # nothing was read twice


def test_what_is_not_an_addition_or_a_deletion_is_written_whole() -> None:
    revision = commits(21)[-1]
    assert revision.base is not None
    segments = revision.segments
    for changed in (
        segments[1:],
        (segments[1], segments[0], *segments[2:]),
        (replace(segments[0], sha256="0" * 64), *segments[1:]),
        (),
        (segments[0].without(range(20)), *segments[1:]),
    ):
        assert revision.following(changed, {}).base is None
    deleted = revision.following((segments[0].without([1, 2]), *segments[1:]), {})
    assert deleted.base is not None
    restored = deleted.following((segments[0], *segments[1:]), {})
    assert restored.base is None
    assert deleted.to_dict()["deleted"] == {segments[0].name: [[1, 3]]}


def test_every_changed_byte_of_a_manifest_with_a_base_is_found() -> None:
    revision = commits(21)[-1]
    deleted = revision.following((revision.segments[0].without([1, 2]), *revision.segments[1:]), {})
    data = deleted.to_bytes()
    assert read(data, deleted.base) == deleted
    for position in range(len(data)):
        for change in (1, 32, 255):
            damaged = bytearray(data)
            damaged[position] ^= change
            with pytest.raises(ArchiveError, match=r"x\.json"):
                read(bytes(damaged), deleted.base)
    for other in (None, *commits(20)[-2:]):
        with pytest.raises(ArchiveError, match=r"x\.json: damaged"):
            read(data, other)


def test_hostile_manifests_with_a_base(tmp_path: Path) -> None:
    base = FIRST
    good = {
        **{
            key: FIRST.to_dict()[key]
            for key in ("format", "archive", "created", "kinpack", "change")
        },
        "number": 2,
        "parent": FIRST.checksum,
        "segments": [],
        "base": {"number": 1, "checksum": base.checksum},
        "deleted": {ENTRY.name: [[2, 5], [7, 8]]},
    }
    deleted = read(sealed(good), base).segments[0].deleted
    assert deleted == ((0, 6), (7, 8))
    hostile: list[dict[str, Any]] = [
        {"deleted": {ENTRY.name: [[0, 1]]}},
        {"deleted": {ENTRY.name: [[4, 6]]}},
        {"deleted": {ENTRY.name: [[19, 21]]}},
        {"deleted": {ENTRY.name: [[3, 10**9]]}},
        {"deleted": {"0" * 32: [[0, 1]]}},
        {"deleted": []},
        {"base": None},
        {"base": {"number": 1}},
        {"base": {"number": 2, "checksum": base.checksum}},
        {"base": {"number": 0, "checksum": base.checksum}},
        {"base": {"number": 1, "checksum": "0" * 64}},
        {"metadata": {}},
        {"codec": {"sha256": "cd" * 32, "bytes": 1}},
        {"archive": "0" * 32},
        {"parent": "0" * 64},
    ]
    for changes in hostile:
        with pytest.raises(ArchiveError, match=r"x\.json: damaged manifest"):
            read(sealed({**good, **changes}), base)
    store = FolderStore(tmp_path)
    store.create(FIRST.file, FIRST.to_bytes())
    before = base.checksum
    for number in range(2, 140):
        body = {**good, "number": number, "parent": before}
        body["base"] = {"number": number - 1, "checksum": before}
        data = sealed({**body, "deleted": {}})
        before = Record.from_bytes(data, where="x").checksum
        store.create(manifest_file(number), data)
    with pytest.raises(ArchiveError, match="more than 100 others"):
        load_manifest(store)
    assert load_manifest(store, 100).segments == FIRST.segments
