"""EfficientNet-Lite0: the network, to be filled with weights that others learned.

Its layers are those of Tan and Le, "EfficientNet: Rethinking model scaling for convolutional
neural networks", 2019, table 1, without squeeze and excitation and with ReLU6 for the activation,
as the variant "Lite" has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from kinpack.errors import CodecError

FEATURES = 1280
"""Channels of the last feature maps."""
CLASSES = 1000
SIDE_STEP = 32
"""Sides of pictures are multiples of this: the strides divide them by it."""
_STEM = 32
_EPSILON = 1e-3
"""What is added to variances, as where the weights were learned."""


class _Stage(NamedTuple):
    """Blocks that follow each other; the first has the stride, the others 1."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def _layer(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    linear: bool = False,
) -> nn.Sequential:
    """A convolution between zeros, its norm, and ReLU6 unless it is linear.

    Zeros lie as TensorFlow's padding "same" lays them: with a stride of 2, and an even side, one
    less above and left than below and right.
    """
    before = (kernel - stride) // 2
    after = kernel - stride - before
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_EPSILON),
        nn.Identity() if linear else nn.ReLU6(),
    )


class _Block(nn.Module):
    """An inverted bottleneck: widened, filtered channel by channel, narrowed; and its input."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        widened = [_layer(inputs, wide)] if stage.expansion > 1 else []
        self.layers = nn.Sequential(
            *widened,
            _layer(wide, wide, stage.kernel, stride, groups=wide),
            _layer(wide, stage.channels, linear=True),
        )
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made + x if self.residual else made


class EfficientNetLite0(nn.Module):
    """Maps pictures (n, 3, S, S), S a multiple of 32, to the means of the last maps, (n, 1280).

    Pictures are given as the weights expect them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _layer(3, _STEM, 3, 2)
        blocks, channels = [], _STEM
        for stage in _STAGES:
            for number in range(stage.blocks):
                blocks.append(_Block(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _layer(channels, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """Give the means of the last maps."""
        maps: Tensor = self.head(self.blocks(self.stem(x)))
        return maps.mean((2, 3))

    def load(self, weights: Mapping[str, Any]) -> None:
        """Take the weights of a file, by the names that it gives them.

        Raises:
            CodecError: some are missing, or of another shape.
        """
        parts = ("weight", "bias", "running_mean", "running_var")
        renamed = {}
        for mine, convolution, norm in self.named_layers():
            renamed[f"{mine}.1.weight"] = weights.get(f"{convolution}.weight")
            renamed |= {f"{mine}.2.{part}": weights.get(f"{norm}.{part}") for part in parts}
        own = self.state_dict()
        for name, tensor in renamed.items():
            if not isinstance(tensor, Tensor) or tensor.shape != own[name].shape:
                raise CodecError(f"the weights are not those of EfficientNet-Lite0: see {name}")
        self.load_state_dict(renamed, strict=False)  # norms also count batches

    def named_layers(self) -> Iterator[tuple[str, str, str]]:
        """Name of each layer here, and those of its convolution and norm in a file of weights."""
        yield "stem", "_conv_stem", "_bn0"
        for number in range(len(self.blocks)):
            first = 0 if f"blocks.{number}.layers.2.1.weight" in self.state_dict() else 1
            parts = ("expand", "depthwise", "project")[first:]
            for place, part in enumerate(parts):
                mine, theirs = f"blocks.{number}.layers.{place}", f"_blocks.{number}."
                yield mine, f"{theirs}_{part}_conv", f"{theirs}_bn{first + place}"
        yield "head", "_conv_head", "_bn1"
