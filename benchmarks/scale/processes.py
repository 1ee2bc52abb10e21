"""Packing by several processes: the wall and the processor's time of one, and of two.

    python -m benchmarks.scale.processes --photographs DIR [--images 2000] [--side 256] \
        [--ways one-thread one two ray dask] [--rounds 2] -o benchmarks/results/processes.json

Pictures are crops of photographs, flipped and shifted so that none repeats, as JPEG files of
quality 92. Each way packs all of them with the command, once each round; the shortest wall time and
the least processor time of each count, those of all its processes together. ``one-thread`` is one
process with one thread, ``one`` one process with as many threads as suit it, ``two`` two processes;
``ray`` and ``dask`` are two workers of a cluster that the command begins. All ways must give the
same ids, in the same order, with the same payloads. ``speed_up`` is the wall time of ``one`` over
that of a way, ``speed_up_over_one_thread`` likewise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.archive.archive import Archive

SEED = 20
WAYS = {
    "one-thread": ("--jobs", "1", "--threads", "1"),
    "one": ("--jobs", "1"),
    "two": ("--jobs", "2"),
    "ray": ("--jobs", "2", "--engine", "ray"),
    "dask": ("--jobs", "2", "--engine", "dask"),
}


def make_pictures(photographs: Path, folder: Path, count: int, side: int) -> None:
    """Write crops of photographs, flipped at random."""
    rng = np.random.default_rng(SEED)
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    files = sorted(one for one in photographs.rglob("*") if one.suffix.lower() in suffixes)
    if not files:
        sys.exit(f"{photographs}: no photographs; name a folder that has some")
    folder.mkdir()
    each = -(-count // len(files))
    made = 0
    for file in files:
        with Pillow.open(file) as opened:
            picture = opened.convert("RGB")
        longest = 4 * side
        picture.thumbnail((longest, longest), Pillow.Resampling.LANCZOS)
        if min(picture.size) < side:
            continue
        for _ in range(each):
            if made == count:
                return
            left = int(rng.integers(picture.width - side + 1))
            top = int(rng.integers(picture.height - side + 1))
            crop = picture.crop((left, top, left + side, top + side))
            if rng.integers(2):
                crop = crop.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
            crop.save(folder / f"{made:06}.jpg", quality=92)
            made += 1
    if made < count:
        sys.exit(f"{photographs}: only {made} pictures came of it; name a larger folder")


def packed(pictures: Path, archive: Path, words: tuple[str, ...]) -> dict[str, float]:
    """Pack with the command; seconds of the wall, and of the processor in all its processes."""
    command = [sys.executable, "-m", "kinpack", "pack", pictures, "-o", archive, "--quiet", *words]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(word) for word in command], check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "processor": spent}


def fingerprint(archive: Path) -> dict[str, Any]:
    """What must be the same of an archive: ids and payloads, in order; and its segments."""
    found = hashlib.sha256()
    with Archive.open(archive) as opened:
        for batch in opened.snapshot.batches(256):
            for entry, packet in batch:
                found.update(f"{entry.id}\0{packet.kind}\0{packet.quality}\0".encode())
                found.update(packet.payload)
        return {
            "images": len(opened),
            "content": found.hexdigest(),
            "segments": len(opened.manifest.segments),
            "bytes": opened.manifest.bytes_on_disk,
        }


def main() -> None:
    """Pack in all ways, round by round, and save what was measured."""
    parser = argparse.ArgumentParser(description="One process and two.")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["one-thread", "one", "two"])
    parser.add_argument("--codec", default="default")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    best: dict[str, dict[str, Any]] = {}
    loads = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        pictures = Path(folder) / "pictures"
        make_pictures(args.photographs, pictures, args.images, args.side)
        for _ in range(args.rounds):
            for way in args.ways:
                archive = Path(folder) / "packed.kin"
                loads.append(os.getloadavg()[0])
                took = packed(pictures, archive, ("--codec", args.codec, *WAYS[way]))
                known = best.setdefault(way, {**took, **fingerprint(archive)})
                for name, seconds in took.items():
                    known[name] = min(known[name], seconds)
                shutil.rmtree(archive)
                print(way, {name: round(value, 2) for name, value in took.items()}, flush=True)
    if len({row["content"] for row in best.values()}) != 1:
        sys.exit("the ways gave archives of other content")
    rows = []
    for way, row in best.items():
        walls = {name: best[name]["wall"] for name in ("one", "one-thread") if name in best}
        rows.append(
            {
                "way": way,
                "seconds": round(row["wall"], 2),
                "processor_seconds": round(row["processor"], 2),
                "processor_ms_an_image": round(1000 * row["processor"] / args.images, 2),
                **{
                    f"speed_up{'_over_one_thread' * (name == 'one-thread')}": round(
                        wall / row["wall"], 3
                    )
                    for name, wall in walls.items()
                },
                "segments": row["segments"],
                "bytes": row["bytes"],
            }
        )
    head = {**run_head(seed=SEED), "load": [round(one, 2) for one in loads]}
    save_results(args.output, {**head, "images": args.images, "side": args.side, "rows": rows})


if __name__ == "__main__":
    main()
