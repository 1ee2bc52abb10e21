"""Tell which branches of the archive's code its tests reach, with coverage.py.

    python -m reliability.branches

Run are the tests that name `kinpack.archive`, without those of `kinpack learn` and the slow ones.
What runs in processes of their own, as the trials do, is not seen. coverage.py is not among the
packages that the project installs: `pip install coverage` beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reliability import ROOT
from reliability.report import Trials, parser

_NAMES = ("kinpack.archive", "archive_checks")
_FEW = "not learn and not slow and not shared"


def tests() -> list[str]:
    """Files of the tests that concern the archive."""
    files = sorted((ROOT / "tests").glob("test_*.py"))
    return [str(file) for file in files if any(name in file.read_text() for name in _NAMES)]


def summed(measured: dict[str, Any]) -> dict[str, Any]:
    """What the result file says, from coverage.py's report as JSON.

    Returns:
        Counts of lines and branches, those that were reached and all; the same for each module,
        and its branches that were not reached, as "line -> line" (0: out of the function).
    """
    modules = {}
    for name, file in sorted(measured["files"].items()):
        counts = file["summary"]
        if not counts["num_branches"]:
            continue
        modules[name.partition("kinpack/archive/")[2]] = {
            "branches": counts["num_branches"],
            "reached": counts["covered_branches"],
            "not_reached": [
                f"{start} -> {max(stop, 0)}" for start, stop in file["missing_branches"]
            ],
        }
    totals = measured["totals"]
    return {
        "lines": totals["num_statements"],
        "lines_reached": totals["covered_lines"],
        "branches": totals["num_branches"],
        "branches_reached": totals["covered_branches"],
        "modules": modules,
    }


def main() -> None:
    """Run the tests, and write the result file."""
    chosen = parser(__doc__, "branches").parse_args()
    trials = Trials("branches", chosen)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        data, report = Path(folder) / "data", Path(folder) / "report.json"
        coverage = [sys.executable, "-m", "coverage"]
        run = [*coverage, "run", "--branch", "--source=kinpack.archive", f"--data-file={data}"]
        pytest = ["-m", "pytest", *tests(), "-q", "-m", _FEW, "-p", "no:cacheprovider"]
        if subprocess.run([*run, *pytest], cwd=ROOT, check=False).returncode:
            trials.fail("a test has failed")
        written = [*coverage, "json", f"--data-file={data}", "-o", str(report), "-q"]
        subprocess.run(written, cwd=ROOT, check=True)
        counts = summed(json.loads(report.read_text()))
    trials.finish({"coverage": version("coverage"), **counts})


if __name__ == "__main__":
    main()
