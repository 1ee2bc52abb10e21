"""Where the system is like Windows: all but cleaning up works, and draws the same pixels."""

from __future__ import annotations

import json
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


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.kin").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.kin" / "manifests").symlink_to(tmp_path / "elsewhere")
    code, _, errors = run(tmp_path, "info", tmp_path / "a.kin")
    assert code == 1
    assert "a link is in the way" in errors
