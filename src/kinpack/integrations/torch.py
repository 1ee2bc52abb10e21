"""A data set for ``torch.utils.data.DataLoader``, in the manner of torchvision's ``ImageFolder``.

Nothing of torch is needed to make one: a data set is what has a length and gives items.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

from kinpack.archive.archive import Archive
from kinpack.errors import ArchiveError
from kinpack.pictures.images import Image, to_pil

__all__ = ["ArchiveDataset"]


class ArchiveDataset:
    """The images of an archive with their classes, a batch decoded at once.

    It pickles, and may be used after a fork: each process opens the archive anew, at the same
    revision.

    Args:
        root: the archive's path or address, or an open one, whose revision it shows.
        transform: what becomes of each image.
        target_transform: what becomes of each target.
        output: what an image is before its transform: ``pil`` a Pillow image, ``array`` uint8
            (H, W, C).

    Attributes:
        classes: the labels, sorted.
        class_to_idx: the number of each.
        targets: the number of each image's class; −1 where it has no label.
        samples: id and target of each image.

    Raises:
        ArchiveError: there is no archive, it is damaged, or ``output`` is no such word.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | Archive,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        output: Literal["pil", "array"] = "pil",
    ) -> None:
        if output not in ("pil", "array"):
            raise ArchiveError(f"output is {output!r}; it is pil or array")
        self._archive = root if isinstance(root, Archive) else Archive.open(root)
        self._process, self._output = os.getpid(), output
        self.root = self._archive.path
        self.transform, self.target_transform = transform, target_transform
        labels = self._archive.labels
        self.classes = sorted({label for label in labels if label is not None})
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.targets = [-1 if label is None else self.class_to_idx[label] for label in labels]
        self.samples = list(zip(self._archive.ids, self.targets, strict=True))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, position: int) -> tuple[Any, Any]:
        """An image and its target."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[tuple[Any, Any]]:
        """Images and their targets, decoded at once, as a ``DataLoader`` asks for a batch."""
        images = self._opened.__getitems__(positions)
        pairs = zip(images, positions, strict=True)
        return [(self._shown(image), self._target(self.targets[at])) for image, at in pairs]

    @property
    def _opened(self) -> Archive:
        if self._process != os.getpid():  # threads of the codec's networks do not live after a fork
            function, arguments = self._archive.__reduce__()
            self._archive, self._process = function(*arguments), os.getpid()
        return self._archive

    def _shown(self, image: Image) -> Any:
        given = to_pil(image) if self._output == "pil" else image
        return given if self.transform is None else self.transform(given)

    def _target(self, target: int) -> Any:
        return target if self.target_transform is None else self.target_transform(target)
