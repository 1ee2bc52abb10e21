"""kinpack: packs a collection of images into one small archive that is searched without unpacking.

Names are imported when first used, so that ``import kinpack`` is fast and needs no heavy package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kinpack import integrations as integrations
    from kinpack import learn as learn
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
    from kinpack.pictures.picture_writing import save_image as save_image
    from kinpack.search.hit import Hit as Hit
    from kinpack.search.query import Query as Query
    from kinpack.sources.items import Item as Item
    from kinpack.sources.items import Source as Source
    from kinpack.sources.metadata import with_metadata as with_metadata
    from kinpack.sources.opening import open_source as open_source
    from kinpack.web.site import view as view
else:
    from kinpack.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        "kinpack",
        {
            "archive.archive": "Archive",
            "archive.care.copying": "copy merge",
            "archive.care.repairing": "repair",
            "archive.care.sealing": "seal unseal",
            "codec.codec": "Codec",
            "codec.packets.packet": "Kind Packet",
            "codec.packets.target": "Target",
            "describers.describer": "Describer",
            "errors": "KinpackError",
            "integrations.exporting": "export",
            "integrations.unpacking": "unpack",
            "web.site": "view",
            "pictures.images": "load_image",
            "pictures.picture_writing": "save_image",
            "search.hit": "Hit",
            "search.query": "Query",
            "sources.items": "Item Source",
            "sources.metadata": "with_metadata",
            "sources.opening": "open_source",
        },
        own=("__version__",),
        rooms=("integrations", "learn"),
    )
