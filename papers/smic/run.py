"""The experiment's three stages: train the models, evaluate them, draw and tell what was found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from papers.datasets import DataSet, load_data_set
from papers.experiment import Progress, Task, run_tasks
from papers.result_files import write_arrays, write_json
from papers.smic import bits, comparison, evaluation, figures, models, training
from papers.smic.models import ModelConfig
from papers.smic.pictures import latents_of

QUICK_PICTURES = 1_000
"""Pictures that a quick run learns from."""
QUICK_ITEMS = 200
"""Items of a quick run's toy database."""
QUICK_STEPS = (2.0, 1.0, 0.5, 0.25, 0.125, 0.0625)


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        data: folder of the data sets; None fetches them from the hub.
        runs: weights, caches and figures of each item: not kept.
        results: result files and figures: kept.
        quick: a small run, for trying the whole path.
    """

    data: Path | None
    runs: Path
    results: Path
    quick: bool = False

    def weights(self, model: ModelConfig) -> Path:
        """Where the weights of a model lie."""
        return self.runs / f"{model.name}.pt"

    def result(self, model: ModelConfig) -> Path:
        """Where the result file of a model lies."""
        return self.results / "models" / f"{model.name}.json"

    def items(self, model: ModelConfig) -> Path:
        """Where the figures of each item lie."""
        return self.runs / f"{model.name}-items.npz"

    def models(self) -> list[ModelConfig]:
        """The models of this run."""
        return models.quick_models() if self.quick else models.all_models()

    def data_set(self, name: str) -> DataSet:
        """A data set, or in a quick run a part of it."""
        whole = load_data_set(name, self.data, cache=self.runs / "data")
        if not self.quick:
            return whole
        rng = np.random.default_rng(0)
        train = whole.train.take(rng.permutation(len(whole.train))[:QUICK_PICTURES])
        every = max(1, len(whole.toy) // QUICK_ITEMS)
        toy = whole.toy.take(np.arange(0, len(whole.toy), every))
        return DataSet(name, train, toy, toy)


def train(place: Place, *, processes: int = 1, quiet: bool = False) -> int:
    """Train the models whose weights are not there; how many that were."""
    tasks = [
        Task(
            m.name,
            place.weights(m),
            (place, m),
            cost=m.epochs * (0.06 if m.dataset == "emoji" else 1),
        )
        for m in place.models()
    ]
    return run_tasks("training", tasks, _train_one, processes=processes, quiet=quiet)


def evaluate(place: Place, *, processes: int = 1, quiet: bool = False) -> int:
    """Evaluate the trained models that have no result file; how many that were."""
    ready = [m for m in place.models() if place.weights(m).exists()]
    tasks = [Task(m.name, place.result(m), (place, m), cost=m.channels + 16) for m in ready]
    return run_tasks("evaluating", tasks, _evaluate_one, processes=processes, quiet=quiet)


def draw(place: Place) -> list[Path]:
    """Compare the models at equal PSNR and draw the figures; the files that were written."""
    found = comparison.read_results(place.results / "models")
    compared = comparison.compare(found, items=place.runs)
    table = place.results / "comparison.json"
    write_json(table, compared)
    latents = partial(_latents, place)
    return [table, *figures.draw_all(found, compared, latents, place.results)]


def _train_one(argument: tuple[Place, ModelConfig], progress: Progress) -> None:
    place, model = argument
    pictures = place.data_set(model.dataset).train
    network, told = training.train(model, pictures, progress=progress)
    training.save(place.weights(model), network, told)


def _evaluate_one(argument: tuple[Place, ModelConfig], progress: Progress) -> None:
    place, model = argument
    network, told = training.load(place.weights(model))
    steps = QUICK_STEPS if place.quick else bits.STEPS
    coders = coders_for(model)
    result, arrays = evaluation.evaluate(
        model,
        network,
        told,
        place.data_set(model.dataset),
        steps=steps,
        coders=coders,
        progress=progress,
    )
    write_arrays(place.items(model), arrays)
    write_json(place.result(model), result)


def coders_for(model: ModelConfig) -> tuple[str, ...]:
    """Coders that a model is measured with: all for the main ones, fewer for what is varied."""
    if model == models.cvae(kl_weight=0.0):
        return bits.CODERS  # what the others are compared with
    if model in models.varied_models():
        return ("static", "adaptive", "class-labels", "klt")
    if model in models.repeated_models():
        return ("static", "adaptive", "class-labels", "klt", "kin")
    return bits.CODERS


def _latents(place: Place, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Latents and classes of the toy database under a model, None where it is not trained."""
    path = place.runs / f"{name}.pt"
    if not path.exists():
        return None
    network, _ = training.load(path)
    toy = place.data_set(name.split("-")[0]).toy
    return latents_of(network, toy), toy.labels
