"""Codes that are looked at where they lie: the same as those that are read, and as well checked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.segments import code_file
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.ranged import LocalFile
from kinpack.archive.stores.store import MappedStore
from kinpack.errors import ArchiveError
from kinpack.mapped_memory import let_go, map_file
from kinpack.search.hit import Hit
from tests.archive_checks import make, reopened

needs_mapping = pytest.mark.skipif(os.name != "posix", reason="files are not mapped there")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three segments, of whose codes every file is mapped."""
    monkeypatch.setattr(stream_module, "ROWS", 20)
    monkeypatch.setattr(code_file, "MAPPED", 1)
    path = make(tmp_path / "a.kin", pictures(50), describer="classic")
    with reopened(path) as opened:
        opened.remove([opened.ids[at] for at in (0, 21, 22)])
    return path


def answers(path: Path) -> tuple[list[list[Hit]], bytes]:
    with reopened(path) as opened:
        codes, _ = opened.codes_of("classic")
        return [opened.search(opened.ids[at], 12) for at in (0, 20, 46)], codes.tobytes()


@needs_mapping
def test_mapped_codes_give_the_answers_of_those_that_are_read(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[str] = []
    plain = FolderStore.mapped

    def counted(self: FolderStore, name: str) -> memoryview | None:
        mapped.append(name)
        return plain(self, name)

    monkeypatch.setattr(FolderStore, "mapped", counted)
    with Archive.open(archive) as opened:
        seal(opened, tmp_path / "a.kin.zip")
    before = len(mapped)
    found = answers(archive)
    assert len(mapped) - before == 3
    assert answers(tmp_path / "a.kin.zip") == found
    monkeypatch.setattr(code_file, "MAPPED", 1 << 40)
    assert answers(archive) == found
    assert len(mapped) - before == 3


@needs_mapping
def test_mapped_codes_that_changed_are_refused(archive: Path) -> None:
    files = sorted(file for file in (archive / "codes").iterdir())
    for file, change in zip(files, ("bit", "short", "gone"), strict=True):
        data = file.read_bytes()
        file.chmod(0o600)
        if change == "gone":
            file.unlink()
        else:
            file.write_bytes(data[:-1] if change == "short" else bytes([data[0] ^ 1]) + data[1:])
        with reopened(archive) as opened, pytest.raises(ArchiveError, match=file.name):
            opened.search(opened.ids[30], 3)
        file.write_bytes(data)


@needs_mapping
def test_files_are_removed_while_they_are_mapped(archive: Path) -> None:
    with reopened(archive) as opened:
        found = opened.search(opened.ids[30], 5)
        with reopened(archive) as other:
            other.compact()
            other.gc(keep=1)
        assert opened.search(opened.ids[30], 5) == found


@needs_mapping
@given(st.integers(0, 9000), st.integers(0, 9000))
def test_any_part_of_a_file_is_mapped(
    tmp_path_factory: pytest.TempPathFactory, offset: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "mapped"
    data = np.random.default_rng(0).bytes(9000)
    path.write_bytes(data)
    file = LocalFile(path)
    found = file.mapped(offset, length)
    if offset + length > len(data) or not length:
        assert found is None
    else:
        assert found is not None
        assert found == data[offset : offset + length]
        array = np.frombuffer(found, np.uint8)[1:]
        let_go(array)
        assert array.tobytes() == data[offset : offset + length][1:]
    file.close()


def test_what_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with path.open("rb") as opened:
        assert map_file(opened.fileno(), 0, 1) is None
    let_go(b"nothing that is mapped")
    store = FolderStore(tmp_path)
    assert isinstance(store, MappedStore)
    assert store.mapped("empty") is None
    with pytest.raises(ArchiveError, match="missing"):
        store.mapped("other")
    store.close()
