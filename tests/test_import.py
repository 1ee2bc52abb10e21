"""The laws of imports: fast, without torch, and never upward in the house."""

from __future__ import annotations

import ast
import functools
import json
import math
import re
import statistics
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.tiny_describer import GOLDEN

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kinpack"

# The house of docs/architecture.md: a room stands above all that it imports, and rooms of one floor
# do not import each other. A room is a folder, or a module that lies in none.
FLOORS = {
    "errors": 0,
    "arguments": 1,
    "file_names": 1,
    "column_types": 0,
    "progress": 0,
    "thrift": 0,
    "archive/segments/guard": 1,
    "jobs": 2,
    "lazy_names": 1,
    "limits": 1,
    "mapped_memory": 0,
    "metrics": 1,
    "entropy": 1,
    "networks/graphs": 1,
    "archive/stores": 1,
    "learn/models": 1,
    "pictures": 2,
    "pictures/files": 1,
    "networks": 2,
    "sources": 3,
    "describers": 3,
    "codec/packets": 3,
    "search/distances": 4,
    "search/comparison": 4,
    "search/engines": 5,
    "search/duplicates": 5,
    "search": 6,
    "codec/classic": 4,
    "archive/segments": 4,
    "learn/training": 4,
    "codec/causal": 5,
    "codec/learned": 6,
    "codec/choice": 7,
    "learn/lattice": 7,
    "learn/look": 7,
    "learn/photo": 7,
    "codec": 8,
    "learn/freezing": 9,
    "archive/searching": 8,
    "archive/showing": 9,
    "archive/revisions": 9,
    "learn/causal": 10,
    "learn/lite": 10,
    "archive/adding": 10,
    "archive/duplicates": 10,
    "archive/amending": 10,
    "archive/overviews": 10,
    "learn": 11,
    "archive/care": 11,
    "archive/syncing": 11,
    "archive": 12,
    "integrations": 13,
    "web": 13,
    "demo": 14,
    "cli": 15,
    "__main__": 16,
}

# The folders beside the package stand above it, and import each other downward only.
OUTSIDE = {
    "fakes": 0,
    "benchmarks/measuring": 0,
    "benchmarks/demo": 0,
    "benchmarks/exactness": 2,
    "benchmarks/lattice": 1,
    "benchmarks/search": 1,
    "benchmarks/finding": 2,
    "benchmarks/rates": 2,
    "benchmarks/learning": 3,
    "benchmarks/pages": 3,
    "benchmarks/seeing": 2,
    "benchmarks/ship": 3,
    "benchmarks/speed": 3,
    "benchmarks/scale": 4,
    "papers": 4,
    "papers/pqvae/hashing": 4,
    "papers/smic/coders": 4,
    "reliability": 4,
    "papers/pqvae": 5,
    "papers/smic": 5,
    "tests": 6,
}
TOPS = {"kinpack": PACKAGE, **{name: ROOT / name for name in {n.split("/")[0] for n in OUTSIDE}}}

FILES_IN_A_FOLDER = 15
"""Most modules side by side in a folder of package or benchmarks, `__init__` not counted."""

# What `import kinpack`, and even the command's own module, leave until it is needed.
HEAVY = (
    "constriction",
    "datasets",
    "faiss",
    "obstore",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "torch",
)

# The only room that may name torch.
LEARNING = "learn"


def run_python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run code in a fresh interpreter; its standard output, or the test fails with its errors."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[Path]:
    """All modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The room a module is in: its folder, or itself where it lies in none."""
    place = module.relative_to(PACKAGE).with_suffix("")
    return str(place.parent) if len(place.parts) > 1 else place.name


def modules_outside() -> list[Path]:
    """All modules beside the package, without what runs of the papers' experiments leave."""
    found = (path for top in TOPS if top != "kinpack" for path in TOPS[top].rglob("*.py"))
    return sorted(path for path in found if "runs" not in path.relative_to(ROOT).parts)


def folder_named(name: str) -> str:
    """The folder of what an import names: "kinpack/codec/packets"; "" of other packages."""
    top, *parts = name.split(".")
    if top not in TOPS:
        return ""
    for length in range(len(parts), -1, -1):
        place = TOPS[top].joinpath(*parts[:length])
        if place.is_dir():
            return "/".join([top, *parts[:length]])
        if place.with_suffix(".py").is_file():
            return "/".join([top, *parts[: length - 1]])
    return ""


