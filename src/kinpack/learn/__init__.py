"""Learning: pictures to a codec file, with torch; may import its rooms, the codec and below."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kinpack.errors import MissingExtraError

if TYPE_CHECKING:
    from kinpack.learn.freezing.describer_file import FreezingError as FreezingError
    from kinpack.learn.freezing.describer_file import freeze_describer as freeze_describer
    from kinpack.learn.freezing.describer_file import freezing_error as freezing_error
    from kinpack.learn.gains import Gains as Gains
    from kinpack.learn.gains import measure_gains as measure_gains
    from kinpack.learn.learning import FROM_A_START as FROM_A_START
    from kinpack.learn.learning import Learned as Learned
    from kinpack.learn.learning import learn_codec as learn_codec
    from kinpack.learn.models.config import NetworkConfig as NetworkConfig
    from kinpack.learn.models.config import TrainingConfig as TrainingConfig
    from kinpack.learn.training.start_file import Start as Start
    from kinpack.learn.training.start_file import shipped_start as shipped_start

_HOME = {
    "FROM_A_START": "learning",
    "FreezingError": "freezing.describer_file",
    "Gains": "gains",
    "Learned": "learning",
    "NetworkConfig": "models.config",
    "Start": "training.start_file",
    "TrainingConfig": "models.config",
    "freeze_describer": "freezing.describer_file",
    "freezing_error": "freezing.describer_file",
    "learn_codec": "learning",
    "measure_gains": "gains",
    "shipped_start": "training.start_file",
}

__all__ = [
    "FROM_A_START",
    "FreezingError",
    "Gains",
    "Learned",
    "NetworkConfig",
    "Start",
    "TrainingConfig",
    "freeze_describer",
    "freezing_error",
    "learn_codec",
    "measure_gains",
    "shipped_start",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ImportError as error:
        if (error.name or "").startswith("kinpack"):
            raise
        raise MissingExtraError(
            f"learning needs {error.name}, which is not installed; install the extra: "
            'pip install "kinpack[learn]"'
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
