"""How much slower kinpack is where constriction, onnxruntime or both cannot be installed.

    python -m benchmarks.speed.without_engines --photographs DIR
        -o benchmarks/results/without_engines.json

Square thumbnails of photographs, learned payloads alone, one thread, each way in a process of its
own; images a second of processor time, the best of three repetitions that go round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.data import square_thumbnail
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from benchmarks.measuring.result_file import save_results
from kinpack.codec.codec import Codec
from kinpack.describers.describer import Describer
from kinpack.sources.opening import open_source

WAYS: tuple[tuple[str, ...], ...] = (
    (),
    ("constriction",),
    ("onnxruntime",),
    ("constriction", "onnxruntime"),
)
SIDE = 128
REPETITIONS = 3


def measure(photographs: Path, images: int) -> dict[str, float]:
    """Images a second of processor time, in this process, for each thing that is done."""
    items = list(open_source(photographs))[:images]
    small = [square_thumbnail(item.load(), SIDE) for item in items]
    codec, describer = Codec.load("default", threads=1), Describer.load("photo")
    packets = codec.encode(small, classic="never", threads=1)
    acts: dict[str, Callable[[], object]] = {
        "encode": lambda: codec.encode(small, classic="never", threads=1),
        "decode": lambda: codec.decode(packets, threads=1),
        "describe": lambda: describer.describe(small),
    }
    best = dict.fromkeys(acts, float("inf"))
    for _ in range(REPETITIONS):
        for name, act in acts.items():
            begin = time.process_time()
            act()
            best[name] = min(best[name], time.process_time() - begin)
    return {name: round(images / seconds, 2) for name, seconds in best.items()}


def main() -> None:
    """Measure each way in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("-o", "--output", type=Path, help="the .json to write")
    parser.add_argument("--without", nargs="*", help="measure here, without these packages")
    arguments = parser.parse_args()
    if arguments.without is not None:
        sys.modules.update(dict.fromkeys(arguments.without))
        print(json.dumps(measure(arguments.photographs, arguments.images)))
        return
    rows: list[dict[str, Any]] = []
    for way in WAYS:
        words = ["--photographs", str(arguments.photographs), "--images", str(arguments.images)]
        command = [sys.executable, "-m", module_of(__file__), *words, "--without", *way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({"without": list(way), **json.loads(done.stdout)})
        print(json.dumps(rows[-1]), flush=True)
    head = {"images": arguments.images, "side": SIDE, "unit": "images a second of processor time"}
    save_results(arguments.output, {**run_head(seed=0), **head, "rows": rows})


if __name__ == "__main__":
    main()
