"""Result files of models read again, and whether something rises along a sweep of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import SourceError
from papers.pqvae.models import ModelConfig

CLEAR = 0.8
"""Rank correlation from which a trend is called one."""

Result = dict[str, Any]
Reading = Callable[[Result], float]


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        SourceError: it is not there, or is damaged.
    """
    try:
        found: Result = json.loads(path.read_text())
    except OSError as error:
        raise SourceError(f"{path}: this result is missing; train and evaluate first") from error
    except ValueError as error:
        raise SourceError(f"{path}: damaged; delete it and run the command again") from error
    return found


@dataclass(frozen=True)
class Results:
    """Held-out results of models, by their configuration.

    Attributes:
        folder: where they lie, a file each.
    """

    folder: Path

    def of(self, models: Sequence[ModelConfig]) -> list[Result]:
        """Give the results of models, in their order, missing ones left out."""
        paths = [self.folder / f"{m.name}.json" for m in models]
        return [read_result(path) for path in paths if path.exists()]


def map_of(result: Result, kind: str = "symmetric") -> float:
    """mAP@1000 in percent over all queries."""
    return float(result["map_at_1000"][kind]["all"])


def field(name: str) -> Reading:
    """Reading of a result's number of that name."""
    return lambda result: float(result[name])


def trend(x: Sequence[float], y: Sequence[float]) -> tuple[float, str]:
    """Say whether y rises with x.

    Args:
        x: values swept, all different.
        y: what was measured at each.

    Returns:
        Spearman's rank correlation (0 where y never changes), and ``confirmed``, ``refuted``,
        ``not confirmed`` or ``too few models to tell``.
    """
    if len(x) < 3:
        return 0.0, "too few models to tell"
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (x, y)]
    a, b = (r - r.mean() for r in ranks)
    size = float(np.sqrt((a @ a) * (b @ b)))
    rho = float(a @ b) / size if size else 0.0
    # A perfect correlation may miss 1 by a rounding.
    if rho >= CLEAR - 1e-9:
        return rho, "confirmed"
    return rho, "refuted" if rho <= -CLEAR + 1e-9 else "not confirmed"


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks (n,), equal values sharing the mean of theirs."""
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    ranks: NDArray[np.float64] = below + (equal - 1) / 2
    return ranks
