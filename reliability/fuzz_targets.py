"""What is fuzzed: for each sort of file or payload how a case is made of a seed, and then read."""

from __future__ import annotations

import builtins
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fakes.manifest_files import sealed
from fakes.tiny_describer import soft_picture
from kinpack.archive.care.verification import verify_store
from kinpack.archive.revisions.manifest import canonical
from kinpack.archive.revisions.manifest_chain import load_manifest
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.stores.sealed_store import SealedStore
from kinpack.archive.stores.store import FOLDER, Store
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError
from kinpack.networks.networks import OnnxNetwork
from kinpack.pictures.images import load_image
from reliability.fuzz_folder import folder_case
from reliability.fuzz_seeds import Seeds
from reliability.mutate import NUMBERS, mutated, mutated_json, mutated_part

Chance = random.Random
Case = Callable[[Chance], None]

_QUERY = soft_picture(3, 16, 16)
_MOST_READ = 24  # images of an archive that a case decodes
_LOADED = 0.1  # share of cases that load an archive's own codec and describer: that takes long


class WrongError(Exception):
    """What was read is neither right nor refused."""


class MemoryStore:
    """The files of an archive in memory, read as a store reads them.

    Args:
        files: content by name.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def where(self, name: str) -> str:
        """What messages call a file."""
        return f"memory/{name}"

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole content of a file; none is too large."""
        del most
        if name not in self._files:
            raise ArchiveError(f"{self.where(name)}: this file is missing; restore it from a copy")
        return self._files[name]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on."""
        data = self.read(name)[offset : offset + length]
        if len(data) != length:
            raise ArchiveError(f"{self.where(name)}: truncated; restore it from a copy")
        return data

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return len(self.read(name))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self._files

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names that begin with ``prefix``."""
        return sorted(name for name in self._files if name.startswith(prefix))

    def faults(self) -> builtins.list[str]:
        """Nothing: memory has no faults of its own."""
        return []

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Refuse whatever would change it."""
        raise ArchiveError(f"{self.where('')}: it is only read")

    create = rename = delete = writing = alone = ages = begin = refuse

    def end(self, *, born: bool, keep: bool = False) -> None:
        """Nothing is ever begun."""

    def is_moved(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Nothing is open."""


