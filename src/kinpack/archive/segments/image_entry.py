"""What an archive tells of one image without reading its payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kinpack.codec.packets.packet import Kind, Packet
from kinpack.column_types import json_value


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """What an archive tells of one image without reading its payload: its row of the index.

    Attributes:
        id: its name, unique in the archive.
        columns: what else is known of it, by the column's name, ``None`` where it has no value.
        width: pixels across.
        height: pixels down.
        channels: 1 grey, 3 RGB, 4 RGBA.
        kind: how the payload is coded.
        quality: at which it was coded, 1 to 100.
        length: bytes of the payload.
    """

    id: str
    columns: Mapping[str, Any] = field(hash=False)
    width: int
    height: int
    channels: int
    kind: Kind
    quality: int
    length: int

    @property
    def label(self) -> str | None:
        """Its class, ``None`` if it has none."""
        label: str | None = self.columns.get("label")
        return label

    @property
    def others(self) -> dict[str, Any]:
        """What is known of it beside its label, by the column's name."""
        return {name: value for name, value in self.columns.items() if name != "label"}

    def json_columns(self) -> dict[str, Any]:
        """What else is known of it, as JSON values."""
        return {name: json_value(value) for name, value in self.columns.items()}

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return {
            "id": self.id,
            **self.json_columns(),
            "width": self.width,
            "height": self.height,
            "channels": self.channels,
            "kind": self.kind.name.lower(),
            "quality": self.quality,
            "length": self.length,
        }


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as an archive keeps it, on its way into another segment.

    Attributes:
        id: its name.
        columns: what else is known of it, by the column's name.
        packet: the image, coded.
        codes: packed codes of it, by the column's name; one that is lost is not there.
    """

    id: str
    columns: Mapping[str, Any]
    packet: Packet
    codes: Mapping[str, bytes]
