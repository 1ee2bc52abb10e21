"""What guided fuzzing reads: for each sort of file a reader of inputs, and the first inputs."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes.manifest_files import sealed
from kinpack.archive.stores.sealed_store import SealedStore
from kinpack.archive.stores.store import FOLDER
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from reliability import fuzz_targets
from reliability.fuzz_folder import folder_case
from reliability.fuzz_seeds import Seeds, make_seeds
from reliability.fuzz_targets import MemoryFile, MemoryStore
from reliability.mutate import mutated_json


def _chance() -> random.Random:
    """The same chance each time: the input alone decides."""
    return random.Random(0)


def _manifest(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """The newest manifest's body, sealed anew where it is an object of JSON."""
    name = max(name for name in seeds.archive if name.startswith(FOLDER))
    body = json.loads(seeds.archive[name])
    del body["checksum"]

    def read(data: bytes) -> None:
        try:
            file = sealed(json.loads(data))
        except (AttributeError, TypeError, ValueError, RecursionError):
            file = data
        _archive(MemoryStore({**seeds.archive, name: file}))

    return read, [json.dumps(body).encode()]


def _segment(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """The index of the first segment, all sums made to hold."""
    first: dict[str, Any] = {}

    def note(body: dict[str, Any]) -> None:
        first.update(body["segments"][0])

    fuzz_targets._newest(seeds.archive, note)
    file = f"segments/{first['name']}.parquet"
    head, tail = (
        seeds.archive[file][: first["index_offset"]],
        seeds.archive[file][first["index_offset"] :],
    )

    def read(data: bytes) -> None:
        def change(body: dict[str, Any]) -> None:
            whole = head + data
            body["segments"][0].update(
                bytes=len(whole),
                sha256=hashlib.sha256(whole).hexdigest(),
                index_crc32=zlib.crc32(data),
            )

        files = fuzz_targets._newest(seeds.archive, change)
        _archive(MemoryStore({**files, file: head + data}))

    return read, [tail]


def _sealed(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A whole sealed archive."""

    def read(data: bytes) -> None:
        _archive(SealedStore(MemoryFile(data)))

    return read, [seeds.sealed]


def _codec(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A codec file, its last checksum made to hold."""

    def read(data: bytes) -> None:
        fuzz_targets._codec(data + hashlib.sha256(data).digest(), _chance())

    return read, [file[:-32] for file in seeds.codecs]


def _payload(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A payload of any kind, behind the number of the packet whose place it takes."""
    classic, learned = (
        Codec.from_bytes(file, where="some.kinc", threads=1) for file in seeds.codecs
    )
    every = [(classic, packet) for packet in seeds.classic]
    every += [(learned, packet) for packet in (*seeds.learned, *seeds.causal)]

    def read(data: bytes) -> None:
        if not data:
            return
        codec, packet = every[data[0] % len(every)]
        image = codec.decode([replace(packet, payload=data[1:])], threads=1)[0]
        if image.shape != (packet.height, packet.width, packet.channels):
            raise fuzz_targets.WrongError(f"an image of shape {image.shape}")

    return read, [
        bytes([number]) + packet.payload for number, (_, packet) in enumerate(every[:256])
    ]


class Drawn(random.Random):
    """Chances that an input decides, byte after byte, and zeros when it is at its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    def getrandbits(self, k: int) -> int:
        """An integer of so many bits."""
        count = -(-k // 8)
        part = self._data[self._at : self._at + count].ljust(count, b"\0")
        self._at += count
        return int.from_bytes(part) >> (8 * count - k)

    def random(self) -> float:
        """A number from 0 up to below 1."""
        return self.getrandbits(8) / 256


def _folder(seeds: Seeds) -> tuple[Callable[[bytes], None], list[bytes]]:
    """An archive's folder, in which the input decides what is changed and what is done then."""
    del seeds
    _FOLDERS.append(tempfile.TemporaryDirectory())
    case = folder_case(Path(_FOLDERS[-1].name))

    return lambda data: case(Drawn(data)), [bytes(range(first, 256, 7)) for first in range(7)]


TARGETS: dict[str, Callable[[Seeds], tuple[Callable[[bytes], None], list[bytes]]]] = {
    "manifest": _manifest,
    "segment": _segment,
    "sealed": _sealed,
    "codec": _codec,
    "payload": _payload,
    "folder": _folder,
}
"""By name: what gives the reader of an input, and the inputs to begin with."""


def _manifest_changed(data: bytes, seed: int) -> bytes | None:
    """A manifest with other values: as JSON it gets further than with other bytes."""
    try:
        return json.dumps(mutated_json(json.loads(data), random.Random(seed))).encode()
    except (TypeError, ValueError, RecursionError):
        return None


def _codec_changed(data: bytes, seed: int) -> bytes | None:
    """A codec file with other values in its header."""
    end = 16 + int.from_bytes(data[12:16], "little")
    header = _manifest_changed(data[16:end], seed)
    if header is None:
        return None
    return data[:12] + len(header).to_bytes(4, "little") + header + data[end:]


CHANGES: dict[str, Callable[[bytes, int], bytes | None]] = {
    "manifest": _manifest_changed,
    "codec": _codec_changed,
}
"""How inputs with an inner form are changed, by name: from a seed; ``None`` where one has none."""

_CODECS: list[Codec] = []
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # there as long as this process is


def _archive(store: Any) -> None:
    """Verify, open, list, search and read an archive; it is the classic codec's."""
    if not _CODECS:
        _CODECS.append(Codec.load("classic"))
    fuzz_targets._store(store, _chance(), _CODECS[0], None)


def tried(read: Callable[[bytes], None], data: bytes) -> None:
    """Read an input; whatever is no refusal of one line is raised.

    Raises:
        WrongError: a refusal has several lines.
    """
    try:
        read(data)
    except KinpackError as error:
        if "\n" in str(error):
            raise fuzz_targets.WrongError(f"several lines: {error}") from error


def beginning(name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """The reader of a target, and the inputs to begin with."""
    return TARGETS[name](make_seeds())
