"""What an archive of a million images does, beside SQLite, Lance, a zip file and a folder of files.

    python -m benchmarks.scale.archive_scale [--cifar DIR] [--parts stores kills commits] \
        [--images 1000000] [--commits 10000] -o benchmarks/results/archive.json

Real packets are made once, of a few thousand pictures, with the codec `classic`; each image gets
one of them, varied by its number (`scale_rows`), and every store keeps the same bytes. So the work
of the stores is measured, not that of a codec. Parts: `stores` writes, appends to, opens, reads and
scans each of them, every step in a process of its own; `kills` kills a process that appends to it;
`commits` adds images to an archive one by one, and compacts it. A part that is measured takes the
place of its former result; the others stay. With --resume an output file of a run that was cut off
is gone on with: the parts, and of the first the stores, that it has are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measuring.machine import run_head
from benchmarks.pages.scale_table import print_result
from benchmarks.scale import commits
from benchmarks.scale.kills import kill_all
from benchmarks.scale.measures import measure_all
from benchmarks.scale.rows import SEED, make_packets
from kinpack.errors import KinpackError

PARTS = ("stores", "kills", "commits")
STORES = ("kinpack", "sqlite", "folder", "lance", "zip")


Save: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Puts what was measured of a part, even if it is not whole yet, into the result file."""


def measure(
    options: argparse.Namespace,
    folder: Path,
    log: Callable[[str], None],
    save: Save,
    former: Mapping[str, dict[str, Any]],
) -> None:
    """Measure the parts that are asked for.

    Args:
        options: the arguments.
        folder: where stores are made, and removed again.
        log: told what is being measured.
        save: given what has been measured.
        former: what was measured before, by part; of these only stores that are missing are
            measured.
    """
    packets = folder / "packets.npz"
    made: dict[str, Any] = {}
    if set(options.parts) & {"stores", "kills"}:
        log("encoding the packets")
        made = {"packets": make_packets(packets, count=options.packets, cifar=options.cifar)}
    if "stores" in options.parts:
        sizes = dict.fromkeys(options.stores, options.images)
        if "folder" in sizes:
            sizes["folder"] = min(options.files, options.images)
        measure_all(
            folder,
            packets,
            sizes,
            append=options.append,
            log=log,
            save=lambda found: save("stores", {**made, **found}),
            former=former.get("stores", {}).get("rows"),
        )
    if "kills" in options.parts and "kills" not in former:
        found = kill_all(folder, packets, options.stores, kills=options.kills, log=log)
        save("kills", {**made, **found})
    if "commits" in options.parts and "commits" not in former:
        log(f"{options.commits} commits of one image")
        save("commits", commits.measure(folder / "many.kin", options.commits))


def saver(output: Path) -> Save:
    """What puts parts into a result file, each under a head that says how it was measured."""
    output.parent.mkdir(parents=True, exist_ok=True)

    def save(part: str, found: dict[str, Any]) -> None:
        load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
        # Read only now: another part may have been measured meanwhile.
        former = json.loads(output.read_text()) if output.exists() else {}
        result = {**former, part: {**run_head(seed=SEED), "load": load, **found}}
        ordered = {name: result[name] for name in PARTS if name in result}
        temporary = output.with_name(f".{output.name}.tmp")
        temporary.write_text(json.dumps(ordered, indent=2) + "\n")
        temporary.replace(output)

    return save


def arguments() -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--images", type=int, default=1_000_000, help="in each store")
    parser.add_argument("--files", type=int, default=100_000, help="files in the folder, at most")
    parser.add_argument("--append", type=int, default=1000, help="images of an append")
    parser.add_argument("--packets", type=int, default=2000, help="real packets to make")
    parser.add_argument("--commits", type=int, default=10_000, help="of one image each")
    parser.add_argument("--kills", type=int, default=20, help="of each store's writer")
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as Parquet files; "
                        "else the pictures of the packets are made up")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where to make the stores")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Measure, and put each part into the result file."""
    options = arguments()
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            log = partial(print, flush=True)
            resumed = options.resume and options.output.exists()
            former = json.loads(options.output.read_text()) if resumed else {}
            measure(options, Path(folder), log, saver(options.output), former)
    except KinpackError as error:
        sys.exit(f"archive_scale: {error}")
    print_result(json.loads(options.output.read_text()))


if __name__ == "__main__":
    main()
