"""Cut the power after every call to the system of whole histories of an archive.

    python -m reliability.power_cuts [--histories 12] [--chances 4] [--without files|folders]

A history is a row of commits of every sort, each in a process of its own, that are finished, killed
at some call, or met by a broken fsync and done again. All its calls are recorded. Then, for every
call and several choices of which unsynchronised changes are left (none, all, all names without
data, all data without names, and some by chance), the disk is set up as the cut leaves it
(`reliability.disk`): every archive opens and verifies; what was acknowledged before the cut is
there bit for bit; of what was not, there is all or nothing; and the next writer leaves no file that
does not belong there.

With --without, synchronising files or folders counts for nothing, and the trial must fail: so it is
known to notice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal
from kinpack.errors import KinpackError
from reliability.acts import (
    ARCHIVE,
    CODEC,
    COPY,
    DESCRIBER,
    SEALED,
    BrokenPromiseError,
    Content,
    State,
    check_clean,
    check_whole,
    content,
    is_there,
    segments_of,
    state,
)
from reliability.calls import Call, Perform, watched, without_links
from reliability.disk import Chance, Choice, Disk, Fixed, Tree
from reliability.report import Trials, parser

VERBS = {
    "create": ARCHIVE, "add": ARCHIVE, "replace": ARCHIVE, "rm": ARCHIVE, "compact": ARCHIVE,
    "purge": ARCHIVE, "embed": ARCHIVE, "describer rm": ARCHIVE, "gc": ARCHIVE,
    "seal": SEALED, "copy": COPY,
}  # fmt: skip
"""What is done in a history, and to which archive."""

_CALLS, _SYNCHRONISED = 36, 14  # about as many changing calls, and fsyncs, as a commit makes

_UNACKNOWLEDGED = 2  # exit status


@dataclass(frozen=True)
class Step:
    """One commit of a history.

    Attributes:
        verb: what is done.
        number: of the step; pictures that it adds are numbered after it.
        killed: the changing call before which its process is killed.
        broken: the fsync that fails; the commit is then done again by the same open archive.
    """

    verb: str
    number: int
    killed: int | None = None
    broken: int | None = None

    @property
    def victim(self) -> tuple[str, bytes]:
        """Id of the image that it purges, and the payload that it had at first."""
        name, _, image = pictures(1, first=self.number % 4).images[0]
        return name, CODEC.encode([image])[0].payload

    def run(self, folder: Path) -> bool:
        """Do it, and if it is refused do it again.

        Returns:
            Whether it was acknowledged: a refused step may have made a new archive, whole, but
            nobody was told that it is durable.
        """
        if self.verb == "create":
            try:
                self._create(folder)
            except KinpackError:
                if is_there(folder / ARCHIVE):
                    return False
                self._create(folder)
            return True
        with Archive.open(folder / ARCHIVE, codec=CODEC) as archive:
            if self.verb in ("seal", "copy") and is_there(folder / VERBS[self.verb]):
                return False  # an earlier step has made it
            # Named once: what a refused try has removed after all is not to cost another image.
            first = archive.ids[:1]
            try:
                self._change(archive, folder, first)
            except KinpackError:
                if self.verb in ("seal", "copy") and is_there(folder / VERBS[self.verb]):
                    return False
                self._change(archive, folder, first)
        return True

    def _create(self, folder: Path) -> None:
        with Archive.create(folder / ARCHIVE, CODEC, describer=DESCRIBER) as archive:
            archive.add(pictures(4))

    def _change(self, archive: Archive, folder: Path, first: Sequence[str]) -> None:
        if self.verb == "add":
            archive.add(pictures(4, first=10 * self.number), on_duplicate="skip")
        elif self.verb == "replace":
            archive.add(pictures(2, first=0, seed=self.number), on_duplicate="replace")
        elif self.verb == "rm":
            archive.refresh()
            archive.remove(set(first) & set(archive.ids))
        elif self.verb == "purge":
            archive.refresh()
            archive.remove({self.victim[0]} & set(archive.ids), purge=True)
        elif self.verb == "compact":
            archive.compact()
        elif self.verb == "embed":
            archive.embed(DESCRIBER, name=f"more{self.number}")
        elif self.verb == "describer rm":
            archive.refresh()
            if archive.manifest.describer(DESCRIBER.name):
                archive.remove_codes(DESCRIBER.name)
        elif self.verb == "gc":
            archive.gc(min_age=0)
        else:
            (seal if self.verb == "seal" else copy)(archive, folder / VERBS[self.verb])


@dataclass
class Recorder:
    """A handler that writes down every changing call that was done, and may kill or refuse.

    Attributes:
        log: where to: one JSON object a line.
        folder: paths are written down relative to it.
        step: what is going on.
    """

    log: int
    folder: Path
    step: Step
    changes: int = 0
    synchronised: int = 0
    opened: dict[int, int] = field(default_factory=dict)

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call and write it down, unless it is to be the last one or to fail."""
        if call.changes:
            if self.changes == self.step.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            self.changes += 1
        if call.name == "fsync":
            self.synchronised += 1
            if self.synchronised - 1 == self.step.broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO), call.path)
        result = perform()
        if call.name == "open" or call.changes:
            self._note(call, result)
        return result

    def _note(self, call: Call, result: Any) -> None:
        values = asdict(call)
        if call.name == "open":  # the same number may be used again: count what was opened
            self.opened[result] = int.from_bytes(os.urandom(7))
            values["descriptor"] = self.opened[result]
        elif call.descriptor is not None:
            values["descriptor"] = self.opened[call.descriptor]
        if call.data is not None:
            values["data"] = call.data[:result].hex()
        for name in ("path", "target"):
            if values[name] is not None:
                below = os.path.relpath(values[name], self.folder)
                values[name] = "" if below == "." else below
        os.write(self.log, json.dumps(values).encode() + b"\n")


