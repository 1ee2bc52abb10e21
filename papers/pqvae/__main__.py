"""The experiment's command: ``python -m papers.pqvae train|evaluate|figures|all``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kinpack.errors import KinpackError
from papers.pqvae import run

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Run the stages asked for.

    Returns:
        Exit status: 0, or 1 after one line on what went wrong.
    """
    options = _parser().parse_args(arguments)
    output = options.output or (HERE / "runs" / "quick" if options.quick else HERE)
    place = run.Place(
        data=options.data,
        runs=output / "runs",
        results=output / "results",
        quick=options.quick,
    )
    stages = ("train", "evaluate", "figures") if options.stage == "all" else (options.stage,)
    try:
        for stage in stages:
            if stage == "train":
                run.train(place, processes=options.processes, quiet=options.quiet)
            elif stage == "evaluate":
                run.evaluate(place, processes=options.processes, quiet=options.quiet)
            else:
                for path in run.draw(place):
                    print(path)
    except KinpackError as error:
        print(f"pqvae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pqvae: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m papers.pqvae", description=__doc__)
    parser.add_argument("stage", choices=("train", "evaluate", "figures", "all"))
    parser.add_argument("--quick", action="store_true", help="few pictures, few models: minutes")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with cifar10/ (Parquet files); without it they are fetched from the hub",
    )
    parser.add_argument("--output", type=Path, help="folder for runs/ and results/")
    parser.add_argument("--processes", type=int, default=2, help="models at a time (default: 2)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
