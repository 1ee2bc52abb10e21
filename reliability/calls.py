"""Calls to the system: those of a block that concern one folder are shown to a handler.

Python's own calls are replaced for the time of the block: those of `os`, `flock`, the rename of
`kinpack.archive.stores.handles`, and the files that `open` makes. `reliability.census` holds what
is seen here against what the kernel sees.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from kinpack.archive.stores import handles

_CREATES = os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the system.

    Attributes:
        name: ``open``, ``close``, ``read``, ``write``, ``truncate``, ``fsync``, ``stat``, ``list``,
            ``lock``, ``link``, ``rename``, ``mkdir``, ``unlink`` or ``rmdir``.
        path: what it concerns, absolute; for a descriptor the path under which it was opened.
        target: the new name of ``link`` and ``rename``.
        descriptor: of calls on an open file.
        data: what ``write`` writes.
        offset: byte at which it is written, or the length of ``truncate``.
        creates: whether ``open`` may make the file, or empty it.
    """

    name: str
    path: str
    target: str | None = None
    descriptor: int | None = None
    data: bytes | None = None
    offset: int = 0
    creates: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes what is on the disk, or makes it durable."""
        return self.creates or self.name in (
            "write", "truncate", "fsync", "link", "rename", "mkdir", "unlink", "rmdir",
        )  # fmt: skip


Perform: TypeAlias = Callable[..., Any]
"""Makes the call; for ``write`` it takes other data, or the call's own without an argument."""

Handler: TypeAlias = Callable[[Call, Perform], Any]
"""Gives what the call is to give, by making it, or raises what it is to raise."""


@contextmanager
def watched(root: Path, handler: Handler) -> Iterator[None]:
    """Show the calls of a block that concern files below a folder, and the folder, to a handler.

    Args:
        root: the folder.
        handler: called for each of them; calls from several threads come one after the other.
    """
    watch = _Watch(str(root.resolve()), handler)
    changed = list(watch.replacements())
    before = [(module, name, getattr(module, name)) for module, name, _ in changed]
    try:
        for module, name, function in changed:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


