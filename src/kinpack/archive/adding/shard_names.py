"""Names of shards: what tells that items are the very ones that were coded before, and how."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import kinpack
from kinpack.archive.adding.picture_loading import AddOptions
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.stores.store import FORMAT

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer
    from kinpack.sources.items import Item

_FIRST, _COUNT = 16, 8  # digits of a name


def way_of(codec: Codec, describers: Mapping[str, Describer], options: AddOptions) -> bytes:
    """A digest of all that decides what becomes of a picture, but the picture.

    Args:
        codec: codes it.
        describers: that make codes of it, by the names of their columns.
        options: how it is added.
    """
    target = replace(options.target, threads=None)
    named = sorted((name, one.describer_id) for name, one in describers.items())
    told = FORMAT, kinpack.__version__, codec.codec_id, named, repr(target)
    return blake2b(repr(told).encode(), digest_size=16).digest()


def digest_of(item: Item) -> bytes | None:
    """A digest of an item: of all that its picture is loaded by, and of the file's size and time.

    Returns:
        16 bytes; ``None`` where nothing tells that the item is the same in another process.
    """
    try:
        told = pickle.dumps((item.id, item.label, item.load, dict(item.columns)), protocol=5)
        if item.file is not None:
            found = os.stat(item.file)  # noqa: PTH116 (by the million)
            told += f" {found.st_size} {found.st_mtime_ns}".encode()
    except Exception:  # pickling runs strangers' code, and raises whatever that does
        return None
    return blake2b(told, digest_size=16).digest()


def shard_name(way: bytes, digests: Sequence[bytes | None]) -> str | None:
    """The name of some items that were coded in a way: 64 hexadecimal digits.

    Args:
        way: as ``way_of`` gives it.
        digests: as ``digest_of`` gives them, of each item, one at least.

    Returns:
        The name; ``None`` where an item cannot be told again.
    """
    known = [one for one in digests if one is not None]
    if len(known) < len(digests):
        return None
    whole = blake2b(way + b"".join(known), digest_size=20).hexdigest()
    return f"{first_of(way, known[0])}{len(known):0{_COUNT}x}{whole}"


def first_of(way: bytes, digest: bytes | None) -> str | None:
    """With what the names of all shards begin whose first item has a digest."""
    return None if digest is None else blake2b(way + digest, digest_size=_FIRST // 2).hexdigest()


def begin_of(name: str) -> str:
    """What the name of a shard tells of its first item."""
    return name[:_FIRST]
