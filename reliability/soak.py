"""Let several processes write, read, compact, collect and verify one archive, and do them harm.

    python -m reliability.soak [--bucket] [--minutes 10] [--writers 3] [--readers 2] [--stop 8]

Writers add, replace and remove batches of images, each batch in one commit, and keep journals of
what they began and what was acknowledged. Readers hold every revision that they open against all
journals: what was acknowledged before is there, what was not is there wholly or not at all, every
image that is read has its own pixels, and a revision that was opened stays as it is for as long as
it is promised to. Meanwhile a compactor, a collector and a verifier work. Every so often one of
the writers, the compactor or the collector is killed and begun anew; or any of all stands still
(SIGSTOP) for up to `--stop` seconds; and the clocks of all step forth and back, each by itself. At
the end nothing is missing, and the next writer leaves no file that does not belong there.

With --bucket the archive lies in an object store, SeaweedFS on loopback, from its package. It is
killed too, and started again with what it has on its disk. Leases end after seconds there, so that
whoever stands still is taken for dead, and unnamed files are collected as soon.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from fakes.s3_server import BUCKET, Server, environment, running
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.stores import buckets, leases
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.errors import KinpackError
from reliability.acts import (
    ARCHIVE,
    CODEC,
    DESCRIBER,
    BrokenPromiseError,
    check_clean,
    check_whole,
    segments_of,
)
from reliability.clocks import BACK, STEPS, stepping
from reliability.journals import Batch, Follower, Journal, found_in, picture, wrong_batches
from reliability.kills import in_child, status_of
from reliability.report import Trials, parser
from reliability.soak_roles import ROLES, Soak, resolve

KILLED = ("writer", "compactor", "collector")
LEASES = {"WRITER_SECONDS": 10.0, "COLLECTOR_SECONDS": 4.0, "WAIT_SECONDS": 5.0}
"""How long leases count in a bucket here."""

_PATIENCE = 120.0  # seconds that a process may take to stop by itself
_OUTAGES = 0.1  # share of the harm that befalls the store


class Crew:
    """The processes of a soak.

    Args:
        soak: what they share.
        roles: what each does, by its name.
        chosen: the options.
        trials: where failures go.
        server: the object store, if the archive lies in one.

    Attributes:
        kills: how often each sort of process was killed.
        stops: how often each stood still.
        longer: how often one of those that are killed went on after it had stood still for longer
            than its lease.
        outages: how often the store was killed, and started again.
    """

    def __init__(
        self,
        soak: Soak,
        roles: dict[str, str],
        chosen: Namespace,
        trials: Trials,
        server: Server | None,
    ) -> None:
        self._soak = soak
        self._roles = roles
        self._chosen = chosen
        self._trials = trials
        self._server = server
        self._children: dict[str, int] = {}
        self._still: dict[str, tuple[float, float]] = {}  # since when, and until when
        self._begun: Counter[str] = Counter()
        self._chance = random.Random(chosen.seed)
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.longer = 0
        self.outages = 0

    def start(self, name: str) -> None:
        """Start, or start anew, the process of a name."""
        role, times = ROLES[self._roles[name]], self._begun[name]
        self._begun[name] += 1
        chance = random.Random(f"{self._chosen.seed}/{name}/{times}")
        # What a folder's disk notes is by the clock of the machine, as is its collector's.
        steps = BACK if self._roles[name] == "collector" and not self._soak.in_bucket else STEPS

        def work() -> None:
            journal = Journal(self._soak.journal(name))
            with stepping(chance, steps, lambda: journal.note("stepped")):
                role(self._soak, name, chance)

        self._children[name] = in_child(work)
        self._still.pop(name, None)

    def work(self) -> None:
        """Start all, and do harm to one of them after every pause, until it is over."""
        for name in self._roles:
            self.start(name)
        while not self._soak.over:
            self._wait(self._chance.uniform(0.5, 1.5) * self._chosen.pause)
            if self._server is not None and self._chance.random() < _OUTAGES:
                self._outage(self._server)
            elif self._chosen.stop and self._chance.random() < 0.5:
                self._stand_still()
            else:
                self._kill()
        self._stop()

    def _wait(self, seconds: float) -> None:
        """Let some time pass, and those go on that have stood still for long enough."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now = time.monotonic()
            for name in [name for name, (_, due) in self._still.items() if due < now]:
                self._go_on(name)
            time.sleep(0.02)

    def _go_on(self, name: str) -> None:
        stood = time.monotonic() - self._still.pop(name)[0]
        role = self._roles[name]
        lease = LEASES["COLLECTOR_SECONDS" if role == "collector" else "WRITER_SECONDS"]
        self.longer += self._soak.in_bucket and role in KILLED and stood > lease
        with suppress(ProcessLookupError):
            os.kill(self._children[name], signal.SIGCONT)

    def _stand_still(self) -> None:
        going = [name for name in self._roles if name not in self._still]
        if not going:
            return
        name, now = self._chance.choice(going), time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(self._children[name], signal.SIGSTOP)
        self._still[name] = (now, now + self._chance.uniform(0, self._chosen.stop))
        self.stops[self._roles[name]] += 1

    def _kill(self) -> None:
        name = self._chance.choice([name for name, role in self._roles.items() if role in KILLED])
        with suppress(ProcessLookupError):
            os.kill(self._children[name], signal.SIGKILL)
        try:
            self.kills[self._roles[name]] += status_of(self._children[name]) != 0
        except BrokenPromiseError as error:
            self._trials.fail(f"{name}: {error}")
        self.start(name)

    def _outage(self, server: Server) -> None:
        server.kill()
        self._wait(self._chance.uniform(0, 3))
        if not server.start():
            raise RuntimeError(f"the server did not start again: {server.log()[-1000:]}")
        self.outages += 1

    def _stop(self) -> None:
        for name in list(self._still):
            self._go_on(name)
        until = time.monotonic() + _PATIENCE
        for name, child in self._children.items():
            while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() > until:
                    os.kill(child, signal.SIGKILL)
                    self._trials.fail(f"{name}: it does not stop")
                    break
                time.sleep(0.05)
            try:
                status_of(child)
            except BrokenPromiseError as error:
                self._trials.fail(f"{name}: {error}")


