"""Learn the shipped codec ``default``, or go on from its checkpoint.

    python -m benchmarks.ship.ship_default --cifar DIR --photos DIR --work runs/shipped \
        --minutes 50 --threads 1 -o src/kinpack/codecs/default.kinc

It is ``kinpack learn`` of two sources without labels; this script adds the data's licences to the
header, and writes the weights beside the codec as a start for others. With a finished checkpoint in
``--work`` it only freezes it; with ``--start`` it goes on from another one, perhaps of fewer
latents.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from kinpack.learn.learning import learn_codec
from kinpack.learn.models.config import NetworkConfig, TrainingConfig
from kinpack.learn.training.start_file import SUFFIX, Start, start_of
from kinpack.sources.opening import open_source

DESCRIPTION = {
    "command": "python -m benchmarks.ship.ship_default --cifar DIR --photos DIR --work "
    "runs/shipped --minutes 50 --threads 1 --start STAGE2 -o src/kinpack/codecs/default.kinc",
    "stages": "65 minutes with 128 latents, 35 minutes with 192 and new context networks, then the "
    "minutes stated, with inward shifts and scales trained on symbols",
    "licence": "Apache-2.0 (this file: networks, tables and words, no picture)",
    "data_licences": {
        "CIFAR-10, train split": "research use",
        "BSDS500, train photographs": "research use",
    },
}


def main() -> None:
    """Learn, freeze, write."""
    parser = argparse.ArgumentParser(description="Learn the shipped codec.")
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    learned = learn_codec(
        [open_source(args.cifar, split="train"), open_source(args.photos)],
        start=None if args.start is None else _checkpoint(args.start),
        network=NetworkConfig(),
        training=TrainingConfig(
            minutes=args.minutes, seed=args.seed, learning_rate=6e-4, decay_from=0.15
        ),
        work=args.work,
        name="default",
        threads=args.threads,
        description=DESCRIPTION,
        log_line=lambda line: print(json.dumps(line), file=sys.stderr),
        log_every=100,
    )
    codec = learned.codec
    args.output.write_bytes(codec.to_bytes())
    start = args.output.with_suffix(SUFFIX)
    start.write_bytes(
        start_of(learned.model, NetworkConfig().to_dict(), codec_id=codec.codec_id).to_bytes()
    )
    print(f"{args.output}: {codec.n_bytes} bytes, {codec.codec_id}")
    print(f"{start}: {start.stat().st_size} bytes")


def _checkpoint(path: Path) -> Start:
    """Weights of a checkpoint of training."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    values = dict(saved["network"])
    state = {
        name.removeprefix("model."): value
        for name, value in saved["state_dict"].items()
        if name.startswith("model.")
    }
    return Start(values, state, f"checkpoint {path.name}")


if __name__ == "__main__":
    main()
