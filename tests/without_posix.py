"""Runs commands where the system is like Windows: no ``fcntl``, no handles of folders, no links.

What is hidden here is hidden before kinpack is imported. Files that are open are neither renamed
nor removed, and a rename never replaces, as on Windows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("pread", "pwrite", "link", "geteuid", "getuid", "chown", "fork")
FLAGS = ("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")


def hide() -> None:
    """Take away what Windows lacks."""
    sys.modules["fcntl"] = None  # type: ignore[assignment]
    for name in (*CALLS, *FLAGS):
        delattr(os, name)
    os.supports_dir_fd.clear()
    os.supports_fd.clear()
    for name in ("open", "stat", "lstat", "mkdir", "rmdir", "unlink", "rename", "replace"):
        setattr(os, name, like_windows(name, getattr(os, name)))
    shutil._use_fd_functions = False  # type: ignore[attr-defined]


def like_windows(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the system as it is on Windows."""

    def called(path: Any, *others: Any, **options: Any) -> Any:
        if any(value is not None for key, value in options.items() if key.endswith("dir_fd")):
            raise NotImplementedError(f"{name}: no handles of folders")
        if name == "open" and Path(path).is_dir():
            raise PermissionError(13, "a folder is not opened", str(path))
        if name in ("unlink", "rename", "replace") and str(Path(path).resolve()) in opened():
            raise PermissionError(13, "the file is open", str(path))
        if name == "rename" and os.path.lexists(others[0]):
            raise FileExistsError(17, "a rename does not replace", str(others[0]))
        return call(path, *others, **options)

    return called


def opened() -> set[str]:
    """Paths of the files that this process has open."""
    return {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}  # noqa: PTH208


def run(*words: str) -> int:
    """Run a command of kinpack in this process; its exit code."""
    from kinpack.cli import main

    sys.argv = ["kinpack", *words]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def golden(folder: Path) -> dict[str, list[str]]:
    """Digest of the pixels of each image in each archive of a folder."""
    from kinpack import Archive

    found = {}
    for path in sorted(folder.glob("*.kin*")):
        with Archive.open(path) as archive:
            found[path.name] = [
                hashlib.sha256(image.tobytes()).hexdigest() for _, image in archive.images()
            ]
    return found


if __name__ == "__main__":
    hide()
    if sys.argv[1] == "golden":
        print(json.dumps(golden(Path(sys.argv[2]))))  # noqa: T201
    else:
        sys.exit(run(*sys.argv[1:]))
