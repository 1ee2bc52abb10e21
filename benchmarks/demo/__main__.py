"""The demo: pack real thumbnails, compare with files, search, verify, unpack, draw a sheet.

    make demo
    python -m benchmarks.demo [--results FILE]

Runs the `kinpack` command of its own environment, shows every command it runs, and writes all that
it makes below demo-output, which it empties first. With --results the numbers are kept as JSON.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.demo.pictures import Recipe, write_pictures
from benchmarks.demo.rivals import SAMPLE_STEP, Measured, measure
from benchmarks.demo.sheet import Kin, Pair, Query, draw_sheet
from kinpack.metrics import psnr

OUTPUT = Path("demo-output")
KIN = 8
# New crops of three photographs, cut with another seed than those of the archive.
QUERY_LABELS = ("cat", "coffee", "rocket")

console = Console(highlight=False)


class Kinpack:
    """The `kinpack` command of this environment, each call shown before it runs."""

    def __init__(self) -> None:
        suffix = sysconfig.get_config_var("EXE") or ""
        self.program = Path(sysconfig.get_path("scripts")) / f"kinpack{suffix}"

    def show(self, *arguments: str | Path) -> None:
        """Show a command, run it, and let its output be seen."""
        words = [str(argument) for argument in arguments]
        console.print(f"\n[bold]$ kinpack {shlex.join(words)}[/bold]", soft_wrap=True)
        self._run(words, capture=False)

    def ask(self, *arguments: str | Path) -> Any:
        """The JSON answer of a command, which is not shown."""
        return json.loads(self._run([str(argument) for argument in arguments], capture=True))

    def _run(self, words: list[str], *, capture: bool) -> str:
        sys.stdout.flush()
        done = subprocess.run(
            [self.program, *words],
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"demo: kinpack {words[0]} ended with exit code {done.returncode}")
        return done.stdout or ""


@dataclass(frozen=True)
class Ours:
    """What the archive costs: as `kinpack info --json` has it, and the PSNR of what came back."""

    images: int
    bytes: int
    codec_bytes: int
    psnr: float


def open_pictures(folder: Path) -> dict[str, Image.Image]:
    """All pictures of a folder by id, which is the path below it."""
    pictures: dict[str, Image.Image] = {}
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            image.load()
            pictures[path.relative_to(folder).as_posix()] = image
    return pictures


def print_table(ours: Ours, rivals: list[Measured]) -> None:
    """Bytes and PSNR of the archive beside those of files."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "bytes", "an image", "with codec", "PSNR, dB", "x kinpack"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)

    def row(name: str, size: int, codec: int, value: str, style: str | None = None) -> None:
        each, ratio = size / ours.images, size / ours.bytes
        numbers = (f"{size:,}", f"{each:,.0f}", f"{size + codec:,}", value, f"{ratio:.2f}")
        table.add_row(name, *numbers, style=style)

    row("kinpack archive", ours.bytes, ours.codec_bytes, f"{ours.psnr:.2f}", "bold green")
    for rival in rivals:
        setting = "" if rival.quality is None else f", quality {rival.quality}"
        value = "exact" if rival.quality is None else f"{rival.psnr:.2f}"
        row(f"{rival.name} files{setting}", rival.bytes, 0, value)
    console.print(table)
    console.print(
        "Bytes are lengths of files; a codec's are paid once, however many pictures it packs.\n"
        "Each quality is the lowest whose mean PSNR is at least kinpack's on every\n"
        f"{SAMPLE_STEP}th picture; bytes and PSNR are then measured on all of them.",
        style="dim",
        soft_wrap=True,
    )


