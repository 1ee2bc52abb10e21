"""How liked and unliked examples are best joined: what is found after the first hits were judged.

    python -m benchmarks.search.feedback --cifar DIR -o benchmarks/results/feedback.json

Each of the first pictures of CIFAR-10's train split is searched for among the others. Of its first
20 hits the first two of its own class are liked as well, and the first three of other classes
unliked; queries with fewer are left out. Told is the share of its class among the 20 best of the
rest, by each rule.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.archive.searching.sought import UNLIKED, Sought
from kinpack.describers.describer import Describer
from kinpack.describers.describing import product_codes
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import DistanceTable, asymmetric_table, symmetric_table
from kinpack.search.distances.poses import Poses
from kinpack.search.engines.packed_codes import PackedCodes
from kinpack.search.scale import strangers_apart
from kinpack.sources.opening import open_source

QUERIES, PICTURES = 200, 5000
JUDGED, LIKED, DISLIKED = 20, 2, 3
SHARES = (0.25, 0.5, 0.75)

Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A query whose first hits were judged.

    Attributes:
        liked: float64 (1 + LIKED, n), the distances from the query and from what is liked.
        unliked: float64 (DISLIKED, n), those from what is not.
        apart: what strangers lie apart.
    """

    liked: Distances
    unliked: Distances
    apart: float

    @property
    def mean(self) -> Distances:
        """The mean of the distances from what is liked, float64 (n,)."""
        found: Distances = self.liked.mean(axis=0)
        return found

    def nearer(self) -> Distances:
        """How much nearer than strangers the unliked are, the mean over them, float64 (n,)."""
        found: Distances = np.maximum(0, self.apart - self.unliked).mean(axis=0)
        return found


RULES: dict[str, Callable[[Judged], Distances]] = {
    "the query alone": lambda one: one.liked[0],
    "mean": lambda one: one.mean,
    "least": lambda one: one.liked.min(axis=0),
    "median": lambda one: np.median(one.liked, axis=0),
    "greatest": lambda one: one.liked.max(axis=0),
    **{
        f"mean, less {share} of the unliked": lambda one, share=share: (  # type: ignore[misc]
            one.mean - share * one.unliked.mean(axis=0)
        )
        for share in SHARES
    },
    **{
        f"mean, and {share} of what is nearer to the unliked": lambda one, share=share: (  # type: ignore[misc]
            one.mean + share * one.nearer()
        )
        for share in SHARES
    },
    f"as kinpack does, with {UNLIKED}": lambda one: Sought((), (), one.apart).joined(
        list(one.liked), list(one.unliked)
    ),
}
"""Ways to join distances; the smallest come first."""


def measure(describer: Describer, images: list[Image], labels: NDArray[Any]) -> dict[str, Any]:
    """Precision by every rule, by the codes of one describer."""
    codes = product_codes(describer, images)
    searched, others = describer.searched, labels[QUERIES:]
    packed = searched.pack(codes[QUERIES:])
    apart = strangers_apart(PackedCodes([packed], searched.code_bytes), searched)
    vectors = describer.weighted(describer.describe(images[:QUERIES]))

    def far(table: DistanceTable) -> Distances:
        return Poses((table,)).of_codes(codes[QUERIES:])

    found: dict[str, list[float]] = {name: [] for name in RULES}
    for number, vector in enumerate(vectors):
        own = far(asymmetric_table(searched, vector))
        first = np.argsort(own, kind="stable")[:JUDGED]
        right = others[first] == labels[number]
        liked, unliked = first[right][:LIKED], first[~right][:DISLIKED]
        if len(liked) < LIKED or len(unliked) < DISLIKED:
            continue
        of = [
            far(symmetric_table(searched, codes[QUERIES + at]))
            for at in np.concatenate([liked, unliked])
        ]
        one = Judged(np.stack([own, *of[:LIKED]]), np.stack(of[LIKED:]), apart)
        for name, rule in RULES.items():
            order = np.argsort(rule(one), kind="stable")
            rest = order[~np.isin(order, [*liked, *unliked])][:JUDGED]
            found[name].append(float((others[rest] == labels[number]).mean()))
    return {
        "describer": describer.name,
        "pictures": len(images) - QUERIES,
        "queries": len(next(iter(found.values()))),
        **{name: round(100 * float(np.mean(values)), 1) for name, values in found.items()},
    }


def main() -> None:
    """Measure every rule by the describers that ship, and write the result file."""
    parser = argparse.ArgumentParser(description="How examples are best joined.")
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--describer", action="append", help="by default look and classic")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    items = list(islice(open_source(args.cifar, split="train"), PICTURES))
    images, labels = [item.load() for item in items], np.array([item.label for item in items])
    rows = []
    for name in args.describer or ("look", "classic"):
        rows.append(measure(Describer.load(name), images, labels))
        Console(stderr=True).print(rows[-1])
    save_results(args.output, {**run_head(seed=0), "rows": rows})


if __name__ == "__main__":
    main()
