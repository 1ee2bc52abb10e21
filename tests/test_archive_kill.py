"""Writers killed at any moment: no archive or a whole one; the former state or the new one."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archive_checks import CODEC, content, expected, make
from fake_codec import pictures
from killed_writer import NEW, OLD
from kinpack.archive.archive import Archive
from kinpack.archive.verify import verify

KILLS = 24

Writer = Callable[..., int]


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    """A process that writes archives in children and kills them; gives their exit status."""
    script = Path(__file__).with_name("killed_writer.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask(verb: str, path: Path, **when: Any) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"verb": verb, "path": str(path), **when}) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        assert process.stdin is not None
        process.stdin.close()


def check_creation(path: Path, status: int) -> bool:
    """Nothing or all is there, and the next creation works and cleans up; true if all was."""
    whole = path.exists()
    assert whole or status == -signal.SIGKILL
    if whole:
        assert content(path) == expected(pictures(OLD))
        shutil.rmtree(path)
    make(path, pictures(3))
    assert content(path) == expected(pictures(3))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    shutil.rmtree(path)
    return whole


def check_addition(path: Path, status: int) -> bool:
    """The old or the new state is there, and the next writer cleans up; true if the new was."""
    found = content(path)
    new = len(found) > OLD
    assert new or status == -signal.SIGKILL
    assert found == expected(pictures(OLD + NEW if new else OLD))
    with Archive.open(path, codec=CODEC) as archive:
        archive.add(pictures(1, first=900))
    report = verify(path)
    assert report.ok
    assert not report.notes
    return new


@pytest.mark.parametrize("verb", ["create", "add"])
def test_killed_around_every_call_to_the_system(tmp_path: Path, writer: Writer, verb: str) -> None:
    make(tmp_path / "old" / "a.kin", pictures(OLD))
    (tmp_path / "new").mkdir()
    path = tmp_path / "new" / "a.kin"
    outcomes = []
    for moment in range(1000):
        if verb == "add":
            shutil.copytree(tmp_path / "old" / "a.kin", path)
        status = writer(verb, path, call=moment)
        assert status in (0, -signal.SIGKILL)
        outcomes.append((check_creation if verb == "create" else check_addition)(path, status))
        shutil.rmtree(path, ignore_errors=True)
        if status == 0:
            break
    assert status == 0
    assert len(outcomes) > 40
    assert outcomes == sorted(outcomes)  # once visible, it stays
    assert outcomes[0] is False


@pytest.mark.parametrize("verb", ["create", "add"])
def test_killed_at_random_moments(tmp_path: Path, writer: Writer, verb: str) -> None:
    make(tmp_path / "old" / "a.kin", pictures(OLD))
    (tmp_path / "new").mkdir()
    path = tmp_path / "new" / "a.kin"
    random_moment = random.Random(verb)
    duration: float | None = None  # of the latest run that finished: the load of a machine varies
    kills = 0
    for _ in range(4 * KILLS):
        if verb == "add":
            shutil.copytree(tmp_path / "old" / "a.kin", path)
        start = time.perf_counter()
        delay = None if duration is None else random_moment.uniform(0, 1.1 * duration)
        status = writer(verb, path, delay=delay)
        if status == 0:
            duration = time.perf_counter() - start
        kills += status == -signal.SIGKILL
        (check_creation if verb == "create" else check_addition)(path, status)
        shutil.rmtree(path, ignore_errors=True)
        if kills >= KILLS:
            break
    assert kills >= KILLS
