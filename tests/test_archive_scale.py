"""The measurements of scale: a small run, every store against plain loops, and what kills leave."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.measuring.filled_page import UNMEASURED
from benchmarks.pages import scale_table
from benchmarks.scale import kills as scale_kills
from benchmarks.scale import measures as scale_measures
from benchmarks.scale import multiplied
from benchmarks.scale import rows as scale_rows
from benchmarks.scale.rivals import CONTENDERS
from kinpack.archive.archive import Archive
from kinpack.describers.describer import Describer
from kinpack.errors import KinpackError

ROOT = Path(__file__).resolve().parents[1]
IMAGES, MORE = 300, 20
NAMES = [name for name in CONTENDERS if name != "lance" or find_spec("lance")]


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packets") / "packets.npz"
    made = scale_rows.make_packets(path, count=12, cifar=None)
    assert made["count"] == 12
    assert made["code_bytes"] == 8
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_measures, "PATIENCE", 0.1)
    monkeypatch.setattr(scale_measures, "READS", 150)
    monkeypatch.setattr(scale_measures, "FEWEST", 10)


def nearest_by_loop(rows: scale_rows.Rows, count: int, number: int) -> list[str]:
    """The ten nearest codes by the distances between words, added one by one."""
    books = Describer.load("classic").quantiser
    packed = np.array([list(rows.code(at)) for at in range(count)], np.uint8)
    words = books.unpack(packed)
    query = words[number].tolist()
    keys = []
    for at, code in enumerate(words.tolist()):
        total = 0.0
        for m, (a, b) in enumerate(zip(query, code, strict=True)):
            total += float(((books.codebooks[m, a] - books.codebooks[m, b]) ** 2).sum())
        keys.append((total, at))
    return [rows.name(at) for _, at in sorted(keys)[:10]]


def test_an_archive_of_many_is_made_of_few(
    packets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images repeat; its codes do not, and each is a real one with three words replaced."""
    monkeypatch.setattr(multiplied, "PACKED", 40)
    rows = multiplied.Unvaried(packets)
    multiplied.multiply(tmp_path / "a.kin", rows, 130, seed=3)
    with Archive.open(tmp_path / "a.kin") as archive:
        assert len(archive) == 160
        assert archive.ids == [rows.name(number % 40) for number in range(160)]
        problems = archive.verify(deep=True).problems  # nothing else than that names repeat
        assert [one for one in problems if "is there 4 times" not in one] == []
        quantiser = archive.describers["classic"].quantiser
        codes = quantiser.unpack(archive.codes_of("classic")[0])
        real = quantiser.unpack(
            np.frombuffer(b"".join(rows.codes), np.uint8).reshape(len(rows.codes), -1)
        )
        others = (codes[:, None] != real).sum(axis=2).min(axis=1)
        assert 0 < others.max() <= multiplied.CHANGED
        hits = archive.search(vector=quantiser.decode(codes[150:151])[0], k=1)
        assert hits[0].distance == 0


def test_no_two_images_are_alike(packets: Path) -> None:
    rows = scale_rows.Rows(packets)
    all_ = [rows.packet(number) for number in range(2000)]
    assert len({packet.payload for packet in all_}) == 2000
    assert len({rows.name(number) for number in range(2000)}) == 2000
    assert len({rows.code(number) for number in range(2000)}) > 1990
    assert rows.payload_bytes(2000) == sum(len(packet.payload) for packet in all_)
    lengths = {len(packet.payload) for packet in rows.packets}
    assert {len(packet.payload) for packet in all_} == lengths
    assert scale_rows.number_of(scale_rows.pixels(123_456)) == 123_456


