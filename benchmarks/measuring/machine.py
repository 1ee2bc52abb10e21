"""Where and with what a benchmark was run: the head of every result file."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import features

from benchmarks.measuring.places import module_of

PACKAGES = ("kinpack", "numpy", "pillow", "pyarrow", "onnxruntime", "constriction")
#: Pillow's names of the libraries that code pictures, and the libraries' own.
LIBRARIES = {"avif": "libavif", "webp": "libwebp", "libjpeg_turbo": "libjpeg-turbo"}


def processor() -> str:
    """The processor's name as the system gives it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def machine() -> dict[str, Any]:
    """Processor, cores, system, Python, and versions of what codes pictures; no names of places."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "libraries": {
            library: features.version(name)
            for name, library in LIBRARIES.items()
            if features.check(name)
        },
    }


def _without_place(word: str) -> str:
    """An argument, or the value after its equals sign, with a path out of this folder cut."""
    name, sign, value = word.rpartition("=")
    path = Path(value)
    away = path.is_absolute() or ".." in path.parts
    return f"{name}{sign}{path.name}" if away else word


def run_head(*, seed: int) -> dict[str, Any]:
    """What a result file says of the run that made it.

    Args:
        seed: of whatever the run draws at random.

    Returns:
        JSON values: ``command`` (paths out of this folder cut to their last part), ``seed``,
        ``created`` (UTC), and those of ``machine``.
    """
    program, *words = sys.argv
    shown = [_without_place(word) for word in words]
    return {
        "command": " ".join(["python", "-m", module_of(program), *shown]),
        "seed": seed,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **machine(),
    }
