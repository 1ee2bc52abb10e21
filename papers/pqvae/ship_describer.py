"""Make the describer ``kin`` of a trained network and a head of it.

    python -m papers.pqvae.ship_describer papers/pqvae/runs/own/classes.pt \
        papers/pqvae/runs/own/heads/ours-labelled-head-64-seed0.pt \
        --pictures DIR -o papers/pqvae/results/kin.kine

Both are those of ``papers/pqvae``. With ``--pictures`` it tells how far the file is from the
network on a thousand of them; a file above 4 MB is not written.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from kinpack.errors import KinpackError
from kinpack.learn.freezing.describer_file import freezing_error
from kinpack.sources.opening import open_source
from papers.pqvae.freezing import freeze_seer, load_seer

MOST_BYTES = 4_000_000
DESCRIPTION = {
    "command": "python -m papers.pqvae.ship_describer NETWORK HEAD -o kin.kine",
    "learned_by": "python -m papers.pqvae, then python -m papers.pqvae.ship_describer",
    "data": "CIFAR-10, train split (research use)",
    "licence": "Apache-2.0 (this file: a network and words, no picture)",
}


def main() -> None:
    """Read network and head, freeze, compare, write."""
    parser = argparse.ArgumentParser(description="Make the describer kin.")
    parser.add_argument("network", type=Path, help="checkpoint of papers/pqvae/runs/own")
    parser.add_argument("head", type=Path, help="weights of a head of that network")
    parser.add_argument("--name", default="kin")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--pictures", help="what to compare on: a folder, or a data set's folder")
    parser.add_argument("--split", help="the one split of a data set to take")
    parser.add_argument("--count", type=int, default=1000, help="most pictures to compare on")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    seer = load_seer(args.network, args.head)
    config = seer.head.config
    told: dict[str, Any] = {
        **DESCRIPTION,
        "labels": config.loss != "contrast",
        "head": config.to_dict(),
        "network_settings": seer.network.config.to_dict(),  # type: ignore[operator, union-attr]
    }
    describer = freeze_seer(seer, name=args.name, version=args.version, description=told)
    if describer.n_bytes > MOST_BYTES:
        raise KinpackError(
            f"{args.output}: it would have {describer.n_bytes} bytes, at most {MOST_BYTES} are "
            "kept; freeze a smaller network"
        )
    if args.pictures:
        source = open_source(args.pictures, split=args.split)
        pictures = [item.load() for item in islice(source, args.count)]
        print(json.dumps(asdict(freezing_error(describer, seer, pictures))))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(describer.to_bytes())
    print(f"{args.output}: {describer.n_bytes} bytes, {describer.describer_id}")


if __name__ == "__main__":
    main()
