"""Let several processes write, read, compact, collect and verify one archive, and kill some.

    python -m reliability.soak [--minutes 10] [--writers 3] [--readers 2]

Writers add, replace and remove batches of images, each batch in one commit, and keep journals of
what they began and what was acknowledged. Readers hold every revision that they open against all
journals: what was acknowledged before is there, what was not is there wholly or not at all, every
image that is read has its own pixels, and a revision that was opened stays as it is for as long as
it is promised to. Meanwhile a compactor, a collector and a verifier work, and every so often one of
the writers, the compactor or the collector is killed and begun anew. At the end nothing is missing,
and the next writer leaves no file that does not belong there.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from kinpack.archive.archive import Archive
from kinpack.errors import KinpackError
from reliability.acts import (
    ARCHIVE,
    CODEC,
    BrokenPromiseError,
    check_clean,
    check_whole,
    segments_of,
)
from reliability.journals import Batch, Follower, Journal, found_in, picture, wrong_batches
from reliability.kills import in_child, status_of
from reliability.report import Trials, parser
from reliability.soak_roles import ROLES, Soak, resolve

KILLED = ("writer", "compactor", "collector")
_PATIENCE = 120.0  # seconds that a process may take to stop by itself


class Crew:
    """The processes of a soak.

    Args:
        soak: what they share.
        roles: what each does, by its name.
        seed: of their chances, and of the kills.
        trials: where failures go.
    """

    def __init__(self, soak: Soak, roles: dict[str, str], seed: int, trials: Trials) -> None:
        self._soak = soak
        self._roles = roles
        self._seed = seed
        self._trials = trials
        self._children: dict[str, int] = {}
        self._begun: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()

    def start(self, name: str) -> None:
        """Start, or start anew, the process of a name."""
        role, times = ROLES[self._roles[name]], self._begun[name]
        self._begun[name] += 1
        chance = random.Random(f"{self._seed}/{name}/{times}")
        self._children[name] = in_child(lambda: role(self._soak, name, chance))

    def work(self, pause: float) -> None:
        """Start all, and kill one of those that write after every pause, until it is over."""
        chance = random.Random(self._seed)
        for name in self._roles:
            self.start(name)
        mortal = [name for name, role in self._roles.items() if role in KILLED]
        while not self._soak.over:
            time.sleep(chance.uniform(0.5, 1.5) * pause)
            name = chance.choice(mortal)
            with suppress(ProcessLookupError):
                os.kill(self._children[name], signal.SIGKILL)
            try:
                self.kills[self._roles[name]] += status_of(self._children[name]) != 0
            except BrokenPromiseError as error:
                self._trials.fail(f"{name}: {error}")
            self.start(name)
        self._stop()

    def _stop(self) -> None:
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
    with Archive.open(soak.archive, codec=CODEC) as archive:
        entries = [(entry.id, entry.label) for entry in archive.entries()]
        wrong = wrong_batches(found_in(entries), certain, [])
        if wrong:
            raise BrokenPromiseError(f"at the end these batches are not as they must be: {wrong}")
        for entry, image in archive.images():
            if not np.array_equal(image, picture(entry.id, entry.label)):
                raise BrokenPromiseError(f"{entry.id}: its pixels are not those of {entry.label}")
        archive.remove([entries[0][0]])
        number = archive.manifest.number
    check_whole(soak.folder)
    check_clean(soak.folder)
    return {"images_at_the_end": len(entries), "revisions": number}


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
    }


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
    options.add_argument("--pause", type=float, default=1, help="seconds between kills")
    chosen = options.parse_args()
    trials = Trials("soak", chosen)
    pa.array([1])  # imports pandas where there is one, so that the children need not
    roles = {f"writer{number}": "writer" for number in range(chosen.writers)}
    writers = tuple(roles)
    roles |= {f"reader{number}": "reader" for number in range(chosen.readers)}
    roles |= {name: name for name in ("compactor", "collector", "verifier")}
    counts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, segments_of(16):
        (Path(folder) / "archive").mkdir()
        with Archive.create(Path(folder) / "archive" / ARCHIVE, CODEC):
            pass
        soak = Soak(
            folder=Path(folder) / "archive",
            journals=Path(folder),
            writers=writers,
            min_age=chosen.min_age,
            hold=chosen.hold,
            until=time.monotonic() + 60 * chosen.minutes,
        )
        crew = Crew(soak, roles, chosen.seed, trials)
        crew.work(chosen.pause)
        try:
            counts = check_end(soak)
        except (BrokenPromiseError, KinpackError) as error:
            trials.fail(str(error))
        counts = {**count(soak, list(roles), trials), **counts, "kills": dict(crew.kills)}
    trials.finish({"minutes": chosen.minutes, "processes": len(roles), **counts})


if __name__ == "__main__":
    main()
