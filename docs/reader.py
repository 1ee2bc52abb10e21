"""Read a kinpack archive without kinpack: list it, check it, find the kin of an image.

    python reader.py ARCHIVE list
    python reader.py ARCHIVE check
    python reader.py ARCHIVE scan ID [-k N] [--codes NAME]

ARCHIVE is a folder or a sealed archive. This is one file of plain Python that needs pyarrow beside
the standard library. It was written from ``format.md`` alone, and proves that the page suffices to
know every image of an archive, every byte that ought to be there, and who is kin to whom; take it
as the beginning of a reader in any language. Pictures themselves need a decoder of AVIF or WebP, or
an engine for the codec's networks.

``list`` and ``scan`` write one JSON object a line. Damage is named on the standard error, one line
each, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FORMAT = 1
LONGEST_CHAIN = 100
MOST_SECTION_BYTES = 1 << 28
KINDS = {1: "AVIF", 2: "WEBP", 3: "WEBP_LOSSLESS", 4: "LEARNED", 5: "CAUSAL"}
MAGICS = {"codec": b"\x89KINC\r\n\x1a", "describer": b"\x89KINE\r\n\x1a"}
NUMBERS = {
    "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H",
    "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip

EVERY_MANIFEST = {
    "format", "archive", "number", "parent", "created", "kinpack", "change", "segments",
    "checksum",
}  # fmt: skip
WHOLE = EVERY_MANIFEST | {"codec", "metadata"}
BASED = EVERY_MANIFEST | {"base", "deleted"}
SEGMENT = {
    "name", "bytes", "rows", "payload_bytes", "sha256", "index_offset", "index_crc32", "deleted",
}  # fmt: skip
COLUMNS = {
    "id": pa.string(),
    "label": pa.string(),
    "length": pa.int32(),
    "width": pa.uint16(),
    "height": pa.uint16(),
    "channels": pa.uint8(),
    "quality": pa.uint8(),
    "kind": pa.uint8(),
    "checksum": pa.uint32(),
}
ADDED = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamp_utc": pa.timestamp("us", tz="UTC"),
}
RESERVED = {
    "payload", *COLUMNS, "image", "file", "offset", "position", "rank", "distance", "similarity",
    "compared",
}  # fmt: skip


class DamageError(Exception):
    """Something is not as the format says; the text names the file."""


# --- where the files lie --------------------------------------------------------------------------


class Folder:
    """An archive in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """All files below the folder, sorted."""
        return sorted(
            file.relative_to(self.path).as_posix()
            for file in self.path.rglob("*")
            if file.is_file()
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DamageError(f"{name}: {error.strerror}") from error


class Sealed:
    """An archive in one zip."""

    def __init__(self, path: Path) -> None:
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, LookupError, struct.error, OSError) as error:
            raise DamageError(f"{path}: no sealed archive, or a damaged one: {error}") from error
        names = [info.filename for info in self.zip.infolist()]
        if len(set(names)) < len(names):
            raise DamageError(f"{path}: a name comes twice in its directory")

    def names(self) -> list[str]:
        """All files of the zip, sorted."""
        return sorted(self.zip.namelist())

    def read(self, name: str) -> bytes:
        """The bytes of a file, held against the zip's own CRC-32."""
        try:
            info = self.zip.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise DamageError(f"{name}: it is compressed or encrypted in the zip")
            return self.zip.read(info)
        except KeyError as error:
            raise DamageError(f"{name}: it is missing") from error
        except DamageError:
            raise
        except Exception as error:  # zipfile raises many kinds on damaged headers
            raise DamageError(f"{name}: it cannot be read from the zip: {error}") from error


# --- manifests ------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """Spell JSON values the one way that manifests are written in."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def require(holds: bool, name: str, what: str) -> None:
    """Raise ``DamageError`` where something does not hold."""
    if not holds:
        raise DamageError(f"{name}: {what}")


def is_integer(value: Any, low: int, high: int = 1 << 60) -> bool:
    """Whether a JSON value is an integer within bounds (``true`` is none)."""
    return type(value) is int and low <= value <= high


