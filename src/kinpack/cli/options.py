"""The arguments and options that several commands share."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

import kinpack
from kinpack.archive.stores.table import STORES, is_sealed
from kinpack.codec.packets import target
from kinpack.errors import KinpackError, shown
from kinpack.integrations.unpacking import Unsafe
from kinpack.jobs.table import EngineName
from kinpack.pictures import reading
from kinpack.pictures.reading import Damaged, SampleRange
from kinpack.sources.folders import Patterns
from kinpack.sources.items import Source
from kinpack.sources.opening import open_source


def paths(incomplete: str) -> list[str]:
    """The paths that begin so, for shells that complete a word; folders with "/" at their ends."""
    folder, slash, begin = incomplete.rpartition("/")
    with suppress(OSError), os.scandir(folder + slash or ".") as entries:
        return sorted(
            f"{folder}{slash}{entry.name}{'/' * entry.is_dir()}"
            for entry in entries
            if entry.name.startswith(begin) and (begin or not entry.name.startswith("."))
        )
    return []


def _schemes(*, new: bool) -> str:
    """How addresses begin at which archives can be made, or only read."""
    lines = STORES.items()
    return ", ".join(f"{name}://" for name, line in lines if name and new == bool(line.create))


ArchiveArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE",
        help=f"A folder, or an address that begins with {_schemes(new=True)}. Commands that read "
        f"also take a sealed archive, or its address ({_schemes(new=False)}).",
        autocompletion=paths,
    ),
]
At: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER", min=1, help="Read the revision of this number, as history shows it."
    ),
]
Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Folders of pictures, picture files, tar or zip files, an archive to be coded anew, "
        "a .txt file of addresses, or a data set (a folder of Parquet files, or OWNER/NAME of the "
        "Hugging Face hub).",
        autocompletion=paths,
    ),
]


def local(path: Path | None) -> Path | None:
    """Refuse an address where only a path will do."""
    scheme, colon, _ = str(path).partition(":/")
    if scheme and colon and scheme.lower() in STORES:
        raise typer.BadParameter(f"{path}: this is written to a local path; name one")
    return path


Output: TypeAlias = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="PATH", help="What to write.", callback=local),
]
ArchiveOutput: TypeAlias = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="ARCHIVE", help="The archive to make: a folder, or an address."
    ),
]
Quality: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="Q", min=1, max=100, help="From 1 to 100, which is lossless.  [default: 60]"
    ),
]
MinPsnr: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="DB",
        min=1,
        max=100,
        help="Instead of a quality: give every image at least this PSNR, in the fewest bytes.",
    ),
]


def byte_count(text: str) -> int:
    """Read a number of bytes, with or without a decimal unit: 500k, 20M, 1.5G, 20000.

    Raises:
        typer.BadParameter: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.strip(), flags=re.IGNORECASE)
    count = int(Decimal(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if count < 1:
        raise typer.BadParameter(f"{text!r} is no number of bytes; write it as 500k, 20M or 1.5G")
    return count


_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}

MaxBytes: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        parser=byte_count,
        help="Instead of a quality: the best mean PSNR that fits into so many bytes on the disk, "
        "codec and describer not counted, such as 500k, 20M or 1.5G. Reads the pictures twice.",
    ),
]


def picture_size(text: str) -> reading.Size:
    """Read what pictures are reduced to: 256, short:256 or 800x600; 0 leaves them.

    Raises:
        typer.BadParameter: it is none.
    """
    box = re.fullmatch(r"(\d+)[x×](\d+)", text, re.ASCII)
    size: reading.Size = text
    if text.isascii() and text.isdigit():
        size = int(text)
    elif box:
        size = int(box[1]), int(box[2])
    if size != 0:
        try:
            reading.check_size(size, KinpackError)
        except KinpackError as error:
            raise typer.BadParameter(
                f"{text!r} is no size; write 256, short:256 or 800x600"
            ) from error
    return size


Size: TypeAlias = Annotated[
    Any,
    typer.Option(
        metavar="N",
        parser=picture_size,
        help="Reduce larger pictures to this longest side, in pixels, with short:N to this "
        "shortest one, with WxH into this box; 0 leaves them.",
        show_default=False,
    ),
]
Split: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Take one split of a data set.")
]
PictureColumn: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--column", metavar="NAME", help="Take the pictures of this column of a data set."
    ),
]
Classic: TypeAlias = Annotated[
    target.Classic,
    typer.Option(help="Try classic payloads, too: where they may serve better, never, or always."),
]
Effort: TypeAlias = Annotated[
    target.Effort,
    typer.Option(help="Spend little time, some, or several times as much on fewer bytes."),
]
OnDuplicate: TypeAlias = Annotated[
    Literal["error", "skip", "replace"],
    typer.Option(help="If an id is there already, refuse all, keep the old, or take the new."),
]
SkipBroken: TypeAlias = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out pictures that cannot be read; exit code 0.")
]
Strict: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop at the first picture that cannot be read, and keep nothing; else it is left "
        "out, and the exit code is 3.",
    ),
]
Include: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Take the files of a folder alone that match, as '*.jpg' or 'beach/*'; may be given "
        "several times.",
    ),
]
Exclude: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out files and folders that match; may be given several times.",
    ),
]
Prefix: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="What all ids are to begin with: beach/ gives what lies in a folder beach that name, "
        "and that label.",
        show_default=False,
    ),
]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Ids are paths below this folder.  [default: the SOURCE, of several their common "
        "folder]",
    ),
]
DamagedOption: TypeAlias = Annotated[
    Damaged,
    typer.Option(
        help="Of files that are cut short take what is there, and tell so, or refuse them as "
        "broken."
    ),
]
EffortAsPacked: TypeAlias = Annotated[
    target.Effort | None,
    typer.Option(help="As for pack.  [default: that of the archive]", show_default=False),
]
DamagedAsPacked: TypeAlias = Annotated[
    Damaged | None,
    typer.Option(help="As for pack.  [default: that of the archive]", show_default=False),
]


