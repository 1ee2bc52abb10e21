"""The commands on an archive's life, from deletion to merging."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.sources.items import Item
from tests.cli_runs import ask, one_error, pack_six, run


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of six pictures of two labels; nobody changes it."""
    return pack_six(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def archive(packed: Path, tmp_path: Path) -> Path:
    """A copy of that archive, to be changed."""
    return Path(shutil.copytree(packed, tmp_path / "photos.kin"))


def ids(*words: str | Path) -> list[str]:
    return [row["id"] for row in ask("ls", *words)]


@pytest.mark.slow
def test_a_life(archive: Path) -> None:
    everything = ids(archive)
    assert "2 images deleted, 4 left; revision 1 still has them" in run(
        "rm", archive, "beach/00.png", "forest/02.webp"
    ).stdout  # fmt: skip
    assert ask("rm", archive, "--label", "beach") == {"removed": 2, "images": 2, "number": 3}
    assert ids(archive) == ["forest/00.png", "forest/01.jpg"]
    assert ids(archive, "--at", "1") == everything
    run("get", archive, "beach/00.png", "-o", archive.parent / "x.png", code=1)
    run("get", archive, "beach/00.png", "-o", archive.parent / "x.png", "--at", "2", code=1)
    run("get", archive, "beach/00.png", "-o", archive.parent / "x.png", "--at", "1")
    assert ask("info", archive, "--at", "2")["images"] == 4
    assert len(ask("search", archive, "id:forest/00.png", "--at", "1", "-k", "9")) == 6
    assert ask("unpack", archive, "-o", archive.parent / "old", "--at", "1")["images"] == 6

    run("add", archive, archive.parent / "old" / "beach" / "00.png", "--quiet")
    assert "3 images copied, 4 deleted ones dropped" in run("compact", archive).stdout
    revisions = ask("history", archive)
    assert [revision["images"] for revision in revisions] == [6, 4, 2, 3, 3]
    lines = run("history", archive).stdout.splitlines()
    assert lines[1].split()[0] == "2"
    assert lines[1].endswith("4  remove, removed 2")

    assert ask("gc", archive)["files"] == []
    planned = ask("gc", archive, "--min-age", "0", "--dry-run")
    assert planned["revisions"] == [1, 2, 3, 4]
    assert "would be removed" in run("gc", archive, "--min-age", "0", "--dry-run").stdout
    assert "revisions forgotten, 1 kept" in run("gc", archive, "--min-age", "0").stdout
    assert "there is no revision 1" in one_error(run("ls", archive, "--at", "1", code=1).stderr)
    assert ids(archive) == ["forest/00.png", "forest/01.jpg", "00.png"]
    assert run("verify", archive, "--deep", "--quiet").stderr == ""


def test_purging(archive: Path, tmp_path: Path) -> None:
    line = run("rm", archive, "beach/00.png", "--purge").stdout
    assert "1 image deleted, 5 left" in line
    assert "revisions forgotten: 1 to 3" in line
    assert "there is no revision 1" in one_error(run("ls", archive, "--at", "1", code=1).stderr)
    assert [revision["change"]["verb"] for revision in ask("history", archive)] == ["purge"]
    assert "purge, dropped 1, removed 1\n" in run("history", archive).stdout
    run("rm", archive, "beach/01.jpg", "--quiet")
    line = run("rm", archive, "beach/01.jpg", "--purge").stdout
    assert "what was deleted or half purged before is gone with it" in line
    run("rm", archive, "forest/00.png", "--quiet")
    assert ask("compact", archive, "--purge")["purged"]["revisions"]
    assert "there was nothing to purge" in run("compact", archive, "--purge").stdout
    assert "'nobody'" in one_error(run("rm", archive, "nobody", "beach/02.webp", code=1).stderr)
    assert len(ids(archive)) == 3


def test_copies_and_merges(archive: Path, packed: Path, tmp_path: Path) -> None:
    run("rm", archive, "--label", "forest", "--quiet")
    assert ask("copy", archive, "-o", tmp_path / "copy.kin")["images"] == 3
    assert ask("copy", archive, "--at", "1", "-o", tmp_path / "old.kin")["images"] == 6
    assert "6 images copied" in run("copy", packed, "-o", tmp_path / "again.kin").stdout
    error = one_error(run("merge", archive, packed, "-o", tmp_path / "m.kin", code=1).stderr)
    assert "--on-duplicate skip" in error
    done = run("merge", archive, packed, "-o", tmp_path / "m.kin", "--on-duplicate", "skip")
    assert "6 images of 2 archives; 3 left out" in done.stdout
    assert sorted(ids(tmp_path / "m.kin")) == sorted(ids(packed))
    assert one_error(run("copy", packed, "-o", archive, code=1).stderr)


def test_a_sealed_archive_serves_every_command_that_reads(archive: Path, tmp_path: Path) -> None:
    sealed, folder = tmp_path / "a.kin.zip", tmp_path / "again.kin"
    run("rm", archive, "beach/00.png", "--quiet")
    assert ask("seal", archive, "-o", sealed) == {"images": 5, "bytes": sealed.stat().st_size}
    assert "6 images in" in run("seal", archive, "-o", tmp_path / "1.kin.zip", "--at", "1").stdout
    assert ids(sealed) == ids(archive)
    assert ask("info", sealed)["images"] == 5
    assert ask("history", sealed)[0]["number"] == 2
    assert len(ask("search", sealed, "id:forest/00.png", "-k", "3")) == 3
    run("get", sealed, "forest/00.png", "-o", tmp_path / "x.png", "--quiet")
    assert ask("unpack", sealed, "-o", tmp_path / "out")["images"] == 5
    assert ask("copy", sealed, "-o", tmp_path / "copy.kin")["images"] == 5
    assert run("verify", sealed, "--deep", "--quiet").stdout == ""
    for words in (
        ("rm", sealed, "forest/00.png"),
        ("compact", sealed),
        ("gc", sealed),
        ("add", sealed, tmp_path / "x.png"),
    ):
        assert "cannot be changed; make a folder" in one_error(run(*words, code=1).stderr)
    assert "5 images" in run("unseal", sealed, "-o", folder).stdout
    run("rm", folder, "forest/00.png", "--quiet")
    assert len(ids(folder)) == 4
    assert "this path exists" in one_error(run("seal", folder, "-o", sealed, code=1).stderr)
    assert "this path exists" in one_error(run("unseal", sealed, "-o", folder, code=1).stderr)
    (tmp_path / "note.txt").write_text("a note")
    assert "is a file, no archive" in one_error(run("ls", tmp_path / "note.txt", code=1).stderr)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "lance", "webdataset", "imagefolder"])
