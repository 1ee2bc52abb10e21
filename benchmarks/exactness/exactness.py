"""Whether the same packets give the same pixels in every engine, however it is run.

    python -m benchmarks.exactness.exactness --cifar DIR --codec default --codec FILE \
        -o benchmarks/results/exactness.json

The first images of the toy database at three qualities, images of odd sizes, grey ones and such
with transparency are encoded once. Codecs named after the first, for example such that code pixel
by pixel, take fewer images. Every combination of engine, threads, batch, graph optimisation and
processor decodes the packets in a process of its own (`processor_switches`); pixels are compared
with those of the first. Emulated processors take a small part of the packets, for they are slow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.exactness.decoding_ways import (
    EMULATED_PACKETS,
    ODD_SIZES,
    QUALITIES,
    Way,
    emulated_ways,
    encoded,
    spread,
    ways,
)
from benchmarks.exactness.processor_switches import Processor, blas_core, numpy_features
from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from benchmarks.measuring.result_file import save_results
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image

FURTHER_IMAGES = 12
"""Images of the toy database under each codec after the first."""


def to_json(packet: Packet) -> dict[str, Any]:
    """A packet as JSON values."""
    plain = asdict(packet)
    return {**plain, "payload": packet.payload.hex()}


def from_json(values: dict[str, Any]) -> Packet:
    """The packet of `to_json`'s values."""
    payload = bytes.fromhex(values["payload"])
    return Packet(**{**values, "kind": Kind(values["kind"]), "payload": payload})


def decode_here(packets: Path, pixels: Path, spec: str, way: Way) -> dict[str, Any]:
    """Decode in this process, and write the pixels one picture after the other.

    Returns:
        JSON values: what ran, and the SHA-256 of all pixels; or ``refused``, why it did not.
    """
    facts: dict[str, Any] = {"numpy_features": numpy_features(), "blas_core": blas_core()}
    began = time.perf_counter()
    try:
        codec = load(spec, way)
        listed = [from_json(values) for values in json.loads(packets.read_text())]
        drawn: list[Image] = []
        for first in range(0, len(listed), way.batch):
            drawn += codec.decode(listed[first : first + way.batch], threads=way.threads)
    except KinpackError as error:
        return {**facts, "refused": str(error)}
    data = b"".join(image.tobytes() for image in drawn)
    pixels.write_bytes(data)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    return {**facts, "sha256": hashlib.sha256(data).hexdigest()}


def load(spec: str, way: Way) -> Codec:
    """Load a codec for one way of decoding."""
    return Codec.load(spec, threads=way.threads, engine=way.engine, optimise=way.optimise)


def decode_apart(packets: Path, pixels: Path, spec: str, way: Way) -> dict[str, Any]:
    """Decode in a new process.

    Raises:
        KinpackError: the process failed; its output has been shown.
    """
    words = [
        "-m",
        module_of(__file__),
        "--codec",
        spec,
        "--here",
        str(packets),
        str(pixels),
        json.dumps(asdict(way)),
    ]
    count = str(way.threads)
    own = {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count, **way.processor.switches}
    done = subprocess.run(
        way.processor.command(*words),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **own},
    )
    if done.returncode:
        raise KinpackError(f"decoding by {way} ended with {done.returncode}: {done.stderr[-500:]}")
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def compare(packets: Sequence[Packet], reference: bytes, pixels: bytes) -> dict[str, int]:
    """Count what differs from the reference.

    Args:
        packets: whose pixels these are, in order.
        reference: samples of all of them.
        pixels: the same, decoded in another way.

    Returns:
        ``pixels`` compared, ``differing_pixels`` (in any channel) and ``differing_images``.

    Raises:
        KinpackError: the lengths differ.
    """
    if not len(reference) == len(pixels) == sum(_samples(packet) for packet in packets):
        raise KinpackError("decoding gave another number of samples than the packets state")
    total = changed = images = place = 0
    for packet in packets:
        end = place + _samples(packet)
        a, b = (np.frombuffer(x[place:end], np.uint8) for x in (reference, pixels))
        differing = int((a != b).reshape(-1, packet.channels).any(axis=1).sum())
        total += packet.width * packet.height
        changed += differing
        images += differing > 0
        place = end
    return {"pixels": total, "differing_pixels": changed, "differing_images": images}


def part_of(packets: Sequence[Packet], pixels: bytes, places: Sequence[int]) -> bytes:
    """The samples of some of the packets."""
    ends = np.cumsum([_samples(packet) for packet in packets])
    return b"".join(pixels[ends[i] - _samples(packets[i]) : ends[i]] for i in places)


def _samples(packet: Packet) -> int:
    return packet.width * packet.height * packet.channels


