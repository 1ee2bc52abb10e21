"""Freezes a state of a training run of `train.py` to a codec file.

    python -m benchmarks.lattice.freeze --checkpoint runs/codec/last.ckpt --patches DIR \
        --name trial -o runs/codec/trial.kinc

The averaged weights are frozen. The file packs, searches and unpacks like any other, so that
`benchmarks.rates` can measure it. With --start the weights themselves are written, in half
precision, as what `kinpack learn` and further training start from.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import kinpack
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.learn.freezing.lattice_codec import freeze_lattice
from kinpack.learn.lattice.run import averaged_model
from kinpack.learn.training.loop import read_checkpoint
from kinpack.learn.training.start_file import start_of

CALIBRATION = (("patches-128", 16), ("patches-64", 24), ("patches-32", 48), ("thumbnails-32", 48))


def calibration(folder: Path) -> list[NDArray[np.uint8]]:
    """Patches to freeze the context with: the first of each file."""
    found = []
    for name, count in CALIBRATION:
        patches = np.load(folder / f"{name}.npy", mmap_mode="r")[:count]
        found.append(np.ascontiguousarray(patches.transpose(0, 3, 1, 2)))
    return found


def frozen(checkpoint: Path, patches: Path, *, name: str) -> Codec:
    """The codec of a state of a training run.

    Args:
        checkpoint: of `train.py`.
        patches: folder of the files that it learns from.
        name: of the codec.
    """
    torch.set_num_threads(1)
    state = read_checkpoint(checkpoint)
    description = {
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kinpack": kinpack.__version__,
        "torch": torch.__version__,
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 2),
        "training": state["training"],
        "network": state["network"],
    }
    return freeze_lattice(
        averaged_model(checkpoint),
        calibration(patches),
        description=description,
    )


def run(arguments: argparse.Namespace) -> None:
    """Freeze and write."""
    codec = frozen(arguments.checkpoint, arguments.patches, name=arguments.name)
    part = arguments.output.with_suffix(".part")
    part.write_bytes(codec.to_bytes())
    part.replace(arguments.output)
    print(f"{arguments.output.name}: {codec.n_bytes:,} bytes, {codec.codec_id[:12]}")
    if arguments.start is not None:
        model = averaged_model(arguments.checkpoint)
        start = start_of(model, model.config.to_dict(), codec_id=codec.codec_id).to_bytes()
        arguments.start.write_bytes(start)
        print(f"{arguments.start.name}: {len(start):,} bytes")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Freezes a training run to a codec file.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", default="lattice")
    parser.add_argument("--start", type=Path, metavar="FILE", help=".kins file, of the weights")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".kinc file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"freeze: {error}")


if __name__ == "__main__":
    main()
