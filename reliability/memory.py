"""Refuse memory at the n-th allocation of every sort of commit, and of reading.

    python -m reliability.memory [--every 40] [--limits 20] [--acts create,add,rm,...]

Each trial forks a process that does one act. Python's n-th allocation in it fails, alone or with
the `ROW` that follow; or, since native libraries ask the system themselves, the process may have
only some kilobytes more than it has. What comes of it is the act done, an error of kinpack's of one
line that speaks of memory, or MemoryError, for which the command has a line; never another error of
ours, or one that calls a whole archive damaged. Native code may die of it or forget what it was,
and Python waits for ever for a thread that had no memory to begin; that is counted. The revision is
the former one or the new one, whole, and the new one if the act was acknowledged; and the next
writer leaves no file that does not belong there.

CPython alone has the hook (`_testcapi`), and not in every build.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from kinpack.archive.archive import Archive
from kinpack.errors import KinpackError, is_low_memory
from reliability.acts import ACTS, Act, BrokenPromiseError, segments_of
from reliability.kills import Place, in_child
from reliability.report import Trials, parser

ROW = 200
"""Allocations one after the other that fail in the second way."""

LIMIT = 32 << 20
"""Bytes up to which the process may have more than it has, in the third."""

QUIET = 1000
"""After so many allocations without any effect an act is over, in the first two."""

_HUNG = 6  # seconds of an act
_LOST = re.compile(r"without (setting an )?exception|PathLike object, not PosixPath")
_WAYS = {"one fails": 1, f"{ROW} fail": ROW}


def _read(archive: Archive) -> None:
    """Look at all that an archive holds."""
    images = [image.tobytes() for _, image in archive.images()]
    if len(images) != len(archive):
        raise BrokenPromiseError("what was read is not all")
    archive.search(archive.ids[0], 2)
    problems = archive.verify(deep=True).problems
    if problems:
        raise KinpackError(problems[0])


ALL = {**ACTS, "read": replace(ACTS["rm"], name="read", change=_read)}
"""Every sort of commit, and reading, which leaves what there was, by name."""


def failing(first: int, count: int) -> None:
    """Let so many allocations of Python fail from one on, counted from 1; no more for 0."""
    hook = import_module("_testcapi")
    if count:
        hook.set_nomemory(first, first + count)
    else:
        hook.remove_mem_hooks()


def limited(more: int) -> None:
    """Limit the process to so many bytes more than it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))


def judged(error: BaseException | None) -> str:
    """What an act has ended in: one of the words that are counted, or what is wrong with it."""
    if error is None:
        return "done"
    text = str(error)
    if is_low_memory(error) and not isinstance(error, KinpackError):
        return "MemoryError"  # or what CPython says in its place; the command has a line for it
    if isinstance(error, (SystemError, TypeError)) and _LOST.search(text):
        return "lost"  # by numpy or CPython: native code forgot to say what it was
    if not isinstance(error, KinpackError):
        return f"wrong: it raises {type(error).__name__}: {text[:200]}"
    if "\n" in text or "memory" not in text:
        return f"wrong: it says {text[:300]}"
    return "refused"


def _nothing(_: object) -> None:
    """Say nothing."""


def attempt(act: Act, folder: Path, refuse: Callable[[], None]) -> str:
    """Do an act in a process in which memory is refused.

    Args:
        act: what to do.
        folder: where.
        refuse: called in the process first.

    Returns:
        What it ended in; ``died`` where native code ended the process, ``hung`` where
        Python waited for a thread.

    Raises:
        BrokenPromiseError: it ended in something wrong.
    """
    reader, writer = os.pipe()

    def work() -> None:
        caught: BaseException | None = None
        sys.unraisablehook = _nothing  # generators that are left tell of it too
        signal.alarm(_HUNG)
        try:
            refuse()
            act.run(folder)
        except BaseException as error:
            caught = error
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            failing(0, 0)
        os.write(writer, judged(caught).encode())

    child = in_child(work)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (-signal.SIGSEGV, -signal.SIGABRT):
        return "died"
    if status == -signal.SIGALRM:
        return "hung"
    if status or not said or said.startswith("wrong: "):
        raise BrokenPromiseError(said or f"the process ended with {status}")
    return said


def refuse_all(act: Act, place: Place, every: int, limits: int, first: int) -> dict[str, Any]:
    """Refuse memory to an act at each allocation, and by limits.

    Args:
        act: what to do.
        place: where.
        every: leave out all but every so many allocations.
        limits: how many limits, from nothing on.
        first: the first allocation that is not left out.

    Returns:
        Counts by way and by what came of it.
    """
    counts: dict[str, Counter[str]] = {}

    def trial(way: str, what: str, refuse: Callable[[], None]) -> str:
        ended: list[str] = []

        def run(folder: Path) -> int:
            ended.append(attempt(act, folder, refuse))
            return ended[0] != "done"

        revision = place.trial(what, run)
        said = ended[0] if ended and revision else "failed"
        counts.setdefault(way, Counter())[said] += 1
        if said not in ("done", "failed") and act.name != "read":
            counts[way][f"then the {revision} revision"] += 1
        return said

    for way, row in _WAYS.items():
        number, quiet = first, 0
        while quiet < max(QUIET, 3 * every):
            refuse = partial(failing, number, row)
            done = trial(way, f"allocation {number}, {way}", refuse) == "done"
            quiet = quiet + every if done else 0
            number += every
    for step in range(limits):
        more = LIMIT * step // limits
        trial("limit", f"{more >> 10} kB more", partial(limited, more))
    return {way: dict(sorted(found.items())) for way, found in counts.items()}


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "memory")
    options.add_argument("--every", type=int, default=40, help="only every so many allocations")
    options.add_argument("--limits", type=int, default=20, help="how many limits")
    options.add_argument("--acts", default=",".join(ALL), help="which acts")
    chosen = options.parse_args()
    trials = Trials("memory", chosen)
    failing(0, 0)  # the hook is loaded here, and not where memory is refused
    pa.array([1])  # imports pandas where there is one, so that the children need not
    acts = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, segments_of(3):
        for number, name in enumerate(chosen.acts.split(",")):
            (Path(folder) / name).mkdir()
            place = Place(ALL[name], Path(folder) / name, trials)
            first = 1 + (chosen.seed + number) % chosen.every
            acts[name] = refuse_all(ALL[name], place, chosen.every, chosen.limits, first)
            trials.tell(f"{name}: {acts[name]}")
    ended = ("done", "MemoryError", "refused", "lost", "died", "hung", "failed")
    total = sum(
        counts.get(word, 0) for ways in acts.values() for counts in ways.values() for word in ended
    )
    trials.finish({"refusals": total, "acts": acts})


if __name__ == "__main__":
    main()
