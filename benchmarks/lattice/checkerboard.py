"""The model of the codec that ships, which codes latents in halves of a checkerboard."""

from __future__ import annotations

from kinpack.learn.models.config import NetworkConfig
from kinpack.learn.models.model import CodecModel
from kinpack.learn.training.start_file import shipped_start


def checkerboard_model() -> CodecModel:
    """The model that `default` was frozen from, in evaluation mode."""
    start = shipped_start("default")
    model = CodecModel(NetworkConfig.from_dict(start.network))
    model.load_state_dict(start.state)
    return model.eval()
