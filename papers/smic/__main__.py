"""The experiment's command: ``python -m papers.smic train|evaluate|figures|all``."""

from __future__ import annotations

import sys
from pathlib import Path

from papers.command import Experiment, run_command
from papers.smic import run

EXPERIMENT = Experiment(
    name="smic",
    home=Path(__file__).resolve().parent,
    data="folder with cifar10/, fashion_mnist/ (Parquet files) and emoji/ (pictures in folders by "
    "class); without it the first two are fetched by their names on the hub",
    place=run.Place,
    train=run.train,
    evaluate=run.evaluate,
    draw=run.draw,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the stages asked for; exit status 0, or 1 after one line on what went wrong."""
    return run_command(EXPERIMENT, arguments)


if __name__ == "__main__":
    sys.exit(main())
