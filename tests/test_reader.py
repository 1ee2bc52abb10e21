"""``docs/reader.py``: an archive read without the package, which it cannot even import here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.segments.segment import Segment
from kinpack.pictures.images import to_pil
from kinpack.sources.opening import open_source
from tests.archive_checks import make, reopened

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
READER = ROOT / "docs" / "reader.py"
GOLDEN = ROOT / "tests" / "golden" / "format-1"
EXPECTED = {
    one["archive"]: one for one in json.loads((GOLDEN / "expected.json").read_text("utf-8"))
}
ARCHIVES = [*EXPECTED, "classic.kin.zip"]

# A module that is None in sys.modules cannot be imported, wherever it may be installed.
ALONE = (
    "import runpy, sys; sys.modules.update(kinpack=None, numpy=None); "
    "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
)


def alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the reader in a process of its own, where kinpack and numpy cannot be imported."""
    command = [sys.executable, "-I", "-c", ALONE, str(READER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("format_reader", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reader_imports_nothing_but_pyarrow_and_the_standard_library() -> None:
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print('kinpack' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(READER)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    blocked = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; sys.modules['kinpack'] = None; import kinpack"],
        capture_output=True,
        check=False,
    )
    assert blocked.returncode == 1


@pytest.mark.parametrize("name", ARCHIVES)
def test_list_and_check(name: str, reader: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert reader.main([str(GOLDEN / name), "list"]) == 0
    lines = capsys.readouterr().out
    with Archive.open(GOLDEN / name) as archive:
        for row, entry in zip(map(json.loads, lines.splitlines()), archive.entries(), strict=True):
            packet = archive.packet(entry.id)
            found = tuple(row[key] for key in ("id", "label", "width", "height", "channels"))
            assert found == (entry.id, entry.label, entry.width, entry.height, entry.channels)
            found = row["kind"], row["quality"], row["length"], row["checksum"]
            assert found == (entry.kind.name, entry.quality, entry.length, packet.checksum())
            payload = archive.store.read_range(row["file"], row["offset"], row["length"])
            assert payload == packet.payload
    assert reader.main([str(GOLDEN / name), "check"]) == 0
    assert "all sums hold" in capsys.readouterr().out


def test_columns_that_an_index_file_alone_has(
    tmp_path: Path, reader: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    path, photos = tmp_path / "a.kin", tmp_path / "photos"
    photos.mkdir()
    for number, (_, _, image) in enumerate(pictures(6).images):
        to_pil(image).save(photos / f"{number}.png")
    make(path, open_source(photos))
    with reopened(path) as archive:
        assert len(archive.sync(photos, unknown="keep").trusted) == 6
        wanted = {one.id: one.json_columns() for one in archive.entries()}
    assert reader.main([str(path), "list"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["id"]: {name: row.get(name) for name in wanted["0.png"]} for row in rows} == wanted


@pytest.mark.parametrize("name", ["classic.kin", "classic.kin.zip"])
def test_it_runs_alone(name: str, reader: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("list", "check"):
        done = alone(GOLDEN / name, command)
        assert (done.returncode, done.stderr) == (0, "")
        reader.main([str(GOLDEN / name), command])
        assert done.stdout == capsys.readouterr().out
    was = EXPECTED["classic.kin"]["searches"][-1]
    done = alone(GOLDEN / name, "scan", was["id"], "-k", 5, "--codes", was["codes"])
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [
        hit[0] for hit in was["hits"]
    ]


@pytest.mark.parametrize("name", ARCHIVES)
def test_scan_finds_what_the_package_finds(
    name: str, reader: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    searches = EXPECTED[name.removesuffix(".zip")]["searches"]
    for was in searches:
        arguments = [str(GOLDEN / name), "scan", was["id"], "-k", "5", "--codes", was["codes"]]
        assert reader.main(arguments) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [[row["id"], row["distance"]] for row in rows] == was["hits"]


def test_books_count_in_distances_as_they_are_weighted(
    reader: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "a.kin", pictures(30), describer="look")
    with reopened(path) as archive:
        hits = archive.search("set/00003", 30)
    assert reader.main([str(path), "scan", "set/00003", "-k", "30"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["id"], row["distance"]) for row in rows] == [(h.id, h.distance) for h in hits]


def test_what_cannot_be_answered(reader: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no image 'x'"):
        reader.main([str(GOLDEN / "wide.kin"), "scan", "x"])
    with pytest.raises(SystemExit, match="no codes 'x', of others wide"):
        reader.main([str(GOLDEN / "wide.kin"), "scan", "0", "--codes", "x"])
    done = alone(tmp_path, "check")
    assert done.returncode == 1
    assert "this is no kinpack archive" in done.stderr


def test_an_archive_of_many_commits(
    reader: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "many.kin", pictures(6))
    with reopened(path) as archive:
        for number in range(9):
            archive.add(pictures(2, first=10 + 2 * number))
            if number % 4 == 1:
                archive.remove([archive.ids[number], archive.ids[0]])
        ids = list(archive.ids)
    assert reader.main([str(path), "list"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids
    with reopened(path) as archive:
        archive.compact()
        archive.gc(min_age=0)
        ids = list(archive.ids)
    assert reader.main([str(path), "list"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids


def problems(reader: ModuleType, path: Path) -> list[str]:
    try:
        archive = reader.Sealed(path) if path.is_file() else reader.Folder(path)
        check = reader.Check(archive)
        check.run()
    except reader.DamageError as error:
        return [str(error)]
    found: list[str] = check.problems
    return found


def test_what_follows_another_manifest_is_found(reader: ModuleType, tmp_path: Path) -> None:
    path, other = make(tmp_path / "a.kin", pictures(2)), make(tmp_path / "b.kin", pictures(2))
    for place in (path, other):
        with reopened(place) as archive:
            archive.remove(["set/00000"])
            archive.remove(["set/00001"])
    second, third = (f"manifests/{number:010d}.json" for number in (2, 3))
    shutil.copy(other / third, path / third)
    assert any(third in one and "follows another" in one for one in problems(reader, path))
    (other / second).unlink()
    assert any(second in one for one in problems(reader, other))
    assert reader.main([str(other), "list"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_damage_in_every_file_is_found_and_named(
    name: str, reader: ModuleType, tmp_path: Path, rng: np.random.Generator
) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    numbers = sorted(EXPECTED[name]["revisions"])
    ends = {f"manifests/{int(number):010d}.json" for number in (numbers[0], numbers[-1])}
    for file in sorted((tmp_path / name).rglob("*.*")):
        if not file.is_file():
            continue
        data, called = file.read_bytes(), file.relative_to(tmp_path / name).as_posix()
        places = rng.integers(0, len(data), 2).tolist()
        damaged = [bytes([*data[:p], data[p] ^ 1 << p % 8, *data[p + 1 :]]) for p in places]
        for broken in (*damaged, data[:-1]):
            file.write_bytes(broken)
            found = problems(reader, tmp_path / name)
            assert any(called in problem for problem in found), (called, found)
        file.unlink()
        # Revisions may be forgotten from the oldest on, and the newest may not have been written
        # yet.
        forgettable = called in ends
        assert forgettable or problems(reader, tmp_path / name)
        file.write_bytes(data)
    assert problems(reader, tmp_path / name) == []


def test_damage_of_one_payload_is_that_image_alone(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "classic.kin", tmp_path / "x.kin")
    with Archive.open(tmp_path / "x.kin") as archive:
        segment: Segment = next(iter(archive.parts()))[0]
        file, place = segment.manifest_entry.file, int(segment.index.starts[1])
    data = bytearray((tmp_path / "x.kin" / file).read_bytes())
    data[place] ^= 8
    (tmp_path / "x.kin" / file).write_bytes(data)
    done = alone(tmp_path / "x.kin", "check")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if "image" in line] == [
        line for line in lines if "(row 1)" in line
    ]
    assert all(file in line for line in lines)
    assert "SHA-256" in lines[0]


def test_damage_in_a_sealed_archive_is_found_or_harmless(
    reader: ModuleType, tmp_path: Path, rng: np.random.Generator
) -> None:
    whole = (GOLDEN / "classic.kin.zip").read_bytes()
    path = tmp_path / "x.kin.zip"
    with zipfile.ZipFile(GOLDEN / "classic.kin.zip") as file:
        infos = file.infolist()
        data = [(i.header_offset + 30 + len(i.filename), i.file_size) for i in infos]
    places = rng.integers(0, len(whole), 25).tolist()
    listed, harmless = list(reader.listed(reader.Sealed(GOLDEN / "classic.kin.zip"))), 0
    for place in places:
        path.write_bytes(bytes([*whole[:place], whole[place] ^ 16, *whole[place + 1 :]]))
        found = problems(reader, path)
        if not found:
            harmless += 1
            assert not any(begin <= place < begin + size for begin, size in data)
            assert list(reader.listed(reader.Sealed(path))) == listed
    assert harmless < 8
    for length in range(0, len(whole), 9001):
        path.write_bytes(whole[:length])
        assert problems(reader, path)


def rewritten(reader: ModuleType, file: Path, **changes: Any) -> None:
    """Write a manifest with other values and a checksum that holds."""
    body = {**json.loads(file.read_bytes()), **changes}
    body.pop("checksum")
    body["checksum"] = hashlib.sha256(reader.canonical(body)).hexdigest()
    file.write_bytes(reader.canonical(body) + b"\n")


@pytest.mark.parametrize(
    ("number", "changes", "reason"),
    [
        (6, {"number": 7}, "under another name"),
        (6, {"format": 2}, "newer"),
        (6, {"more": 1}, "its keys"),
        (6, {"base": {"number": 4, "checksum": "0" * 64}}, "another manifest 4"),
        (5, {"deleted": {"0" * 32: [[0, 1]]}}, "which is not there"),
        (5, {"segments": [{}]}, "other keys"),
        (1, {"parent": 1}, "its parent"),
    ],
)
def test_manifests_that_lie_are_refused(
    number: int, changes: dict[str, Any], reason: str, reader: ModuleType, tmp_path: Path
) -> None:
    shutil.copytree(GOLDEN / "classic.kin", tmp_path / "x.kin")
    rewritten(reader, tmp_path / "x.kin/manifests" / f"{number:010d}.json", **changes)
    found = problems(reader, tmp_path / "x.kin")
    assert any(reason in problem and f"{number:010d}" in problem for problem in found), found
