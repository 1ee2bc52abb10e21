"""Make the shipped codec ``classic`` of what ``learn_classic_code.py`` learned.

``python -m benchmarks.ship.ship_classic classic_code.npz -o src/kinpack/codecs/classic.kinc``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from kinpack.codec.codec import Codec
from kinpack.networks.container import Container

DESCRIPTION = {
    "name": "classic",
    "sort": "classic",
    "code": "linear",
    "learned_by": "benchmarks/ship/learn_classic_code.py, then benchmarks/ship/ship_classic.py",
    "data": "CIFAR-10 train split (research use) and the 200 BSDS500 train photographs "
    "(research use)",
    "licence": "Apache-2.0 (this file: directions and words, no picture)",
}


def main() -> None:
    """Read the arrays, write the codec file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", type=Path, help="output of learn_classic_code.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="that the arrays were learned with")
    args = parser.parse_args()
    with np.load(args.arrays) as found:
        config = json.loads(bytes(found["config"]))
        arrays = {f"descriptor_{key}": found[key] for key in ("matrix", "scale", "offset")}
        arrays["codebooks"] = found["codebooks"]
    header = {**DESCRIPTION, "seed": args.seed, "descriptor": config}
    codec = Codec.from_container(Container(header, {}, arrays))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(codec.to_bytes())
    print(f"{args.output}: {codec.n_bytes} bytes, {codec.codec_id}")


if __name__ == "__main__":
    main()
