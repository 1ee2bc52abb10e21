"""Power cuts: the model of a disk, and a short run of ``reliability.power_cuts``."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.calls import Call
from reliability.disk import Chance, Disk, Fixed, Tree
from tests.trial_runs import trial

NOTHING, ALL = Fixed(names=False, data=False), Fixed(names=True, data=True)
NAMES, DATA = Fixed(names=True, data=False), Fixed(names=False, data=True)


def disk(*calls: Call, **options: bool) -> Disk:
    made = Disk(**options)
    for call in calls:
        made.apply(call)
    return made


def trees(made: Disk) -> list[Tree]:
    return [made.left(Chance(str(seed))) for seed in range(200)]


OPEN = Call("open", "a", descriptor=1, creates=True)
WRITE = Call("write", "a", descriptor=1, data=b"content")
FSYNC = Call("fsync", "a", descriptor=1)
ROOT = (Call("open", "", descriptor=9), Call("fsync", "", descriptor=9))


def test_nothing_is_certain_that_was_not_synchronised() -> None:
    made = disk(OPEN, WRITE)
    assert [made.left(one) for one in (NOTHING, DATA, NAMES, ALL)] == [
        {}, {}, {"a": b""}, {"a": b"content"}
    ]  # fmt: skip
    found = trees(made)
    assert {} in found
    assert {"a": b"cont"} in found  # torn
    assert {"a": bytes(7)} in found  # its length without its content


def test_a_file_and_its_name_are_synchronised_apart() -> None:
    assert disk(OPEN, WRITE, FSYNC).left(NOTHING) == {}
    assert disk(OPEN, WRITE, FSYNC).left(NAMES) == {"a": b"content"}
    assert disk(OPEN, WRITE, *ROOT).left(NOTHING) == {"a": b""}
    assert disk(OPEN, WRITE, FSYNC, *ROOT).left(NOTHING) == {"a": b"content"}
    assert disk(OPEN, WRITE, FSYNC, *ROOT, folders=False).left(NOTHING) == {}
    assert disk(OPEN, WRITE, FSYNC, *ROOT, files=False).left(NOTHING) == {"a": b""}


def test_what_was_synchronised_stays_whatever_follows() -> None:
    later = Call("write", "a", descriptor=1, data=b"NEW", offset=4)
    made = disk(OPEN, WRITE, FSYNC, *ROOT, later)
    assert made.left(NOTHING) == {"a": b"content"}
    assert made.left(ALL) == {"a": b"contNEW"}
    assert {"a": b"contNEt"} in trees(made)
    assert all(tree["a"] is not None and tree["a"][:4] == b"cont" for tree in trees(made))


def test_a_rename_is_one_change_and_a_link_with_its_removal_two() -> None:
    base = (OPEN, WRITE, FSYNC, *ROOT)
    renamed = trees(disk(*base, Call("rename", "a", target="b")))
    assert {tuple(tree) for tree in renamed} == {("a",), ("b",)}
    linked = trees(disk(*base, Call("link", "a", target="b"), Call("unlink", "a")))
    assert {tuple(tree) for tree in linked} == {("a",), ("b",), ("a", "b"), ()}
    assert all(data == b"content" for tree in linked for data in tree.values())


def test_a_folder_needs_its_own_name_too() -> None:
    inside = Call("open", "f/a", descriptor=2, creates=True)
    folder = (Call("open", "f", descriptor=3), Call("fsync", "f", descriptor=3))
    made = disk(Call("mkdir", "f"), inside, *folder)
    assert made.left(NOTHING) == {}
    assert made.left(NAMES) == {"f": None, "f/a": b""}
    made.apply(ROOT[0])
    made.apply(ROOT[1])
    assert made.left(NOTHING) == {"f": None, "f/a": b""}


@pytest.mark.slow
def test_power_cuts_lose_nothing(tmp_path: Path) -> None:
    result = trial("power_cuts", tmp_path, "--histories", 2, "--chances", 1, "--every", 9)
    assert result["cuts"] > 300
    assert result["different disks"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("what", ["files", "folders"])
def test_without_synchronising_the_loss_is_noticed(tmp_path: Path, what: str) -> None:
    words = ("--histories", 1, "--chances", 0, "--every", 20, "--without", what)
    trial("power_cuts", tmp_path, *words, fails=True)
