"""Reproductions of the two papers that kinpack joins.

They measure on the data sets of the benchmarks and describe machines as these do, so the modules of
``benchmarks/`` are theirs as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))
