"""Kill workers and whoever gives them work, hold the store back, and let two jobs meet.

    python -m reliability.shared_work [--times 10] [--engines processes ray dask] [--images 120]

Each trial adds the same pictures to an archive through an engine, and something befalls it: one of
the processes that do the work is killed by SIGKILL at a random moment; the process that holds the
job is, and the same call is made again; one picture ends every process that reads it; the store
takes no file for a while; two jobs add different pictures to one archive at once. Then the archive
verifies, holds every picture once, in order where one job added them, and names what was left out.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from fakes.fake_codec import FakeCodec, pictures
from fakes.slow_source import POISON, SlowSource, slow_source
from kinpack.archive.archive import Archive
from kinpack.errors import KinpackError
from kinpack.jobs.table import EngineName
from reliability.acts import BrokenPromiseError
from reliability.report import Trials, parser

AWAY = 3.0
"""Seconds for which the store takes no file."""


def add(path: Path, source: SlowSource, engine: EngineName) -> list[str]:
    """Add pictures to a new archive by two workers; gives the ids of broken ones."""
    with Archive.create(path, FakeCodec(), describer=None, resume=True) as archive:
        report = archive.add(source, jobs=2, engine=engine, resume=True, skip_broken=True)
    return [name for name, _ in report.broken]


def check(path: Path, wanted: list[str], *, ordered: bool = True) -> None:
    """Make sure that an archive is whole, and holds just what it is to hold.

    Raises:
        BrokenPromiseError: it is not, or does not.
    """
    with Archive.open(path, codec=FakeCodec()) as archive:
        report = archive.verify(deep=True)
        if report.problems:
            raise BrokenPromiseError(report.problems[0])
        ids = archive.ids
        if len(set(ids)) < len(ids):
            raise BrokenPromiseError("an id is there twice")
        if (ids if ordered else sorted(ids)) != (wanted if ordered else sorted(wanted)):
            raise BrokenPromiseError(f"{len(ids)} images, {len(wanted)} wanted")
        images = {name: image for name, _, image in pictures(2000).images}
        for entry, image in archive.images():
            if image.tobytes() != images[entry.id].tobytes():
                raise BrokenPromiseError(f"{entry.id} is another picture")


def below(process: int) -> list[int]:
    """Processes that a process has begun, and those that these have."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(place.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(place.parent.name))
    return [one for child in found for one in (child, *below(child))]


def workers_below(process: int, engine: EngineName) -> list[int]:
    """Those of them that do the work."""
    marks = {"processes": "kinpack.jobs.worker", "ray": "ray::", "dask": "spawn_main"}
    found = []
    for one in below(process):
        with suppress(OSError):
            line = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if marks[engine] in line:
                found.append(one)
    return found


