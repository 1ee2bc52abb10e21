"""Freezes a state of a training run of `train.py` to a codec file.

    python -m benchmarks.lattice.freeze --checkpoint runs/codec/last.ckpt --patches DIR \
        --name trial -o runs/codec/trial.kinc

The averaged weights are frozen; the product code is that of the codec that ships. The file packs,
searches and unpacks like any other, so that `benchmarks.rates` can measure it.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

import kinpack
from benchmarks.lattice.curves import calibration
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.learn.freezing.lattice_codec import freeze_lattice
from kinpack.learn.lattice.run import averaged_model
from kinpack.learn.training.loop import read_checkpoint


def run(arguments: argparse.Namespace) -> None:
    """Freeze and write."""
    torch.set_num_threads(1)
    state = read_checkpoint(arguments.checkpoint)
    description = {
        "name": arguments.name,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kinpack": kinpack.__version__,
        "torch": torch.__version__,
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 2),
        "training": state["training"],
        "network": state["network"],
    }
    codec = freeze_lattice(
        averaged_model(arguments.checkpoint),
        calibration(arguments.patches),
        base=Codec.load("default"),
        description=description,
    )
    part = arguments.output.with_suffix(".part")
    part.write_bytes(codec.to_bytes())
    part.replace(arguments.output)
    print(f"{arguments.output.name}: {codec.n_bytes:,} bytes, {codec.codec_id[:12]}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Freezes a training run to a codec file.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", default="lattice")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".kinc file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"freeze: {error}")


if __name__ == "__main__":
    main()
