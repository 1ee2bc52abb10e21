"""Repair: what is whole is saved bit for bit, what is lost is named, and nothing is made up."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.care.repairing import RepairReport, repair
from kinpack.archive.care.sealing import seal
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.errors import ArchiveError, KinpackError
from tests.archive_checks import CODEC, content, expected, hashes, make, renewed, reopened


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


def damage(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def mended(path: Path, **options: object) -> RepairReport:
    """Repair an archive; the old one stays as it is, the new one is whole."""
    before = hashes(path)
    target = path.with_name("new.kin")
    report = repair(path, target, **options)  # type: ignore[arg-type]
    assert hashes(path) == before
    assert len(content(target)) == report.images
    return report


def saved(path: Path) -> dict[str, tuple[str | None, bytes]]:
    return content(path.with_name("new.kin"))


def test_a_whole_archive_loses_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10))
    with reopened(path) as archive:
        archive.remove(["set/00004"])
        seal(archive, tmp_path / "a.kin.zip")
    done: list[int] = []
    assert mended(path, progress=done.append) == RepairReport(images=9)
    assert sum(done) == 9
    assert saved(path) == content(path)
    assert repair(tmp_path / "a.kin.zip", tmp_path / "z.kin").images == 9


def test_a_damaged_payload_is_one_image(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10))
    with reopened(path) as archive:
        entry = archive.manifest.segments[1]
    damage(path / entry.file, entry.index_offset - 1)
    report = mended(path)
    assert [name for name, _ in report.lost] == ["set/00007"]
    assert entry.name in report.lost[0][1]
    wanted = expected(pictures(10))
    del wanted["set/00007"]
    assert saved(path) == wanted


def test_damaged_and_missing_segments(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(16))
    with reopened(path) as archive:
        gone, broken, short, _ = archive.manifest.segments
    (path / gone.file).unlink()
    damage(path / broken.file, broken.index_offset + 30)
    data = (path / short.file).read_bytes()
    (path / short.file).write_bytes(data[:-1])
    report = mended(path)
    assert report.images == 4
    assert len(report.lost) == 12
    assert [name for name, _ in report.lost[:4]] == ["?"] * 4
    assert set(saved(path)) == {f"set/{number:05d}" for number in range(12, 16)}
    assert all("\n" not in reason for _, reason in report.lost)


def test_a_damaged_newest_manifest(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10), quality=50)
    with reopened(path) as archive:
        archive.remove(["set/00001"])
        archive.add(renewed(3, 12), on_duplicate="replace")
    damage(path / "manifests" / "0000000003.json", 50)
    report = mended(path)
    assert "damaged manifest" in report.notes[0]
    assert "revision 3 cannot be read; this is revision 2" in report.notes[1]
    wanted = {**expected(pictures(10)), **expected(renewed(3, 12))}
    del wanted["set/00001"]
    assert saved(path) == wanted


def test_no_manifest_at_all(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10))
    damage(path / "manifests" / "0000000001.json", 50)
    assert mended(path).notes[-1].startswith("no revision can be read; all segments")
    assert saved(path) == expected(pictures(10))
    (path / "codecs" / ("0" * 64 + ".kinc")).write_text("x")
    with pytest.raises(ArchiveError, match="it is not known which codec"):
        repair(path, tmp_path / "other.kin")
    for file in path.glob("segments/*"):
        file.unlink()
    with pytest.raises(ArchiveError, match="there is nothing to save"):
        repair(path, tmp_path / "other.kin")
    with pytest.raises(ArchiveError, match="there is no such archive"):
        repair(tmp_path / "none.kin", tmp_path / "other.kin")
    assert not (tmp_path / "other.kin").exists()


def test_a_damaged_codec(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    damage(path / "codecs" / f"{CODEC.codec_id}.kinc", 5)
    for codec in (None, FakeCodec(1)):
        with pytest.raises(ArchiveError, match=r"damaged.*--codec"):
            repair(path, tmp_path / "x.kin", codec=codec)
    report = mended(path, codec=CODEC)
    assert "the codec is damaged" in report.notes[0]
    assert saved(path) == expected(pictures(3))


@pytest.mark.slow
def test_any_damage_gives_true_images_or_names_them(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(6, side=3))
    with reopened(path) as archive:
        archive.add(pictures(1, first=6, side=3))
    wanted = expected(pictures(7, side=3))
    rng = random.Random(3)
    files = [file for file in path.rglob("*.*") if file.suffix != ".kinc"]
    for count in range(60):
        file = files[count % len(files)]
        data = file.read_bytes()
        damage(file, rng.randrange(len(data)))
        report = repair(path, tmp_path / f"{count}.kin")
        file.write_bytes(data)
        found = content(tmp_path / f"{count}.kin")
        assert all(wanted[name] == value for name, value in found.items())
        assert len(found) + len(report.lost) >= 7 or report.notes
    with pytest.raises(KinpackError, match="this path exists"):
        repair(path, tmp_path / "0.kin")
