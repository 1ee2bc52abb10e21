"""kinpack: packs a collection of images into one small archive that is searched without unpacking.

Names are imported when first used, so that ``import kinpack`` is fast and needs no heavy package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kinpack.archive.archive import Archive as Archive
    from kinpack.archive.care.copying import copy as copy
    from kinpack.archive.care.copying import merge as merge
    from kinpack.archive.care.repairing import repair as repair
    from kinpack.archive.care.sealing import seal as seal
    from kinpack.archive.care.sealing import unseal as unseal
    from kinpack.codec.codec import Codec as Codec
    from kinpack.codec.packets.packet import Kind as Kind
    from kinpack.codec.packets.packet import Packet as Packet
    from kinpack.codec.packets.target import Target as Target
    from kinpack.describers.describer import Describer as Describer
    from kinpack.errors import KinpackError as KinpackError
    from kinpack.integrations.exporting import export as export
    from kinpack.integrations.unpacking import unpack as unpack
    from kinpack.pictures.images import load_image as load_image
    from kinpack.pictures.images import save_image as save_image
    from kinpack.sources.items import Item as Item
    from kinpack.sources.items import Source as Source
    from kinpack.sources.opening import open_source as open_source

_HOME = {
    "Archive": "kinpack.archive.archive",
    "Codec": "kinpack.codec.codec",
    "Describer": "kinpack.describers.describer",
    "Item": "kinpack.sources.items",
    "Kind": "kinpack.codec.packets.packet",
    "KinpackError": "kinpack.errors",
    "Packet": "kinpack.codec.packets.packet",
    "Source": "kinpack.sources.items",
    "Target": "kinpack.codec.packets.target",
    "copy": "kinpack.archive.care.copying",
    "export": "kinpack.integrations.exporting",
    "load_image": "kinpack.pictures.images",
    "merge": "kinpack.archive.care.copying",
    "open_source": "kinpack.sources.opening",
    "repair": "kinpack.archive.care.repairing",
    "save_image": "kinpack.pictures.images",
    "seal": "kinpack.archive.care.sealing",
    "unpack": "kinpack.integrations.unpacking",
    "unseal": "kinpack.archive.care.sealing",
}

__all__ = [
    "Archive",
    "Codec",
    "Describer",
    "Item",
    "Kind",
    "KinpackError",
    "Packet",
    "Source",
    "Target",
    "__version__",
    "copy",
    "export",
    "load_image",
    "merge",
    "open_source",
    "repair",
    "save_image",
    "seal",
    "unpack",
    "unseal",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name in ("integrations", "learn"):
        return import_module(f"kinpack.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'kinpack' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
