"""The table of results: a row for each method and length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from papers.result_files import write_json

FAITHFUL = "pqvae-faithful"

Row = dict[str, Any]


def row_of(method: str, bits: int, results: Sequence[dict[str, Any]]) -> Row:
    """Make the row of a model from the results of its seeds.

    Args:
        method: its name in the table.
        bits: length of its codes.
        results: a result file for each seed, at least one.

    Returns:
        ``{method, features, labels, bits, N, M, K, protocol, map_at_1000, std, seeds, machine,
        minutes}``: mean and standard deviation (n − 1) over the seeds of mAP@1000 in percent, of
        symmetric distances; minutes of training and measurement, of all seeds together, without
        the search.
    """
    values = [r["map_at_1000"]["symmetric"]["all"] for r in results]
    first = results[0]
    return {
        "method": method,
        "features": "pixels",
        "labels": False,
        "bits": bits,
        "N": first["N"],
        "M": first["M"],
        "K": first["K"],
        "protocol": first["protocol"],
        "map_at_1000": round(float(np.mean(values)), 2),
        "std": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else 0.0,
        "seeds": len(values),
        "machine": first["machine"],
        "minutes": round(sum(sum(r["minutes"].values()) for r in results), 2),
    }


def write(path: Path, ours: Sequence[Row], rivals: Sequence[Row]) -> None:
    """Write the table anew; rows of methods that are given in neither list stay."""
    new = {row["method"] for row in (*ours, *rivals)}
    others = [row for row in read(path) if row["method"] not in new]
    write_json(path, [*ours, *others, *rivals])


def read(path: Path) -> list[Row]:
    """Read the table; no rows where it is not written yet."""
    if not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text())
    return rows