def measure(
    packets: Sequence[Packet], listed: Sequence[Way], spec: str, reference: bytes | None = None
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Decode packets in several ways.

    Args:
        packets: of the codec.
        listed: the ways.
        spec: the codec.
        reference: samples to compare with; None takes those of the first way.

    Yields:
        A row for each way, and the samples it gave.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "packets.json", Path(folder) / "pixels"
        source.write_text(json.dumps([to_json(packet) for packet in packets]))
        for way in listed:
            target.write_bytes(b"")
            facts = decode_apart(source, target, spec, way)
            pixels = target.read_bytes()
            row = {**way.to_dict(), "packets": len(packets), **facts}
            if "refused" not in facts:
                reference = pixels if reference is None else reference
                row |= compare(packets, reference, pixels)
            elif reference is None:
                raise KinpackError(f"{way}: {facts['refused']}")
            yield row, pixels


def run(arguments: argparse.Namespace) -> None:
    """Encode, decode in all ways, print and write."""
    pictures = load_pictures("cifar10-toy", Folders(cifar=arguments.cifar))
    older = emulated_ways()
    codecs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> None:
        """Print and write after every way, for emulated processors are slow."""
        rows.append({"codec": codecs[-1]["name"], **row})
        print(line(rows[-1]), flush=True)
        if arguments.output is not None:
            save_results(arguments.output, summary(codecs, rows, emulated=bool(older)))

    for place, spec in enumerate(arguments.codec or ["default"]):
        codec = Codec.load(spec)
        count = arguments.images if place == 0 else min(FURTHER_IMAGES, arguments.images)
        packets = encoded(codec, pictures.images[:count])
        codecs.append(described(codec, packets))
        reference = b""
        for row, pixels in measure(packets, ways(), spec):
            reference = reference or pixels
            keep(row)
        places = spread(packets, EMULATED_PACKETS)
        wanted = part_of(packets, reference, places)
        for row, _ in measure([packets[i] for i in places], older, spec, wanted):
            keep(row)
    print_summary(summary(codecs, rows, emulated=bool(older)))


def described(codec: Codec, packets: Sequence[Packet]) -> dict[str, Any]:
    """What the results say of a codec and its packets."""
    return {
        "name": codec.name,
        "codec_id": codec.codec_id,
        "bytes": codec.n_bytes,
        "packets": dict(Counter(packet.kind.name.lower() for packet in packets)),
        "with_alpha": sum(packet.channels in (2, 4) for packet in packets),
    }


def summary(
    codecs: list[dict[str, Any]], rows: list[dict[str, Any]], *, emulated: bool
) -> dict[str, Any]:
    """Results so far."""
    return {
        "differing_pixels": sum(row.get("differing_pixels", 0) for row in rows),
        "refused": sum("refused" in row for row in rows),
        "must": 0,
        "ways": len(rows),
        "qualities": list(QUALITIES),
        "odd_sizes": [list(shape) for shape in ODD_SIZES],
        "emulation": "qemu-user" if emulated else "not installed: onnxruntime ran on one processor",
        "codecs": codecs,
        "rows": rows,
        "machine": run_head(seed=0),
    }


def line(row: dict[str, Any]) -> str:
    """One line for one way."""
    graphs = "optimised" if row["optimise"] else "as written"
    outcome = (
        f"refused: {row['refused']}"
        if "refused" in row
        else f"{row['differing_pixels']} of {row['pixels']} pixels differ, {row['seconds']} s"
    )
    return (
        f"{row['codec']}: {row['engine']:11} {row['threads']} threads, batches of "
        f"{row['batch']:2}, graphs {graphs:10}, {row['processor']:29}: {outcome}"
    )


def print_summary(results: dict[str, Any]) -> None:
    """How many pixels differ by engine and processor."""
    table = Table(title=f"pixels that differ over {results['ways']} ways", title_justify="left")
    for column in ("engine", "processor"):
        table.add_column(column)
    for column in ("ways", "differing", "of", "refused"):
        table.add_column(column, justify="right")
    keys = dict.fromkeys((row["engine"], row["processor"]) for row in results["rows"])
    for key in keys:
        own = [row for row in results["rows"] if (row["engine"], row["processor"]) == key]
        sums = [sum(row.get(name, 0) for row in own) for name in ("differing_pixels", "pixels")]
        refused = sum("refused" in row for row in own)
        table.add_row(*key, str(len(own)), *(f"{value:,}" for value in sums), str(refused))
    Console(highlight=False).print(table)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Compare pixels over engines and processors.")
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as Parquet files")
    parser.add_argument("--codec", action="append", help="a .kinc file, or default; repeatable")
    parser.add_argument("--images", type=int, default=200, help="of the toy database")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.here:
            packets, pixels, words = arguments.here
            values = json.loads(words)
            way = Way(**{**values, "processor": Processor(**values["processor"])})
            json.dump(decode_here(Path(packets), Path(pixels), arguments.codec[0], way), sys.stdout)
            return
        run(arguments)
    except KinpackError as error:
        sys.exit(f"exactness: {error}")


if __name__ == "__main__":
    main()
