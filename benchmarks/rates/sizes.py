"""Bytes at equal quality, as people see it, at the sizes that pictures are kept at.

    python -m benchmarks.rates.sizes --codec default --photographs DIR … --learned-from DIR … \
        --fonts DIR --emoji DIR --work runs/sizes -o benchmarks/results/sizes.json

Each kind of pictures (`kept_pictures`) at each size: payloads of the codec with their 8-byte codes,
learned ones alone (classic never) and as kinpack chooses (auto), beside AVIF's payloads, its header
stripped, and whole files. Each is compared with AVIF at speed 4 by every measure (`measures`), over
what both curves cover. JPEG XL takes part where the package ``pillow-jxl-plugin`` is installed.

--codec is ``default``, a .kinc file, or a checkpoint of `benchmarks.lattice.train` (.ckpt), which
is frozen first and needs --patches. Finished points are kept in --work, as by bd_rate.py, so that a
new codec leaves the rivals measured. A figure is drawn beside the result file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.measuring.data import Pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.measures import MEASURES, NAMES
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.rates.bd_rate import Entrant, kept, measure_data, ours
from benchmarks.rates.bd_rows import CLASSIC, by_measure, curve_points
from benchmarks.rates.contenders import Theirs
from benchmarks.rates.kept_pictures import KINDS, Sources, kept_pictures
from benchmarks.rates.point_store import PointStore
from benchmarks.rates.rate_curves import Row
from benchmarks.rates.rate_table import console
from benchmarks.rates.rivals import (
    AVIF,
    AVIF_FASTER,
    JPEG,
    JPEG_XL,
    WEBP,
    Rival,
    grey,
    has_jpeg_xl,
    jpeg_xl_version,
)
from benchmarks.rates.sizes_plot import draw
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError

ANCHOR = "avif-payload-s4"
CODECS = (
    "kinpack-auto-payload",
    "kinpack-never-payload",
    "avif-payload-s6",
    "avif-file",
    "webp-file",
    "jxl-file",
    "jpeg-file",
)
"""What is compared with the anchor, in the order of tables."""


def rivals_of(pictures: Pictures) -> list[Rival]:
    """The rivals that can be measured on this machine, as they take these pictures."""
    listed = [AVIF, AVIF_FASTER, WEBP, JPEG, *([JPEG_XL] if has_jpeg_xl() else [])]
    are_grey = all(image.shape[2] == 1 for image in pictures.images)
    return [grey(rival) for rival in listed] if are_grey else listed


def entrants(
    pictures: Pictures,
    codec: Codec | None,
    store: PointStore,
    workers: Executor,
    *,
    threads: int,
) -> Iterator[Entrant]:
    """Ours without and with classic payloads, where there is a codec, then the rivals."""
    for entry in ours(codec, store, threads=threads) if codec is not None else ():
        if entry.contender.name != CLASSIC:
            yield entry
    for rival in rivals_of(pictures):
        yield Entrant(kept(Theirs(rival, workers), rival, store))


def load_codec(spec: str, patches: Path | None) -> Codec:
    """A codec by name or file, or that of a checkpoint.

    Raises:
        KinpackError: it is a checkpoint, and no folder of patches is given.
    """
    if not spec.endswith(".ckpt"):
        return Codec.load(spec)
    if patches is None:
        raise KinpackError(f"{spec} is frozen on patches: say where they lie with --patches DIR")
    from benchmarks.lattice.freeze import frozen

    return frozen(Path(spec), patches, name=Path(spec).stem)


def compared(data: str, side: int, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """BD-rates of all that was measured against the anchor, a row for each codec."""
    measured = {row["codec"] for row in rows}
    return [
        {
            "data": data,
            "side": side,
            "images": rows[0]["images"],
            "codec": codec,
            "bd_rate": by_measure(rows, codec, ANCHOR),
        }
        for codec in CODECS
        if codec in measured
    ]


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """BD-rates by each measure."""
    title = f"{rows[0]['data']} of {rows[0]['side']} pixels: bytes against {ANCHOR}, %"
    table = Table(title=title, title_justify="left")
    table.add_column("codec")
    for measure in MEASURES:
        table.add_column(NAMES[measure], justify="right")
    for row in rows:
        found = row["bd_rate"]
        cells = [f"{found[m]['percent']:+.1f}" if m in found else "–" for m in MEASURES]
        table.add_row(row["codec"], *cells)
    console.print(table)


def run(arguments: argparse.Namespace) -> None:
    """Measure each kind at each size, write the results after each, and draw them."""
    codec = None if arguments.codec is None else load_codec(arguments.codec, arguments.patches)
    if codec is not None and arguments.output is None:
        raise KinpackError("say where the results go: -o FILE.json")
    store = PointStore(arguments.work)
    sources = Sources(
        photographs=arguments.photographs,
        learned_from=arguments.learned_from,
        fonts=arguments.fonts,
        emoji=arguments.emoji,
        seed=arguments.seed,
    )
    for name, side in ((n, s) for s in arguments.sides for n in arguments.kinds):
        if side not in KINDS[name].sides:
            continue
        count = arguments.images if side < 512 else max(1, arguments.images // 3)
        pictures = kept_pictures(name, side, sources, count=count)
        began = time.perf_counter()
        with ThreadPoolExecutor(arguments.threads) as workers:
            entries = entrants(pictures, codec, store, workers, threads=arguments.threads)
            rows = measure_data(pictures, entries, KINDS[name].plan, seed=arguments.seed)
        if codec is None:
            continue
        rows = [row for row in rows if row["codec"] in (*CODECS, ANCHOR)]
        found = compared(name, side, rows)
        results = {"rows": [], "curves": {}, "machine": {}, **load_results(arguments.output)}
        others = [row for row in results["rows"] if (row["data"], row["side"]) != (name, side)]
        results["rows"] = sorted(
            others + found, key=lambda row: (list(KINDS).index(row["data"]), row["side"])
        )
        results["curves"][pictures.name] = curve_points(rows)
        results["machine"][pictures.name] = {
            **run_head(seed=arguments.seed),
            "seconds": round(time.perf_counter() - began, 1),
            "images": len(pictures),
            "mean_pixels": round(pictures.pixels / len(pictures)),
            "jpeg_xl": jpeg_xl_version(),
            "codec": {"name": codec.name, "codec_id": codec.codec_id, "bytes": codec.n_bytes},
        }
        save_results(arguments.output, results)
        print_table(found)
    if codec is not None:
        draw(load_results(arguments.output), arguments.output)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Bytes at equal quality, size by size.")
    parser.add_argument("--codec", help="default, a .kinc file or a .ckpt; without one only rivals")
    parser.add_argument("--patches", type=Path, metavar="DIR", help="to freeze a .ckpt on")
    parser.add_argument("--photographs", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--learned-from", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--fonts", type=Path, metavar="DIR", help="for pages")
    parser.add_argument("--emoji", type=Path, metavar="DIR")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--images", type=int, default=30, help="of each; of 512 pixels a third")
    parser.add_argument("--work", type=Path, help="folder in which finished points are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; .png, .svg")
    try:
        run(parser.parse_args())
    except KinpackError as error:
        sys.exit(f"sizes: {error}")


if __name__ == "__main__":
    main()
