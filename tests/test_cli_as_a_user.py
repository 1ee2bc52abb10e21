"""The command as a new user meets it: the whole journey, then all the wrong things."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from kinpack.cli import app
from kinpack.metrics import psnr
from kinpack.pictures.images import load_image
from tests.cli_runs import User, one_error, pictures, texture

pytestmark = pytest.mark.slow

CLASSIC = ("--codec", "classic")


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, an archive of them, and a query; nobody changes it."""
    folder = tmp_path_factory.mktemp("desk")
    pictures(folder / "photos", 6, label="beach")
    pictures(folder / "photos", 6, label="forest", seed=100)
    Image.fromarray(texture(3, 43, 48)).save(folder / "query.png")
    (folder / "note.txt").write_text("a note")
    (folder / "empty").mkdir()
    User(folder).works("pack", "photos", "-o", "photos.kin", *CLASSIC, "--quiet")
    return folder


@pytest.fixture
def copy(desk: Path, tmp_path: Path) -> User:
    """A user of a copy of that folder, to do harm to."""
    shutil.copytree(desk, tmp_path / "desk")
    return User(tmp_path / "desk")


@pytest.mark.slow
def test_the_whole_journey(user: User) -> None:
    photos = user.folder / "photos"
    pictures(photos, 6, label="beach")
    pictures(photos, 6, label="forest", seed=100)
    pictures(user.folder / "more", 3, label="city", seed=200)

    assert "12 images added" in user.works("pack", "photos", "-o", "photos.kin", *CLASSIC)
    listed = user.works("ls", "photos.kin").splitlines()
    assert len(listed) == 12
    assert listed[0].split()[-2:] == ["beach", "beach/00.png"]
    assert "images" in user.works("info", "photos.kin")

    found = user.works("search", "photos.kin", "photos/forest/03.png", "-k", "3").splitlines()
    assert len(found) == 3
    assert found[0].split()[0] == "1"
    assert float(found[0].split()[2]) > 0.9  # how alike the pictures themselves are
    assert found[0].split()[3:] == ["forest/03.png", "forest"]
    by_id = user.works("search", "photos.kin", "id:forest/03.png", "-k", "1")
    assert by_id.split()[3] == "forest/03.png"

    assert "is whole: 12 images" in user.works("verify", "photos.kin")
    assert "is whole: 12 images decoded" in user.works("verify", "photos.kin", "--deep")
    assert "48×43" in user.works("get", "photos.kin", "beach/03.png", "-o", "one.png")
    one = load_image(user.folder / "one.png")
    original = load_image(photos / "beach" / "03.png")
    assert one.shape == original.shape == (43, 48, 4)
    np.testing.assert_array_equal(one[:, :, 3], original[:, :, 3])

    assert "3 images added; 15 images" in user.works("add", "photos.kin", "more")
    assert user.asks("info", "photos.kin")["images"] == 15

    user.works("unpack", "photos.kin", "-o", "unpacked")
    with (user.folder / "unpacked" / "labels.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 15
    for name, row in rows.items():
        assert row["label"] == name.partition("/")[0]
        home = photos if (photos / name).exists() else user.folder / "more"
        before, after = load_image(home / name), load_image(user.folder / "unpacked" / row["file"])
        assert before.shape == after.shape
        assert psnr(before[:, :, :3], after[:, :, :3]) > 25


@pytest.mark.slow
def test_lossless_quality_gives_every_pixel_back(user: User) -> None:
    pictures(user.folder / "photos", 6)
    user.works("pack", "photos", "-o", "x.kin", *CLASSIC, "--quality", "100")
    user.works("unpack", "x.kin", "-o", "out", "--format", "webp")
    with (user.folder / "out" / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            before = load_image(user.folder / "photos" / row["id"])
            after = load_image(user.folder / "out" / row["file"])
            np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_a_data_set_keeps_its_labels(user: User, shared: Path) -> None:
    words = ("pack", shared / "cifar10", "--split", "test", "--limit", "20", "-o", "cifar.kin")
    assert user.asks(*words, *CLASSIC)["added"] == 20
    entries = user.asks("ls", "cifar.kin")
    assert entries[0]["id"] == "test/00000"
    assert {entry["label"] for entry in entries} <= {
        *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    }
    user.works("unpack", "cifar.kin", "-o", "out")
    with (user.folder / "out" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [entry["label"] for entry in entries]
    assert load_image(user.folder / "out" / "test" / "00000.png").shape == (32, 32, 3)


# What is wrong, the command, and what its one line must name.
WRONG = {
    "an empty folder": (("pack", "empty", "-o", "x.kin"), "no images in empty"),
    "no folder": (("pack", "nowhere", "-o", "x.kin"), "nowhere: no such file or folder"),
    "a text file": (("pack", "note.txt", "-o", "x.kin"), "note.txt: not a picture"),
    "a text file named .jpg": (("pack", "fake", "-o", "x.kin"), "fake.jpg: not a picture"),
    "only broken pictures": (("pack", "fake", "-o", "x.kin", "--skip-broken"), "none of its 1"),
    "an archive that exists": (("pack", "photos", "-o", "photos.kin"), "photos.kin: this path"),
    "a file that exists": (("pack", "photos", "-o", "note.txt"), "note.txt: this path exists"),
    "a target below a file": (("pack", "photos", "-o", "note.txt/x.kin"), "note.txt"),
    "a target in no folder": (("pack", "photos", "-o", "nowhere/x.kin"), "nowhere is no folder"),
    "a device as target": (("pack", "photos", "-o", "/dev/full/x.kin"), "/dev/full"),
    "an unknown codec": (("pack", "photos", "-o", "x.kin", "--codec", "best"), "best: cannot read"),
    "no codec file": (("pack", "photos", "-o", "x.kin", "--codec", "note.txt"), "note.txt: not a"),
    "a folder as codec": (("pack", "photos", "-o", "x.kin", "--codec", "photos"), "photos: no"),
    "an unknown split": (("pack", "photos", "-o", "x.kin", "--split", "test"), "no split 'test'"),
    "an empty folder among files": (("pack", "query.png", "empty", "-o", "x.kin"), "empty: no pic"),
    "no archive to add to": (("add", "nowhere.kin", "photos"), "nowhere.kin: there is no such"),
    "a folder that is none": (("add", "photos", "more"), "photos: no kinpack archive"),
    "an id that is there": (("add", "photos.kin", "photos"), "'beach/00.png' is there already"),
    "nothing to add": (("add", "photos.kin", "empty"), "no images in empty"),
    "an unknown id": (("get", "photos.kin", "x.png", "-o", "x.png"), "holds no image 'x.png'"),
    "an unknown format": (("get", "photos.kin", "beach/00.png", "-o", "x.gif"), "x.gif: unknown"),
    "a file to keep": (("get", "photos.kin", "beach/00.png", "-o", "query.png"), "--force"),
    "a folder to write": (("get", "photos.kin", "beach/00.png", "-o", "empty"), "is a folder"),
    "a file below a file": (("get", "photos.kin", "beach/00.png", "-o", "note.txt/x.png"), "note"),
    "no query": (("search", "photos.kin", "nowhere.png"), "nowhere.png: no such file"),
    "a query that is no image": (("search", "photos.kin", "note.txt"), "note.txt: not a picture"),
    "a folder as query": (("search", "photos.kin", "photos"), "photos: not a regular file"),
    "an unknown id as query": (("search", "photos.kin", "id:x"), "holds no image 'x'"),
    "no archive to search": (("search", "note.txt", "query.png"), "note.txt: is a file"),
    "no archive to describe": (("info", "nowhere"), "nowhere: there is no such archive"),
    "no codec to describe": (("info", "note.txt"), "note.txt: not a codec file"),
    "no codec file there": (("info", "x.kinc"), "x.kinc: cannot read the codec"),
    "no archive to verify": (("verify", "nowhere"), "nowhere: there is no such archive"),
    "no archive to list": (("ls", "nowhere"), "nowhere: there is no such archive"),
    "no archive to unpack": (("unpack", "nowhere", "-o", "out"), "nowhere: there is no such"),
    "a folder not empty": (("unpack", "photos.kin", "-o", "photos"), "photos: the folder is not"),
    "a file to unpack to": (("unpack", "photos.kin", "-o", "note.txt"), "note.txt: is a file"),
    "unpacking below a file": (("unpack", "photos.kin", "-o", "note.txt/x"), "note.txt/x: cannot"),
    "a name of no data set": (("pack", "some/thing", "-o", "x.kin"), "some/thing: no such file"),
    "learning from nothing": (("learn", "empty", "-o", "x.kinc"), "no images in empty"),
    "learning into nowhere": (("learn", "photos", "-o", "nowhere/x.kinc"), "nowhere is no folder"),
    "learning over a file": (("learn", "photos", "-o", "note.txt"), "note.txt: this file exists"),
}


# These run in processes of their own; the others in this one, which takes a tenth of the time.
APART = {
    "an empty folder",
    "a text file named .jpg",
    "only broken pictures",
    "an archive that exists",
    "a query that is no image",
    "a target below a file",
    "an unknown id",
    "an unknown codec",
    "a name of no data set",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_thing_is_one_clear_line(
    what: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, named = WRONG[what]
    words += CLASSIC if words[0] == "pack" and "--codec" not in words else ()
    (desk / "fake").mkdir(exist_ok=True)
    (desk / "fake" / "fake.jpg").write_text("not a picture at all")
    before = sorted(desk.rglob("*"))
    if what in APART:
        code, out, errors = User(desk).run(*words)
    else:
        monkeypatch.chdir(desk)
        result = CliRunner().invoke(app, words)
        code, out, errors = result.exit_code, result.stdout, result.stderr
    assert (code, out) == (1, "")
    if what == "only broken pictures":
        left_out, _, errors = errors.partition("\n")
        assert left_out.startswith("kinpack: left out: fake/fake.jpg: not a picture")
    assert named in one_error(errors)
    assert sorted(desk.rglob("*")) == before, "something was left behind"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_refused(copy: User) -> None:
    (copy.folder / "empty").chmod(0o555)
    assert "permission denied" in copy.fails("pack", "photos", "-o", "empty/x.kin", *CLASSIC)
    assert "ermission denied" in copy.fails("unpack", "photos.kin", "-o", "empty/out")
    assert "ermission denied" in copy.fails(
        "get", "photos.kin", "beach/00.png", "-o", "empty/x.png"
    )


def small_files() -> None:
    """Let no file of this process grow beyond a few hundred bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_made(copy: User) -> None:
    before = sorted(copy.folder.rglob("*"))
    message = copy.fails("pack", "photos", "-o", "x.kin", *CLASSIC, before=small_files)
    assert "x.kin" in message
    shutil.copytree(copy.folder / "photos", copy.folder / "more" / "other")
    before = sorted(copy.folder.rglob("*"))
    message = copy.fails("add", "photos.kin", "more", before=small_files)
    assert "photos.kin" in message
    message = copy.fails("get", "photos.kin", "beach/00.png", "-o", "x.png", before=small_files)
    assert "x.png: cannot be written" in message
    assert sorted(copy.folder.rglob("*")) == before
    message = copy.fails("unpack", "photos.kin", "-o", "out", before=small_files)
    assert "out/beach/00.png: cannot unpack" in message
    assert [path for path in (copy.folder / "out").rglob("*") if path.is_file()] == []
    copy.works("verify", "photos.kin")


@pytest.mark.slow
def test_damage_is_found_and_named(copy: User) -> None:
    segment = next((copy.folder / "photos.kin" / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    data[300] ^= 1  # in the payload of one of the first images
    segment.write_bytes(data)

    code, out, errors = copy.run("verify", "photos.kin")
    assert code == 1
    assert segment.name in out
    assert all("restore" in line for line in out.splitlines())
    assert "problem" in one_error(errors)

    code, out, errors = copy.run("verify", "photos.kin", "--json")
    report = json.loads(out)
    assert code == 1
    assert not report["ok"]
    assert any(segment.name in problem for problem in report["problems"])
    assert "problem" in json.loads(errors)["error"]

    named = re.search(r"image '(.+?)'", copy.fails("unpack", "photos.kin", "-o", "out"))
    assert named
    assert named[1] in copy.fails("get", "photos.kin", named[1], "-o", "x.png")
    assert not (copy.folder / "x.png").exists()
    copy.works("get", "photos.kin", "forest/05.webp", "-o", "x.png")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["codecs", "segments", "manifests"])
@pytest.mark.parametrize("harm", ["gone", "short", "empty"])
def test_a_harmed_file_is_one_line_for_every_command(copy: User, part: str, harm: str) -> None:
    victim = next((copy.folder / "photos.kin" / part).iterdir())
    if harm == "gone":
        victim.unlink()
    else:
        os.truncate(victim, 0 if harm == "empty" else victim.stat().st_size // 2)
    archive, runner = copy.folder / "photos.kin", CliRunner()

    def run(*words: str | Path) -> Result:
        return runner.invoke(app, [str(word) for word in words])

    verified = run("verify", archive)
    assert verified.exit_code == 1
    assert verified.stdout
    assert "problem" in one_error(verified.stderr)
    for words in (
        ("get", archive, "beach/00.png", "-o", copy.folder / "x.png"),
        ("search", archive, copy.folder / "query.png"),
        ("unpack", archive, "-o", copy.folder / "out"),
        ("add", archive, copy.folder / "query.png"),
    ):
        failed = run(*words)
        assert failed.exit_code == 1, f"{words} with {part} {harm}"
        one_error(failed.stderr)
    listed = run("ls", archive)
    assert listed.exit_code == 0 if part == "codecs" else one_error(listed.stderr)


@pytest.mark.slow
def test_a_forced_file_is_replaced(copy: User) -> None:
    copy.works("get", "photos.kin", "beach/00.png", "-o", "query.png", "--force")
    assert load_image(copy.folder / "query.png").shape == (40, 48, 3)
    copy.works("unpack", "photos.kin", "-o", "photos", "--force")


def many(folder: Path, count: int) -> None:
    """A folder with so many pictures that packing takes a while."""
    first = pictures(folder, 1)[0]
    for index in range(count):
        os.link(first, folder / f"{index:05}.png")


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something holds, while a process runs: its work is bounded, so no time is set."""
    while not ready():
        assert process.poll() is None, "the command ended too early"
        time.sleep(0.01)


def is_locked(folder: Path) -> bool:
    """Whether somebody writes in an archive's folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_pack_leaves_nothing(user: User, number: signal.Signals, code: int) -> None:
    many(user.folder / "photos", 3000)
    process = user.start("pack", "photos", "-o", "x.kin", *CLASSIC)
    wait_for((user.folder / "x.kin" / "codecs").exists, process)
    time.sleep(0.5)
    process.send_signal(number)
    out, errors = process.communicate()
    assert (process.returncode, out) == (code, "")
    if number == signal.SIGINT:
        assert one_error(errors) == "interrupted"
    assert sorted(path.name for path in user.folder.iterdir()) == ["photos"]
    user.works("pack", "photos", "-o", "x.kin", *CLASSIC, "--limit", "2")


@pytest.mark.slow
def test_an_interrupted_add_leaves_the_archive(user: User) -> None:
    pictures(user.folder / "few", 3, label="few")
    user.works("pack", "few", "-o", "x.kin", *CLASSIC)
    before = {path: path.stat().st_mtime_ns for path in (user.folder / "x.kin").rglob("*.*")}
    many(user.folder / "photos", 3000)
    process = user.start("add", "x.kin", "photos")
    wait_for(lambda: is_locked(user.folder / "x.kin"), process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert one_error(errors) == "interrupted"
    assert {p: p.stat().st_mtime_ns for p in (user.folder / "x.kin").rglob("*.*")} == before
    user.works("verify", "x.kin")


@pytest.mark.slow
def test_an_interrupted_unpack_leaves_whole_files(user: User) -> None:
    many(user.folder / "photos", 1000)
    user.works("pack", "photos", "-o", "x.kin", *CLASSIC, "--quiet", "--size", "24")
    process = user.start("unpack", "x.kin", "-o", "out")
    wait_for((user.folder / "out" / "00010.png").exists, process)
    process.send_signal(signal.SIGINT)
    process.communicate()
    if process.returncode:  # it may have been quicker
        assert process.returncode == 130
        assert not (user.folder / "out" / "labels.csv").exists()
    for path in (user.folder / "out").rglob("*.png"):
        load_image(path)
    assert not list((user.folder / "out").glob(".*"))


def test_a_reader_that_has_gone_is_no_error(desk: Path) -> None:
    process = User(desk).start("ls", "photos.kin")
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate()
    assert errors == ""
    assert process.returncode in (0, 141)


def test_output_that_cannot_be_written_is_one_line(desk: Path) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, errors = User(desk).run("ls", "photos.kin", stdout=full)
    assert code == 1
    assert "No space left" in one_error(errors)


@pytest.mark.slow
def test_names_of_any_sort_come_through(user: User) -> None:
    odd = [
        "[bold]x[red].png",
        "a b.png",
        "日本\u3000語.png",
        "-dash.png",
        "q'\"uote.png",
        "é.png",
    ]
    (user.folder / "photos").mkdir()
    for index, name in enumerate(odd):
        Image.fromarray(texture(index)).save(user.folder / "photos" / name)
    user = User(user.folder, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    user.works("pack", "photos", "-o", "x.kin", *CLASSIC)
    assert {entry["id"] for entry in user.asks("ls", "x.kin")} == set(odd)
    assert "[bold]x[red].png" in user.works("ls", "x.kin")
    user.works("unpack", "x.kin", "-o", "out")
    assert {path.name for path in (user.folder / "out").glob("*.png")} == set(odd)


def test_a_name_that_is_no_utf8_is_one_line(user: User) -> None:
    (user.folder / "photos").mkdir()
    path = os.fsencode(user.folder / "photos") + b"/\xff.png"
    Image.fromarray(texture(0)).save(user.folder / "x.png")
    shutil.move(user.folder / "x.png", os.fsdecode(path))
    assert "not valid UTF-8" in user.fails("pack", "photos", "-o", "x.kin", *CLASSIC)


def test_without_torch_learning_names_the_extra(user: User) -> None:
    pictures(user.folder / "photos", 2)
    (user.folder / "hidden").mkdir()
    (user.folder / "hidden" / "torch.py").write_text("raise ImportError(name='torch')\n")
    without = User(user.folder, {"PYTHONPATH": str(user.folder / "hidden")})
    message = without.fails("learn", "photos", "-o", "x.kinc")
    assert 'pip install "kinpack[learn]"' in message
    assert not (user.folder / "x.kinc").exists()
