"""What many small commits cost: time and bytes of one-image commits, opening, and compacting them.

    python -m benchmarks.scale.commits --label after [--commits 2000] [--folder DIR] \
        -o benchmarks/results/commits.json

Adds pictures of 16×16 pixels one by one, each in a commit of its own, with the codec `classic`.
The run is put into the result file under its label, beside the runs that are there: a version to
compare with is measured by the same script with that version first on PYTHONPATH. Wall times
depend on the disk, which synchronises several times a commit; processor times stand beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.machine import run_head
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.sources.opening import open_source

SEED = 6
WINDOW = 100


def item(number: int) -> Any:
    """A source of one picture, whose id is its number."""
    pixels = np.random.default_rng([SEED, number]).integers(0, 256, (2, 2, 3), np.uint8)
    source = open_source([np.kron(pixels, np.ones((8, 8, 1), np.uint8))])
    (one,) = source
    return [type(one)(f"{number:06d}", None, one.load)]


def sizes(path: Path) -> dict[str, int]:
    """Files and bytes of each folder of an archive."""
    found: dict[str, int] = {}
    for folder in ("manifests", "segments"):
        files = [file.stat().st_size for file in (path / folder).iterdir()]
        found |= {f"{folder}_files": len(files), f"{folder}_bytes": sum(files)}
    return found


def opening(path: Path) -> dict[str, float]:
    """Milliseconds to open an archive anew, and then to count and to list its images."""
    start = time.perf_counter()
    with Archive.open(path) as archive:
        opened = time.perf_counter()
        images = len(archive.ids)
        listed = time.perf_counter()
    return {
        "open_ms": 1000 * (opened - start),
        "list_ms": 1000 * (listed - opened),
        "images": images,
    }


def measure(path: Path, commits: int) -> dict[str, Any]:
    """Add one by one, then open, then compact where this version can."""
    wall, processor = [], []
    with Archive.create(path, Codec.load("classic")) as archive:
        for number in range(commits):
            source = item(number)
            began, began_processor = time.perf_counter(), time.process_time()
            archive.add(source, quality=50, threads=1)
            wall.append(1000 * (time.perf_counter() - began))
            processor.append(1000 * (time.process_time() - began_processor))
    result: dict[str, Any] = {
        "commits": commits,
        "wall_ms": {
            "first": statistics.median(wall[1 : WINDOW + 1]),
            "last": statistics.median(wall[-WINDOW:]),
            "worst": max(wall),
        },
        "processor_ms": {
            "first": statistics.median(processor[1 : WINDOW + 1]),
            "last": statistics.median(processor[-WINDOW:]),
        },
        "seconds": sum(wall) / 1000,
        **sizes(path),
        **opening(path),
    }
    if hasattr(Archive, "compact"):
        with Archive.open(path) as archive:
            start = time.perf_counter()
            archive.compact()
            compacted = time.perf_counter()
            archive.gc(min_age=0)
            collected = time.perf_counter()
        result["compacted"] = {
            "compact_seconds": compacted - start,
            "gc_seconds": collected - compacted,
            **sizes(path),
            **opening(path),
        }
    return result


def main() -> None:
    """Measure, and write the run into the result file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--label", required=True, help="name of this run in the result file")
    parser.add_argument("--commits", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to make the archive")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(Path(folder) / "many.kin", options.commits)
    runs = json.loads(options.output.read_text()) if options.output.exists() else {}
    runs[options.label] = {**run_head(seed=SEED), **result}
    options.output.write_text(json.dumps(runs, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
