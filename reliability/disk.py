"""A model of a disk that loses power: what of unsynchronised changes may be left afterwards.

Only what was synchronised is certain. A file keeps its content as of its last fsync, and any of
the writes after it, each whole, torn or left out. A folder keeps its names as of its own last
fsync, and any of the changes of names after it; a rename is one change. That a file was
synchronised says nothing of its name, nor the reverse.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from reliability.calls import Call

Tree: TypeAlias = dict[str, bytes | None]
"""Content of every file by its path below the root, ``None`` for a folder; parents come first."""


class Choice(Protocol):
    """Which unsynchronised changes are left after the cut."""

    def keeps_name(self) -> bool:
        """Whether a change of names is left."""

    def kept(self, data: bytes) -> bytes | None:
        """What is left of a write; ``None`` for nothing."""


@dataclass(frozen=True)
class Fixed:
    """All or none of the changes of names, and all or none of the writes.

    Attributes:
        names: whether changes of names are left.
        data: whether writes are left.
    """

    names: bool
    data: bool

    def keeps_name(self) -> bool:
        """``names``."""
        return self.names

    def kept(self, data: bytes) -> bytes | None:
        """The data, or nothing."""
        return data if self.data else None


class Chance:
    """Each change is left or not by chance, and writes may be torn.

    Args:
        seed: of the choices.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._random = random.Random(seed)

    def __repr__(self) -> str:
        return f"Chance({self._seed!r})"

    def keeps_name(self) -> bool:
        """Heads or tails."""
        return self._random.random() < 0.5

    def kept(self, data: bytes) -> bytes | None:
        """All, nothing, only the begin, or as many zeros."""
        way = self._random.randrange(4)
        if way == 2:
            return data[: self._random.randrange(len(data) + 1)]
        return (data, None, b"", bytes(len(data)))[way]


@dataclass(eq=False)
class _File:
    durable: bytes = b""
    now: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        self.now = _written(self.now, offset, data)
        self.pending.append((offset, data))

    def synchronise(self) -> None:
        self.durable, self.pending = self.now, []

    def left(self, choice: Choice) -> bytes:
        content = self.durable
        for offset, data in self.pending:
            part = choice.kept(data)
            if part is not None:
                content = _written(content, offset, part)
        return content


@dataclass(eq=False)
class _Folder:
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[dict[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, _File | _Folder | None]) -> None:
        self.now = _renamed(self.now, names)
        self.pending.append(names)

    def synchronise(self) -> None:
        self.durable, self.pending = self.now, []

    def left(self, choice: Choice) -> dict[str, _File | _Folder]:
        names = self.durable
        for change in self.pending:
            if choice.keeps_name():
                names = _renamed(names, change)
        return names


class Disk:
    """A folder on a disk, to which calls to the system are done again.

    Args:
        files: whether synchronising files does anything; off to see what would be lost without.
        folders: whether synchronising folders does anything.
    """

    def __init__(self, *, files: bool = True, folders: bool = True) -> None:
        self._root = _Folder()
        self._open: dict[int, _File | _Folder] = {}
        self._files = files
        self._folders = folders

    def apply(self, call: Call) -> None:
        """Do a call again.

        Args:
            call: it was done, its paths are below the root and relative, and ``descriptor`` names
                the same opened file in all calls that use it.
        """
        if call.name == "open":
            if call.creates and self._find(call.path) is None:
                self._change(call.path, _File())
            node = self._find(call.path)
            if node is not None and call.descriptor is not None:
                self._open[call.descriptor] = node
        elif call.name in ("write", "fsync"):
            self._on_open(call)
        elif call.name == "mkdir":
            self._change(call.path, _Folder())
        elif call.name in ("unlink", "rmdir"):
            self._change(call.path, None)
        elif call.name in ("link", "rename"):
            self._name_again(call)
        else:
            raise ValueError(f"a disk does not know {call.name}")

    def left(self, choice: Choice) -> Tree:
        """What is there after a power cut.

        Args:
            choice: which unsynchronised changes are left.
        """
        files: dict[int, bytes] = {}

        def walk(folder: _Folder, prefix: str) -> Iterator[tuple[str, bytes | None]]:
            for name, node in sorted(folder.left(choice).items()):
                if isinstance(node, _Folder):
                    yield prefix + name, None
                    yield from walk(node, f"{prefix}{name}/")
                else:  # one file under two names has one content
                    if id(node) not in files:
                        files[id(node)] = node.left(choice)
                    yield prefix + name, files[id(node)]

        return dict(walk(self._root, ""))

    def _on_open(self, call: Call) -> None:
        node = self._open[call.descriptor or 0]
        if call.name == "write":
            if not isinstance(node, _File):
                raise ValueError(f"{call.path} is a folder")
            node.write(call.offset, call.data or b"")
        elif self._files if isinstance(node, _File) else self._folders:
            node.synchronise()

    def _name_again(self, call: Call) -> None:
        node = self._find(call.path)
        target = call.target or ""
        if call.name == "link":
            self._change(target, node)
        elif call.path.rpartition("/")[0] == target.rpartition("/")[0]:
            names = {call.path.rpartition("/")[2]: None, target.rpartition("/")[2]: node}
            self._folder(call.path).change(names)
        else:
            self._change(target, node)
            self._change(call.path, None)

    def _change(self, path: str, node: _File | _Folder | None) -> None:
        self._folder(path).change({path.rpartition("/")[2]: node})

    def _folder(self, path: str) -> _Folder:
        """The folder in which a path is."""
        above = path.rpartition("/")[0]
        folder = self._find(above)
        if not isinstance(folder, _Folder):
            raise ValueError(f"there is no folder {above}")
        return folder

    def _find(self, path: str) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for part in path.split("/") if path else ():
            node = node.now.get(part) if isinstance(node, _Folder) else None
        return node


def _written(content: bytes, offset: int, data: bytes) -> bytes:
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


def _renamed(
    names: Mapping[str, Any], change: Mapping[str, Any | None]
) -> dict[str, _File | _Folder]:
    changed = {**names, **change}
    return {name: node for name, node in changed.items() if node is not None}
