"""Sealed archives: a whole archive in one uncompressed zip, read in place."""

from __future__ import annotations

import builtins
import io
import struct
import zipfile
import zlib
from typing import NoReturn

from kinpack.archive.stores.ranged import LocalFile, RangedFile
from kinpack.archive.stores.system_errors import too_large, truncated
from kinpack.errors import ArchiveError, shown

SUFFIX = ".kin.zip"
"""How the names of sealed archives end, by custom."""

MAGIC = b"PK\x03\x04"
"""First bytes of a sealed archive."""

_HEADER = struct.Struct("<4s5H3L2H")
_CHUNK = 4 << 20


class SealedStore:
    """A store inside one zip file, for reading alone.

    The zip's directory is read at the beginning; any part of a file is one read then.

    Args:
        file: the zip.

    Raises:
        ArchiveError: it is no zip, damaged, compressed or encrypted.
    """

    def __init__(self, file: RangedFile) -> None:
        self._file = file
        try:
            with zipfile.ZipFile(_AsFile(file)) as directory:
                infos = directory.infolist()
                end = directory.start_dir
        except (
            zipfile.BadZipFile,
            ValueError,
            LookupError,
            struct.error,
            NotImplementedError,
        ) as error:
            raise self._damaged(f"its directory cannot be read ({error})") from error
        self._infos = {info.filename: info for info in infos}
        self._begins: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        if len(self._infos) != len(infos):
            raise self._damaged("a name comes twice")
        for info in sorted(infos, key=lambda one: one.header_offset, reverse=True):
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise ArchiveError(
                    f"{file.where}: {info.filename!r} is compressed or encrypted in this zip; "
                    "unzip it, and seal it with: kinpack seal"
                )
            self._ends[info.filename] = end
            begin = info.header_offset + _HEADER.size + len(info.orig_filename.encode())
            if end - info.file_size == begin and info.compress_size == info.file_size:
                self._begins[info.filename] = begin  # nothing but the data lies behind the name
            end = info.header_offset

    def where(self, name: str) -> str:
        """The path or address of a file, or of the zip for an empty name."""
        return f"{self._file.where}/{shown(name)}" if name else self._file.where

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole content of a file, of so many bytes at most."""
        if most is not None and self.size(name) > most:
            raise too_large(self.where(name), most)
        return self.read_range(name, 0, self.size(name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file from byte ``offset`` on."""
        if offset + length > self.size(name):
            raise truncated(self.where(name), offset, offset + length)
        return self._file.read(self._begin(name) + offset, length)

    def mapped(self, name: str) -> memoryview | None:
        """The whole content of a file, mapped into memory, if that can be."""
        if not isinstance(self._file, LocalFile):
            return None
        return self._file.mapped(self._begin(name), self.size(name))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._info(name).file_size

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self._infos

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names of all files that begin with ``prefix``."""
        return sorted(
            name for name in self._infos if name.startswith(prefix) and not name.endswith("/")
        )

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Refuse whatever would change the archive.

        Raises:
            ArchiveError: always.
        """
        raise ArchiveError(
            f"{self._file.where}: a sealed archive cannot be changed; make a folder of it with: "
            "kinpack unseal ARCHIVE -o FOLDER"
        )

    create = rename = delete = writing = alone = ages = begin = refuse

    def end(self, *, born: bool, keep: bool = False) -> None:
        """Do nothing: nothing is ever begun here."""

    def faults(self) -> builtins.list[str]:
        """What is wrong with the zip itself: headers and sums that other programs go by."""
        found = []
        for name in self.list():
            info = self._infos[name]
            try:
                header = _HEADER.unpack(self._file.read(info.header_offset, _HEADER.size))
                begin, crc = self._begin(name), 0
                for offset in range(0, info.file_size, _CHUNK):
                    length = min(_CHUNK, info.file_size - offset)
                    crc = zlib.crc32(self._file.read(begin + offset, length), crc)
                raw = self._file.read(info.header_offset + _HEADER.size, header[9])
                if header[0] != MAGIC or raw != info.orig_filename.encode():
                    found.append(f"{self.where(name)}: its header in the zip is another file's")
                if crc != info.CRC:
                    found.append(f"{self.where(name)}: its CRC-32 in the zip does not hold")
            except ArchiveError as error:
                found.append(str(error))
        return found

    def is_moved(self) -> bool:
        """Whether another file has the zip's name by now."""
        return self._file.is_moved()

    def close(self) -> None:
        """Close the zip."""
        self._file.close()

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._infos:
            raise ArchiveError(
                f"{self.where(name)}: this file of the archive is missing; restore the sealed "
                "archive from a copy"
            )
        return self._infos[name]

    def _begin(self, name: str) -> int:
        """Byte at which a file's data begins; known of zips that kinpack made, else looked up."""
        if name not in self._begins:
            info = self._info(name)
            header = _HEADER.unpack(self._file.read(info.header_offset, _HEADER.size))
            begin = info.header_offset + _HEADER.size + header[9] + header[10]
            if header[0] != MAGIC or begin + info.file_size > self._ends[name]:
                raise self._damaged(f"the header of {name!r} does not fit")
            self._begins[name] = begin
        return self._begins[name]

    def _damaged(self, reason: str) -> ArchiveError:
        text = " ".join(reason.split())
        return ArchiveError(
            f"{self._file.where}: no sealed archive, or a damaged one: {text}; restore it from a "
            "copy"
        )


class _AsFile(io.RawIOBase):
    """A ranged file as ``zipfile`` reads one."""

    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        at = (0, self._at, self._file.size)[whence] + offset
        if at < 0:
            raise ValueError("before the beginning of the file")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._file.size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        data = self._file.read(self._at, length)
        self._at += length
        return data
