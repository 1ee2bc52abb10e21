"""Warm starts: a model takes over what another one, perhaps of fewer latents, has learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kinpack.errors import CodecError
from kinpack.learn.models.model import CodecModel
from kinpack.learn.models.networks import BLOCK_STEP


@torch.no_grad()
def take_over(model: CodecModel, state: Mapping[str, Tensor]) -> bool:
    """Copy the weights of a trained model into one of the same sizes or of more latents.

    Further latents start as the block components that the trained ones leave out, and as zeros in
    both trunks, so that the picture drawn is at first what it was, with the missing components
    added. Context networks are taken over only where the steps are the same: of other steps they
    would predict other latents.

    Args:
        model: to fill; its other weights stay as they are.
        state: of the trained model, as ``state_dict`` gives it.

    Returns:
        Whether all weights were taken over, context networks included.

    Raises:
        CodecError: the models differ in more than latents and context networks.
    """
    own = model.state_dict(keep_vars=True)
    context = {name: value for name, value in own.items() if name.startswith("context.")}
    same_context = all(
        name in state and state[name].shape == v.shape for name, v in context.items()
    )
    for name, value in own.items():
        if name in context:
            if same_context:
                value.copy_(state[name])
            continue
        if name not in state:
            raise CodecError(f"the codec to start from lacks {name}; learn without a start")
        given = state[name].to(value.dtype)
        if given.shape == value.shape:
            value.copy_(given)
        elif name in _ROWS:
            value.zero_()
            value[: len(given)] = given
        elif name in _COLUMNS:
            value.zero_()
            value[:, : given.shape[1] - 1] = given[:, :-1]
            value[:, -1] = given[:, -1]  # the plane of the quality comes last
        else:
            raise CodecError(
                f"the codec to start from has another shape of {name} "
                f"({tuple(given.shape)}, not {tuple(value.shape)}); learn without a start"
            )
    _add_components(model, int(state["analysis.linear.weight"].shape[0]))
    return same_context


_ROWS = {f"analysis.{layer}.{part}" for layer in ("linear", "last") for part in ("weight", "bias")}
_COLUMNS = {"synthesis.linear.weight", "synthesis.trunk.0.weight"}


def _add_components(model: CodecModel, known: int) -> None:
    """Let latents from ``known`` on carry what the linear transform so far leaves out."""
    analysis, synthesis = model.analysis.linear, model.synthesis.linear
    missing = analysis.out_channels - known
    if missing <= 0:
        return
    used = analysis.weight[:known, :3].reshape(known, -1).double()
    # The right singular vectors beyond the rank are an orthonormal base of what is left out.
    basis = torch.linalg.svd(used, full_matrices=True).Vh[known : known + missing]
    scale = 1 / (BLOCK_STEP * model.config.gain)
    analysis.weight[known:, :3] = (basis * scale).view(missing, 3, 8, 8).float()
    synthesis.weight[:, known:-1, 0, 0] = (basis.T / scale).float()
