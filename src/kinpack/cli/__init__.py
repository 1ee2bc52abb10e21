"""The ``kinpack`` command: parse, call, print."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import signal
import sys
import warnings
from contextlib import suppress
from functools import cache
from typing import Annotated, NoReturn

import typer

from kinpack import __version__
from kinpack.cli.program import Program
from kinpack.cli.reporting import reported

COMMANDS = {
    "pack": "packing.pack",
    "add": "packing.add",
    "sync": "amending.sync",
    "estimate": "estimating.estimate",
    "unpack": "archives.unpack",
    "get": "archives.get",
    "search": "searching.search",
    "info": "archives.info",
    "verify": "archives.verify",
    "ls": "archives.ls",
    "dedup": "duplicates.dedup",
    "cluster": "overviews.cluster",
    "map": "overviews.map_",
    "gram": "overviews.gram",
    "rm": "amending.rm",
    "mv": "amending.mv",
    "history": "lifecycle.history",
    "compact": "lifecycle.compact",
    "gc": "lifecycle.gc",
    "copy": "lifecycle.copy",
    "merge": "lifecycle.merge",
    "seal": "lifecycle.seal",
    "unseal": "lifecycle.unseal",
    "export": "lifecycle.export",
    "view": "viewing.view",
    "serve": "viewing.serve",
    "demo": "viewing.demo",
    "repair": "lifecycle.repair",
    "learn": "learning.learn",
    "embed": "describing.embed",
    "learn-code": "describing.learn_code",
}
"""The functions of commands, in the order of the help; the module of one is imported for it."""

OF_DESCRIBERS = {
    "make": "describing.make",
    "words": "describing.words",
    "rm": "describing.rm",
}
"""Those of ``kinpack describer``."""


@cache
def application(only: str | None = None) -> typer.Typer:
    """The command with all that it can do, or to do one thing alone, which begins sooner.

    Args:
        only: the name of a command.
    """
    made = typer.Typer(
        cls=Program,
        rich_markup_mode=None,  # plain help: half the time to start, and it pipes well
        pretty_exceptions_enable=False,
    )
    made.callback()(program)
    for name in COMMANDS if only is None else (only,):
        _add(made, name, COMMANDS[name])
    if only is None:
        describers = typer.Typer(help="What makes codes: describers.", rich_markup_mode=None)
        made.add_typer(describers, name="describer")
        for name, function in OF_DESCRIBERS.items():
            _add(describers, name, function)
    return made


def __getattr__(name: str) -> typer.Typer:
    if name == "app":
        return application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _add(to: typer.Typer, name: str, function: str) -> None:
    """Add a command, whose help is what its docstring says, the lines of the example kept."""
    module, _, called = function.partition(".")
    command = getattr(importlib.import_module(f"{__name__}.{module}"), called)
    told = (inspect.getdoc(command) or "").replace("\nExample:\n", "\n\b\nExample:\n")
    to.command(name, help=told)(reported(command))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kinpack {__version__}")
        raise typer.Exit


def program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; for any command.")
    ] = False,
) -> None:
    """Pack images into one small archive that is searched without being unpacked.

    \b
    Example:
      kinpack pack photos -o photos.kin --size 256
      kinpack search photos.kin query.jpg
    """  # noqa: D301 (the mark keeps the lines of the example as they are)


def main() -> NoReturn:
    """Run the command of the process's arguments, and exit."""
    warnings.filterwarnings("ignore", module="PIL")
    for library in ("HF_HUB", "DATASETS"):  # one clear line is all that a user sees
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        first = sys.argv[1] if len(sys.argv) > 1 else ""
        application(first if first in COMMANDS else None)()
    except SystemExit as stop:
        _leave(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End the process at once, its output written.

    The libraries beneath tear their threads down in no certain order at a normal exit, which now
    and then aborts a process whose work is done; by now every file is closed.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stop(number: int, _: object) -> None:
    """Unwind on a polite kill too, so that what is half-made is removed."""
    sys.exit(128 + number)
