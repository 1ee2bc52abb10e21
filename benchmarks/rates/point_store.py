"""Points of curves kept on disk as they are measured, so that an interrupted run goes on.

Each value lies in a file of its own, named by a digest of what it depends on: data, codec, options,
versions and machine. What has another key is measured anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kinpack
from benchmarks.measuring.data import Pictures
from benchmarks.rates.contenders import Contender
from benchmarks.rates.rate_curves import Row
from kinpack.pictures.images import Image

METHOD = 2
"""Raised when the same key would give other figures, because measuring itself has changed."""
NOT_CODING = ("cli", "learn", "describers", "search")
"""Parts of kinpack that no rate or quality depends on."""


class PointStore:
    """A folder of JSON values, each under a key that is a JSON object itself.

    Args:
        folder: where the values lie; it is made when the first is kept. None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """The value under a key, made and kept if there is none.

        Args:
            key: everything that the value depends on, as JSON values.
            make: gives the value.

        Returns:
            The value as JSON gives it back. A damaged file counts as none.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{digest(key)}.json"
        plain = json.loads(json.dumps(key))
        try:
            kept = json.loads(path.read_text())
            if kept["key"] == plain:
                return kept["value"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        text = json.dumps({"key": plain, "value": make()}, ensure_ascii=False)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text)
        part.replace(path)
        return json.loads(text)["value"]


class Remembered:
    """A contender whose measurements are kept.

    Args:
        contender: the codec.
        store: where they are kept.
        key: what its figures depend on beside pictures and quality.
    """

    def __init__(self, contender: Contender, store: PointStore, key: Mapping[str, Any]) -> None:
        self._contender, self._store = contender, store
        self._key = {"method": METHOD, "contender": contender.name, **key}
        self.name, self.qualities = contender.name, contender.qualities

    def probe(self, images: Sequence[Image], quality: int) -> float:
        """Mean PSNR of a few pictures, in dB."""
        key = {**self._key, "quality": quality, "probe": fingerprint(images)}
        return float(self._store.get(key, lambda: self._contender.probe(images, quality)))

    def rows(self, pictures: Pictures, quality: int) -> list[Row]:
        """Measure a data set at one quality, or remember."""
        key = {
            **self._key,
            "quality": quality,
            "data": pictures.name,
            "names": digest({"ids": [(item.id, item.label) for item in pictures.items]}),
            "images": fingerprint(pictures.images),
        }
        rows: list[Row] = self._store.get(key, lambda: self._contender.rows(pictures, quality))
        return rows


def digest(key: Mapping[str, Any]) -> str:
    """32 hexadecimal digits of a JSON object, whatever the order of its names."""
    text = json.dumps(key, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(images: Iterable[Image]) -> str:
    """32 hexadecimal digits of pictures: shapes and pixels, in order."""
    total = hashlib.sha256()
    for image in images:
        total.update(f"{image.shape};".encode())
        total.update(image.tobytes())
    return total.hexdigest()[:32]


def source_fingerprint(*names: str) -> str:
    """32 hexadecimal digits of kinpack's modules as they are installed.

    Args:
        names: paths in the package; by default all that code pictures.
    """
    root = Path(kinpack.__file__).parent
    paths = [root / name for name in names] or sorted(root.rglob("*.py"))
    total = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root)
        if name.parts[0] not in NOT_CODING:
            total.update(f"{name.as_posix()};".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:32]
