"""Losses that shape the latent space."""

from __future__ import annotations

import torch
from torch import Tensor

from kinpack.learn.variational import Posterior


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


def log_det_gram(G: Tensor, *, stabiliser: float = 1e-2) -> Tensor:
    """Mean over items of log det(I + G / stabiliser): sMIC's objective of eq. 4, kept finite.

    The Gram matrix of n latents of D < n dimensions is singular, its log det −∞; the identity, as
    of a white noise of variance ``stabiliser`` on every latent, bounds it below by 0. That bound is
    reached by latents of length 0 as well as, nearly, by latents that are all aligned: take the
    Gram matrix of normalised latents where shrinking must not count.

    Args:
        G: (n, n), symmetric, without negative eigenvalues.
        stabiliser: variance of that noise, above 0; what is much smaller than it is not seen.

    Returns:
        A scalar, in nats an item, 0 or more.
    """
    identity = torch.eye(len(G), dtype=G.dtype, device=G.device)
    value: Tensor = torch.linalg.slogdet(identity + G / stabiliser).logabsdet
    return value / len(G)


def gaussian_divergence(posterior: Posterior) -> Tensor:
    """Kullback–Leibler divergence of each picture's posterior from the standard Gaussian.

    Kingma and Welling, "Auto-encoding variational Bayes", appendix B.

    Args:
        posterior: of n pictures.

    Returns:
        (n,), in nats a picture.
    """
    mean, log_variance = posterior
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.flatten(1).sum(1)
