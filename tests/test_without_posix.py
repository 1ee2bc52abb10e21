"""Where the system is like Windows: all but cleaning up works, and draws the same pixels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from kinpack.archive.archive import Archive
from tests.cli_runs import environment
from tests.pictures import waves
from tests.test_golden import ARCHIVES, GOLDEN, expected

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


def run(folder: Path, *words: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.without_posix", *words],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def works(folder: Path, *words: str | Path) -> str:
    code, out, errors = run(folder, *words)
    assert code == 0, errors
    return out


def pictures(folder: Path, *numbers: int) -> Path:
    folder.mkdir()
    for number in numbers:
        PIL.Image.fromarray(waves(20, 24, 3, seed=number)).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_golden_archives_are_drawn(tmp_path: Path) -> None:
    drawn = json.loads(works(tmp_path, "golden", GOLDEN))
    assert sorted(drawn) == sorted(ARCHIVES)
    for name, pixels in drawn.items():
        for found, was in zip(pixels, expected(name)["images"], strict=True):
            assert found == was["pixels"] or was["kind"] == "AVIF", was["id"]


@pytest.mark.slow
def test_packing_adding_searching_sealing_and_verifying(tmp_path: Path) -> None:
    path, sealed = tmp_path / "a.kin", tmp_path / "a.zip"
    first, more = pictures(tmp_path / "first", 1, 2, 3), pictures(tmp_path / "more", 4, 5)
    works(tmp_path, "pack", first, "-o", path, "--codec", "classic")
    works(tmp_path, "add", path, more)
    works(tmp_path, "rm", path, "2.png")
    works(tmp_path, "compact", path)
    works(tmp_path, "seal", path, "-o", sealed)
    works(tmp_path, "copy", sealed, "-o", tmp_path / "b.kin")
    for place in (path, sealed, tmp_path / "b.kin"):
        works(tmp_path, "verify", place, "--deep")
        found = works(tmp_path, "search", place, more / "4.png", "-k", "1", "--json")
        assert json.loads(found)[0]["id"] == "4.png"
        with Archive.open(place) as archive:
            assert sorted(archive.ids) == ["1.png", "3.png", "4.png", "5.png"]
    works(tmp_path, "unpack", path, "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    code, _, errors = run(tmp_path, "gc", path)
    assert code == 1
    assert "kinpack copy" in errors
    code, _, errors = run(tmp_path, "pack", first, "-o", path, "--codec", "classic")
    assert code == 1
    assert "exists" in errors
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "a.kin", "a.zip", "b.kin", "first", "more", "out",
    ]  # fmt: skip


@pytest.mark.slow
def test_without_locks_nothing_is_cleaned_up(tmp_path: Path) -> None:
    """What docs/how-to-corrupt.md says of a system that has no locks."""
    path, orphan = tmp_path / "a.kin", tmp_path / "a.kin/segments" / f"{'0' * 32}.parquet"
    photos = pictures(tmp_path / "photos", 1, 2, 3)
    works(tmp_path, "pack", photos, "-o", path, "--codec", "classic")
    works(tmp_path, "rm", path, "2.png")
    orphan.write_text("of a killed writer, or of one that writes")
    before = {file: file.read_bytes() for file in path.rglob("*.*")}
    for words in (
        ("gc", path, "--min-age", "0"),
        ("rm", path, "1.png", "--purge"),
        ("compact", path, "--purge"),
    ):
        code, _, errors = run(tmp_path, *words)
        assert (code, len(errors.splitlines())) == (1, 1)
        assert "kinpack copy" in errors
    assert {file: file.read_bytes() for file in path.rglob("*.*")} == before
    works(tmp_path, "add", path, pictures(tmp_path / "more", 4))
    works(tmp_path, "compact", path)
    assert orphan.exists()
    with Archive.open(path) as archive:  # what came meanwhile is built on
        archive.remove(["4.png"])
    works(tmp_path, "copy", path, "-o", tmp_path / "b.kin")
    works(tmp_path, "verify", tmp_path / "b.kin", "--deep")
    with Archive.open(tmp_path / "b.kin") as archive:
        assert sorted(archive.ids) == ["1.png", "3.png"]
        assert len(archive.history()) == 1
    assert len(list((tmp_path / "b.kin").glob("segments/*"))) == 1


@pytest.mark.slow
def test_without_locks_what_a_killed_writer_began_is_named(tmp_path: Path) -> None:
    photos = pictures(tmp_path / "photos", 1)
    works(tmp_path, "pack", photos, "-o", tmp_path / "a.kin", "--codec", "classic")
    (tmp_path / "b.kin").mkdir()
    (tmp_path / "b.kin" / f".tmp-unfinished-{'0' * 32}").touch()
    (tmp_path / f".a.zip.{'0' * 32}.partial").touch()
    pack = ("pack", photos, "-o", tmp_path / "b.kin", "--codec", "classic")
    seal = ("seal", tmp_path / "a.kin", "-o", tmp_path / "a.zip")
    for words in (pack, seal):
        code, _, errors = run(tmp_path, *words)
        assert code == 1
        assert "remove" in errors
    shutil.rmtree(tmp_path / "b.kin")
    (tmp_path / f".a.zip.{'0' * 32}.partial").unlink()
    for words in (pack, seal):
        works(tmp_path, *words)


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.kin").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.kin" / "manifests").symlink_to(tmp_path / "elsewhere")
    code, _, errors = run(tmp_path, "info", tmp_path / "a.kin")
    assert code == 1
    assert "a link is in the way" in errors
