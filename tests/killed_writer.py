"""Writes archives in child processes that are killed; run by test_archive_kill.py.

Reads one JSON request a line: ``verb`` (create or add), ``path``, and when to kill: ``call`` (by
SIGKILL at that call to the system, counted from 0, even before it and odd after it), or ``delay``
(seconds). Answers each with the child's exit status: 0, or minus the signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from fake_codec import FakeCodec, pictures
from kinpack.archive import noreplace, segment
from kinpack.archive.archive import Archive

OLD, NEW = 3, 6
CALLS = ("open", "write", "fsync", "link", "mkdir", "unlink")


def write(verb: str, path: Path) -> None:
    """Create an archive of ``OLD`` pictures, or add ``NEW`` to it, in segments of 3."""
    segment.ROWS = 3
    codec = FakeCodec()
    if verb == "create":
        with Archive.create(path, codec) as archive:
            archive.add(pictures(OLD), batch=3)
    else:
        with Archive.open(path, codec=codec) as archive:
            archive.add(pictures(NEW, first=OLD), batch=3)


def kill_at(moment: int) -> None:
    """Make the ``moment // 2``-th call from now the last: before it, or (odd) after it."""
    count = 0

    def watched(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            this = count
            count += 1
            if this == moment // 2 and moment % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return original(*arguments, **options)
            finally:
                if this == moment // 2:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))
    noreplace._rename_call = watched(noreplace._rename_call)


def serve() -> None:
    pa.array([1])  # imports pandas where there is one, so that the children need not
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            if request.get("call") is not None:
                kill_at(request["call"])
            write(request["verb"], Path(request["path"]))
            os._exit(0)
        if request.get("delay") is not None:
            time.sleep(request["delay"])
            os.kill(child, signal.SIGKILL)  # still ours, if only to be waited for
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
