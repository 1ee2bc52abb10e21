"""Damaged archives and refusing disks: every change is found, nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.care.verification import verify
from kinpack.errors import ArchiveError, KinpackError, PayloadError
from kinpack.pictures.images import Image
from tests.archive_checks import make, reopened
from tests.trial_runs import trial


def read_all(path: Path) -> dict[str, Image]:
    with reopened(path) as archive:
        return {name: archive.read(name) for name in archive.ids}


@pytest.mark.slow
def test_every_changed_byte_is_found_and_harms_no_reader(tmp_path: Path) -> None:
    source = pictures(2, side=3)
    path = make(tmp_path / "a.kin", source)
    assert verify(path).ok
    original = {name: image for name, _, image in source.images}
    total = 0
    for file in sorted(path.rglob("*.*")):
        data = file.read_bytes()
        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 1 << (position % 8)
            file.write_bytes(damaged)
            report = verify(path)
            assert report.problems, f"{file.name}: byte {position}"
            assert file.name in " ".join(report.problems)
            try:
                for name, image in read_all(path).items():
                    assert np.array_equal(image, original[name])
            except KinpackError as error:
                assert "\n" not in str(error)  # noqa: PT017
            total += 1
        file.write_bytes(data)
    assert total > 2000
    assert verify(path).ok


@pytest.mark.slow
def test_a_changed_payload_is_refused_by_the_image_that_it_hits(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    (file,) = path.glob("segments/*")
    data = file.read_bytes()
    with reopened(path) as archive:
        payloads = [archive.packet(name).payload for name in archive.ids]
    starts = [data.index(payload) for payload in payloads]
    starts.append(starts[-1] + len(payloads[-1]))
    for position in range(starts[0], starts[-1]):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        file.write_bytes(damaged)
        row = max(i for i, start in enumerate(starts) if start <= position)
        with reopened(path) as archive, pytest.raises(PayloadError, match=f"set/0000{row}"):
            archive.read(f"set/0000{row}")
    file.write_bytes(data)


def test_truncated_files_are_found(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(2, side=3))
    for file in sorted(path.rglob("*.*")):
        data = file.read_bytes()
        for length in (*range(0, len(data), 7), len(data) - 1):
            file.write_bytes(data[:length])
            assert verify(path).problems, f"{file.name}: {length} bytes"
            if file.suffix != ".kinc":
                with pytest.raises(KinpackError):
                    read_all(path)
        file.write_bytes(data + b"x")
        assert verify(path).problems
        file.unlink()
        assert verify(path).problems
        file.write_bytes(data)
    assert verify(path).ok


def test_damage_in_earlier_states_is_found(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        archive.remove(archive.ids)
    (segment,) = path.glob("segments/*")
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    assert "SHA-256" in verify(path).problems[0]
    (path / "manifests" / "0000000001.json").write_text("{}")
    assert any("0000000001.json" in problem for problem in verify(path).problems)
    (path / "manifests" / "0000000001.json").unlink()
    report = verify(path)
    assert report.ok
    assert any("the revision before it is forgotten" in note for note in report.notes)


def test_verifying_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no such archive"):
        verify(tmp_path / "none")
    assert "no kinpack archive" in verify(tmp_path).problems[0]
    path = make(tmp_path / "a.kin")
    done: list[int] = []
    assert verify(path, progress=done.append).images == sum(done) == 10


def test_a_deep_verification_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.kin")
    decode = FakeCodec.decode

    def fail(self: FakeCodec, packets: Any, **options: Any) -> Any:
        if any(packet.width * packet.height == worst for packet in packets):
            raise PayloadError("it cannot be drawn")
        return decode(self, packets, **options)

    with reopened(path) as archive:
        worst = max(entry.width * entry.height for entry in archive.entries())
        monkeypatch.setattr(FakeCodec, "decode", fail)
        hit = [e.id for e in archive.entries() if e.width * e.height == worst]
        assert archive.verify().ok
        report = archive.verify(deep=True)
        assert len(report.problems) == len(hit)
        assert all(name in problem for name, problem in zip(hit, report.problems, strict=True))
        with pytest.raises(PayloadError, match=f"image '{hit[0]}': it cannot be drawn"):
            archive.read_many(archive.ids)


def test_a_full_disk_while_packing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ArchiveError, match=r"a\.kin/codecs/.*disk is full"):
            make(tmp_path / "a.kin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_short_run_of_the_trials_of_damage(tmp_path: Path) -> None:
    result = trial("damage", tmp_path, "--flips", 60, "--every", 60)
    assert result["large"]["bytes_changed"] == {"found": 60}
    for name in ("folder", "sealed"):
        assert result[name]["bytes_changed"]["found"] > 20
        assert result[name]["lengths_cut_to"]["found"] > 20


@pytest.mark.parametrize("folder", ["segments", "codecs"])
def test_an_open_archive_misses_files_that_it_has_read_already(tmp_path: Path, folder: str) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.read("set/00001")
        assert archive.verify().ok
        (file,) = (path / folder).iterdir()
        file.unlink()
        report = archive.verify()
    assert not report.ok
    assert any(file.name in problem for problem in report.problems)
