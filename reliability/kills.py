"""Kill writers, by SIGKILL, at random moments and around every call to the system.

    python -m reliability.kills [--random 200] [--every 1] [--acts create,add,...]

Each trial forks a process that does one act and kills it: after a random time, up to a little more
than the act takes, or before and after its n-th call to the system, for every n. Then the archive
opens and verifies; it holds the former revision or the new one, bit for bit, and the new one if the
act came to its end; and the next writer leaves no file that does not belong there.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from kinpack.errors import KinpackError
from reliability.acts import ACTS, Act, BrokenPromiseError, check, segments_of
from reliability.calls import Call, Perform, watched, without_links
from reliability.report import Trials, parser


class Killer:
    """A handler that kills its process around one call.

    Args:
        moment: twice the number of the call; one more to kill after it, not before.
    """

    def __init__(self, moment: int) -> None:
        self._moment = moment
        self._calls = 0

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call, unless this is the moment."""
        del call
        left = self._moment - 2 * self._calls
        self._calls += 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return perform()
        finally:
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None]) -> int:
    """Start a process that does some work and ends with status 0, or with 1 on an error.

    Returns:
        Its id.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(child: int) -> int:
    """Wait for a process; 0, or minus the signal that killed it.

    Raises:
        BrokenPromiseError: it ended otherwise.
    """
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise BrokenPromiseError(f"the process ended with {status}")
    return status


class Place:
    """A folder in which an act is done over and over.

    Args:
        act: what is done.
        folder: an empty one.
        trials: where failures go.
    """

    def __init__(self, act: Act, folder: Path, trials: Trials) -> None:
        self._act = act
        self._trials = trials
        self._work, self._original = folder / "work", folder / "original"
        self._work.mkdir()
        self._outcomes = act.outcomes(self._work)
        self._work.rmdir()
        self._original.mkdir()
        act.prepare(self._original)

    def trial(self, what: str, run: Callable[[Path], int]) -> str | None:
        """Start anew, do the act somehow, and check what came of it.

        Args:
            what: is tried, for messages.
            run: does the act in a folder; gives its exit status.

        Returns:
            ``done``, or killed in the ``former`` or the ``new`` revision; ``None`` on a failure.
        """
        shutil.copytree(self._original, self._work)
        try:
            status = run(self._work)
            new = check(self._act, self._work, self._outcomes, acknowledged=status == 0)
        except (BrokenPromiseError, KinpackError) as error:
            self._trials.fail(f"{self._act.name}: {what}: {error}")
            return None
        finally:
            shutil.rmtree(self._work)
        return "done" if status == 0 else "new" if new else "former"


def kill_at_random(act: Act, place: Place, kills: int, chance: random.Random) -> Counter[str]:
    """Kill an act at random moments.

    Args:
        act: what to do.
        place: where.
        kills: how many are wanted; processes that end before their moment do not count.
        chance: gives the moments.

    Returns:
        Counts of outcomes.
    """
    counts: Counter[str] = Counter()
    took: float | None = None  # by the latest run that came to its end: loads of machines vary

    def run(folder: Path) -> int:
        nonlocal took
        start = time.perf_counter()
        child = in_child(lambda: act.run(folder))
        if took is not None:
            time.sleep(chance.uniform(0, 1.1 * took))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # still ours, if only to be waited for
        status = status_of(child)
        if status == 0:
            took = time.perf_counter() - start
        return status

    while counts["former"] + counts["new"] < kills and sum(counts.values()) < 10 * kills + 10:
        counts[place.trial("at random", run) or "failed"] += 1
    return counts


def kill_around_calls(act: Act, place: Place, every: int, first: int) -> Counter[str]:
    """Kill an act before and after every call, until there is none left.

    Args:
        act: what to do.
        place: where.
        every: leave out all but every so many moments.
        first: the first that is not left out.

    Returns:
        Counts of outcomes.
    """
    counts: Counter[str] = Counter()
    moment = first
    while not counts["done"] and moment < 2000:

        def run(folder: Path, moment: int = moment) -> int:
            def work() -> None:
                with watched(folder, Killer(moment)):
                    act.run(folder)

            return status_of(in_child(work))

        counts[place.trial(f"at moment {moment}", run) or "failed"] += 1
        moment += every
    return counts


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "kills")
    options.add_argument("--random", type=int, default=200, help="kills at random moments, an act")
    options.add_argument("--every", type=int, default=1, help="only every so many moments of calls")
    options.add_argument("--acts", default=",".join(ACTS), help="which acts")
    options.add_argument("--without-links", action="store_true", help="nor safe renames")
    chosen = options.parse_args()
    trials = Trials("kills", chosen)
    pa.array([1])  # imports pandas where there is one, so that the children need not
    acts: dict[str, dict[str, dict[str, int]]] = {}
    totals: Counter[str] = Counter()
    links = without_links() if chosen.without_links else nullcontext()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, segments_of(3), links:
        for number, name in enumerate(chosen.acts.split(",")):
            act = ACTS[name]
            chance = random.Random(f"{chosen.seed}/{name}")
            (Path(folder) / name).mkdir()
            place = Place(act, Path(folder) / name, trials)
            first = (chosen.seed + number) % chosen.every
            found = {
                "random": kill_at_random(act, place, chosen.random, chance),
                "calls": kill_around_calls(act, place, chosen.every, first),
            }
            for sort, counts in found.items():
                totals[sort] += counts["former"] + counts["new"]
            acts[name] = {sort: dict(counts) for sort, counts in found.items()}
            trials.tell(f"{name}: {acts[name]}")
    trials.finish(
        {"kills_at_random": totals["random"], "kills_around_calls": totals["calls"], "acts": acts}
    )


if __name__ == "__main__":
    main()
