"""How many planted duplicates are found among photographs, and how many groups are false.

    python -m benchmarks.finding.duplicates --name photographs --folder DIR [--folder DIR ...] \
        -o benchmarks/results/duplicates.json

Pictures of folders are packed, reduced to 256 pixels, and changed copies of some of them beside
them, each by one of the 26 changes, drawn at random. A copy is found where it is in a group with
its original. A group is false where it holds images of two originals, and its rate is told of all
images, and of all groups. Groups that are told as alike count by themselves.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finding.changes import CHANGES, changed
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack import Archive
from kinpack.archive.duplicates.report import DuplicateReport
from kinpack.pictures.images import Image, load_image
from kinpack.sources.items import Item

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LONGEST = 256
QUICK = {False: "in all turns", True: "quick"}


def pictures(folders: Sequence[Path], many: int, rng: np.random.Generator) -> list[Path]:
    """Some picture files of folders, drawn at random among all of them."""
    files = sorted(
        file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES
    )
    chosen = np.sort(rng.permutation(len(files))[:many])
    return [files[number] for number in chosen.tolist()]


def planted(
    files: Sequence[Path], many: int, rng: np.random.Generator
) -> tuple[list[Item], dict[str, str]]:
    """Items of pictures and of changed copies, and the change of each copy by its id.

    An id begins with the number of the original. Pictures are loaded when they are packed.
    """
    items = [Item(f"{n:06}", None, partial(_picture, file)) for n, file in enumerate(files)]
    names = list(CHANGES)
    drawn = [names[int(rng.integers(len(names)))] for _ in range(many)]
    change_of = {}
    for original, name in zip(rng.permutation(len(files))[:many].tolist(), drawn, strict=True):
        load = partial(_copy, files[original], name, original)
        items.append(Item(f"{original:06}-copy", None, load))
        change_of[items[-1].id] = name
    order = rng.permutation(len(items)).tolist()
    return [items[at] for at in order], change_of


def told(report: DuplicateReport, change_of: dict[str, str]) -> tuple[dict[str, Any], list[Any]]:
    """What a report found of what was planted; and shares by change."""
    found: dict[str, str] = {}
    false: dict[str, list[list[str]]] = {"same": [], "alike": []}
    for group in report.groups:
        ids = [group.kept, *(one.id for one in group.others)]
        band = "alike" if group.band == "alike" else "same"
        if len({id_[:6] for id_ in ids}) > 1:
            false[band].append(ids)
        for id_ in ids:
            if id_ in change_of and id_[:6] in ids:
                found.setdefault(id_, band)
    share = {
        band: round(100 * sum(one in bands for one in found.values()) / len(change_of), 2)
        for band, bands in (("same", ("same",)), ("alike", ("same", "alike")))
    }
    groups = {
        band: sum((group.band == "alike") == (band == "alike") for group in report.groups)
        for band in false
    }
    by_change = [
        {
            "change": name,
            "planted": len(some),
            "same": sum(found.get(one) == "same" for one in some),
            "alike": sum(found.get(one) == "alike" for one in some),
        }
        for name in CHANGES
        if (some := [one for one, change in change_of.items() if change == name])
    ]
    row = {
        "found_same": share["same"],
        "found_same_or_alike": share["alike"],
        "groups_same": groups["same"],
        "false_same": len(false["same"]),
        "false_same_of_images": round(100 * len(false["same"]) / report.images, 4),
        "groups_alike": groups["alike"],
        "false_alike": len(false["alike"]),
        "false_ids": [ids for some in false.values() for ids in some][:20],
    }
    return row, by_change


def _picture(file: Path) -> Image:
    return load_image(file, size=LONGEST)


def _copy(file: Path, name: str, seed: int) -> Image:
    return changed(name, _picture(file), np.random.default_rng((seed, 1)))


def main() -> None:
    """Measure one collection, and add its rows to the result file."""
    parser = argparse.ArgumentParser(description="How many planted duplicates are found.")
    parser.add_argument("--name", required=True, help="of the collection in the result file")
    parser.add_argument("--folder", action="append", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=300)
    parser.add_argument("--effort", default="fast", help="of the archive's payloads")
    parser.add_argument("--packed", type=Path, help="an archive to make, or to take if it is there")
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    files = pictures(args.folder, args.pictures, rng)
    items, change_of = planted(files, args.planted, rng)
    results = load_results(args.output)
    rows = [row for row in results.get("rows", []) if row["collection"] != args.name]
    by_change = [row for row in results.get("by_change", []) if row["collection"] != args.name]
    with tempfile.TemporaryDirectory() as folder:
        path = args.packed or Path(folder) / "a.kin"
        if not path.exists():
            with Archive.create(path, "classic") as made:
                made.add(items, effort=args.effort)
        for quick, way in QUICK.items():
            with Archive.open(path) as archive:
                began = time.process_time()
                report = archive.duplicates(quick=quick)
                seconds = time.process_time() - began
            row, shares = told(report, change_of)
            head = {"collection": args.name, "way": way}
            size = {"pictures": len(files), "planted": len(change_of)}
            work = {"compared": report.compared, "processor_s": round(seconds, 1)}
            rows.append({**head, **size, **row, **work, "thresholds": _stated(report)})
            by_change += [{**head, **one} for one in shares]
            print(rows[-1], flush=True)
            values = {"rows": rows, "by_change": by_change}
            save_results(args.output, {**run_head(seed=args.seed), **values})


def _stated(report: DuplicateReport) -> dict[str, Any]:
    return report.thresholds.to_dict() if report.thresholds else {}


if __name__ == "__main__":
    main()
