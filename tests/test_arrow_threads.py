"""Nothing leaves threads of Arrow behind, which now and then abort a program that ends.

A thread of Arrow's pool holds what it has read for a moment longer than the call takes. If these
are Python's bytes and the interpreter has ended by then, the process is aborted, its work done.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TASKS = Path("/proc/self/task")

# Before each program; its argument is an empty folder.
COUNTING = """
import os, sys
from pathlib import Path
import pyarrow.parquet
def threads(): return len(os.listdir("/proc/self/task"))
folder = Path(sys.argv[1])
"""
LIBRARY = """
from tests.archive_checks import content, make, reopened
from fakes.fake_codec import pictures
from kinpack.integrations.exporting import export
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal
from kinpack import open_source
begin = threads()
path = make(folder / "a.kin", pictures(10))
with reopened(path) as archive:
    archive.add(pictures(5, first=20))
    archive.remove([archive.ids[0]])
    archive.compact()
    export(archive, folder / "data", "parquet")
    seal(archive, folder / "a.kin.zip")
assert len(content(path)) == len(content(folder / "a.kin.zip")) == 14
assert len([item.load() for item in open_source(folder / "data")]) == 14
for manifest in (path / "manifests").iterdir():
    manifest.unlink()
assert repair(path, folder / "b.kin").images >= 14
assert threads() == begin
"""
STREAMS = """
import pyarrow.ipc
from kinpack import open_source
from tests.test_huggingface import table
begin = threads()
rows = table([1, 2, 3], folder)
options = pyarrow.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
file = str(folder / "data-00000-of-00001.arrow")
with pyarrow.ipc.new_stream(file, rows.schema, options=options) as stream:
    stream.write_table(rows)
assert len(list(open_source(folder))) == 3
assert threads() == begin
"""
READER = """
import runpy
reader = runpy.run_path("docs/reader.py")
begin = threads()
for words in (["list"], ["check"], ["scan", "avif/rgba"]):
    assert reader["main"](["tests/golden/format-1/classic.kin", *words]) == 0
assert threads() == begin
"""


@pytest.mark.slow
@pytest.mark.skipif(not TASKS.is_dir(), reason="a process's threads are not to be seen here")
@pytest.mark.parametrize(
    "program", [LIBRARY, STREAMS, READER], ids=["library", "streams", "reader"]
)
def test_no_threads_are_left(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNTING + program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
