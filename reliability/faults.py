"""Refuse every call to the system of every sort of commit, one after the other.

    python -m reliability.faults [--every 1] [--acts create,add,rm,compact,gc,seal,copy]

For every act and every number n its n-th call fails, with ENOSPC (the disk is full) or EIO (the
disk is broken), once or from then on, or with EINTR (interrupted); or its n-th write is a short
one. Whatever comes of it is an error of kinpack's in one line or the act done; the revision is the
former one or the new one, whole, and the new one if the act was acknowledged; done again with the
same open archive the act succeeds; and the next writer leaves no file that does not belong there.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinpack.archive.archive import Archive
from kinpack.errors import KinpackError
from reliability.acts import (
    ACTS,
    ARCHIVE,
    CODEC,
    Act,
    BrokenPromiseError,
    Outcomes,
    check,
    segments_of,
    state,
)
from reliability.calls import Call, Perform, watched, without_links
from reliability.report import Trials, parser

NUMBERS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EINTR": errno.EINTR}
WAYS = (
    ("ENOSPC", False), ("ENOSPC", True), ("EIO", False), ("EIO", True), ("EINTR", False),
    ("short", False),
)  # fmt: skip
"""How a call fails: its error and whether all later ones fail too; a short write fails nothing."""


@dataclass
class Refusal:
    """A handler that lets one call fail.

    Attributes:
        place: which, counted from 0; -1 for none.
        way: the name of the error, or ``short``.
        lasting: whether all later ones fail too, but for ``unlink``, ``rmdir`` and ``close``.
        calls: the calls so far.
        hit: name of the call that failed.
        over: whether no call fails any more.
    """

    place: int
    way: str
    lasting: bool = False
    calls: list[str] = field(default_factory=list)
    hit: str | None = None
    over: bool = False

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call, or refuse it."""
        if self.over:
            return perform()
        place = len(self.calls)
        self.calls.append(call.name)
        later = self.lasting and place > self.place >= 0
        if place == self.place or (later and call.name not in ("unlink", "rmdir", "close")):
            self.hit = self.hit or call.name
            if self.way != "short":
                if call.name == "close":
                    perform()  # the descriptor is gone all the same
                raise OSError(NUMBERS[self.way], os.strerror(NUMBERS[self.way]), call.path)
            if call.name == "write" and call.data and len(call.data) > 1:
                return perform(call.data[: len(call.data) // 2])
        return perform()


def attempt(act: Act, folder: Path, refusal: Refusal) -> bool:
    """Do an act of which a call fails, and again with the same open archive once it no more does.

    Returns:
        Whether it was acknowledged at first.

    Raises:
        BrokenPromiseError: it raises something else than one line of kinpack's, or fails again.
    """
    failure: BaseException | None = None
    with watched(folder, refusal):
        try:
            act.run(folder)
        except BaseException as error:
            failure = error
    if failure is None:
        return True
    if not isinstance(failure, KinpackError) or "\n" in str(failure):
        raise BrokenPromiseError(f"it raises {failure!r}") from failure
    return False


def attempt_again(act: Act, folder: Path, refusal: Refusal, outcomes: Outcomes) -> None:
    """Do an act of which a call fails twice with the same open archive, the second time whole.

    Raises:
        BrokenPromiseError: the second attempt does not give the new revision.
    """
    try:
        with watched(folder, refusal), Archive.open(folder / ARCHIVE, codec=CODEC) as archive:
            with suppress(KinpackError):
                act.change(archive)
            refusal.over = True
            act.change(archive)
    except KinpackError as error:
        if not refusal.over:
            return  # it could not even be opened
        raise BrokenPromiseError(f"done again it raises {error}") from error
    if state(folder) != outcomes.after or act.mark(folder) != outcomes.mark:
        raise BrokenPromiseError("done again it does not give the new revision")


def refuse_all(act: Act, place: Path, trials: Trials, every: int, first: int) -> dict[str, Any]:
    """Refuse every call of an act in every way.

    Args:
        act: what to do.
        place: an empty folder to work in.
        trials: where failures go.
        every: leave out all but every so many combinations of call and way.
        first: the first that is not left out.

    Returns:
        Counts.
    """
    folder = place / "work"
    folder.mkdir()
    outcomes = act.outcomes(folder)
    act.prepare(folder)
    shutil.move(folder, place / "original")
    shutil.copytree(place / "original", folder)
    census = Refusal(-1, "none")
    attempt(act, folder, census)
    shutil.rmtree(folder)
    counts: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    combinations = [
        (number, way, lasting)
        for number, name in enumerate(census.calls)
        for way, lasting in WAYS
        if way != "short" or name == "write"
    ]
    for number, way, lasting in combinations[first::every]:
        what = f"{act.name}: call {number} ({census.calls[number]}): {way}"
        what += " from then on" if lasting else ""
        try:
            shutil.copytree(place / "original", folder)
            refusal = Refusal(number, way, lasting)
            acknowledged = attempt(act, folder, refusal)
            if refusal.hit is None:
                raise BrokenPromiseError("this call was not made again")
            new = check(act, folder, outcomes, acknowledged=acknowledged)
            counts["faults"] += 1
            counts["done all the same"] += acknowledged
            counts["refused, former revision"] += not acknowledged and not new
            counts["refused, new revision"] += not acknowledged and new
            hits[refusal.hit] += 1
            if not act.makes and not acknowledged and not lasting:
                shutil.rmtree(folder)
                shutil.copytree(place / "original", folder)
                attempt_again(act, folder, Refusal(number, way), outcomes)
                counts["done again"] += 1
        except (BrokenPromiseError, KinpackError) as error:
            trials.fail(f"{what}: {error}")
        shutil.rmtree(folder)
        trials.tell(what)
    shutil.rmtree(place / "original")
    return {"calls": len(census.calls), **counts, "by_call": dict(sorted(hits.items()))}


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "faults")
    options.add_argument("--every", type=int, default=1, help="only every so many faults")
    options.add_argument("--acts", default=",".join(ACTS), help="which acts")
    options.add_argument("--without-links", action="store_true", help="nor safe renames")
    chosen = options.parse_args()
    trials = Trials("faults", chosen)
    counts = {}
    links = without_links() if chosen.without_links else nullcontext()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, segments_of(3), links:
        for number, name in enumerate(chosen.acts.split(",")):
            place = Path(folder) / name
            place.mkdir()
            first = (chosen.seed + number) % chosen.every
            counts[name] = refuse_all(ACTS[name], place, trials, chosen.every, first)
    total = sum(of_act.get("faults", 0) for of_act in counts.values())
    trials.finish({"faults": total, "acts": counts})


if __name__ == "__main__":
    main()
