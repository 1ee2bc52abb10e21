"""How well changed pictures are found again: collections × the 26 changes × methods.

    python -m benchmarks.finding -o benchmarks/results/finding.json --fonts DIR \
        --folder photographs=DIR --folder portraits=DIR [--data-set CIFAR-10=DIR ...]

Each collection is packed. Some of its pictures, changed, are searched for; the original must come
first among all. Told are the shares of queries whose original is the first, or among the first 10
or 30; for a code whose first 30 are drawn and compared, the place after that. Where others lie as
near as the original, they count as nearer. Of the comparison it tells similarities of originals,
and of all the other pictures that were drawn, which are the nearest by code, so the hardest. Of
codes it tells how many of the pictures have one of their own, and how many bits are used.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finding.changes import CHANGES, changed
from benchmarks.finding.drawn import cell, page
from benchmarks.finding.methods import COMPARED, METHODS, CodeFinder, Vectors
from benchmarks.lattice.rendered_pictures import fonts_in
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack import Archive
from kinpack.archive.searching.comparing import same_first
from kinpack.pictures.images import Image
from kinpack.search.comparison.comparison import SAME, Comparison
from kinpack.search.comparison.pattern import reduced
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

AMONG = (1, 10, 30)
"""Places within which an original counts as found."""
CANDIDATES = AMONG[-1]
LONGEST = 256
DRAWN_FROM = 10_000
"""Number of the first page and cell: smaller ones were looked at while the comparison was made."""
QUANTILES = (0.99, 0.999)


@dataclass
class Similarities:
    """What the comparison told of the pictures of a collection.

    Attributes:
        originals: of queries and their originals.
        others: of queries and other pictures.
        seconds: of processor time, drawing included.
        queries: that were compared.
    """

    originals: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    seconds: float = 0.0
    queries: int = 0

    def row(self) -> dict[str, Any]:
        """What the result file tells."""
        originals, others = np.array(self.originals), np.array(self.others)
        return {
            "originals": len(originals),
            "others": len(others),
            "originals_same": _percent(originals >= SAME),
            "others_same": round(100 * float((others >= SAME).mean()), 3),
            **{f"others_{q}": round(float(np.quantile(others, q)), 3) for q in QUANTILES},
            "processor_ms_a_query": round(1000 * self.seconds / self.queries, 1),
            "pictures_a_query": round((len(originals) + len(others)) / self.queries, 1),
        }


def measure(
    images: Sequence[Image], names: Sequence[str], queries: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """Rows of one collection, a change and method each; what comparison and codes told."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(images))[:queries].tolist()
    finders = {name: METHODS[name](images) for name in names}
    told = Similarities()
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        _packed(images, Path(folder) / "a.kin") as archive,
    ):
        for change in CHANGES:
            places: dict[str, list[int]] = {}
            for number in chosen:
                query = changed(change, images[number], np.random.default_rng((seed, number)))
                far = {name: finder.distances(query) for name, finder in finders.items()}
                found = {name: _place(one, number) for name, one in far.items()}
                compared = {name: far[name] for name in names if name in COMPARED}
                found |= _compared(query, compared, number, archive, told)
                for name, place in found.items():
                    places.setdefault(name, []).append(place)
            for name, some in places.items():
                shares = {f"recall_{at}": _percent(np.array(some) < at) for at in AMONG}
                rows.append({"change": change, "method": name, **shares})
    codes = [
        {"method": name, **finder.told()}
        for name, finder in finders.items()
        if isinstance(finder, CodeFinder)
    ]
    return rows, told.row(), codes


