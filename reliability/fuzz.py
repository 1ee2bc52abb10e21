"""Fuzz whatever reads files of strangers: codec, network, archive, its folder, payload, picture.

    python -m reliability.fuzz --minutes 60 --seed 0 [--only NAME [--case N]]

Cases are made of small whole files by chance: bits, integers and spans of bytes, values of JSON,
with checksums made to hold again, so that what lies behind them is reached. Each is read in a child
process with a limit on its memory. It must be refused by an error of kinpack's of one line, or be
read; any other error, an error behind which memory ran out, an end of the process, or more than
`SLOW` seconds of processor time is a failure. Whoever stops it by Ctrl-C gets the result so far.
A failure names the case; --only NAME --case N does it again, in this process.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kinpack.errors import KinpackError
from reliability.fuzz_seeds import load_seeds, make_seeds
from reliability.fuzz_targets import Case, cases
from reliability.report import Trials, parser

SLOW = 10.0
"""Seconds of processor time that a case may take."""

MEMORY = 1 << 30
"""Bytes of memory that a case may ask for, beyond what the process has when all is loaded."""

_PIXELS = 1 << 22  # limit of pixels in the child: a case is to take no longer than it must
_HUNG = 120.0  # seconds without an end of a case
_SLICE = 3.0  # seconds for one sort after the other
_NAMES = (
    *("codec file", "network", "describer file", "manifest", "segment", "file of codes"),
    *("sealed archive", "learned payload", "causal payload", "AVIF payload", "WebP payload"),
    *("lossless WebP payload", "alpha", "picture", "folder"),
)


class Board:
    """What a child has done, in memory that outlives it.

    Attributes:
        read: cases of each sort that were read.
        refused: cases of each sort that were refused.
        next: number of the next case of each sort.
        now: number in ``_NAMES`` of the sort that is tried, −1 while the child begins.
        since: when its case began, in seconds as ``time.monotonic`` counts.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        count = len(_NAMES)
        self.read = context.RawArray(ctypes.c_longlong, count)
        self.refused = context.RawArray(ctypes.c_longlong, count)
        self.next = context.RawArray(ctypes.c_longlong, count)
        self.now = context.RawValue(ctypes.c_longlong, -1)
        self.since = context.RawValue(ctypes.c_double, 0.0)


def chance_of(seed: int, name: str, number: int) -> random.Random:
    """The chance that makes a case: the same wherever it is made."""
    return random.Random(f"{seed}:{name}:{number}")


