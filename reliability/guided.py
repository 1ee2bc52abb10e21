"""Fuzz the readers of strangers' files guided by coverage, with atheris.

    python -m reliability.guided TARGET [--minutes 5] [--corpus FOLDER]

Inputs that reach new lines of the package are kept and changed further; checksums are made to hold,
so that what lies behind them is reached. What is read must be refused by an error of kinpack's of
one line, or be right: the promise of `reliability.fuzz`, which changes whole files blindly. atheris
is not among the packages that the project installs: `pip install atheris` beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
"""Inputs that reached something new, a folder for each target."""

_NAMES = ("manifest", "segment", "sealed", "codec", "payload")
_LIMIT = 20  # seconds of one input
_MEMORY = 3072  # MiB of the process


def main() -> None:
    """Fuzz until the time is over, or something is found: atheris ends with its input."""
    options = argparse.ArgumentParser(prog="python -m reliability.guided")
    options.add_argument("target", choices=_NAMES)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--corpus", type=Path, help="where new inputs go (a temporary folder)")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    os.environ["KINPACK_MAX_PIXELS"] = str(1 << 20)
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["kinpack"]):  # so that it is not loaded before
        targets = import_module("reliability.guided_targets")
        import_module("kinpack.archive.segments.segment")
    read, first = targets.beginning(chosen.target)
    with tempfile.TemporaryDirectory() as folder:
        place, begun = chosen.corpus or Path(folder, "new"), Path(folder, "begun")
        for one in (place, begun):
            one.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(first):
            (begun / str(number)).write_bytes(data)
        kept = CORPUS / chosen.target
        words = [sys.argv[0], str(place), str(begun), *([str(kept)] if kept.is_dir() else [])]
        words += [f"-max_total_time={round(60 * chosen.minutes)}", f"-timeout={_LIMIT}"]
        words += [f"-rss_limit_mb={_MEMORY}", "-max_len=65536", f"-artifact_prefix={place}/"]
        atheris.Setup(words, lambda data: targets.tried(read, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