def is_hex(value: Any, digits: int) -> bool:
    """Whether a JSON value is a text of so many lower-case hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value) is not None


def manifest_name(number: int) -> str:
    """The file of a manifest."""
    return f"manifests/{number:010d}.json"


def read_manifest(archive: Folder | Sealed, number: int) -> dict[str, Any]:
    """Read one manifest file, whole or based on another, every byte of it checked."""
    name = manifest_name(number)
    data = archive.read(name)
    try:
        body = json.loads(data)
        whole_file = canonical(body) + b"\n" == data
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{name}: it is no JSON") from error
    require(isinstance(body, dict), name, "it is no JSON object")
    version = body.get("format")
    require(not is_integer(version, FORMAT + 1), name, f"format {version} is newer than {FORMAT}")
    require(whole_file, name, "its form is not canonical")
    rest = {key: value for key, value in body.items() if key != "checksum"}
    digest = hashlib.sha256(canonical(rest)).hexdigest()
    require(body.get("checksum") == digest, name, "its checksum does not hold")
    require(version == FORMAT and type(version) is int, name, f"there is no format {version!r}")
    keys = set(body)
    more = {"describers", "columns"} & keys
    require(keys in (WHOLE | more, BASED), name, f"its keys are {sorted(keys)}")
    require(body["number"] == number, name, f"it is manifest {body['number']} under another name")
    parent = body["parent"]
    good = parent is None if number == 1 else is_hex(parent, 64)
    require(good, name, f"its parent is {parent!r}")
    require(is_hex(body["archive"], 32), name, f"its archive is {body['archive']!r}")
    kinds = {"created": str, "kinpack": str, "change": dict, "segments": list}
    kinds |= (
        {"base": dict, "deleted": dict} if "base" in body else {"codec": dict, "metadata": dict}
    )
    for key, kind in kinds.items():
        require(isinstance(body[key], kind), name, f"its {key} is no {kind.__name__}")
    if "codec" in keys:
        check_file_entry(body["codec"], name, {"sha256", "bytes"})
    if "describers" in keys:
        describers = body["describers"]
        require(isinstance(describers, list) and describers != [], name, "it lists no describers")
        for entry in describers:
            check_file_entry(entry, name, {"name", "sha256", "bytes"})
            require(is_column(entry["name"]), name, f"a describer is called {entry['name']!r}")
        distinct = len({entry["name"] for entry in describers}) == len(describers)
        require(distinct, name, "two describers have one name")
    if "columns" in keys:
        check_columns(body["columns"], name)
    if "base" in body:
        base = body["base"]
        require(
            set(base) == {"number", "checksum"}
            and is_integer(base["number"], 1, number - 1)
            and is_hex(base["checksum"], 64),
            name,
            f"its base is {base!r}",
        )
        for runs in body["deleted"].values():
            check_runs(runs, 9_999_999_999, name)
    for entry in body["segments"]:
        check_segment_entry(entry, name)
    found: dict[str, Any] = body
    return found


def check_columns(columns: Any, name: str) -> None:
    """Check the names and types of the columns that users added."""
    good = isinstance(columns, dict) and 0 < len(columns) <= 256
    require(good, name, "it names no columns, or too many")
    for key, kind in columns.items():
        good = (
            0 < len(key) <= 100
            and key == key.strip(" ")
            and not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", key)
            and key.casefold() not in RESERVED
        )
        require(good, name, f"a column is called {key!r}")
        require(isinstance(kind, str) and kind in ADDED, name, f"column {key!r} is a {kind!r}")


def check_file_entry(entry: Any, name: str, keys: set[str]) -> None:
    """Check what a manifest says of a codec, a describer or a file of codes."""
    good = (
        isinstance(entry, dict)
        and set(entry) == keys
        and is_hex(entry["sha256"], 64)
        and is_integer(entry["bytes"], 0)
    )
    require(good, name, f"it names a file wrongly: {entry!r}")


def check_segment_entry(entry: Any, name: str) -> None:
    """Check what a manifest says of one segment."""
    keys = set(entry) if isinstance(entry, dict) else set()
    require(keys - {"codes", "index"} == SEGMENT, name, "a segment has other keys")
    good = (
        is_hex(entry["name"], 32)
        and is_hex(entry["sha256"], 64)
        and is_integer(entry["bytes"], 1)
        and is_integer(entry["rows"], 1)
        and is_integer(entry["index_offset"], 4, entry["bytes"] - 1)
        and is_integer(entry["payload_bytes"], 0, entry["index_offset"] - 4)
        and is_integer(entry["index_crc32"], 0, 0xFFFFFFFF)
    )
    require(good, name, f"a number of segment {entry['name']!r} is out of range")
    check_runs(entry["deleted"], entry["rows"], name)
    if "index" in entry:
        check_file_entry(entry["index"], name, {"name", "bytes", "offset", "sha256"})
        good = is_hex(entry["index"]["name"], 32) and is_integer(entry["index"]["offset"], 4)
        require(good, name, f"it names a file of an index wrongly: {entry['index']!r}")
    if "codes" in entry:
        codes = entry["codes"]
        require(isinstance(codes, list) and codes != [], name, "a segment lists no files of codes")
        for file in codes:
            check_file_entry(file, name, {"column", "name", "bytes", "sha256"})
            good = is_column(file["column"]) and is_hex(file["name"], 32)
            require(good, name, f"it names a file of codes wrongly: {file!r}")
            n_bytes = file["bytes"]
            require(
                n_bytes >= entry["rows"] and n_bytes % entry["rows"] == 0,
                name,
                f"{n_bytes} bytes are no codes of {entry['rows']} images",
            )
        distinct = len({file["column"] for file in codes}) == len(codes)
        require(distinct, name, "a segment has two files of codes in one column")


def is_column(value: Any) -> bool:
    """Whether a value may be the name of a column of codes."""
    fits = isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value, re.ASCII)
    return bool(fits) and value != "auto"


def check_runs(runs: Any, rows: int, name: str) -> None:
    """Check runs of rows, ``[first, one past the last]``, ascending and apart."""
    end = -1
    require(isinstance(runs, list), name, "runs of rows are no list")
    for run in runs:
        good = isinstance(run, list) and len(run) == 2 and all(is_integer(x, 0) for x in run)
        require(good and end < run[0] < run[1] <= rows, name, f"the run {run!r} is out of order")
        end = run[1]


@dataclass
class Revision:
    """What an archive holds after one commit.

    Attributes:
        number: of the manifest.
        codec: name of the codec's file.
        describers: names of the describers' files, by the names of their columns, in order.
        columns: types of the columns that users added, by their names.
        segments: the manifest's entry of each, in order.
        deleted: rows of each segment that are deleted.
    """

    number: int
    codec: str
    describers: dict[str, str]
    columns: dict[str, str]
    segments: list[dict[str, Any]]
    deleted: list[set[int]]


def build_revision(records: Mapping[int, dict[str, Any]], number: int) -> Revision:
    """Put a revision together from its manifest and those that it builds on.

    Args:
        records: manifests by number; all that the revision takes.
        number: of the revision.
    """
    chain = [records[number]]
    while "base" in chain[-1]:
        name, base = manifest_name(chain[-1]["number"]), chain[-1]["base"]
        require(len(chain) < LONGEST_CHAIN, name, f"it takes more than {LONGEST_CHAIN} manifests")
        require(base["number"] in records, name, f"manifest {base['number']}, its base, is missing")
        chain.append(records[base["number"]])
        there = chain[-1]["checksum"] == base["checksum"]
        require(there, name, f"it builds on another manifest {base['number']} than there is")
        require(chain[-1]["archive"] == chain[0]["archive"], name, "its base is another archive's")
    whole = chain[-1]
    describers = {
        entry["name"]: f"describers/{entry['sha256']}.kine" for entry in whole.get("describers", [])
    }
    codec, columns = f"codecs/{whole['codec']['sha256']}.kinc", whole.get("columns", {})
    revision = Revision(number, codec, describers, columns, [], [])
    for record in reversed(chain):
        name = manifest_name(record["number"])
        places = {entry["name"]: place for place, entry in enumerate(revision.segments)}
        for segment, runs in record.get("deleted", {}).items():
            require(segment in places, name, f"it deletes rows of {segment}, which is not there")
            place = places[segment]
            rows, gone = rows_of(runs), revision.deleted[place]
            fits = not rows & gone and max(rows, default=0) < revision.segments[place]["rows"]
            require(fits, name, f"it deletes rows of {segment} that are not there")
            gone |= rows
        for entry in record["segments"]:
            columns = {file["column"] for file in entry.get("codes", [])}
            known = columns <= set(describers)
            require(known, name, f"segment {entry['name']} has codes of no describer of it")
            revision.segments.append(entry)
            revision.deleted.append(rows_of(entry["deleted"]))
    return revision


def rows_of(runs: Sequence[Sequence[int]]) -> set[int]:
    """The rows of runs."""
    return {row for first, stop in runs for row in range(first, stop)}


def manifest_numbers(names: Sequence[str]) -> list[int]:
    """The numbers of the manifests among some files, ascending."""
    found = (re.fullmatch(r"manifests/(\d{10})\.json", name, re.ASCII) for name in names)
    return sorted(int(match[1]) for match in found if match)


def newest_revision(archive: Folder | Sealed) -> Revision:
    """Read the newest revision of an archive."""
    numbers = manifest_numbers(archive.names())
    if not numbers:
        raise DamageError("manifests: there is none: this is no kinpack archive")
    unbroken = numbers[-1] - numbers[0] == len(numbers) - 1
    require(unbroken, "manifests", f"there is a gap below {numbers[-1]}")
    records: dict[int, dict[str, Any]] = {}
    number: int | None = numbers[-1]
    while number is not None and number not in records:
        records[number] = read_manifest(archive, number)
        number = records[number]["base"]["number"] if "base" in records[number] else None
    return build_revision(records, numbers[-1])


# --- segments -------------------------------------------------------------------------------------


@dataclass
class Segment:
    """The rows of one segment.

    Attributes:
        name: of the file.
        data: all its bytes.
        columns: values of the columns after ``payload``, by name, row by row.
        starts: byte at which each payload begins, and the last ends.
    """

    name: str
    data: bytes
    columns: dict[str, list[Any]]
    starts: list[int]

    def packet_is_whole(self, row: int) -> bool:
        """Whether the CRC-32 of a row's packet holds."""
        kind, quality, channels, width, height = (
            self.columns[key][row] for key in ("kind", "quality", "channels", "width", "height")
        )
        head = struct.pack("<BBBII", kind, quality, channels, width, height)
        payload = self.data[self.starts[row] : self.starts[row + 1]]
        return bool(zlib.crc32(head + payload) == self.columns["checksum"][row])


