"""Named functions and modules of kinpack that adding one image enters, and reading it again.

    python -m benchmarks.speed.hops -o benchmarks/results/hops.json

Counted by ``sys.setprofile`` at the second call in a process, with the codec ``default``, one
thread and 32×32 RGB pictures that get learned payloads: distinct functions, lambdas and
comprehensions left out. ``texture`` is coded without a try of AVIF, ``strong`` after one in vain.
``both_ways`` names the pairs of modules of the codec that call each other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import kinpack
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind
from kinpack.pictures.images import Image
from kinpack.sources.items import Item

SEED = 0
PICTURES = {"texture": 24.0, "strong": 60.0}
"""Deviation of the smooth noise, in levels."""
LIMITS = {"read": (50, 15, 40, 10), "add": (150, 32, 110, 22)}
"""Of functions and modules what must be reached, and the goal."""
_PACKAGE = Path(kinpack.__file__).parent


def texture(deviation: float) -> Image:
    """Noise that is smooth at a few pixels' length, with a little white noise."""
    rng = np.random.default_rng(SEED)
    rng.normal(0, 8, (32, 32))
    far = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    smooth = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (32, 32))) * np.exp(-16 * far)).real
    levels = 128 + (deviation / smooth.std()) * smooth[:, :, None] * np.array([1, 0.9, 0.8])
    made: Image = (levels + rng.normal(0, 1.5, (32, 32, 3))).clip(0, 255).astype(np.uint8)
    return made


def trace(call: Callable[[], object]) -> dict[str, Any]:
    """What a call enters: counts, the modules, and the pairs that call each other."""
    entered: set[tuple[str, str]] = set()
    arrows: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (module := _module_of(frame)) is None:
            return
        if not frame.f_code.co_name.startswith("<"):
            entered.add((module, frame.f_code.co_qualname))
        caller = frame.f_back
        while caller is not None and _module_of(caller) is None:
            caller = caller.f_back
        if caller is not None and (_module_of(caller) or module) != module:
            arrows.add((str(_module_of(caller)), module))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    modules = sorted({module for module, _ in entered})
    both = sorted(f"{a} ↔ {b}" for a, b in arrows if a < b and (b, a) in arrows)
    return {
        "functions": len(entered),
        "modules": len(modules),
        "both_ways": [pair for pair in both if pair.startswith("codec/") and "↔ codec/" in pair],
        "entered": sorted(f"{module} {name}" for module, name in entered),
    }


def _module_of(frame: FrameType) -> str | None:
    place = Path(frame.f_code.co_filename)
    return str(place.relative_to(_PACKAGE)) if place.is_relative_to(_PACKAGE) else None


def measured(name: str, picture: Image, codec: Codec) -> list[dict[str, Any]]:
    """Rows of adding a picture and of reading it."""
    (packet,) = codec.encode([picture], threads=1)
    if packet.kind is not Kind.LEARNED:
        raise SystemExit(
            f"{name}: gets a payload of kind {packet.kind.name} here, not a learned one"
        )
    items = [[Item(key, None, lambda: picture)] for key in ("first", "second", "third")]
    with (
        tempfile.TemporaryDirectory() as folder,
        Archive.create(Path(folder) / "a.kin", codec) as archive,
    ):
        for some in items[:2]:
            archive.add(some, threads=1)
        rows = [{"verb": "add", **trace(lambda: archive.add(items[2], threads=1))}]
        archive.read("third")
        rows.append({"verb": "read", **trace(lambda: archive.read("third"))})
    return [{"picture": name, **row} for row in rows]


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description="Functions and modules that one image enters.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    codec = Codec.load("default", threads=1)
    rows = [
        row
        for name, deviation in PICTURES.items()
        for row in measured(name, texture(deviation), codec)
    ]
    for row in rows:
        must, must_modules, goal, goal_modules = LIMITS[row["verb"]]
        print(
            f"{row['verb']:5} {row['picture']:8} {row['functions']} functions in {row['modules']} "
            f"modules (must {must} in {must_modules}, goal {goal} in {goal_modules})"
        )
    save_results(args.output, {**run_head(seed=SEED), "limits": LIMITS, "rows": rows})


if __name__ == "__main__":
    main()
