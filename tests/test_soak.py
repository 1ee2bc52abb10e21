"""Many processes at one archive: 15 seconds of ``reliability.soak``, and how it judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.journals import Follower, Journal, Writings, found_in, wrong_batches
from tests.trial_runs import trial


@pytest.mark.slow
def test_soak(tmp_path: Path) -> None:
    words = ("--writers", 2, "--readers", 1, "--min-age", 6, "--hold", 2)
    for minutes in (1 / 4, 1, 4):  # the longer ones where the machine is busy
        result = trial("soak", tmp_path, "--minutes", minutes, *words)
        kills = sum(result["kills"].values())
        seen = (result["commits"], result["images_read"], result["compactions"], kills)
        if all(seen):
            break
    assert min(seen) > 0


def test_what_is_wrong_is_seen() -> None:
    found = found_in([("w/1/0", "v0"), ("w/1/1", "v0"), ("w/2/0", "v1")])
    assert wrong_batches(found, {"w/1": (0, 2), "w/2": (1, 1)}, []) == []
    assert wrong_batches(found, {"w/1": (0, 3), "w/2": (1, 1)}, []) == ["w/1"]  # torn
    assert wrong_batches(found, {"w/1": (0, 2), "w/2": (0, 1)}, []) == ["w/2"]  # lost: older
    assert wrong_batches(found, {"w/1": (0, 2), "w/2": None}, []) == ["w/2"]  # not removed
    assert wrong_batches(found, {"w/1": (0, 2), "w/2": (1, 1), "w/3": (0, 1)}, []) == ["w/3"]
    assert wrong_batches(found, {"w/1": (0, 2)}, []) == ["w/2"]  # nobody added it
    for changing in ([("w/2", (1, 1))], [("w/1", None), ("w/2", (1, 1))]):
        assert wrong_batches(found, {"w/1": (0, 2)}, changing) == []


def test_journals_tell_what_is_certain(tmp_path: Path) -> None:
    journal, writings = Journal(tmp_path / "j"), Writings(Follower(tmp_path / "j"))
    assert writings.read() == []
    journal.note("begin", "w/1", [0, 2])
    assert writings.read() == [("w/1", (0, 2))]
    assert writings.certain == {}
    journal.note("race", "manifests/2")
    journal.note("done", 2)
    journal.note("begin", "w/1", None)
    assert writings.read() == [("w/1", (0, 2)), ("w/1", None)]
    assert writings.certain == {"w/1": (0, 2)}
    journal.note("not")
    assert writings.read() == [("w/1", None)]
    assert writings.open is None
    assert writings.certain == {"w/1": (0, 2)}