def segment_name(entry: Mapping[str, Any]) -> str:
    """The file of a segment."""
    return f"segments/{entry['name']}.parquet"


def read_segment(
    archive: Folder | Sealed, entry: Mapping[str, Any], added: Mapping[str, str]
) -> Segment:
    """Read a segment, all of its index checked; payloads are checked one by one.

    Args:
        archive: where it lies.
        entry: what a manifest says of it.
        added: types of the columns that users added, by their names; it may lack some.
    """
    name, rows, offset = segment_name(entry), entry["rows"], entry["index_offset"]
    data = archive.read(name)
    require(len(data) == entry["bytes"], name, f"it has {len(data)} bytes, not {entry['bytes']}")
    holds = zlib.crc32(data[offset:]) == entry["index_crc32"]
    require(holds, name, "the CRC-32 of its index does not hold")
    whole = data
    if "index" in entry:  # images were renamed: this stands in place of the segment's own
        index, name = entry["index"], f"segments/{entry['index']['name']}.index"
        tail = archive.read(name)
        holds = len(tail) == index["bytes"] and hashlib.sha256(tail).hexdigest() == index["sha256"]
        require(holds, name, "its size or its SHA-256 does not hold")
        whole = bytes(index["offset"]) + tail
    # Threads of Arrow may let go of these bytes after Python has ended, which aborts the process.
    try:
        file = pq.ParquetFile(pa.BufferReader(whole))
        schema = file.schema_arrow
        optional = {key: ADDED[kind] for key, kind in sorted(added.items())}
        known = COLUMNS | optional
        optional["label"] = COLUMNS["label"]
        there = {
            key: kind for key, kind in known.items() if key not in optional or key in schema.names
        }
        table = file.read(columns=[*there], use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, ValueError) as error:
        raise DamageError(f"{name}: it is no Parquet file of a segment: {error}") from error
    require(schema.names == ["payload", *there], name, f"its columns are {schema.names}")
    require(len(table) == rows and file.num_row_groups == 1, name, f"not {rows} rows in one group")
    for key, kind in there.items():
        column = table.column(key)
        good = column.type == kind and (key in optional or not column.null_count)
        require(good, name, f"its column {key} is of the type {column.type}")
    try:
        values = {key: table.column(key).to_pylist() for key in there}
    except (ArithmeticError, ValueError) as error:
        raise DamageError(f"{name}: it holds a date or time that is none: {error}") from error
    columns = {key: [None] * rows for key in known if key in optional} | values
    starts = [offset - entry["payload_bytes"]]
    for length in columns["length"]:
        starts.append(starts[-1] + length)
    fits = min(columns["length"]) >= 0 and starts[-1] == offset
    require(fits, name, "its lengths do not add up to its payloads")
    return Segment(segment_name(entry), data, columns, starts)


