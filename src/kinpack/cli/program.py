"""Running a command: whatever fails is told in one line, with the right exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from kinpack.cli.reporting import one_line
from kinpack.errors import LOW_MEMORY, KinpackError, is_low_memory

RENAMED = {
    "--escape": "--classic now: auto, never (for off) or always",
    "--embedder": "--describer now",
}
"""What options are called that had another name."""


class Program(TyperGroup):
    """The commands, with every failure told in one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
        self._main_shell_completion(extra, "kinpack", complete_var)
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        kept = [word for word in words[:end] if word != "--debug"] + words[end:]
        debug, as_json = "--debug" in words[:end], "--json" in words[:end]
        sys.exit(self._run(kept, debug=debug, as_json=as_json))

    def _run(self, words: list[str], *, debug: bool, as_json: bool) -> int:
        code = 0
        try:
            try:
                with self.make_context("kinpack", words[:], obj=words) as context:
                    self.invoke(context)
            except typer.Exit as stop:
                code = stop.exit_code
            sys.stdout.flush()
        except KeyboardInterrupt as error:
            with suppress(ValueError):  # a second one must not tear what is left to be done
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            _print_error(f"interrupted{f'; {error}' if error.args else ''}", as_json=as_json)
            code = 130
        except BrokenPipeError:
            _drop_output()
            code = 128 + 13  # as if by SIGPIPE
        except Exception as error:
            if debug:
                traceback.print_exc()
            if isinstance(error, OSError):
                _drop_output()
            message, code = _explained(error)
            _print_error(message, as_json=as_json)
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, KinpackError):
        return str(error), 1
    if hasattr(error, "format_message"):  # wrong usage
        context = getattr(error, "ctx", None)
        said = str(error.format_message()).strip(" .") or "a command is missing"
        if (option := getattr(error, "option_name", None)) in RENAMED:
            said = f"{option} is called {RENAMED[option]}"
        return f"{said}; see: {context.command_path if context else 'kinpack'} --help", 2
    if is_low_memory(error):
        return (str(error) if isinstance(error, MemoryError) else "") or LOW_MEMORY, 1
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; check the place and try again", 1
    return (
        f"this should not have happened ({type(error).__name__}: {error}); run again with --debug "
        "and report what it shows",
        1,
    )


def _print_error(message: str, *, as_json: bool) -> None:
    line = one_line(message)
    with suppress(OSError):  # there is nobody to tell
        typer.echo(json.dumps({"error": line}) if as_json else f"kinpack: error: {line}", err=True)


def _drop_output() -> None:
    """Let nothing more be written where writing has failed, not even at the end."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
