"""Make the shipped codec and describer ``classic`` of what ``learn_classic_code.py`` learned.

``python -m benchmarks.ship.ship_classic classic_code.npz -o src/kinpack``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from kinpack.codec.codec import Codec
from kinpack.describers.describer import Describer
from kinpack.describers.descriptor import REDUCTION_SIDE
from kinpack.networks.container import DESCRIBER_FILE, Container

MADE_BY = "benchmarks/ship/learn_classic_code.py, then benchmarks/ship/ship_classic.py"
DESCRIPTION = {
    "name": "classic",
    "version": 1,
    "side": REDUCTION_SIDE,
    "learned_by": MADE_BY,
    "data": "CIFAR-10 train split (research use) and the 200 BSDS500 train photographs "
    "(research use)",
    "licence": "Apache-2.0 (this file: directions and words, no picture)",
}
CODEC = {
    "name": "classic",
    "sort": "classic",
    "made_by": MADE_BY,
    "licence": "Apache-2.0 (this file: words)",
}


def main() -> None:
    """Read the arrays, write the describer file and the codec file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", type=Path, help="output of learn_classic_code.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the package's folder")
    parser.add_argument("--seed", type=int, default=0, help="that the arrays were learned with")
    args = parser.parse_args()
    with np.load(args.arrays) as found:
        config = json.loads(bytes(found["config"]))
        arrays = {f"descriptor_{key}": found[key] for key in ("matrix", "scale", "offset")}
        arrays["codebooks"] = found["codebooks"]
    header = {**DESCRIPTION, "seed": args.seed, "descriptor": config}
    made = {
        "describers/classic.kine": Describer.from_container(
            Container(header, {}, arrays, kind=DESCRIBER_FILE)
        ),
        "codecs/classic.kinc": Codec.from_container(Container(CODEC, {}, {})),
    }
    for name, content in made.items():
        (args.output / name).write_bytes(content.to_bytes())
        print(f"{name}: {content.n_bytes} bytes")


if __name__ == "__main__":
    main()