def _compared(
    query: Image, far: dict[str, Vectors], original: int, archive: Archive, told: Similarities
) -> dict[str, int]:
    """Places of the original after the first of each method have been drawn and compared."""
    began = time.process_time()
    first = {name: np.argsort(one, kind="stable")[:CANDIDATES] for name, one in far.items()}
    drawn = sorted({int(number) for some in first.values() for number in some})
    squares = [reduced(archive[number]) for number in drawn]
    values = Comparison(query).similarities(squares).tolist() if drawn else []
    told.seconds += time.process_time() - began
    told.queries += 1
    similarity = dict(zip(drawn, values, strict=True))
    for number, value in similarity.items():
        (told.originals if number == original else told.others).append(value)
    places = {}
    for name, some in first.items():
        order = [int(some[at]) for at in same_first([similarity[int(n)] for n in some])]
        place = order.index(original) if original in order else _place(far[name], original)
        places[f"{name}, compared"] = place
    return places


def _place(far: Vectors, original: int) -> int:
    """How many others lie as near as the original."""
    return int((far <= far[original]).sum()) - 1


def _packed(images: Sequence[Image], path: Path) -> Archive:
    with Archive.create(path, "classic") as made:
        made.add(Item(f"{n:06}", None, partial(_itself, image)) for n, image in enumerate(images))
    return Archive.open(path)


def _itself(image: Image) -> Image:
    return image


def _percent(hits: Any) -> float:
    return round(100 * float(np.mean(hits)), 2)


def collections(args: argparse.Namespace) -> dict[str, Callable[[], list[Image]]]:
    """Name of each collection that there is a folder for, and what loads it."""

    def loaded(folder: Path, split: str | None) -> list[Image]:
        source = open_source(folder, size=LONGEST, split=split)
        items = list(source)
        some = np.random.default_rng(args.seed).permutation(len(items))[: args.pictures]
        return [items[number].load() for number in sorted(some.tolist())]

    def numbered(draw: Callable[[int], Image]) -> list[Image]:
        return [draw(DRAWN_FROM + number) for number in range(args.pictures)]

    found: dict[str, Callable[[], list[Image]]] = {}
    for option, split in ((args.folder, None), (args.data_set, "test")):
        for name, _, folder in (word.partition("=") for word in option):
            found[name] = partial(loaded, Path(folder), split)
    if args.fonts:
        fonts = [font for folder in args.fonts for font in fonts_in(folder)]
        found["pages"] = partial(numbered, lambda number: page(number, fonts, LONGEST))
        found["grey cells"] = partial(numbered, cell)
    return found


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean over changes of each collection and method."""
    keys = dict.fromkeys((row["collection"], row["method"]) for row in rows)
    found = []
    for collection, method in keys:
        some = [r for r in rows if (r["collection"], r["method"]) == (collection, method)]
        shares = {
            f"recall_{at}": round(float(np.mean([row[f"recall_{at}"] for row in some])), 1)
            for at in AMONG
        }
        found.append({"collection": collection, "method": method, **shares})
    return found


def main() -> None:
    """Measure every collection, and add its rows to the result file."""
    parser = argparse.ArgumentParser(description="How well changed pictures are found again.")
    parser.add_argument("--folder", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--data-set", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--fonts", action="append", type=Path, help="for pages, and grey cells")
    parser.add_argument("--only", action="append", help="methods; by default all")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    names = args.only or list(METHODS)
    results = load_results(args.output)
    rows, comparison = results.get("rows", []), results.get("comparison", [])
    codes = results.get("codes", [])
    for name, load in collections(args).items():
        images = load()
        size = {"collection": name, "pictures": len(images), "queries": args.queries}
        some, told, of_codes = measure(images, names, args.queries, args.seed)
        rows = [row for row in rows if row["collection"] != name]
        rows += [{"collection": name, **row} for row in some]
        comparison = [row for row in comparison if row["collection"] != name]
        comparison.append({**size, **told})
        codes = [row for row in codes if row["collection"] != name]
        codes += [{"collection": name, **row} for row in of_codes]
        values = {"means": means(rows), "comparison": comparison, "codes": codes, "rows": rows}
        save_results(args.output, {**run_head(seed=args.seed), **values})
        for row in means(rows):
            if row["collection"] == name:
                print(row)
        print(comparison[-1], flush=True)


if __name__ == "__main__":
    main()
