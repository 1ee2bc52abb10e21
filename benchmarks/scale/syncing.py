"""What `kinpack sync` takes of a folder of many files, unchanged and after changes.

    python -m benchmarks.scale.syncing [--files 100000] -o benchmarks/results/syncing.json

Makes pictures of 8 × 8 pixels in folders of a thousand, packs them with size, time and hash, and
lets the archive follow: nothing changed, a folder renamed, a thousand files changed, a hundred
gone, and all with other times, as another machine has them. Each is a command in a process of its
own; what is told is time on the clock and on the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results

SEED = 6
IN_A_FOLDER = 1000
CHANGED, GONE = 1000, 100
ROUNDS = 3


def write_picture(path: Path, number: int) -> None:
    """Write a picture of 8 × 8 pixels, another one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng((SEED, number)).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)


def place(folder: Path, number: int) -> Path:
    """Where a picture lies."""
    return folder / f"{number // IN_A_FOLDER:04}" / f"{number:07}.png"


def commanded(*words: str | Path) -> dict[str, Any]:
    """Run a command of kinpack; what it took, and what it says of itself."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "kinpack", *map(str, words), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout)
    lists = ("new", "changed", "renamed", "touched", "gone")
    return {
        "seconds": round(seconds, 2),
        "processor_s": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2
        ),
        "unchanged": told.get("unchanged", 0),
        **{name: len(told.get(name, ())) for name in lists},
    }


def measure(folder: Path, files: int) -> list[dict[str, Any]]:
    """Make the files, pack them, and let the archive follow changes of them.

    Args:
        folder: an empty one to work in.
        files: how many.

    Returns:
        JSON values of every command.
    """
    photos, archive = folder / "photos", folder / "photos.kin"
    for number in range(files):
        write_picture(place(photos, number), number)

    def unchanged() -> None:
        pass

    def rename() -> None:
        first = place(photos, 0).parent
        first.rename(first.with_name("renamed"))

    def change() -> None:
        for number in range(files - min(CHANGED, files // 10), files):
            write_picture(place(photos, number), files + number)

    def remove() -> None:
        for number in range(files // 2, files // 2 + min(GONE, files // 10)):
            place(photos, number).unlink()

    def touch() -> None:
        for path in photos.rglob("*.png"):
            os.utime(path, (1_000_000_000, 1_000_000_000))

    commanded(
        *("pack", photos, "-o", archive, "--codec", "classic", "--describer", "none"),
        *("--columns", "file,hash", "--effort", "fast"),
    )
    acts: list[tuple[str, Callable[[], None]]] = [
        *((f"unchanged, run {one + 1}", unchanged) for one in range(ROUNDS)),
        ("a folder renamed", rename),
        ("some changed", change),
        ("some gone", remove),
        ("all with other times", touch),
        ("unchanged again", unchanged),
    ]
    rows = []
    for what, act in acts:
        act()
        rows.append(
            {"what": what, "files": files, **commanded("sync", archive, photos, "--delete")}
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.files)
    if options.output:
        load = {"load_average": round(os.getloadavg()[0], 1)}
        save_results(options.output, {"run": run_head(seed=SEED) | load, "syncing": rows})


if __name__ == "__main__":
    main()
