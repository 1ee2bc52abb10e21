"""Archives as sources: their images, drawn, to be coded anew."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kinpack.archive.revisions.reader import Reader
from kinpack.pictures.images import Image, read_image, to_pil
from kinpack.pictures.reading import Reading, reduced
from kinpack.sources.folders import Patterns
from kinpack.sources.items import Item


class StoredSource:
    """The images that an archive shows, with their ids, labels and columns.

    Args:
        reader: the archive, which must stay open.
        reading: what larger images are reduced to.
        patterns: which ids are wanted.
        prefix: what the ids are to begin with.
    """

    def __init__(
        self,
        reader: Reader,
        reading: Reading | None = None,
        patterns: Patterns | None = None,
        prefix: str = "",
    ) -> None:
        self.name = reader.where
        self._reader, self._reading = reader, reading or Reading()
        self._prefix = prefix
        patterns = patterns or Patterns()
        self.columns = reader.columns
        self._chosen = [i for i, name in enumerate(reader.ids) if patterns.want(name)]

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        names = self._reader.ids
        return (self._prefix + names[i] for i in self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Item]:
        chosen = set(self._chosen)
        for position, entry in enumerate(self._reader.entries()):
            if position in chosen:
                others = {name: value for name, value in entry.columns.items() if name != "label"}
                load = partial(self._load, entry.id)
                yield Item(self._prefix + entry.id, entry.label, load, others)

    def _load(self, name: str) -> Image:
        image = self._reader.read(name)
        if reduced(image.shape[1], image.shape[0], self._reading.size) is None:
            return image
        return read_image(to_pil(image), self._reading, where=f"{self.name}: image {name!r}")
