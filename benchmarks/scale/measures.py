"""The steps of the measurements of scale, each in a process of its own that does nothing else."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.measuring.places import module_of
from benchmarks.scale.rivals import CONTENDERS
from benchmarks.scale.rows import SEED, Rows
from benchmarks.scale.stores import Opened
from benchmarks.speed.latency import Took, timed
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError

MARKS = (100_000, 300_000, 1_000_000)
"""Images after which the memory of a writer is noted, and after the last."""

Step: TypeAlias = Callable[[str, str, Path, Path, int, int], dict[str, Any]]
"""What runs a step: its name, the store's, path, file of packets, images, images of an append."""

READS, FEWEST = 20_000, 300
AGAIN, PATIENCE = 9, 8.0
"""How often a step is done again, and the seconds after which that ends."""


def spread(calls: Sequence[Took]) -> dict[str, float]:
    """Number of calls; percentiles and maximum of wall and of processor time, milliseconds."""
    walls = np.array([call.wall for call in calls])
    processor = np.array([call.processor for call in calls])
    return {
        "calls": len(walls),
        "p50_ms": round(float(np.percentile(walls, 50)), 4),
        "p99_ms": round(float(np.percentile(walls, 99)), 4),
        "max_ms": round(float(walls.max()), 4),
        "processor_ms": round(float(np.percentile(processor, 50)), 4),
        "processor_p99_ms": round(float(np.percentile(processor, 99)), 4),
    }


def first(call: Took) -> dict[str, float]:
    """Milliseconds of wall and of processor time that the first call took."""
    return {
        "first_ms": round(call.wall, 3),
        "first_processor_ms": round(call.processor, 3),
    }


def warm(path: Path) -> None:
    """Read all files of a store once, so that none of them comes from the disk."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                while opened.read(1 << 20):
                    pass


def load_libraries(name: str) -> None:
    """Import what a store would import at its first use: how long that takes is not its work."""
    if name == "kinpack":
        importlib.import_module("pyarrow.parquet")
    if name == "lance":
        importlib.import_module("lance")


def again(call: Callable[[], object]) -> list[Took]:
    """Times of a call, made again and again, ``AGAIN`` times or until patience ends."""
    taken: list[Took] = []
    while len(taken) < AGAIN and sum(took.wall for took in taken) < 1000 * PATIENCE:
        taken.append(timed(call))
    return taken


def peak() -> float:
    """Most memory that this process has held so far, in MiB (resident set)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would not tell less than the parent held when it started us
        lines = status.read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib / 1024, 1)


def write(name: str, path: Path, rows: Rows, count: int) -> dict[str, Any]:
    """Make a store: seconds, and the peak of memory on the way."""
    before = peak()
    marks = sorted({*(mark for mark in MARKS if mark < count), count})
    peaks: dict[str, float] = {}

    def note(done: int) -> None:
        for mark in marks:
            if done >= mark and str(mark) not in peaks:
                peaks[str(mark)] = peak()

    took = timed(lambda: CONTENDERS[name].write(path, rows, count, note))
    return {
        "seconds": round(took.wall / 1000, 2),
        "processor_seconds": round(took.processor / 1000, 2),
        "images_per_second": round(1000 * count / took.wall),
        "images_per_processor_second": round(1000 * count / took.processor),
        "peak_mib": {"before": before, **peaks, "end": peak()},
    }


def append(name: str, path: Path, rows: Rows, count: int, more: int) -> dict[str, Any]:
    """Append some images to a store, several times: the first one finds nothing read yet."""
    store = CONTENDERS[name].open(path, rows)
    at = count

    def once() -> None:
        nonlocal at
        store.append(at, more)
        at += more

    began = timed(once)
    later = again(once)
    store.close()
    return {"images": more, **first(began), **spread(later), "total": at}


def read(name: str, path: Path, rows: Rows, count: int) -> dict[str, Any]:
    """Open a store and read one image after the other, in random order, each one checked."""
    contender = CONTENDERS[name]
    opened = timed(lambda: contender.open(path, rows).close())
    opens = again(lambda: contender.open(path, rows).close())
    store = contender.open(path, rows)
    rng = np.random.default_rng(SEED)
    taken: list[Took] = []
    until = time.perf_counter() + PATIENCE
    for number in rng.integers(count, size=READS + 1).tolist():
        image = rows.name(number)
        began, began_processor = time.perf_counter(), time.process_time()
        payload = store.read(image)
        wall, processor = time.perf_counter() - began, time.process_time() - began_processor
        taken.append(Took(1000 * wall, 1000 * processor))
        if payload != rows.packet(number).payload:
            raise KinpackError(f"{name}: image {image} has another payload than was written")
        if len(taken) == 1:  # the first read may take long
            until = time.perf_counter() + PATIENCE
        elif len(taken) > FEWEST and time.perf_counter() > until:
            break
    store.close()
    return {
        "open": {**first(opened), **spread(opens)},
        "read": {**first(taken[0]), **spread(taken[1:])},
        "peak_mib": peak(),
        "version": library_version(name),
    }


def library_version(name: str) -> str:
    """Version of the library that a store is, or is read by."""
    if name == "sqlite":
        return sqlite3.sqlite_version
    if name == "lance":
        return version("pylance")
    return version("kinpack") if name == "kinpack" else platform.python_version()


