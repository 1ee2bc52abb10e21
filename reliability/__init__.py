"""Trials of the archive's promise: kills, refused calls, power cuts, races and damage.

Each module is a command, `python -m reliability.kills` and so on, whose result file in `results/`
`docs/reliability.md` quotes. They work on the small exact pictures and codec of the tests, and
describe the machine as the benchmarks do, so the modules of both are theirs as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

for _folder in (ROOT / "benchmarks", ROOT / "tests"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
