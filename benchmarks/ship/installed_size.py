"""Measure what `pip install kinpack` puts on disk: kinpack and all that it needs, by package.

    python -m benchmarks.ship.installed_size [--json]

Counts the lengths of the files that each installed package lists as its own, compiled modules
among them. pip itself and packages that only an extra asks for are not counted.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.measuring.places import ROOT


def canonical(name: str) -> str:
    """A package's name as indexes spell it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(name: str) -> dict[str, Distribution]:
    """The installed packages that ``name`` needs without any extra, itself included."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]())]
    seen = set()
    while waiting:
        package, extras = waiting.pop()
        key = canonical(package)
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        found[key] = distribution(package)
        for line in found[key].requires or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""}):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def size(package: Distribution) -> int:
    """Bytes of the files that a package lists as its own; of an editable kinpack, its sources."""
    files = {Path(str(package.locate_file(file))).resolve() for file in package.files or []}
    if canonical(package.name) == "kinpack" and not any(
        f.parts[-2:] == ("kinpack", "__init__.py") for f in files
    ):
        sources = ROOT / "src" / "kinpack"
        files = {f for f in sources.rglob("*") if f.suffix != ".pyc"}
    return sum(file.stat().st_size for file in files if file.is_file())


def measure() -> dict[str, int]:
    """Bytes by package, the largest first."""
    sizes = {name: size(package) for name, package in closure("kinpack").items()}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def main() -> None:
    """Print the table, or with --json the numbers."""
    sizes = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps(sizes))
        return
    for name, count in sizes.items():
        print(f"{count / 1e6:9.1f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:9.1f} MB  in {len(sizes)} packages")


if __name__ == "__main__":
    main()
