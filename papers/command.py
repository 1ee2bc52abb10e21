"""The command of an experiment: train, evaluate, figures, or all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from kinpack.errors import KinpackError

Place = TypeVar("Place")


@dataclass(frozen=True)
class Experiment(Generic[Place]):
    """An experiment as its command sees it.

    Attributes:
        name: of the package below ``papers``.
        home: folder that keeps its results.
        data: what ``--data`` must hold, in words.
        place: makes what the stages are given: data, runs, results, quick.
        train: trains what is not trained.
        evaluate: measures what is not measured.
        draw: draws the figures; the files it wrote.
    """

    name: str
    home: Path
    data: str
    place: Callable[[Path | None, Path, Path, bool], Place]
    train: Callable[..., int]
    evaluate: Callable[..., int]
    draw: Callable[[Place], list[Path]]


def run_command(experiment: Experiment[Place], arguments: list[str] | None = None) -> int:
    """Run the stages asked for.

    Args:
        experiment: whose command it is.
        arguments: of the command; those of the program if None.

    Returns:
        Exit status: 0, or 1 after one line on what went wrong.
    """
    options = _parser(experiment).parse_args(arguments)
    home = experiment.home
    output = options.output or (home / "runs" / "quick" if options.quick else home)
    place = experiment.place(options.data, output / "runs", output / "results", options.quick)
    stages = ("train", "evaluate", "figures") if options.stage == "all" else (options.stage,)
    try:
        for stage in stages:
            if stage == "train":
                experiment.train(place, processes=options.processes, quiet=options.quiet)
            elif stage == "evaluate":
                experiment.evaluate(place, processes=options.processes, quiet=options.quiet)
            else:
                for path in experiment.draw(place):
                    print(path)
    except KinpackError as error:
        print(f"{experiment.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{experiment.name}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser(experiment: Experiment[Place]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m papers.{experiment.name}")
    parser.add_argument("stage", choices=("train", "evaluate", "figures", "all"))
    parser.add_argument("--quick", action="store_true", help="few pictures, few models: minutes")
    parser.add_argument("--data", type=Path, help=experiment.data)
    parser.add_argument("--output", type=Path, help="folder for runs/ and results/")
    parser.add_argument("--processes", type=int, default=2, help="models at a time (default: 2)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser
