"""The codec file (``.kinc``): header JSON, ONNX networks, integer tables and arrays, checksummed.

```
 8 bytes   magic: 89 4B 49 4E 43 0D 0A 1A (of a describer file, ``.kine``: 45 in place of 43)
 4 bytes   format version, little-endian
 4 bytes   length of the header, little-endian
 header    JSON, UTF-8; "sections" lists name, stored and plain length, packing, dtype and shape
 sections  one after the other, in the header's order
 32 bytes  SHA-256 of all the above
```
A codec's or describer's identity is the SHA-256 of the whole file.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.limits import DEEPEST, too_deep


@dataclass(frozen=True)
class FileKind:
    """A sort of file that has this form.

    Attributes:
        magic: its first eight bytes.
        what: it is called in messages.
        suffix: of its name.
        shipped: names of those that come with the package.
    """

    magic: bytes
    what: str
    suffix: str
    shipped: tuple[str, ...]

    @property
    def examples(self) -> str:
        """What to name instead of a file that is none."""
        *names, last = [f"a {self.suffix} file", *(f"`{name}`" for name in self.shipped)]
        return f"{', '.join(names)} or {last}"


MAGIC = b"\x89KINC\r\n\x1a"
CODEC_FILE = FileKind(MAGIC, "codec", ".kinc", ("default", "classic"))
DESCRIBER_FILE = FileKind(b"\x89KINE\r\n\x1a", "describer", ".kine", ("look", "classic", "photo"))
VERSION = 1
MAX_BYTES = 1 << 28
"""Most bytes that the sections may hold, unpacked: no file can make a reader take all memory."""
_PREFIX = len(MAGIC) + 8
_DIGEST = 32

_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class Container:
    """A codec file's content, or a describer file's.

    Attributes:
        header: plain values that describe the codec, without the list of sections.
        blobs: named byte strings (the networks).
        arrays: named arrays (tables, codebooks).
        kind: which of the two files it is.
    """

    header: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    arrays: Mapping[str, NDArray[Any]]
    kind: FileKind = CODEC_FILE

    def to_bytes(self) -> bytes:
        """Write the file; the same content gives the same bytes.

        Raises:
            CodecError: something in the content cannot be stored.
        """
        twice = sorted(set(self.blobs) & set(self.arrays))
        if twice or "sections" in self.header:
            names = ", ".join(twice) or "sections"
            raise CodecError(f"{_a(self.kind)} file would hold {names} twice; rename one")
        sections: list[dict[str, Any]] = []
        stored: list[bytes] = []
        for name, blob in self.blobs.items():
            _add(sections, stored, {"name": name}, blob)
        for name, array in self.arrays.items():
            if array.dtype.name not in _DTYPES:
                raise CodecError(
                    f"array {name!r} is {array.dtype}; {_a(self.kind)} file cannot hold that"
                )
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            fields = {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
            _add(sections, stored, fields, little.tobytes())
        if too_deep(self.header):
            raise CodecError(
                f"the {self.kind.what}'s description is nested deeper than {DEEPEST}; "
                "use plainer values"
            )
        try:
            header = json.dumps(
                {**self.header, "sections": sections},
                ensure_ascii=False,
                allow_nan=False,
                sort_keys=True,
                separators=(",", ":"),
            ).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise CodecError(
                f"the {self.kind.what}'s description cannot be stored ({error}); use plain values"
            ) from error
        lengths = VERSION.to_bytes(4, "little") + len(header).to_bytes(4, "little")
        body = self.kind.magic + lengths + header + b"".join(stored)
        return body + hashlib.sha256(body).digest()


def read_container(data: bytes, *, where: str, kind: FileKind = CODEC_FILE) -> Container:
    """Read a codec file, or a describer file.

    Args:
        data: the whole file.
        where: its name, for messages.
        kind: which of the two it must be.

    Raises:
        CodecError: it is no such file, is damaged or truncated, or is of a newer format.
    """
    what = kind.what
    if data[: len(MAGIC)] != kind.magic:
        raise CodecError(f"{where}: not {_a(kind)} file; name {kind.examples}")
    if len(data) < _PREFIX + _DIGEST:
        raise CodecError(f"{where}: the {what} file is truncated; fetch it again")
    version = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little")
    if version > VERSION:
        raise CodecError(
            f"{where}: {what} format {version} is newer than this kinpack reads ({VERSION}); "
            "upgrade kinpack"
        )
    body = memoryview(data)[:-_DIGEST]
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise CodecError(f"{where}: the {what} file is damaged or truncated; fetch it again")
    # What follows was written by the author of the file: still nothing to trust blindly.
    try:
        return _parse(data, kind)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, zlib.error) as error:
        raise CodecError(
            f"{where}: the {what} file makes no sense ({error}); make it anew"
        ) from error


def array_of(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """An array of a codec file.

    Raises:
        CodecError: there is none of that name.
    """
    array = arrays.get(name)
    if array is None:
        raise CodecError(f"the codec lacks the array {name!r}; make it anew")
    return array


def integers_of(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.int64]:
    """An array of integers of a codec file, as int64.

    Raises:
        CodecError: there is none of that name.
    """
    array = array_of(arrays, name)
    if array.dtype.kind not in "iu":
        raise CodecError(f"the codec's array {name!r} does not hold integers; make it anew")
    return array.astype(np.int64)


def _a(kind: FileKind) -> str:
    """The file's sort with its article."""
    return f"{'an' if kind.what[0] in 'aeiou' else 'a'} {kind.what}"


def _parse(data: bytes, kind: FileKind) -> Container:
    start = _PREFIX + int.from_bytes(data[len(MAGIC) + 4 : _PREFIX], "little")
    end = len(data) - _DIGEST
    if start > end:
        raise ValueError("the header is longer than the file")
    if int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little") != VERSION:
        raise ValueError("there is no such format version")
    header = json.loads(data[_PREFIX:start].decode())
    if not isinstance(header, dict):
        raise TypeError("the header is no object")
    if too_deep(header):
        raise ValueError(f"the header is nested deeper than {DEEPEST}")
    blobs: dict[str, bytes] = {}
    arrays: dict[str, NDArray[Any]] = {}
    room = MAX_BYTES
    for section in header.pop("sections"):
        name = section["name"]
        if not isinstance(name, str) or name in blobs or name in arrays:
            raise ValueError(f"section {name!r} is there twice, or has no name")
        stored_length, length = int(section["stored"]), int(section["length"])
        if not (0 <= stored_length <= end - start and 0 <= length <= room):
            raise ValueError(f"section {name!r} has an impossible length")
        room -= length
        raw = data[start : start + stored_length]
        start += stored_length
        plain = _unpacked(raw, str(section["packing"]), length)
        if len(plain) != length:
            raise ValueError(f"section {name!r} is not as long as stated")
        if "dtype" in section:
            arrays[name] = _array(plain, section)
        else:
            blobs[name] = plain
    if start != end:
        raise ValueError("bytes are left over after the last section")
    return Container(header=header, blobs=blobs, arrays=arrays, kind=kind)


def _add(
    sections: list[dict[str, Any]], stored: list[bytes], fields: dict[str, Any], plain: bytes
) -> None:
    packed = zlib.compress(plain, 9)
    packing = "zlib" if len(packed) < len(plain) else "none"
    stored.append(packed if packing == "zlib" else plain)
    sections.append({**fields, "packing": packing, "length": len(plain), "stored": len(stored[-1])})


def _unpacked(raw: bytes, packing: str, length: int) -> bytes:
    if packing == "none":
        return raw
    if packing != "zlib":
        raise ValueError(f"packing {packing!r} is not known")
    inflater = zlib.decompressobj()
    plain = inflater.decompress(raw, length + 1)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("a packed section does not end where it should")
    return plain


def _array(plain: bytes, section: Mapping[str, Any]) -> NDArray[Any]:
    if section["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {section['dtype']!r} is not known")
    dtype = np.dtype(section["dtype"])
    shape = tuple(int(side) for side in section["shape"])
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(plain):
        raise ValueError(f"array {section['name']!r} does not fit its shape")
    array = np.frombuffer(plain, dtype=dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    array.flags.writeable = False
    return array
