"""Our own codes: their networks and heads trained, chosen and measured, step by step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.measuring import machine
from kinpack.describers.product_code import ProductQuantiser
from papers.datasets import LabelledPictures
from papers.experiment import Progress, Task, run_tasks
from papers.pqvae.backbone_training import Run, descriptors, load_backbone
from papers.pqvae.class_training import ClassRun, load_pooled
from papers.pqvae.heads import Head, HeadConfig, nearest_pictures, train_head
from papers.pqvae.outcomes import read_result
from papers.pqvae.own_plan import LOSSES, METHODS, UNLABELLED, OwnPlan
from papers.pqvae.retrieval import exact_hits, held_out, product_hits, score
from papers.pqvae.table import Row
from papers.result_files import write_arrays, write_json
from papers.weights import load_weights, save_weights

Vectors = NDArray[np.float32]
Line = Callable[[dict[str, float]], None]

CONTRAST, TRIAL, CLASSES = "contrast", "trial", "classes"
NETWORKS = (CONTRAST, TRIAL, CLASSES)
"""Learned without labels; with those of the kept images, briefly; with all of them."""
LOOKED_AT = 1000
"""Held-out images, the first of the file, by which training without labels is watched."""
MOST_NEIGHBOURS = 50


@dataclass(frozen=True)
class Own:
    """Where our own codes are made.

    Attributes:
        plan: how much is trained.
        sides: gives train and test images, in the order of the files.
        runs: folder of weights and descriptors: not kept.
        results: folder of result files: kept.
        protocol: name of the protocol of the table.
    """

    plan: OwnPlan
    sides: Callable[[], tuple[LabelledPictures, LabelledPictures]]
    runs: Path
    results: Path
    protocol: str = "A"

    def checkpoint(self, network: str) -> Path:
        """Where a network's training stands."""
        return self.runs / f"{network}.pt"

    def told(self, network: str) -> Path:
        """Where the result of a network's training lies."""
        return self.results / f"{network}.json"

    def choice(self, method: str) -> Path:
        """Where the held-out results of a method's candidates lie."""
        return self.results / f"{method}-held-out.json"

    def head(self, method: str, config: HeadConfig) -> Path:
        """Where the weights of a head lie."""
        return self.runs / "heads" / f"{method}-{config.bits}-seed{config.seed}.pt"

    def result(self, method: str, config: HeadConfig) -> Path:
        """Where the protocol A result of a head lies."""
        return self.results / f"{method}-{config.bits}-seed{config.seed}.json"


@dataclass(frozen=True, eq=False)
class Described:
    """What a network sees in the train and test images.

    Attributes:
        train: (n, D) unit descriptors, the mean over a picture and its mirror image.
        test: (q, D) likewise.
        views: (v, n, D) of views of the train images: ``train`` first, then random ones.
    """

    train: Vectors
    test: Vectors
    views: Vectors


def train_networks(own: Own, *, processes: int = 1, quiet: bool = False) -> int:
    """Train the networks that are not trained; how many were."""
    tasks = [
        Task(network, own.told(network), (own, network), cost=cost)
        for network, cost in zip(NETWORKS, (12.0, 1.0, 3.0), strict=True)
    ]
    return run_tasks("networks", tasks, _train_network, processes=processes, quiet=quiet)


def train_heads(own: Own, *, processes: int = 1, quiet: bool = False) -> int:
    """Choose the heads' settings, and train them at every length; how many were trained."""
    choices = [Task(f"{m}, held out", own.choice(m), (own, m)) for m in METHODS]
    run_tasks("choosing heads", choices, _choose, processes=processes, quiet=quiet)
    heads = [
        Task(f"{m}, {c.bits} bits, seed {c.seed}", own.head(m, c), (own, m, c))
        for m in METHODS
        for c in own.plan.heads(chosen(own, m))
    ]
    return run_tasks("training heads", heads, _train_head, processes=processes, quiet=quiet)


def evaluate_heads(own: Own, *, processes: int = 1, quiet: bool = False) -> int:
    """Measure the trained heads by protocol A; how many were."""
    tasks = [
        Task(f"{m}, {c.bits} bits, seed {c.seed}", own.result(m, c), (own, m, c))
        for m in METHODS
        for c in own.plan.heads(chosen(own, m))
    ]
    return run_tasks("evaluating heads", tasks, _evaluate, processes=processes, quiet=quiet)


