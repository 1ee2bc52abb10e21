"""Trials of the archive's promise: kills, refused calls, power cuts, races and damage.

Each module is a command, `python -m reliability.kills` and so on, whose result file in `results/`
`docs/reliability.md` quotes. They work on the small exact pictures and codec of `fakes`, and
describe the machine as the benchmarks do.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
