"""Trains a codec with lattice context on patches of `training_patches.py`; resumes where it was.

    python -m benchmarks.lattice.train --patches DIR --work runs/codec --hours 8

The budget counts processor time of one thread. The state is in --work; the same command goes on
from it. --until stops earlier, at a part of the budget, without the learning rate falling sooner.
A line is logged every 50 steps, and the state is kept every 250, and at the end or on Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from benchmarks.lattice.checkerboard import begin_with_checkerboard
from kinpack.errors import KinpackError
from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.lattice.patch_files import PatchFiles, Share
from kinpack.learn.lattice.run import begin_with, lattice_run
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.models.model import pictures_of
from kinpack.learn.training.patches import SMALL
from kinpack.learn.training.start_file import shipped_start

SHARES = (
    ("patches-128", 0.22),
    ("smooth-128", 0.04),
    ("patches-64", 0.28),
    ("patches-32", 0.14),
    ("thumbnails-32", 0.32),
)
"""Files of patches and what share of the steps, which have as many pixels each, draws from each."""
LOG_EVERY, KEEP_EVERY = 50, 250
HOLD = 1000
"""Steps in which a lattice learns to predict latents that it is new to, before they change."""


def run(arguments: argparse.Namespace) -> None:
    """Train until the budget, or the part of it that was asked for, is spent."""
    torch.set_num_threads(1)
    training = TrainingConfig(
        minutes=60 * arguments.hours,
        seed=arguments.seed,
        learning_rate=4e-4,
        decay_from=0.15,
        quality_high=88,
    )
    patches = PatchFiles(
        [Share(arguments.patches / f"{name}.npy", weight) for name, weight in SHARES],
        pixels=SMALL * SMALL * training.batch,
        seed=training.seed,
    )
    start = shipped_start("default") if arguments.start == "default" else None

    def begin(model: LatticeModel) -> None:
        if arguments.start == "checkerboard":
            pictures = np.load(arguments.patches / "patches-32.npy", mmap_mode="r")[:256]
            begin_with_checkerboard(model, pictures_of(pictures.transpose(0, 3, 1, 2).copy()))
        else:
            begin_with(model, start)

    task = lattice_run(
        patches.batch,
        network=LatticeConfig.from_dict(start.network) if start else LatticeConfig(),
        training=training,
        folder=arguments.work,
        begin=begin,
        hold_transforms=HOLD if arguments.start == "checkerboard" else 0,
        clock=time.process_time,
    )
    stop = 3600 * min(arguments.hours, arguments.until or arguments.hours)
    sums: Counter[str] = Counter()
    # Stopped by the system as by Ctrl-C: what was learned is kept.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        while task.seconds < stop:
            sums.update(task.advance())
            if task.step % LOG_EVERY == 0:
                means = " ".join(f"{key} {value / LOG_EVERY:.4f}" for key, value in sums.items())
                print(f"step {task.step} seconds {task.seconds:.0f} {means}", flush=True)
                sums.clear()
            if task.step % KEEP_EVERY == 0:
                task.keep()
    finally:
        task.keep()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Trains a codec with lattice context.")
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--start", choices=("default", "checkerboard", "none"), default="default")
    parser.add_argument("--hours", type=float, default=8.0, help="of processor time, altogether")
    parser.add_argument("--until", type=float, help="stop when so many of them are spent")
    parser.add_argument("--seed", type=int, default=0)
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit("train: stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
