"""The reader in JavaScript (``web/reader``) reads what the package reads, and refuses the rest."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeSource, pictures
from fakes.manifest_files import sealed
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.revisions.manifest import canonical, digest
from kinpack.codec.classic.stored_file import whole_file
from kinpack.codec.classic.webp import rebuild_lossless
from kinpack.codec.packets.packet import Kind
from kinpack.errors import ArchiveError, KinpackError
from kinpack.pictures.images import to_pil
from kinpack.sources.opening import open_source
from tests.archive_checks import make, reopened
from tests.javascript_runs import READER, built, needs_node, node, run_jobs, value_of
from tests.range_server import RangeServer

pytestmark = [needs_node, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden" / "format-1"
ARCHIVES = sorted(path.name for path in GOLDEN.glob("*.kin*"))
SEALED = GOLDEN / "classic.kin.zip"


def everything(archive: Archive, *, files: bool = True) -> dict[str, Any]:
    """All that an archive tells, as the reader tells it."""
    images = []
    for entry in archive.entries():
        packet = archive.packet(entry.id)
        images.append(
            {
                **entry.to_dict(),
                "payload": hashlib.sha256(packet.payload).hexdigest(),
                "file": file_of(packet) if files else None,
            }
        )
    return {
        "number": archive.manifest.number,
        "identity": archive.manifest.archive,
        "metadata": dict(archive.manifest.metadata),
        "describers": list(archive.describers),
        "length": len(archive),
        "images": images,
    }


def file_of(packet: Any) -> list[str] | None:
    """Media type and sum of the file that an image is stored as."""
    size = {"width": packet.width, "height": packet.height, "channels": packet.channels}
    data = whole_file(packet)
    sort = "avif" if packet.kind is Kind.AVIF else "webp"
    if packet.kind is Kind.WEBP_LOSSLESS and packet.channels > 1:
        data = rebuild_lossless(packet.payload, **size)
    return None if data is None else [f"image/{sort}", hashlib.sha256(data).hexdigest()]


def read(where: object, **options: Any) -> dict[str, Any]:
    """What the reader gives of one archive, or how it refuses it."""
    return run_jobs([{"way": "everything", "where": str(where), **options}])[0]


# What is read


def test_golden_archives_in_every_revision() -> None:
    jobs, wanted = [], []
    for name in ARCHIVES:
        with Archive.open(GOLDEN / name) as archive:
            numbers = range(1, archive.manifest.number + 1)
        for at in [None] if name.endswith(".zip") else [None, *numbers]:
            with Archive.open(GOLDEN / name, at=at) as archive:
                wanted.append(everything(archive))
            jobs.append({"way": "everything", "where": GOLDEN / name, "at": at})
    assert [value_of(result) for result in run_jobs(jobs)] == wanted
    kinds = {(image["kind"], image["file"] is None) for one in wanted for image in one["images"]}
    assert len(kinds) >= 7  # all five, those beside alpha or grey and lossless without a file


def test_new_archives(tmp_path: Path) -> None:
    """Long and odd ids, labels that come and go, many segments, deleted rows, a page of 3,000."""
    odd = ["", "/", "a\nb", "ü", "😀", "\ufeffbom", "\u2028", "x" * 5000]
    path = make(tmp_path / "a.kin", pictures(40), describer="classic")
    with reopened(path) as archive:
        image = np.zeros((3, 5, 1), np.uint8)
        archive.add(FakeSource([(f"odd{n}{text}", text, image) for n, text in enumerate(odd)]))
        archive.add(FakeSource([(f"deep/{n:04}/{n % 7}", None, image) for n in range(3000)]))
        archive.remove([f"deep/{n:04}/{n % 7}" for n in range(0, 3000, 3)])
        archive.remove(["set/00003", "set/00004"])
        archive.rename({"set/00005": "renamed"}, prefix=("odd", "more/odd"), label=("cat", ""))
        seal(archive, tmp_path / "a.kin.zip")
    paths = [tmp_path / name for name in ("a.kin", "a.kin.zip")]
    found = run_jobs([{"way": "everything", "where": path, "files": False} for path in paths])
    for path, result in zip(paths, found, strict=True):
        with reopened(path) as archive:
            assert value_of(result) == everything(archive, files=False)


def test_columns_that_users_added(tmp_path: Path) -> None:
    """All types, of some images and segments alone; names that JavaScript has plans for."""
    times = [datetime(1, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime.max]
    known: list[dict[str, Any]] = [
        {
            "n": (1 << 53) - number if number % 2 else -number,
            "x": number / 3,
            "good": number % 3 == 0,
            "day": date(1, 1, 1) if number == 2 else date(2020, 2, 1 + number),
            "when": times[number % 3],
            "seen": datetime(2020, 1, 1, 12, 0, 0, number, UTC),
            "text": "ü" if number % 2 else f"of its own {number}",
            "2020": number,
            "__proto__": "plain",
            "\uffee": 1,
            "😀": 2,
        }
        for number in range(14)
    ]
    known = [one if number % 5 else {"n": 1} for number, one in enumerate(known)]
    images = pictures(14)
    items = [replace(one, columns=more) for one, more in zip(images, known, strict=True)]
    path = make(tmp_path / "a.kin", pictures(3, first=50))
    with reopened(path) as archive:
        archive.add(items)
        archive.remove(["set/00003"])
        seal(archive, tmp_path / "a.kin.zip")
    paths = [tmp_path / name for name in ("a.kin", "a.kin.zip")]
    found = run_jobs([{"way": "everything", "where": path, "files": False} for path in paths])
    for path, result in zip(paths, found, strict=True):
        with reopened(path) as archive:
            assert value_of(result) == everything(archive, files=False)
    lines = node(built() / "command.js", "list", paths[1]).stdout.splitlines()
    with reopened(paths[1]) as archive:
        assert [json.loads(line) for line in lines] == [one.to_dict() for one in archive.entries()]


def test_columns_that_an_index_file_alone_has(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    for number, (_, _, image) in enumerate(pictures(6).images):
        file = tmp_path / "photos" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        to_pil(image).save(file)
    make(path, open_source(tmp_path / "photos"))
    with reopened(path) as archive:
        assert len(archive.sync(tmp_path / "photos", unknown="keep").trusted) == 6
        wanted = everything(archive, files=False)
    (found,) = run_jobs([{"way": "everything", "where": path, "files": False}])
    assert value_of(found) == wanted
    assert all("sha256" in one for one in wanted["images"])


@pytest.mark.parametrize(
    "columns", [{}, {"n": "int32"}, {"id": "string"}, {"Label": "string"}, {" n": "int64"}, ["n"]]
)
def test_manifests_with_other_columns_are_refused(tmp_path: Path, columns: Any) -> None:
    path = make(tmp_path / "a.kin", [replace(one, columns={"n": 1}) for one in pictures(2)])
    with reopened(path) as archive:
        file = path / archive.manifest.file
    body = json.loads(file.read_bytes())
    for changed in (body | {"columns": columns}, {k: v for k, v in body.items() if k != "columns"}):
        del changed["checksum"]
        file.write_bytes(canonical({**changed, "checksum": digest(changed)}) + b"\n")
        result = read(path)
        assert "message" in result, result
        assert "damaged" in result["message"]


def test_over_http_in_few_requests() -> None:
    with RangeServer().running() as server:
        server.files["a.kin.zip"] = SEALED.read_bytes()
        server.failures = [503, "drop"]
        result = read(f"{server.url}/a.kin.zip")
        with Archive.open(SEALED) as archive:
            assert value_of(result) == everything(archive)
        assert server.requests[-1] == "bytes=-65536"  # all of a small one lies in its end
        server.ranges = False
        assert value_of(read(f"{server.url}/a.kin.zip")) == value_of(result)  # whole: it is small
        refused = read(f"{server.url}/none.kin.zip")
        assert "404" in refused["message"]


def test_neighbours_are_read_together(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), np.uint8)
    images = [(f"{n:02}", None, noise[n]) for n in range(40)]
    path = make(tmp_path / "a.kin", FakeSource(images))  # type: ignore[arg-type]
    with reopened(path) as archive, RangeServer().running() as server:
        seal(archive, tmp_path / "a.kin.zip")
        server.files["a.kin.zip"] = (tmp_path / "a.kin.zip").read_bytes()
        ids = [f"{n:02}" for n in (9, 3, 4, 5, 30, 29, 28, 9)]
        job = {"way": "packets", "where": f"{server.url}/a.kin.zip", "ids": ids}
        packets = value_of(run_jobs([job])[0])
        for name, found in zip(ids, packets, strict=True):
            packet = archive.packet(name)
            assert found["payload"] == hashlib.sha256(packet.payload).hexdigest()
            assert (found["width"], found["quality"]) == (packet.width, packet.quality)
        assert len(server.requests) == 4  # the end, and three runs of neighbours


def test_a_server_without_ranges_is_refused_where_the_file_is_large() -> None:
    with RangeServer().running() as server:
        server.files["a.kin.zip"] = SEALED.read_bytes() + bytes(70_000)
        server.ranges = False
        assert "gives no ranges" in read(f"{server.url}/a.kin.zip")["message"]


def test_a_zip_that_another_program_wrote(tmp_path: Path) -> None:
    """Extra fields in local headers move the data; a comment may follow the directory."""
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(SEALED) as source, zipfile.ZipFile(other, "w") as made:
        for info in source.infolist():
            copy = zipfile.ZipInfo(info.filename)
            copy.extra = b"\x99\x99\x04\x00abcd"
            made.writestr(copy, source.read(info))
        made.comment = b"a comment"
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as made, zipfile.ZipFile(SEALED) as source:
        for info in source.infolist():
            with made.open(info.filename, "w", force_zip64=True) as file:
                file.write(source.read(info))
    (tmp_path / "behind.zip").write_bytes(b"bytes before" + SEALED.read_bytes())
    with Archive.open(SEALED) as archive:
        wanted = everything(archive)
    for name in ("other", "long", "behind"):
        assert value_of(read(tmp_path / f"{name}.zip")) == wanted


# What is refused


def test_cut_files_are_refused(tmp_path: Path) -> None:
    whole = SEALED.read_bytes()
    paths = []
    for length in [0, 1, 21, 22, 100, len(whole) // 2, len(whole) - 1]:
        paths.append(tmp_path / f"{length}.zip")
        paths[-1].write_bytes(whole[:length])
    for result in run_jobs([{"way": "everything", "where": path} for path in paths]):
        assert result["error"] == "ArchiveError"
        assert "\n" not in result["message"]


def test_no_flipped_bit_gives_other_content(tmp_path: Path) -> None:
    """Bits flipped all over a sealed archive: it is refused, or reads as it was."""
    whole = SEALED.read_bytes()
    rng = np.random.default_rng(3)
    with zipfile.ZipFile(SEALED) as zipped:
        begins = [info.header_offset for info in zipped.infolist()]
    manifest = whole.rindex(b"manifests/0")
    places = {*rng.integers(0, len(whole), 250).tolist(), *range(len(whole) - 22, len(whole))}
    places |= {*begins, *rng.integers(manifest - 2000, len(whole), 100).tolist()}
    jobs = []
    for place in sorted(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path = tmp_path / f"{place}.zip"
        path.write_bytes(damaged)
        jobs.append({"way": "everything", "where": path})
    with Archive.open(SEALED) as archive:
        wanted = everything(archive)
    results = run_jobs(jobs)
    for result in results:
        assert result.get("value", wanted) == wanted
    assert sum("error" in result for result in results) > len(results) / 10


def changed_manifest(tmp_path: Path, name: str, change: Any) -> Path:
    """A copy of an archive of one manifest, of which a value was changed and signed again."""
    path = tmp_path / name
    shutil.copytree(GOLDEN / "wide.kin", path)
    (file,) = (path / "manifests").iterdir()
    body = json.loads(file.read_bytes())
    del body["checksum"]
    change(body)
    file.write_bytes(sealed(body))
    return path


def entry(body: dict[str, Any], **values: Any) -> None:
    body["segments"][0].update(values)


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "newer": lambda body: body.update(format=2),
    "unknown key": lambda body: body.update(colour="red"),
    "rows": lambda body: entry(body, rows=6),
    "many rows": lambda body: entry(body, rows=1 << 20),
    "bytes": lambda body: entry(body, bytes=body["segments"][0]["bytes"] + 1),
    "offset": lambda body: entry(body, index_offset=5),
    "payloads": lambda body: entry(body, payload_bytes=0),
    "sum": lambda body: entry(body, index_crc32=1),
    "deleted": lambda body: entry(body, deleted=[[0, 1], [1, 2]]),
    "deleted beyond": lambda body: entry(body, deleted=[[4, 7]]),
    "float": lambda body: entry(body, rows=5.0),
    "name": lambda body: entry(body, name="../" * 10 + "ab"),
    "column": lambda body: entry(
        body, codes=[{**body["segments"][0]["codes"][0], "column": "other"}]
    ),
    "parent": lambda body: body.update(parent="0" * 64),
    "number": lambda body: body.update(number=2, parent="0" * 64),
}


def test_manifests_that_lie_are_refused(tmp_path: Path) -> None:
    paths = [changed_manifest(tmp_path, name, change) for name, change in LIES.items()]
    for path in paths:
        with pytest.raises(ArchiveError), Archive.open(path) as archive:
            everything(archive)
    for result in run_jobs([{"way": "everything", "where": path} for path in paths]):
        assert result["error"] == "ArchiveError", result
        assert "\n" not in result["message"]
    one = read(paths[0])
    assert "newer than this reader reads" in one["message"]
    same = changed_manifest(
        tmp_path, "same", lambda body: body["metadata"].update(x=[1e16, 0.1, 2**60, "ü\x7f"])
    )
    with Archive.open(same) as archive:
        wanted = everything(archive)
    wanted["metadata"]["x"][2] = str(2**60)  # JSON of JavaScript has no such integers
    assert value_of(read(same)) == wanted


def test_an_index_of_a_stranger_is_read_or_refused_alike(tmp_path: Path) -> None:
    """Bytes of an index changed under sums that hold: what both read, both read alike.

    The reader also refuses what Arrow wraps around, such as values beyond their type; and it passes
    over unknown fields of Parquet, and over some damage within frames of Zstandard, which no
    accident leaves under a sum that holds.
    """
    source = GOLDEN / "classic.kin"
    manifest = json.loads((source / "manifests" / "0000000001.json").read_bytes())
    first = manifest["segments"][0]
    data = (source / "segments" / f"{first['name']}.parquet").read_bytes()
    rng = np.random.default_rng(8)
    places = rng.integers(first["index_offset"], len(data), 120).tolist()
    jobs: list[dict[str, Any]] = []
    wanted: list[Any] = []
    for n, place in enumerate(places):
        changed = bytearray(data)
        changed[place] = (changed[place] + rng.integers(1, 256)) % 256
        path = tmp_path / str(n)
        for folder in ("segments", "manifests"):
            (path / folder).mkdir(parents=True)
        for name in ("codecs", "describers", "codes"):
            (path / name).symlink_to(source / name)
        tail = bytes(changed[first["index_offset"] :])
        sums = {
            "index_crc32": zlib.crc32(tail),
            "sha256": hashlib.sha256(changed).hexdigest(),
        }
        body = {key: value for key, value in manifest.items() if key != "checksum"}
        body["segments"] = [{**first, **sums}]
        (path / "segments" / f"{first['name']}.parquet").write_bytes(changed)
        (path / "manifests" / "0000000001.json").write_bytes(sealed(body))
        jobs.append({"way": "entries", "where": path})
        try:
            with Archive.open(path) as archive:
                wanted.append([one.to_dict() for one in archive.entries()])
        except KinpackError:
            wanted.append(None)
    alike = 0
    for result, entries in zip(run_jobs(jobs), wanted, strict=True):
        if "value" in result and entries is not None:
            assert result["value"] == entries
        else:
            assert result.get("error", "ArchiveError") in ("ArchiveError", "PayloadError")
        alike += ("value" in result) == (entries is not None)
    assert alike > 0.8 * len(jobs)


def test_a_manifest_is_canonical(tmp_path: Path) -> None:
    """Another spelling of the same values is refused, though its own checksum may hold."""
    spellings: dict[str, Callable[[bytes], bytes]] = {
        "space": lambda data: data.replace(b'":{', b'": {', 1),
        "no newline": lambda data: data[:-1],
        "letters": lambda data: data.replace(b"\\u00fc", "ü".encode()),
        "exponent": lambda data: data.replace(b"2.5", b"25e-1"),
        "twice": lambda data: data.replace(b'{"archive"', b'{"archive":"x","archive"', 1),
    }
    jobs = []
    for name, change in spellings.items():
        path = tmp_path / name
        shutil.copytree(GOLDEN / "classic.kin", path)
        first = path / "manifests" / "0000000001.json"
        other = change(first.read_bytes())
        assert other != first.read_bytes()
        first.write_bytes(other)
        jobs.append({"way": "everything", "where": path, "at": 1})
    for result in run_jobs(jobs):
        assert "damaged manifest" in result["message"]


def test_a_compressed_or_doubled_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(SEALED) as source:
        files = {info.filename: source.read(info) for info in source.infolist()}
    packed, doubled = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    with zipfile.ZipFile(doubled, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
        name, data = files.popitem()
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr(name, data)
    for name, file, reason in (("p", packed, "compressed"), ("d", doubled, "comes twice")):
        (tmp_path / name).write_bytes(file.getvalue())
        assert reason in read(tmp_path / name)["message"]


# The command, the page of documentation, and the sources


def test_the_command(tmp_path: Path) -> None:
    command = built() / "command.js"
    done = node(command, "list", SEALED)
    with Archive.open(SEALED) as archive:
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines == [one.to_dict() for one in archive.entries()]
        assert node(command, "get", SEALED, "avif/rgb").stdout == archive.file("avif/rgb").data
    for arguments in (["list", tmp_path], ["get", SEALED, "none"], ["get", SEALED], ["help"]):
        done = node(command, *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"kinpack-reader: ")
        assert done.stderr.count(b"\n") == 1


def test_the_example_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "javascript.md").read_text("utf-8")
    (example,) = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    assert '"./web/reader/dist/node.js"' in example
    script = example.replace("./web/reader/dist", built().as_uri())
    script = script.replace("photos.kin.zip", str(SEALED))
    (tmp_path / "example.mjs").write_text(script, encoding="utf-8")
    done = node(tmp_path / "example.mjs")
    assert done.returncode == 0, done.stderr.decode()
    with Archive.open(SEALED) as archive:
        lines = done.stdout.decode().splitlines()
        assert lines[1] == "colour 28 36 avif"
        assert lines[2] == f"image/avif {len(archive.file('avif/rgb').data)}"
        hits = archive.search("avif/rgb", 3, compare=0)
        assert [line.rpartition(" ")[0] for line in lines[3:]] == [hit.id for hit in hits]


def test_no_import_runs_upward() -> None:
    """The rooms of the reader, in the order of docs/architecture.md, and small files in them."""
    page = (READER.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    told = page.partition("import only those before them:")[2].partition(";")[0]
    rooms = re.findall(r"`([a-z]+)/`", told)
    sources = READER / "src"
    assert {path.name for path in sources.iterdir() if path.is_dir()} == set(rooms)
    for folder in [sources, *(sources / room for room in rooms)]:
        assert len(list(folder.glob("*.ts"))) <= 15
    for file in sources.rglob("*.ts"):
        text = file.read_text("utf-8")
        assert text.count("\n") <= 400, file
        if file.parent != sources:
            allowed = rooms[: rooms.index(file.parent.name)]
            assert set(re.findall(r'from "\.\./([a-z]+)/', text)) <= set(allowed), file


def test_types_are_strict() -> None:
    done = node("node_modules/typescript/bin/tsc")
    assert done.returncode == 0, done.stdout.decode()
