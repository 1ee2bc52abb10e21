"""Repair: what is whole is saved bit for bit, what is lost is named, and nothing is made up."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.repairing import RepairReport, repair
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.whole_images import MOST_BYTES
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


def wrecked(path: Path) -> Path:
    """An archive that was rebuilt, and then added to by a handle on the former one."""
    make(path, pictures(3, seed=9))
    other = make(path.with_name("former.kin"), pictures(3))
    with reopened(other) as archive:
        archive.add(pictures(1, first=50))
        added = archive.manifest.segments[-1]
    for name in ("manifests/0000000002.json", added.file):
        shutil.copy(other / name, path / name)
    return path


def test_a_revision_of_another_archive_hides_nothing(tmp_path: Path) -> None:
    report = mended(wrecked(tmp_path / "a.kin"))
    assert saved(tmp_path / "a.kin") == {
        **expected(pictures(3, seed=9)),
        **expected(pictures(1, first=50)),
    }
    assert [name for name, _ in report.lost] == ["?"] * 3
    assert any("revision 1 is of another archive" in note for note in report.notes)


def test_a_revision_of_another_codec_is_left_out_with_a_line(tmp_path: Path) -> None:
    path, other = tmp_path / "a.kin", make(tmp_path / "other.kin", pictures(3))
    with reopened(other) as archive:
        archive.add(pictures(1, first=50))
    with Archive.create(path, FakeCodec(1)) as archive:
        archive.add(pictures(2, seed=9))
    for file in other.rglob("*.*"):
        if file.name != "0000000001.json":  # the newest revision is the other archive's
            shutil.copy(file, path / file.relative_to(other))
    report = mended(path)
    assert saved(path) == {**expected(pictures(3)), **expected(pictures(1, first=50))}
    assert [note for note in report.notes if "2 images of another codec" in note]


def test_what_is_left_out_gets_a_line(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    other = make(tmp_path / "other.kin", FakeSource(renewed(1, 2).images + pictures(8).images[6:]))
    with reopened(other) as archive:
        (unnamed,) = archive.manifest.segments
    shutil.copy(other / unnamed.file, path / unnamed.file)
    report = mended(path)
    assert (report.images, report.lost) == (3, [])
    assert [note for note in report.notes if unnamed.name in note and "4 left out" in note]


def test_lost_images_are_looked_for_in_earlier_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "ROWS", 64)
    path = make(tmp_path / "a.kin", pictures(2))
    with reopened(path) as archive:
        archive.add(pictures(2, first=2))
        archive.remove(["set/00001"])
        archive.compact()
        (whole,) = archive.manifest.segments
    data = (path / whole.file).read_bytes()
    damage(path / whole.file, whole.index_offset - 1)
    report = mended(path)
    assert report.lost == []
    assert [note for note in report.notes if note.startswith("1 image is back")]
    wanted = expected(pictures(4))
    del wanted["set/00001"]  # deleted, and never lost
    assert saved(path) == wanted
    shutil.rmtree(path.with_name("new.kin"))
    (path / whole.file).unlink()  # nobody knows what was in it
    report = mended(path)
    assert saved(path) == wanted  # an earlier revision knows what was deleted
    assert "may have been deleted before" in report.notes[-1]
    shutil.rmtree(path.with_name("new.kin"))
    (path / whole.file).write_bytes(data)
    assert mended(path) == RepairReport(images=3)


def test_a_huge_file_among_the_segments_is_not_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    huge = path / "segments" / f"{'0' * 32}.parquet"
    with huge.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    done = repair(path, tmp_path / "b.kin")
    assert done.images == 10
    assert any(huge.name in note and "has more than" in note for note in done.notes)
    assert content(tmp_path / "b.kin") == content(path)


def test_segments_of_an_archive_that_lies_deeper_are_nobodys(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(10))
    other = make(tmp_path / "b.kin", pictures(10, seed=5))
    shutil.copytree(other, path / "segments" / "b.kin")
    sorted((path / "segments").glob("*.parquet"))[0].unlink()
    assert 0 < repair(path, tmp_path / "new.kin").images < 10
    assert saved(path).items() <= expected(pictures(10)).items()


def test_a_gap_between_manifests(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        archive.add(pictures(3, first=3))
        archive.add(pictures(3, first=6))
    (path / "manifests" / "0000000002.json").unlink()
    assert mended(path).images == 9
    assert saved(path) == expected(pictures(9))


def test_what_only_builds_on_what_is_lost_tells_of_its_archive(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(60))
    with reopened(path) as archive:
        archive.remove(["set/00001"])  # its manifest says what has changed since the first
        assert archive.manifest.base is not None
    damage(path / "manifests" / "0000000001.json", 40)
    report = mended(path)
    assert "no revision can be read" in "".join(report.notes)
    assert saved(path) == expected(pictures(60))


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
