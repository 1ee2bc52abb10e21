"""Other forms of an archive: files, exports; may import the archive and what is below it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinpack.integrations.exporting import export as export
    from kinpack.integrations.unpacking import unpack as unpack

_HOME = {"export": "exporting", "unpack": "unpacking"}

__all__ = ["export", "unpack"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