def folder_of(module: Path) -> str:
    """The folder of a module, as ``folder_named`` calls it."""
    base = PACKAGE.parent if module.is_relative_to(PACKAGE) else ROOT
    return module.relative_to(base).parent.as_posix()


def room_named(name: str) -> str:
    """The room of what an import names: "kinpack.codec.packets.packet.Kind", for instance."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        place = PACKAGE.joinpath(*parts[:length])
        if place.is_dir():
            return "/".join(parts[:length])
        if place.with_suffix(".py").is_file():
            return room_of(place.with_suffix(".py"))
    return ""


@functools.cache
def tree(module: Path) -> ast.Module:
    """A module's syntax; parsed once for all tests that look at it."""
    return ast.parse(module.read_text(), filename=str(module))


@functools.cache
def imports(module: Path) -> list[tuple[int, str]]:
    """Every import of a module, at its top or inside a function, as (line, absolute name)."""
    found = []
    package = folder_of(module).split("/")
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def test_import_is_fast() -> None:
    code = "import time; t = time.process_time(); import kinpack; print(time.process_time() - t)"
    run_python(code)  # compiles the modules
    seconds = statistics.median(float(run_python(code)) for _ in range(5))
    assert seconds < 0.3  # of the processor: others on the machine take no part


@pytest.mark.parametrize(
    "name", ["kinpack", "kinpack.cli", "kinpack.learn", "kinpack.integrations"]
)
def test_import_leaves_heavy_packages_alone(name: str) -> None:
    loaded = json.loads(
        run_python(f"import sys, json, {name}; print(json.dumps(list(sys.modules)))")
    )
    assert not set(HEAVY) & set(loaded)


def test_every_module_has_a_floor() -> None:
    rooms = {room_of(module) for module in modules()} - {"__init__"}
    assert rooms <= set(FLOORS), "say in FLOORS, and in docs/architecture.md, where it stands"


def test_the_page_names_every_room_on_its_floor() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    told = {
        room.removesuffix("/").removesuffix(".py"): int(floor)
        for floor, rooms in re.findall(r"^\| (\d+) \| ([^|]*) \|", page, re.MULTILINE)
        for room in re.findall(r"`([a-z_/]+(?:\.py)?)`", rooms)
    }
    assert told == {room: floor for room, floor in FLOORS.items() if room != "__main__"}


def test_no_folder_holds_too_many_files() -> None:
    held = [*modules(), *(ROOT / "benchmarks").rglob("*.py")]
    counts = Counter(module.parent for module in held if module.stem != "__init__")
    assert max(counts.values()) <= FILES_IN_A_FOLDER, counts.most_common(3)


def test_every_room_says_what_it_holds() -> None:
    held = [*modules(), *modules_outside()]
    for room in {module.parent for module in held} - {PACKAGE}:
        sentence = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
        assert sentence, f"{room}: say in __init__.py what the room holds"


