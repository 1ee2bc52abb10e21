"""The ``kinpack`` command: parse, call, print."""

from __future__ import annotations

import inspect
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from kinpack import __version__
from kinpack.cli import (
    amending,
    archives,
    describing,
    duplicates,
    estimating,
    learning,
    lifecycle,
    overviews,
    packing,
    searching,
    viewing,
)
from kinpack.cli.program import Program
from kinpack.cli.reporting import reported

app = typer.Typer(
    cls=Program,
    rich_markup_mode=None,  # plain help: half the time to start, and it pipes well
    pretty_exceptions_enable=False,
)
describers = typer.Typer(help="What makes codes: describers.", rich_markup_mode=None)
app.add_typer(describers, name="describer")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kinpack {__version__}")
        raise typer.Exit


@app.callback()
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


def _help_of(command: Callable[..., None]) -> str:
    """A command's help: what its docstring says, the lines of the example kept."""
    return (inspect.getdoc(command) or "").replace("\nExample:\n", "\n\b\nExample:\n")


for _command in (
    packing.pack,
    packing.add,
    estimating.estimate,
    archives.unpack,
    archives.get,
    searching.search,
    archives.info,
    archives.verify,
    archives.ls,
    duplicates.dedup,
    overviews.cluster,
    overviews.map_,
    overviews.gram,
    amending.rm,
    amending.mv,
    lifecycle.history,
    lifecycle.compact,
    lifecycle.gc,
    lifecycle.copy,
    lifecycle.merge,
    lifecycle.seal,
    lifecycle.unseal,
    lifecycle.export,
    viewing.view,
    viewing.serve,
    viewing.demo,
    lifecycle.repair,
    learning.learn,
    describing.embed,
    describing.learn_code,
):
    # Python has a `map` of its own.
    _name = _command.__name__.rstrip("_").replace("_", "-")
    app.command(_name, help=_help_of(_command))(reported(_command))
for _of_describers in (describing.make, describing.words, describing.rm):
    describers.command(help=_help_of(_of_describers))(reported(_of_describers))


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
        app()
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
