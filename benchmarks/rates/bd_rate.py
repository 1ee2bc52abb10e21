"""BD-rates of kinpack against the strongest rivals, beside what each was to reach.

    python -m benchmarks.rates.bd_rate --work runs/bd --cifar DIR --fashion DIR --emoji DIR \
        --photographs DIR --codec cifar10-toy=default --codec fashion-mnist=FILE \
        --codec emoji=FILE --codec thumbs64=FILE -o benchmarks/results/bd_rate.json

Every finished point is kept in --work under what it depends on (pictures, codec, options, versions,
machine), so that an interrupted run goes on and a new codec file leaves the rivals measured. Data
sets named by --data without a codec have only their rivals measured. What a data set needs is in
`data`, what is compared and the limits in `bd_rows`, and how rates and qualities are counted in
docs/measuring.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.measuring.data import Folders, Pictures, load_pictures
from benchmarks.measuring.machine import machine, run_head
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.rates.bd_rows import CLASSIC, CLASSIC_RULES, RANGES, bd_rows, curve_points, own_name
from benchmarks.rates.contenders import AvifSheet, Contender, Ours, Theirs
from benchmarks.rates.measured_curves import Plan, measured_rows
from benchmarks.rates.point_store import PointStore, Remembered, source_fingerprint
from benchmarks.rates.rate_curves import Row
from benchmarks.rates.rate_table import console, print_row
from benchmarks.rates.rivals import (
    AVIF,
    AVIF_GREY,
    AVIF_SLOWEST,
    JPEG,
    WEBP,
    Rival,
    jpeg_xl_version,
)
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic
from kinpack.errors import KinpackError

POINTS, SHEET_POINTS = 8, 6
"""Settings of each codec; the slow sheet has fewer."""
PLANS = {name: Plan(*span, points=POINTS) for name, span in RANGES.items()}


@dataclass(frozen=True)
class Entrant:
    """A contender and how many settings it is measured at."""

    contender: Contender
    points: int = POINTS


def rivals_of(
    name: str, store: PointStore, workers: Executor, *, with_sheet: bool = True
) -> Iterator[Entrant]:
    """The rivals of a data set.

    Args:
        name: the data set.
        store: where finished points are kept.
        workers: for coding pictures side by side.
        with_sheet: whether the slow contact sheet is among them.
    """
    rivals = [AVIF_GREY if name == "fashion-mnist" else AVIF, WEBP, JPEG]
    if name == "fashion-mnist":
        # With the planes of a colour picture, as other tables of this data set count.
        rivals.append(replace(AVIF, file_name="avif-file-444", payload_name="avif-payload-s4-444"))
    for rival in rivals:
        yield Entrant(kept(Theirs(rival, workers), rival, store, alpha=name == "emoji"))
    if name == "cifar10-toy" and with_sheet:
        sheet = AvifSheet(AVIF_SLOWEST, "avif-sheet-s0")
        yield Entrant(kept(sheet, AVIF_SLOWEST, store), SHEET_POINTS)


def kept(
    contender: Contender, rival: Rival, store: PointStore, *, alpha: bool = False
) -> Remembered:
    """A rival whose points are kept; ``alpha`` says that pictures have some, coded as ours is."""
    here = machine()
    key = {
        "libraries": here["libraries"],
        "pillow": here["packages"]["pillow"],
        "machine": [here["processor"], here["cores"], here["system"]],
        "format": rival.format,
        "options": rival.options,
    }
    if rival.format == "JXL":
        key["plugin"] = jpeg_xl_version()
    if alpha:
        key["alpha"] = source_fingerprint("codec/classic/alpha.py", "codec/classic/webp.py")
    return Remembered(contender, store, key)


def ours(codec: Codec, store: PointStore, *, threads: int) -> Iterator[Entrant]:
    """Archives of a codec, without and with classic payloads beside, and of classic ones alone.

    Args:
        codec: a learned one.
        store: where finished points are kept.
        threads: for packing and unpacking.

    Raises:
        KinpackError: the codec has no learned payloads.
    """
    if not codec.is_learned:
        raise KinpackError(f"codec {codec.name!r} has no learned payloads; name a learned one")
    here = machine()
    common = {
        "source": source_fingerprint(),
        "packages": here["packages"],
        "libraries": here["libraries"],
        "machine": [here["processor"], here["cores"], here["system"]],
    }
    listed: list[tuple[str, Codec, Classic]] = [
        (own_name(classic, "disk"), codec, classic) for classic in CLASSIC_RULES
    ]
    for name, one, classic in (*listed, (CLASSIC, Codec.load("classic"), "auto")):
        contender = Ours(name, one, threads=threads, classic=classic)
        yield Entrant(
            Remembered(contender, store, {**common, "codec": one.codec_id, "classic": classic})
        )


def measure_data(
    pictures: Pictures, entries: Iterator[Entrant], plan: Plan, *, seed: int
) -> list[Row]:
    """All rows of a data set, each printed as it is measured."""
    rows = []
    for entry in entries:
        own_plan = replace(plan, points=min(plan.points, entry.points))
        for row in measured_rows(entry.contender, pictures, own_plan, seed=seed):
            print_row(row)
            rows.append(row)
    return rows


def run(arguments: argparse.Namespace) -> None:
    """Measure what the arguments ask for; write the results of data sets that have a codec."""
    specs = codec_specs(arguments.codec)
    names = arguments.data or list(specs)
    if not names or not specs.keys() <= set(names):
        raise KinpackError("say what to measure: --data NAME, or --codec NAME=FILE for each")
    codecs = {name: Codec.load(spec) for name, spec in specs.items()}
    if codecs and arguments.output is None:
        raise KinpackError("say where the results go: -o FILE.json")
    store = PointStore(arguments.work)
    folders = Folders(
        cifar=arguments.cifar,
        emoji=arguments.emoji,
        fashion=arguments.fashion,
        photographs=arguments.photographs,
    )
    for name in names:
        plan, pictures = PLANS[name], load_pictures(name, folders)
        if arguments.images:
            pictures = pictures.sample(arguments.images, seed=arguments.seed)
        began = time.perf_counter()
        rows: list[Row] = []
        with ThreadPoolExecutor(arguments.threads) as workers:
            if name in codecs:
                mine = ours(codecs[name], store, threads=arguments.threads)
                rows += measure_data(pictures, mine, plan, seed=arguments.seed)
            theirs = rivals_of(name, store, workers, with_sheet=not arguments.no_sheet)
            rows += measure_data(pictures, theirs, plan, seed=arguments.seed)
        if name not in codecs:
            continue
        codec = codecs[name]
        about = {
            **run_head(seed=arguments.seed),
            "seconds": round(time.perf_counter() - began, 1),
            "images": len(pictures),
            "codec": {"name": codec.name, "codec_id": codec.codec_id, "bytes": codec.n_bytes},
        }
        add_data(arguments.output, name, rows, about)


def add_data(path: Path, name: str, rows: list[Row], about: Mapping[str, Any]) -> None:
    """Put the BD-rates of one data set into the result file and print them; others stay."""
    results = {"rows": [], "curves": {}, "machine": {}, **load_results(path)}
    found = bd_rows(name, rows)
    results["rows"] = [one for one in results["rows"] if one["data"] != name] + found
    results["curves"][name] = curve_points(rows)
    results["machine"][name] = dict(about)
    save_results(path, results)
    print_table(found)


def codec_specs(words: Sequence[str]) -> dict[str, str]:
    """Codec of each data set, from words ``NAME=FILE``.

    Raises:
        KinpackError: a word is of another form, or names no data set or one twice.
    """
    specs: dict[str, str] = {}
    for word in words:
        name, equals, spec = word.partition("=")
        if not equals or not spec or name not in PLANS or name in specs:
            raise KinpackError(
                f"--codec {word}: give NAME=FILE, once for each of {', '.join(PLANS)}"
            )
        specs[name] = spec
    return specs


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """BD-rates beside their limits."""
    table = Table(title="BD-rate, %", title_justify="left")
    for column in ("data", "table", "classic", "anchor"):
        table.add_column(column)
    for column in ("BD-rate", "must", "goal"):
        table.add_column(column, justify="right")
    table.add_column("reached")
    for row in rows:
        table.add_row(
            *(row[key] for key in ("data", "table", "classic", "anchor")),
            shown(row),
            *(f"{row[key]:+g}" if key in row else "" for key in ("must_percent", "goal_percent")),
            str(row.get("reached", "")),
        )
    console.print(table)


def shown(row: Mapping[str, Any]) -> str:
    """A BD-rate in words; of a curve that is too short, that of the range it covers."""
    value, covered = row["bd_rate_percent"], row.get("covered")
    if value is not None:
        return f"{value:+.1f}"
    if covered is None:
        return "–"
    low, high = covered["range_db"]
    return f"({covered['bd_rate_percent']:+.1f} over {low:g}–{high:g} dB)"


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="BD-rates against the strongest rivals.")
    parser.add_argument(
        "--data", nargs="+", choices=tuple(PLANS), help="by default those of --codec"
    )
    parser.add_argument("--codec", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--work", type=Path, help="folder in which finished points are kept")
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as Parquet files")
    parser.add_argument("--fashion", type=Path, metavar="DIR", help="Fashion-MNIST, the same")
    parser.add_argument("--emoji", type=Path, metavar="DIR", help="emoji, a folder a category")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="the val photographs")
    parser.add_argument("--images", type=int, help="measure so many pictures only, for a trial")
    parser.add_argument("--no-sheet", action="store_true", help="leave the slow sheet out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the sample for choosing settings")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"bd_rate: {error}")


if __name__ == "__main__":
    main()