def begun(path: Path, count: int, engine: EngineName) -> subprocess.Popen[bytes]:
    """A process that adds pictures, and is to be killed or to lose a worker."""
    words = [sys.executable, "-m", "reliability.shared_work", "--child", str(path), "--images"]
    return subprocess.Popen(
        [*words, str(count), "--engines", engine],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(path: Path, notes: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many shards are done, or the process has ended."""
    while process.poll() is None and len([*path.glob("segments/*.json")]) < notes:
        time.sleep(0.01)


def worker_killed(path: Path, count: int, engine: EngineName, chance: random.Random) -> None:
    """One of the workers is killed: nobody notices."""
    process = begun(path, count, engine)
    until(path, chance.randint(1, 4), process)
    time.sleep(chance.uniform(0, 0.3))
    if workers := workers_below(process.pid, engine):
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
    if process.wait():
        raise BrokenPromiseError(f"the job ended with {process.returncode}")
    check(path, [name for name, _, _ in pictures(count).images])


def driver_killed(path: Path, count: int, engine: EngineName, chance: random.Random) -> None:
    """Whoever holds the job is killed, and what it began with it; the same call goes on."""
    process = begun(path, count, engine)
    until(path, chance.randint(1, 4), process)
    time.sleep(chance.uniform(0, 0.3))
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    ended = process.wait() == 0
    for one in below(process.pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    time.sleep(0.2)
    if not ended and not [*path.glob("manifests/*.json")]:  # it may have come to its commit
        add(path, slow_source(count), engine)
    check(path, [name for name, _, _ in pictures(count).images])


def poisoned(path: Path, count: int, engine: EngineName, chance: random.Random) -> None:
    """A picture ends every process that reads it: it is named, and all others are there."""
    del chance
    names = [name for name, _, _ in pictures(count).images]
    broken = add(path, slow_source(count, poisoned=True), engine)
    if broken != [names[POISON]]:
        raise BrokenPromiseError(f"broken are {broken}")
    check(path, names[:POISON] + names[POISON + 1 :])


def store_away(path: Path, count: int, engine: EngineName, chance: random.Random) -> None:
    """The store takes no file for a while: the job fails, and the same call goes on."""
    process = begun(path, count, engine)
    until(path, chance.randint(1, 4), process)
    segments = path / "segments"
    aside = path.with_name(f"{path.name}-away")
    with suppress(OSError):
        segments.rename(aside)
        segments.write_bytes(b"")  # nothing can be made below it
    time.sleep(AWAY)
    if aside.exists():
        segments.unlink()
        aside.rename(segments)
    ended = process.wait() == 0
    if not ended and not [*path.glob("manifests/*.json")]:  # it may have come to its commit
        add(path, slow_source(count), engine)
    check(path, [name for name, _, _ in pictures(count).images])


def two_jobs(path: Path, count: int, engine: EngineName, chance: random.Random) -> None:
    """Two jobs add to one archive at once: both are there."""
    del chance
    with Archive.create(path, FakeCodec(), describer=None) as archive:
        archive.add(pictures(1, first=1999))
    errors: list[BaseException] = []

    def run(first: int) -> None:
        try:
            with Archive.open(path, codec=FakeCodec()) as archive:
                archive.add(slow_source(count, first=first), jobs=2, engine=engine, resume=True)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(first,)) for first in (0, count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise BrokenPromiseError(f"a job failed: {errors[0]}")
    check(path, [name for name, _, _ in pictures(2 * count).images] + ["set/01999"], ordered=False)


FAULTS = {
    "worker-killed": worker_killed,
    "driver-killed": driver_killed,
    "poisoned": poisoned,
    "store-away": store_away,
    "two-jobs": two_jobs,
}


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "shared_work")
    options.add_argument("--times", type=int, default=10, help="each fault")
    options.add_argument("--images", type=int, default=120)
    options.add_argument("--engines", nargs="+", default=["processes"])
    options.add_argument("--faults", nargs="+", default=list(FAULTS), choices=FAULTS)
    options.add_argument("--child", type=Path, help="add to this archive, and nothing else")
    chosen = options.parse_args()
    engines = cast(list[EngineName], chosen.engines)
    if chosen.child is not None:
        add(chosen.child, slow_source(chosen.images), engines[0])
        return
    trials = Trials("shared_work", chosen)
    counts: dict[str, Any] = {}
    for engine in engines:
        for fault in chosen.faults:
            found: Counter[str] = Counter()
            for number in range(chosen.times):
                chance = random.Random(f"{chosen.seed}/{engine}/{fault}/{number}")
                with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
                    try:
                        FAULTS[fault](Path(folder) / "a.kin", chosen.images, engine, chance)
                        found["whole"] += 1
                    except (BrokenPromiseError, KinpackError) as error:
                        trials.fail(f"{engine}: {fault}: {error}")
                        found["failed"] += 1
                trials.tell(f"{engine}: {fault}: {dict(found)}")
            counts[f"{engine}: {fault}"] = dict(found)
    trials.finish({"images": chosen.images, "faults": counts})


if __name__ == "__main__":
    main()
