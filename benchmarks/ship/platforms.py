"""Ask pip what it would install for machines that are not this one, from wheels built here.

    python -m benchmarks.ship.platforms -o benchmarks/results/platforms.json

Builds kinpack's two wheels, and has pip resolve a plain `pip install kinpack` for each machine and
Python, with wheels alone and with the markers of that machine. Nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import ROOT
from benchmarks.measuring.result_file import save_results

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ENGINES = ("constriction", "onnxruntime")
_GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
_MUSL = ("musllinux_1_2", "musllinux_1_1")

# pip evaluates markers for the machine that it runs on, whatever platform it is asked about.
_PIP = """
import json, sys
asked = json.loads(sys.argv.pop(1))
from pip._vendor.packaging import markers
here = markers.default_environment()
markers.default_environment = lambda: {**here, **asked}
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Machine:
    """A machine that somebody may install kinpack on.

    Attributes:
        name: what people call it.
        tags: of the wheels that fit it.
        system: its ``sys.platform``.
        processor: its ``platform_machine``.
    """

    name: str
    tags: tuple[str, ...]
    system: str
    processor: str

    def markers(self, python: str) -> dict[str, str]:
        """Values of the markers that this machine has under a Python, as far as they differ."""
        names = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
        return {
            "sys_platform": self.system,
            "platform_system": names[self.system],
            "platform_machine": self.processor,
            "os_name": "nt" if self.system == "win32" else "posix",
            "python_version": python,
            "python_full_version": f"{python}.0",
        }


def _linux(name: str, libraries: Sequence[str], processor: str) -> Machine:
    tags = tuple(f"{library}_{processor}" for library in libraries)
    return Machine(name, tags, "linux", processor)


MACHINES = (
    _linux("Linux, x86-64, glibc", _GLIBC, "x86_64"),
    _linux("Linux, ARM64, glibc", _GLIBC, "aarch64"),
    _linux("Linux, x86-64, musl", _MUSL, "x86_64"),
    _linux("Linux, ARM64, musl", _MUSL, "aarch64"),
    Machine("macOS 14, ARM64", ("macosx_14_0_arm64",), "darwin", "arm64"),
    Machine("macOS 14, x86-64", ("macosx_14_0_x86_64",), "darwin", "x86_64"),
    Machine("Windows, x86-64", ("win_amd64",), "win32", "AMD64"),
    Machine("Windows, ARM64", ("win_arm64",), "win32", "ARM64"),
)


def build_wheels(folder: Path) -> list[Path]:
    """Build the wheel for all machines and the one for musl.

    Returns:
        Both, in this order.
    """
    built = []
    for libc in ("glibc", "musl"):
        into = folder / libc
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
            cwd=ROOT,
            env={**os.environ, "KINPACK_LIBC": libc},
            check=True,
            capture_output=True,
        )
        (wheel,) = into.iterdir()
        built.append(wheel.rename(folder / wheel.name))
        into.rmdir()
    return built


def resolved(machine: Machine, python: str, *options: str) -> dict[str, str] | str:
    """What a plain ``pip install kinpack`` gives on a machine.

    Args:
        machine: it.
        python: version of its Python, such as ``3.12``.
        options: more of them to pip: where to find packages.

    Returns:
        Versions by name; or what pip says if there is no way.
    """
    words = ["install", "kinpack", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    platforms = [word for tag in machine.tags for word in ("--platform", tag)]
    only = ["--only-binary=:all:", "--target", "nowhere", "--python-version", python]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _PIP,
            json.dumps(machine.markers(python)),
            *words,
            *only,
            *platforms,
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        return errors[-1].removeprefix("ERROR: ") if errors else done.stderr.strip()[-200:]
    report = json.loads(done.stdout)
    found = (one["metadata"] for one in report["install"])
    return {one["name"].lower(): one["version"] for one in found}


def row_of(machine: Machine, python: str, found: dict[str, str] | str) -> dict[str, Any]:
    """What the results say of a machine and a Python."""
    head = {"machine": machine.name, "python": python}
    if isinstance(found, str):
        return {**head, "installs": False, "why": found}
    return {**head, "installs": True, **{name: found.get(name) for name in ENGINES}}


def main() -> None:
    """Build, ask and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .json to write")
    output = parser.parse_args().output
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        build_wheels(Path(folder))
        for machine in MACHINES:
            for python in PYTHONS:
                found = resolved(machine, python, "--find-links", folder)
                rows.append(row_of(machine, python, found))
                print(json.dumps(rows[-1]), flush=True)
    save_results(output, {**run_head(seed=0), "rows": rows})


if __name__ == "__main__":
    main()
