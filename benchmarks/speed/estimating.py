"""What `kinpack estimate` takes of a folder of many files of a camera's size.

    python -m benchmarks.speed.estimating [--files 20000] -o benchmarks/results/estimating.json

Makes a few JPEG files of 12 megapixels, soft clouds with a sensor's noise, and as many names as
there are to be files for them, by hard links. Each estimate is a command in a process of its own;
what is told is time of its processor, user and system, and by the clock.
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
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results

SEED = 6
WIDTH, HEIGHT = 4000, 3000
ASKED = (("default codec, whole",), ("default codec, 256", "--size", "256"))
CLASSIC = (("classic, whole", "--codec", "classic"),)


def make(
    folder: Path, files: int, shapes: int = 8, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """Make a folder of so many names for a few pictures."""
    rng = np.random.default_rng(SEED)
    many = folder / "many"
    many.mkdir()
    for shape in range(shapes):
        clouds = PIL.Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8))
        pixels = np.asarray(clouds.resize(size, PIL.Image.Resampling.BICUBIC), np.int16)
        noise = rng.normal(0, 6, (*pixels.shape[:2], 1)).astype(np.int16)
        picture = PIL.Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{shape}.jpg", quality=90)
    for number in range(files):
        os.link(folder / f"{number % shapes}.jpg", many / f"{number:06}.jpg")
    return many


def measure(many: Path) -> list[dict[str, Any]]:
    """Estimate a folder in several ways; JSON values of each."""
    rows = []
    for what, *options in (*ASKED, *CLASSIC):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-m", "kinpack", "estimate", str(many), *options, "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        told = json.loads(done.stdout)
        rows.append(
            {
                "what": what,
                "files": told["pictures"],
                "tried": told["tried"],
                "processor_s": round(spent, 2),
                "seconds": round(seconds, 2),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(make(Path(folder), options.files))
    if options.output:
        load = {"load_average": round(os.getloadavg()[0], 1)}
        save_results(options.output, {"run": run_head(seed=SEED) | load, "estimating": rows})


if __name__ == "__main__":
    main()
