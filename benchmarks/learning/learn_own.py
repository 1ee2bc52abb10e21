"""Learn codecs of one's own for the benchmarks, as `kinpack learn` does, and note their gains.

    python -m benchmarks.learning.learn_own fashion-mnist emoji clothes pages greys --minutes 20 \
        --fashion DIR --emoji DIR --clothes DIR --fonts DIR --work runs/own \
        -o benchmarks/results/own_collections.json

Each starts from the weights of the codec that ships, or from none, and is measured on pictures that
nothing was learned from (`own_collections`): by what `kinpack learn` tells, and by every measure
beside AVIF's payloads (`benchmarks.rates.sizes`). The codec files lie in --work and are not kept in
the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.learning.own_collections import (
    COUNT,
    MEASURED,
    NAMES,
    OwnCollection,
    own_collection,
)
from benchmarks.measuring.data import Pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.rates.bd_rate import Entrant, measure_data
from benchmarks.rates.contenders import Ours, Theirs
from benchmarks.rates.measured_curves import Plan
from benchmarks.rates.rivals import AVIF, grey
from benchmarks.rates.sizes import compared
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.learn.gains import measure_gains
from kinpack.learn.learning import FROM_A_START, learn_codec
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.start_file import STARTS
from kinpack.pictures.images import Image
from kinpack.sources.items import Item

HOLD_OUT = 200
SEED = 0


def seen_gains(
    name: str, codec: Codec, images: Sequence[Image], plan: Plan, *, threads: int
) -> dict[str, Any]:
    """BD-rates of learned payloads, and of those that kinpack chooses, against AVIF's payloads.

    Args:
        name: of the collection.
        codec: a learned one.
        images: that it was not learned from.
        plan: range of PSNR.
        threads: for coding.

    Returns:
        Codec -> measure -> ``percent`` and ``range``.
    """
    items = [Item(str(i), None, partial(_itself, image)) for i, image in enumerate(images)]
    pictures = Pictures(name, items, list(images))
    rival = grey(AVIF) if all(image.shape[2] == 1 for image in images) else AVIF
    with ThreadPoolExecutor(threads) as workers:
        entrants = [
            Entrant(Ours("kinpack-never", codec, threads=threads, classic="never")),
            Entrant(Ours("kinpack-auto", codec, threads=threads, classic="auto")),
            Entrant(Theirs(rival, workers)),
        ]
        rows = measure_data(pictures, iter(entrants), plan, seed=SEED)
    side = min(min(image.shape[:2]) for image in images)
    return {row["codec"]: row["bd_rate"] for row in compared(name, side, rows)}


def _itself(image: Image) -> Image:
    return image


def learned(
    name: str, collection: OwnCollection, arguments: argparse.Namespace
) -> tuple[Codec, list[Image]]:
    """The codec of a collection, and the images that it is measured on."""
    training = TrainingConfig(minutes=arguments.minutes, steps=arguments.steps, seed=SEED)
    found = learn_codec(
        [collection.source],
        start=None if arguments.start == "none" else arguments.start,
        training=training if arguments.start == "none" else replace(training, **FROM_A_START),
        work=arguments.work / f"{name}-{arguments.start}",
        name=name,
        threads=arguments.threads,
        log_line=lambda line: print(json.dumps(line), file=sys.stderr),
        log_every=50,
        hold_out=HOLD_OUT if collection.held_out is None else 0,
    )
    (arguments.work / f"{name}-{arguments.start}.kinc").write_bytes(found.codec.to_bytes())
    return found.codec, found.held_out if collection.held_out is None else collection.held_out


def row_of(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Learn the codec of one collection, and measure it."""
    collection = own_collection(
        name,
        fashion=arguments.fashion,
        emoji=arguments.emoji,
        clothes=arguments.clothes,
        fonts=arguments.fonts,
        count=arguments.images,
        measured=arguments.measured,
    )
    codec, images = learned(name, collection, arguments)
    gains = measure_gains(codec, images, shipped=Codec.load("default"))
    for line in gains.lines():
        print(f"{name}: {line}", flush=True)
    header = codec.header
    return {
        "data": name,
        "images": header["images"],
        "minutes": header["minutes"],
        "steps": header["steps"],
        "threads": arguments.threads,
        "start": arguments.start,
        "codec_id": codec.codec_id,
        "codec_bytes": codec.n_bytes,
        "held_out": gains.images,
        "gains": gains.to_dict()["gains"],
        "seen": seen_gains(name, codec, images, collection.plan, threads=arguments.threads),
        "machine": run_head(seed=SEED),
    }


def run(arguments: argparse.Namespace) -> None:
    """Learn each codec that was asked for, and add it to the results as soon as it is measured."""
    for name in arguments.data:
        row = row_of(name, arguments)
        rows = [
            known
            for known in load_results(arguments.output).get("rows", [])
            if (known["data"], known["start"]) != (name, arguments.start)
        ]
        rows = sorted([*rows, row], key=lambda each: (NAMES.index(each["data"]), each["start"]))
        save_results(arguments.output, {"rows": rows})


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Learn codecs of one's own.")
    parser.add_argument("data", nargs="+", choices=NAMES)
    parser.add_argument("--fashion", type=Path, metavar="DIR", help="Fashion-MNIST, Parquet")
    parser.add_argument("--emoji", type=Path, metavar="DIR", help="emoji, a folder a category")
    parser.add_argument("--clothes", type=Path, metavar="DIR", help="photographs of clothes")
    parser.add_argument("--fonts", type=Path, metavar="DIR", help="for pages")
    parser.add_argument("--images", type=int, default=COUNT, help="of clothes, pages and greys")
    parser.add_argument("--measured", type=int, default=MEASURED, help="held-out ones of these")
    parser.add_argument("--start", choices=(*STARTS, "none"), default="default")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, help="in place of minutes, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True, help="folder of codecs, checkpoints")
    parser.add_argument("-o", "--output", type=Path, required=True)
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"learn_own: {error}")


if __name__ == "__main__":
    main()
