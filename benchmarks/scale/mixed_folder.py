"""A folder of many mixed files is packed, followed after changes, and unpacked, a command each.

    python -m benchmarks.scale.mixed_folder [--files 20000] -o benchmarks/results/mixed_folder.json

The files are made from a seed: pictures of all sorts and formats, some cut short, some broken, and
others that are none. What every file is to come to is known when it is made; whatever comes to
something else is a surprise, and counted. Then 500 files are changed, added, renamed and removed,
`kinpack sync` is to find just these, and the unpacked archive is to show what the folder shows.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.lattice.rendered_pictures import smooth
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.errors import ImageError
from kinpack.metrics import psnr
from kinpack.pictures.images import composite_on_white, load_image

SEED = 6
LEAST_PSNR = 18.0
"""In dB, between an unpacked picture and its file, however small."""
COMPARED = 2000
CHANGES = {"new": 150, "changed": 150, "renamed": 100, "gone": 100}

FORMATS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (".jpg", "JPEG", {"quality": 85}),
    (".jpeg", "JPEG", {"quality": 95, "progressive": True}),
    (".JPG", "JPEG", {"quality": 90, "subsampling": 0}),
    (".png", "PNG", {}),
    (".webp", "WEBP", {"quality": 80}),
    (".webp", "WEBP", {"lossless": True}),
    (".gif", "GIF", {}),
    (".tif", "TIFF", {"compression": "tiff_lzw"}),
    (".tiff", "TIFF", {}),
    (".bmp", "BMP", {}),
    (".tga", "TGA", {}),
    (".ppm", "PPM", {}),
    (".jp2", "JPEG2000", {}),
    (".avif", "AVIF", {"quality": 80, "speed": 10}),
    (".jfif", "JPEG", {"quality": 75}),
    ("", "PNG", {}),  # told by its first bytes
    (".dat", "JPEG", {"quality": 90}),
    (".png", "JPEG", {"quality": 90}),  # under a wrong name
)
MODES = ("RGB", "RGB", "RGB", "L", "RGBA", "P", "CMYK", "I;16", "1")
"""Pictures are converted to one of these where their format can hold it."""
NAMES = ("{n}", "IMG_{n}", "été {n}", "写真{n}", "a b {n}", "con.{n}", "x{n}?", "{n}.v2", "-{n}")
OTHERS = {
    "notes.txt": b"some words",
    "clip.mov": b"\0\0\0\x14ftypqt  ",
    "Thumbs.db": bytes(64),
    "list.csv": b"a,b\n",
    "paper.pdf": b"%PDF-1.4",
    "plan.psd": b"8BPS\0\1",
}


@dataclass
class Expected:
    """What the files of a folder are to come to.

    Attributes:
        whole: paths of pictures.
        cut: paths of pictures of which a part is missing.
        broken: paths of files that are called pictures, and cannot be read.
        others: files that are none, by their suffix.
        hidden: files that are hidden.
    """

    whole: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0

    @property
    def ids(self) -> set[str]:
        """Ids that the archive is to have."""
        return {*self.whole, *self.cut}


def picture_bytes(number: int, form: str, options: dict[str, Any]) -> bytes:
    """A picture file of a format, another one for each number."""
    rng = np.random.default_rng((SEED, number))
    side = int(rng.integers(12, 64))
    picture = PIL.Image.fromarray(smooth(SEED * 10**6 + number, 64)).crop((0, 0, side, 48))
    stamp = PIL.Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    picture.paste(stamp, (2, 2))  # so that no two are the same
    mode = MODES[int(rng.integers(len(MODES)))]
    if mode == "I;16":
        wide = np.asarray(picture.convert("L"), np.uint16) * 257
        converted = PIL.Image.fromarray(wide)
    else:
        converted = picture.convert(mode)
    for one in (converted, picture):
        file = io.BytesIO()
        try:
            one.save(file, form, **options)
        except (OSError, ValueError):
            continue  # which this format cannot hold
        return file.getvalue()
    raise ValueError(f"{form} holds no picture")


def write(path: Path, data: bytes) -> None:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make(folder: Path, files: int) -> Expected:
    """Make a folder of mixed files."""
    expected = Expected()
    for number in range(files):
        suffix, form, options = FORMATS[number % len(FORMATS)]
        name = NAMES[number // len(FORMATS) % len(NAMES)].format(n=f"{number:06}")
        path = f"{number % 37:02}/{name}{suffix}"
        sort = number % 101
        if sort == 7:
            other, data = list(OTHERS.items())[number % len(OTHERS)]
            path = f"{number % 37:02}/{number}-{other}"
            write(folder / path, data)
            expected.others[Path(path).suffix.lower()] += 1
            continue
        if sort == 13:
            write(folder / f"{number % 37:02}/.{number}.jpg", b"hidden")
            expected.hidden += 1
            continue
        data = picture_bytes(number, form, options)
        if sort == 23 and suffix not in ("", ".dat"):  # which are told by their bytes
            data = (b"", b"no picture at all", data[: len(data) // 50])[number // 101 % 3]
            write(folder / path, data)
            expected.broken.append(path)
            continue
        if sort == 31 and form == "JPEG" and suffix != ".dat":
            write(folder / path, data[:-20])
            expected.cut.append(path)
            continue
        write(folder / path, data)
        expected.whole.append(path)
    return expected


def change(folder: Path, expected: Expected, files: int) -> dict[str, list[Any]]:
    """Change some files; what `kinpack sync` is to find, by its words."""
    rng = np.random.default_rng(SEED)
    chosen = [expected.whole[at] for at in rng.permutation(len(expected.whole))]
    scale = min(1.0, files / 5000)
    counts = {what: max(4, int(count * scale)) // 2 * 2 for what, count in CHANGES.items()}
    done: dict[str, list[Any]] = {}
    done["gone"], chosen = chosen[: counts["gone"]], chosen[counts["gone"] :]
    done["changed"], chosen = chosen[: counts["changed"]], chosen[counts["changed"] :]
    moved = chosen[: counts["renamed"]]
    for path in done["gone"]:
        (folder / path).unlink()
        expected.whole.remove(path)
    for at, path in enumerate(done["changed"]):
        write(folder / path, picture_bytes(files + at, "PNG", {}))
    done["new"] = [f"new/{at:04}.png" for at in range(counts["new"])]
    for at, path in enumerate(done["new"]):
        write(folder / path, picture_bytes(2 * files + at, "PNG", {}))
    half = len(moved) // 2
    renamed = [(path, f"moved/{at:04}{Path(path).suffix}") for at, path in enumerate(moved[:half])]
    for old, new in renamed:
        write(folder / new, b"")
        (folder / old).replace(folder / new)
    for one, other in zip(moved[half::2], moved[half + 1 :: 2], strict=False):
        aside = folder / "aside"
        (folder / one).replace(aside)
        (folder / other).replace(folder / one)
        aside.replace(folder / other)
        renamed += [(one, other), (other, one)]
    for old, _ in renamed:
        expected.whole.remove(old)
    expected.whole += [new for _, new in renamed] + done["new"]
    done["renamed"] = renamed
    return done


def command(*words: str | Path) -> tuple[dict[str, Any], float, int]:
    """Run a command of kinpack; what it says, the seconds that it took, and its exit code."""
    begun = time.monotonic()
    full = [sys.executable, "-m", "kinpack", *map(str, words), "--json"]
    done = subprocess.run(full, check=False, capture_output=True, text=True)
    seconds = time.monotonic() - begun
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.stderr.strip():
        told["stderr"] = done.stderr.strip()
    return told, seconds, done.returncode


def differences(what: str, found: Any, wanted: Any) -> list[str]:
    """A line for what is not as it was to be."""
    if found == wanted:
        return []
    if isinstance(wanted, set) and isinstance(found, set):
        found, wanted = sorted(found - wanted)[:5], sorted(wanted - found)[:5]
    return [f"{what}: found {found}, and not {wanted}"]


def compare(unpacked: Path, folder: Path, expected: Expected) -> tuple[list[str], dict[str, Any]]:
    """Hold unpacked pictures against the files of the folder."""
    with (unpacked / "labels.csv").open(newline="", encoding="utf-8") as table:
        files = {row["id"]: row["file"] for row in csv.DictReader(table)}
    wrong = differences("unpacked ids", set(files), expected.ids)
    there = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.*")}
    wrong += differences("unpacked files", there - {"labels.csv"}, set(files.values()))
    rng = np.random.default_rng(SEED)
    whole = sorted(set(expected.whole) & files.keys())
    some = rng.choice(len(whole), min(COMPARED, len(whole)), replace=False)
    least = 100.0
    for at in some.tolist():
        try:
            original = load_image(folder / whole[at])
        except ImageError as error:
            wrong.append(str(error))
            continue
        drawn = load_image(unpacked / files[whole[at]])
        if drawn.shape != original.shape:
            wrong.append(f"{whole[at]}: {drawn.shape}, and not {original.shape}")
            continue
        reached = psnr(composite_on_white(original), composite_on_white(drawn))
        least = min(least, reached)
        if reached < LEAST_PSNR:
            wrong.append(f"{whole[at]}: {reached:.1f} dB")
    return wrong, {"compared": len(some), "least_psnr": round(least, 1)}


def measure(place: Path, files: int) -> dict[str, Any]:
    """Run the trial; what was done, how long it took, and what surprised.

    Args:
        place: an empty folder to work in.
        files: how many there are to be.
    """
    folder, archive = place / "folder", place / "folder.kin"
    expected = make(folder, files)
    surprises: list[str] = []
    packed, packing, code = command(
        *("pack", folder, "-o", archive, "--codec", "classic", "--effort", "fast"),
        *("--columns", "file,hash", "--describer", "none"),
    )
    surprises += differences("exit code of pack", code, 3 if expected.broken else 0)
    surprises += differences("added", packed.get("added"), len(expected.ids))
    broken = {one["id"] for one in packed.get("broken", [])}
    surprises += differences("broken", broken, set(expected.broken))
    cut = {one["id"] for one in packed.get("damaged", [])}
    surprises += differences("cut short", cut, set(expected.cut))
    left = packed.get("left_out", {})
    surprises += differences("left out", left.get("kinds"), dict(expected.others.most_common()))
    surprises += differences("hidden", left.get("hidden"), expected.hidden)

    _, unchanged, code = command("sync", archive, folder)
    surprises += differences("exit code of sync, unchanged", code, 3 if expected.broken else 0)
    made = change(folder, expected, files)
    synced, syncing, code = command("sync", archive, folder, "--delete")
    surprises += differences("exit code of sync", code, 3 if expected.broken else 0)
    new = set(synced.get("new", ())) - set(expected.broken)
    surprises += differences("new", new, set(made["new"]))
    surprises += differences("changed", set(synced.get("changed", ())), set(made["changed"]))
    renamed = {(one["from"], one["to"]) for one in synced.get("renamed", ())}
    surprises += differences("renamed", renamed, set(made["renamed"]))
    surprises += differences("gone", set(synced.get("gone", ())), set(made["gone"]))
    surprises += differences("images", synced.get("images"), len(expected.ids))

    _, unpacking, code = command("unpack", archive, "-o", place / "unpacked")
    surprises += differences("exit code of unpack", code, 0)
    wrong, held = compare(place / "unpacked", folder, expected)
    surprises += wrong
    _, verifying, code = command("verify", archive)
    surprises += differences("exit code of verify", code, 0)
    return {
        "files": files,
        "pictures": len(expected.ids),
        "cut": len(expected.cut),
        "broken": len(expected.broken),
        "others": sum(expected.others.values()) + expected.hidden,
        "changes": {what: len(those) for what, those in made.items()},
        "seconds": {
            "pack": round(packing, 1),
            "sync, unchanged": round(unchanged, 1),
            "sync": round(syncing, 1),
            "unpack": round(unpacking, 1),
            "verify": round(verifying, 1),
        },
        **held,
        "surprises": len(surprises),
        "told": surprises[:40],
    }


def main() -> None:
    """Run the trial and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place), options.files)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if options.output:
        load = {"load_average": round(os.getloadavg()[0], 1)}
        save_results(options.output, {"run": run_head(seed=SEED) | load, "trial": found})
    sys.exit(1 if found["surprises"] else 0)


if __name__ == "__main__":
    main()