@contextmanager
def without_links() -> Iterator[None]:
    """Let the system refuse hard links, and renames without replacing, for the time of a block."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    before = os.link, handles._renameat2
    os.link, handles._renameat2 = refused, lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.link, handles._renameat2 = before


class _Watch:
    """The replacements of the system's functions."""

    def __init__(self, root: str, handler: Handler) -> None:
        self._root = root
        self._handler = handler
        self._open: dict[int, str] = {}
        self._lock = threading.RLock()
        self._make_file: Any = io.open
        self._readlink = os.readlink

    def replacements(self) -> Iterator[tuple[Any, str, Any]]:
        """Module, name and replacement of each function."""
        yield os, "open", self._os_open(os.open)
        for name, shown in (("read", "read"), ("pread", "read"), ("fsync", "fsync")):
            yield os, name, self._on_descriptor(shown, getattr(os, name))
        yield os, "fstat", self._on_descriptor("stat", os.fstat)
        yield os, "close", self._on_descriptor("close", os.close)
        yield os, "ftruncate", self._truncate(os.ftruncate)
        yield os, "write", self._write(os.write)
        yield fcntl, "flock", self._on_descriptor("lock", fcntl.flock)
        for name, shown in (
            ("stat", "stat"), ("lstat", "stat"), ("scandir", "list"), ("listdir", "list"),
            ("mkdir", "mkdir"), ("rmdir", "rmdir"), ("unlink", "unlink"), ("remove", "unlink"),
        ):  # fmt: skip
            yield os, name, self._on_path(shown, getattr(os, name))
        for name, shown in (("link", "link"), ("rename", "rename"), ("replace", "rename")):
            yield os, name, self._on_two(shown, getattr(os, name))
        yield handles, "_rename_call", self._on_two("rename", handles._rename_call)
        yield io, "open", self._io_open
        yield builtins, "open", self._io_open

    def _show(self, call: Call, perform: Perform) -> Any:
        with self._lock:
            return self._handler(call, perform)

    def _path(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The absolute path, ``None`` for what is not watched."""
        if isinstance(path, int):
            return self._open.get(path)
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(self._folder(dir_fd), text)  # noqa: PTH118
        text = os.path.abspath(text)  # noqa: PTH100
        return text if text == self._root or text.startswith(self._root + os.sep) else None

    def _folder(self, handle: int) -> str:
        """The path of an open folder, which may have been opened before the block."""
        known = self._open.get(handle)
        return known or self._readlink(f"/proc/self/fd/{handle}")

    def _os_open(self, original: Any) -> Any:
        def replaced(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            where = self._path(path, dir_fd)
            if where is None:
                return int(original(path, flags, mode, dir_fd=dir_fd))

            def perform() -> int:
                descriptor = int(original(path, flags, mode, dir_fd=dir_fd))
                self._open[descriptor] = where
                return descriptor

            return int(self._show(Call("open", where, creates=bool(flags & _CREATES)), perform))

        return replaced

    def _on_descriptor(self, name: str, original: Any) -> Any:
        def replaced(descriptor: Any, *arguments: Any) -> Any:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            where = self._path(".", number) if name == "fsync" else self._open.get(number)
            if where is None:
                return original(descriptor, *arguments)

            def perform() -> Any:
                if name == "close":
                    self._open.pop(number, None)
                return original(descriptor, *arguments)

            return self._show(Call(name, where, descriptor=number), perform)

        return replaced

    def _write(self, original: Any) -> Any:
        def replaced(descriptor: int, data: Any) -> int:
            where = self._open.get(descriptor)
            if where is None:
                return int(original(descriptor, data))
            at = os.lseek(descriptor, 0, os.SEEK_CUR)
            call = Call("write", where, descriptor=descriptor, data=bytes(data), offset=at)
            return int(self._show(call, lambda part=data: original(descriptor, part)))

        return replaced

    def _truncate(self, original: Any) -> Any:
        def replaced(descriptor: int, length: int) -> None:
            where = self._open.get(descriptor)
            if where is None:
                original(descriptor, length)
                return
            call = Call("truncate", where, descriptor=descriptor, offset=length)
            self._show(call, lambda: original(descriptor, length))

        return replaced

    def _on_path(self, name: str, original: Any) -> Any:
        def replaced(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            where = self._path(path, options.get("dir_fd"))
            if where is None:
                return original(path, *arguments, **options)
            return self._show(Call(name, where), lambda: original(path, *arguments, **options))

        return replaced

    def _on_two(self, name: str, original: Any) -> Any:
        def replaced(source: Any, target: Any, **options: Any) -> Any:
            where = self._path(source, options.get("src_dir_fd"))
            if where is None:
                return original(source, target, **options)
            call = Call(name, where, target=self._path(target, options.get("dst_dir_fd")))
            return self._show(call, lambda: original(source, target, **options))

        return replaced

    def _io_open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        *rest: Any,
        closefd: bool = True,
        **options: Any,
    ) -> Any:
        if self._path(file) is None:
            return self._make_file(file, mode, buffering, *rest, closefd=closefd, **options)
        if mode not in ("rb", "wb", "xb") or buffering not in (-1, 0) or any(rest) or options:
            raise NotImplementedError(f"a file of the mode {mode!r} is not watched")
        raw = _RawFile(file, mode, closefd, self)
        if not buffering:
            return raw
        return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)

    def through(self, name: str, number: int, original: Callable[..., Any], *given: Any) -> Any:
        """Show a call on an open file; ``given`` are its arguments, data first."""
        where = self._open.get(number)
        if where is None:
            return original(*given)
        if name != "write":
            return self._show(Call(name, where, descriptor=number), lambda: original(*given))
        at = os.lseek(number, 0, os.SEEK_CUR)
        call = Call("write", where, descriptor=number, data=bytes(given[0]), offset=at)
        return self._show(call, lambda part=given[0]: original(part))

    def forget(self, number: int) -> None:
        """Note that a descriptor is closed."""
        self._open.pop(number, None)


class _RawFile(io.FileIO):
    """A file whose calls are shown."""

    def __init__(self, file: Any, mode: str, closefd: bool, watch: _Watch) -> None:
        self._watch = watch
        super().__init__(file, mode, closefd, lambda path, flags: os.open(path, flags, 0o666))

    def write(self, data: Any) -> int:
        return int(self._watch.through("write", self.fileno(), super().write, data))

    def readinto(self, buffer: Any) -> int:
        return int(self._watch.through("read", self.fileno(), super().readinto, buffer))

    def readall(self) -> bytes:
        return bytes(self._watch.through("read", self.fileno(), super().readall))

    def close(self) -> None:
        if self.closed or not self.closefd:
            super().close()
            return
        number = self.fileno()
        try:
            self._watch.through("close", number, lambda: None)
        finally:
            self._watch.forget(number)
            super().close()
