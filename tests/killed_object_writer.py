"""Writes archives in an object store in child processes that are killed.

Run by test_object_faults.py. Reads one JSON request a line: ``verb`` (create, add or purge) and
``address``. Answers each with the child's number, and when it has ended with its exit status.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import pyarrow as pa
import pyarrow.parquet

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.segments import segment_stream

OLD, NEW = 3, 6
PURGED = "set/00001"


def write(verb: str, address: str) -> None:
    """Create an archive of ``OLD`` pictures, add ``NEW`` to it in segments of 3, or purge one."""
    segment_stream.ROWS = 3
    codec = FakeCodec()
    if verb == "create":
        with Archive.create(address, codec) as archive:
            archive.add(pictures(OLD), batch=3)
    else:
        with Archive.open(address, codec=codec) as archive:
            if verb == "purge":
                archive.remove([PURGED], purge=True)
            else:
                archive.add(pictures(NEW, first=OLD), batch=3)


def serve() -> None:
    for name in ("kinpack.archive.stores.object_store", "obstore.store"):
        import_module(name)  # now, so that the children need not
    pa.array([1])  # imports pandas where there is one, so that the children need not
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            write(request["verb"], request["address"])
            os._exit(0)
        print(child, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