def tried(case: Case, chance: random.Random) -> tuple[bool, str | None]:
    """Make a case and read it.

    Returns:
        Whether it was refused, and what is wrong with how it was read, if anything is.
    """
    began = time.process_time()
    refused, fault = False, None
    try:
        case(chance)
    except KinpackError as error:
        refused = True
        if "\n" in str(error):
            fault = f"several lines: {_place(error)}"
        elif _out_of_memory(error):
            fault = f"refused after memory ran out: {_place(error)}"
    except Exception as error:  # whatever it is, it is a finding
        text = re.sub(r"\d+", "N", str(error)[:200])  # else each number is a fault of its own
        fault = f"{type(error).__name__}: {text!r}: {_place(error)}"
    took = time.process_time() - began
    if fault is None and took > SLOW:
        fault = f"slow: more than {SLOW:g} s"
    return refused, fault


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out behind an error."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or "malloc" in text or "bad_alloc" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException) -> str:
    """Innermost line of the package that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}kinpack{os.sep}" in frame.filename]
    if not ours:
        return "outside"
    return f"{Path(ours[-1].filename).name}, {ours[-1].name}, line {ours[-1].lineno}"


def _work(folder: str, seed: int, only: str | None, board: Board, to: Connection) -> None:
    """What the child does until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native libraries write what they like
    warnings.simplefilter("ignore")
    os.environ["KINPACK_MAX_PIXELS"] = str(_PIXELS)
    all_cases = cases(load_seeds(Path(folder) / "seeds"), Path(folder) / f"folder-{os.getpid()}")
    for case in all_cases.values():  # load what is loaded at the first need
        tried(case, random.Random(0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        for place, name in enumerate(_NAMES):
            if only not in (None, name):
                continue
            until = time.monotonic() + _SLICE
            while time.monotonic() < until:
                number = board.next[place]
                board.next[place] += 1
                board.since.value = time.monotonic()
                board.now.value = place
                refused, fault = tried(all_cases[name], chance_of(seed, name, number))
                counts = board.refused if refused else board.read
                counts[place] += 1
                if fault:
                    to.send((name, number, fault))


class Fuzzing:
    """Runs children one after the other, and gathers what they find.

    Args:
        folder: for the seeds.
        seed: of all chance.
        only: the one sort to try, or all.
        found: told the sort, the number of the case and the fault.
    """

    def __init__(
        self, folder: Path, seed: int, only: str | None, found: Callable[[str, int, str], None]
    ) -> None:
        self.board = Board()
        self.children = 0
        self._arguments = (str(folder), seed, only, self.board)
        self._found = found

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Fuzz for so long, or until Ctrl-C."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._child(until, tell)

    def _child(self, until: float, tell: Callable[[str], None]) -> None:
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        self.board.now.value, self.board.since.value = -1, time.monotonic()
        child = context.Process(target=_work, args=(*self._arguments, sender), daemon=True)
        child.start()
        sender.close()
        self.children += 1
        try:
            while child.is_alive() and time.monotonic() < until:
                self._take(receiver, 0.5)
                tell(f"{sum(self.board.next):,} cases")
                if time.monotonic() - self.board.since.value > _HUNG:
                    self._ended(f"hung for {_HUNG:g} s")
                    return
            self._take(receiver, 0.0)
            if not child.is_alive():
                self._ended(f"the process ended with {child.exitcode}")
        finally:
            child.kill()
            child.join()

    def _take(self, receiver: Connection, wait: float) -> None:
        try:
            while receiver.poll(wait):
                self._found(*receiver.recv())
                wait = 0.0
        except (EOFError, OSError):
            time.sleep(wait)

    def _ended(self, how: str) -> None:
        place = self.board.now.value
        if place < 0:
            raise RuntimeError(f"a child cannot begin: {how}")
        self._found(_NAMES[place], self.board.next[place] - 1, how)


def main() -> None:
    """Fuzz, and write the result file; or do one case again."""
    options = parser(__doc__, "fuzz")
    options.add_argument("--minutes", type=float, default=60.0, help="how long")
    options.add_argument("--only", choices=_NAMES, help="the one sort to try")
    options.add_argument("--case", type=int, help="do this case of --only again")
    chosen = options.parse_args()
    if chosen.case is not None:
        os.environ["KINPACK_MAX_PIXELS"] = str(_PIXELS)
        with tempfile.TemporaryDirectory() as folder:
            case = cases(make_seeds(), Path(folder) / "folder")[chosen.only]
            case(chance_of(chosen.seed, chosen.only, chosen.case))
        return
    # A shell that starts it in the background has Ctrl-C ignored: it is asked for here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trials = Trials("fuzz", chosen)
    faults: dict[str, list[Any]] = {}

    def found(name: str, number: int, fault: str) -> None:
        known = faults.setdefault(f"{name}: {fault}", [0, number])
        known[0] += 1
        if known[0] == 1:
            trials.fail(f"{name}, case {number}: {fault}")

    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        print("making seeds", file=sys.stderr, flush=True)
        make_seeds().save(Path(folder) / "seeds")
        fuzzing = Fuzzing(Path(folder), chosen.seed, chosen.only, found)
        began = time.monotonic()
        try:
            fuzzing.run(60 * chosen.minutes, trials.tell)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
        minutes = round((time.monotonic() - began) / 60, 1)
    board = fuzzing.board
    counts = {
        name: {"cases": read + refused, "refused": refused, "read": read}
        for name, read, refused in zip(_NAMES, board.read, board.refused, strict=True)
    }
    trials.finish(
        {
            "minutes": minutes,
            "processes": fuzzing.children,
            "memory": MEMORY,
            "slow": SLOW,
            "cases": sum(count["cases"] for count in counts.values()),
            "sorts": counts,
            "faults": {text: {"times": n, "case": case} for text, (n, case) in faults.items()},
        }
    )


if __name__ == "__main__":
    main()