def test_no_import_runs_upward() -> None:
    wrong = []
    for module in modules():
        room = room_of(module)
        if room == "__init__":
            continue  # names its rooms for type checkers, and imports them when first used
        for line, name in imports(module):
            if name.split(".")[0] != "kinpack" or name in {"kinpack", "kinpack.__version__"}:
                continue
            below = room_named(name)
            if below == room:
                continue
            if FLOORS.get(below, math.inf) >= FLOORS[room]:  # a name of kinpack itself is the roof
                wrong.append(f"{module.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_no_import_beside_the_package_runs_upward() -> None:
    wrong = []
    for module in modules_outside():
        room = folder_of(module)
        if room == "benchmarks":
            assert module.stem == "__init__", f"{module.name}: put it into a folder of its subject"
            continue
        assert room in OUTSIDE, f"{room}: say in OUTSIDE where it stands"
        for line, name in imports(module):
            below = folder_named(name)
            if below in {"", room} or below.split("/")[0] == "kinpack":
                continue
            if OUTSIDE.get(below, math.inf) >= OUTSIDE[room]:
                wrong.append(f"{module.relative_to(ROOT)}:{line}: {room} imports {name}")
    for module in modules():
        wrong += [
            f"{module.relative_to(ROOT)}:{line}: the package imports {name}"
            for line, name in imports(module)
            if folder_named(name).split("/")[0] not in {"", "kinpack"}
        ]
    assert not wrong, "\n".join(wrong)


def test_no_folders_form_a_circle() -> None:
    """Neither rooms nor the folders around them, each taken with all that lies in it."""
    below: dict[str, set[str]] = {}
    for module in [*modules(), *modules_outside()]:
        ours = folder_of(module).split("/")
        for _, name in imports(module):
            theirs = folder_named(name).split("/")
            both = [a == b for a, b in zip(ours, theirs, strict=False)]
            shared = both.index(False) if False in both else len(both)
            if theirs != [""] and shared < min(len(ours), len(theirs)):
                above = "/".join(ours[: shared + 1])
                below.setdefault(above, set()).add("/".join(theirs[: shared + 1]))
    assert len(list(TopologicalSorter(below).static_order())) > len(TOPS)


def test_nothing_changes_where_modules_are_looked_for() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}:{node.lineno}"
        for module in [*modules(), *modules_outside()]
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_learning_names_torch() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}:{line}: {name}"
        for module in modules()
        if room_of(module).split("/")[0] != LEARNING
        for line, name in imports(module)
        if name.split(".")[0] in {"torch", "torchmetrics"}
    ]
    assert not wrong, "\n".join(wrong)


WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None
import kinpack
from kinpack.learn import TrainingConfig  # needs none

try:
    from kinpack.learn import learn_codec
except kinpack.KinpackError as error:
    print(error)
"""


def test_learning_without_torch_names_the_extra() -> None:
    line = run_python(WITHOUT_TORCH)
    assert line.count("\n") == 1
    assert "kinpack[learn]" in line
    assert "torch" in line


COMMANDS = """
import json, sys
from kinpack.cli import app  # main() would end this process with the first command

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["kinpack", *arguments]
    try:
        app()
    except SystemExit as stop:
        if stop.code:
            raise
    learning = {"torch", "sklearn"} & set(sys.modules)
    if learning:
        raise RuntimeError(f"kinpack {arguments[0]} imported {sorted(learning)}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["classic", "default"])
def test_the_run_time_never_imports_torch(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(5)
    pictures = tmp_path / "pictures" / "noise"
    pictures.mkdir(parents=True)
    for index in range(3):
        pixels = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{index}.png")
    commands = [
        [
            "pack",
            "pictures",
            "-o",
            "packed.kin",
            "--codec",
            codec,
            "--quiet",
            "--describer",
            str(GOLDEN),
        ],
        ["add", "packed.kin", "pictures", "--on-duplicate", "skip", "--quiet"],
        ["search", "packed.kin", "pictures/noise/0.png", "-k", "2", "--json"],
        ["get", "packed.kin", "noise/1.png", "-o", "one.png", "--quiet"],
        ["unpack", "packed.kin", "-o", "unpacked", "--quiet"],
        ["verify", "packed.kin", "--quiet"],
        ["info", "packed.kin", "--json"],
        ["ls", "packed.kin", "--json"],
        ["rm", "packed.kin", "noise/1.png", "--quiet"],
        ["history", "packed.kin", "--json"],
        ["compact", "packed.kin", "--quiet"],
        ["gc", "packed.kin", "--quiet"],
        ["seal", "packed.kin", "-o", "packed.kin.zip", "--quiet"],
        ["unseal", "packed.kin.zip", "-o", "again.kin", "--quiet"],
        ["copy", "packed.kin.zip", "-o", "copy.kin", "--quiet"],
        ["repair", "packed.kin", "-o", "saved.kin", "--quiet"],
        ["export", "packed.kin", "-o", "dataset", "--format", "parquet", "--quiet"],
    ]
    run_python(COMMANDS, json.dumps(commands), cwd=tmp_path)


def test_what_pip_installs_stays_under_400_mb() -> None:
    command = [sys.executable, "-m", "benchmarks.ship.installed_size", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    sizes: dict[str, int] = json.loads(done.stdout)
    assert {"kinpack", "numpy", "pyarrow", "onnxruntime", "pillow"} <= set(sizes)
    assert "torch" not in sizes
    assert sum(sizes.values()) < 400_000_000
