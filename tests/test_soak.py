"""Many processes at one archive: seconds of ``reliability.soak``, and how it judges."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kinpack.archive.care import collecting
from reliability.clocks import stepping
from reliability.journals import Follower, Journal, Writings, found_in, wrong_batches
from tests.trial_runs import trial


@pytest.mark.slow
def test_soak(tmp_path: Path) -> None:
    words = ("--writers", 2, "--readers", 1, "--min-age", 6, "--hold", 2)
    soaked(tmp_path, (1 / 4, 1, 4), *words)


@pytest.mark.slow
def test_soak_in_a_bucket(tmp_path: Path, s3_endpoint: str) -> None:
    del s3_endpoint  # there is a server to start; this trial's own is killed
    words = ("--bucket", "--writers", 2, "--readers", 1, "--pause", 0.5, "--stop", 5, "--seed", 1)
    assert soaked(tmp_path, (1 / 2, 2, 4), *words)["outages"] > 0


def soaked(folder: Path, minutes: tuple[float, ...], *words: object) -> dict[str, Any]:
    """Soak, longer where the machine is so busy that something has not been done yet."""
    for long in minutes:
        result = trial("soak", folder, "--minutes", long, *words)
        harm = (sum(result[name].values()) for name in ("kills", "stops"))
        seen = (result["commits"], result["images_read"], result["clock_steps"], *harm)
        if all(seen) and result.get("outages") != 0:
            break
    assert min(seen) > 0
    return result


def test_clocks_step_in_a_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    since, steps = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: since[-1])
    with stepping(random.Random(0), (-90.0, 3600.0), lambda: steps.append(1)):
        seen = set()
        for second in range(0, 100, 5):
            since.append(float(second))
            assert abs(vars(collecting)["datetime"].now(UTC).timestamp() - time.time()) < 60
            seen.add(round((time.time() - before) / 90))
        assert seen == {-1, 40}
        assert len(steps) == 20
    assert abs(time.time() - before) < 60
    assert vars(collecting)["datetime"] is datetime


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
