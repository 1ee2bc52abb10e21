"""What the server withstands: processor time of a stored thumbnail, and a thousand connections.

    python -m benchmarks.seeing.server [--results FILE]

The server is a process of its own, with one worker. First stored thumbnails are asked for one after
the other, over a connection that stays. Then a thousand connections are open at a time: 700 ask for
images as they should, 150 send their request letter by letter, 100 send what is no HTTP, or hang up
in the midst, and 50 read their answer a few bytes at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.archive.archive import Archive
from kinpack.demo.pictures import Drawings

RESULTS = Path("benchmarks/results/server.json")
SEED = 0
REQUESTS = 5000
GOOD, SLOW, BROKEN, SIPPING = 700, 150, 100, 50
EACH = 10
"""Requests of each connection that behaves."""


@contextmanager
def serving(path: Path) -> Iterator[tuple[int, int]]:
    """A server of an archive: its process and port."""
    command = [sys.executable, "-m", "kinpack", "serve", str(path), "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            address = json.loads(line)["addresses"][0]
            yield process.pid, int(address.split(":")[2].split("/")[0])
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far, of the user and of the system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def one_by_one(pid: int, port: int, ids: list[str]) -> dict[str, float]:
    """Ask for stored thumbnails one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    waits: list[float] = []
    for count in (500, REQUESTS):  # the first ones load what is loaded once
        begun = processor_seconds(pid)
        waits.clear()
        for n in range(count):
            at = time.perf_counter()
            connection.request("GET", f"/drawings/images/{ids[n % len(ids)]}")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{ids[n % len(ids)]}: {answer.status}")
            waits.append(time.perf_counter() - at)
    spent = processor_seconds(pid) - begun
    p50, p99 = np.quantile(waits, [0.5, 0.99]) * 1000
    connection.close()
    return {
        "requests": REQUESTS,
        "processor_ms_each": round(spent / REQUESTS * 1000, 3),
        "wait_ms_median": round(float(p50), 2),
        "wait_ms_p99": round(float(p99), 2),
    }


async def behaved(port: int, ids: list[str], number: int) -> list[float]:
    """Ask for images over one connection, and see that each is there, whole."""
    waits = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for n in range(EACH):
            name = ids[(number * EACH + n) % len(ids)]
            at = time.perf_counter()
            request = f"GET /drawings/images/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith("http/1.1 200") or body[4:8] != b"ftyp":
                raise RuntimeError(f"{name}: {head[:40]}")
            waits.append(time.perf_counter() - at)
            await asyncio.sleep(0.05)
    finally:
        writer.close()
    return waits


async def slow(port: int, ids: list[str], ended: asyncio.Event) -> None:
    """Send a request letter by letter."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for letter in f"GET /drawings/images/{ids[0]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 40:
        if ended.is_set():
            break
        writer.write(letter.encode())
        await asyncio.sleep(0.1)
    writer.close()


async def broken(port: int, number: int, ended: asyncio.Event) -> None:
    """Send what is no HTTP, or hang up in the midst, again and again."""
    rng = np.random.default_rng([SEED, number])
    while not ended.is_set():
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        kinds = (
            rng.bytes(200),
            b"GET /drawings/images/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
            b"POST /drawings/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n{",
            b"GET /drawings/files/ HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=",
        )
        writer.write(kinds[number % len(kinds)])
        await asyncio.sleep(float(rng.uniform(0.02, 0.3)))
        writer.transport.abort()


async def sipping(port: int, ended: asyncio.Event) -> None:
    """Ask for a large file, and read its answer a few bytes at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /drawings/worker.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    while not ended.is_set():
        await reader.read(16)
        await asyncio.sleep(0.1)
    writer.close()


async def thousand(port: int, ids: list[str]) -> dict[str, Any]:
    """A thousand connections at a time; what became of the well-behaved."""
    ended = asyncio.Event()
    others: list[Awaitable[None]] = [
        *(slow(port, ids, ended) for _ in range(SLOW)),
        *(broken(port, n, ended) for n in range(BROKEN)),
        *(sipping(port, ended) for _ in range(SIPPING)),
    ]
    tasks = [asyncio.ensure_future(one) for one in others]
    await asyncio.sleep(1)
    good = [behaved(port, ids, n) for n in range(GOOD)]
    found = await asyncio.gather(*good, return_exceptions=True)
    ended.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    failures = [repr(one) for one in found if isinstance(one, BaseException)]
    waits = [wait for one in found if isinstance(one, list) for wait in one]
    return {
        "well_behaved": GOOD,
        "slow": SLOW,
        "broken": BROKEN,
        "sipping": SIPPING,
        "requests": len(waits),
        "failures": len(failures),
        "first_failure": failures[0] if failures else None,
        "wait_ms_median": round(float(np.median(waits)) * 1000, 1),
        "wait_ms_p99": round(float(np.quantile(waits, 0.99)) * 1000, 1),
    }


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "drawings.kin"
        with Archive.create(path, "classic", describer="classic") as archive:
            archive.add(Drawings(each=12))
            ids = [one.id for one in archive.entries() if one.kind.name == "AVIF"]
            stored = np.mean([one.length for one in archive.entries()])
        with serving(path) as (pid, port):
            told = {
                "images": len(ids),
                "payload_bytes_mean": round(float(stored)),
                "one_by_one": one_by_one(pid, port, ids),
                "thousand_connections": asyncio.run(thousand(port, ids)),
            }
    print(json.dumps(told, indent=2))
    save_results(options.results, {**run_head(seed=SEED), **told})


if __name__ == "__main__":
    main()
