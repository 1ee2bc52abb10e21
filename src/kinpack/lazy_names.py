"""Public names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from kinpack.errors import MissingExtraError


def lazy_names(
    package: str,
    homes: Mapping[str, str],
    *,
    own: Sequence[str] = (),
    rooms: Sequence[str] = (),
    extra: str = "",
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Make what a package needs to import its public names late.

    Args:
        package: its name.
        homes: by module below it, the names that lie there, blanks between them.
        own: public names that the package itself has.
        rooms: packages below it.
        extra: of kinpack, which the modules may need.

    Returns:
        Its ``__all__``, ``__getattr__`` and ``__dir__``.
    """
    home = {name: f"{package}.{at}" for at, names in homes.items() for name in names.split()}
    public = sorted([*home, *own])

    def look_up(name: str) -> Any:
        if name in rooms:
            return import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(home[name]), name)
        except ImportError as error:
            if not extra or (error.name or "").startswith("kinpack"):
                raise
            raise MissingExtraError(
                f"{package} needs {error.name}, which is not installed; install the extra: "
                f'pip install "kinpack[{extra}]"'
            ) from error

    return public, look_up, lambda: public