def check_end(soak: Soak) -> dict[str, Any]:
    """Hold the archive against all journals, read all of it, and let one more writer clean up.

    Returns:
        What is in it.

    Raises:
        BrokenPromiseError: it is not as it must be.
        KinpackError: it cannot be read.
    """
    certain: dict[str, Batch] = {}
    for name, own in soak.writings().items():
        own.read()
        resolve(soak, own, Journal(soak.journal(name)))
        certain.update(own.certain)
    with soak.opened() as archive:
        entries = [(entry.id, entry.label) for entry in archive.entries()]
        wrong = wrong_batches(found_in(entries), certain, [])
        if wrong:
            raise BrokenPromiseError(f"at the end these batches are not as they must be: {wrong}")
        for entry, image in archive.images():
            if not np.array_equal(image, picture(entry.id, entry.label)):
                raise BrokenPromiseError(f"{entry.id}: its pixels are not those of {entry.label}")
        archive.remove([entries[0][0]])
        number = archive.manifest.number
    if isinstance(soak.place, str):
        _check_bucket(soak.place)
    else:
        check_whole(soak.place.parent)
        check_clean(soak.place.parent)
    return {"images_at_the_end": len(entries), "revisions": number}


def _check_bucket(address: str) -> None:
    """Verify every byte, and that the next collection leaves only files of the archive.

    Raises:
        BrokenPromiseError: something else is there, or one is damaged.
        KinpackError: it cannot be read.
    """
    store = ObjectStore(address)
    for name in store.leases():  # of those who were killed
        store.drop(name)
    with Archive.open(address, codec=CODEC) as archive:
        archive.gc(min_age=0, orphan_age=0)
    report = verify(address)
    for text in (*report.problems, *(note for note in report.notes if "is forgotten" not in note)):
        raise BrokenPromiseError(f"at the end: {text}")


