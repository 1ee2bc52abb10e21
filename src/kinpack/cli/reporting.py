"""What a command tells: its result as lines or as JSON, warnings, and how far it has come."""

from __future__ import annotations

import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

import typer

import kinpack
from kinpack.column_types import json_value
from kinpack.errors import counted, shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines of progress where there is no terminal to draw a bar on."""


class Meter:
    """Shows how far a long job has come; this one shows nothing."""

    def advance(self, count: int) -> None:
        """Count images that are done."""

    def move(self, share: float, text: str) -> None:
        """Show a share of the whole, 0 to 1, and a few words on what it does."""


@dataclass(frozen=True, slots=True)
class Report:
    """Where a command's words go: results to standard output, all else to standard error.

    Attributes:
        json: whether the result is one JSON document; nothing else is printed then.
        quiet: whether progress and what merely confirms success are left out.
    """

    json: bool = False
    quiet: bool = False

    def result(self, value: Any, lines: Iterable[str]) -> None:
        """Print what was asked for.

        Args:
            value: the result as JSON values.
            lines: the same for people.
        """
        if self.json:
            sys.stdout.write(f"{json.dumps(value, indent=2)}\n")
            return
        for line in lines:
            sys.stdout.write(f"{_harmless(line)}\n")

    def record(self, value: Any, lines: Iterable[str]) -> None:
        """Print one of many results, as a line of JSON or as lines for people, at once.

        Args:
            value: the result as JSON values.
            lines: the same for people.
        """
        if self.json:
            sys.stdout.write(f"{json.dumps(value)}\n")
        else:
            self.result(value, lines)
        sys.stdout.flush()

    def say(self, line: str) -> None:
        """Print a line that confirms success, unless quiet is asked for."""
        if not (self.json or self.quiet):
            sys.stdout.write(f"{_harmless(line)}\n")

    def done(self, value: Any, line: str) -> None:
        """Print that a job is done: its facts as JSON, or else a line as ``say`` does."""
        self.result(value, ())
        self.say(line)

    def warn(self, text: str) -> None:
        """Print one line on what was left out to standard error; not beside JSON."""
        if not self.json:
            typer.echo(f"kinpack: {one_line(text)}", err=True)

    @contextmanager
    def meter(self, doing: str, total: int | None) -> Iterator[Meter]:
        """Show progress inside a block: a bar on a terminal, else a line now and then.

        Args:
            doing: what is being done, as in "packing".
            total: how many images there are, None where that is not known.
        """
        if self.json or self.quiet:
            yield Meter()
        elif not sys.stderr.isatty():
            with _Lines(doing, total) as lines:
                yield lines
        else:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            ) as bar:
                yield _Bar(bar, bar.add_task(doing, total=total, status=""), total)

    @contextmanager
    def meters(self, *doing: str, total: int | None) -> Iterator[list[Callable[[int], None]]]:
        """Show the progress of jobs that follow each other, one bar after the other.

        Args:
            doing: what each does, as in "packing".
            total: how many images there are, the same for each, None where that is not known.

        Yields:
            What counts images that are done, for each job.
        """
        with ExitStack() as stack:
            shown_now: list[tuple[str, Meter]] = []

            def advance(job: str, count: int) -> None:
                if not shown_now or shown_now[0][0] != job:
                    stack.close()
                    shown_now[:] = [(job, stack.enter_context(self.meter(job, total)))]
                shown_now[0][1].advance(count)

            yield [partial(advance, job) for job in doing]


Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress, and nothing but results.")
]


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --json and --quiet, and their report as its first argument."""
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    for name, sort in (("json", Json), ("quiet", Quiet)):
        own.append(own[0].replace(name=name, annotation=sort, default=False))

    def run(*, json: bool, quiet: bool, **options: Any) -> None:
        command(Report(json=json, quiet=quiet), **options)

    run.__name__ = command.__name__
    run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    return run


