"""The rivals' rows of PQ-VAE's table: every method, on both inputs, at every length.

Of each row the settings are chosen on held-out train images (``retrieval.held_out``), with the
first seed; then the method is learned from the whole database with each seed and measured by
protocol A. A row that is finished is kept in a file, and not computed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.machine import machine
from papers.datasets import DataSet, LabelledPictures
from papers.pqvae import product_rivals
from papers.pqvae.hashing import itq, lsh, spectral, spherical
from papers.pqvae.hashing.hasher import Hasher, HashingError
from papers.pqvae.retrieval import Score, binary_hits, held_out, product_hits, score
from papers.pqvae.rival_inputs import Features, Sides, load_sides
from papers.pqvae.rival_settings import (
    HASHING,
    INPUTS,
    METHODS,
    PRODUCT,
    Choice,
    candidates,
    further_candidates,
)
from papers.result_files import written_whole


@dataclass(frozen=True)
class Plan:
    """How much is computed.

    Attributes:
        bits: lengths of the codes.
        seeds: of methods that draw at random.
        held_out_per_class: train images of a class that choices are made on.
        database: most pictures of the database, the first of the file.
        queries: most queries.
        quick: whether iterations are cut short and few settings tried, which gives no figures
            worth reporting.
    """

    bits: tuple[int, ...] = (32, 48, 64)
    seeds: tuple[int, ...] = (0, 1, 2)
    held_out_per_class: int = 500
    database: int = 50_000
    queries: int = 10_000
    quick: bool = False

    @property
    def protocol(self) -> str:
        """``A``, or ``A-quick`` for figures that are not of protocol A."""
        return "A-quick" if self.quick else "A"


QUICK = Plan(bits=(32,), seeds=(0, 1), database=2000, queries=200, quick=True)


def run_rivals(
    data: DataSet,
    folder: Path,
    *,
    plan: Plan | None = None,
    methods: Iterable[str] = METHODS,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Compute the rows that are not in the folder yet.

    Args:
        data: pictures in the order of their files (``retrieval.in_file_order``).
        folder: where finished rows are kept, a file each, and vectors in ``features/``.
        plan: how much is computed; all by default, ``QUICK`` for a trial.
        methods: names out of ``METHODS``.
        progress: called with a sentence about what is being done, or was found.

    Returns:
        The rows of those methods, as ``finished_rows`` gives them.

    Raises:
        HashingError: a method is not known, or cannot be learned from these pictures.
        MissingExtraError: faiss is not installed.
    """
    plan, methods = plan or Plan(), tuple(methods)
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise HashingError(f"there is no rival {unknown[0]!r}: there are {', '.join(METHODS)}")
    tell = progress or (lambda sentence: None)
    jobs = [
        (features, method, bits)
        for features in reversed(INPUTS)
        for method in methods
        if features == "pixels" or method in HASHING
        for bits in plan.bits
        if _finished(_place(folder, method, features, bits), plan) is None
    ]
    for features in dict.fromkeys(features for features, _, _ in jobs):
        choosing, measuring = _both_sides(features, data, plan, folder / "features", tell)
        for wanted, method, bits in jobs:
            if wanted == features:
                record = _measure(method, features, bits, choosing, measuring, plan, tell)
                _keep(_place(folder, method, features, bits), record)
                row = record["row"]
                tell(f"{method} on {row['features']}, {bits} bits: {row['map_at_1000']}")
    return [row for row in finished_rows(folder, plan=plan) if row["method"] in methods]


def finished_rows(folder: Path, *, plan: Plan | None = None) -> list[dict[str, Any]]:
    """Read the rows that are done.

    Args:
        folder: as given to ``run_rivals``.
        plan: rows of another plan are left out.

    Returns:
        For each ``{method, features, labels, bits, N, M, K, protocol, map_at_1000, std, seeds,
        machine, minutes}``: mean and standard deviation (n − 1) over the seeds, in percent, of
        mAP@1000, of symmetric distances for product codes; ``seeds`` is their number.
    """
    plan = plan or Plan()
    places = [
        _place(folder, method, features, bits)
        for method in METHODS
        for features in INPUTS
        for bits in plan.bits
    ]
    records = (_finished(place, plan) for place in places)
    return [record["row"] for record in records if record is not None]


def _both_sides(
    features: Features, data: DataSet, plan: Plan, cache: Path, tell: Callable[[str], None]
) -> tuple[Sides, Sides]:
    """Vectors to choose on, and to measure."""

    def first(pictures: LabelledPictures, most: int) -> LabelledPictures:
        return pictures.take(np.arange(min(most, len(pictures))))

    database, queries = first(data.train, plan.database), first(data.test, plan.queries)
    kept, held = held_out(database.labels, per_class=plan.held_out_per_class)
    return load_sides(features, database, queries, kept=kept, held=held, cache=cache, progress=tell)