def count(soak: Soak, names: list[str], trials: Trials) -> dict[str, int]:
    """Add up what the processes noted."""
    counts: Counter[str] = Counter()
    for name in names:
        for kind, *rest in Follower(soak.journal(name)).lines():
            if kind == "error":
                trials.fail(f"{name}: {rest[0]}")
            if (kind, rest) == ("done", ["found"]):  # nobody was told of it: its writer was killed
                kind = "found"
            counts[f"{kind} {name.rstrip('0123456789')}"] += 1
            if kind in ("read", "compacted", "collected"):
                counts[f"{kind} in all"] += rest[0]
    return {
        "commits": counts["done writer"],
        "commits_of_killed_writers_found_whole": counts["found writer"],
        "commits_undone_by_a_kill": counts["not writer"],
        "races_lost_and_made_up_for": counts["race writer"] + counts["race compactor"],
        "revisions_read": counts["read reader"],
        "images_read": counts["read in all"],
        "revisions_held_longer_than_promised": counts["outlived reader"],
        "compactions": counts["compacted compactor"],
        "images_compacted": counts["compacted in all"],
        "collections": counts["collected collector"],
        "collections_refused": counts["refused collector"],
        "files_collected": counts["collected in all"],
        "verifications": counts["verified verifier"],
        "clock_steps": _of_all(counts, "stepped"),
        **(
            {
                "store_not_there": _of_all(counts, "unreachable"),
                "taken_for_dead": _of_all(counts, "overtaken"),
                "seen_halfway": _of_all(counts, "halfway"),
                "revisions_undone": counts["back reader"],
            }
            if soak.in_bucket
            else {}
        ),
    }


def _of_all(counts: Counter[str], kind: str) -> int:
    """How often anybody noted something."""
    return sum(times for name, times in counts.items() if name.split()[0] == kind)


def main() -> None:
    """Run the trial, and write the result file."""
    options = parser(__doc__, "soak")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--writers", type=int, default=3)
    options.add_argument("--readers", type=int, default=2)
    options.add_argument(
        "--min-age", type=float, default=20, help="seconds that gc keeps revisions"
    )
    options.add_argument(
        "--hold", type=float, default=5, help="seconds that readers keep revisions"
    )
    options.add_argument("--pause", type=float, help="seconds between one harm and the next")
    options.add_argument("--stop", type=float, help="most seconds that a process stands still")
    options.add_argument("--bucket", action="store_true", help="in an object store")
    chosen = options.parse_args()
    chosen.pause = chosen.pause or (2.0 if chosen.bucket else 0.7)
    chosen.stop = (20.0 if chosen.bucket else 8.0) if chosen.stop is None else chosen.stop
    trials = Trials("soak", chosen)
    pa.array([1])  # imports pandas where there is one, so that the children need not
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, ExitStack() as stack:
        stack.enter_context(segments_of(16))
        server = None
        if chosen.bucket:
            server = stack.enter_context(running(Path(folder) / "server"))
            stack.enter_context(patch.dict(os.environ, environment(server.endpoint)))
            for name, seconds in LEASES.items():
                stack.enter_context(patch.object(leases, name, seconds))
            stack.enter_context(patch.multiple(buckets, TIMEOUT=10.0, RETRIES=2))
        trials.finish(run(chosen, Path(folder), server, trials))


def run(chosen: Namespace, folder: Path, server: Server | None, trials: Trials) -> dict[str, Any]:
    """Soak one archive; gives what was counted."""
    (folder / "archive").mkdir()
    place = f"s3://{BUCKET}/{ARCHIVE}" if server else folder / "archive" / ARCHIVE

    def create() -> None:
        with Archive.create(place, CODEC, describer=DESCRIBER):
            pass

    status_of(in_child(create))  # libraries of object stores do not outlive a fork
    roles = {f"writer{number}": "writer" for number in range(chosen.writers)}
    writers = tuple(roles)
    roles |= {f"reader{number}": "reader" for number in range(chosen.readers)}
    roles |= {name: name for name in ("compactor", "collector", "verifier")}
    soak = Soak(
        place=place,
        journals=folder,
        writers=writers,
        min_age=chosen.min_age,
        hold=chosen.hold,
        until=time.monotonic() + 60 * chosen.minutes,
        busy=12.0 if server else 4.0,
        quiet=6.0 if server else 1.0,
    )
    crew = Crew(soak, roles, chosen, trials, server)
    crew.work()
    counts: dict[str, Any] = {}
    try:
        counts = check_end(soak)
    except (BrokenPromiseError, KinpackError) as error:
        trials.fail(str(error))
    harm: dict[str, Any] = {"kills": dict(crew.kills), "stops": dict(crew.stops)}
    if server:
        harm |= {"stops_longer_than_a_lease": crew.longer, "outages": crew.outages}
    return {
        "minutes": chosen.minutes,
        "processes": len(roles),
        **count(soak, list(roles), trials),
        **counts,
        **harm,
    }


if __name__ == "__main__":
    main()