@pytest.mark.usefixtures("quick")
def test_stores_hold_the_same(packets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result: dict[str, Any] = scale_measures.measure_all(
        tmp_path,
        packets,
        {name: IMAGES // 2 if name == "folder" else IMAGES for name in NAMES},
        append=MORE,
        log=said.append,
        run=scale_measures.do_step,
    )
    assert list(result["rows"]) == NAMES
    assert list(tmp_path.iterdir()) == []
    again = scale_measures.measure_all(
        tmp_path, packets, dict.fromkeys(NAMES, IMAGES), append=MORE, log=said.append,
        run=lambda step, *_: {"step": step}, former=result["rows"],
    )  # fmt: skip
    assert again == {"decoding": {"step": "decode"}, "rows": result["rows"]}
    for name, row in result["rows"].items():
        assert row["size"]["over_payload"] > 8 - 1e-9, name  # the code at least
        assert row["append"]["total"] == row["images"] + MORE * (1 + row["append"]["calls"])
        assert 0 < row["read"]["p50_ms"] <= row["read"]["p99_ms"] <= row["read"]["max_ms"]
    part = {
        **result,
        "packets": {"count": 12, "pictures": "x", "quality": 60, "payload_bytes_mean": 1.0},
        "command": "c", "seed": 0, "created": "2026-01-01T", "processor": "p", "cores": 1,
        "python": "3", "packages": {"pyarrow": "1"}, "load": None,
    }  # fmt: skip
    for name, (of, _) in scale_table.TABLES.items():
        table = scale_table.table(name, {"stores": part})
        assert (of == "stores") == (table != UNMEASURED)
        if of == "stores":
            head, line, *lines = table.split("\n\n")[0].splitlines()
            assert {row.count("|") for row in lines} == {head.count("|")} == {line.count("|")}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_store_finds(name: str, packets: Path, tmp_path: Path) -> None:
    rows = scale_rows.Rows(packets)
    path = tmp_path / "store"
    CONTENDERS[name].write(path, rows, IMAGES, lambda _: None)
    store = CONTENDERS[name].open(path, rows)
    store.append(IMAGES, MORE)
    for number in (0, 7, IMAGES - 1, IMAGES, IMAGES + MORE - 1):
        assert store.read(rows.name(number)) == rows.packet(number).payload
    assert store.read(rows.name(IMAGES + MORE)) is None
    for number in (3, IMAGES + 1):
        assert store.nearest(number) == nearest_by_loop(rows, IMAGES + MORE, number)
    store.close()


def test_reads_are_checked(packets: Path, tmp_path: Path) -> None:
    rows = scale_rows.Rows(packets)
    CONTENDERS["folder"].write(tmp_path / "store", rows, 3, lambda _: None)
    (tmp_path / "store" / rows.name(1)).write_bytes(b"other")
    with pytest.raises(KinpackError, match="another payload"):
        scale_measures.read("folder", tmp_path / "store", rows, 3)


def test_what_is_counted_after_a_kill(packets: Path, tmp_path: Path) -> None:
    rows = scale_rows.Rows(packets)
    path = tmp_path / "files"
    CONTENDERS["folder"].write(path, rows, 50, lambda _: None)
    none = {"opens": 1, "lost": 0, "torn": 0, "part_batches": 0}
    assert scale_kills.examine("folder", path, rows, 50) == none
    assert scale_kills.examine("folder", path, rows, 40) == {**none, "part_batches": 1}
    assert scale_kills.examine("folder", path, rows, 60) == {**none, "lost": 10}
    (path / rows.name(45)).write_bytes(b"")
    assert scale_kills.examine("folder", path, rows, 50) == {**none, "lost": 1}
    assert scale_kills.examine("folder", path, rows, 40) == {**none, "torn": 1, "part_batches": 1}

    whole = tmp_path / "all.zip"
    CONTENDERS["zip"].write(whole, rows, 50, lambda _: None)
    assert scale_kills.examine("zip", whole, rows, 50) == none
    whole.write_bytes(whole.read_bytes()[:-30])
    assert scale_kills.examine("zip", whole, rows, 50) == {**none, "opens": 0, "lost": 50}


@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    output = tmp_path / "archive.json"
    output.write_text(json.dumps({"commits": {"measured": "before"}}))
    words = ["--parts", "kills", "commits", "--stores", "kinpack", "--packets", 5, "--kills", 1]
    words += ["--commits", 3, "--folder", tmp_path, "-o", output]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.archive_scale", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert list(result) == ["kills", "commits"]
    row = result["kills"]["rows"]["kinpack"]
    assert (row["kills"], row["opens"], row["lost"], row["torn"]) == (1, 1, 0, 0)
    assert row["acknowledged"] >= scale_kills.BASE
    assert result["commits"]["images"] == result["commits"]["compacted"]["images"] == 3
    assert str(tmp_path) not in output.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["archive.json"]
    words[words.index("commits")] = "kills"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.archive_scale", *map(str, words), "--resume"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "1 kills" not in done.stdout
    assert json.loads(output.read_text()) == result


def test_numbers_of_the_page_come_from_the_result_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pages.scale_table", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
