"""Directions and books, learned of many pictures' features or latents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.given_vectors import BOOKS, FINE_BOOKS, principal_components
from kinpack.describers.product_books import learn_books
from kinpack.learn.lite.making import LATENTS

_FINE_ROUNDS = 12


def lite0_books(features: NDArray[np.float32], *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Learn what is kept of features, and the books of codes and of longer ones.

    Args:
        features: (n, 1280), of many pictures of all sorts.
        seed: of the books.

    Returns:
        Arrays as ``kinpack.learn.lite.making.frozen`` takes them.
    """
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :LATENTS]
    # As they are stored, so that books are of what a network with these directions gives.
    kept = directions.astype(np.float16).astype(np.float32)
    latents = (centred @ kept).astype(np.float32)
    return {"mean": mean.astype(np.float32), "directions": kept} | {
        "latent_mean" if name == "mean" else name: array
        for name, array in latent_books(latents, seed=seed).items()
    }


def latent_books(latents: NDArray[np.float32], *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Learn the projections and books of codes, and of longer ones.

    Args:
        latents: (n, E), of many pictures of all sorts.
        seed: of the books.

    Returns:
        Arrays of a describer file, by their names there.
    """
    mean, projection = principal_components(latents, BOOKS[0])
    fine_mean, fine_projection = principal_components(latents, FINE_BOOKS[0])
    books = learn_books((latents - mean) @ projection, M=BOOKS[0], K=BOOKS[1], seed=seed)
    fine = learn_books(
        (latents - fine_mean) @ fine_projection,
        M=FINE_BOOKS[0],
        K=FINE_BOOKS[1],
        seed=seed,
        iterations=_FINE_ROUNDS,
    )
    return {
        "mean": mean,
        "projection": projection,
        "codebooks": books.codebooks,
        "fine_mean": fine_mean,
        "fine_projection": fine_projection,
        "fine_codebooks": fine.codebooks,
    }
