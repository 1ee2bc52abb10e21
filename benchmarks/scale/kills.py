"""Killing writers for the measurements of scale: what each store holds after a SIGKILL.

A process appends to a store, a batch after the other, and says so after each: that batch is
acknowledged. It is killed at a random moment; the store is opened again, and every image that it
must hold is compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.places import module_of
from benchmarks.scale.rivals import CONTENDERS
from benchmarks.scale.rows import SEED, Rows

BASE, BATCH = 2000, 100
LATEST = 0.7
"""Most seconds after the first acknowledged batch at which a writer is killed."""


def kill_all(
    folder: Path,
    packets: Path,
    names: Sequence[str],
    *,
    kills: int,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Kill writers of stores.

    Args:
        folder: where to make the stores.
        packets: file of the packets.
        names: of the stores.
        kills: of the writer of each.
        log: told what is being measured.

    Returns:
        JSON values: images at the beginning, images of a batch, and what came of each store.
    """
    rows = Rows(packets)
    rng = np.random.default_rng(SEED)
    result: dict[str, Any] = {}
    for name in names:
        contender = CONTENDERS[name]
        if name == "lance" and importlib.util.find_spec("lance") is None:
            result[name] = {"title": contender.title, "missing": "pylance is not installed"}
            continue
        log(f"{name}: {kills} kills")
        base, path = folder / f"{name}.base", folder / f"{name}.killed"
        contender.write(base, rows, BASE, lambda _: None)
        counts = dict.fromkeys(
            ("kills", "opens", "acknowledged", "lost", "kills_with_loss", "torn", "part_batches"), 0
        )
        for _ in range(kills):
            _copy(base, path)
            acknowledged = killed_writer(name, path, packets, float(rng.uniform(0, LATEST)))
            found = examine(name, path, rows, acknowledged)
            counts["kills"] += 1
            counts["acknowledged"] += acknowledged
            counts["kills_with_loss"] += bool(found["lost"])
            for key, value in found.items():
                counts[key] += value
            _remove(path)
        _remove(base)
        result[name] = {"title": contender.title, **counts}
    return {"base": BASE, "batch": BATCH, "latest_seconds": LATEST, "rows": result}


def killed_writer(name: str, path: Path, packets: Path, delay: float) -> int:
    """Start a process that appends, and kill it.

    Args:
        name: of the store.
        path: where it lies.
        packets: file of the packets.
        delay: seconds from its first acknowledged batch to the kill.

    Returns:
        Images that must be there: those of the beginning, and of acknowledged batches.
    """
    command = [sys.executable, "-m", module_of(__file__), name, str(path), str(packets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        output = writer.stdout or io.StringIO()
        said = output.readline()
        time.sleep(delay)
        writer.kill()
        rest = output.readlines()
    whole = [line for line in [said, *rest] if line.endswith("\n")]
    return int(whole[-1]) if whole else BASE


def examine(name: str, path: Path, rows: Rows, acknowledged: int) -> dict[str, int]:
    """Compare what a store holds with what it must hold.

    Args:
        name: of the store.
        path: where it lies.
        rows: the images.
        acknowledged: images that must be there, from number 0 on.

    Returns:
        ``opens``: 1 if it opens; ``lost``: acknowledged images that are not there, or not whole;
        ``torn``: others that are there, but not whole; ``part_batches``: 1 if a batch is there in
        part.
    """
    found = {"opens": 0, "lost": 0, "torn": 0, "part_batches": 0}
    try:
        store = CONTENDERS[name].open(path, rows)
    except Exception:  # whatever the library says: it does not open
        return {**found, "lost": acknowledged}
    found["opens"] = 1

    def whole(number: int) -> bool | None:
        try:
            payload = store.read(rows.name(number))
        except Exception:  # it is named, but cannot be read
            return False
        return None if payload is None else payload == rows.packet(number).payload

    found["lost"] = sum(not whole(number) for number in range(acknowledged))
    later = [whole(number) for number in range(acknowledged, acknowledged + BATCH)]
    found["torn"] = later.count(False)
    found["part_batches"] = int(0 < BATCH - later.count(None) < BATCH or False in later)
    store.close()
    return found


def _copy(source: Path, path: Path) -> None:
    shutil.copytree(source, path) if source.is_dir() else shutil.copyfile(source, path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    """Append for ever, and say after each batch how many images are there."""
    parser = argparse.ArgumentParser(description="Append to a store until killed.")
    parser.add_argument("store")
    parser.add_argument("path", type=Path)
    parser.add_argument("packets", type=Path)
    options = parser.parse_args()
    rows = Rows(options.packets)
    store = CONTENDERS[options.store].open(options.path, rows)
    number = BASE
    while True:
        store.append(number, BATCH)
        number += BATCH
        print(number, flush=True)


if __name__ == "__main__":
    main()