def live_rows(archive: Folder | Sealed, revision: Revision) -> Iterator[tuple[Segment, list[int]]]:
    """Every segment of a revision with its rows that are not deleted."""
    for entry, deleted in zip(revision.segments, revision.deleted, strict=True):
        segment = read_segment(archive, entry, revision.columns)
        yield segment, [row for row in range(entry["rows"]) if row not in deleted]


# --- codec and describer files
# ---------------------------------------------------------------------


def read_container(data: bytes, name: str, what: str) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Read a codec or describer file: each section's description and plain bytes, by name."""
    require(data[:8] == MAGICS[what], name, f"it is no {what} file")
    require(len(data) >= 48, name, "it is truncated")
    whole = hashlib.sha256(data[:-32]).digest() == data[-32:]
    require(whole, name, "the SHA-256 at its end does not hold")
    version, length = struct.unpack_from("<II", data, 8)
    require(version == 1, name, f"there is no {what} format {version}")
    at, end = 16 + length, len(data) - 32
    require(at <= end, name, "its header is longer than the file")
    sections: dict[str, tuple[dict[str, Any], bytes]] = {}
    room = MOST_SECTION_BYTES
    try:
        for section in json.loads(data[16:at].decode())["sections"]:
            plain = data[at : at + section["stored"]]
            at += section["stored"]
            require(0 <= section["length"] <= room, name, "its sections are too long")
            room -= section["length"]
            if section["packing"] == "zlib":
                inflater = zlib.decompressobj()
                plain = inflater.decompress(plain, section["length"] + 1)
                require(inflater.eof and not inflater.unused_data, name, "a section has no end")
            else:
                require(section["packing"] == "none", name, f"a packing of {section['packing']!r}")
            fits = len(plain) == section["length"]
            if "dtype" in section:
                size = struct.calcsize(NUMBERS[section["dtype"]])
                fits = fits and size * math.prod(section["shape"]) == len(plain)
            require(fits, name, f"section {section['name']!r} is not as long as stated")
            require(section["name"] not in sections, name, f"{section['name']!r} is there twice")
            sections[section["name"]] = section, plain
    except (LookupError, TypeError, ValueError, RecursionError, zlib.error) as error:
        raise DamageError(f"{name}: its header makes no sense: {error}") from error
    require(at == end, name, "bytes are left over after its last section")
    return sections


