"""An archive follows a folder: whatever was done to the files, it holds what they hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.syncing.report import SyncReport
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.target import Target
from kinpack.errors import ArchiveError, ImageError, KinpackError, SourceError
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.metadata import with_metadata
from kinpack.sources.opening import open_source
from tests.cli_runs import ask, run
from tests.picture_files import coded

CONTENTS = [coded(to_pil(image), "BMP") for _, _, image in pictures(8).images]
FACTS = ("file", "hash")


class CountingCodec(FakeCodec):
    """Counts the images that it codes."""

    def __init__(self) -> None:
        super().__init__()
        self.coded = 0

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        self.coded += len(images)
        return super().encode(images, target, **asked)


class Folder:
    """A folder of pictures of which every writing has a time of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, int] = {}
        self._time = 10**9
        path.mkdir()

    def write(self, name: str, number: int) -> None:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CONTENTS[number])
        self.files[name] = number
        self.touch(name)

    def touch(self, name: str) -> None:
        self._time += 1
        os.utime(self.path / name, (self._time, self._time))

    def move(self, old: str, new: str) -> None:
        place = self.path / new
        place.parent.mkdir(parents=True, exist_ok=True)
        (self.path / old).replace(place)
        self.files[new] = self.files.pop(old)

    def delete(self, name: str) -> None:
        (self.path / name).unlink()
        del self.files[name]


def drawn(number: int) -> bytes:
    return load_image(CONTENTS[number]).tobytes()


def held(archive: Archive) -> dict[str, tuple[str | None, bytes]]:
    assert archive.verify(deep=True).ok
    found = {entry.id: (entry.label, image.tobytes()) for entry, image in archive.images()}
    assert len(found) == len(archive)
    return found


def wanted(files: dict[str, int], prefix: str = "") -> dict[str, tuple[str | None, bytes]]:
    named = {prefix + name: number for name, number in files.items()}
    return {
        name: (name.partition("/")[0] if "/" in name else None, drawn(number))
        for name, number in named.items()
    }


def packed(path: Path, folder: Folder, codec: FakeCodec | None = None, **options: Any) -> Archive:
    archive = Archive.create(path, codec or FakeCodec(), describer=None)
    archive.add(open_source(folder.path, columns=FACTS, **options))
    return archive


def total(report: SyncReport) -> int:
    return sum(len(names) for names in (report.new, report.changed, report.renamed, report.gone))


NAMES = st.sampled_from(["x.bmp", "y.bmp", "d/x.bmp", "d/y.bmp", "e/x.bmp", "e/f/x.bmp"])
DEEDS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.integers(0, 7)),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("touch"), NAMES),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("exchange"), NAMES, NAMES),
)


def do(folder: Folder, deed: tuple[Any, ...]) -> None:
    match deed:
        case ("write", name, number):
            folder.write(name, number)
        case ("delete", name) if name in folder.files:
            folder.delete(name)
        case ("touch", name) if name in folder.files:
            folder.touch(name)
        case ("move", old, new) if old in folder.files and old != new:
            folder.move(old, new)
        case ("exchange", one, other) if one != other and {one, other} <= folder.files.keys():
            folder.move(one, "aside.bmp")
            folder.move(other, one)
            folder.move("aside.bmp", other)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.tuples(st.lists(DEEDS, max_size=8), st.booleans()), min_size=1, max_size=4))
def test_an_archive_is_what_its_folder_is_and_codes_no_picture_twice(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[list[Any], bool]]
) -> None:
    place = tmp_path_factory.mktemp("life")
    folder, codec = Folder(place / "photos"), CountingCodec()
    folder.write("kept.bmp", 0)
    with packed(place / "a.kin", folder, codec) as archive:
        numbers = {drawn(number): number for number in range(8)}
        for deeds, delete in rounds:
            for deed in deeds:
                do(folder, deed)
            before = held(archive)
            told = archive.sync(folder.path, dry_run=True)
            assert held(archive) == before
            codec.coded = 0
            report = archive.sync(folder.path, delete=delete)
            assert (told.new, told.changed, told.renamed, told.gone) == (
                report.new,
                report.changed,
                report.renamed,
                report.gone,
            )
            # The plain law: what lies in more files than images is coded, and nothing else.
            there = Counter(numbers[pixels] for _, pixels in before.values())
            assert codec.coded == sum((Counter(folder.files.values()) - there).values())
            after, files = held(archive), wanted(folder.files)
            assert {name: after[name] for name in files} == files
            gone = {name: before[name] for name in after.keys() - files.keys()}
            assert {name: after[name] for name in gone} == gone
            assert sorted(gone) == ([] if delete else sorted(report.gone))
            number = archive.manifest.number
            again = archive.sync(folder.path, delete=delete)
            assert again.unchanged == len(files)
            assert total(again) == len(gone)
            assert archive.manifest.number == number