@contextmanager
def working(
    report: Report, doing: str, archive: str, at: int | None = None
) -> Iterator[tuple[kinpack.Archive, Callable[[int], None]]]:
    """Open an archive for a job on all its images.

    Args:
        report: shows how far it has come.
        doing: what is being done, as in "sealing".
        archive: path or address.
        at: number of a revision; None for the newest.

    Yields:
        The archive, and what counts images that are done.
    """
    with (
        kinpack.Archive.open(archive, at=at) as opened,
        report.meter(doing, len(opened)) as meter,
    ):
        yield opened, meter.advance


class _Lines(Meter):
    """Prints a line now and then."""

    def __init__(self, doing: str, total: int | None) -> None:
        self._doing, self._total, self._count = doing, total, 0
        self._begun, self._moved = time.monotonic(), ""
        self._done = threading.Event()
        self._printing = threading.Thread(target=self._print, daemon=True)

    def __enter__(self) -> Self:
        self._printing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._printing.join()

    def advance(self, count: int) -> None:
        self._count += count

    def move(self, share: float, text: str) -> None:
        self._moved = f"{share:.0%}, {text}"

    def _print(self) -> None:
        """Print a line whenever its time has come, also while one picture takes long."""
        while not self._done.wait(SECONDS_BETWEEN_LINES):
            seconds = time.monotonic() - self._begun
            status = self._moved or told_pace(self._count, self._total, seconds)
            typer.echo(f"kinpack: {self._doing}: {status}", err=True)


class _Bar(Meter):
    """Moves a bar on a terminal."""

    def __init__(self, bar: Progress, task: TaskID, total: int | None) -> None:
        self._bar, self._task, self._total, self._count = bar, task, total, 0
        self._begun = time.monotonic()

    def advance(self, count: int) -> None:
        self._count += count
        status = f"{self._count:,}" + ("" if self._total is None else f"/{self._total:,}")
        status += f", {_rate(self._count, time.monotonic() - self._begun)}"
        self._bar.update(self._task, completed=self._count, status=status)

    def move(self, share: float, text: str) -> None:
        self._bar.update(self._task, completed=share * (self._total or 0), status=text)


def told_pace(count: int, total: int | None, seconds: float) -> str:
    """How far a job has come, how fast it goes, and how long it will take.

    Args:
        count: images that are done.
        total: how many there are, None where that is not known.
        seconds: since it began.
    """
    images = counted(count if total is None else total, "image")
    words = [images if total is None else f"{count:,} of {images}"]
    if count:
        words.append(_rate(count, seconds))
        if total is not None:
            words.append(f"{duration(max(0, total - count) * seconds / count)} left")
    return ", ".join(words)


def _rate(count: int, seconds: float) -> str:
    """Images a second, or seconds for an image, whichever is more than one."""
    rate = count / max(seconds, 1e-3)
    return f"{rate:,.1f} a second" if rate >= 1 or not count else f"{1 / rate:,.1f} s each"


def duration(seconds: float) -> str:
    """A time in words, as "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60:02} min"


def one_line(text: str) -> str:
    """Spell a text on one line of printable characters."""
    return shown(" ".join(text.split()))


def _harmless(line: str) -> str:
    """A line with its tabs, but nothing else that could steer a terminal: names are strangers'."""
    return "\t".join(map(shown, line.split("\t")))


def known(values: Mapping[str, Any]) -> str:
    """What is known of an image in columns that were added, for the end of its line."""
    told = ((name, json_value(value)) for name, value in values.items() if value is not None)
    return "".join(f"  {shown(name)}={shown(str(value))}" for name, value in told)


def columns(rows: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Lines of names and values, the values below each other."""
    pairs = [(name, _readable(value)) for name, value in rows]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield f"{name:{width}}  {value}"


def _readable(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
        case dict():
            return ", ".join(f"{key} {_readable(of)}" for key, of in value.items()) or "-"
        case list() | tuple():
            return ", ".join(_readable(of) for of in value) or "-"
        case _:
            return one_line(str(value))
