"""Learn the shipped codec ``default``, or go on from its checkpoint.

    python benchmarks/ship_default.py --cifar DIR --photos DIR --work runs/shipped \
        --minutes 65 --threads 1 -o src/kinpack/codecs/default.kinc

It is ``kinpack learn`` of two sources without labels; this script adds the data's licences to the
header. With a finished checkpoint in ``--work`` it only freezes it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kinpack.learn.config import TrainingConfig
from kinpack.learn.learning import learn_codec
from kinpack.sources import open_source

DESCRIPTION = {
    "command": "python benchmarks/ship_default.py --cifar DIR --photos DIR --work runs/shipped "
    "--minutes 65 --threads 1 -o src/kinpack/codecs/default.kinc",
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
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    codec = learn_codec(
        [open_source(args.cifar, split="train"), open_source(args.photos)],
        training=TrainingConfig(minutes=args.minutes, seed=args.seed),
        work=args.work,
        name="default",
        threads=args.threads,
        use_labels=False,
        description=DESCRIPTION,
        log_line=lambda line: print(json.dumps(line), file=sys.stderr),
        log_every=100,
    )
    args.output.write_bytes(codec.to_bytes())
    print(f"{args.output}: {codec.n_bytes} bytes, {codec.codec_id}")


if __name__ == "__main__":
    main()
