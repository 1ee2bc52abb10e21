"""Losses of sMIC alone: the log determinant of a Gram matrix, and the VAE's divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from papers.variational import Posterior


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
