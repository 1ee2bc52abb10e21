"""Laying a picture over another exactly: the affine map by which their patterns agree best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.search.comparison.pattern import FAINT
from kinpack.search.comparison.placing import LEAST
from kinpack.search.comparison.sampling import blurred, grid, sampled

OVERLAP = 0.15
"""Share of a candidate that the query must cover: on less, pictures agree by chance."""

_FARTHEST = 0.12  # most that an entry of a map changes in a step
_DAMPED, _LESS, _MORE = 0.01, 0.3, 8.0  # at first, after a step that helped, after one that did not


@dataclass(frozen=True)
class Agreement:
    """How two squares agree, pixel by pixel, in several placements of one on the other.

    Attributes:
        inside: float32 (n, S²), 1 where the query covers the candidate.
        candidate: float32 (n, S²), less its mean where it is covered, 0 elsewhere.
        query: float32 (n, S²), likewise.
        product: float32 (n,), mean of candidate × query.
        squares: float32 (2, n), means of their squares, at least `LEAST` of the whole picture's.
        gain: float32 (n,), by which the query comes nearest to the candidate, not below 0.
    """

    inside: NDArray[np.float32]
    candidate: NDArray[np.float32]
    query: NDArray[np.float32]
    product: NDArray[np.float32]
    squares: NDArray[np.float32]
    gain: NDArray[np.float32]

    @property
    def covered(self) -> NDArray[np.float32]:
        """Share of each candidate that the query covers, (n,)."""
        share: NDArray[np.float32] = self.inside.mean(axis=1)
        return share

    def correlation(self, faint: float, alike: NDArray[np.float32] | float) -> NDArray[np.float32]:
        """Correlation where both have a pattern, and `alike` where neither has.

        Args:
            faint: mean square of a pattern that is next to none.
            alike: (n,) or one for all, 0 to 1.

        Returns:
            float32 (n,), -1 to 1; -1 where the query hardly covers the candidate.
        """
        value = (self.product + faint * alike) / np.sqrt(np.prod(self.squares + faint, axis=0))
        return np.where(self.covered > OVERLAP, value, np.float32(-1))


def agreement(
    candidates: NDArray[np.float32], queries: NDArray[np.float32], maps: NDArray[np.float64]
) -> Agreement:
    """Compare squares, the queries seen through maps.

    Args:
        candidates: float32 (n, S, S).
        queries: float32 (n, S, S).
        maps: (n, 2, 3) from places of the candidates to places of the queries.
    """
    many, side = candidates.shape[:2]
    flat = candidates.reshape(many, -1)
    view, inside = sampled(queries, maps, side)
    count = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    sides = [
        (one - (one * inside).sum(axis=1, keepdims=True) / count) * inside for one in (flat, view)
    ]
    pairs = (sides, sides[:1] * 2, sides[1:] * 2)
    within = [np.einsum("ni,ni->n", a, b) / count[:, 0] for a, b in pairs]
    whole = [one.reshape(many, -1).var(axis=1) for one in (candidates, queries)]
    return Agreement(
        inside,
        sides[0],
        sides[1],
        within[0],
        np.maximum(within[1:], LEAST * np.array(whole)),
        np.maximum(within[0], 0) / np.maximum(within[2], 1e-6),
    )


def aligned(
    candidates: NDArray[np.float32],
    query: NDArray[np.float32],
    maps: NDArray[np.float64],
    *,
    steps: int,
) -> NDArray[np.float64]:
    """Find the maps near those given in which patterns agree best, by damped Gauss-Newton steps.

    Both are blurred to the scale that they are seen at. A step that makes it worse is taken back.

    Args:
        candidates: float32 (n, S, S).
        query: float32 (S, S), or (n, S, S), one for each candidate.
        maps: (n, 2, 3) from places of the candidates to places of the query.
        steps: how many are tried.

    Returns:
        The maps (n, 2, 3).
    """
    many = len(candidates)
    across, down = np.hypot(*maps[:, :, 0].T), np.hypot(*maps[:, :, 1].T)
    queries = blurred(query, across, down)
    candidates = blurred(candidates, 1 / across, 1 / down)
    slopes = _slopes(candidates)
    best, score = maps.copy(), np.full(many, -2, np.float32)
    normal, gradient = np.zeros((many, 6, 6), np.float32), np.zeros((many, 6, 1), np.float32)
    damping = np.full((many, 1, 1), _DAMPED, np.float32)
    for left in range(steps, -1, -1):
        now = agreement(candidates, queries, maps)
        value = now.correlation(FAINT, 1.0)
        better = value > score
        score, best[better] = np.where(better, value, score), maps[better]
        if not left:
            break
        damping *= np.where(better, _LESS, _MORE)[:, None, None].astype(np.float32)
        moved = _slopes_within(slopes[better], now.inside[better])
        error = now.gain[:, None] * now.query - now.candidate
        normal[better] = moved @ moved.swapaxes(1, 2)
        gradient[better] = moved @ error[better][:, :, None]
        size = np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6
        damped = normal + (damping * size + np.float32(1e-6)) * np.eye(6, dtype=np.float32)
        step = np.linalg.solve(damped, gradient).reshape(many, 2, 3)
        maps = _after(best, step.clip(-_FARTHEST, _FARTHEST))
    return best


def _slopes(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """How each pixel changes with each entry of a map of its places, (n, 6, S²)."""
    many, side = squares.shape[:2]
    right, down = np.zeros_like(squares), np.zeros_like(squares)
    right[:, :, 1:-1] = squares[:, :, 2:] - squares[:, :, :-2]
    down[:, 1:-1] = squares[:, 2:] - squares[:, :-2]
    slopes: NDArray[np.float32] = np.stack([right, down], 1).reshape(many, 2, 1, -1) * grid(side)
    return slopes.reshape(many, 6, -1) * np.float32(side / 4)


def _slopes_within(slopes: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slopes where a query covers the candidate, less their means there."""
    within = slopes * inside[:, None]
    mean = within.sum(axis=2, keepdims=True) / np.maximum(inside.sum(axis=1), 1)[:, None, None]
    result: NDArray[np.float32] = within - mean * inside[:, None]
    return result


def _after(maps: NDArray[np.float64], step: NDArray[np.float32]) -> NDArray[np.float64]:
    """Maps of places that a step has moved back: each map after the inverse of the step."""
    last = np.broadcast_to(np.array([[[0.0, 0.0, 1.0]]]), (len(maps), 1, 3))
    moved = np.concatenate([step + np.eye(2, 3), last], axis=1)
    whole = np.concatenate([maps, last], axis=1)
    return (whole @ np.linalg.inv(moved))[:, :2]
