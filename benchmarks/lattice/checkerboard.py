"""The model of the codec that shipped before, which codes latents on a checkerboard."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.models.config import NetworkConfig
from kinpack.learn.models.model import CodecModel, reduced_to_32
from kinpack.learn.training.start_file import shipped_start


def checkerboard_model() -> CodecModel:
    """The model that it was frozen from, in evaluation mode."""
    start = shipped_start("checkerboard")
    model = CodecModel(NetworkConfig.from_dict(start.network))
    model.load_state_dict(start.state)
    return model.eval()


@torch.no_grad()
def begin_with_checkerboard(model: LatticeModel, pictures: Tensor) -> None:
    """Take over the transforms of that codec, and the contexts of all but the lattice.

    The networks of the lattice are those of the start that ships, and new to these latents.
    Further blocks of the analysis begin as the identity. Contexts no longer read a product code:
    what it adds on average stays, as a part of their biases.

    Args:
        model: of the same sizes, of more blocks perhaps.
        pictures: (n, 3, H, W) in −0.5..0.5, whose product codes are averaged.
    """
    old = checkerboard_model()
    state = old.analysis.state_dict()
    last = len(old.analysis.trunk) - 1  # a ReLU: all weights lie before the further blocks
    more = {
        name: value
        for name, value in model.analysis.state_dict().items()
        if name.startswith("trunk.") and int(name.split(".")[1]) >= last
    }
    model.analysis.load_state_dict(state | more)
    model.synthesis.load_state_dict(old.synthesis.state_dict())
    code = old.code_context(old.product(old.descriptor(reduced_to_32(pictures))).z_q).mean(0)
    lattice = shipped_start("default").state
    prefix = "lattice."
    model.lattice.load_state_dict(
        {name.removeprefix(prefix): v for name, v in lattice.items() if name.startswith(prefix)}
    )
    networks = iter(model.context)
    for step, source in zip(old.config.steps, old.context, strict=True):
        if step.start >= model.config.low:
            target, known = next(networks), _known(model, step.start)
            _take_over(target, source, known=known, stop=step.stop, code=code)


def _known(model: LatticeModel, start: int) -> int:
    return next(group.known for group in model.config.groups if group.start == start)


def _take_over(
    target: nn.Module, source: nn.Module, *, known: int, stop: int, code: Tensor
) -> None:
    """Fill a group's network from that of a step, which also reads a code and its own zeros."""
    state = source.state_dict()
    weight = state["0.weight"]
    told = weight[:, stop : stop + len(code)].sum((2, 3)) @ code
    state["0.bias"] = state["0.bias"] + told
    state["0.weight"] = torch.cat([weight[:, :known], weight[:, -1:]], 1)
    target.load_state_dict(state)