def plan(seed: str) -> list[Step]:
    """A history, drawn at random: it begins with a creation and ends with an addition."""
    chance = random.Random(seed)
    once = ["add", "add", "replace", "rm", "purge", "compact", "embed", "describer rm"]
    verbs = chance.sample([*once, "gc", "seal", "copy"], 11)
    steps: list[Step] = []
    for verb in ["create", *verbs, "add"]:
        way = chance.random()
        killed = way < (0.5 if verb == "create" else 0.3)
        if killed:
            steps.append(Step(verb, len(steps), killed=chance.randrange(_CALLS)))
        elif way < 0.6:
            steps.append(Step(verb, len(steps), broken=chance.randrange(_SYNCHRONISED)))
        if not killed or verb in ("create", "seal", "copy"):
            steps.append(Step(verb, len(steps)))
    return steps


@dataclass
class History:
    """What happened: the calls in their order, with where each step begins and is acknowledged.

    Attributes:
        events: the calls, and ``("begin", step)`` and ``("acknowledged", step)``.
        steps: in their order.
        states: of all archives after each step, the first one before any.
    """

    events: list[Call | tuple[str, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=lambda: [{}])


def record(steps: list[Step], folder: Path) -> History:
    """Carry out a history.

    Args:
        steps: what to do.
        folder: an empty folder to work in.

    Raises:
        BrokenPromiseError: a commit failed, or not all that it did was recorded.
    """
    work, log = folder / "work", folder / "log"
    work.mkdir()
    history = History()
    for step in steps:
        if is_there(work / ARCHIVE) == (step.verb == "create"):
            continue  # a killed creation was complete, or is to be done again first
        log.write_bytes(b"")
        child = os.fork()
        if not child:
            _run_recorded(step, work, log)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, _UNACKNOWLEDGED, -signal.SIGKILL):
            raise BrokenPromiseError(f"{step}: the process ended with {status}")
        history.events.append(("begin", len(history.steps)))
        for line in log.read_text().splitlines():
            values = json.loads(line)
            if values["data"] is not None:
                values["data"] = bytes.fromhex(values["data"])
            history.events.append(Call(**values))
        if status == 0:
            history.events.append(("acknowledged", len(history.steps)))
        history.steps.append(step)
        history.states.append(state(work))
    everything = Disk()
    for event in history.events:
        if isinstance(event, Call):
            everything.apply(event)
    if everything.left(Fixed(names=True, data=True)) != tree_of(work):
        raise BrokenPromiseError("not all that changed the disk was recorded")
    shutil.rmtree(work)
    return history


def tree_of(folder: Path) -> Tree:
    """What is in a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def _run_recorded(step: Step, work: Path, log: Path) -> None:
    """Do a step in this process, which ends with it."""
    status = 1
    try:
        recorder = Recorder(os.open(log, os.O_WRONLY | os.O_APPEND), work.resolve(), step)
        with segments_of(3), watched(work, recorder):
            status = 0 if step.run(work) else _UNACKNOWLEDGED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class Cutter:
    """Tries what a cut leaves; the same tree is tried once.

    Args:
        folder: an empty folder to work in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, State | str] = {}

    @property
    def distinct(self) -> int:
        """How many different trees were tried."""
        return len(self._known)

    def found(self, tree: Tree) -> State | str:
        """The state of the archives in a tree, or what is wrong with them."""
        digest = hashlib.sha256()
        for path, data in tree.items():
            digest.update(f"{path}\0{-1 if data is None else len(data)}\0".encode() + (data or b""))
        key = digest.digest()
        if key not in self._known:
            self._known[key] = self._try(tree)
        return self._known[key]

    def _try(self, tree: Tree) -> State | str:
        work = self._folder / "cut"
        work.mkdir()
        for path, data in tree.items():
            if data is None:
                (work / path).mkdir()
            else:
                (work / path).write_bytes(data)
        try:
            check_whole(work)
            found = state(work)
            _follow(work)
            wanted = {**found, ARCHIVE: {**found.get(ARCHIVE, {}), **_NEXT}}
            check_clean(work)
            if content(work / ARCHIVE) != wanted[ARCHIVE]:
                raise BrokenPromiseError("what the next writer adds to it is not all there")
        except (BrokenPromiseError, KinpackError) as error:
            return str(error)
        finally:
            shutil.rmtree(work)
        return found


