"""Compare the calls that the trials see with those that the kernel sees.

    python -m reliability.census

`reliability.faults`, `kills` and `power_cuts` work on the calls that `reliability.calls` shows
them: Python's own. A call that a library made by itself (pyarrow, zipfile, zlib) would escape them.
So every act is done once under `strace`, and once more with its calls shown; both must give the
same changing calls on the same files in the same order. It needs Linux, strace and leave to trace.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from reliability.acts import ACTS, Act, segments_of
from reliability.calls import Call, Perform, watched
from reliability.kills import in_child, status_of
from reliability.report import Trials, parser

TRACED = {
    "open": "open", "openat": "open", "creat": "open", "openat2": "open",
    "write": "write", "pwrite64": "write", "writev": "write", "pwritev": "write",
    "pwritev2": "write", "sendfile": "write", "copy_file_range": "write", "splice": "write",
    "truncate": "truncate", "ftruncate": "truncate", "fallocate": "truncate",
    "fsync": "fsync", "fdatasync": "fsync", "sync_file_range": "fsync", "msync": "fsync",
    "link": "link", "linkat": "link", "symlink": "link", "symlinkat": "link",
    "rename": "rename", "renameat": "rename", "renameat2": "rename",
    "mkdir": "mkdir", "mkdirat": "mkdir", "mknod": "mkdir", "mknodat": "mkdir",
    "unlink": "unlink", "unlinkat": "unlink", "rmdir": "rmdir",
    "mmap": "mmap", "chmod": "chmod", "fchmod": "chmod", "fchmodat": "chmod",
}  # fmt: skip
"""Calls of the kernel that change files, and what the trials call them."""

_LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)")
_BEGUN = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NAMED = re.compile(r"<([^>]*)>")
_RANDOM = re.compile(r"[0-9a-f]{32}")


class Seen:
    """A handler that notes what changes files."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, call: Call, perform: Perform) -> Any:
        """Make the call, and note it."""
        result = perform()
        if call.changes:
            self.calls.append((call.name, call.path))
        return result


def _plain(calls: list[tuple[str, str]], folder: Path) -> list[str]:
    """Calls with paths below the folder, random names left out."""
    root = str(folder.resolve())
    return [f"{name} {_RANDOM.sub('*', os.path.relpath(path, root))}" for name, path in calls]


def shown(act: Act, folder: Path) -> list[str]:
    """The changing calls of an act, as the trials see them."""
    seen = Seen()
    with watched(folder, seen):
        act.run(folder)
    return _plain(seen.calls, folder)


def traced(act: Act, folder: Path, log: Path) -> list[str]:
    """The changing calls of an act on files below a folder, as the kernel sees them.

    Raises:
        OSError: strace is missing, or may not trace.
    """
    go = folder.parent / "go"

    def work() -> None:
        while not go.exists():
            time.sleep(0.01)
        act.run(folder)

    child = in_child(work)
    words = ["strace", "-f", "-y", "-s", "4096", "-o", str(log), "-p", str(child)]
    words += ["-e", "trace=" + ",".join(sorted({f"?{name}" for name in TRACED}))]
    try:
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            first = tracer.stderr.readline() if tracer.stderr else ""
            if "attached" not in first:
                raise OSError(first.strip())
            go.touch()
            tracer.wait()
    except OSError:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        status_of(child)
        go.unlink(missing_ok=True)
    return _plain(list(calls_of(log.read_text(), str(folder.resolve()))), folder)


def calls_of(text: str, root: str) -> list[tuple[str, str]]:
    """The calls of a log that succeeded on files below a folder."""
    calls = []
    for line in _whole(text.splitlines()):
        match = _LINE.match(line)
        if match is None or match[4].startswith("-"):
            continue
        name, arguments = TRACED[match[2]], match[3]
        if name == "open" and "O_CREAT" not in arguments and "O_TRUNC" not in arguments:
            continue
        if name == "mmap" and not ("PROT_WRITE" in arguments and "MAP_SHARED" in arguments):
            continue
        at = _NAMED.search(arguments.partition(",")[0])
        if name in ("write", "truncate", "fsync", "mmap"):
            path = at[1] if at else ""
        else:
            quoted = _QUOTED.search(arguments)
            path = os.path.join(at[1] if at else "", quoted[1] if quoted else "")  # noqa: PTH118
            path = os.path.normpath(path)
        if name == "unlink" and "AT_REMOVEDIR" in arguments:
            name = "rmdir"
        if path == root or path.startswith(root + "/"):
            calls.append((name, path))
    return calls


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a log, those in one that another thread's call had cut in two."""
    begun: dict[str, str] = {}
    for line in lines:
        if match := _BEGUN.match(line):
            begun[match[1]] = match[2]
        elif match := _RESUMED.match(line):
            yield f"{match[1]} {begun.pop(match[1], '')}{match[2]}"
        else:
            yield line


def main() -> None:
    """Run the comparison, and write the result file."""
    chosen = parser(__doc__, "census").parse_args()
    trials = Trials("census", chosen)
    pa.array([1])
    counts: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name, segments_of(3):
        place = Path(name)
        for act in ACTS.values():
            (place / "warm").mkdir()
            act.outcomes(place / "warm")  # imports all that it needs
            shutil.rmtree(place / "warm")
            lists = []
            for way in (shown, traced):
                folder = place / "work"
                folder.mkdir()
                act.prepare(folder)
                more = (place / "log",) if way is traced else ()
                lists.append(way(act, folder, *more))
                shutil.rmtree(folder)
            if lists[0] != lists[1]:
                trials.fail(f"{act.name}: shown {lists[0]}, traced {lists[1]}")
            counts[act.name] = dict(Counter(call.split()[0] for call in lists[1]))
    total = sum(sum(of_act.values()) for of_act in counts.values())
    trials.finish({"changing_calls": total, "acts": counts})


if __name__ == "__main__":
    main()
