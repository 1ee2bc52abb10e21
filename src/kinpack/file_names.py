"""File names: which ids are paths that are safe on every system, and safe paths for the others."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
# Names that Windows gives to devices in every folder, whatever their suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?", re.I)
# Windows drops these at the end of a name.
_DROPPED = " ."
# What file systems hold: a name of 255 bytes, with room for a suffix and a number; a path.
NAME_BYTES = 240
"""Most bytes of a part of a path."""
_PATH_BYTES = 3000
_DEEPEST = 64
_MARK_DIGITS = 8  # of a hash, that tells names apart which were cut


def fault_of(name: str) -> str | None:
    """Why an id is no path below a folder that is safe on every system, if it is not.

    Args:
        name: the id, "/" between the parts of the path.
    """
    parts = name.split("/")
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leads upward"
    if not all(part.rstrip(_DROPPED) for part in parts):
        return "has an empty part"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is no valid Unicode text"
    if max(sizes) > NAME_BYTES or sum(sizes) > _PATH_BYTES or len(parts) > _DEEPEST:
        return "is longer or deeper than paths can be"
    if _DRIVE.match(name):
        return "begins with a drive letter"
    if "\\" in name or _CONTROL.search(name):
        return "holds a backslash or a control character"
    if any(_DEVICE.fullmatch(part) for part in parts):
        return "holds a name reserved for a device"
    return None


def safe_name(name: str) -> str:
    """A path for an id that is safe on every system, as like it as can be; not always its alone.

    What no system takes becomes "_"; what is too long is cut, and marked with digits of a hash.

    Args:
        name: the id.
    """
    if fault_of(name) is None:
        return name
    text = name.encode("utf-8", "backslashreplace").decode()
    parts = [_safe_part(part) for part in text.split("/")]
    if _DRIVE.match(parts[0]):
        parts[0] = f"{parts[0][0]}_{parts[0][2:]}"
    safe = "/".join(parts)
    if len(parts) > _DEEPEST or len(safe.encode()) > _PATH_BYTES:
        return f"{_cut(parts[-1])}~{_mark(name)}"
    return safe if fault_of(safe) is None else f"_{_mark(name)}"


def same_file(file: str) -> str:
    """What two files share that cannot be told apart on every file system."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())
    if not any(f"{end}/" in f"{text}/" for end in _DROPPED):
        return text
    return "/".join(part.rstrip(_DROPPED) for part in text.split("/"))


def _safe_part(part: str) -> str:
    kept = _CONTROL.sub("_", part.replace("\\", "_"))
    if not kept.rstrip(_DROPPED):
        return "_"
    if _DEVICE.fullmatch(kept):
        kept = f"_{kept}"
    return kept if len(kept.encode()) <= NAME_BYTES else f"{_cut(kept)}~{_mark(part)}"


def _cut(part: str) -> str:
    """The beginning of a part of a path, with room for a mark."""
    return part.encode()[: NAME_BYTES - _MARK_DIGITS - 1].decode(errors="ignore")


def _mark(name: str) -> str:
    """Some digits that tell a name from others."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:_MARK_DIGITS]
