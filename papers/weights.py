"""Weights of a trained model, with its configuration and what its training told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from kinpack.errors import SourceError
from papers.result_files import written_whole

Network = TypeVar("Network", bound=nn.Module)


def save_weights(
    path: Path, network: nn.Module, *, config: dict[str, Any], figures: dict[str, Any]
) -> None:
    """Write a trained model, whole or not at all."""
    state = {"config": config, "figures": figures, "weights": network.state_dict()}
    with written_whole(path) as unfinished:
        torch.save(state, unfinished)


def load_weights(
    path: Path, build: Callable[[dict[str, Any]], Network]
) -> tuple[Network, dict[str, Any]]:
    """Read what ``save_weights`` wrote.

    Args:
        path: the file.
        build: makes the network of a configuration.

    Returns:
        The network, ready to be used, and the figures of its training.

    Raises:
        SourceError: there is no such file, or it is no trained model.
    """
    try:
        state = torch.load(path, weights_only=True)
        network = build(state["config"])
        network.load_state_dict(state["weights"])
    except Exception as error:  # a damaged file fails in many ways
        raise SourceError(
            f"{path}: no trained model can be read there ({type(error).__name__}); delete it and "
            "train again"
        ) from error
    return network.eval(), state["figures"]