def run(results: Path | None) -> None:
    """The whole demo, into ``OUTPUT``; its numbers as JSON into ``results``, if given."""
    began = time.perf_counter()
    kinpack = Kinpack()
    pictures, queries, unpacked = OUTPUT / "pictures", OUTPUT / "queries", OUTPUT / "unpacked"
    archive, sheet = OUTPUT / "pictures.kin", OUTPUT / "contact-sheet.png"
    shutil.rmtree(OUTPUT, ignore_errors=True)

    recipe = Recipe()
    count = write_pictures(pictures, recipe)
    write_pictures(queries, Recipe(per_photograph=1, seed=recipe.seed + 1))
    labels = sorted({path.name for path in pictures.iterdir()})
    console.print(
        f"{count:,} thumbnails of {recipe.side} x {recipe.side} pixels, cut from {len(labels)} "
        f"photographs, are in {pictures}:\n{', '.join(labels)}.",
        soft_wrap=True,
    )

    kinpack.show("pack", pictures, "-o", archive)
    info = kinpack.ask("info", archive, "--json")
    lengths = {row["id"]: row["length"] for row in kinpack.ask("ls", archive, "--json")}
    kinpack.show("info", archive)

    hits = {}
    for label in QUERY_LABELS:
        query = queries / label / "000.png"
        kinpack.show("search", archive, query, "-k", str(KIN))
        hits[label] = kinpack.ask("search", archive, query, "-k", str(KIN), "--json")

    kinpack.show("verify", archive)
    kinpack.show("unpack", archive, "-o", unpacked)

    originals, decoded = open_pictures(pictures), open_pictures(unpacked)
    if decoded.keys() != originals.keys():
        sys.exit("demo: the archive did not give back the pictures that went in")
    values = {
        name: float(psnr(np.asarray(image), np.asarray(decoded[name])))
        for name, image in originals.items()
    }
    ours = Ours(
        images=info["images"],
        bytes=info["bytes_on_disk"],
        codec_bytes=info["codec_bytes"],
        psnr=float(np.mean(list(values.values()))),
    )
    console.print("\n[bold]The same pictures as files of the same quality[/bold]")
    rivals = measure(list(originals.values()), list(values.values()))
    print_table(ours, rivals)

    draw_sheet(
        sheet,
        f"{ours.images:,} pictures in {ours.bytes / 1e6:.2f} MB",
        f"{ours.bytes / ours.images:.0f} bytes a picture at {ours.psnr:.1f} dB, everything on disk "
        f"counted but the codec ({ours.codec_bytes / 1e3:,.0f} kB, shared by all archives).",
        [
            Query(
                image=Image.open(queries / label / "000.png"),
                name=f"a new crop of {label}",
                label=label,
                kin=[
                    Kin(decoded[hit["id"]], hit["id"], hit["label"], hit["distance"])
                    for hit in hits[label]
                ],
            )
            for label in QUERY_LABELS
        ],
        [
            Pair(originals[name], decoded[name], name, values[name], lengths[name])
            for name in (f"{label}/{7:03d}.png" for label in labels)
        ],
    )
    seconds = time.perf_counter() - began
    if results is not None:
        row = {"kinpack": asdict(ours), "files": [asdict(r) for r in rivals], "seconds": seconds}
        results.write_text(json.dumps(row, indent=2) + "\n")
    console.print(
        f"\nThe contact sheet is {sheet}: look at it. All of this took {seconds:.0f} s.\n\n"
        "[bold]Your own pictures:[/bold]\n"
        "  pip install .                                     in this folder, once\n"
        "  kinpack pack PHOTOS -o photos.kin --size 256      a folder, made into thumbnails\n"
        "  kinpack search photos.kin PICTURE.jpg             what is like this picture?\n"
        "  kinpack unpack photos.kin -o thumbnails           all of it, as files\n"
        "Without installing anything: .venv-demo/bin/kinpack does the same.",
        soft_wrap=True,
    )


def main() -> None:
    """Read the arguments and run the demo."""
    parser = argparse.ArgumentParser(description="Pack, search and unpack real thumbnails.")
    parser.add_argument("--results", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    try:
        run(arguments.results)
    except FileNotFoundError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
