"""Make the shipped codec ``default`` of a finished training run, and the weights to start from.

    python -m benchmarks.lattice.train --patches runs/patches --work runs/codec --hours 8
    python -m benchmarks.ship.ship_default --checkpoint runs/codec/last.ckpt \
        --patches runs/patches --photos train --fonts DIR --emoji DIR --work runs/look \
        -o src/kinpack/codecs/default.kinc

The averaged weights are frozen; then the codec learns by trying, on patches, where classic payloads
may win, and, on larger pictures, when that can be told beforehand (`first_look`). The weights
themselves are written beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lattice.freeze import frozen
from benchmarks.ship.first_look import calibrated
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.learn.freezing.classic_rule import extended, with_rule
from kinpack.learn.lattice.run import averaged_model
from kinpack.learn.training.start_file import SUFFIX, start_of
from kinpack.pictures.images import Image

RULE = (("patches-64", 40), ("patches-32", 60), ("thumbnails-32", 60))
"""Files of patches, and how many of each classic payloads are tried on."""
DESCRIPTION: dict[str, Any] = {
    "command": "python -m benchmarks.ship.ship_default --checkpoint runs/codec/last.ckpt",
    "licence": "Apache-2.0 (this file: networks and tables, no picture)",
    "data_licences": {
        "clothing-dataset-small": "CC0",
        "Houses-dataset": "research use",
        "imagenet-sample-images, imagen": "ImageNet, research use",
        "CIFAR-10, train split": "research use",
        "rendered pages, screens, drawings and smooth grounds": "none needed",
    },
}


def rule_pictures(folder: Path) -> list[Image]:
    """The last patches of some files."""
    found: list[Image] = []
    for name, count in RULE:
        patches = np.load(folder / f"{name}.npy", mmap_mode="r")
        found += [np.ascontiguousarray(patch) for patch in patches[-count:]]
    return found


def made(arguments: argparse.Namespace) -> Codec:
    """The codec of the checkpoint, with its rule and its first look."""
    codec = frozen(arguments.checkpoint, arguments.patches, name="default")
    codec = with_rule(extended(codec, DESCRIPTION), rule_pictures(arguments.patches))
    look = calibrated(
        codec,
        {"photos": arguments.photos, "grey": arguments.photos}
        | {"pages": arguments.fonts, "emoji": arguments.emoji},
        count=arguments.count,
        work=arguments.work,
    )
    return extended(codec, {"first_look": look.to_dict()})


def run(arguments: argparse.Namespace) -> None:
    """Freeze, calibrate, write."""
    codec = made(arguments)
    model = averaged_model(arguments.checkpoint)
    start = start_of(model, model.config.to_dict(), codec_id=codec.codec_id).to_bytes()
    for file, data in (
        (arguments.output, codec.to_bytes()),
        (arguments.output.with_suffix(SUFFIX), start),
    ):
        part = file.with_suffix(".part")
        part.write_bytes(data)
        part.replace(file)
        print(f"{file.name}: {len(data):,} bytes")
    print(codec.codec_id)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Makes the codec that ships.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of benchmarks.lattice")
    parser.add_argument("--patches", type=Path, required=True, metavar="DIR")
    parser.add_argument("--photos", type=Path, required=True, help="photographs to try on")
    parser.add_argument("--fonts", type=Path, required=True, help="fonts to render pages with")
    parser.add_argument("--emoji", type=Path, required=True, help="emoji to try on")
    parser.add_argument("--count", type=int, default=21, help="pictures of each kind to try on")
    parser.add_argument("--work", type=Path, required=True, help="where finished tries are kept")
    parser.add_argument("-o", "--output", type=Path, required=True)
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"ship_default: {error}")


if __name__ == "__main__":
    main()
