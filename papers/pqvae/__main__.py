"""The experiment's command: ``python -m papers.pqvae train|evaluate|figures|all``."""

from __future__ import annotations

import sys
from pathlib import Path

from papers.command import Experiment, run_command
from papers.pqvae import run

EXPERIMENT = Experiment(
    name="pqvae",
    home=Path(__file__).resolve().parent,
    data="folder with cifar10/ (Parquet files); without it they are fetched from the hub",
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