def chosen(own: Own, method: str) -> HeadConfig:
    """Give the settings with the highest held-out mAP@1000, the first of equals.

    Raises:
        SourceError: they were not tried yet.
    """
    tried = read_result(own.choice(method))["candidates"]
    best = max(tried, key=lambda found: float(found["map_at_1000"]))
    return HeadConfig(**best["head"])


def rows(own: Own) -> list[Row]:
    """Give the table's rows: for each method and length the mean over the seeds.

    Raises:
        SourceError: a head was not measured yet.
    """
    found = []
    for method in METHODS:
        network = read_result(own.told(_networks(method)[1]))
        heads = own.plan.heads(chosen(own, method))
        for bits in own.plan.bits:
            results = [read_result(own.result(method, c)) for c in heads if c.bits == bits]
            values = [r["map_at_1000"]["symmetric"]["all"] for r in results]
            spent = sum(r["minutes"] for r in results) + network["minutes"]
            found.append(
                {
                    "method": method,
                    "features": "own network",
                    "labels": method != UNLABELLED,
                    "bits": bits,
                    "N": 1,
                    "M": results[0]["head"]["M"],
                    "K": results[0]["head"]["K"],
                    "protocol": own.protocol,
                    "map_at_1000": round(float(np.mean(values)), 2),
                    "std": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else 0.0,
                    "seeds": len(values),
                    "machine": results[0]["machine"],
                    "minutes": round(spent, 2),
                }
            )
    return found


def _networks(method: str) -> tuple[str, str]:
    """The network a method's head is chosen on, and the one it is measured on."""
    return (CONTRAST, CONTRAST) if method == UNLABELLED else (TRIAL, CLASSES)


def _train_network(argument: tuple[Own, str], progress: Progress) -> None:
    own, network = argument
    train = own.sides()[0]
    if network == TRIAL:
        train = train.take(held_out(train.labels)[0])
    log = own.runs / f"{network}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    plan = own.plan
    run: Run | ClassRun

    def line(figures: dict[str, float]) -> None:
        _add_line(log, figures)
        progress(figures["step"] / run.steps)

    if network == CONTRAST:
        run = Run(plan.contrast, train.pixels, train.labels, own.checkpoint(network))
        _watched(own, train, run, line)
        config = plan.contrast.to_dict()
    else:
        training = plan.trial if network == TRIAL else plan.classes
        run = ClassRun(training, train.pixels, train.labels, own.checkpoint(network))
        run.advance(line=line)
        config = training.to_dict()
    write_json(
        own.told(network),
        {
            "network": network,
            "config": config,
            "pictures": len(train),
            "steps": run.steps,
            "minutes": run.minutes,
            "log": _log(log),
            "held_out": _log(own.runs / "watched.log") if network == CONTRAST else [],
            "machine": machine.machine(),
        },
    )


