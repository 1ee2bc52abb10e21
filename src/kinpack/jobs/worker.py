"""A worker: the loop of a process that does one sort of work, task by task, until it is let go."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO

_HEAD = struct.Struct("<Q")

READY, MOVED, DONE, FAILED = "ready", "moved", "done", "failed"
"""What a worker says: it can begin; some things are done; all of them; or a task failed."""


def send(stream: BinaryIO, value: Any) -> None:
    """Write a value to a pipe.

    Raises:
        Exception: it does not pickle, or the other end is gone (``OSError``).
    """
    send_bytes(stream, pickle.dumps(value, protocol=5))


def send_bytes(stream: BinaryIO, data: bytes) -> None:
    """Write a value that is pickled already."""
    stream.write(_HEAD.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive_bytes(stream: BinaryIO) -> bytes:
    """Read a pickled value.

    Raises:
        EOFError: the other end is gone.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    data = stream.read(_HEAD.unpack(head)[0])
    if len(data) < _HEAD.unpack(head)[0]:
        raise EOFError
    return data


def receive(stream: BinaryIO) -> Any:
    """Read a value that our own process on the other end has pickled; raises as above."""
    return pickle.loads(receive_bytes(stream))  # noqa: S301 (of our own process)


def main() -> None:
    """Read the work, then tasks, from standard input, and write what comes of them."""
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began us ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    source = sys.stdin.buffer

    def read() -> None:
        while True:
            try:
                tasks.put(receive_bytes(source))
            except (EOFError, OSError, ValueError):
                os._exit(0)  # nobody waits for what is under way

    threading.Thread(target=read, daemon=True).start()
    work = pickle.loads(tasks.get())  # noqa: S301 (of our own process)
    send(answers, (READY, None))
    while True:
        data = tasks.get()
        try:
            things: Sequence[Any] = pickle.loads(data)  # noqa: S301 (of our own process)
            answer = pickle.dumps(
                (DONE, work(things, lambda count: send(answers, (MOVED, count)))), protocol=5
            )
        except Exception as error:
            answer = _failure(error)
        send_bytes(answers, answer)


def _failure(error: Exception) -> bytes:
    """An error as it is sent: one that does not pickle as its text."""
    with suppress(Exception):
        data = pickle.dumps((FAILED, error), protocol=5)
        pickle.loads(data)  # noqa: S301 (just made)
        return data
    return pickle.dumps((FAILED, RuntimeError(f"{type(error).__name__}: {error}")), protocol=5)