def test_exports(packed: Path, tmp_path: Path, form: str) -> None:
    if form == "lance":
        pytest.importorskip("lance")
    words = ("export", packed, "-o", tmp_path / "out", "--format", form)
    assert ask(*words, "--picture", "webp")["images"] == 6
    assert "this path exists" in one_error(run(*words, code=1).stderr)
    if form in ("parquet", "imagefolder"):
        assert ask("pack", tmp_path / "out", "-o", tmp_path / "b.kin", "--codec", "classic")


def test_a_damaged_archive_is_saved(archive: Path, tmp_path: Path) -> None:
    (segment,) = (archive / "segments").iterdir()
    data = bytearray(segment.read_bytes())
    data[300] ^= 1  # in the payload of one of the first images
    segment.write_bytes(data)
    (codec,) = (archive / "codecs").iterdir()
    codec.write_bytes(b"x")
    result = run("repair", archive, "-o", tmp_path / "new.kin", code=1)
    assert "1 lost; 5 images saved" in one_error(result.stderr)
    lost, note = result.stdout.splitlines()
    assert lost.startswith("lost: beach/0")
    assert "codec" in note
    assert run("verify", tmp_path / "new.kin", "--deep", "--quiet").stdout == ""
    result = run("repair", archive, "-o", tmp_path / "2.kin", "--json", code=1)
    assert json.loads(result.stdout)["lost"][0]["id"] in lost
    done = run("repair", tmp_path / "new.kin", "-o", tmp_path / "3.kin")
    assert "5 images saved, none lost" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("rm", "ARCHIVE", "nobody"), "it holds no image 'nobody'"),
        (("rm", "ARCHIVE", "--label", "cow"), "no image of the label 'cow'"),
        (("rm", "none.kin", "x"), "there is no such archive"),
        (("compact", "none.kin"), "there is no such archive"),
        (("gc", "none.kin"), "there is no such archive"),
        (("history", "none.kin"), "there is no such archive"),
        (("copy", "none.kin", "-o", "x.kin"), "there is no such archive"),
        (("copy", "ARCHIVE", "-o", "ARCHIVE"), "this path exists"),
        (("copy", "ARCHIVE", "-o", "x.kin", "--at", "7"), "there is no revision 7"),
        (("merge", "ARCHIVE", "none.kin", "-o", "x.kin"), "there is no such archive"),
        (("seal", "none.kin", "-o", "x.kin.zip"), "there is no such archive"),
        (("repair", "none.kin", "-o", "x.kin"), "there is no such archive"),
        (("unseal", "none.kin.zip", "-o", "x.kin"), "there is no such archive"),
        (("seal", "ARCHIVE", "-o", "none/x.kin.zip"), "none/x.kin.zip: cannot write"),
        (("ls", "http://127.0.0.1:9/x.kin.zip"), "the server does not answer"),
    ],
)
def test_a_wrong_thing_is_one_line(
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = tuple(str(packed) if word == "ARCHIVE" else word for word in words)
    assert text in one_error(run(*words, code=1).stderr)
    assert list(tmp_path.iterdir()) == []


def test_quiet_says_nothing(archive: Path, tmp_path: Path) -> None:
    for words in (
        ("rm", archive, "beach/00.png"),
        ("compact", archive),
        ("gc", archive),
        ("copy", archive, "-o", tmp_path / "b.kin"),
        ("merge", archive, "-o", tmp_path / "c.kin"),
    ):
        result = run(*words, "--quiet")
        assert (result.stdout, result.stderr) == ("", "")


def test_nothing_of_an_archive_steers_the_terminal(tmp_path: Path) -> None:
    path, evil = tmp_path / "evil.kin", "\x1b]0;hi\x07\x1b[2J\x9b31m\r"
    image = np.zeros((8, 8, 3), np.uint8)
    with Archive.create(path, Codec.load("classic"), metadata={evil: {"a" + evil: [evil]}}) as made:
        made.add([Item(f"id{evil}", f"label{evil}", lambda: image)])
    with Archive.open(path) as opened:
        last = opened.manifest
        change = {"verb": f"add{evil}", f"more{evil}": evil}
        after = last.following(last.segments, change)
        opened.store.create(after.file, after.to_bytes())
    for words in (("history", path), ("info", path), ("ls", path), ("verify", path)):
        done = run(*words)
        assert not set(done.output) - {"\n", "\t"} & set(map(chr, [*range(32), *range(127, 160)]))


def test_renaming_and_deleting_by_pattern(archive: Path) -> None:
    images = ids(archive)
    asked = ("--prefix", "beach/", "coast/", "--label", "beach", "coast")
    told = ask("mv", archive, *asked, "--dry-run")
    assert ids(archive) == images
    done = ask("mv", archive, *asked)
    assert done["renamed"] == told["renamed"]
    assert done["relabelled"] == len(done["renamed"]) == 3
    assert ids(archive) == [name.replace("beach/", "coast/") for name in images]
    run("mv", archive, "coast/00.png", "forest/00.png", code=1)
    assert "1 image " in run("mv", archive, "coast/00.png", "[1]*.png").stdout
    run("mv", archive, "one", code=2)
    run("mv", archive, code=2)
    would = run("rm", archive, "coast/*", "--label", "coast", "--dry-run").stdout.splitlines()
    assert len(would) == 3
    assert (
        "none of the 2 images" in run("rm", archive, "coast/*", "--label", "forest", code=1).stderr
    )
    assert ask("rm", archive, "[1]*.png")["removed"] == 1  # an id is no pattern
    listed = archive.parent / "list.txt"
    left = next(name for name in ids(archive) if name.startswith("coast/"))
    listed.write_text(f"forest/00.png\n{left}\n")
    assert ask("rm", archive, "coast/*", "--from", listed)["removed"] == 1
    run("rm", archive, "nothing*", code=1)
    assert len(ids(archive)) == 4


def test_odd_and_repeated_names_are_told(archive: Path) -> None:
    photos = archive.parent / "odd"
    (photos / "aux").mkdir(parents=True)
    run("get", archive, "beach/00.png", "-o", photos / "aux" / "x.png")
    packed = photos.with_suffix(".kin")
    assert "aux/x.png" in run("pack", photos, "-o", packed).stderr
    again = run("add", packed, photos / "aux")
    assert "x.png, which is aux/x.png" in again.stderr
    assert ask("add", packed, photos / "aux", "--prefix", "y/")["repeated"] == [
        {"id": "y/x.png", "same_as": "aux/x.png"}
    ]
    written = run("unpack", packed, "-o", photos / "out")
    assert "aux/x.png" in written.stderr
    assert (photos / "out" / "_aux" / "x.png").is_file()
    assert ask("unpack", packed, "-o", photos / "less", "--unsafe", "skip")["images"] == 2
    assert (
        "--unsafe"
        in run("unpack", packed, "-o", photos / "no", "--unsafe", "refuse", code=1).stderr
    )
