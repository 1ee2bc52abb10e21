"""kinpack: packs a collection of images into one small archive that is searched without unpacking.

Names are imported when first used, so that ``import kinpack`` is fast and needs no heavy package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kinpack.archive.archive import Archive as Archive
    from kinpack.codec.codec import Codec as Codec
    from kinpack.codec.packets.packet import Kind as Kind
    from kinpack.codec.packets.packet import Packet as Packet
    from kinpack.describers.describer import Describer as Describer
    from kinpack.errors import KinpackError as KinpackError
    from kinpack.sources.items import Source as Source
    from kinpack.sources.opening import open_source as open_source

_HOME = {
    "Archive": "kinpack.archive.archive",
    "Codec": "kinpack.codec.codec",
    "Describer": "kinpack.describers.describer",
    "Kind": "kinpack.codec.packets.packet",
    "KinpackError": "kinpack.errors",
    "Packet": "kinpack.codec.packets.packet",
    "Source": "kinpack.sources.items",
    "open_source": "kinpack.sources.opening",
}

__all__ = [
    "Archive",
    "Codec",
    "Describer",
    "Kind",
    "KinpackError",
    "Packet",
    "Source",
    "__version__",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'kinpack' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
