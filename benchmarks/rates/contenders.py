"""What is measured: our archives and payloads, and the rivals, each giving rows of results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measuring.codes import SEARCHED_BYTES
from benchmarks.measuring.data import Pictures
from benchmarks.measuring.measures import MEASURES, mean_likeness, mean_psnr
from benchmarks.rates.rate_curves import Row
from benchmarks.rates.rivals import AVIF, Rival, measure, measure_sheet
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image


class Contender(Protocol):
    """A codec to be measured at several qualities."""

    name: str
    qualities: tuple[int, int]

    def probe(self, images: Sequence[Image], quality: int) -> float:
        """Mean PSNR of a few pictures, in dB."""

    def rows(self, pictures: Pictures, quality: int) -> list[Row]:
        """Measure a data set at one quality; the first row's PSNR counts for the range."""


def row(pictures: Pictures, codec: str, table: str, **values: Any) -> Row:
    """Put a row together; ``values`` are setting, quality, bytes, payload_bytes and so on."""
    head = {"data": pictures.name, "codec": codec, "table": table, "codec_bytes": 0}
    return {**head, **values, "pixels": pictures.pixels, "images": len(pictures)}


class Ours:
    """Archives of one codec: on disk, and their payloads with product codes."""

    qualities = (1, 99)

    def __init__(self, name: str, codec: Codec, *, threads: int, classic: Classic = "auto") -> None:
        self.name, self._codec, self._threads, self._classic = name, codec, threads, classic

    def probe(self, images: Sequence[Image], quality: int) -> float:
        """Mean PSNR of a few pictures, in dB."""
        packets = self._codec.encode(
            images, quality=quality, classic=self._classic, threads=self._threads
        )
        return mean_psnr(images, self._codec.decode(packets, threads=self._threads))

    def rows(self, pictures: Pictures, quality: int) -> list[Row]:
        """Pack a real archive, read it back, and count: a row for disk, one for payloads."""
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pictures.kin"
            with Archive.create(path, self._codec) as archive:
                archive.add(
                    pictures.items, quality=quality, classic=self._classic, threads=self._threads
                )
            packed = time.perf_counter()
            with Archive.open(path) as archive:
                info = archive.info()
                entries, drawn = zip(*archive.images(threads=self._threads), strict=True)
            unpacked = time.perf_counter()
        wanted = [(item.id, item.label) for item in pictures.items]
        if [(entry.id, entry.label) for entry in entries] != wanted:
            raise KinpackError(f"{self.name}: other ids or labels came back than went in; a bug")
        codes = info["images"] * SEARCHED_BYTES
        values = {
            "setting": f"quality {quality}",
            "quality": quality,
            **mean_likeness(pictures.images, drawn),
            "codec_bytes": info["codec_bytes"],
            "payload_bytes": info["payload_bytes"],
            "kinds": info["kinds"],
            "container_bytes_per_image": info["container_bytes_per_image"],
            "seconds": round(packed - began, 3),
            "seconds_back": round(unpacked - packed, 3),
        }
        return [
            row(pictures, self.name, "disk", bytes=info["bytes_on_disk"], **values),
            row(
                pictures,
                f"{self.name}-payload",
                "payload",
                bytes=info["payload_bytes"] + codes,
                **values,
            ),
        ]


class Theirs:
    """A rival, each picture by itself: files and payloads of one coding."""

    def __init__(self, rival: Rival, workers: Executor) -> None:
        self._rival, self._workers = rival, workers
        self.name = rival.file_name or rival.payload_name or rival.format
        self.qualities = rival.qualities

    def probe(self, images: Sequence[Image], quality: int) -> float:
        """Mean PSNR of a few pictures, in dB."""
        return measure(images, self._rival, quality, self._workers).psnr_mean

    def rows(self, pictures: Pictures, quality: int) -> list[Row]:
        """Code once, and count files and payloads."""
        rival = self._rival
        measured = measure(pictures.images, rival, quality, self._workers, wanted=MEASURES)
        values = {
            "setting": f"quality {quality}, {rival.setting}",
            "quality": quality,
            "payload_bytes": measured.payload_bytes,
            **measured.means,
            "seconds": round(measured.seconds, 3),
        }
        rows = []
        if rival.file_name:
            rows.append(row(pictures, rival.file_name, "disk", bytes=measured.file_bytes, **values))
        if rival.payload_name:
            rows.append(
                row(pictures, rival.payload_name, "payload", bytes=measured.payload_bytes, **values)
            )
        return rows


class AvifSheet:
    """All pictures as one AVIF: what AVIF could do if no picture were ever read by itself."""

    qualities = AVIF.qualities

    def __init__(self, rival: Rival = AVIF, name: str = "avif-sheet-s4") -> None:
        self._rival, self.name = rival, name

    def probe(self, images: Sequence[Image], quality: int) -> float:
        """Mean PSNR of a few pictures, in dB."""
        return measure_sheet(images, self._rival, quality).psnr_mean

    def rows(self, pictures: Pictures, quality: int) -> list[Row]:
        """Code the sheet: one row."""
        measured = measure_sheet(pictures.images, self._rival, quality, wanted=MEASURES)
        return [
            row(
                pictures,
                self.name,
                "payload",
                setting=f"quality {quality}, {self._rival.setting}, one sheet",
                quality=quality,
                bytes=measured.file_bytes,
                payload_bytes=measured.payload_bytes,
                **measured.means,
                seconds=round(measured.seconds, 3),
            )
        ]
