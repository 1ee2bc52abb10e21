"""The manual page of the command, made of its help.

python -m benchmarks.pages.manual > docs/kinpack.1
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from kinpack.cli import app


def manual() -> str:
    """The page ``kinpack(1)`` in the language of man(7): all commands, with all options."""
    program = typer.main.get_command(app)
    with program.make_context("kinpack", [], resilient_parsing=True) as context:
        lines = [
            '.TH KINPACK 1 "" "kinpack" "User Commands"',
            ".SH NAME",
            f"kinpack \\- {(program.help or '').partition('.')[0].lower()}",
            ".SH SYNOPSIS",
            ".B kinpack\nCOMMAND [ARGUMENTS] [OPTIONS]",
            ".SH DESCRIPTION",
            *_text(program.help or ""),
            ".SH OPTIONS",
            *_parameters(program, context),
            ".SH COMMANDS",
            *_commands(program, context, ()),
        ]
        return "\n".join(lines) + "\n"


def _commands(group: Any, context: Any, above: tuple[str, ...]) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        words = (*above, name)
        with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
            if hasattr(command, "list_commands"):
                yield from _commands(command, inner, words)
                continue
            usage = " ".join(command.collect_usage_pieces(inner))
            yield f".SS kinpack {' '.join(words)} {_plain(usage)}"
            yield from _text(command.help or "")
            yield from _parameters(command, inner)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f".B {_plain(record[0])}", _plain(record[1]) or ".")


def _text(text: str) -> Iterator[str]:
    """Paragraphs of a help text; what follows its mark keeps its lines."""
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.startswith("\b"):
            yield from (".PP", ".nf", *map(_plain, part.removeprefix("\b\n").splitlines()), ".fi")
        else:
            yield from (".PP", _plain(" ".join(part.split())))


def _plain(text: str) -> str:
    """A line without anything that would steer the formatter."""
    line = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line[:1] in (".", "'") else line


if __name__ == "__main__":
    sys.stdout.write(manual())