def sample_range(text: str) -> SampleRange:
    """Read a range of samples: auto, or two numbers with a comma between.

    Raises:
        typer.BadParameter: it is none.
    """
    if text == "auto":
        return "auto"
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise typer.BadParameter(f"{text!r} is no range; write auto, or the two ends as 0,4095")
    return low, high


Range: TypeAlias = Annotated[
    Any,
    typer.Option(
        "--range",
        metavar="auto|MIN,MAX",
        parser=sample_range,
        help="Which grey samples of 16 bits or more become black and white, as 0,4095.",
        show_default=False,
    ),
]


def column_names(text: str) -> tuple[str, ...]:
    """Read names of columns with commas between; none for none.

    Raises:
        typer.BadParameter: a name is empty.
    """
    names = () if text == "none" else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise typer.BadParameter(f"{text!r} names no columns; write them as file,exif")
    return names


Columns: TypeAlias = Annotated[
    Any,
    typer.Option(
        metavar="NAME,NAME",
        parser=column_names,
        help="Keep more of each picture. Of files: file (path, size, time of change), exif (date, "
        "camera), gps, hash (SHA-256). Of a data set: the names of its columns.",
        show_default=False,
    ),
]
Metadata: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep what a .csv, .tsv or .parquet file says of each picture; its column id, or "
        "path, names the picture.",
    ),
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="Only images for which this holds, as \"width > 200 AND camera LIKE 'X%'\".",
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Use so many threads.  [default: as many as suit]"),
]
Jobs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Use so many processes.  [default: as many as there are cores, if it is worth it]",
        show_default=False,
    ),
]
EngineOption: TypeAlias = Annotated[
    EngineName,
    typer.Option(
        "--engine", help="What runs them: processes of this machine, or a Ray or Dask cluster."
    ),
]
UnsafeOption: TypeAlias = Annotated[
    Unsafe,
    typer.Option(
        "--unsafe",
        help="Of images whose ids not every system takes for a file, give the files like names, "
        "leave them out, or refuse all.",
    ),
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is taken of a source, and how.

    Attributes:
        split: the one split of a data set to take.
        column: of a data set, the one that holds the pictures.
        include: patterns of which a file of a folder must match one.
        exclude: patterns of which it must match none.
        prefix: what all ids begin with.
        root: the folder that ids of files are paths below.
        damaged: what is done with files that are cut short.
        sample_range: grey samples that become black and white.
    """

    split: str | None = None
    column: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    prefix: str = ""
    root: Path | None = None
    damaged: Damaged = "keep"
    sample_range: SampleRange = "auto"


def _is_archive(text: str) -> bool:
    """Whether a source is an archive of kinpack, to be coded anew."""
    path = Path(text)
    if "://" in text:
        return text.partition("://")[0].lower() in STORES
    folders = all((path / name).is_dir() for name in ("manifests", "codecs"))
    if folders or not (path.is_file() and is_sealed(path)):
        return folders
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as files:
        return any(name.startswith("manifests/") for name in files.namelist())
    return False


def _open_archive(text: str, choice: Choice, size: reading.Size | None) -> Source:
    """The images of an archive, which stays open for as long as the command runs."""
    from kinpack.archive.adding.stored_source import StoredSource

    if choice.split is not None or choice.root is not None:
        raise typer.BadParameter("--split and --root are for other sources than archives")
    return StoredSource(
        kinpack.Archive.open(text),
        reading.Reading(size=size or None),
        Patterns(include=choice.include, exclude=choice.exclude),
        choice.prefix,
    )


def open_together(
    source: Sequence[str],
    choice: Choice,
    *,
    size: reading.Size | None,
    columns: Sequence[str] = (),
) -> Source:
    """Open what was named as one collection: one source of any sort, or several files and folders.

    Args:
        source: the words of the command line.
        choice: what of it is taken, and how.
        size: what larger pictures are reduced to; None or 0 leaves them as they are.
        columns: what else is kept of each picture.

    Raises:
        KinpackError: as ``open_source``.
    """
    if len(source) == 1 and _is_archive(source[0]):
        return _open_archive(source[0], choice, size)
    return open_source(
        source[0] if len(source) == 1 else source,
        size=size or None,
        split=choice.split,
        column=choice.column,
        include=choice.include,
        exclude=choice.exclude,
        prefix=choice.prefix,
        root=choice.root,
        damaged=choice.damaged,
        sample_range=choice.sample_range,
        columns=columns,
    )


def refuse_existing(path: Path, *, force: bool) -> None:
    """See that a file may be written.

    Raises:
        KinpackError: it exists and may not be replaced, or is a folder.
    """
    if path.is_dir():
        raise KinpackError(f"{shown(path)}: is a folder; name a file to write")
    if os.path.lexists(path) and not force:
        raise KinpackError(f"{shown(path)}: this file exists; replace it with --force")


def refuse_several(**options: object) -> None:
    """See that at most one of several options is given, by their names in Python.

    Raises:
        typer.BadParameter: more are.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other; give one of them")