def test_what_is_told_of_files_is_what_they_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    for number in range(6):
        folder.write(f"d/{number}.bmp", number)
    with packed(tmp_path / "a.kin", folder) as archive:
        folder.move("d/1.bmp", "e/new.bmp")
        folder.touch("d/2.bmp")
        folder.write("d/3.bmp", 7)
        folder.write("f.bmp", 6)
        report = archive.sync(folder.path)
        assert report.renamed == [("d/1.bmp", "e/new.bmp")]
        assert (report.touched, report.changed, report.new) == (["d/2.bmp"], ["d/3.bmp"], ["f.bmp"])
        assert report.added is not None
        assert (report.added.added, report.added.replaced) == (1, 1)
        assert report.images == len(archive) == 7
        with Archive.create(tmp_path / "b.kin", FakeCodec(), describer=None) as fresh:
            fresh.add(open_source(folder.path, columns=FACTS))
            assert {e.id: e.columns for e in archive.entries()} == {
                e.id: e.columns for e in fresh.entries()
            }


def test_another_machine_reads_the_files_and_codes_none(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    for number in range(6):
        folder.write(f"{number}.bmp", number)
    packed(tmp_path / "a.kin", folder).close()
    other, codec = Folder(tmp_path / "elsewhere"), CountingCodec()
    for number in reversed(range(6)):
        other.write(f"{number}.bmp", number)
    with Archive.open(tmp_path / "a.kin", codec=codec) as archive:
        assert len(archive.sync(other.path).touched) == 6
        assert archive.sync(other.path).unchanged == 6
        assert codec.coded == 0
        assert len(archive.sync(folder.path).touched) == 6


@pytest.mark.parametrize("columns", [(), ("file",), ("hash",)])
def test_an_archive_that_knows_too_little_says_what_to_do(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    folder, codec = Folder(tmp_path / "photos"), CountingCodec()
    for number in range(4):
        folder.write(f"{number}.bmp", number)
    archive = Archive.create(tmp_path / "a.kin", codec, describer=None)
    archive.add(open_source(folder.path, columns=columns))
    for name in folder.files:
        folder.touch(name)
    codec.coded = 0
    if "hash" in columns:  # by which all can be told
        assert len(archive.sync(folder.path).touched) == 4
    else:
        before = archive.manifest.number
        with pytest.raises(ArchiveError, match="--unknown keep"):
            archive.sync(folder.path)
        assert archive.manifest.number == before
        assert len(archive.sync(folder.path, unknown="keep").trusted) == 4
    assert codec.coded == 0
    assert archive.sync(folder.path).unchanged == 4
    folder.move("0.bmp", "moved.bmp")
    assert archive.sync(folder.path).renamed == [("0.bmp", "moved.bmp")]
    assert held(archive) == wanted(folder.files)
    archive.close()


def test_what_is_unknown_may_be_taken_anew(tmp_path: Path) -> None:
    folder, codec = Folder(tmp_path / "photos"), CountingCodec()
    folder.write("a.bmp", 0)
    archive = Archive.create(tmp_path / "a.kin", codec, describer=None)
    archive.add(open_source(folder.path))
    folder.write("a.bmp", 1)
    assert archive.sync(folder.path, unknown="replace").changed == ["a.bmp"]
    assert held(archive) == wanted(folder.files)
    assert archive.sync(folder.path).unchanged == 1
    wrong: Any = "perhaps"
    with pytest.raises(ArchiveError, match="refuse, keep, replace"):
        archive.sync(folder.path, unknown=wrong)
    archive.close()


def test_a_folder_speaks_for_its_own_images_alone(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    for number in range(3):
        one.write(f"d/{number}.bmp", number)
        other.write(f"d/{number}.bmp", number + 3)
    with packed(tmp_path / "a.kin", one, prefix="one/") as archive:
        archive.add(open_source(other.path, columns=FACTS, prefix="other/"))
        one.delete("d/0.bmp")
        both = {**wanted(one.files, "one/"), **wanted(other.files, "other/")}
        gone = archive.sync(open_source(one.path, prefix="one/"), delete=True).gone
        assert gone == ["one/d/0.bmp"]
        assert held(archive) == both
        one.delete("d/1.bmp")
        kept = archive.sync(open_source(one.path, prefix="one/", include=["2.*"]), delete=True)
        assert kept.gone == []
        kept = archive.sync(open_source(one.path, prefix="one/", exclude=["1.*"]), delete=True)
        assert kept.gone == []
        other.delete("d/2.bmp")
        part = open_source(other.path / "d", root=other.path, prefix="other/")
        assert archive.sync(part).gone == ["other/d/2.bmp"]
        single = open_source([other.path / "d" / "0.bmp"], root=other.path, prefix="other/")
        assert archive.sync(single).gone == []


def test_what_else_is_known_of_an_image_stays_with_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    for number in range(3):
        folder.write(f"d/{number}.bmp", number)
    table = tmp_path / "table.csv"
    table.write_text("id,stars,label\nd/0.bmp,5,mine\nd/1.bmp,4,\nd/2.bmp,3,\n")
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(with_metadata(open_source(folder.path, columns=FACTS), table))
        folder.write("d/0.bmp", 5)
        folder.move("d/1.bmp", "e/1.bmp")
        archive.sync(folder.path)
        assert {e.id: (e.label, e.columns["stars"]) for e in archive.entries()} == {
            "d/0.bmp": ("mine", 5),
            "e/1.bmp": ("e", 4),
            "d/2.bmp": ("d", 3),
        }
        assert archive.entry("d/0.bmp").columns["size"] == len(CONTENTS[5])


def test_broken_files_are_told_and_their_images_stay(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    folder.write("a.bmp", 0)
    folder.write("b.bmp", 1)
    with packed(tmp_path / "a.kin", folder) as archive:
        before = held(archive)
        (folder.path / "a.bmp").write_bytes(b"BM no picture")
        (folder.path / "new.jpg").write_bytes(b"nor this")
        with pytest.raises(ImageError):
            archive.sync(folder.path)
        report = archive.sync(folder.path, delete=True, skip_broken=True)
        assert report.added is not None
        assert [name for name, _ in report.added.broken] == ["a.bmp", "new.jpg"]
        assert held(archive) == before


def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    folder.write("a.bmp", 0)
    with packed(tmp_path / "a.kin", folder) as archive:
        images: Any = [load_image(CONTENTS[0])]
        with pytest.raises(SourceError, match="picture files"):
            archive.sync(images)
        folder.delete("a.bmp")
        with pytest.raises(SourceError, match="no images"):
            archive.sync(folder.path, delete=True)
        assert len(archive) == 1


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    folder.write("a.bmp", 0)
    (tmp_path / "t.csv").write_text("id,size\na.bmp,large\n")
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(with_metadata(open_source(folder.path), tmp_path / "t.csv"))
        with pytest.raises(KinpackError, match="'size'"):
            archive.sync(folder.path)


def test_the_command(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "photos")
    for number in range(4):
        folder.write(f"d/{number}.bmp", number)
    place = tmp_path / "a.kin"
    run("pack", folder.path, "-o", place, "--codec", "classic", "--describer", "none", "--quiet")
    refused = run("sync", place, folder.path, code=1)
    assert "--unknown" in refused.stderr
    ask("sync", place, folder.path, "--unknown", "keep")
    folder.move("d/0.bmp", "d/moved.bmp")
    folder.delete("d/1.bmp")
    folder.write("d/2.bmp", 6)
    folder.write("new.bmp", 7)
    lines = run("sync", place, folder.path, "--dry-run").stdout.splitlines()
    assert lines[:4] == [
        "new new.bmp",
        "changed d/2.bmp",
        "renamed d/0.bmp -> d/moved.bmp",
        "gone d/1.bmp",
    ]
    told = run("sync", place, folder.path)
    assert "1 image added, 1 replaced, 1 renamed, 1 gone, 1 unchanged" in told.stdout
    assert "--delete" in told.stderr
    found = ask("sync", place, folder.path, "--delete")
    assert (found["removed"], found["gone"], found["images"]) == (1, ["d/1.bmp"], 4)
    assert ask("ls", place)
    (folder.path / "bad.jpg").write_bytes(b"no picture")
    assert "bad.jpg" in run("sync", place, folder.path, code=3).stderr
    run("add", place, folder.path, "--prefix", "more/", "--skip-broken", "--quiet")
    more = ("sync", place, folder.path, "--prefix", "more/", "--skip-broken")
    assert ask(*more)["unchanged"] == 4  # adding notes what syncing needs from now on


def test_pictures_of_one_size_and_time_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "photos")
    for number in range(4):
        folder.write(f"{number}.bmp", number)
    with packed(tmp_path / "a.kin", folder) as archive:

        def unread(*_: Any) -> Any:
            raise AssertionError("a file was read")

        monkeypatch.setattr("kinpack.sources.file_columns._sha256", unread)
        monkeypatch.setattr("PIL.Image.open", unread)
        assert archive.sync(folder.path).unchanged == 4