_NEXT: Content = {
    name: (label, repr(image.shape).encode() + image.tobytes())
    for name, label, image in pictures(1, first=900).images
}


def _follow(folder: Path) -> None:
    """Do what the next writer of every archive does."""
    opening: Callable[..., Archive] = Archive.open
    if not is_there(folder / ARCHIVE):
        opening = Archive.create
    with opening(folder / ARCHIVE, codec=CODEC) as archive:
        archive.add(pictures(1, first=900))
        for name, make in ((SEALED, seal), (COPY, copy)):
            dead = [*folder.glob(f".{name}.*.partial")]
            if dead or ((folder / name).exists() and not is_there(folder / name)):
                if dead:
                    (folder / name).unlink(missing_ok=True)
                make(archive, folder / name)
    if is_there(folder / COPY):  # which may have its mark still
        with Archive.open(folder / COPY, codec=CODEC) as archive:
            archive.add([])


def cut_everywhere(
    history: History,
    choices: Callable[[int], list[Choice]],
    cutter: Cutter,
    disk: Disk,
    fail: Callable[[str], None],
    every: int = 1,
) -> Counter[str]:
    """Cut the power before the first and after every call of a history.

    Args:
        history: the calls.
        choices: which unsynchronised changes are left, for a call.
        cutter: tries the trees.
        disk: an empty one.
        fail: called with what is wrong.
        every: cut only after every so many calls.

    Returns:
        Counts.
    """
    counts: Counter[str] = Counter()
    acknowledged = dict.fromkeys((ARCHIVE, SEALED, COPY), 0)  # the state that is certain
    begun = 0
    purged: list[bytes] = []
    for place, event in enumerate(history.events):
        if isinstance(event, Call):
            disk.apply(event)
            counts["changing calls"] += event.changes
        elif event[0] == "begin":
            begun = event[1] + 1
        else:
            step = history.steps[event[1]]
            acknowledged[VERBS[step.verb]] = event[1] + 1
            if step.verb == "purge":
                purged.append(step.victim[1])
        if isinstance(event, Call) and (not event.changes or place % every):
            continue
        for choice in choices(place):
            tree = disk.left(choice)
            found = cutter.found(tree)
            counts["cuts"] += 1
            what = f"{history.steps[begun - 1]}, event {place}, {choice}"
            for name, data in tree.items():
                if name.startswith(f"{ARCHIVE}/") and any(one in (data or b"") for one in purged):
                    fail(f"{what}: {name} holds an image that was purged")
            if isinstance(found, str):
                fail(f"{what}: {found}")
                continue
            for name, first in acknowledged.items():
                allowed = [known.get(name) for known in history.states[first : begun + 1]]
                if found.get(name) not in allowed:
                    fail(f"{what}: {name} holds {sorted(found.get(name) or ['nothing'])}")
    return counts


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "power_cuts")
    options.add_argument("--histories", type=int, default=12)
    options.add_argument("--chances", type=int, default=4, help="choices by chance at every call")
    options.add_argument("--every", type=int, default=1, help="cut after every so many calls")
    options.add_argument("--without", choices=("files", "folders"), help="what fsync leaves out")
    options.add_argument("--without-links", action="store_true", help="nor safe renames")
    chosen = options.parse_args()
    trials = Trials("power_cuts", chosen)
    pa.array([1])  # imports pandas where there is one, so that the children need not
    total: Counter[str] = Counter()
    verbs: Counter[str] = Counter()
    links = without_links() if chosen.without_links else nullcontext()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, links:
        for number in range(chosen.histories):
            seed = f"{chosen.seed}/{number}"
            place = Path(folder) / str(number)
            place.mkdir()
            history = record(plan(seed), place)
            cutter = Cutter(place)

            def choices(event: int, seed: str = seed) -> list[Choice]:
                fixed = [Fixed(names, data) for names in (False, True) for data in (False, True)]
                chances = [Chance(f"{seed}/{event}/{i}") for i in range(chosen.chances)]
                return [*fixed, *chances]

            disk = Disk(files=chosen.without != "files", folders=chosen.without != "folders")

            def fail(text: str, seed: str = seed) -> None:
                trials.fail(f"{seed}: {text}")

            found = cut_everywhere(history, choices, cutter, disk, fail, chosen.every)
            total.update(found)
            total["different disks"] += cutter.distinct
            for number_of_step, step in enumerate(history.steps):
                verbs[step.verb] += 1
                told = ("acknowledged", number_of_step) in history.events
                total["commits without acknowledgement"] += not told
                total["commits with a broken fsync"] += step.broken is not None
            trials.tell(f"history {number}: {dict(total)}")
            shutil.rmtree(place)
    trials.finish({"histories": chosen.histories, **total, "commits": dict(sorted(verbs.items()))})


if __name__ == "__main__":
    main()
