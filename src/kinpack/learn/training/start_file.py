"""Start files: the weights that a shipped codec was frozen from, to learn another one from.

A codec file holds its networks rounded and folded; learning goes on from these. They are a file of
the same form beside the codec, in half precision, which only learning reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.networks.container import Container, FileKind, read_container

START_FILE = FileKind(b"\x89KINS\r\n\x1a", "start", ".kins", ("default",))
STARTS = ("default", "checkerboard")
"""Names of the weights that ship: of the codec that does, and of the one before it."""
SUFFIX = START_FILE.suffix


@dataclass(frozen=True)
class Start:
    """Weights to learn from.

    Attributes:
        network: sizes of the networks, as plain values.
        state: weights, as the model's ``state_dict`` gives them.
        codec_id: of the codec that was frozen from them.
    """

    network: dict[str, Any]
    state: dict[str, Tensor]
    codec_id: str

    def to_bytes(self) -> bytes:
        """Write the file, weights in half precision."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, value in self.state.items():
            real = value.is_floating_point()
            arrays[name] = value.half().numpy() if real else np.asarray(value.numpy(), np.uint8)
        header = {"sort": "start", "network": self.network, "codec_id": self.codec_id}
        return Container(header, {}, arrays, START_FILE).to_bytes()


def start_of(model: nn.Module, sizes: Mapping[str, Any], *, codec_id: str) -> Start:
    """Start that a trained model of some sizes makes."""
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return Start(dict(sizes), state, codec_id)


def read_start(data: bytes, *, where: str) -> Start:
    """Read a start file.

    Args:
        data: the whole file.
        where: its name, for messages.

    Raises:
        CodecError: the file is damaged, newer, or no start file.
    """
    content = read_container(data, where=where, kind=START_FILE)
    try:
        network = dict(content.header["network"])
        state = {
            name: torch.from_numpy(
                value.astype(np.float32) if value.dtype.kind == "f" else value.astype(np.bool_)
            )
            for name, value in content.arrays.items()
        }
        return Start(network, state, str(content.header["codec_id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CodecError(f"{where}: the start is unreadable ({error}); fetch it again") from error


def shipped_start(name: str) -> Start:
    """Weights that ship with kinpack.

    Args:
        name: of ``STARTS``.

    Raises:
        CodecError: there is none of that name.
    """
    place = resources.files("kinpack") / "codecs" / f"{name}{SUFFIX}"
    try:
        data = place.read_bytes()
    except OSError as error:
        raise CodecError(f"there is no start {name!r}; use one of {', '.join(STARTS)}") from error
    return read_start(data, where=f"the shipped start {name!r}")
