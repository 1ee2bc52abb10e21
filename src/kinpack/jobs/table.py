"""The table of engines: a new one is a module beside this and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, TypeAlias, get_args

from kinpack.errors import KinpackError
from kinpack.jobs.engine import Opens

EngineName: TypeAlias = Literal["processes", "ray", "dask"]
"""What runs work elsewhere: processes of this machine, or a cluster."""

_HOMES = {
    "processes": ("processes", "processes"),
    "ray": ("ray_actors", "ray_actors"),
    "dask": ("dask_workers", "dask_workers"),
}


def engine_named(name: EngineName) -> Opens:
    """What starts an engine, from its name.

    Raises:
        KinpackError: there is none of this name.
        MissingExtraError: it needs a package that is not installed.
    """
    if name not in get_args(EngineName):
        raise KinpackError(f"engine is {name!r}; it is one of {', '.join(get_args(EngineName))}")
    module, function = _HOMES[name]
    found: Any = getattr(import_module(f"kinpack.jobs.{module}"), function)
    opens: Opens = found
    return opens