def _measure(
    method: str,
    features: Features,
    bits: int,
    choosing: Sides,
    measuring: Sides,
    plan: Plan,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Choose on the held-out images, and measure with every seed."""
    began = time.perf_counter()
    tried: list[tuple[Choice, dict[str, Any]]] = []

    def best_of(choices: list[Choice]) -> Choice:
        for choice in choices:
            scores = _scores(method, choosing, choice, bits, plan.seeds[0], asymmetric=False)
            tried.append((choice, scores))
            shown = json.dumps({**choice.to_dict(), **scores})
            tell(f"{method} on {features}, {bits} bits, held out: {shown}")
        return max(tried, key=lambda entry: float(entry[1]["map_at_1000"]))[0]

    best = best_of(candidates(method, features, bits, quick=plan.quick))
    best = best_of(further_candidates(method, best))
    seeds = plan.seeds[:1] if method == "spectral" else plan.seeds
    by_seed = [
        {"seed": s, **_scores(method, measuring, best, bits, s, asymmetric=True)} for s in seeds
    ]
    values = [entry["map_at_1000"] for entry in by_seed]
    K = best.settings.K if method in PRODUCT else 2
    dims = best.dims or measuring.database.shape[1]
    name = f"{'GIST' if features == 'gist' else 'PCA'}-{dims}"
    row = {
        "method": method,
        "features": f"{name}, unit length" if best.unit_length else name,
        "labels": False,
        "bits": bits,
        "N": 1,
        "M": best.settings.books(bits) if method in PRODUCT else bits,
        "K": K,
        "protocol": plan.protocol,
        "map_at_1000": round(float(np.mean(values)), 2),
        "std": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else 0.0,
        "seeds": len(seeds),
        "machine": machine(),
        "minutes": round((time.perf_counter() - began) / 60, 2),
    }
    return {
        "row": row,
        "plan": asdict(plan),
        "chosen": best.to_dict(),
        "held_out": [{**choice.to_dict(), **scores} for choice, scores in tried],
        "by_seed": by_seed,
    }


def _scores(
    method: str, sides: Sides, choice: Choice, bits: int, seed: int, *, asymmetric: bool
) -> dict[str, Any]:
    """Learn from the database and search it: mAP@1000 in percent, by the names of the results."""
    sides = sides.reduced(choice.dims, unit_length=choice.unit_length)
    if method in PRODUCT:
        coder = product_rivals.fit(sides.database, bits=bits, seed=seed, settings=choice.settings)
        codes = coder.encode(sides.database)
        asked: dict[str, NDArray[Any]] = {"": coder.encode(sides.queries)}
        if asymmetric:
            asked["asymmetric_"] = coder.describe(sides.queries)
        found = {
            kind: product_hits(coder.quantiser, q, sides.query_labels, codes, sides.labels)
            for kind, q in asked.items()
        }
    else:
        hasher = _learned(method, sides, choice, bits, seed)
        hits = binary_hits(
            hasher.encode(sides.queries),
            sides.query_labels,
            hasher.encode(sides.database),
            sides.labels,
            distance=hasher.distance,
        )
        found = {"": hits}
    return {k: v for kind, hits in found.items() for k, v in _named(kind, score(hits)).items()}


def _named(kind: str, scored: Score) -> dict[str, float]:
    return {
        f"{kind}map_at_1000": round(scored.all_queries, 3),
        f"{kind}map_at_1000_first_1000_queries": round(scored.first_queries, 3),
    }


def _learned(method: str, sides: Sides, choice: Choice, bits: int, seed: int) -> Hasher:
    x, settings = sides.database, choice.settings
    if method == "lsh":
        return lsh.fit(x, bits=bits, seed=seed, settings=settings)
    if method == "spectral":
        return spectral.fit(x, bits=bits, seed=seed, settings=settings)
    if method == "spherical":
        return spherical.fit(x, bits=bits, seed=seed, settings=settings)
    if method == "itq":
        return itq.fit(x, bits=bits, seed=seed, settings=settings)
    from papers.pqvae.hashing import deep_hashing

    return deep_hashing.fit(x, bits=bits, seed=seed, settings=settings)


def _place(folder: Path, method: str, features: str, bits: int) -> Path:
    return folder / f"{method}-{features}-{bits}.json"


def _finished(place: Path, plan: Plan) -> dict[str, Any] | None:
    """Read a row's record; None where there is none of this plan."""
    if not place.exists():
        return None
    record: dict[str, Any] = json.loads(place.read_text())
    # JSON has lists where the plan has tuples.
    return record if record["plan"] == json.loads(json.dumps(asdict(plan))) else None


def _keep(place: Path, record: dict[str, Any]) -> None:
    with written_whole(place) as unfinished:
        unfinished.write_text(json.dumps(record, indent=1) + "\n")
