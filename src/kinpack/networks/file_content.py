"""What is made of one codec or describer file: loaded by name or path, known by its bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Self

from kinpack import __version__
from kinpack.errors import CodecError, see_memory, shown
from kinpack.networks.container import MAX_BYTES, Container, FileKind, read_container


class FileContent:
    """The content of one file, ready for use.

    Args:
        container: the content.
        data: the whole file.
        options: keyword arguments beyond these that the class was made with.

    Attributes:
        header: the file's plain values: name, data, seed and so on.
    """

    KIND: ClassVar[FileKind]

    def __init__(self, container: Container, data: bytes, **options: Any) -> None:
        self._data, self._options = data, options
        self._sha256 = hashlib.sha256(data).hexdigest()
        self.header = dict(container.header)

    @classmethod
    def from_container(cls, container: Container) -> Self:
        """Make one of a file's content."""
        return cls(container, container.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str, **options: Any) -> Self:
        """Read a file's bytes.

        Args:
            data: the whole file.
            where: its name, for messages.
            options: of the class.

        Raises:
            CodecError: the file is damaged, truncated, newer, or of another kind.
        """
        container = read_container(data, where=where, kind=cls.KIND)
        try:
            return cls(container, data, **options)
        except CodecError as error:
            raise CodecError(f"{where}: {error}") from error

    @classmethod
    def load(cls, spec: str | os.PathLike[str], **options: Any) -> Self:
        """Load a file, or one that comes with the package.

        Args:
            spec: path of a ``.kinc`` or ``.kine`` file, or the name of one that is shipped: of
                codecs ``"default"`` and ``"classic"``, of describers ``"look"``,
                ``"classic"`` and ``"photo"``.
            options: of the class.

        Raises:
            CodecError: there is no such file, or it is damaged, truncated or newer.
        """
        kind, what = cls.KIND, cls.KIND.what
        if str(spec) in kind.shipped:
            place = resources.files("kinpack") / f"{what}s" / f"{spec}{kind.suffix}"
            try:
                data = place.read_bytes()
            except OSError as error:
                raise CodecError(
                    f"the {what} {str(spec)!r} does not come with this kinpack ({__version__}); "
                    f"install one that has it, or name a {kind.suffix} file"
                ) from error
            return cls.from_bytes(data, where=f"the shipped {what} {spec!r}", **options)
        where = shown(str(spec))
        try:
            found = Path(spec).stat()
            odd = not stat.S_ISREG(found.st_mode) or found.st_size > 2 * MAX_BYTES
            data = b"" if odd else Path(spec).read_bytes()  # a pipe would be waited for
        except (OSError, TypeError, ValueError) as error:
            see_memory(error, where)
            reason = getattr(error, "strerror", None) or error
            raise CodecError(
                f"{where}: cannot read the {what} ({reason}); name {kind.examples}"
            ) from error
        if odd:
            raise CodecError(f"{where}: no regular file, or a huge one; name {kind.examples}")
        return cls.from_bytes(data, where=where, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the bytes of the file, checked again by whoever unpickles them."""
        return partial(type(self).from_bytes, where=self.name, **self._options), (self._data,)

    @property
    def name(self) -> str:
        """Name that the header gives."""
        return str(self.header.get("name", "unnamed"))

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return len(self._data)

    def to_bytes(self) -> bytes:
        """Return the file."""
        return self._data