@dataclass
class Books:
    """The M books of K words of d numbers of a product code."""

    words: list[list[tuple[float, ...]]]

    @property
    def K(self) -> int:  # noqa: N802 (paper letter)
        """Words in each book."""
        return len(self.words[0])

    @property
    def code_bytes(self) -> int:
        """Bytes of a packed code."""
        return (len(self.words) + 1) // 2 if self.K <= 16 else len(self.words)

    def unpack(self, code: bytes, name: str) -> list[int]:
        """The M sub-indices of a packed code."""
        require(len(code) == self.code_bytes, name, f"a code of {len(code)} bytes")
        indices = list(code)
        if self.K <= 16:
            indices = [half for byte in code for half in (byte & 15, byte >> 4)]
        unused = indices[len(self.words) :]
        good = not any(unused) and max(indices) < self.K
        require(good, name, f"the code {code.hex()} names a word that is not there")
        return indices[: len(self.words)]


def read_books(archive: Folder | Sealed, name: str) -> Books:
    """Read the words of a describer's product code, its file checked."""
    data = archive.read(name)
    good = hashlib.sha256(data).hexdigest() == Path(name).stem
    require(good, name, "its SHA-256 is not that of its name")
    sections = read_container(data, name, "describer")
    require("codebooks" in sections, name, "it has no codebooks")
    section, plain = sections["codebooks"]
    shape = section.get("shape", [])
    good = section.get("dtype") == "float32" and len(shape) == 3 and 0 not in shape
    require(good and shape[1] <= 256, name, "its codebooks are no float32 (M, K, d)")
    M, K, d = shape
    numbers = struct.unpack(f"<{M * K * d}f", plain)
    require(all(map(math.isfinite, numbers)), name, "its codebooks hold numbers that are none")
    scales = [to_float32(math.sqrt(weight)) for weight in read_weights(sections, name, M)]
    words = [
        tuple(to_float32(number * scales[i // (K * d)]) for number in numbers[i : i + d])
        for i in range(0, len(numbers), d)
    ]
    return Books([words[m * K : (m + 1) * K] for m in range(M)])


def read_weights(sections: Mapping[str, Any], name: str, M: int) -> tuple[float, ...]:
    """What each book counts in distances: 1, unless the describer says otherwise."""
    if "weights" not in sections:
        return (1.0,) * M
    section, plain = sections["weights"]
    good = section.get("dtype") == "float32" and section.get("shape") == [M]
    require(good, name, "its weights are no float32 (M,)")
    weights = struct.unpack(f"<{M}f", plain)
    good = all(map(math.isfinite, weights)) and min(weights) >= 0 and max(weights) > 0
    require(good, name, "its weights are none")
    return weights


# --- searching ------------------------------------------------------------------------------------


def to_float32(number: float) -> float:
    """The float32 that is nearest."""
    nearest: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return nearest


def distance_table(books: Books, query: Sequence[int]) -> tuple[list[list[int]], int]:
    """Distances of a query's words to all words, as integers, and the exponent of their unit.

    Returns:
        M rows of K integers: the squared distance in units of 2 to the exponent.
    """
    values = []
    for words, index in zip(books.words, query, strict=True):
        row = []
        for word in words:
            total = 0.0
            for a, b in zip(words[index], word, strict=True):
                total += (a - b) * (a - b)
            row.append(to_float32(total))
        values.append(row)
    largest = math.fsum(max(row) for row in values)
    exponent = max(math.frexp(largest)[1] - 30, -1000) if largest > 0 else 0
    return [[round(math.ldexp(value, -exponent)) for value in row] for row in values], exponent


def codes_name(file: Mapping[str, Any]) -> str:
    """A file of codes."""
    return f"codes/{file['name']}.{file['column']}.bin"


def packed_codes(archive: Folder | Sealed, file: Mapping[str, Any], rows: int) -> list[bytes]:
    """The packed codes of a segment of so many rows, their file checked."""
    name = codes_name(file)
    data = archive.read(name)
    good = len(data) == file["bytes"] and hashlib.sha256(data).hexdigest() == file["sha256"]
    require(good, name, "its SHA-256 does not hold")
    width = len(data) // rows
    return [data[i : i + width] for i in range(0, len(data), width)]


def scan(archive: Folder | Sealed, query: str, k: int, which: str) -> list[dict[str, Any]]:
    """The k images whose codes are nearest to that of an image, itself among them."""
    revision = newest_revision(archive)
    column = next(iter(revision.describers), "") if which == "auto" else which
    if column not in revision.describers:
        there = ", ".join(revision.describers) or "none"
        raise SystemExit(f"reader: the archive has no codes {column!r}, of others {there}")
    books = read_books(archive, revision.describers[column])
    names: list[tuple[str, str | None]] = []
    codes: list[list[int]] = []
    parts = zip(revision.segments, live_rows(archive, revision), strict=True)
    for entry, (segment, rows) in parts:
        files = [file for file in entry.get("codes", []) if file["column"] == column]
        if not files:
            continue  # its images have no such code
        of_rows = packed_codes(archive, files[0], entry["rows"])
        names += [(segment.columns["id"][row], segment.columns["label"][row]) for row in rows]
        codes += [books.unpack(of_rows[row], segment.name) for row in rows]
    places = {name: place for place, (name, _) in enumerate(names)}
    if query not in places:
        raise SystemExit(f"reader: there is no image {query!r}")
    table, exponent = distance_table(books, codes[places[query]])
    steps = [sum(row[index] for row, index in zip(table, code, strict=True)) for code in codes]
    nearest = sorted(range(len(steps)), key=lambda place: (steps[place], place))[:k]
    return [
        {
            "id": names[place][0],
            "label": names[place][1],
            "distance": to_float32(math.ldexp(steps[place], exponent)),
        }
        for place in nearest
    ]


# --- listing and checking -------------------------------------------------------------------------


def listed(archive: Folder | Sealed) -> Iterator[dict[str, Any]]:
    """What the newest revision tells of each image, in order."""
    for segment, rows in live_rows(archive, newest_revision(archive)):
        for row in rows:
            values = {key: column[row] for key, column in segment.columns.items()}
            require(values["kind"] in KINDS, segment.name, f"row {row} is of an unknown kind")
            yield {
                **{key: json_value(value) for key, value in values.items()},
                "kind": KINDS[values["kind"]],
                "offset": segment.starts[row],
                "file": segment.name,
            }


def json_value(value: Any) -> Any:
    """A value as JSON has it: dates and times as ISO 8601, a number that is none as null."""
    if isinstance(value, datetime.date):
        return value.isoformat().replace("+00:00", "Z")
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Check:
    """A check of every sum in an archive.

    Attributes:
        problems: what is damaged, one line each.
        images: packets that were checked, deleted ones among them.
        files: files that were read.
    """

    def __init__(self, archive: Folder | Sealed) -> None:
        self.archive = archive
        self.problems: list[str] = []
        self.images = 0
        self.files: set[str] = set()

    def run(self) -> None:
        """Check all manifests, all files that any of them names, and all revisions."""
        names = self.archive.names()
        numbers = manifest_numbers(names)
        if not numbers:
            self.problems.append("manifests: there is none: this is no kinpack archive")
            return
        records = {}
        for number in range(numbers[0], numbers[-1] + 1):
            self.files.add(manifest_name(number))
            with Noting(self.problems):
                records[number] = read_manifest(self.archive, number)
        for number, record in records.items():
            if (before := records.get(number - 1)) is not None:
                follows = before["checksum"] == record["parent"]
                same = follows and before["archive"] == record["archive"]
                with Noting(self.problems):
                    require(same, manifest_name(number), "it follows another manifest")
        revisions = []
        for number in sorted(records):
            base = records[number].get("base")
            if base is not None and base["number"] < numbers[0] and number < numbers[-1]:
                continue  # its base was forgotten, and it is next
            with Noting(self.problems):
                revisions.append(build_revision(records, number))
        self.check_files(names, records)
        if revisions and revisions[-1].number == numbers[-1]:
            with Noting(self.problems):
                self.check_ids(revisions[-1])

    def check_files(self, names: Sequence[str], records: Mapping[int, dict[str, Any]]) -> None:
        """Check each codec, describer, segment and file of codes once."""
        describers: dict[str, Books | None] = {}
        entries: dict[str, dict[str, Any]] = {}
        added: dict[str, str] = {}
        for record in records.values():
            added |= record.get("columns", {})
            if "codec" in record:
                name = f"codecs/{record['codec']['sha256']}.kinc"
                if name not in self.files and self.check_sum(name, record["codec"]):
                    with Noting(self.problems):
                        read_container(self.archive.read(name), name, "codec")
            for one in record.get("describers", []):
                name = f"describers/{one['sha256']}.kine"
                if name not in self.files:
                    describers[name] = self.books(name) if self.check_sum(name, one) else None
            entries.update((entry["name"], entry) for entry in record["segments"])
        newest: dict[str, str] = {}
        if records:
            with Noting(self.problems):
                newest = build_revision(records, max(records)).describers
        for name in names:
            match = re.fullmatch(r"(codec|describer)s/([0-9a-f]{64})\.kin[ce]", name)
            if match and name not in self.files:
                self.check_sum(name, {"sha256": match[2]})
        for entry in entries.values():
            whole = self.check_sum(segment_name(entry), entry)
            with Noting(self.problems):
                self.check_segment(entry, added, whole)
            for file in entry.get("codes", []):
                books = describers.get(newest.get(file["column"], ""))
                if self.check_sum(codes_name(file), file) and books:
                    with Noting(self.problems):
                        for code in packed_codes(self.archive, file, entry["rows"]):
                            books.unpack(code, codes_name(file))

    def check_sum(self, name: str, entry: Mapping[str, Any]) -> bool:
        """Check a file's size and SHA-256."""
        self.files.add(name)
        with Noting(self.problems):
            data = self.archive.read(name)
            size = entry.get("bytes", len(data))
            require(len(data) == size, name, f"it has {len(data)} bytes, not {size}")
            whole = hashlib.sha256(data).hexdigest() == entry["sha256"]
            require(whole, name, "its SHA-256 does not hold")
            return True
        return False

    def books(self, name: str) -> Books | None:
        """Read a describer file through, and give its books."""
        with Noting(self.problems):
            return read_books(self.archive, name)
        return None

    def check_segment(
        self, entry: Mapping[str, Any], added: Mapping[str, str], whole: bool
    ) -> None:
        """Check every packet of a segment, and that its payloads lie where offsets say."""
        segment = read_segment(self.archive, entry, added)
        for row, name in enumerate(segment.columns["id"]):
            self.images += 1
            where = f"{segment.name}: image {name!r} (row {row})"
            with Noting(self.problems):
                require(segment.packet_is_whole(row), where, "its checksum does not hold")
                values = {key: column[row] for key, column in segment.columns.items()}
                good = (
                    bool(name)
                    and values["kind"] in KINDS
                    and values["channels"] in (1, 3, 4)
                    and 1 <= values["quality"] <= 100
                    and values["width"] > 0
                    and values["height"] > 0
                )
                require(good, where, f"it has no such packet: {values}")
        if whole:
            file = pq.ParquetFile(pa.BufferReader(segment.data))
            table = file.read(columns=["payload"], use_threads=False)
            payloads = b"".join(table.column("payload").to_pylist())
            same = payloads == segment.data[segment.starts[0] : segment.starts[-1]]
            require(same, segment.name, "its payloads do not lie where they should")

    def check_ids(self, revision: Revision) -> None:
        """Check that no id comes twice in a revision."""
        seen: set[str] = set()
        for segment, rows in live_rows(self.archive, revision):
            for row in rows:
                name = segment.columns["id"][row]
                require(name not in seen, segment.name, f"the id {name!r} is there twice")
                seen.add(name)


class Noting:
    """A block whose damage is noted, so that what follows is checked as well."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Note damage; let everything else through."""
        if isinstance(error, DamageError) and str(error) not in self.problems:
            self.problems.append(str(error))
        return isinstance(error, DamageError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(description="Read a kinpack archive without kinpack.")
    parser.add_argument("archive", type=Path, help="folder of the archive, or a sealed archive")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="tell of every image, one JSON object a line")
    commands.add_parser("check", help="hold every byte against its checksums")
    scanning = commands.add_parser("scan", help="find the images nearest to one of the archive")
    scanning.add_argument("id", help="of the image")
    scanning.add_argument("-k", type=int, default=10, help="how many, itself among them")
    scanning.add_argument("--codes", default="auto", help="which, by their name")
    options = parser.parse_args(arguments)
    try:
        path = options.archive
        archive = Sealed(path) if path.is_file() else Folder(path)
        if options.command == "check":
            check = Check(archive)
            check.run()
            for problem in check.problems:
                print(f"reader: {path}: {problem}", file=sys.stderr)
            if not check.problems:
                print(f"{len(check.files)} files, {check.images} packets: all sums hold")
            return 1 if check.problems else 0
        found = (
            listed(archive)
            if options.command == "list"
            else scan(archive, options.id, options.k, options.codes)
        )
        for row in found:
            print(json.dumps(row))
    except DamageError as error:
        print(f"reader: {options.archive}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
