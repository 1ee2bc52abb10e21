"""The experiment's three stages: search and train, evaluate with the rivals, draw and tell."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from papers.datasets import HUB_NAMES, DataSet, LabelledPictures, load_data_set
from papers.experiment import Progress, Task, run_tasks
from papers.pqvae import (
    claims,
    evaluation,
    figures,
    models,
    own,
    own_plan,
    rivals,
    table,
    training,
)
from papers.pqvae.models import ModelConfig, Plan
from papers.pqvae.outcomes import Results, read_result
from papers.pqvae.retrieval import held_out, in_file_order
from papers.result_files import write_arrays, write_json

NAME = "cifar10"
HELD_OUT = "held-out"
"""Protocol of the choices: 5,000 held-out train images against the other 45,000."""


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        data: folder of the data sets; None fetches them from the hub.
        runs: weights, caches and the rivals' vectors: not kept.
        results: result files and figures: kept.
        quick: a small run, for trying the whole path.
    """

    data: Path | None
    runs: Path
    results: Path
    quick: bool = False

    @property
    def plan(self) -> Plan:
        """How much is tried and trained."""
        return models.QUICK if self.quick else models.FULL

    @property
    def rivals_plan(self) -> rivals.Plan:
        """How much of the rivals is computed."""
        return rivals.QUICK if self.quick else rivals.Plan()

    @property
    def own(self) -> own.Own:
        """Where our own codes are made."""
        plan = own_plan.QUICK if self.quick else own_plan.FULL
        return own.Own(
            plan, self.sides, self.runs / "own", self.results / "own", protocol=self.protocol
        )

    @property
    def protocol(self) -> str:
        """Protocol of the table, ``A-quick`` for figures that are not of protocol A."""
        return self.rivals_plan.protocol

    def weights(self, model: ModelConfig) -> Path:
        """Where the weights of a model lie."""
        return self.runs / "weights" / f"{model.name}.pt"

    def tried(self, model: ModelConfig) -> Path:
        """Where the held-out result of a model lies."""
        return self.results / "held-out" / f"{model.name}.json"

    def result(self, model: ModelConfig) -> Path:
        """Where the protocol A result of a chosen model lies."""
        return self.results / "models" / f"{model.name}.json"

    def data_set(self) -> DataSet:
        """CIFAR-10, whole, in the order of its files, which is kept for the next call."""
        data = load_data_set(NAME, self.data, cache=self.runs / "data")
        kept = self.runs / "data" / f"{NAME}-order.npz"
        if kept.exists():
            with np.load(kept, allow_pickle=False) as order:
                train, test = order["train"], order["test"]
            return DataSet(data.name, data.train.take(train), data.test.take(test), data.toy)
        folder = self.data if self.data is not None else Path(HUB_NAMES[NAME]).parent
        places = in_file_order(_numbered(data), folder)
        order = {part: getattr(places, part).pixels for part in ("train", "test")}
        write_arrays(kept, order)
        return self.data_set()

    def sides(self) -> tuple[LabelledPictures, LabelledPictures]:
        """Train and test images that are used, the first of the file in a quick run."""
        data, plan = self.data_set(), self.plan
        train = data.train.take(np.arange(min(plan.train, len(data.train))))
        return train, data.test.take(np.arange(min(plan.test, len(data.test))))

    def choosing(self) -> tuple[LabelledPictures, LabelledPictures]:
        """Train images kept, and those held out, which choices are made on."""
        train, _ = self.sides()
        kept, held = held_out(train.labels)
        return train.take(kept), train.take(held)


def train(place: Place, *, processes: int = 1, quiet: bool = False) -> int:
    """Train what is not there yet: PQ-VAE with its search, then our own networks and heads.

    Returns:
        How many models were trained.
    """
    done = train_faithful(place, processes=processes, quiet=quiet)
    done += own.train_networks(place.own, processes=processes, quiet=quiet)
    return done + own.train_heads(place.own, processes=processes, quiet=quiet)


def train_faithful(place: Place, *, processes: int = 1, quiet: bool = False) -> int:
    """Search, choose and train PQ-VAE, and the models of the claims; how many were trained."""

    def tried(what: str, found: Sequence[ModelConfig]) -> int:
        tasks = [
            Task(m.name, place.tried(m), (place, m), cost=models.cost([m]))
            for m in dict.fromkeys(found)
        ]
        return run_tasks(what, tasks, _try_one, processes=processes, quiet=quiet)

    place.data_set()  # once, before processes share its cache
    plan, lengths = place.plan, list(place.plan.shapes)
    done = tried("searching λ and (N, M, K)", [m for b in lengths for m in plan.search(b)])
    best = [choose(place, plan.search(b))[0] for b in lengths]
    done += tried("searching λ finer", [m for b in best for m in plan.finer(b)])
    best = [choose(place, plan.finer(b))[0] for b in best]
    done += tried("searching the update", [m for b in best for m in plan.updates(b)])
    best = [choose(place, plan.updates(b))[0] for b in best]
    done += tried("searching the length of training", [m for b in best for m in plan.lengths(b)])
    best = [choose(place, plan.lengths(b))[0] for b in best]
    tasks = [
        Task(m.name, place.weights(m), (place, m), cost=models.cost([m]))
        for b in best
        for m in plan.chosen(b)
    ]
    done += run_tasks("training", tasks, _train_one, processes=processes, quiet=quiet)
    return done + tried("training for the claims", plan.claims())


