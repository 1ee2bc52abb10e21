"""Losses that shape the latent space."""

from __future__ import annotations

import torch
from torch import Tensor


def correlation_matrix_distance(A: Tensor, B: Tensor) -> Tensor:
    """Distance of two correlation matrices, 1 − Tr(AB) / (‖A‖‖B‖): sMIC's d_cov (eq. 5).

    Herdin, Czink, Özcelik and Bonek, "Correlation matrix distance", 2005.

    Args:
        A: (n, n), symmetric.
        B: (n, n), symmetric.

    Returns:
        A scalar: 0 where the matrices agree up to a factor; for matrices without negative
        eigenvalues at most 1, reached where they are orthogonal.
    """
    trace = (A * B.mT).sum()
    norms: Tensor = torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(B)
    return 1 - trace / norms.clamp_min(1e-12)


def same_class_matrix(labels: Tensor) -> Tensor:
    """Target Gram matrix G* of sMIC (section 3.2).

    Args:
        labels: (n,) int64, the class of each item.

    Returns:
        (n, n) float32; entry (i, j) is 1 where items i and j are of one class, else 0.
    """
    return (labels[:, None] == labels[None, :]).float()


def alignment_loss(z: Tensor, labels: Tensor) -> Tensor:
    """Distance between the Gram matrix of normalised latents and the same-class matrix.

    Latents of one class are drawn to one direction, others made orthogonal. Normalising keeps an
    item of large norm from dominating the Gram matrix.

    Args:
        z: (n, D), a latent an item.
        labels: (n,) int64, the class of each item; negative where unknown (left out).

    Returns:
        A scalar; 0 where fewer than two labelled items are present.
    """
    known = labels >= 0
    if int(known.sum()) < 2:
        return z.new_zeros(())
    unit = torch.nn.functional.normalize(z[known], dim=1)
    return correlation_matrix_distance(unit @ unit.mT, same_class_matrix(labels[known]).to(z))