class MemoryFile:
    """A file in memory, read by ranges.

    Args:
        data: its content.
    """

    where = "memory.kin.zip"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset`` on."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ArchiveError(f"{self.where}: truncated; restore it from a copy")
        return self._data[offset : offset + length]

    def is_moved(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Nothing is open."""


def cases(seeds: Seeds, folder: Path) -> dict[str, Case]:
    """What is fuzzed: by name, a function that makes a case by chance and reads it.

    A case raises a ``KinpackError`` where it is refused; any other error is a finding.

    Args:
        seeds: what is changed.
        folder: one that is not there; it is to stay as long as there are cases.
    """
    codecs = seeds.codecs
    learned = Codec.from_bytes(codecs[1], where="tiny")
    classic = Codec.from_bytes(codecs[0], where="classic")
    describer = Describer.from_bytes(seeds.describer, where="tiny")
    archive = seeds.archive

    def read(store: Store, c: Chance) -> None:
        _store(store, c, *((None, None) if c.random() < _LOADED else (classic, describer)))

    graphs = [g for file in (*codecs, seeds.describer) for g in _sections(file)[1].values()]
    lossy = {kind: [p for p in seeds.classic if p.kind is kind] for kind in Kind}
    lossy[Kind.WEBP] = _webp(seeds)
    return {
        "codec file": lambda c: _codec(_file(c.choice(codecs), c, codecs), c),
        "network": lambda c: _network(mutated(c.choice(graphs), c, graphs), c),
        "describer file": lambda c: _describer(_file(seeds.describer, c, codecs)),
        "manifest": lambda c: read(MemoryStore(_with_manifest(archive, c)), c),
        "segment": lambda c: read(MemoryStore(_with_segment(archive, c)), c),
        "file of codes": lambda c: read(MemoryStore(_with_codes(archive, c)), c),
        "sealed archive": lambda c: read(_sealed(seeds.sealed, c), c),
        "learned payload": lambda c: _payload(learned, seeds.learned, c),
        "causal payload": lambda c: _payload(learned, seeds.causal, c),
        "AVIF payload": lambda c: _payload(classic, lossy[Kind.AVIF], c),
        "WebP payload": lambda c: _payload(classic, lossy[Kind.WEBP], c),
        "lossless WebP payload": lambda c: _payload(classic, lossy[Kind.WEBP_LOSSLESS], c),
        "alpha": lambda c: _payload(classic, [p for p in seeds.classic if p.channels == 4], c, 60),
        "picture": lambda c: _picture(mutated(c.choice(seeds.pictures), c, seeds.pictures)),
        "folder": folder_case(folder),
    }


def _webp(seeds: Seeds) -> list[Packet]:
    """Lossy WebP packets, which the encoder makes only where there is no AVIF."""
    from kinpack.codec.classic.alpha import encode_alpha, join
    from kinpack.codec.classic.webp import encode_webp

    made = []
    for n, (height, width) in enumerate(((8, 8), (20, 24), (1, 1), (33, 65))):
        for channels in (1, 3, 4):
            image = soft_picture(n, height, width, channels)
            payload = encode_webp(np.ascontiguousarray(image[:, :, :3]), webp_quality=50)
            if channels == 4:
                payload = join(encode_alpha(np.ascontiguousarray(image[:, :, 3])), payload)
            made.append(Packet(width, height, channels, Kind.WEBP, 50, payload))
    return made


def _sections(file: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The header of a codec file, and its networks as they are stored plain."""
    length = int.from_bytes(file[12:16], "little")
    header, at = json.loads(file[16 : 16 + length]), 16 + length
    blobs = {}
    for section in header["sections"]:
        raw = file[at : at + section["stored"]]
        at += section["stored"]
        if "dtype" not in section:
            blobs[section["name"]] = zlib.decompress(raw) if section["packing"] == "zlib" else raw
    return header, blobs


def _file(file: bytes, chance: Chance, others: tuple[bytes, ...]) -> bytes:
    """A codec or describer file with changes, its checksum made to hold mostly."""
    if chance.random() < 0.1:
        return mutated(file, chance, others)
    length = int.from_bytes(file[12:16], "little")
    header, at = json.loads(file[16 : 16 + length]), 16 + length
    parts = []
    for section in header["sections"]:
        raw = file[at : at + section["stored"]]
        at += section["stored"]
        if chance.random() < 1 / len(header["sections"]):
            plain = zlib.decompress(raw) if section["packing"] == "zlib" else raw
            plain = mutated(plain, chance)
            if "dtype" in section:  # keep the shape
                plain = plain[: section["length"]].ljust(section["length"], b"\0")
            raw = plain if chance.random() < 0.9 else mutated(zlib.compress(plain), chance)
            section.update(stored=len(raw), packing="none", length=len(plain))
            if raw is not plain:
                section["packing"] = "zlib"
        parts.append(raw)
    if chance.random() < 0.6:
        header = mutated_json(header, chance)
    text = json.dumps(header).encode()
    if chance.random() < 0.05:
        text = mutated(text, chance)
    body = file[:8] + file[8:12] + len(text).to_bytes(4, "little") + text + b"".join(parts)
    return body + hashlib.sha256(body).digest()


def _codec(file: bytes, chance: Chance) -> None:
    codec = Codec.from_bytes(file, where="some.kinc", threads=1)
    quality = chance.choice((1, 50, 99))
    packets = codec.encode([_QUERY], quality=quality, classic=chance.choice(("never", "auto")))
    image = codec.decode(packets, threads=1)[0]
    if image.shape != _QUERY.shape:
        raise WrongError(f"an image of shape {image.shape}")


def _network(graph: bytes, chance: Chance) -> None:
    network = OnnxNetwork(graph, name="some", threads=1)
    shape = chance.choice(((1, 3, 16, 16), (1, 4, 16, 16), (1, 12, 2, 2), (2, 25, 4, 4), (1, 8)))
    network(np.zeros(shape, np.float32))


def _describer(file: bytes) -> None:
    describer = Describer.from_bytes(file, where="some.kine")
    if len(packed_codes(describer, [_QUERY], threads=1)[0]) != describer.code_bytes:
        raise WrongError("a code of another size")


def _with_manifest(files: dict[str, bytes], chance: Chance) -> dict[str, bytes]:
    made = dict(files)
    name = chance.choice([name for name in files if name.startswith(FOLDER)])
    if chance.random() < 0.1:
        made[name] = mutated(files[name], chance)
        return made
    body = json.loads(files[name])
    del body["checksum"]
    body = mutated_json(body, chance)
    try:
        made[name] = sealed(body)
    except (AttributeError, TypeError, ValueError, RecursionError):
        made[name] = json.dumps(body, default=str).encode()
    return made


def _newest(files: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """The archive as one whole manifest that says what ``change`` makes of it."""
    manifest = load_manifest(MemoryStore(files))
    body = {
        "format": 1,
        "archive": manifest.archive,
        "number": 1,
        "parent": None,
        "created": "now",
        "kinpack": "0",
        "change": {},
        "metadata": {},
        "codec": {"sha256": manifest.codec, "bytes": manifest.codec_bytes},
        "describers": [asdict(entry) for entry in manifest.describers],
        "segments": [segment.to_dict() for segment in manifest.segments],
    }
    change(body)
    made = {name: data for name, data in files.items() if not name.startswith(FOLDER)}
    made[f"{FOLDER}{1:010d}.json"] = sealed(json.loads(canonical(body)))
    return made


def _with_segment(files: dict[str, bytes], chance: Chance) -> dict[str, bytes]:
    """One segment's file with changes behind its payloads; all its sums are made to hold."""
    changed = {}

    def change(body: dict[str, Any]) -> None:
        entry = chance.choice(body["segments"])
        name = f"segments/{entry['name']}.parquet"
        data = files[name]
        tail, footer = entry["index_offset"], len(data) - 8
        footer -= int.from_bytes(data[-8:-4], "little")
        where = chance.random()
        if where < 0.6:
            new = mutated(data[footer:-8], chance)
            length = len(new) if chance.random() < 0.95 else chance.choice(NUMBERS) & 0xFFFFFFFF
            data = data[:footer] + new + struct.pack("<I", length) + data[-4:]
        elif where < 0.95:
            data = mutated_part(data, tail, footer, chance)
        else:
            data = mutated_part(data, tail, len(data), chance)
        if chance.random() < 0.1:
            entry["rows"] = max(1, entry["rows"] + chance.choice((-1, 1, 100)))
            entry["deleted"] = []
        entry["bytes"] = len(data)
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        entry["index_crc32"] = zlib.crc32(data[tail:])
        changed[name] = data

    made = _newest(files, change)
    return {**made, **changed}


def _with_codes(files: dict[str, bytes], chance: Chance) -> dict[str, bytes]:
    changed = {}

    def change(body: dict[str, Any]) -> None:
        codes = chance.choice(chance.choice(body["segments"])["codes"])
        name = f"codes/{codes['name']}.{codes['column']}.bin"
        data = mutated(files[name], chance)
        codes["bytes"] = len(data)
        codes["sha256"] = hashlib.sha256(data).hexdigest()
        changed[name] = data

    made = _newest(files, change)
    return {**made, **changed}


def _sealed(data: bytes, chance: Chance) -> SealedStore:
    where = chance.random()
    if where < 0.3:
        data = mutated(data, chance)
    else:  # in the directory and what is about the files
        start = data.rindex(b"PK\x01\x02") if where < 0.5 else data.index(b"PK\x01\x02")
        data = mutated_part(data, start, len(data), chance)
    return SealedStore(MemoryFile(data))


def _store(store: Store, chance: Chance, codec: Codec | None, describer: Describer | None) -> None:
    """Verify an archive, open it, list, search and read it; every error is of kinpack's."""
    report = verify_store(store, deep=chance.random() < _LOADED, codec=codec)
    for problem in report.problems:
        _one_line(problem)
    known = {describer.describer_id: describer} if describer else {}
    _read(Reader(store, load_manifest(store), codec, known), chance)


def _read(reader: Reader, chance: Chance) -> None:
    ids, labels = reader.ids, reader.labels
    if not len(ids) == len(labels) == len(reader):
        raise WrongError("counts of images differ")
    entries = list(reader.entries())
    if [entry.id for entry in entries] != ids:
        raise WrongError("entries and ids differ")
    json.dumps(dict(reader.manifest.metadata))
    if ids:
        for column in reader.describers:
            _, positions = reader.codes_of(column)
            if len(positions) and not reader.search(ids[int(positions[0])], 3, codes=column):
                raise WrongError("no hits")
    for name in ids[:_MOST_READ]:
        image, entry = reader.read(name), reader.entry(name)
        if image.shape != (entry.height, entry.width, entry.channels):
            raise WrongError(f"an image of shape {image.shape}")


def _payload(
    codec: Codec, packets: list[Packet] | tuple[Packet, ...], chance: Chance, head: int = 0
) -> None:
    """A packet with changes: its checksum does not protect it from whoever wrote it."""
    packet = chance.choice(packets)
    payload, sides = packet.payload, [packet.width, packet.height]
    others = [one.payload for one in packets]
    if chance.random() < 0.8:
        payload = mutated_part(payload, 0, head, chance) if head else mutated(
            payload, chance, others
        )  # fmt: skip
    if chance.random() < 0.3:
        sides[chance.randrange(2)] = chance.choice((1, 2, 63, 64, 65, 512, 513, 1024, 8193, 65535))
    changed = Packet(
        width=sides[0],
        height=sides[1],
        channels=packet.channels if chance.random() < 0.9 else chance.choice((1, 3, 4)),
        kind=packet.kind,
        quality=packet.quality if chance.random() < 0.8 else chance.randrange(1, 101),
        payload=payload,
    )
    image = codec.decode([changed], threads=1)[0]
    if image.shape != (changed.height, changed.width, changed.channels) or image.dtype != np.uint8:
        raise WrongError(f"an image of shape {image.shape}, {image.dtype}")


def _picture(file: bytes) -> None:
    image = load_image(file, size=64, damaged="keep")
    if image.ndim != 3 or max(image.shape) > 64 or image.dtype != np.uint8:
        raise WrongError(f"an image of shape {image.shape}")


def _one_line(text: str) -> None:
    if "\n" in text:
        raise WrongError(f"a message of several lines: {text}")
