"""The command that learns a codec: the only one that needs torch."""

from __future__ import annotations

import logging
import shlex
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import kinpack
from kinpack.cli.options import (
    Choice,
    Force,
    Output,
    Size,
    SkipBroken,
    Sources,
    Split,
    Strict,
    Threads,
    open_together,
    refuse_existing,
    refuse_several,
)
from kinpack.cli.reporting import Report
from kinpack.errors import CodecError, counted, shown
from kinpack.pictures import reading

if TYPE_CHECKING:
    from kinpack.learn.gains import Gains

LEFT_OUT = 3
"""The exit code of a command that has done its work, but for pictures that cannot be read."""
DEFAULT_MINUTES = 20.0
HOLD_OUT = 200
"""Most images that are held out to measure with."""
LONGEST_SIDE = 512
"""Longest side, in pixels, to which pictures are reduced while they are read; ``learn_codec`` would
reduce larger ones itself, but JPEG files are read faster so."""


def learn(
    report: Report,
    context: typer.Context,
    source: Sources,
    output: Output,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0.01, help="Learn for so long.  [default: 20]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Learn so many steps; such a run repeats."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random draws.")] = 0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Keep checkpoints in this folder; go on with a run there.  [default: PATH.work]"
        ),
    ] = None,
    split: Split = None,
    size: Size = None,
    start: Annotated[
        Literal["default", "none"],
        typer.Option(help="Start from the weights of the codec that ships, or from nothing."),
    ] = "default",
    skip_broken: SkipBroken = False,
    strict: Strict = False,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Learn a codec from collections of pictures.

    This needs the extra kinpack[learn]. You may name several sources of any sort. After an
    interruption the same command goes on from the last checkpoint.

    One image in twenty, 200 at most, is held out. On those images the command measures what the
    codec gains over the one that ships and over AVIF, and how many images earn back its own bytes.

    Example:
      kinpack learn photos -o photos.kinc --minutes 20
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("--minutes and --steps exclude each other", ctx=context)
    refuse_several(skip_broken=skip_broken or None, strict=strict or None)
    refuse_existing(output, force=force)
    if not output.parent.is_dir():
        raise CodecError(f"{shown(output)}: {shown(output.parent)} is no folder; make it first")
    files = all(Path(one).is_file() for one in source)
    groups = [source] if files else [[one] for one in source]
    codec, gains = learn_from(
        context,
        report,
        groups,
        output,
        size=size,
        choice=Choice(split=split),
        minutes=minutes,
        steps=steps,
        seed=seed,
        work=work,
        start=start,
        skip_broken=not strict,
        threads=threads,
    )
    from kinpack.archive.stores.staged_file import staged_file

    with staged_file(output, replace=force) as file:
        file.write(codec.to_bytes())
    if work is None:
        shutil.rmtree(work_beside(output))
    facts = codec.info()
    report.done(
        {**facts, "gains": gains.to_dict()},
        f"learned {shown(output)} from {counted(facts['images'], 'image')} in "
        f"{counted(facts['steps'], 'step')}, "
        f"{facts['minutes']:.1f} minutes: {facts['codec_bytes']:,} bytes",
    )
    if facts.get("broken") and not skip_broken:
        raise typer.Exit(LEFT_OUT)


def work_beside(output: Path) -> Path:
    """Folder of the checkpoints of a run that makes a file."""
    return output.with_name(f"{output.name}.work")


def learn_from(
    context: typer.Context,
    report: Report,
    groups: Sequence[Sequence[str]],
    place: Path,
    *,
    size: reading.Size | None,
    choice: Choice,
    minutes: float | None,
    skip_broken: bool,
    threads: int | None,
    steps: int | None = None,
    seed: int = 0,
    work: Path | None = None,
    start: str = "default",
) -> tuple[kinpack.Codec, Gains]:
    """Learn a codec, showing progress, and tell what it gains.

    The words of the command go into the codec's header. A group holds the sources, as the command
    line names them, of one collection. The codec is named after the place that is written, a codec
    or an archive. All else is as in the options of ``kinpack learn``.

    Raises:
        MissingExtraError: the extra for learning is not installed.
        CodecError: the folder of checkpoints holds another run.
    """
    from kinpack.learn import (
        FROM_A_START,
        TrainingConfig,
        learn_codec,
        measure_gains,
    )

    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)

    side = min(size, LONGEST_SIDE) if isinstance(size, int) and size else LONGEST_SIDE
    sources = [open_together(group, choice, size=side) for group in groups]
    training = TrainingConfig(minutes=minutes or DEFAULT_MINUTES, steps=steps, seed=seed)
    if start != "none":
        training = replace(training, **FROM_A_START)
    with report.meter("learning", sum(map(len, sources))) as meter:
        learned = learn_codec(
            sources,
            start=None if start == "none" else start,
            training=training,
            work=work or work_beside(place),
            name=place.stem,
            threads=threads,
            skip_broken=skip_broken,
            description={"command": shlex.join(["kinpack", *context.find_root().obj])},
            progress=meter.advance,
            log_line=lambda line: meter.move(
                line["progress"], f"step {line['step']:,.0f}, {line['bpp']:.3f} bits a pixel"
            ),
            hold_out=HOLD_OUT,
        )
    gains = measure_gains(learned.codec, learned.held_out, shipped=kinpack.Codec.load("default"))
    for line in gains.lines():
        report.say(line)
    return learned.codec, gains
