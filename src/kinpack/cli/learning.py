"""The command that learns a codec: the only one that needs torch."""

from __future__ import annotations

import logging
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinpack.cli.options import (
    Force,
    Json,
    Output,
    Quiet,
    Size,
    SkipBroken,
    Sources,
    Split,
    Threads,
    open_together,
    refuse_existing,
)
from kinpack.cli.reporting import Report
from kinpack.errors import CodecError, MissingExtraError
from kinpack.images import shown

if TYPE_CHECKING:
    from kinpack.codec.codec import Codec

DEFAULT_MINUTES = 20.0
LONGEST_SIDE = 512
"""Longest side, in pixels, to which pictures are reduced while they are read; ``learn_codec`` would
reduce larger ones itself, but JPEG files are read faster so."""


def learn(
    context: typer.Context,
    source: Sources,
    output: Output,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0.01, help="How long.  [default: 20]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Steps instead of minutes: such a run repeats."),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of everything drawn at random.")
    ] = 0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints; a run found there goes on.  [default: PATH.work]"
        ),
    ] = None,
    split: Split = None,
    size: Size = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Learn what is alike from the pictures alone.")
    ] = False,
    skip_broken: SkipBroken = False,
    threads: Threads = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Learn a codec from collections of pictures.

    Needs the extra kinpack[learn]. Several sources may be of any sort. An interrupted run goes on
    from its last checkpoint when the same command is given again.

    Example:
      kinpack learn photos -o photos.kinc --minutes 20
    """
    if minutes is not None and steps is not None:
        raise typer.BadParameter("--minutes and --steps exclude each other", ctx=context)
    refuse_existing(output, force=force)
    if not output.parent.is_dir():
        raise CodecError(f"{shown(output)}: {shown(output.parent)} is no folder; make it first")
    files = all(Path(one).is_file() for one in source)
    groups = [source] if files else [[one] for one in source]
    side = min(size or LONGEST_SIDE, LONGEST_SIDE)
    sources = [open_together(group, size=side, split=split) for group in groups]
    learn_codec = _import_learning()

    from kinpack.codec.codec import describe
    from kinpack.learn.config import TrainingConfig

    report = Report(json=json, quiet=quiet)
    folder = work or output.with_name(f"{output.name}.work")
    training = TrainingConfig(
        minutes=DEFAULT_MINUTES if minutes is None else minutes, steps=steps, seed=seed
    )
    with report.meter("learning", sum(map(len, sources))) as meter:
        codec = learn_codec(
            sources,
            training=training,
            work=folder,
            name=output.stem,
            threads=threads,
            use_labels=not no_labels,
            skip_broken=skip_broken,
            description={"command": shlex.join(["kinpack", *context.find_root().obj])},
            progress=meter.advance,
            log_line=lambda line: meter.move(
                line["progress"], f"step {line['step']:,.0f}, {line['bpp']:.3f} bits a pixel"
            ),
        )
    _write(output, codec.to_bytes())
    if work is None:
        shutil.rmtree(folder)
    facts = describe(codec)
    report.done(
        facts,
        f"learned {shown(output)} from {facts['images']:,} images in {facts['steps']:,} steps, "
        f"{facts['minutes']:.1f} minutes: {facts['codec_bytes']:,} bytes",
    )


def _import_learning() -> Callable[..., Codec]:
    """Import what learns, and keep its libraries from talking."""
    try:
        from kinpack.learn.learning import learn_codec
    except ImportError as error:
        if (error.name or "").startswith("kinpack"):
            raise
        raise MissingExtraError(
            f"learning needs {error.name}, which is not installed; install the extra: "
            'pip install "kinpack[learn]"'
        ) from error
    warnings.simplefilter("ignore")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return learn_codec


def _write(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CodecError(
            f"{shown(path)}: cannot be written ({error.strerror}); check the folder, its rights "
            "and free space"
        ) from error
