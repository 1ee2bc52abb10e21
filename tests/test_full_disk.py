"""A disk without a free byte: what deletes says what frees some, and that needs none."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.errors import ArchiveError
from reliability.calls import Call, watched
from tests.archive_checks import content, expected, make, reopened
from tests.traces import files_of, found, traces_of

FIRST = ["set/00000"]


class Full:
    """A disk on which nothing can be written before something is removed."""

    def __init__(self) -> None:
        self.refused = 0

    def __call__(self, call: Call, perform: Any) -> Any:
        if call.name == "unlink" and not call.path.rpartition("/")[2].startswith(".tmp-"):
            self.refused = -1_000_000
        if call.name == "write" and self.refused >= 0:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device", call.path)
        return perform()


@pytest.fixture(params=["injected", "tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A folder, and a block within which its disk is full at first."""
    if request.param == "injected":
        yield tmp_path, lambda: watched(tmp_path, Full())
        return
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if request.param == "ext4":
        image.write_bytes(bytes(2 << 20))
        words = ["mount", "-o", "loop", str(image), str(place)]
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is not installed")
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")

    @contextmanager
    def filled() -> Iterator[None]:
        with (place / "filling").open("wb", buffering=0) as file:
            for size in (65536, 1024, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
            with pytest.raises(OSError, match="No space"):
                file.write(b"x")
        yield

    try:
        yield place, filled
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_deleting_says_what_frees_space_first(disk: Any) -> None:
    folder, filled = disk
    path = make(folder / "a.kin", pictures(12, side=30))
    with reopened(path) as archive:
        archive.add(pictures(6, first=20, side=30))
        archive.compact()
        traces = traces_of(archive, FIRST)
        with filled():
            with pytest.raises(ArchiveError, match=r"the disk is full.*kinpack gc --min-age 0"):
                archive.remove(FIRST)
            assert len(archive.history()) == 3
            assert archive.gc(min_age=0).revisions == [1, 2]
            assert archive.remove(FIRST).removed == 1
            if os.path.ismount(folder):
                archive.remove(FIRST, purge=True)
                assert found(files_of(path), traces) == []
    wanted = expected(pictures(12, side=30), pictures(6, first=20, side=30))
    assert content(path) == {name: image for name, image in wanted.items() if name not in FIRST}


def test_purging_takes_the_room_of_what_is_to_go(disk: Any) -> None:
    folder, filled = disk
    path = make(folder / "a.kin", pictures(12, side=30))
    with reopened(path) as archive:
        archive.add(pictures(6, first=20, side=30))
        archive.compact()
        traces = traces_of(archive, FIRST)
        with filled():
            report = archive.remove(FIRST, purge=True)
        assert report.purged
        assert report.purged.revisions[:3] == [1, 2, 3]
    assert found(files_of(path), traces) == []
    assert len(content(path)) == 17


def test_without_old_revisions_there_is_nothing_to_free(disk: Any) -> None:
    folder, filled = disk
    path = make(folder / "a.kin", pictures(12, side=30))
    with reopened(path) as archive, filled():
        with pytest.raises(ArchiveError, match=r"the disk is full.*kinpack copy"):
            archive.remove(FIRST)
        with pytest.raises(ArchiveError, match="the disk is full"):
            archive.remove(FIRST, purge=True)
        assert archive.gc(min_age=0).files == []
    assert content(path) == expected(pictures(12, side=30))
