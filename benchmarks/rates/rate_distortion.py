"""Rate and quality of kinpack beside JPEG, WebP, AVIF and PNG, as files and as payloads.

    python -m benchmarks.rates.rate_distortion --data cifar10-toy cifar10-test --cifar DIR \
        [--codec FILE|default] [--quick] -o benchmarks/results/rate_distortion.json

Everything is measured anew in one run for each data set; rows of data sets that this run leaves
out are kept. Ours on disk are the bytes of real archives, all but the codec, read back from them.
Settings are chosen on a sample so that each curve covers the range of PSNR that is compared.
docs/measuring.md says how rates and qualities are counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.data import Folders, Pictures, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.rates.contenders import AvifSheet, Contender, LearnedPayloads, Ours, Theirs, png_row
from benchmarks.rates.rate_curves import Row, choose_qualities, summarise
from benchmarks.rates.rate_plot import draw
from benchmarks.rates.rate_table import print_row, print_summary
from benchmarks.rates.rivals import AVIF, JPEG, JPEG_SCAN, WEBP
from kinpack.codec.codec import Codec
from kinpack.errors import ImageError, KinpackError

MARGIN = 0.4
"""How far, in dB, curves are meant to reach beyond the range on each side."""
STEP = 3
"""Qualities from one to the next where a curve falls short of the range after all."""


@dataclass(frozen=True)
class Plan:
    """How a data set is measured.

    Attributes:
        low: lower end of the range of PSNR that every curve is to cover, in dB.
        high: its upper end.
        points: settings of each codec.
        every_rival: whether all rivals are measured, or WebP alone.
        sample: pictures that settings are chosen on.
    """

    low: float
    high: float
    points: int = 7
    every_rival: bool = True
    sample: int = 60

    @property
    def targets(self) -> list[float]:
        """PSNRs wanted, in dB."""
        ends = self.low - MARGIN, self.high + MARGIN
        return [float(value) for value in np.linspace(*ends, self.points)]

    @property
    def close(self) -> float:
        """How far from them settings may be, in dB."""
        return (self.high - self.low) / self.points / 6


PLANS = {
    "cifar10-toy": Plan(26, 36),
    # The whole test set answers one question: bytes on disk beside WebP files.
    "cifar10-test": Plan(28, 32, points=3, every_rival=False),
    "emoji": Plan(28, 38),
    "thumbnails": Plan(28, 38),
}
QUICK_POINTS, QUICK_SAMPLE, QUICK_PICTURES = 5, 8, 48


def measured_rows(
    contender: Contender, pictures: Pictures, plan: Plan, *, seed: int
) -> Iterator[Row]:
    """Measure a codec at as many qualities as planned, and further ones until the range is covered.

    Args:
        contender: the codec.
        pictures: the data set.
        plan: the range and the number of points.
        seed: of the sample that qualities are chosen on.

    Yields:
        Rows; a codec that cannot reach an end of the range stops at its last quality.
    """
    sample = pictures.sample(plan.sample, seed=seed).images
    lowest, highest = contender.qualities
    waiting = choose_qualities(
        lambda quality: contender.probe(sample, quality),
        contender.qualities,
        plan.targets,
        close=plan.close,
    )
    values: dict[int, float] = {}
    while waiting:
        quality = waiting.pop(0)
        rows = contender.rows(pictures, quality)
        values[quality] = rows[0]["psnr_mean"]
        yield from rows
        if not waiting:
            first, last = min(values), max(values)
            if values[first] > plan.low and first > lowest:
                waiting.append(max(lowest, first - STEP))
            elif values[last] < plan.high and last < highest:
                waiting.append(min(highest, last + STEP))


def contenders(codec: Codec, plan: Plan, workers: Executor, *, threads: int) -> list[Contender]:
    """All that are to be measured by a plan, ours first."""
    listed: list[Contender] = [
        Ours("kinpack", codec, threads=threads),
        Ours("kinpack-classic", Codec.load("classic"), threads=threads),
    ]
    if codec.is_learned:
        listed.append(LearnedPayloads(codec, threads=threads))
    listed.append(Theirs(WEBP, workers))
    if plan.every_rival:
        listed += [Theirs(rival, workers) for rival in (AVIF, JPEG, JPEG_SCAN)]
        listed.append(AvifSheet())
    return listed


def measure_data(
    pictures: Pictures, codec: Codec, plan: Plan, *, threads: int, seed: int
) -> list[Row]:
    """All rows of a data set, each printed as it is measured."""
    rows = []
    with ThreadPoolExecutor(threads) as workers:
        for contender in contenders(codec, plan, workers, threads=threads):
            try:
                for row in measured_rows(contender, pictures, plan, seed=seed):
                    print_row(row)
                    rows.append(row)
            except ImageError as error:
                print(f"{contender.name} is left out: {error}", file=sys.stderr)
    if plan.every_rival:
        rows.append(png_row(pictures))
        print_row(rows[-1])
    return rows


def load_results(path: Path) -> dict[str, Any]:
    """The result file, or an empty one."""
    if path.exists():
        results: dict[str, Any] = json.loads(path.read_text())
        return results
    return {"rows": [], "summary": {}, "machine": {}}


def save_results(path: Path, results: dict[str, Any]) -> None:
    """Write the result file, whole or not at all, a row a line."""
    rows = ",\n    ".join(json.dumps(one, ensure_ascii=False) for one in results["rows"])
    rest = {key: value for key, value in results.items() if key != "rows"}
    text = json.dumps({"rows": [], **rest}, indent=2, ensure_ascii=False)
    text = text.replace('"rows": []', f'"rows": [\n    {rows}\n  ]', 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)


def run(arguments: argparse.Namespace) -> None:
    """Measure what the arguments ask for, and write results, table and plot."""
    codec = Codec.load(arguments.codec)
    folders = Folders(arguments.cifar, arguments.emoji, arguments.thumbnails, arguments.size)
    for name in arguments.data:
        plan = PLANS[name]
        pictures = load_pictures(name, folders)
        if arguments.quick:
            plan = replace(plan, points=QUICK_POINTS, sample=QUICK_SAMPLE)
            pictures = pictures.sample(QUICK_PICTURES, seed=arguments.seed)
        began = time.perf_counter()
        rows = measure_data(pictures, codec, plan, threads=arguments.threads, seed=arguments.seed)
        # Read again at the end: another run may have added another data set meanwhile.
        results = load_results(arguments.output)
        results["rows"] = [one for one in results["rows"] if one["data"] != name] + rows
        results["summary"][name] = summarise(rows, (plan.low, plan.high))
        results["machine"][name] = {
            **run_head(seed=arguments.seed),
            "seconds": round(time.perf_counter() - began, 1),
            "threads": arguments.threads,
            "quick": arguments.quick,
            "codec": {"name": codec.name, "codec_id": codec.codec_id, "bytes": codec.n_bytes},
        }
        save_results(arguments.output, results)
        print_summary(name, results["summary"][name])
    draw(load_results(arguments.output), arguments.output)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Measure rate and quality beside ordinary codecs.")
    parser.add_argument("--data", nargs="+", choices=tuple(PLANS), required=True)
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as Parquet files")
    parser.add_argument("--emoji", type=Path, metavar="DIR", help="emoji, a folder a category")
    parser.add_argument("--thumbnails", type=Path, metavar="DIR", help="pictures to be reduced")
    parser.add_argument("--size", type=int, default=64, help="longest side of thumbnails, pixels")
    parser.add_argument("--codec", default="default", help="a .kinc file, default or classic")
    parser.add_argument("--quick", action="store_true", help="few pictures, few settings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the sample for choosing settings")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file; .png, .svg")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"rate_distortion: {error}")


if __name__ == "__main__":
    main()
