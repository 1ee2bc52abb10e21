"""Draw all golden archives on an emulated ARM64 machine, and compare every pixel.

    python -m benchmarks.exactness.emulated_arm ROOT -o benchmarks/results/emulated_arm.json

ROOT is a folder that holds Debian for ARM64 with Python, wheels for it unpacked in `opt/wheels`,
and the emulator; as root, with the packages `debootstrap` and `qemu-user-static`:

    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3 bookworm ROOT MIRROR
    for deb in ROOT/var/cache/apt/archives/*.deb; do dpkg-deb -x $deb ROOT; done
    cp /usr/bin/qemu-aarch64-static ROOT/usr/bin/
    pip download -d wheels --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64
        --python-version 3.11 --only-binary=:all: numpy pillow pyarrow onnxruntime
    for wheel in wheels/*.whl; do python -m zipfile -e $wheel ROOT/opt/wheels; done

constriction has no wheel there, so kinpack's own range coder reads all payloads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import ROOT
from benchmarks.measuring.result_file import save_results
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.networks.networks import Engine

ENGINES: tuple[Engine, ...] = ("numpy", "onnxruntime")
COPIED = ("src/kinpack", "tests/golden", "benchmarks/exactness", "benchmarks/measuring")


def draw(golden: Path, name: str, engine: Engine) -> dict[str, Any]:
    """Draw an archive here, and hold it against what it was.

    Args:
        golden: folder of the golden files of a version.
        name: of the archive.
        engine: what runs its networks.

    Returns:
        JSON values: images by kind, those that differ, the most that a value differs by, searches
        that find what they found and all of them, and what `verify` says.
    """
    known = json.loads((golden / "expected.json").read_text("utf-8"))
    (one,) = (one for one in known if one["archive"] == name.removesuffix(".zip"))
    (file,) = (golden / name.removesuffix(".zip") / "codecs").iterdir()
    codec = Codec.load(file, engine=engine, threads=1)
    begin = time.perf_counter()
    kinds: Counter[str] = Counter()
    differ: Counter[str] = Counter()
    most = 0
    with Archive.open(golden / name, codec=codec) as archive:
        problems = archive.verify(deep=True).problems
        searches = sum(_found(archive, search) == search["hits"] for search in one["searches"])
        for (entry, image), was in zip(archive.images(), one["images"], strict=True):
            kinds[entry.kind.name] += 1
            if hashlib.sha256(image.tobytes()).hexdigest() != was["pixels"]:
                differ[entry.kind.name] += 1
                most = max(most, _distance(golden, was, image))
    return {
        "archive": name,
        "engine": engine,
        "images": dict(kinds),
        "differ": dict(differ),
        "most": most,
        "searches": [searches, len(one["searches"])],
        "problems": problems,
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _found(archive: Archive, search: dict[str, Any]) -> list[list[Any]]:
    hits = archive.search(search["id"], k=5, codes=search["codes"])
    return [[hit.id, hit.distance] for hit in hits]


def _distance(golden: Path, was: dict[str, Any], image: np.ndarray[Any, Any]) -> int:
    """The most that a value of a picture differs by from what was drawn; 255 if that is unknown."""
    drawn = golden / "drawn" / f"{hashlib.sha256(was['id'].encode()).hexdigest()[:16]}.png"
    if not drawn.exists():
        return 255
    before = np.asarray(PIL.Image.open(drawn)).reshape(image.shape).astype(int)
    return int(np.abs(before - image).max())


def inside(golden: Path) -> dict[str, Any]:
    """Draw all archives with each engine that there is."""
    names = sorted(path.name for path in golden.glob("*.kin*"))
    engines = [one for one in ENGINES if find_spec(one)]
    packages = ("numpy", "pillow", "pyarrow", *(["onnxruntime"] if len(engines) > 1 else []))
    return {
        "processor": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "range_coder": "constriction" if find_spec("constriction") else "kinpack's own",
        "rows": [draw(golden, name, engine) for engine in engines for name in names],
    }


def emulated(root: Path) -> dict[str, Any]:
    """What ``inside`` gives in the emulated machine."""
    place = root / "kinpack"
    shutil.rmtree(place, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "benchmarks/__init__.py").write_bytes((ROOT / "benchmarks/__init__.py").read_bytes())
    command = ["chroot", str(root), "/usr/bin/qemu-aarch64-static", "/usr/bin/python3"]
    words = ["-m", "benchmarks.exactness.emulated_arm", "/kinpack", "--inside"]
    done = subprocess.run(
        [*command, *words],
        env={
            **os.environ,
            "PYTHONPATH": "/kinpack:/kinpack/src:/opt/wheels",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Draw in the emulated machine, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="folder of the emulated machine")
    parser.add_argument("-o", "--output", type=Path, help="the .json to write")
    parser.add_argument("--inside", action="store_true", help="draw here; ROOT holds kinpack")
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(inside(arguments.root / "tests/golden/format-1")))
        return
    found = emulated(arguments.root)
    for row in found["rows"]:
        print(json.dumps(row))
    differing = sum(sum(row["differ"].values()) for row in found["rows"])
    save_results(arguments.output, {**run_head(seed=0), "emulated": found, "differing": differing})


if __name__ == "__main__":
    main()
