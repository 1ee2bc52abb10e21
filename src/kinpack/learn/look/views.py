"""Views of luma that `look` learns from: pictures as they are, and after changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinpack.learn.look.networks import SIDE
from kinpack.learn.training.views import barred, blurred, framed, sometimes, toned


def clean_view(luma: Tensor) -> Tensor:
    """Pictures as they are: luma (n, 1, 2s, 2s), 0 to 1, to (n, 1, s, s), s = 32."""
    return nn.functional.avg_pool2d(luma, 2)


def changed_view(luma: Tensor) -> Tensor:
    """Views of pictures after changes that a copy may go through, drawn at random for each.

    Args:
        luma: (n, 1, 64, 64), 0 to 1.

    Returns:
        (n, 1, 32, 32), 0 to 1.
    """
    n = len(luma)
    x = nn.functional.avg_pool2d(barred(blurred(toned(framed(luma)))), 2)
    noise = 0.06 * torch.rand(n, 1, 1, 1) * sometimes(n, 0.5) * torch.randn(n, 1, SIDE, SIDE)
    return (x + noise).clamp(0, 1)
