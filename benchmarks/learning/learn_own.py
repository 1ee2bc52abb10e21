"""Learn codecs of one's own for the benchmarks, as `kinpack learn` does, and note their gains.

    python -m benchmarks.learning.learn_own fashion-mnist --fashion DIR --minutes 20 --threads 2 \
        --work runs/own -o benchmarks/results/own_collections.json

Fashion-MNIST: its train split. Emoji: those whose name without skin tone is not held out. The codec
files lie in --work and are not kept in the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.measuring.data import is_held_out
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack.codec.codec import Codec
from kinpack.learn.gains import measure_gains
from kinpack.learn.learning import FROM_A_START, learn_codec
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.start_file import shipped_start
from kinpack.sources.items import Item, Source
from kinpack.sources.opening import open_source

HOLD_OUT = 200
SEED = 0


class Learnable:
    """Emoji that may be learned from."""

    def __init__(self, source: Source) -> None:
        self.name = "emoji, without those held out"
        self._items = [item for item in source if not is_held_out(item.id)]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


def main() -> None:
    """Learn one codec, measure it, add it to the results."""
    parser = argparse.ArgumentParser(description="Learn codecs of one's own.")
    parser.add_argument("data", choices=("fashion-mnist", "emoji"))
    parser.add_argument("--fashion", type=Path, metavar="DIR", help="Fashion-MNIST, Parquet")
    parser.add_argument("--emoji", type=Path, metavar="DIR", help="emoji, a folder a category")
    parser.add_argument("--start", choices=("default", "none"), default="default")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True, help="folder of codecs, checkpoints")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    source: Source
    if args.data == "emoji":
        source = Learnable(open_source(args.emoji))
    else:
        source = open_source(args.fashion, split="train")
    training = TrainingConfig(minutes=args.minutes, seed=SEED)
    learned = learn_codec(
        [source],
        start=None if args.start == "none" else shipped_start("default"),
        training=training if args.start == "none" else replace(training, **FROM_A_START),
        work=args.work / f"{args.data}-{args.start}",
        name=args.data,
        threads=args.threads,
        log_line=lambda line: print(json.dumps(line), file=sys.stderr),
        log_every=50,
        hold_out=HOLD_OUT,
    )
    file = args.work / f"{args.data}-{args.start}.kinc"
    file.write_bytes(learned.codec.to_bytes())
    gains = measure_gains(learned.codec, learned.held_out, shipped=Codec.load("default"))
    for line in gains.lines():
        print(line)
    header = learned.codec.header
    row = {
        "data": args.data,
        "images": header["images"],
        "minutes": header["minutes"],
        "steps": header["steps"],
        "threads": args.threads,
        "start": args.start,
        "codec_id": learned.codec.codec_id,
        "codec_bytes": learned.codec.n_bytes,
        "held_out": gains.images,
        "gains": gains.to_dict()["gains"],
        "machine": run_head(seed=SEED),
    }
    results = load_results(args.output)
    rows = [
        r for r in results.get("rows", []) if (r["data"], r["start"]) != (args.data, args.start)
    ]
    rows.append(row)
    save_results(
        args.output, {"rows": sorted(rows, key=lambda r: (r["data"], r["start"]), reverse=True)}
    )


if __name__ == "__main__":
    main()