def choose(place: Place, tried: Sequence[ModelConfig]) -> tuple[ModelConfig, dict[str, Any]]:
    """Give the model with the highest held-out mAP@1000 (symmetric), the first of equals.

    Raises:
        SourceError: a model of these was not tried yet.
    """
    found = [(m, read_result(place.tried(m))) for m in tried]
    return max(found, key=lambda pair: float(pair[1]["map_at_1000"]["symmetric"]["all"]))


def chosen(place: Place) -> dict[int, ModelConfig]:
    """Give the chosen model of each length, seed 0, as ``part="kept"`` configurations.

    Raises:
        SourceError: the search is not finished.
    """
    plan = place.plan
    best = {bits: choose(place, plan.search(bits))[0] for bits in plan.shapes}
    best = {bits: choose(place, plan.finer(model))[0] for bits, model in best.items()}
    best = {bits: choose(place, plan.updates(model))[0] for bits, model in best.items()}
    return {bits: choose(place, plan.lengths(model))[0] for bits, model in best.items()}


def evaluate(place: Place, *, processes: int = 1, quiet: bool = False) -> int:
    """Measure the chosen models by protocol A, compute the rivals, and write the table.

    Returns:
        How many models were measured.
    """
    ready = [m for best in chosen(place).values() for m in place.plan.chosen(best)]
    tasks = [Task(m.name, place.result(m), (place, m)) for m in ready]
    done = run_tasks("evaluating", tasks, _evaluate_one, processes=processes, quiet=quiet)

    done += own.evaluate_heads(place.own, processes=processes, quiet=quiet)

    def tell(sentence: str) -> None:
        if not quiet:
            print(sentence, file=sys.stderr, flush=True)

    rows = rivals.run_rivals(
        place.data_set(), place.runs / "rivals", plan=place.rivals_plan, progress=tell
    )
    table.write(place.results / "table.json", [*_faithful_rows(place), *own.rows(place.own)], rows)
    return done


def draw(place: Place) -> list[Path]:
    """Judge the claims and draw the figures; the files that were written."""
    plan = place.plan
    results = Results(place.results / "held-out")
    best = {bits: place.tried(model) for bits, model in chosen(place).items()}
    judged = claims.judge(plan, results, {b: read_result(p) for b, p in best.items()})
    path = place.results / "claims.json"
    write_json(path, judged)
    _, held = place.choosing()
    rows = table.read(place.results / "table.json")
    shown = figures.Shown(
        plan=plan,
        results=results,
        judged=judged,
        rows=rows,
        pictures=held,
        weights=place.weights,
        chosen=chosen(place),
    )
    return [path, *figures.draw_all(shown, place.results)]


def _numbered(data: DataSet) -> DataSet:
    """Numbers of the pictures in the place of their pixels: what is put in order then."""

    def numbered(pictures: LabelledPictures) -> LabelledPictures:
        numbers: Any = np.arange(len(pictures))
        return LabelledPictures(numbers, pictures.labels, pictures.height, pictures.width)

    return DataSet(data.name, numbered(data.train), numbered(data.test), data.toy)


def _faithful_rows(place: Place) -> list[dict[str, Any]]:
    rows = []
    for bits, best in chosen(place).items():
        found = [read_result(place.result(m)) for m in place.plan.chosen(best)]
        rows.append(table.row_of("pqvae-faithful", bits, found))
    return rows


def _try_one(argument: tuple[Place, ModelConfig], progress: Progress) -> None:
    """Train a model of the search on the kept images, and measure it on those held out."""
    place, model = argument
    kept, held = place.choosing()
    weights = place.weights(model)
    if not weights.exists():
        network, told = training.train(
            model, kept.pixels, progress=lambda share: progress(0.7 * share)
        )
        training.save(weights, network, told)
    network, told = training.load(weights)
    result = evaluation.evaluate(
        model,
        network,
        told,
        kept,
        held,
        protocol=HELD_OUT,
        asymmetric=False,
        progress=lambda share: progress(0.7 + 0.3 * share),
    )
    write_json(place.tried(model), result)


def _train_one(argument: tuple[Place, ModelConfig], progress: Progress) -> None:
    place, model = argument
    pictures, _ = place.sides()
    network, told = training.train(model, pictures.pixels, progress=progress)
    training.save(place.weights(model), network, told)


def _evaluate_one(argument: tuple[Place, ModelConfig], progress: Progress) -> None:
    place, model = argument
    network, told = training.load(place.weights(model))
    database, queries = place.sides()
    result = evaluation.evaluate(
        model, network, told, database, queries, protocol=place.protocol, progress=progress
    )
    write_json(place.result(model), result)