def _watched(own: Own, train: LabelledPictures, run: Run, line: Line) -> None:
    """Train without labels to the end, looking at the descriptors every few passes."""
    labels = train.labels
    kept, held = held_out(labels)
    held = held[:LOOKED_AT]
    every = own.plan.measured_every
    done = False
    while not done:
        done = run.advance(epoch=(run.epoch // every + 1) * every, line=line)
        h = descriptors(run.backbone.eval(), train.pixels[np.concatenate([kept, held])])
        hits = exact_hits(h[len(kept) :], labels[held], h[: len(kept)], labels[kept])
        seen = {
            "epoch": run.epoch,
            "minutes": run.minutes,
            "map_at_1000": score(hits).all_queries,
            "nearest_is_kin_percent": 100 * float(hits[:, 0].mean()),
        }
        _add_line(own.runs / "watched.log", seen)


def _add_line(path: Path, figures: dict[str, float]) -> None:
    with path.open("a") as stream:
        stream.write(json.dumps(figures) + "\n")


def _log(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def described(own: Own, network: str) -> Described:
    """What a trained network sees, computed once and kept."""
    path = own.runs / f"{network}-descriptors.npz"
    if not path.exists():
        checkpoint = own.checkpoint(network)
        seer: nn.Module = (
            load_backbone(checkpoint) if network == CONTRAST else load_pooled(checkpoint)
        )
        train, test = own.sides()
        views = [
            descriptors(seer, train.pixels, views=own.plan.drawn, seed=seed)
            for seed in range(own.plan.views)
        ]
        seen = descriptors(seer, train.pixels)
        arrays = {"train": seen, "test": descriptors(seer, test.pixels)}
        write_arrays(path, {**arrays, "views": np.stack([seen, *views])})
    with np.load(path, allow_pickle=False) as found:
        return Described(found["train"], found["test"], found["views"])


def _choose(argument: tuple[Own, str], progress: Progress) -> None:
    own, method = argument
    seen = described(own, _networks(method)[0])
    labels = own.sides()[0].labels
    kept, held = held_out(labels)
    tried = []
    candidates = own.plan.candidates[method]
    near = nearest_pictures(seen.train[kept], MOST_NEIGHBOURS) if method == UNLABELLED else None
    for i, config in enumerate(candidates):
        head = _trained(config, seen.views[:, kept], labels[kept], near)
        maps = _maps(head, seen.train[kept], labels[kept], seen.train[held], labels[held])
        tried.append(
            {
                "head": config.to_dict(),
                "map_at_1000": maps["symmetric"]["all"],
            }
        )
        progress((i + 1) / len(candidates))
    hits = exact_hits(seen.train[held], labels[held], seen.train[kept], labels[kept])
    values = {"method": method, "unquantised": score(hits).all_queries, "candidates": tried}
    write_json(own.choice(method), values)


def _trained(
    config: HeadConfig,
    views: Vectors,
    labels: NDArray[np.int64],
    near: NDArray[np.int64] | None,
) -> Head:
    if config.loss == LOSSES[UNLABELLED]:
        return train_head(config, views, near=near)
    return train_head(config, views, labels=labels)


def _train_head(argument: tuple[Own, str, HeadConfig], progress: Progress) -> None:
    own, method, config = argument
    began = time.monotonic()
    seen = described(own, _networks(method)[1])
    near = nearest_pictures(seen.train, MOST_NEIGHBOURS) if method == UNLABELLED else None
    head = _trained(config, seen.views, own.sides()[0].labels, near)
    figures = {"minutes": (time.monotonic() - began) / 60, "features": seen.train.shape[1]}
    save_weights(own.head(method, config), head, config=config.to_dict(), figures=figures)


def load_head(path: Path, *, features: int) -> tuple[Head, dict[str, Any]]:
    """Read a trained head, and the figures of its training.

    Raises:
        SourceError: there is none.
    """
    return load_weights(path, lambda config: Head(features, HeadConfig(**config)))


def _evaluate(argument: tuple[Own, str, HeadConfig], progress: Progress) -> None:
    own, method, config = argument
    began = time.monotonic()
    seen = described(own, _networks(method)[1])
    head, figures = load_head(own.head(method, config), features=seen.train.shape[1])
    train, test = own.sides()
    first = config.seed == own.plan.seeds[0]
    maps = _maps(head, seen.train, train.labels, seen.test, test.labels, asymmetric=first)
    hits = exact_hits(seen.test[:LOOKED_AT], test.labels, seen.train, train.labels)
    write_json(
        own.result(method, config),
        {
            "method": method,
            "head": config.to_dict(),
            "protocol": own.protocol,
            "database": len(train),
            "queries": len(test),
            "map_at_1000": maps,
            "unquantised_first_1000_queries": score(hits).all_queries,
            "minutes": figures["minutes"] + (time.monotonic() - began) / 60,
            "machine": machine.machine(),
        },
    )


def _maps(
    head: Head,
    database: Vectors,
    labels: NDArray[np.int64],
    queries: Vectors,
    query_labels: NDArray[np.int64],
    *,
    asymmetric: bool = False,
) -> dict[str, dict[str, float]]:
    """mAP@1000 in percent of a head's codes, for each way to search: all and first queries."""
    quantiser = ProductQuantiser(head.books())
    codes = head.codes(database)
    asked: dict[str, NDArray[Any]] = {"symmetric": head.codes(queries)}
    if asymmetric:
        asked["asymmetric"] = head.latents(queries)
    maps = {}
    for kind, q in asked.items():
        found = score(product_hits(quantiser, q, query_labels, codes, labels))
        maps[kind] = {"all": found.all_queries, "first": found.first_queries}
    return maps