def scan(name: str, path: Path, rows: Rows, count: int) -> dict[str, Any]:
    """Open a store and find the ten nearest codes to one, for several."""
    queries = iter(np.random.default_rng(SEED).integers(count, size=AGAIN + 1).tolist())
    found: list[list[str]] = []
    store: Opened | None = None

    def begin() -> None:
        nonlocal store
        store = CONTENDERS[name].open(path, rows)
        found.append(store.nearest(next(queries)))

    began = timed(begin)
    if store is None:
        raise KinpackError(f"{name}: it was not opened")
    nearest = store.nearest
    later = again(lambda: found.append(nearest(next(queries))))
    store.close()
    return {**first(began), **spread(later), "found": found, "peak_mib": peak()}


def decode(rows: Rows) -> dict[str, Any]:
    """Decode the packets that were encoded, one at a time: a codec's work, the same everywhere."""
    codec = Codec.load("classic")
    taken = [timed(partial(codec.decode, [packet])) for packet in rows.packets]
    return spread(taken[1:] or taken)


def size(path: Path) -> dict[str, int]:
    """Files of a store, bytes in them, and bytes that the file system set aside for them."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    stats = [file.stat() for file in files]
    return {
        "files": len(files),
        "bytes": sum(stat.st_size for stat in stats),
        "allocated": sum(512 * stat.st_blocks for stat in stats),
    }


def measure_all(
    folder: Path,
    packets: Path,
    sizes: Mapping[str, int],
    *,
    append: int,
    log: Callable[[str], None],
    run: Step | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    former: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure stores, one after the other; each is removed when it has been.

    Args:
        folder: where to make them.
        packets: file of the packets.
        sizes: images of each store, by its name.
        append: images of an append.
        log: told what is being measured.
        run: what runs a step; by default ``run_step``.
        save: given what has been measured, after each store.
        former: rows of stores that were measured before, and are not measured again.

    Returns:
        JSON values: ``decoding``, and ``rows`` by the store's name.

    Raises:
        KinpackError: a step failed, or stores do not find the same.
    """
    run = run or run_step
    rows: dict[str, Any] = {}
    result = {"decoding": run("decode", "", folder, packets, 0, 0), "rows": rows}
    found: dict[int, list[list[str]]] = {}
    for name, count in sizes.items():
        if former and name in former:
            rows[name] = former[name]
            continue
        contender = CONTENDERS[name]
        head = {"title": contender.title, "note": contender.note, "images": count}
        if name == "lance" and importlib.util.find_spec("lance") is None:
            rows[name] = {**head, "missing": "the package pylance is not installed"}
            continue
        path = folder / f"{name}.store"

        def step(which: str, *, store: Path = path, of: str = name, images: int = count) -> Any:
            values = run(which, of, store, packets, images, append)
            log(f"{of}: {which}: { ({**values, 'found': None}) }")
            return values

        row = {**head, "write": step("write"), "size": size(path)}
        payloads = Rows(packets).payload_bytes(count)
        row["size"]["bytes_per_image"] = round(row["size"]["bytes"] / count, 3)
        row["size"]["over_payload"] = round((row["size"]["bytes"] - payloads) / count, 3)
        row |= step("read")
        row["scan"] = step("scan")
        row["append"] = step("append")
        hits = row["scan"].pop("found")
        known = found.setdefault(count, hits)
        if any(ours != theirs for ours, theirs in zip(known, hits, strict=False)):
            raise KinpackError(f"{name}: a scan finds other images than one of another store")
        rows[name] = row
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if save:
            save(result)
    return result


def run_step(
    step: str, name: str, path: Path, packets: Path, count: int, more: int
) -> dict[str, Any]:
    """Do a step in a new process.

    Args:
        step: its name.
        name: of the store.
        path: where it lies.
        packets: file of the packets.
        count: images of the store.
        more: images of an append.

    Raises:
        KinpackError: it failed; its output has been shown.
    """
    words = [step, "--store", name, "--path", str(path), "--packets", str(packets)]
    words += ["--images", str(count), "--append", str(more)]
    command = [sys.executable, "-m", module_of(__file__), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise KinpackError(f"{name}: {step} ended with exit code {done.returncode}")
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


def do_step(
    step: str, name: str, path: Path, packets: Path, count: int, more: int
) -> dict[str, Any]:
    """Do a step in this process; arguments as those of ``run_step``."""
    rows = Rows(packets)
    if step == "decode":
        return decode(rows)
    load_libraries(name)
    if step != "write":
        warm(path)
    if step == "append":
        return append(name, path, rows, count, more)
    return {"write": write, "read": read, "scan": scan}[step](name, path, rows, count)


def main() -> None:
    """Do one step, and print what it measured."""
    parser = argparse.ArgumentParser(
        description="Do one step of benchmarks/scale/archive_scale.py."
    )
    parser.add_argument("step", choices=("write", "append", "read", "scan", "decode"))
    parser.add_argument("--store", required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--packets", type=Path, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--append", type=int, required=True)
    it = parser.parse_args()
    print(json.dumps(do_step(it.step, it.store, it.path, it.packets, it.images, it.append)))


if __name__ == "__main__":
    main()
